/*!
Headers that the agent adds to an HTTP request.
*/

use std::error::Error;
use std::fmt;

use ureq::http::{HeaderMap, HeaderName, HeaderValue, header};

/// The longest line with a header, in bytes. It has to fit into the HTTP client's buffer.
const LINE_LIMIT: usize = 4000;

/// Headers that say how a request is sent; RFC 9110, 7.6 and 8.6, and RFC 9112, 6.1. The HTTP client would wait for
/// a body that never comes.
const RESERVED: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers of one request. Their values may be secret, so neither `Debug` nor any error shows them.
#[derive(Clone, Debug, Default)]
pub struct Headers(HeaderMap);

/// Why a text does not say which headers to send. Lines are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadersError {
    /// This line is not `Name: value`.
    NotAHeader(usize),
    /// This line has a header that says how the request is sent. Only the agent may say that.
    Reserved(usize),
    /// This line has a second `Host` header.
    SecondHost(usize),
    /// This line is longer than 4000 bytes.
    LongLine(usize),
    /// There is no header.
    NoHeader,
}

impl Error for HeadersError {}

impl fmt::Display for HeadersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAHeader(line) => write!(f, "line {line} is not 'Name: value'"),
            Self::Reserved(line) => {
                write!(f, "line {line} has a header that only the agent may send")
            }
            Self::SecondHost(line) => write!(f, "line {line} has a second Host header"),
            Self::LongLine(line) => write!(f, "line {line} is longer than {LINE_LIMIT} bytes"),
            Self::NoHeader => f.write_str("it holds no header"),
        }
    }
}

impl Headers {
    /// Parses lines of the form `Name: value`. Empty lines are skipped.
    ///
    /// Fails if another line is not a header, and if there is no header at all.
    pub fn parse(text: &[u8]) -> Result<Self, HeadersError> {
        let mut headers = HeaderMap::new();
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let line = line.trim_ascii_end();
            if line.is_empty() {
                continue;
            }
            if line.len() > LINE_LIMIT {
                return Err(HeadersError::LongLine(number));
            }
            let (name, value) = parse_line(line).ok_or(HeadersError::NotAHeader(number))?;
            if RESERVED.contains(&name) {
                return Err(HeadersError::Reserved(number));
            }
            if name == header::HOST && headers.contains_key(&name) {
                return Err(HeadersError::SecondHost(number));
            }
            headers.append(name, value);
        }
        if headers.is_empty() { Err(HeadersError::NoHeader) } else { Ok(Self(headers)) }
    }

    /// Each header. A name that occurs twice is returned twice.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter()
    }
}

/// Parses `Name: value`; RFC 9112, 5. Returns `None` if the line has another form.
fn parse_line(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at(colon);
    let name = HeaderName::from_bytes(name).ok()?;
    let mut value = HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_header() {
        let text = b"Authorization: Bearer a:b\r\n\n  \nX-Token:c \t\nx-token: d\nEmpty:";
        let headers = Headers::parse(text).unwrap();
        let written: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        assert_eq!(written, ["authorization=Bearer a:b", "x-token=c", "x-token=d", "empty="]);
        assert!(!format!("{headers:?}").contains("Bearer"));
    }

    #[test]
    fn a_line_that_is_no_header_is_counted() {
        for (text, error) in [
            (&b""[..], HeadersError::NoHeader),
            (b"\n \r\n", HeadersError::NoHeader),
            (b"A: b\nBearer secret", HeadersError::NotAHeader(2)),
            (b"\n\n: b", HeadersError::NotAHeader(3)),
            (b"A B: c", HeadersError::NotAHeader(1)),
            (b"A : c", HeadersError::NotAHeader(1)),
            (b" A: c", HeadersError::NotAHeader(1)),
            (b"A: b\0c", HeadersError::NotAHeader(1)),
            (b"\xff\xfe: c", HeadersError::NotAHeader(1)),
            (b"A: b\nContent-Length: 5", HeadersError::Reserved(2)),
            (b"transfer-encoding: chunked", HeadersError::Reserved(1)),
            (b"Connection: close", HeadersError::Reserved(1)),
            (b"Upgrade: websocket", HeadersError::Reserved(1)),
            (b"Expect: 100-continue", HeadersError::Reserved(1)),
            (b"Host: a\n\nhost: a", HeadersError::SecondHost(3)),
        ] {
            assert_eq!(Headers::parse(text).unwrap_err(), error, "{text:?}");
        }
        let line = |length: usize| [b"A: ".as_slice(), &vec![b'x'; length - 3]].concat();
        assert!(Headers::parse(&line(LINE_LIMIT)).is_ok());
        let error = Headers::parse(&line(LINE_LIMIT + 1)).unwrap_err();
        assert_eq!(error, HeadersError::LongLine(1));
    }
}
