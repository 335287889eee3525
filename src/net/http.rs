/*!
Sends one HTTP GET request. It ends at the run's deadline.

No redirect is followed, no proxy is used, and a body may be at most 1 MiB long. ureq handles HTTP. The
[`Connection`] is our own, because everything must wait through the run's [`Wait`].
*/

use std::fmt::Debug;
use std::io::{Read, Write};

use ureq::config::Config;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Agent, Body, http::Uri};

use crate::net::connection::{Connection, STACK};
use crate::net::error::AskError;
use crate::net::headers::Headers;
use crate::net::target::Target;
use crate::net::url::Origin;
use crate::process::deadline::Deadline;
use crate::process::memory;
use crate::process::wait::Wait;

/// The longest body, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// The size of the buffer for input, and so the longest header of a response, in bytes. ureq's default is
/// 128 KiB. Filling that with zeros would take longer than the whole exchange.
const INPUT_BUFFER_SIZE: usize = 8 * 1024;

/// The size of the buffer for output, and so the longest line of a request, in bytes.
const OUTPUT_BUFFER_SIZE: usize = 4 * 1024;

/// The most memory that an exchange takes, in bytes. The body needs its size twice while its buffer grows. TLS
/// needs memory for all trusted certificates.
const MEMORY: usize = 4 * 1024 * 1024;

/// The `User-Agent` header.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// A server's response. Its head has been read, its body has not.
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    body: Body,
    deadline: Deadline,
}

impl Response {
    /// Reads the whole body, whatever the status. Fails if the body is longer than 1 MiB or is not
    /// complete at the deadline.
    pub fn read_body(self) -> Result<Vec<u8>, AskError> {
        let mut body = Vec::new();
        let limit_plus_one = BODY_LIMIT as u64 + 1;
        let read = self.body.into_reader().take(limit_plus_one).read_to_end(&mut body);
        read.map_err(|error| AskError::from_io(&error, self.deadline))?;
        if body.len() > BODY_LIMIT { Err(AskError::TooLarge) } else { Ok(body) }
    }

    /// Reads the whole body if the status means success (2xx). Fails like [`Response::read_body`], and with
    /// [`AskError::Status`] for another status.
    pub fn read_success(self) -> Result<Vec<u8>, AskError> {
        match self.status {
            200..=299 => self.read_body(),
            status => Err(AskError::Status(status)),
        }
    }
}

/// Sends a GET request to `target` with these headers, and returns the response when its head has come.
pub fn get(target: &Target, headers: &Headers, wait: &Wait) -> Result<Response, AskError> {
    memory::check_stack(STACK)?;
    memory::check_heap(MEMORY)?;
    let connector = OriginConnector { origin: target.url.origin().clone(), wait: wait.clone() };
    get_through(connector, target, headers, wait.deadline())
}

/// Like [`get`], but over the connection that `connector` makes, and without checking the memory.
pub fn get_through(
    connector: impl Connector,
    Target { url, host }: &Target,
    headers: &Headers,
    deadline: Deadline,
) -> Result<Response, AskError> {
    // ureq's own time limits are not set: the connection watches the run's deadline.
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .max_idle_connections(0)
        .user_agent(USER_AGENT)
        .input_buffer_size(INPUT_BUFFER_SIZE)
        .output_buffer_size(OUTPUT_BUFFER_SIZE)
        .build();
    let agent = Agent::with_parts(config, connector, NoResolver);
    let mut request = agent.get(url.uri());
    if let Some(host) = host.header() {
        request = request.header("Host", host);
    }
    for (name, value) in headers.iter() {
        request = request.header(name, value);
    }
    let response = request.call().map_err(|error| ask_error(error, deadline))?;
    Ok(Response { status: response.status().as_u16(), body: response.into_body(), deadline })
}

/// Turns an error of ureq into ours.
fn ask_error(error: ureq::Error, deadline: Deadline) -> AskError {
    match error {
        ureq::Error::Other(error) => match error.downcast() {
            Ok(error) => *error,
            Err(error) => AskError::Other(error.to_string()),
        },
        ureq::Error::Io(error) => AskError::from_io(&error, deadline),
        ureq::Error::LargeResponseHeader(..) => AskError::LongHeader,
        ureq::Error::Protocol(_) => AskError::Malformed("HTTP"),
        error => AskError::Other(error.to_string()),
    }
}

/// Connects ureq to one server.
#[derive(Debug)]
struct OriginConnector {
    origin: Origin,
    wait: Wait,
}

impl<In: Transport> Connector<In> for OriginConnector {
    type Out = ConnectionTransport<Connection>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        _: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let connection = Connection::open(&self.origin, &self.wait);
        let connection = connection.map_err(|error| ureq::Error::Other(Box::new(error)))?;
        Ok(Some(ConnectionTransport::new(connection, self.origin.is_tls())))
    }
}

/// Unused: [`Connection::open`] resolves names itself.
#[derive(Debug)]
struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// A connection as ureq uses it, with ureq's buffers.
#[derive(Debug)]
pub struct ConnectionTransport<C> {
    connection: C,
    is_tls: bool,
    buffers: LazyBuffers,
}

impl<C> ConnectionTransport<C> {
    /// Passes `connection` to ureq. `is_tls` says whether it is encrypted.
    pub fn new(connection: C, is_tls: bool) -> Self {
        let buffers = LazyBuffers::new(INPUT_BUFFER_SIZE, OUTPUT_BUFFER_SIZE);
        Self { connection, is_tls, buffers }
    }
}

impl<C: Read + Write + Debug + Send + Sync + 'static> Transport for ConnectionTransport<C> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.connection.write_all(output)?;
        Ok(self.connection.flush()?)
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let buffer = self.buffers.input_append_buf();
        // The header has filled the buffer. A read into an empty slice returns 0, which means the end of the
        // connection.
        if buffer.is_empty() {
            return Err(ureq::Error::LargeResponseHeader(INPUT_BUFFER_SIZE, INPUT_BUFFER_SIZE));
        }
        let amount = self.connection.read(buffer)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // A run sends one request, so ureq must not keep the connection.
        false
    }

    fn is_tls(&self) -> bool {
        self.is_tls
    }
}
