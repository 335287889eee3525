/*!
Requests: the same text from the command line and from HAProxy's `agent-send`, parsed once.
*/

pub mod debug;
pub mod thresholds;

use std::fmt;

use crate::net::secrets::without_secrets;
use crate::net::url::Url;
use crate::request::debug::Debug;
use crate::request::thresholds::Thresholds;
use crate::services::ServiceRequest;
use crate::values::{Evidence, Measured, Source};
use crate::verdict::Outcome;

/// What the agent is asked to judge.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Thresholds(Thresholds),
    Api(ServiceRequest),
    Debug(Debug),
}

/// A word that cannot be understood, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub struct NotUnderstood {
    word: String,
    problem: String,
}

impl NotUnderstood {
    /// `problem` is the rest of the sentence that begins with the word. It may name other words, of
    /// which, as of this one, nothing is kept that may be secret.
    pub fn new(word: &str, problem: impl AsRef<str>) -> Self {
        Self { word: without_secrets(word), problem: without_secrets(problem.as_ref()) }
    }
}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' {}", self.word, self.problem)
    }
}

impl Request {
    /// Parses the text of a request; `None` if it holds no word.
    pub fn parse(text: &str) -> Result<Option<Self>, NotUnderstood> {
        let text = text.trim_ascii();
        match text.split_once('|') {
            Some((name, reply)) if name.trim_ascii() == "debug" => {
                return Debug::parse(reply).map(|debug| Some(Self::Debug(debug)));
            }
            Some(_) => return ServiceRequest::parse(text).map(|request| Some(Self::Api(request))),
            None => {}
        }
        let mut words = text.split_ascii_whitespace().peekable();
        if words.peek().is_none() {
            return Ok(None);
        }
        Thresholds::parse(words).map(|thresholds| Some(Self::Thresholds(thresholds)))
    }

    /// The URLs that the request names, which not everybody may have opened.
    pub fn urls(&self) -> Vec<&Url> {
        match self {
            Self::Thresholds(_) | Self::Debug(_) => Vec::new(),
            Self::Api(request) => vec![request.url()],
        }
    }

    /// What is asked of the agent by a command line and a request line, either of which may be
    /// absent: thresholds of both are added, else the line counts.
    pub fn of(command_line: Option<Self>, line: Option<Self>) -> Self {
        match (command_line, line) {
            (Some(Self::Thresholds(first)), Some(Self::Thresholds(later))) => {
                Self::Thresholds(first.and(later))
            }
            (_, Some(request)) | (Some(request), None) => request,
            (None, None) => Self::Thresholds(Thresholds::default()),
        }
    }

    /// What has to be asked before the request can be judged, if anything; `stats_url` is where the
    /// statistics page is.
    pub fn source(&self, stats_url: &Url) -> Option<Source> {
        match self {
            Self::Thresholds(thresholds) => {
                thresholds.need_statistics().then(|| Source::StatisticsPage(stats_url.clone()))
            }
            Self::Api(request) => Some(Source::Api(request.clone())),
            Self::Debug(_) => None,
        }
    }

    /// Whether the machine's load has to be measured before the request can be judged.
    pub fn needs_load(&self) -> bool {
        match self {
            Self::Thresholds(thresholds) => thresholds.need_load(),
            Self::Api(_) | Self::Debug(_) => false,
        }
    }

    /// Compares what was measured with what was asked.
    pub fn judge(&self, measured: &Measured) -> Outcome {
        match self {
            Self::Thresholds(thresholds) => Outcome::Thresholds(thresholds.judge(measured)),
            Self::Api(_) => match measured.evidence.as_ref().map(|evidence| &evidence.result) {
                Some(Evidence::Api(Ok(verdict))) => Outcome::Api(verdict.clone()),
                Some(Evidence::Api(Err(why))) => Outcome::Unmeasured(why.clone()),
                _ => Outcome::Unmeasured("the service was not asked".to_owned()),
            },
            Self::Debug(debug) => Outcome::Debug(debug.clone()),
        }
    }
}

/// The words of the request, from which it could be parsed again.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thresholds(thresholds) => thresholds.fmt(f),
            Self::Api(request) => request.fmt(f),
            Self::Debug(debug) => debug.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_a_mistake_shows_a_secret() {
        for text in [
            "x://u:secret@h",
            "cpu x://u:secret@h",
            "stat:x://u:secret@h",
            "stat:x://u:secret@h x",
            "v1|http://u:secret@h",
            "v1|http://h|5|h|x://u:secret@h",
            "x://u:secret@h|http://h",
            "debug|x://u:secret@h",
        ] {
            let error = Request::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn each_request_needs_its_own_source() {
        let url = Url::statistics_page();
        let page = || Some(Source::StatisticsPage(url.clone()));
        let api = || ServiceRequest::parse("v1|http://a").ok().map(Source::Api);
        for (text, needs_load, source) in [
            ("cpu 70", true, None),
            ("hls 5", false, page()),
            ("cpu hls", true, page()),
            ("debug|up", false, None),
            ("v1|http://a", false, api()),
        ] {
            let request = Request::parse(text).unwrap().unwrap();
            assert_eq!(request.needs_load(), needs_load, "{text}");
            assert_eq!(request.source(&url), source, "{text}");
            assert_eq!(request.urls().len(), usize::from(source == api()), "{text}");
        }
    }

    #[test]
    fn what_is_shown_of_a_request_can_be_parsed_again() {
        let all = "cpu 70% publishers 1 subscribers 2.50 hls band-in 0 band-out 3 stat:a-b.c 0.125";
        let request = Request::parse(all).unwrap().unwrap();
        let shown =
            "cpu 70 publishers 1 subscribers 2.5 hls 100 band-in 0 band-out 3 stat:a-b.c 0.125";
        assert_eq!(request.to_string(), shown);
        assert_eq!(Request::parse(shown), Ok(Some(request)));
        for text in ["debug|down", "debug|up 50% # a|b", "v1|http://10.0.0.5:8888/|15|a.example"] {
            let request = Request::parse(text).unwrap().unwrap();
            assert_eq!(request.to_string(), text);
        }
    }
}
