/*!
The statistics page of a server: fetched once, and read for the keys that a request needs.

Its format is recognised by its content, never by its URL or media type.
*/

use crate::net::error::AskError;
use crate::net::headers::Headers;
use crate::net::http;
use crate::net::target::Target;
use crate::process::deadline::Deadline;
use crate::process::memory;
use crate::process::wait::Wait;
use crate::values::headers_file;
use crate::values::key::Key;
use crate::values::page_error::{PageError, PageProblem};
use crate::values::page_format::PageFormat;
use crate::values::settings::Settings;
use crate::values::statistics::Statistics;
use crate::values::value::{PageKeys, Source, ValueKind};
use crate::values::{json_page, key_value_page, prometheus_page};

/// Every format with a mark by which it is recognised. The first that recognises a page reads it.
const FORMATS: &[PageFormat] = &[prometheus_page::FORMAT, json_page::FORMAT];

/// The format of every other page.
const DEFAULT_FORMAT: PageFormat = key_value_page::FORMAT;

/// The byte order mark that some servers write before a page.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Any number on the statistics page.
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

impl Page {
    /// A page that came from `url`, as messages show it.
    pub fn new(url: String, body: Vec<u8>) -> Self {
        Self { url, body }
    }

    /// Fetches the page that `settings` name.
    pub fn fetch(settings: &Settings, wait: &Wait) -> Result<Self, PageError> {
        let headers = settings
            .stats_headers
            .as_ref()
            .map_or_else(
                || Ok(Headers::default()),
                |path| headers_file::read(path, wait.deadline()),
            )
            .map_err(PageError::Headers)?;
        let (url, target) = (settings.stats_url.brief(), Target::from(settings.stats_url.clone()));
        match http::get(&target, &headers, wait).and_then(http::Response::read_success) {
            Ok(body) => Ok(Self::new(url, body)),
            Err(error) => Err(PageError::Page { url, problem: PageProblem::Ask(error) }),
        }
    }

    /// Reads what the page reports for `keys`, until the deadline. Fails if it reports nothing at all.
    pub fn read<'k>(
        &self,
        keys: impl Iterator<Item = &'k Key>,
        deadline: Deadline,
    ) -> Result<Statistics<'k>, PageError> {
        let mut statistics = Statistics::of(keys, deadline);
        match read(&self.body, &mut statistics) {
            Ok(()) => Ok(statistics),
            Err(problem) => Err(PageError::Page { url: self.url.clone(), problem }),
        }
    }
}

fn read(page: &[u8], statistics: &mut Statistics) -> Result<(), PageProblem> {
    let page = page.strip_prefix(BYTE_ORDER_MARK).unwrap_or(page);
    let recognised = FORMATS.iter().find(|format| (format.recognises)(page));
    let format = recognised.unwrap_or(&DEFAULT_FORMAT);
    memory::check_heap(page.len() * format.memory_per_byte)
        .map_err(|error| PageProblem::Ask(AskError::from(error)))?;
    (format.read)(page, statistics)?;
    if statistics.has_any { Ok(()) } else { Err(PageProblem::Empty) }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::{Duration, Instant};

    use crate::values::figure::Figure;

    const TEXT: &[u8] = include_bytes!("../../tests/fixtures/wcs/stat.txt");
    const JSON: &[u8] = include_bytes!("../../tests/fixtures/wcs/stat.json");
    const METRICS: &[u8] = include_bytes!("../../tests/fixtures/prometheus/media.txt");

    /// What a page reports for one key.
    fn try_figure(page: &[u8], key: &str) -> Result<Option<Figure>, PageProblem> {
        let deadline = Deadline::new(Instant::now(), Duration::from_secs(60));
        let (other, key) = (Key::name("other"), Key::parse(key).unwrap());
        let mut statistics = Statistics::of([&other, &key].into_iter(), deadline);
        read(page, &mut statistics)?;
        // A value that is not a number is infinite here.
        Ok(statistics.sum(std::slice::from_ref(&key)).unwrap_or(Some(Figure::of(f64::INFINITY))))
    }

    fn figure(page: &[u8], key: &str) -> Option<Figure> {
        try_figure(page, key).unwrap()
    }

    fn number(number: f64) -> Option<Figure> {
        Some(Figure::of(number))
    }

    const NO_NUMBER: Option<Figure> =
        Some(Figure { lowest: f64::INFINITY, highest: f64::INFINITY });

    #[test]
    fn every_format_reports_the_same() {
        for page in [TEXT, JSON, METRICS] {
            for (key, value) in
                [("streams_webrtc_in", 1.0), ("streams_rtsp_out", 0.0), ("ports_media_free", 498.0)]
            {
                assert_eq!(figure(page, key), number(value), "{key}");
            }
            for key in ["global_bandwidth_in", "streams_stats", ""] {
                assert_eq!(figure(page, key), None, "{key}");
            }
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        for page in ["a/b = 4\r\nc=5", "{\"a/b\": 4}", "[{\"a/b\": 4}]", "{\"a/b\"} 4"] {
            let marked = [BYTE_ORDER_MARK, page.as_bytes()].concat();
            assert_eq!(figure(&marked, "a/b"), number(4.0), "{page}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_number_spoils_its_own_key_only() {
        let text: &[u8] = b"ok=1\nbad=test/0\nneg=-1\nnan=NaN\ninf=inf\nhuge=1e999\nnone=\n";
        let json = br#"{"g": {"ok": 1, "bad": "test/0", "neg": -1, "nan": "NaN", "inf": "inf",
                       "huge": 1e999, "none": null, "list": [1], "truth": true}}"#;
        let metrics = b"ok 1\nbad NaN\nneg -1\nnan NaN\ninf +Inf\nhuge 1e999\nnone nan\n";
        for page in [text, json, metrics] {
            assert_eq!(figure(page, "ok"), number(1.0));
            for key in ["bad", "neg", "nan", "inf", "huge", "none"] {
                assert_eq!(figure(page, key), NO_NUMBER, "{key}");
            }
        }
    }

    #[test]
    fn a_negative_zero_is_a_zero() {
        for page in ["a=-0\n", "{\"a\": -0.0}", "a -0\n"] {
            let zero = figure(page.as_bytes(), "a").unwrap();
            assert!(zero.lowest.is_sign_positive() && zero.highest.is_sign_positive(), "{page}");
        }
    }

    #[test]
    fn every_value_of_a_repeated_key_counts() {
        let json = br#"{"g": {"a": 3, "a": 5, "a": 4, "b": 9, "b": "x", "b": 1}, "h": {"a": 1}}"#;
        for page in [&b"a=3\na=5\na=1\nb=9\nb=x\nb=1\n"[..], json] {
            assert_eq!(figure(page, "a"), Some(Figure { lowest: 1.0, highest: 5.0 }));
            assert_eq!(figure(page, "b"), NO_NUMBER);
        }
    }

    #[test]
    fn a_key_has_its_meaning_only_in_its_format() {
        assert_eq!(figure(b".a=1\n", ".a"), number(1.0));
        assert_eq!(figure(b"{\".a\": 1}", ".a"), None);
        assert_eq!(figure(b"{\"a{b=c}\": 1}", "a{b=c}"), number(1.0));
        assert_eq!(figure(b"a{b=\"c\"} 1", "a{b=c}"), number(1.0));
        assert_eq!(figure(b"x=2\na{b}=1\n", "a"), None);
        assert_eq!(figure(b"a 1\n", ".a"), None);
    }

    #[test]
    fn a_page_without_any_value_is_an_error() {
        let html = b"<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<a href=\"/\">";
        for page in [
            &b""[..],
            b"hello\n",
            html,
            b"{}",
            b"{\"g\": {}}",
            b"[]",
            b"[[], {\"a\": []}]",
            b"=1\n",
            b"\xff\xfe\x00",
            b"# a comment\n#another=1\n",
            b"# HELP a What a is.\n# TYPE a gauge\n",
            b"# EOF\n",
        ] {
            assert_eq!(try_figure(page, "g"), Err(PageProblem::Empty), "{page:?}");
        }
    }

    #[test]
    fn a_page_that_breaks_its_format_is_an_error() {
        for (page, format) in [
            (&b"{"[..], "JSON"),
            (b"{\"a\": 1", "JSON"),
            (b"{\"a\": 1} x", "JSON"),
            (b"{\"a\": 1,}", "JSON"),
            (b"{\"a\": \"\xff\"}", "JSON"),
            (b"[1,", "JSON"),
            (b"a 1\nb=2\n", "Prometheus text"),
            (b"# TYPE a gauge\na one\n", "Prometheus text"),
            (b"a{b=\"c} 1\n", "Prometheus text"),
            (b"a 1\n\xff 2\n", "Prometheus text"),
        ] {
            let error = try_figure(page, "a").unwrap_err();
            let is_told =
                matches!(error, PageProblem::NotValid { format: told, .. } if told == format);
            assert!(is_told, "{page:?} {error:?}");
        }
    }
}
