/*!
Series as Prometheus writes them: `NAME{LABEL="VALUE",...}`.

The format is Prometheus's text format 0.0.4, which OpenMetrics 1.0 shares. A name that has other characters
stands in quotes inside the braces, since Prometheus 3: `{"my.metric",LABEL="VALUE"}`.
*/

use crate::text::malformed::Malformed;

/// A metric's name and its labels. The text between the braces has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    pub name: Quotable<'a>,
    labels: &'a str,
    values: Values,
}

/// A text that was in quotes or not.
#[derive(Clone, Copy, Debug)]
pub enum Quotable<'a> {
    /// A text without quotes.
    Bare(&'a str),
    /// What is between the quotes. It may hold escapes.
    Quoted(&'a str),
}

/// How the values of labels are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// In double quotes.
    Quoted,
    /// With or without double quotes. Without them, a value ends before a comma or a brace.
    Any,
}

impl<'a> Series<'a> {
    /// Parses the series at the start of a text. Returns what follows it too.
    pub fn parse(text: &'a str, values: Values) -> Result<(Self, &'a str), Malformed<'a>> {
        let length = name_length(text, |c| c == ':');
        let (name, rest) = text.split_at_checked(length).unwrap_or_default();
        let Some(inside) = skip_blanks(rest).strip_prefix('{') else {
            return match length {
                0 => Err(Malformed { piece: text, problem: "does not begin with a metric name" }),
                _ => Ok((Self { name: Quotable::Bare(name), labels: "", values }, rest)),
            };
        };
        let mut name = Quotable::Bare(name);
        let mut labels = inside;
        if length == 0 {
            let Some((quoted, rest)) = take_quoted(skip_blanks(inside)) else {
                return Err(Malformed {
                    piece: text,
                    problem: "does not begin with a metric name",
                });
            };
            name = Quotable::Quoted(quoted);
            let rest = skip_blanks(rest);
            labels = match rest.strip_prefix(',') {
                Some(rest) => rest,
                None if rest.starts_with('}') => rest,
                None => return Err(Malformed { piece: text, problem: "has no , after its name" }),
            };
        }
        let mut unchecked = Labels { rest: labels, values };
        while unchecked.next()?.is_some() {}
        Ok((Self { name, labels, values }, unchecked.rest))
    }

    /// The labels with their values.
    pub fn labels(self) -> impl Iterator<Item = (Quotable<'a>, Quotable<'a>)> {
        let mut labels = Labels { rest: self.labels, values: self.values };
        std::iter::from_fn(move || labels.next().ok().flatten())
    }
}

impl<'a> Quotable<'a> {
    /// Whether this is the way in which `text` is written.
    pub fn is(self, text: &str) -> bool {
        match self {
            Self::Bare(bare) => bare == text,
            Self::Quoted(quoted) if quoted.contains('\\') => unescape(quoted).eq(text.chars()),
            Self::Quoted(quoted) => quoted == text,
        }
    }

    /// The text that is written in this way.
    pub fn text(self) -> String {
        match self {
            Self::Bare(bare) => bare.to_owned(),
            Self::Quoted(quoted) => unescape(quoted).collect(),
        }
    }
}

/// The labels that are left, and the brace after them.
struct Labels<'a> {
    rest: &'a str,
    values: Values,
}

impl<'a> Labels<'a> {
    /// Takes the next label with its value. Returns `None` after the brace.
    fn next(&mut self) -> Result<Option<(Quotable<'a>, Quotable<'a>)>, Malformed<'a>> {
        let text = skip_blanks(self.rest);
        if let Some(after) = text.strip_prefix('}') {
            self.rest = after;
            return Ok(None);
        }
        if text.is_empty() {
            return Err(Malformed { piece: "{", problem: "has no } at the end of the labels" });
        }
        let malformed = |problem| {
            let end = text.find(['=', ',', '}']).unwrap_or(text.len());
            Malformed { piece: text.get(..end).unwrap_or(text), problem }
        };
        let name = take_quoted(text).map(|(name, rest)| (Quotable::Quoted(name), rest));
        let plain = || text.split_at_checked(name_length(text, |_| false)).unwrap_or_default();
        let (name, rest) = name.unwrap_or_else(|| {
            let (name, rest) = plain();
            (Quotable::Bare(name), rest)
        });
        if matches!(name, Quotable::Bare("")) {
            return Err(malformed("is not the name of a label"));
        }
        let Some(value) = skip_blanks(rest).strip_prefix('=') else {
            return Err(malformed("is not LABEL=VALUE"));
        };
        let value = skip_blanks(value);
        let (value, rest) = match take_quoted(value) {
            Some((quoted, rest)) => (Quotable::Quoted(quoted), rest),
            None if value.starts_with('"') => {
                return Err(Malformed { piece: text, problem: "has no closing quote" });
            }
            None if self.values == Values::Quoted => {
                return Err(malformed("has a value without quotes"));
            }
            None => {
                let end = value.find([',', '}']).unwrap_or(value.len());
                let (bare, rest) = value.split_at_checked(end).unwrap_or((value, ""));
                if bare.contains('"') {
                    return Err(malformed("has a quote within its value"));
                }
                (Quotable::Bare(bare.trim_end_matches([' ', '\t'])), rest)
            }
        };
        let rest = skip_blanks(rest);
        self.rest = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if rest.is_empty() || rest.starts_with('}') => rest,
            None => return Err(malformed("has neither , nor } after its value")),
        };
        Ok(Some((name, value)))
    }
}

/// The length of the name at the start of a text: letters, digits and underscores, and what `is_other`
/// accepts. It does not begin with a digit.
fn name_length(text: &str, is_other: impl Fn(char) -> bool) -> usize {
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || is_other(c);
    match text.starts_with(|c: char| c.is_ascii_digit()) {
        true => 0,
        false => text.find(|c| !is_in_name(c)).unwrap_or(text.len()),
    }
}

/// Skips the spaces and tabs at the start of a text.
pub fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// Splits a text that begins with a quote into what is between the quotes, and what follows them. Returns `None`
/// if there is no such quote, or no second one.
fn take_quoted(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut from = 0;
    loop {
        let place = from + inside.get(from..)?.find(['"', '\\'])?;
        if inside.get(place..)?.starts_with('"') {
            return Some((inside.get(..place)?, inside.get(place + 1..)?));
        }
        // Whatever follows a backslash belongs to it.
        let escaped = inside.get(place + 1..)?.chars().next()?;
        from = place + 1 + escaped.len_utf8();
    }
}

/// Replaces `\\`, `\"` and `\n`. As in Prometheus, any other backslash stands for itself.
fn unescape(text: &str) -> impl Iterator<Item = char> {
    let mut chars = text.chars().peekable();
    std::iter::from_fn(move || {
        let c = chars.next()?;
        let escaped =
            if c == '\\' { chars.next_if(|c| matches!(c, '\\' | '"' | 'n')) } else { None };
        Some(match escaped {
            Some('n') => '\n',
            Some(escaped) => escaped,
            None => c,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parsed = (String, Vec<(String, String)>, String);

    fn parse(text: &str, values: Values) -> Result<Parsed, Malformed<'_>> {
        let (series, rest) = Series::parse(text, values)?;
        let labels = series.labels().map(|(name, value)| (name.text(), value.text())).collect();
        Ok((series.name.text(), labels, rest.to_owned()))
    }

    fn parsed(name: &str, labels: &[(&str, &str)], rest: &str) -> Parsed {
        let labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        (name.to_owned(), labels.collect(), rest.to_owned())
    }

    #[test]
    fn a_series_has_a_name_and_labels() {
        for (text, series) in [
            ("a:b_9 5", parsed("a:b_9", &[], " 5")),
            ("a{} 5", parsed("a", &[], " 5")),
            ("a {\tb = \"c\" , } 5", parsed("a", &[("b", "c")], " 5")),
            (r#"a{b="",c="{,}",}5"#, parsed("a", &[("b", ""), ("c", "{,}")], "5")),
            (r#"a{b="\\\"\n\t\é"}"#, parsed("a", &[("b", "\\\"\n\\t\\é")], "")),
            (r#"{"m.x"} 5"#, parsed("m.x", &[], " 5")),
            (r#"{ "m.\"x" , "l.y"="é"} 5"#, parsed("m.\"x", &[("l.y", "é")], " 5")),
        ] {
            assert_eq!(parse(text, Values::Quoted), Ok(series.clone()), "{text}");
            assert_eq!(parse(text, Values::Any), Ok(series), "{text}");
        }
        let bare = parsed("a", &[("b", "x y|\\n"), ("c", "d")], "");
        assert_eq!(parse("a{b= x y|\\n ,c=d\t}", Values::Any), Ok(bare));
        assert_eq!(parse("a{b=}", Values::Any), Ok(parsed("a", &[("b", "")], "")));
    }

    #[test]
    fn the_wrong_piece_of_a_series_is_named() {
        const NO_NAME: &str = "does not begin with a metric name";
        const NO_BRACE: &str = "has no } at the end of the labels";
        for (text, piece, problem) in [
            ("", "", NO_NAME),
            ("9a", "9a", NO_NAME),
            ("=5", "=5", NO_NAME),
            ("{a=\"b\"}", "{a=\"b\"}", NO_NAME),
            ("{\"a\" b}", "{\"a\" b}", "has no , after its name"),
            ("a{", "{", NO_BRACE),
            ("a{b=\"c\"", "{", NO_BRACE),
            ("a{b=\"c\",", "{", NO_BRACE),
            ("a{b=\"c}", "b=\"c}", "has no closing quote"),
            ("a{b=\"c\\\"}", "b=\"c\\\"}", "has no closing quote"),
            ("a{b}", "b", "is not LABEL=VALUE"),
            ("a{b-c=\"d\"}", "b-c", "is not LABEL=VALUE"),
            ("a{9=\"d\"}", "9", "is not the name of a label"),
            ("a{,}", "", "is not the name of a label"),
            ("a{b:c=\"d\"}", "b:c", "is not LABEL=VALUE"),
            ("a{b=\"c\"d}", "b", "has neither , nor } after its value"),
        ] {
            for values in [Values::Quoted, Values::Any] {
                assert_eq!(parse(text, values), Err(Malformed { piece, problem }), "{text}");
            }
        }
        let bare = Malformed { piece: "b", problem: "has a value without quotes" };
        assert_eq!(parse("a{b=c}", Values::Quoted), Err(bare));
        let quote = Malformed { piece: "b", problem: "has a quote within its value" };
        assert_eq!(parse("a{b=c\"}", Values::Any), Err(quote));
        let unclosed = Malformed { piece: "{", problem: NO_BRACE };
        assert_eq!(parse("a{b=c", Values::Any), Err(unclosed));
    }

    #[test]
    fn a_text_is_compared_as_it_is_meant() {
        assert!(Quotable::Quoted(r#"a\"\\n\n"#).is("a\"\\n\n"));
        assert!(!Quotable::Quoted(r"a\n").is("an"));
        assert!(Quotable::Quoted("a").is("a") && Quotable::Bare(r"a\n").is(r"a\n"));
        assert!(Quotable::Quoted(r"a\x").is(r"a\x"));
    }
}
