/*!
The statistics page of a Flashphoner WCS: `key=value` text or JSON, told apart by content.
*/

use std::fmt;

use serde_json::Value;

use crate::http;
use crate::patience::Patience;
use crate::url::Url;

/// What a statistics page reports: keys and their values as they were written.
#[derive(Debug, PartialEq)]
pub struct Statistics {
    values: Vec<(String, String)>,
}

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
#[derive(Debug, PartialEq)]
pub struct NotANumber(pub String);

impl fmt::Display for NotANumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not a number of 0 or more", self.0)
    }
}

impl Statistics {
    /// Asks the page at `url`. Fails with a sentence that names the page and says what was wrong.
    pub fn fetch(url: &Url, patience: &Patience) -> Result<Self, String> {
        let page = http::get(url, patience).and_then(http::Answer::into_success);
        let page = page.map_err(|error| format!("statistics page {url} {error}"))?;
        Self::parse(&page).map_err(|error| format!("statistics page {url} {error}"))
    }

    fn parse(page: &[u8]) -> Result<Self, PageError> {
        let mut values = Vec::new();
        if page.trim_ascii_start().starts_with(b"{") {
            let json: Value = serde_json::from_slice(page).map_err(|_| PageError::Json)?;
            collect_json("", json, &mut values);
        } else {
            let text = String::from_utf8_lossy(page);
            values.extend(text.lines().filter_map(parse_line));
        }
        if values.is_empty() {
            return Err(PageError::Empty);
        }
        Ok(Self { values })
    }

    /// The number that the page reports as `key`, or `None` if it does not report it.
    ///
    /// Where a key is repeated (in several groups, say) the highest counts: a page must not make a
    /// server look idle by repeating itself.
    pub fn number(&self, key: &str) -> Option<Result<f64, NotANumber>> {
        let values = self.values.iter().filter(|(name, _)| name == key);
        values.map(|(_, value)| parse_number(value)).reduce(|a, b| Ok(a?.max(b?)))
    }
}

/// Collects every scalar of every group; the names of the groups differ between versions of WCS.
fn collect_json(key: &str, json: Value, values: &mut Vec<(String, String)>) {
    match json {
        Value::Object(group) => {
            for (key, value) in group {
                collect_json(&key, value, values);
            }
        }
        Value::String(value) => values.push((key.to_owned(), value)),
        other => values.push((key.to_owned(), other.to_string())),
    }
}

/// Reads `key=value`; anything else (a heading, markup) is no value.
fn parse_line(line: &str) -> Option<(String, String)> {
    let (key, value) = line.split_once('=')?;
    let key = key.trim();
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    (!key.is_empty() && key.chars().all(is_key)).then(|| (key.to_owned(), value.trim().to_owned()))
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

    const TEXT: &[u8] = include_bytes!("../tests/fixtures/wcs/stat.txt");
    const JSON: &[u8] = include_bytes!("../tests/fixtures/wcs/stat.json");

    #[test]
    fn both_formats_report_the_same() {
        let text = Statistics::parse(TEXT).unwrap();
        let json = Statistics::parse(JSON).unwrap();
        for (key, value) in
            [("streams_webrtc_in", 1.0), ("streams_rtsp_out", 0.0), ("ports_media_free", 498.0)]
        {
            assert_eq!(text.number(key), Some(Ok(value)), "{key}");
            assert_eq!(json.number(key), Some(Ok(value)), "{key}");
        }
        assert_eq!(text.number("global_bandwidth_in"), None);
        assert_eq!(json.number("global_bandwidth_in"), None);
        assert_eq!(json.number("streams_stats"), None);
    }

    #[test]
    fn values_are_numbers_or_numeric_strings_and_groups_have_any_name() {
        let page = br#" {"a": {"x": 3, "y": "4.5"}, "b": {"c": {"z": 1e2}}, "flat": " 7 "}"#;
        let statistics = Statistics::parse(page).unwrap();
        for (key, value) in [("x", 3.0), ("y", 4.5), ("z", 100.0), ("flat", 7.0)] {
            assert_eq!(statistics.number(key), Some(Ok(value)), "{key}");
        }
    }

    #[test]
    fn a_value_that_is_no_number_spoils_its_own_key_only() {
        let text: &[u8] = b"ok=1\nbad=test/0\nneg=-1\nnan=NaN\ninf=inf\nhuge=1e999\nnone=\n";
        let json = br#"{"g": {"ok": 1, "bad": "test/0", "neg": -1, "nan": "NaN", "inf": "inf",
                       "huge": 1e999, "none": null, "list": [1], "truth": true}}"#;
        for page in [text, json] {
            let statistics = Statistics::parse(page).unwrap();
            assert_eq!(statistics.number("ok"), Some(Ok(1.0)));
            for key in ["bad", "neg", "nan", "inf", "huge", "none"] {
                assert!(matches!(statistics.number(key), Some(Err(_))), "{key}");
            }
        }
    }

    #[test]
    fn of_a_repeated_key_the_highest_counts() {
        let statistics = Statistics::parse(b"a=3\na=5\na=4\nb=9\nb=x\n").unwrap();
        assert_eq!(statistics.number("a"), Some(Ok(5.0)));
        assert!(matches!(statistics.number("b"), Some(Err(_))));
    }

    #[test]
    fn a_page_without_statistics_is_an_error() {
        let html = b"<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<a href=\"/\">";
        for page in [&b""[..], b"hello\n", html, b"{}", b"=1\n", b"\xff\xfe\x00"] {
            assert_eq!(Statistics::parse(page), Err(PageError::Empty), "{page:?}");
        }
        let nested = "{\"a\":".repeat(100_000);
        for page in [&b"{"[..], b"{\"a\": 1", b"{\"a\": 1} x", nested.as_bytes()] {
            assert_eq!(Statistics::parse(page), Err(PageError::Json));
        }
    }
}
