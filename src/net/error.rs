/*!
Why a server that was asked gave no answer, in the operator's words.
*/

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use rustls::CertificateError;

use crate::process::deadline::Deadline;
use crate::process::memory::OutOfMemory;

/// Displayed as what is said behind the name of what was asked and a colon.
#[derive(Debug, PartialEq, Eq)]
pub enum AskError {
    Refused,
    Timeout(Duration),
    NameNotFound,
    NameTimeout(Duration),
    NoNameServer,
    /// Another HTTP status than one of success.
    Status(u16),
    /// Another HTTP status than 101 where a WebSocket was asked for.
    NoUpgrade(u16),
    /// What the answer to the upgrade has or lacks that it should not.
    BadUpgrade(&'static str),
    TooLarge,
    LongMessage,
    Cut,
    /// The protocol that was expected.
    Malformed(&'static str),
    LongHeader,
    Certificate(String),
    NotTls,
    /// There is too little memory here to hear it.
    Memory,
    Other(String),
}

impl std::error::Error for AskError {}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused the connection"),
            Self::Timeout(budget) => {
                write!(f, "no answer within {} ms", budget.as_millis())
            }
            Self::NameNotFound => f.write_str("has a host name that does not resolve"),
            Self::NameTimeout(budget) => {
                write!(f, "has a host name that did not resolve within {} ms", budget.as_millis())
            }
            Self::NoNameServer => f.write_str("has a host name that no name server could look up"),
            Self::Status(status @ (300..=303 | 307 | 308)) => {
                write!(f, "answered HTTP {status}; redirects are not followed")
            }
            Self::Status(status) => write!(f, "answered HTTP {status}"),
            Self::NoUpgrade(status) => write!(f, "answered HTTP {status}, no WebSocket upgrade"),
            Self::BadUpgrade(how) => write!(f, "answered the WebSocket upgrade {how}"),
            Self::TooLarge => f.write_str("sent more than 1 MiB"),
            Self::LongMessage => f.write_str("sent a message of more than 2 MiB"),
            Self::Cut => f.write_str("closed the connection within the answer"),
            Self::Malformed(protocol) => write!(f, "sent no valid {protocol}"),
            Self::LongHeader => f.write_str("sent too long a header"),
            Self::Certificate(reason) => write!(f, "has no valid certificate: {reason}"),
            Self::NotTls => f.write_str("speaks no TLS"),
            Self::Memory => f.write_str("could not be asked: too little memory"),
            Self::Other(reason) => write!(f, "could not be asked: {reason}"),
        }
    }
}

impl From<OutOfMemory> for AskError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::Memory
    }
}

impl AskError {
    /// What it means that a connection could not be made, read or written in a run with this deadline.
    pub fn from_io(error: &io::Error, deadline: Deadline) -> Self {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
            return Self::of_tls(error);
        }
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::TimedOut => Self::Timeout(deadline.budget()),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                Self::Cut
            }
            ErrorKind::OutOfMemory => Self::Memory,
            _ => Self::Other(error.to_string()),
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::Certificate(reason(error)),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            error => Self::Other(error.to_string()),
        }
    }
}

/// What is wrong with a certificate.
fn reason(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "its issuer is unknown".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name".to_owned()
        }
        CertificateError::Other(error) if error.to_string().contains("CaUsedAsEndEntity") => {
            "it is self-signed".to_owned()
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;
    use std::time::Instant;

    use rustls::OtherError;

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_in_words() {
        let other = |text: &str| {
            CertificateError::Other(OtherError(Arc::new(io::Error::other(text.to_owned()))))
        };
        for (error, words) in [
            (CertificateError::UnknownIssuer, "its issuer is unknown"),
            (CertificateError::Expired, "it has expired"),
            (CertificateError::NotValidYet, "it is not valid yet"),
            (CertificateError::NotValidForName, "it is for another name"),
            (other("CaUsedAsEndEntity"), "it is self-signed"),
        ] {
            assert_eq!(reason(&error), words);
        }
        assert!(reason(&other("odd")).contains("odd"));
        assert!(!reason(&CertificateError::Revoked).is_empty());
    }

    #[test]
    fn each_way_to_lose_a_connection_has_its_sentence() {
        let deadline = Deadline::new(Instant::now(), Duration::from_millis(250));
        for (kind, sentence) in [
            (ErrorKind::ConnectionRefused, "refused the connection"),
            (ErrorKind::TimedOut, "no answer within 250 ms"),
            (ErrorKind::UnexpectedEof, "closed the connection within the answer"),
            (ErrorKind::ConnectionReset, "closed the connection within the answer"),
            (ErrorKind::BrokenPipe, "closed the connection within the answer"),
            (ErrorKind::AddrInUse, "could not be asked: address in use"),
        ] {
            assert_eq!(AskError::from_io(&kind.into(), deadline).to_string(), sentence);
        }
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let expired = AskError::from_io(&io::Error::other(expired), deadline);
        assert_eq!(expired.to_string(), "has no valid certificate: it has expired");
    }
}
