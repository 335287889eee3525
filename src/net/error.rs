/*!
Why a server gave no answer.
*/

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use rustls::CertificateError;

use crate::net::trust::TrustError;
use crate::process::deadline::Deadline;
use crate::process::memory::OutOfMemory;

/// Why a server gave no answer. Displayed as the end of a sentence that begins with the server's name.
#[derive(Clone, Debug, PartialEq)]
pub enum AskError {
    /// The server refused the connection.
    Refused,
    /// There was no answer before the deadline. The time is that of the whole run.
    Timeout(Duration),
    /// The host name has no address.
    NameNotFound,
    /// The host name was not found before the deadline. The time is that of the whole run.
    NameTimeout(Duration),
    /// Every name server failed.
    NoNameServer,
    /// An HTTP status that does not mean success.
    Status(u16),
    /// An HTTP status other than 101, in answer to a WebSocket upgrade.
    NoUpgrade(u16),
    /// An HTTP status 101 with wrong headers. The text says what is wrong with them.
    BadUpgrade(&'static str),
    /// The body is longer than 1 MiB.
    TooLarge,
    /// A WebSocket message is longer than 2 MiB.
    LongMessage,
    /// The connection ended before the answer was complete.
    Cut,
    /// The answer does not follow the protocol, which is named.
    Malformed(&'static str),
    /// The header is too long.
    LongHeader,
    /// There are no trusted certificates, so the server could not be asked.
    Trust(TrustError),
    /// The server's certificate is not valid.
    Certificate(CertificateError),
    /// The server does not speak TLS.
    NotTls,
    /// The agent has too little memory for the answer.
    Memory,
    /// Anything else, in the words of the system or of a library.
    Other(String),
}

impl Error for AskError {}

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
            Self::BadUpgrade(problem) => write!(f, "answered the WebSocket upgrade {problem}"),
            Self::TooLarge => f.write_str("sent more than 1 MiB"),
            Self::LongMessage => f.write_str("sent a message of more than 2 MiB"),
            Self::Cut => f.write_str("closed the connection within the answer"),
            Self::Malformed(protocol) => write!(f, "sent no valid {protocol}"),
            Self::LongHeader => f.write_str("sent too long a header"),
            Self::Trust(error) => error.fmt(f),
            Self::Certificate(error) => {
                write!(f, "has no valid certificate: {}", certificate_problem(error))
            }
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

impl From<TrustError> for AskError {
    fn from(error: TrustError) -> Self {
        Self::Trust(error)
    }
}

impl AskError {
    /// Returns what an error means that came from connecting, reading or writing, in a run with this
    /// deadline.
    pub fn from_io(error: &io::Error, deadline: Deadline) -> Self {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
            return Self::from_tls(error);
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

    fn from_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::Certificate(error.clone()),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            error => Self::Other(error.to_string()),
        }
    }
}

/// Returns what is wrong with a certificate, as a sentence about it.
fn certificate_problem(error: &CertificateError) -> String {
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
        // rustls has no variant for webpki's error.
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
    fn each_problem_of_a_certificate_has_its_sentence() {
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
            assert_eq!(certificate_problem(&error), words);
        }
        assert!(certificate_problem(&other("odd")).contains("odd"));
        assert!(!certificate_problem(&CertificateError::Revoked).is_empty());
    }

    #[test]
    fn each_error_of_a_connection_has_its_sentence() {
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
