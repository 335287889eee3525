//! Which request a run serves, and why it may serve no request at all.

use std::error::Error;
use std::fmt;

use rustix::io::Errno;

use crate::process::request_line::Line;
use crate::reply::outcome::Outcome;
use crate::request::agent_send::AgentSend;
use crate::request::allowed_urls::AllowedUrls;
use crate::request::not_understood::NotUnderstood;
use crate::request::parsed::Request;

/// The request of the command line, and how a request line may change it.
#[derive(Clone)]
pub struct RequestRules {
    /// The request of the command line, if it has one.
    pub command_line: Option<Request>,
    pub agent_send: AgentSend,
    /// What request lines may name.
    pub allowed_urls: AllowedUrls,
}

impl RequestRules {
    /// Returns the request to serve. `line` is the request line, if one has come.
    pub fn request(&self, line: Option<Line>) -> Result<Request, Refusal> {
        let line = match line {
            None => None,
            Some(Line::Whole(line)) => {
                understood(&String::from_utf8_lossy(&line), Request::parse_line)?
            }
            Some(Line::TooLong) => return Err(Refusal::LongLine),
            Some(Line::Unfinished) => return Err(Refusal::UnfinishedLine),
            Some(Line::Unreadable(error)) => return Err(Refusal::UnreadableLine(error)),
        };
        match &line {
            None if self.agent_send == AgentSend::Required => Err(Refusal::NoLine),
            Some(request) if !self.allows(request) => {
                Err(Refusal::UrlNotAllowed(request.to_string()))
            }
            _ => Ok(Request::combine(self.command_line.clone(), line)),
        }
    }

    /// Returns whether a request line may ask for this request.
    fn allows(&self, request: &Request) -> bool {
        request.target().is_none_or(|target| self.allowed_urls.allows(target))
    }

    /// Returns a test for request lines: does a line make the answer to `current` unnecessary?
    pub fn makes_obsolete(&self, current: &Request) -> impl Fn(&Line) -> bool + use<> {
        let (rules, current) = (self.clone(), current.clone());
        move |line| match rules.request(Some(line.clone())) {
            Ok(request) => !request.needs_answer_to(&current),
            Err(_) => true,
        }
    }
}

/// Parses the text of the command line's request, if there is one.
pub fn parse(text: &str) -> Result<Option<Request>, Refusal> {
    understood(text, Request::parse)
}

fn understood(
    text: &str,
    parse: fn(&str) -> Result<Option<Request>, NotUnderstood>,
) -> Result<Option<Request>, Refusal> {
    parse(text).map_err(|error| Refusal::NotUnderstood { text: text.trim().to_owned(), error })
}

/// Why no request is served.
#[derive(Debug)]
pub enum Refusal {
    NotUnderstood {
        text: String,
        error: NotUnderstood,
    },
    LongLine,
    UnfinishedLine,
    UnreadableLine(Errno),
    /// A line is required, and none came.
    NoLine,
    /// The line asks for this request, which names another URL or HOST than the options allow.
    UrlNotAllowed(String),
}

impl Refusal {
    /// Returns the text of the request that is refused. Empty if it is unknown.
    pub fn request(&self) -> &str {
        match self {
            Self::NotUnderstood { text: request, .. } | Self::UrlNotAllowed(request) => request,
            _ => "",
        }
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotUnderstood { .. } | Refusal::LongLine | Refusal::UnfinishedLine => {
                Self::NotUnderstood(refusal.into())
            }
            Refusal::UnreadableLine(_) | Refusal::NoLine | Refusal::UrlNotAllowed(_) => {
                Self::NotMeasured(refusal.into())
            }
        }
    }
}

impl Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUnderstood { error, .. } => error.fmt(f),
            Self::LongLine => f.write_str("the request line is longer than 1024 bytes"),
            Self::UnfinishedLine => f.write_str("the request line did not end in time"),
            Self::UnreadableLine(error) => write!(f, "the request line cannot be read: {error}"),
            Self::NoLine => f.write_str("no request line came"),
            Self::UrlNotAllowed(_) => f.write_str("url not allowed"),
        }
    }
}
