//! A parsed request. The command line and the request line use the same grammar.

use std::fmt;

use crate::net::target::Target;
use crate::request::debug::DebugRequest;
use crate::request::not_understood::{Mistake, NotUnderstood};
use crate::request::service_request::ServiceRequest;
use crate::request::thresholds::Thresholds;
use crate::request::words::split_first_field;
use crate::values::value::Value;

/// What the agent is asked to judge.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Thresholds(Thresholds),
    Service(ServiceRequest),
    Debug(DebugRequest),
}

impl Request {
    /// Parses the text of a request. `None` if it contains no word.
    pub fn parse(text: &str) -> Result<Option<Self>, NotUnderstood> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(None);
        }
        let request = match split_first_field(text) {
            Some((name, reply)) if name.trim_ascii() == "debug" => {
                Self::Debug(DebugRequest::parse(reply)?)
            }
            Some((first, rest)) => Self::Service(ServiceRequest::parse(first, rest)?),
            None => Self::Thresholds(Thresholds::parse(text)?),
        };
        Ok(Some(request))
    }

    /// Parses the text of a request line. It may not name every value that the command line may name.
    pub fn parse_line(text: &str) -> Result<Option<Self>, NotUnderstood> {
        let request = Self::parse(text)?;
        let values = match &request {
            Some(Self::Thresholds(thresholds)) => thresholds.values(),
            _ => Vec::new(),
        };
        match values.into_iter().find(|value| value.is_for_command_line_only()) {
            Some(value) => Err(NotUnderstood::new(value.name(), Mistake::NotInALine)),
            None => Ok(request),
        }
    }

    /// Combines the requests of the command line and of the request line. Thresholds are added to
    /// thresholds. Otherwise the request line replaces the command line's request.
    pub fn combine(command_line: Option<Self>, request_line: Option<Self>) -> Self {
        match (command_line, request_line) {
            (Some(Self::Thresholds(first)), Some(Self::Thresholds(later))) => {
                Self::Thresholds(first.and(later))
            }
            (_, Some(request)) | (Some(request), None) => request,
            (None, None) => Self::Thresholds(Thresholds::default()),
        }
    }

    /// Whether the request needs the answer of the server that `current` asks.
    pub fn needs_answer_to(&self, current: &Self) -> bool {
        match (self, current) {
            (Self::Thresholds(thresholds), Self::Thresholds(_)) => {
                thresholds.values().into_iter().any(Value::is_on_statistics_page)
            }
            (Self::Service(request), Self::Service(current)) => request == current,
            _ => false,
        }
    }

    /// Whom the request asks, if it names a server.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Service(request) => Some(request.target()),
            Self::Thresholds(_) | Self::Debug(_) => None,
        }
    }
}

/// The text of the request. Parsing it gives the same request.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thresholds(thresholds) => thresholds.fmt(f),
            Self::Service(request) => request.fmt(f),
            Self::Debug(request) => request.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_about_a_mistake_shows_a_secret() {
        for text in [
            "x://u:secret@h",
            "cpu x://u:secret@h",
            "stat:x://u:secret@h",
            "stat:x://u:secret@h x",
            "v1|http://u:secret@h",
            "v1|http://h|5|h|x://u:secret@h",
            "x://u:secret@h|http://h",
            "debug|x://u:secret@h",
            "stat:.a[x://u:secret@h] 5",
            "stat:.x://u:secret@h 5",
            "stat:a{x://u:secret@h} 5",
            "stat:a{b=\"x://u:secret@h} 5",
            "stat:a\"x://u:secret@h 5 6",
            "stat:a://u:secret@h{} 5",
            "disk:x://u:secret@h 5",
        ] {
            let error = Request::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_request_is_shown_as_a_text_that_parses_to_the_same_request() {
        for text in [
            "cpu 70 stat:a 0.5",
            "debug|down",
            "debug|up 50% # a|b",
            "v1|http://10.0.0.5:8888/|15|a.example",
            "stat:jobs{name=\"a | b\"} min:5 stat:.\"a b\"[0] 7",
        ] {
            let request = Request::parse(text).unwrap().unwrap();
            assert_eq!(request.to_string(), text);
            assert_eq!(Request::parse(&request.to_string()).unwrap(), Some(request));
        }
        assert_eq!(Request::parse(" \t").unwrap(), None);
    }

    #[test]
    fn only_the_command_line_may_name_a_file_system() {
        let line = "hls 5 disk:/var 90";
        assert!(Request::parse(line).is_ok());
        let error = Request::parse_line(line).unwrap_err().to_string();
        assert_eq!(error, "'disk:/var' can be named on the command line only");
        for line in ["", "hls 5 memory 90", "debug|up"] {
            assert_eq!(Request::parse_line(line).unwrap(), Request::parse(line).unwrap());
        }
    }

    #[test]
    fn a_request_needs_an_answer_only_if_it_asks_the_same_server() {
        for (new, current, is_needed) in [
            ("hls 5 cpu 70", "hls 6", true),
            ("cpu 70", "hls 6", false),
            ("v1|http://a", "v1|http://a/|10", true),
            ("v1|http://a|11", "v1|http://a", false),
            ("v2|http://a", "v1|http://a", false),
            ("hls 5", "v1|http://a", false),
            ("debug|up", "hls 5", false),
        ] {
            let [request, current] =
                [new, current].map(|text| Request::parse(text).unwrap().unwrap());
            assert_eq!(request.needs_answer_to(&current), is_needed, "{new} {current}");
        }
    }

    #[test]
    fn only_a_service_request_names_a_url() {
        for (text, has_url) in [("cpu 70", false), ("debug|up", false), ("v1|http://a", true)] {
            let request = Request::parse(text).unwrap().unwrap();
            assert_eq!(request.target().is_some(), has_url, "{text}");
        }
    }
}
