/*!
One HTTP GET under the run's deadline: no redirect is followed, no proxy is used, and a body is read
to at most 1 MiB.
*/

use std::fmt;
use std::io::{self, Read, Write};
use std::time::Duration;

use rustls::CertificateError;
use ureq::config::Config;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, RustlsConnector, Transport,
};
use ureq::{Agent, http::Uri};

use crate::deadline::Deadline;
use crate::patience::Patience;
use crate::resolver;
use crate::stream::Stream;

/// The most addresses of a host that are tried; the client has room for no more.
const ADDRESS_LIMIT: usize = 16;

/// The longest body that is read, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// The longest header of an answer, in bytes. The client's own buffers are 128 KiB each, and to clear
/// them costs a short run more than the exchange.
const INPUT_BUFFER_SIZE: usize = 8 * 1024;

/// The longest request, in bytes.
const OUTPUT_BUFFER_SIZE: usize = 4 * 1024;

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
    NoNameServer,
    Status(u16),
    TooLarge,
    Cut,
    Malformed,
    LongHeader,
    Certificate(String),
    NotTls,
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
            Self::NoNameServer => f.write_str("has a host name that no name server could look up"),
            Self::Status(status @ (300..=303 | 307 | 308)) => {
                write!(f, "answered HTTP {status}; redirects are not followed")
            }
            Self::Status(status) => write!(f, "answered HTTP {status}"),
            Self::TooLarge => f.write_str("sent more than 1 MiB"),
            Self::Cut => f.write_str("closed the connection within the answer"),
            Self::Malformed => f.write_str("sent no valid HTTP"),
            Self::LongHeader => f.write_str("sent too long a header"),
            Self::Certificate(reason) => write!(f, "has no valid certificate: {reason}"),
            Self::NotTls => f.write_str("speaks no TLS"),
            Self::Other(reason) => write!(f, "could not be asked: {reason}"),
        }
    }
}

/// Asks `url`, as `host` if one is given, and reads the whole answer, as long as `patience` lasts.
pub fn get(url: &Uri, host: Option<&str>, patience: &Patience) -> Result<Answer, HttpError> {
    exchange(url, host, patience).map_err(|error| classify(error, patience.deadline()))
}

fn exchange(url: &Uri, host: Option<&str>, patience: &Patience) -> Result<Answer, ureq::Error> {
    // None of the client's own time limits: the transport keeps the run's.
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .max_idle_connections(0)
        .input_buffer_size(INPUT_BUFFER_SIZE)
        .output_buffer_size(OUTPUT_BUFFER_SIZE)
        .tls_config(TlsConfig::builder().root_certs(trusted(url)).build())
        .build();
    let connector = ().chain(Tcp(patience.clone())).chain(RustlsConnector::default());
    let agent = Agent::with_parts(config, connector, Names(patience.clone()));
    let mut request = agent.get(url);
    if let Some(host) = host {
        request = request.header("Host", host);
    }
    let response = request.call()?;
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

/// Whose certificates are trusted: the system's store, as OpenSSL finds it with `SSL_CERT_FILE` and
/// `SSL_CERT_DIR`, or Mozilla's list where the host has none. Only an https URL needs to know.
fn trusted(url: &Uri) -> RootCerts {
    if url.scheme_str() != Some("https") {
        return RootCerts::WebPki;
    }
    let found = rustls_native_certs::load_native_certs().certs;
    match found.is_empty() {
        true => RootCerts::WebPki,
        false => found.iter().map(|der| Certificate::from_der(der).to_owned()).into(),
    }
}

fn classify(error: ureq::Error, deadline: Deadline) -> HttpError {
    match error {
        ureq::Error::Timeout(ureq::Timeout::Resolve) => HttpError::NameTimeout(deadline.budget()),
        ureq::Error::Timeout(_) => HttpError::Timeout(deadline.budget()),
        ureq::Error::HostNotFound => HttpError::NameNotFound,
        ureq::Error::BodyExceedsLimit(_) => HttpError::TooLarge,
        ureq::Error::Other(error) if error.is::<NoNameServer>() => HttpError::NoNameServer,
        ureq::Error::Rustls(error) => classify_tls(&error),
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => HttpError::Refused,
            io::ErrorKind::TimedOut => HttpError::Timeout(deadline.budget()),
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => HttpError::Cut,
            _ => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(error) => classify_tls(error),
                None => HttpError::Other(error.to_string()),
            },
        },
        ureq::Error::LargeResponseHeader(..) => HttpError::LongHeader,
        ureq::Error::Protocol(_) => HttpError::Malformed,
        other => HttpError::Other(other.to_string()),
    }
}

fn classify_tls(error: &rustls::Error) -> HttpError {
    match error {
        rustls::Error::InvalidCertificate(error) => HttpError::Certificate(match error {
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
        }),
        rustls::Error::InvalidMessage(_) => HttpError::NotTls,
        error => HttpError::Other(error.to_string()),
    }
}

/// Host names for the HTTP client, looked up as long as the run's patience lasts.
#[derive(Debug)]
struct Names(Patience);

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default_port);
        let found = match resolver::addresses(uri.host().unwrap_or_default(), &self.0) {
            Ok(found) => found,
            Err(error) => {
                return Err(match error.kind() {
                    io::ErrorKind::TimedOut => ureq::Error::Timeout(ureq::Timeout::Resolve),
                    io::ErrorKind::HostUnreachable => ureq::Error::Other(Box::new(NoNameServer)),
                    _ => error.into(),
                });
            }
        };
        let mut addresses = self.empty();
        for address in found.into_iter().take(ADDRESS_LIMIT) {
            addresses.push((address, port).into());
        }
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}

/// No name server could be asked.
#[derive(Debug)]
struct NoNameServer;

impl std::error::Error for NoNameServer {}

impl fmt::Display for NoNameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no name server answers")
    }
}

/// Connections for the HTTP client that wait as long as the run's patience lasts.
#[derive(Debug)]
struct Tcp(Patience);

impl<In: Transport> Connector<In> for Tcp {
    type Out = TcpTransport;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<In>,
    ) -> Result<Option<TcpTransport>, ureq::Error> {
        let stream = Stream::connect(&details.addrs, &self.0)?;
        let buffers = LazyBuffers::new(INPUT_BUFFER_SIZE, OUTPUT_BUFFER_SIZE);
        Ok(Some(TcpTransport { stream, buffers }))
    }
}

#[derive(Debug)]
struct TcpTransport {
    stream: Stream,
    buffers: LazyBuffers,
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        Ok(self.stream.write_all(output)?)
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let buffer = self.buffers.input_append_buf();
        // A header longer than the buffer; reading into no room would look like the end.
        if buffer.is_empty() {
            return Err(ureq::Error::LargeResponseHeader(INPUT_BUFFER_SIZE, INPUT_BUFFER_SIZE));
        }
        let amount = self.stream.read(buffer)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // A run asks once; no connection is kept for a second request.
        false
    }
}
