/*!
Paths to a value of a JSON document, in the notation of jq: `.data.nodes[0]["load-5m"]`.

jq's manual describes the notation under "Object Identifier-Index" and "Array Index". A path is what jq calls
a chain of these; filters, slices and iterators are not paths.
*/

use crate::text::malformed::Malformed;

/// The most steps of a path. Each step may need one pass over the document.
pub const MOST_STEPS: usize = 16;

/// A step from a value to a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The member of an object with this name.
    Member(String),
    /// The element of a list at this index. 0 is the first one, -1 the last one.
    Element(i64),
}

/// Parses a path from the root of a document. A path has at least one step.
pub fn parse(path: &str) -> Result<Vec<Step>, Malformed<'_>> {
    let malformed = |piece, problem| Err(Malformed { piece, problem });
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if steps.len() == MOST_STEPS {
            return malformed(path, "has more than 16 steps");
        }
        // A point may stand before an index, and must stand before the first one.
        let after_point = rest.strip_prefix('.');
        if after_point.is_none() && steps.is_empty() {
            return malformed(path, "does not begin with a point");
        }
        let part = after_point.unwrap_or(rest);
        let (step, length) = match part.chars().next() {
            Some('[') => parse_index(part)?,
            Some('"') if after_point.is_some() => {
                let (name, length) = parse_string(part)?;
                (Step::Member(name), length)
            }
            Some(_) if after_point.is_some() => parse_name(part)?,
            None if steps.is_empty() => return malformed(path, "is the whole page, not a number"),
            _ => return malformed(rest, "is not a step: write .NAME or [INDEX]"),
        };
        steps.push(step);
        rest = part.get(length..).unwrap_or_default();
    }
    Ok(steps)
}

/// Parses the name at the start of a text. Returns its length too.
fn parse_name(text: &str) -> Result<(Step, usize), Malformed<'_>> {
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = text.find(|c| !is_in_name(c)).unwrap_or(text.len());
    let name = text.get(..length).unwrap_or_default();
    let begins_well = name.starts_with(|c: char| !c.is_ascii_digit());
    let ends_well =
        text.get(length..).is_none_or(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    if begins_well && ends_well {
        return Ok((Step::Member(name.to_owned()), length));
    }
    let end = text.find(['.', '[']).filter(|end| *end > 0).unwrap_or(text.len());
    let piece = text.get(..end).unwrap_or(text);
    Err(Malformed { piece, problem: "is not a plain name: write it as [\"NAME\"]" })
}

/// Parses `[INDEX]` or `["NAME"]` at the start of a text. Returns its length too.
fn parse_index(text: &str) -> Result<(Step, usize), Malformed<'_>> {
    let inside = text.get(1..).unwrap_or_default();
    if inside.starts_with('"') {
        let (name, length) = parse_string(inside)?;
        let is_closed = inside.get(length..).is_some_and(|rest| rest.starts_with(']'));
        let unclosed = Malformed { piece: text, problem: "has no ] after the name" };
        return if is_closed { Ok((Step::Member(name), length + 2)) } else { Err(unclosed) };
    }
    let Some(end) = inside.find(']') else {
        return Err(Malformed { piece: text, problem: "has no ]" });
    };
    let piece = text.get(..end + 2).unwrap_or(text);
    let number = inside.get(..end).unwrap_or_default();
    // Rust's parser would accept a plus sign.
    let index = number.parse().ok().filter(|_| !number.starts_with('+'));
    let index = index.ok_or(Malformed { piece, problem: "is not an index" })?;
    Ok((Step::Element(index), end + 2))
}

/// Parses the JSON string at the start of a text. Returns its length too, as it is written.
fn parse_string(text: &str) -> Result<(String, usize), Malformed<'_>> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    match values.next() {
        Some(Ok(name)) => Ok((name, values.byte_offset())),
        _ => Err(Malformed { piece: text, problem: "is not a string in double quotes" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Step {
        Step::Member(name.to_owned())
    }

    #[test]
    fn a_path_is_parsed_as_jq_parses_it() {
        for (path, steps) in [
            (".a", vec![member("a")]),
            (".a.b_2", vec![member("a"), member("b_2")]),
            (".a[0].b", vec![member("a"), Step::Element(0), member("b")]),
            (".a.[0][12]", vec![member("a"), Step::Element(0), Step::Element(12)]),
            (".[-1]", vec![Step::Element(-1)]),
            (".[\"a-b\"]", vec![member("a-b")]),
            (".[\"a\"].b", vec![member("a"), member("b")]),
            (".\"a b\".c", vec![member("a b"), member("c")]),
            (".a[\"b\"][\"\"]", vec![member("a"), member("b"), member("")]),
            (r#"."a\"\\\u0062]|\n""#, vec![member("a\"\\b]|\n")]),
        ] {
            assert_eq!(parse(path), Ok(steps), "{path}");
        }
        assert_eq!(parse(&".a".repeat(MOST_STEPS)).unwrap().len(), MOST_STEPS);
    }

    #[test]
    fn the_wrong_piece_of_a_path_is_named() {
        const NAME: &str = "is not a plain name: write it as [\"NAME\"]";
        const STEP: &str = "is not a step: write .NAME or [INDEX]";
        for (path, piece, problem) in [
            (".", ".", "is the whole page, not a number"),
            (".a[x]", "[x]", "is not an index"),
            (".a[]", "[]", "is not an index"),
            (".a[+1]", "[+1]", "is not an index"),
            (".a[1.5]", "[1.5]", "is not an index"),
            (".a[1:2].b", "[1:2]", "is not an index"),
            (".a[99999999999999999999]", "[99999999999999999999]", "is not an index"),
            (".a[0", "[0", "has no ]"),
            (".a[\"b\"", "[\"b\"", "has no ] after the name"),
            (".a[\"b]", "\"b]", "is not a string in double quotes"),
            (".\"a", "\"a", "is not a string in double quotes"),
            (r#"."\(a)""#, r#""\(a)""#, "is not a string in double quotes"),
            (".a-b.c", "a-b", NAME),
            (".9", "9", NAME),
            (".a?", "a?", NAME),
            (".a|b", "a|b", NAME),
            (".\u{e9}", "\u{e9}", NAME),
            ("..", ".", NAME),
            (".a..b", ".b", NAME),
            (".a[0]b", "b", STEP),
            (".a[0]\"b\"", "\"b\"", STEP),
            (".a.", ".", STEP),
            ("a", "a", "does not begin with a point"),
        ] {
            assert_eq!(parse(path), Err(Malformed { piece, problem }), "{path}");
        }
        let long = ".a".repeat(MOST_STEPS + 1);
        assert_eq!(parse(&long).unwrap_err().problem, "has more than 16 steps");
    }
}
