//! `http`: judges any HTTP service by the status of its answer.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::net::headers::Headers;
use crate::net::http;
use crate::net::target::Target;
use crate::net::url::Protocol;
use crate::process::wait::Wait;
use crate::services::service::{Check, Service, is_same, write_fields};
use crate::verdict::Verdict;
use crate::verdict::fault::Fault;

pub const SERVICE: Service = Service {
    name: "http",
    fields: &["URL", "STATUS", "HOST"],
    allows_url_first: false,
    parse: |fields| {
        let (url, expected, host) = (fields.url(Protocol::Http)?, fields.parse()?, fields.parse()?);
        Ok(Arc::new(HttpService { target: Target { url, host }, expected }))
    },
};

#[derive(Debug, PartialEq)]
struct HttpService {
    target: Target,
    expected: Statuses,
}

/// STATUS: the HTTP statuses that are good, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Statuses {
    first: u16,
    last: u16,
}

/// The statuses of an empty field: success and redirects.
const DEFAULT: Statuses = Statuses { first: 200, last: 399 };

/// The text is neither an HTTP status nor a range of statuses.
#[derive(Debug, PartialEq)]
struct NotStatuses;

impl Error for NotStatuses {}

impl fmt::Display for NotStatuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "is no HTTP status: a number such as 200 or a range such as 200-399 is expected",
        )
    }
}

impl FromStr for Statuses {
    type Err = NotStatuses;

    fn from_str(text: &str) -> Result<Self, NotStatuses> {
        if text.is_empty() {
            return Ok(DEFAULT);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let [first, last] = [first, last].map(parse_status);
        match (first, last) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(NotStatuses),
        }
    }
}

/// Parses an HTTP status: three digits, the first of which is not 0; RFC 9110, 15.
fn parse_status(text: &str) -> Option<u16> {
    let is_status = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|status| is_status && *status >= 100)
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}

/// The service answered with another status than expected.
#[derive(Debug)]
struct WrongStatus {
    status: u16,
    expected: Statuses,
}

impl Error for WrongStatus {}

impl fmt::Display for WrongStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered HTTP {}, not {}", self.status, self.expected)
    }
}

impl Check for HttpService {
    fn target(&self) -> &Target {
        &self.target
    }

    fn ask(&self, wait: &Wait) -> Result<Verdict, Fault> {
        let Self { target, expected } = self;
        // The status decides alone, so the body is not read.
        let status = http::get(target, &Headers::default(), wait)?.status;
        if (expected.first..=expected.last).contains(&status) {
            Ok(Verdict::default())
        } else {
            Ok(Verdict::broken(vec![WrongStatus { status, expected: *expected }.into()]))
        }
    }

    fn equals(&self, other: &dyn Check) -> bool {
        is_same(self, other)
    }
}

impl fmt::Display for HttpService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { url, host } = &self.target;
        write_fields(f, &[url.uri(), &self.expected, host])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_a_number_or_a_range() {
        for (text, first, last) in
            [("", 200, 399), ("204", 204, 204), ("200-299", 200, 299), ("100-999", 100, 999)]
        {
            assert_eq!(text.parse(), Ok(Statuses { first, last }), "{text}");
        }
        for text in ["0", "20", "099", "1000", "2000", "-", "200-", "-200", "300-200", "2xx", "+20"]
        {
            assert_eq!(text.parse::<Statuses>(), Err(NotStatuses), "{text}");
        }
    }

    #[test]
    fn statuses_are_shown_as_they_are_written() {
        for text in ["204", "200-299"] {
            assert_eq!(text.parse::<Statuses>().unwrap().to_string(), text);
        }
    }
}
