/*!
Where the words of a request end.

Spaces separate words, and `|` separates fields. Inside double quotes and inside braces, both are part of the
word: `stat:jobs{name="a | b"}` is one word. A quote or a brace that is never closed is a character like any
other.
*/

/// The words of a request for thresholds.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        let (word, after) = split_before(rest, |c| c.is_ascii_whitespace());
        rest = after;
        Some(word).filter(|word| !word.is_empty())
    })
}

/// Splits a request at its first `|`. Returns `None` if it has none.
pub fn split_first_field(text: &str) -> Option<(&str, &str)> {
    let (first, rest) = split_before(text, |c| c == '|');
    Some((first, rest.strip_prefix('|')?))
}

/// Splits a text before the first character outside of quotes and braces that `is_end` accepts.
fn split_before(text: &str, is_end: impl Fn(char) -> bool) -> (&str, &str) {
    let mut rest = text;
    while let Some(c) = rest.chars().next().filter(|c| !is_end(*c)) {
        let group = match c {
            '"' => after_quotes(rest),
            '{' => after_braces(rest),
            _ => None,
        };
        rest = group.or(rest.get(c.len_utf8()..)).unwrap_or_default();
    }
    text.split_at_checked(text.len() - rest.len()).unwrap_or((text, ""))
}

/// Skips the quoted text at the start of a text. Returns `None` if it has no end.
fn after_quotes(text: &str) -> Option<&str> {
    let mut chars = text.get(1..)?.chars();
    loop {
        match chars.next()? {
            '"' => return Some(chars.as_str()),
            '\\' => chars.next()?,
            _ => continue,
        };
    }
}

/// Skips the text in braces at the start of a text. Returns `None` if it has no end.
fn after_braces(text: &str) -> Option<&str> {
    let mut rest = text.get(1..)?;
    loop {
        let c = rest.chars().next()?;
        let quoted = if c == '"' { after_quotes(rest) } else { None };
        rest = quoted.or(rest.get(c.len_utf8()..))?;
        if c == '}' {
            return Some(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_separate_words_outside_of_quotes_and_braces() {
        for (text, expected) in [
            ("", vec![]),
            (" cpu\t70  hls ", vec!["cpu", "70", "hls"]),
            ("a{b=c d} 5 e", vec!["a{b=c d}", "5", "e"]),
            (r#"a{b="} x\" y",c=d} 5"#, vec![r#"a{b="} x\" y",c=d}"#, "5"]),
            (r#".a."b c"[0] 5"#, vec![r#".a."b c"[0]"#, "5"]),
            (r#"."a\\" b" c"#, vec![r#"."a\\""#, "b\"", "c"]),
            ("a{b 5 c}d e", vec!["a{b 5 c}d", "e"]),
            ("a{b 5", vec!["a{b", "5"]),
            ("a\"b 5", vec!["a\"b", "5"]),
            (r#"a{b="c d} 5"#, vec![r#"a{b="c d}"#, "5"]),
            ("é{é é} é", vec!["é{é é}", "é"]),
        ] {
            assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn a_request_is_split_at_its_first_bar_outside_of_quotes_and_braces() {
        for (text, split) in [
            ("v1|http://a|5", Some(("v1", "http://a|5"))),
            ("debug|up # {|}", Some(("debug", "up # {|}"))),
            ("stat:a{b=c|d} 5", None),
            ("stat:.\"a|b\" 5", None),
            ("stat:a{b=c|d", Some(("stat:a{b=c", "d"))),
            ("|", Some(("", ""))),
            ("", None),
        ] {
            assert_eq!(split_first_field(text), split, "{text}");
        }
    }
}
