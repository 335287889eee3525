/*!
The statistics page of a Flashphoner WCS: `key=value` text or JSON, told apart by content.
*/

use std::collections::BTreeMap;
use std::fmt;

use crate::net::http;
use crate::net::url::Url;
use crate::process::wait::Wait;
use crate::text::json::Json;

/// How deep groups may stand in groups; WCS's stand in one. What is deeper is not looked at.
const DEEPEST: usize = 8;

/// How many bytes of memory a byte of a page takes at most while the page is read: one that is no UTF-8
/// becomes a character of three, in a text that is held twice while it grows.
const MEMORY_PER_BYTE: usize = 10;

/// A statistics page as it was sent.
#[derive(Debug)]
pub struct Page {
    /// The URL in the form for messages.
    name: String,
    body: Vec<u8>,
}

/// Those values of a page that were asked for, `None` where the page does not report one.
#[derive(Debug, PartialEq)]
pub struct Statistics(BTreeMap<String, Option<Result<f64, NotANumber>>>);

/// Why a page gives no statistics.
#[derive(Debug, PartialEq)]
enum PageError {
    Json,
    Empty,
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "holds no valid JSON",
            Self::Empty => "holds no statistics",
        })
    }
}

/// A value that is no finite number of 0 or more, as the page has it.
#[derive(Clone, Debug, PartialEq)]
pub struct NotANumber(pub String);

impl fmt::Display for NotANumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not a number of 0 or more", self.0)
    }
}

impl Page {
    /// What came from a page that messages call `name`.
    pub fn new(name: String, body: Vec<u8>) -> Self {
        Self { name, body }
    }

    /// Asks the page at `url`. Fails with a sentence that names the page and says what was wrong.
    pub fn fetch(url: &Url, wait: &Wait) -> Result<Self, String> {
        let name = format!("statistics page {}", url.brief());
        let answer = http::get(url, None, wait);
        match answer.and_then(|answer| answer.read_success(MEMORY_PER_BYTE)) {
            Ok(body) => Ok(Self::new(name, body)),
            Err(error) => Err(format!("{name}: {error}")),
        }
    }

    /// The values of `keys`. Fails with a sentence if the page holds no statistics at all.
    pub fn read(&self, keys: &[&str]) -> Result<Statistics, String> {
        Statistics::parse(&self.body, keys).map_err(|error| format!("{}: {error}", self.name))
    }
}

impl Statistics {
    fn parse(page: &[u8], keys: &[&str]) -> Result<Self, PageError> {
        let page = page.strip_prefix(b"\xef\xbb\xbf").unwrap_or(page);
        let mut statistics = Self(keys.iter().map(|key| ((*key).to_owned(), None)).collect());
        let mut is_empty = true;
        let mut take = |key: &str, value: &str| {
            is_empty = false;
            statistics.take(key, value);
        };
        if page.trim_ascii_start().starts_with(b"{") {
            let json = Json::parse(page).ok_or(PageError::Json)?;
            read_group(json, DEEPEST, &mut take).map_err(|_| PageError::Json)?;
        } else {
            let text = String::from_utf8_lossy(page);
            for (key, value) in text.lines().filter_map(parse_line) {
                take(key, value);
            }
        }
        if is_empty { Err(PageError::Empty) } else { Ok(statistics) }
    }

    /// Takes a value in, if it is asked for.
    ///
    /// Where a key is repeated (in several groups, say) the highest counts: a page must not make a
    /// server look idle by repeating itself.
    fn take(&mut self, key: &str, value: &str) {
        let Some(known) = self.0.get_mut(key) else {
            return;
        };
        let number = parse_number(value);
        *known = Some(match (known.take(), number) {
            (Some(Ok(known)), Ok(number)) => Ok(known.max(number)),
            (Some(Err(error)), _) => Err(error),
            (_, number) => number,
        });
    }

    /// The number that the page reports as `key`, or `None` if it does not report it.
    pub fn number(&self, key: &str) -> Option<Result<f64, NotANumber>> {
        self.0.get(key).cloned().flatten()
    }
}

/// Hands every scalar of a JSON object and of its groups to `take`, as the text it stands for; the
/// names of the groups differ between versions of WCS. Fails at a name that is no text.
fn read_group(
    group: Json,
    deepest: usize,
    take: &mut dyn FnMut(&str, &str),
) -> Result<(), serde_json::Error> {
    let mut groups = Ok(());
    group.for_each_member(|name, value| {
        let written = value.written();
        if !written.starts_with('{') {
            take(name, value.text().as_deref().unwrap_or(written));
        } else if let Some(deepest) = deepest.checked_sub(1)
            && groups.is_ok()
        {
            groups = read_group(value, deepest, take);
        }
    })?;
    groups
}

/// Reads `key=value`; anything else (a heading, markup) is no value.
fn parse_line(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let key = key.trim();
    let is_markup = key.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"'));
    (!key.is_empty() && !is_markup).then(|| (key, value.trim()))
}

fn parse_number(text: &str) -> Result<f64, NotANumber> {
    match text.trim().parse() {
        // Adding 0 makes a negative zero a zero.
        Ok(number) if f64::is_finite(number) && number >= 0.0 => Ok(number + 0.0),
        _ => Err(NotANumber(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = include_bytes!("../../tests/fixtures/wcs/stat.txt");
    const JSON: &[u8] = include_bytes!("../../tests/fixtures/wcs/stat.json");

    /// What a page reports as one key.
    fn number(page: &[u8], key: &str) -> Option<Result<f64, NotANumber>> {
        Statistics::parse(page, &["other", key]).unwrap().number(key)
    }

    #[test]
    fn both_formats_report_the_same() {
        for page in [TEXT, JSON] {
            for (key, value) in
                [("streams_webrtc_in", 1.0), ("streams_rtsp_out", 0.0), ("ports_media_free", 498.0)]
            {
                assert_eq!(number(page, key), Some(Ok(value)), "{key}");
            }
            for key in ["global_bandwidth_in", "streams_stats", ""] {
                assert_eq!(number(page, key), None, "{key}");
            }
        }
    }

    #[test]
    fn values_are_numbers_or_numeric_strings_and_groups_have_any_name() {
        let page = br#" {"a": {"x": 3, "y": "4.5"}, "b": {"c": {"z": 1e2}}, "flat": " 7 ",
                         "\u0066": "\u0038"}"#;
        for (key, value) in [("x", 3.0), ("y", 4.5), ("z", 100.0), ("flat", 7.0), ("f", 8.0)] {
            assert_eq!(number(page, key), Some(Ok(value)), "{key}");
        }
        assert_eq!(number(b"\xef\xbb\xbfa/b = 4\r\nc=5", "a/b"), Some(Ok(4.0)));
        assert_eq!(number(b"\xef\xbb\xbf{\"a\": 4}", "a"), Some(Ok(4.0)));
    }

    #[test]
    fn a_value_that_is_no_number_spoils_its_own_key_only() {
        let text: &[u8] = b"ok=1\nbad=test/0\nneg=-1\nnan=NaN\ninf=inf\nhuge=1e999\nnone=\n";
        let json = br#"{"g": {"ok": 1, "bad": "test/0", "neg": -1, "nan": "NaN", "inf": "inf",
                       "huge": 1e999, "none": null, "list": [1], "truth": true}}"#;
        for page in [text, json] {
            assert_eq!(number(page, "ok"), Some(Ok(1.0)));
            for key in ["bad", "neg", "nan", "inf", "huge", "none"] {
                assert!(matches!(number(page, key), Some(Err(_))), "{key}");
            }
        }
    }

    #[test]
    fn a_negative_zero_is_a_zero() {
        let zero = number(b"a=-0\n", "a").unwrap().unwrap();
        assert!(zero == 0.0 && zero.is_sign_positive(), "{zero}");
    }

    #[test]
    fn of_a_repeated_key_the_highest_counts() {
        let json = br#"{"g": {"a": 3, "a": 5, "a": 4, "b": 9, "b": "x", "b": 1}, "h": {"a": 1}}"#;
        for page in [&b"a=3\na=5\na=4\nb=9\nb=x\nb=1\n"[..], json] {
            assert_eq!(number(page, "a"), Some(Ok(5.0)));
            assert!(matches!(number(page, "b"), Some(Err(_))));
        }
    }

    #[test]
    fn a_page_without_statistics_is_an_error() {
        let html = b"<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<a href=\"/\">";
        for page in [&b""[..], b"hello\n", html, b"{}", b"{\"g\": {}}", b"=1\n", b"\xff\xfe\x00"] {
            assert_eq!(Statistics::parse(page, &["g"]), Err(PageError::Empty), "{page:?}");
        }
        for page in [&b"{"[..], b"{\"a\": 1", b"{\"a\": 1} x", b"{\"a\": 1,}", b"{\"a\": \"\xff\"}"]
        {
            assert_eq!(Statistics::parse(page, &["a"]), Err(PageError::Json), "{page:?}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_not_looked_at() {
        let nested =
            |depth| format!("{}{{\"x\": 1}}{}", "{\"g\":".repeat(depth), "}".repeat(depth));
        assert_eq!(number(nested(DEEPEST).as_bytes(), "x"), Some(Ok(1.0)));
        let page = nested(100_000);
        assert_eq!(Statistics::parse(page.as_bytes(), &["x"]), Err(PageError::Empty));
        let page = "[".repeat(100_000);
        let page = format!("{{\"x\": 1, \"y\": {page}");
        assert_eq!(Statistics::parse(page.as_bytes(), &["x"]), Err(PageError::Json));
    }
}
