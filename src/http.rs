/*!
One HTTP GET under the run's deadline: no redirect is followed, no proxy is used, and a body is read
to at most 1 MiB.
*/

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use ureq::config::Config;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, http::Uri};

use crate::deadline::Deadline;
use crate::resolver;
use crate::url::Url;

/// The longest body that is read, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// Buffers for the small requests and answers of this program; the client's own are 128 KiB each,
/// which costs a short run more than the whole exchange.
const BUFFER_SIZE: usize = 8 * 1024;

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body, if the status is a 2xx.
    pub fn into_success(self) -> Result<Vec<u8>, HttpError> {
        match self.status {
            200..=299 => Ok(self.body),
            status => Err(HttpError::Status(status)),
        }
    }
}

/// Why there is no answer, as the rest of a sentence that begins with what was asked.
#[derive(Debug, PartialEq, Eq)]
pub enum HttpError {
    Refused,
    Timeout(Duration),
    NameNotFound,
    NameTimeout(Duration),
    Status(u16),
    TooLarge,
    Cut,
    Other(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused the connection"),
            Self::Timeout(budget) => {
                write!(f, "gave no answer within {} ms", budget.as_millis())
            }
            Self::NameNotFound => f.write_str("has a host name that does not resolve"),
            Self::NameTimeout(budget) => {
                write!(f, "has a host name that did not resolve within {} ms", budget.as_millis())
            }
            Self::Status(status @ 300..=399) => {
                write!(f, "answered HTTP {status}; redirects are not followed")
            }
            Self::Status(status) => write!(f, "answered HTTP {status}"),
            Self::TooLarge => f.write_str("sent more than 1 MiB"),
            Self::Cut => f.write_str("closed the connection within the answer"),
            Self::Other(reason) => write!(f, "could not be asked: {reason}"),
        }
    }
}

/// Asks `url` and reads the whole answer before the deadline.
pub fn get(url: &Url, deadline: Deadline) -> Result<Answer, HttpError> {
    exchange(url, deadline).map_err(|error| classify(error, deadline))
}

fn exchange(url: &Url, deadline: Deadline) -> Result<Answer, ureq::Error> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .max_idle_connections(0)
        .input_buffer_size(BUFFER_SIZE)
        .output_buffer_size(BUFFER_SIZE)
        .timeout_global(Some(deadline.remaining()))
        .build();
    let names = Names { deadline };
    let agent = Agent::with_parts(config, DefaultConnector::new(), names);
    let response = agent.get(url.uri()).call()?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let one_too_many = BODY_LIMIT as u64 + 1;
    let reader = response.into_body().into_reader();
    reader.take(one_too_many).read_to_end(&mut body)?;
    if body.len() > BODY_LIMIT {
        return Err(ureq::Error::BodyExceedsLimit(BODY_LIMIT as u64));
    }
    Ok(Answer { status, body })
}

fn classify(error: ureq::Error, deadline: Deadline) -> HttpError {
    match error {
        ureq::Error::Timeout(ureq::Timeout::Resolve) => HttpError::NameTimeout(deadline.budget()),
        ureq::Error::Timeout(_) => HttpError::Timeout(deadline.budget()),
        ureq::Error::HostNotFound => HttpError::NameNotFound,
        ureq::Error::BodyExceedsLimit(_) => HttpError::TooLarge,
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => HttpError::Refused,
            io::ErrorKind::TimedOut => HttpError::Timeout(deadline.budget()),
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => HttpError::Cut,
            _ => HttpError::Other(error.to_string()),
        },
        other => HttpError::Other(other.to_string()),
    }
}

/// Host names for the HTTP client; it has no thread and no C library behind it.
#[derive(Debug)]
struct Names {
    deadline: Deadline,
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default_port);
        let mut addresses = self.empty();
        for address in resolver::addresses(uri.host().unwrap_or_default(), self.deadline) {
            if addresses.len() < 16 {
                addresses.push((address, port).into());
            }
        }
        if !addresses.is_empty() {
            Ok(addresses)
        } else if self.deadline.remaining().is_zero() {
            Err(ureq::Error::Timeout(ureq::Timeout::Resolve))
        } else {
            Err(ureq::Error::HostNotFound)
        }
    }
}
