/*!
Where the words of a request end.

Spaces separate words, and `|` separates fields. Inside double quotes and inside braces, both are part of the
word: `stat:jobs{name="a | b"}` is one word. Every quote and every brace must be closed.
*/

use crate::text::malformed::Malformed;

/// A word in which a quote or a brace is not closed.
#[derive(Debug, PartialEq)]
pub struct Unclosed<'a> {
    /// The word, and everything after it.
    pub word: &'a str,
    pub malformed: Malformed<'a>,
}

/// Splits a request for thresholds into its words.
pub fn words(text: &str) -> Result<Vec<&str>, Unclosed<'_>> {
    let mut words = Vec::new();
    let mut rest = text.trim_ascii();
    while !rest.is_empty() {
        let end = find(rest, |c| c.is_ascii_whitespace());
        let end = end.map_err(|malformed| Unclosed { word: rest, malformed })?;
        let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        words.push(word);
        rest = after.trim_ascii_start();
    }
    Ok(words)
}

/// Splits a request at its first `|`. Returns `None` if it has none.
pub fn split_first_field(text: &str) -> Option<(&str, &str)> {
    let (first, rest) = text.split_at_checked(find(text, |c| c == '|').ok()?)?;
    Some((first, rest.strip_prefix('|')?))
}

/// Where the first character is that `is_end` accepts outside of quotes and braces. If there is none, the length of
/// the text. Fails at a quote or a brace that is not closed.
fn find(text: &str, is_end: impl Fn(char) -> bool) -> Result<usize, Malformed<'_>> {
    let mut rest = text;
    while let Some(c) = rest.chars().next().filter(|c| !is_end(*c)) {
        rest = match c {
            '"' => after_quotes(rest)?,
            '{' => after_braces(rest)?,
            _ => rest.get(c.len_utf8()..).unwrap_or_default(),
        };
    }
    Ok(text.len() - rest.len())
}

/// Skips the quoted text at the start of a text. A backslash belongs to the character after it.
fn after_quotes(text: &str) -> Result<&str, Malformed<'_>> {
    let mut chars = text.chars();
    let mut next =
        || chars.next().ok_or(Malformed { piece: text, problem: "has no closing quote" });
    next()?;
    loop {
        match next()? {
            '"' => return Ok(chars.as_str()),
            '\\' => drop(next()?),
            _ => {}
        }
    }
}

/// Skips the text in braces at the start of a text.
fn after_braces(text: &str) -> Result<&str, Malformed<'_>> {
    let mut rest = text;
    loop {
        let Some(c) = rest.chars().next() else {
            return Err(Malformed { piece: text, problem: "has no closing brace" });
        };
        if c == '"' {
            rest = after_quotes(rest)?;
            continue;
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        if c == '}' {
            return Ok(rest);
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
            (r#"."a\\" b c"#, vec![r#"."a\\""#, "b", "c"]),
            ("a{b 5 c}d e}", vec!["a{b 5 c}d", "e}"]),
            ("é{é é} é", vec!["é{é é}", "é"]),
        ] {
            assert_eq!(words(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_quote_or_a_brace_that_is_not_closed_is_named_with_its_word() {
        for (text, word, piece, problem) in [
            ("a \"b 5", "\"b 5", "\"b 5", "has no closing quote"),
            ("a b{c 5", "b{c 5", "{c 5", "has no closing brace"),
            ("a{b=\"c d} 5", "a{b=\"c d} 5", "\"c d} 5", "has no closing quote"),
            (".\"a\\\" 5", ".\"a\\\" 5", "\"a\\\" 5", "has no closing quote"),
            ("a\"\\", "a\"\\", "\"\\", "has no closing quote"),
        ] {
            let malformed = Malformed { piece, problem };
            assert_eq!(words(text), Err(Unclosed { word, malformed }), "{text}");
        }
    }

    #[test]
    fn a_request_is_split_at_its_first_bar_outside_of_quotes_and_braces() {
        for (text, split) in [
            ("v1|http://a|5", Some(("v1", "http://a|5"))),
            ("debug|up # {\"|", Some(("debug", "up # {\"|"))),
            ("stat:a{b=c|d} 5", None),
            ("stat:.\"a|b\" 5", None),
            ("stat:a{b=c|d", None),
            ("|", Some(("", ""))),
            ("", None),
        ] {
            assert_eq!(split_first_field(text), split, "{text}");
        }
    }
}
