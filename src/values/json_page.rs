/*!
Statistics pages in JSON: an object or a list.

A key that is a name means every member with this name, at any depth of objects and lists. Their groups do not
count, because their names differ between versions of WCS. A member that is itself an object or a list is a
group and not a value. A key that is a path means one value.
*/

use crate::text::json::{Json, MEMORY_PER_BYTE, NotJson, Token};
use crate::values::figure::{self, Figure, NotANumber};
use crate::values::json_paths::Paths;
use crate::values::page_error::PageProblem;
use crate::values::page_format::PageFormat;
use crate::values::statistics::{Entry, Statistics};

pub const FORMAT: PageFormat = PageFormat {
    recognises,
    read: |page, statistics| {
        let document = Json::checked(page).map_err(|NotJson { line, column }| {
            PageProblem::NotValid { format: "JSON", line, column: Some(column) }
        })?;
        read(document, statistics)
    },
    memory_per_byte: MEMORY_PER_BYTE,
};

/// Whether a page is an object or a list. A list is told from a heading in brackets, as in `[streams]`, by its
/// first element.
fn recognises(page: &[u8]) -> bool {
    let page = page.trim_ascii_start();
    let is_element = |byte: &u8| b"{[]\"-0123456789".contains(byte);
    let is_list = |rest: &[u8]| {
        let rest = rest.trim_ascii_start();
        let is_word = |word: &str| {
            let after = rest.strip_prefix(word.as_bytes()).map(<[u8]>::trim_ascii_start);
            after.is_some_and(|after| after.starts_with(b",") || after.starts_with(b"]"))
        };
        rest.first().is_none_or(is_element) || ["true", "false", "null"].into_iter().any(is_word)
    };
    page.starts_with(b"{") || page.strip_prefix(b"[").is_some_and(is_list)
}

/// Reads every value in one pass, at any depth.
fn read(document: Json, statistics: &mut Statistics) -> Result<(), PageProblem> {
    let Statistics { entries, time, has_any } = statistics;
    let keys = entries.len();
    let is_path = |entry: &&mut Entry| entry.key.path().is_some();
    let (paths, mut names): (Vec<_>, Vec<_>) = entries.iter_mut().partition(is_path);
    let mut paths = Paths::of(paths.into_iter());
    // The name of the member whose value comes next.
    let mut name: Option<Json> = None;
    let mut tokens = document.tokens();
    while let Some(token) = tokens.next() {
        time.spend(1 + keys)?;
        match token {
            Token::Name(next) => name = Some(next),
            Token::Object => paths.begin(name.take(), false, tokens.clone(), time)?,
            Token::List => paths.begin(name.take(), true, tokens.clone(), time)?,
            Token::End => paths.end(),
            Token::Value(value) => {
                *has_any = true;
                let name = name.take();
                let is_meant = |entry: &&mut &mut Entry| {
                    name.is_some_and(|name| name.is_text(entry.key.text()))
                };
                for entry in names.iter_mut().filter(is_meant) {
                    entry.note(number(value));
                }
                paths.take(name, || number(value));
            }
        }
    }
    Ok(())
}

/// The number that a value stands for: true is 1, false is 0, and a string may hold a number.
fn number(value: Json) -> Result<Figure, NotANumber> {
    match value.written() {
        "true" => Ok(Figure::of(1.0)),
        "false" => Ok(Figure::ZERO),
        written => figure::parse(value.text().as_deref().unwrap_or(written)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::{Duration, Instant};

    use crate::process::deadline::Deadline;
    use crate::values::key::Key;

    fn far_deadline() -> Deadline {
        Deadline::new(Instant::now(), Duration::from_secs(60))
    }

    /// What a page reports for each of these keys.
    fn figures(page: &str, keys: &[&str]) -> Vec<Option<Result<Figure, NotANumber>>> {
        let keys: Vec<Key> = keys.iter().map(|key| Key::parse(key).unwrap()).collect();
        let mut statistics = Statistics::of(keys.iter(), far_deadline());
        (FORMAT.read)(page.as_bytes(), &mut statistics).unwrap();
        statistics.entries.iter().map(|entry| entry.figure).collect()
    }

    fn figure(page: &str, key: &str) -> Option<Result<Figure, NotANumber>> {
        figures(page, &[key]).remove(0)
    }

    const NO_NUMBER: Option<Result<Figure, NotANumber>> = Some(Err(NotANumber));

    fn number(number: f64) -> Option<Result<Figure, NotANumber>> {
        Some(Ok(Figure::of(number)))
    }

    #[test]
    fn members_of_any_group_are_values() {
        let page = r#" {"a": {"x": 3, "y": "4.5"}, "b": {"c": {"z": 1e2}}, "flat": " 7 ",
                        "\u0066": "\u0038", "list": [1, {"in": 9, "yes": true}, [{"no": false}]]}"#;
        for (key, value) in [
            ("x", 3.0),
            ("y", 4.5),
            ("z", 100.0),
            ("flat", 7.0),
            ("f", 8.0),
            ("in", 9.0),
            ("yes", 1.0),
            ("no", 0.0),
        ] {
            assert_eq!(figure(page, key), number(value), "{key}");
        }
        for key in ["a", "b", "c", "list", "3", "other", ""] {
            assert_eq!(figure(page, key), None, "{key}");
        }
        let deep = format!("{}{{\"x\": 1}}{}", "{\"g\":[".repeat(100_000), "]}".repeat(100_000));
        assert_eq!(figure(&deep, "x"), number(1.0));
    }

    #[test]
    fn a_repeated_name_has_its_lowest_and_its_highest_value() {
        let page = r#"{"n": 3, "g": {"n": 5, "n": 4, "n": {"n": 2}}, "m": [{"m": 1}, {"m": "x"}]}"#;
        assert_eq!(figure(page, "n"), Some(Ok(Figure { lowest: 2.0, highest: 5.0 })));
        assert_eq!(figure(page, "m"), NO_NUMBER);
    }

    #[test]
    fn a_path_leads_to_one_value_as_in_jq() {
        let page = r#"{"a": {"b": [10, {"c": 11}, [12, 13]], "b c": 14, "é\n": "15"},
                       "twice": {"x": 1, "y": 1}, "twice": {"x": 2}, "b": 16, "ok": true,
                       "none": null, "text": "idle", "0": 17}"#;
        for (path, expected) in [
            (".a.b[0]", number(10.0)),
            (".a.b[1].c", number(11.0)),
            (".a[\"b\"][2][1]", number(13.0)),
            (".a.b[-1][-2]", number(12.0)),
            (".a.b[-3]", number(10.0)),
            (".a.\"b c\"", number(14.0)),
            (".a[\"\u{e9}\\n\"]", number(15.0)),
            (".b", number(16.0)),
            (".[\"0\"]", number(17.0)),
            (".ok", number(1.0)),
            (".twice.x", number(2.0)),
            (".twice.y", None),
            (".none", NO_NUMBER),
            (".text", NO_NUMBER),
            (".a", NO_NUMBER),
            (".a.b", NO_NUMBER),
            (".a.b[1]", NO_NUMBER),
            (".a.b[3]", None),
            (".a.b[-4]", None),
            (".a.b[0].c", None),
            (".a.b.c", None),
            (".a[0]", None),
            (".[0]", None),
            (".c", None),
        ] {
            assert_eq!(figure(page, path), expected, "{path}");
        }
        let list = " [ 1 , [ 2 , 3 ] , { \"a\" : [ 4 ] } ] ";
        let paths = [".[0]", ".[1][1]", ".[-1].a[-1]", "a", ".[1]", ".[-2][0]", ".[2].a[0]"];
        let expected = [number(1.0), number(3.0), number(4.0), None, NO_NUMBER, number(2.0)];
        assert_eq!(figures(list, &paths)[..6], expected);
        assert_eq!(figures(list, &paths)[6], number(4.0));
    }

    #[test]
    fn paths_are_followed_in_a_document_that_is_nested_deeper() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let page = format!("{{\"a\": [{deep}, {deep}, 5], \"b\": 6}}");
        let deepest = format!(".a{}", "[0]".repeat(15));
        let found = figures(&page, &[".a[-1]", ".b", ".a[2]", ".a[0][0]", &deepest, ".a[1][1]"]);
        assert_eq!(found, [number(5.0), number(6.0), number(5.0), NO_NUMBER, NO_NUMBER, None]);
    }

    #[test]
    fn objects_and_lists_are_json_and_headings_are_not() {
        for page in [
            "{}",
            " \n{",
            "[",
            "[]",
            "[1,2]",
            "[ -5]",
            "[\"a\"]",
            "[[1]]",
            "[{",
            "[true]",
            "[null ,1]",
        ] {
            assert!((FORMAT.recognises)(page.as_bytes()), "{page}");
        }
        for page in
            ["", "a=1", "[streams]\na=1", "[true streams]", "<html>", "5", "# {", "[nullable]"]
        {
            assert!(!(FORMAT.recognises)(page.as_bytes()), "{page}");
        }
    }

    #[test]
    fn the_place_of_a_mistake_is_told() {
        let keys = [Key::name("a")];
        for (page, line, column) in [("{\n\"a\": 1,}", 2, 8), ("[1", 1, 2), ("{\"a\": 1} x", 1, 10)]
        {
            let read =
                (FORMAT.read)(page.as_bytes(), &mut Statistics::of(keys.iter(), far_deadline()));
            let column = Some(column);
            assert_eq!(read, Err(PageProblem::NotValid { format: "JSON", line, column }), "{page}");
        }
    }
}
