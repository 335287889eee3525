//! `TYPE|URL[|...]`: a request to judge a service by its API.

use std::error::Error;
use std::fmt;
use std::mem;
use std::sync::Arc;

use crate::net::target::Target;
use crate::process::timed::Timed;
use crate::process::wait::Wait;
use crate::request::not_understood::{Mistake, NotUnderstood};
use crate::services;
use crate::services::service::{Check, Fields, Service};
use crate::verdict::Verdict;
use crate::verdict::fault::Fault;

/// The name of a service, and the fields of the request.
#[derive(Clone, Debug)]
pub struct ServiceRequest {
    service: &'static Service,
    check: Arc<dyn Check>,
}

impl ServiceRequest {
    /// Parses the fields of a request: the first one, and those after it. The URL may come first for services
    /// that allow it.
    pub fn parse(first: &str, rest: &str) -> Result<Self, NotUnderstood> {
        let mut name = first.trim_ascii();
        let mut fields: Vec<&str> = rest.split('|').map(str::trim_ascii).collect();
        let is_url_first =
            |name| services::find(name).is_some_and(|service| service.allows_url_first);
        if let Some(second) = fields.first_mut()
            && is_url_first(second)
        {
            mem::swap(&mut name, second);
        }
        let unknown = || NotUnderstood::new(name, Mistake::UnknownService);
        let service = services::find(name).ok_or_else(unknown)?;
        let mut read = Fields::new(&fields);
        let check = (service.parse)(&mut read);
        // A wrong URL is reported first, then superfluous fields, then other wrong fields.
        let is_url_wrong = check.is_err() && read.read_count() == 1;
        if fields.len() > service.fields.len() && !is_url_wrong {
            let text = format!("{first}|{rest}");
            return Err(NotUnderstood::new(&text, Mistake::TooManyFields(service)));
        }
        Ok(Self { service, check: check? })
    }

    /// Whom the request asks.
    pub fn target(&self) -> &Target {
        self.check.target()
    }

    /// Asks the service and judges its answer. Fails if the service cannot be judged.
    pub fn ask(&self, wait: &Wait) -> Result<Verdict, Fault> {
        let Timed { result, took } = Timed::of(|| self.check.ask(wait));
        match result {
            Ok(mut verdict) => {
                for reading in &mut verdict.readings {
                    reading.took = took;
                }
                Ok(verdict)
            }
            Err(fault) => Err(ServiceError { url: self.target().url.brief(), fault }.into()),
        }
    }
}

/// Two requests are equal if they ask the same service by the same check.
impl PartialEq for ServiceRequest {
    fn eq(&self, other: &Self) -> bool {
        self.service.name == other.service.name && self.check.equals(&*other.check)
    }
}

/// The text of the request. Parsing it gives the same request.
impl fmt::Display for ServiceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.service.name, self.check)
    }
}

/// Why the service at a URL cannot be judged.
#[derive(Debug)]
struct ServiceError {
    /// The URL as messages show it.
    url: String,
    fault: Fault,
}

impl Error for ServiceError {}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.url.trim_end_matches('/'), self.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_parse(text: &str) -> Result<ServiceRequest, NotUnderstood> {
        let (first, rest) = text.split_once('|').unwrap();
        ServiceRequest::parse(first, rest)
    }

    fn parse(text: &str) -> ServiceRequest {
        try_parse(text).unwrap()
    }

    #[test]
    fn the_url_may_come_before_the_name_of_some_services() {
        for name in ["v1", "v2", "atomic", "contract"] {
            let request = parse(&format!("{name}|http://10.0.0.5:8888|15|api.example.com"));
            let url_first = format!("http://10.0.0.5:8888|{name}|15|api.example.com");
            assert_eq!(parse(&url_first), request);
        }
        assert!(try_parse("http://10.0.0.5:8888|hyperion").is_err());
    }

    #[test]
    fn a_request_is_shown_as_a_text_that_parses_to_the_same_request() {
        for text in [
            "v1|http://10.0.0.5:8888/|15|a.example",
            "v2|http://a/|10",
            "atomic|https://a/api|0",
            "contract|http://[::1]:9000/|10|a:80",
            "hyperion|http://a/|18446744073709551615",
            "ship|ws://a:8080/|10",
            "stream|https://a:1234/",
            "ws|wss://a/path?query|a.example",
            "ws|ws://a/",
        ] {
            let request = parse(text);
            assert_eq!(request.to_string(), text);
            assert_eq!(parse(&request.to_string()), request);
        }
        // Only ASCII spaces separate fields.
        let odd = parse("v2|http://a/?k\u{85}#b|10");
        assert_eq!(parse(&odd.to_string()), odd);
    }

    #[test]
    fn requests_with_one_different_field_are_different() {
        let request = parse("v1|http://a|15|b");
        for same in ["v1|http://a/|15|b", "v1|HTTP://A|15|b", "v1|http://a|015|b"] {
            assert_eq!(request, parse(same), "{same}");
        }
        for other in
            ["v2|http://a|15|b", "v1|http://c|15|b", "v1|http://a|16|b", "v1|http://a|15|c"]
        {
            assert_ne!(request, parse(other), "{other}");
        }
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (text, sentence) in [
            ("v3|http://a", "'v3' is none of v1, v2, atomic, "),
            ("v1|ws://a", "'ws://a' has another scheme than http or https"),
            ("v1|ws://a|1|2|3", "'ws://a' has another scheme than http or https"),
            ("v1|http://a|1|b c", "'b c' is no host"),
            ("v1|http://a|1|b c|3", "'v1|http://a|1|b c|3' has more than v1|URL|BLOCKS|HOST"),
            ("ship|ws://a|1|b", "'ship|ws://a|1|b' has more than ship|URL|BLOCKS"),
        ] {
            let error = try_parse(text).unwrap_err().to_string();
            assert!(error.starts_with(sentence), "{error}");
        }
    }
}
