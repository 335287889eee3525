/*!
The statistics page of a media server: fetched once, and read for the keys that a request needs.

Its format is recognised by its content, never by its URL or media type.
*/

use std::collections::BTreeMap;

use crate::net::error::AskError;
use crate::net::http;
use crate::net::target::Target;
use crate::net::url::Url;
use crate::process::memory;
use crate::process::wait::Wait;
use crate::values::page_error::{PageError, PageProblem};
use crate::values::page_format::PageFormat;
use crate::values::value::{PageKeys, Source, ValueKind};
use crate::values::{json_page, key_value_page};

/// Every format with a mark by which it is recognised. The first that recognises a page reads it.
const FORMATS: &[PageFormat] = &[json_page::FORMAT];

/// The format of every other page.
const DEFAULT_FORMAT: PageFormat = key_value_page::FORMAT;

/// The byte order mark that some servers write before a page.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Any key of the statistics page.
pub const STAT: ValueKind = ValueKind {
    name: "stat:KEY",
    unit: "",
    default_limit: None,
    is_default: false,
    source: Source::StatisticsPage { keys: PageKeys::InName, advice: None },
};

/// A page as the server sent it.
#[derive(Debug)]
pub struct Page {
    /// The URL as messages show it.
    url: String,
    body: Vec<u8>,
}

/// The values that a page reports for some keys.
#[derive(Debug)]
pub struct Statistics(BTreeMap<String, Option<Result<f64, NotANumber>>>);

/// The page reports something that is not a finite number of 0 or more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotANumber;

impl Page {
    /// A page that came from `url`, as messages show it.
    pub fn new(url: String, body: Vec<u8>) -> Self {
        Self { url, body }
    }

    /// Fetches the page at `url`.
    pub fn fetch(url: &Url, wait: &Wait) -> Result<Self, PageError> {
        let shown = url.brief();
        match http::get(&Target::from(url.clone()), wait).and_then(http::Response::read_success) {
            Ok(body) => Ok(Self::new(shown, body)),
            Err(error) => Err(PageError { url: shown, problem: PageProblem::Ask(error) }),
        }
    }

    /// Reads the values of `keys`. Fails if the page reports nothing at all.
    pub fn read<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Result<Statistics, PageError> {
        let mut statistics = Statistics(keys.map(|key| (key.to_owned(), None)).collect());
        match statistics.read(&self.body) {
            Ok(()) => Ok(statistics),
            Err(problem) => Err(PageError { url: self.url.clone(), problem }),
        }
    }
}

impl Statistics {
    fn read(&mut self, page: &[u8]) -> Result<(), PageProblem> {
        let page = page.strip_prefix(BYTE_ORDER_MARK).unwrap_or(page);
        let recognised = FORMATS.iter().find(|format| (format.recognises)(page));
        let format = recognised.unwrap_or(&DEFAULT_FORMAT);
        memory::check_heap(page.len() * format.memory_per_byte)
            .map_err(|error| PageProblem::Ask(AskError::from(error)))?;
        let mut is_empty = true;
        (format.read)(page, &mut |key, value| {
            is_empty = false;
            self.take(key, value);
        })?;
        if is_empty { Err(PageProblem::Empty) } else { Ok(()) }
    }

    /// Keeps a value whose key was asked for.
    ///
    /// If a key is repeated, for instance in several groups, the highest value counts: a page that repeats
    /// itself must not make a server look idle.
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

    /// The sum of those of `keys` that the page reports, or `None` if it reports none of them.
    pub fn sum(&self, keys: &[&str]) -> Result<Option<f64>, NotANumber> {
        let mut sum = None;
        for number in keys.iter().filter_map(|key| self.0.get(*key)?.as_ref()) {
            sum = Some(sum.unwrap_or(0.0) + (*number)?);
        }
        match sum {
            Some(infinite) if !infinite.is_finite() => Err(NotANumber),
            sum => Ok(sum),
        }
    }
}

fn parse_number(text: &str) -> Result<f64, NotANumber> {
    match text.trim().parse() {
        // Adding 0 makes a negative zero a zero.
        Ok(number) if f64::is_finite(number) && number >= 0.0 => Ok(number + 0.0),
        _ => Err(NotANumber),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = include_bytes!("../../tests/fixtures/wcs/stat.txt");
    const JSON: &[u8] = include_bytes!("../../tests/fixtures/wcs/stat.json");

    fn read(page: &[u8], keys: &[&str]) -> Result<Statistics, PageProblem> {
        let page = Page::new("http://127.0.0.1/".to_owned(), page.to_vec());
        page.read(keys.iter().copied()).map_err(|error| error.problem)
    }

    /// What a page reports for one key.
    fn number(page: &[u8], key: &str) -> Result<Option<f64>, NotANumber> {
        read(page, &["other", key]).unwrap().sum(&[key])
    }

    #[test]
    fn both_formats_of_a_wcs_report_the_same() {
        for page in [TEXT, JSON] {
            for (key, value) in
                [("streams_webrtc_in", 1.0), ("streams_rtsp_out", 0.0), ("ports_media_free", 498.0)]
            {
                assert_eq!(number(page, key), Ok(Some(value)), "{key}");
            }
            for key in ["global_bandwidth_in", "streams_stats", ""] {
                assert_eq!(number(page, key), Ok(None), "{key}");
            }
        }
    }

    #[test]
    fn values_are_numbers_or_strings_that_hold_one() {
        let page = br#"{"x": 3, "y": "4.5", "z": 1e2, "flat": " 7 "}"#;
        for (key, value) in [("x", 3.0), ("y", 4.5), ("z", 100.0), ("flat", 7.0)] {
            assert_eq!(number(page, key), Ok(Some(value)), "{key}");
        }
        assert_eq!(number(b"\xef\xbb\xbfa/b = 4\r\nc=5", "a/b"), Ok(Some(4.0)));
        assert_eq!(number(b"\xef\xbb\xbf{\"a\": 4}", "a"), Ok(Some(4.0)));
    }

    #[test]
    fn a_text_that_is_not_a_number_spoils_its_own_key_only() {
        let text: &[u8] = b"ok=1\nbad=test/0\nneg=-1\nnan=NaN\ninf=inf\nhuge=1e999\nnone=\n";
        let json = br#"{"g": {"ok": 1, "bad": "test/0", "neg": -1, "nan": "NaN", "inf": "inf",
                       "huge": 1e999, "none": null, "list": [1], "truth": true}}"#;
        for page in [text, json] {
            assert_eq!(number(page, "ok"), Ok(Some(1.0)));
            for key in ["bad", "neg", "nan", "inf", "huge", "none"] {
                assert!(number(page, key).is_err(), "{key}");
            }
        }
    }

    #[test]
    fn a_negative_zero_is_a_zero() {
        let zero = number(b"a=-0\n", "a").unwrap().unwrap();
        assert!(zero == 0.0 && zero.is_sign_positive(), "{zero}");
    }

    #[test]
    fn the_highest_value_of_a_repeated_key_counts() {
        let json = br#"{"g": {"a": 3, "a": 5, "a": 4, "b": 9, "b": "x", "b": 1}, "h": {"a": 1}}"#;
        for page in [&b"a=3\na=5\na=4\nb=9\nb=x\nb=1\n"[..], json] {
            assert_eq!(number(page, "a"), Ok(Some(5.0)));
            assert!(number(page, "b").is_err());
        }
    }

    #[test]
    fn a_sum_adds_the_keys_that_are_present() {
        let statistics = read(b"a=1\nb=2\nbad=x\nhuge=1e308\n", &["a", "b", "c", "bad", "huge"]);
        let statistics = statistics.unwrap();
        assert_eq!(statistics.sum(&["a", "b"]), Ok(Some(3.0)));
        assert_eq!(statistics.sum(&["a", "c"]), Ok(Some(1.0)));
        assert_eq!(statistics.sum(&["c"]), Ok(None));
        assert_eq!(statistics.sum(&["a", "bad"]), Err(NotANumber));
        let infinite = statistics.sum(&["huge", "huge", "a"]);
        assert_eq!(infinite, Err(NotANumber));
    }

    #[test]
    fn a_page_without_any_value_is_an_error() {
        let html = b"<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<a href=\"/\">";
        for page in [&b""[..], b"hello\n", html, b"{}", b"{\"g\": {}}", b"=1\n", b"\xff\xfe\x00"] {
            assert_eq!(read(page, &["g"]).unwrap_err(), PageProblem::Empty, "{page:?}");
        }
        for page in [&b"{"[..], b"{\"a\": 1", b"{\"a\": 1} x", b"{\"a\": 1,}", b"{\"a\": \"\xff\"}"]
        {
            let error = read(page, &["a"]).unwrap_err();
            assert_eq!(error, PageProblem::NotValid("JSON"), "{page:?}");
        }
    }
}
