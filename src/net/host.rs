//! HOST: the HTTP `Host` header of a request.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// The longest `Host` header, in bytes. A request with it has to fit into the HTTP client's buffer.
const LENGTH_LIMIT: usize = 1024;

/// A `Host` header, sent as it is written in the request. An empty field leaves the header to the URL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host(Option<String>);

/// The text cannot be sent as a header.
#[derive(Debug, PartialEq)]
pub struct HostError;

impl Error for HostError {}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is no host")
    }
}

impl Host {
    /// The header's value. `None` if the URL names the host.
    pub fn header(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        match text {
            "" => Ok(Self(None)),
            _ if text.len() > LENGTH_LIMIT => Err(HostError),
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => Err(HostError),
            _ => Ok(Self(Some(text.to_owned()))),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.header().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_at_most_1024_visible_ascii_characters() {
        for host in ["a", "api.example.com:80", &"x".repeat(1023), &"x".repeat(1024)] {
            let parsed: Host = host.parse().unwrap();
            assert_eq!(parsed.header(), Some(host));
            assert_eq!(parsed.to_string(), host);
        }
        for host in [&"x".repeat(1025), &"x".repeat(2000), "a b", "\u{e9}", "a\n"] {
            assert_eq!(host.parse::<Host>(), Err(HostError), "{host}");
        }
        assert_eq!("".parse::<Host>().unwrap().to_string(), "");
    }
}
