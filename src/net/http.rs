/*!
One HTTP GET under the run's deadline: no redirect is followed, no proxy is used, and a body is read
to at most 1 MiB.
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
use crate::net::url::{Origin, Url};
use crate::process::deadline::Deadline;
use crate::process::memory;
use crate::process::wait::Wait;

/// The longest body that is read, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// The longest header of an answer, in bytes. The client's own buffers are 128 KiB each, and to clear
/// them costs a short run more than the exchange.
const INPUT_BUFFER_SIZE: usize = 8 * 1024;

/// The longest request, in bytes.
const OUTPUT_BUFFER_SIZE: usize = 4 * 1024;

/// As much memory as asking and being answered takes at most, in bytes: the body, held twice while it
/// grows, and what TLS needs with a whole store of certificates.
const MEMORY: usize = 4 * 1024 * 1024;

/// How the agent calls itself.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// What a server answered. Its body is read when it is asked for.
pub struct Answer {
    pub status: u16,
    body: Body,
    deadline: Deadline,
}

impl Answer {
    /// The whole body, whatever the status.
    pub fn read_body(self) -> Result<Vec<u8>, AskError> {
        let mut body = Vec::new();
        let one_too_many = BODY_LIMIT as u64 + 1;
        let read = self.body.into_reader().take(one_too_many).read_to_end(&mut body);
        read.map_err(|error| AskError::from_io(&error, self.deadline))?;
        if body.len() > BODY_LIMIT { Err(AskError::TooLarge) } else { Ok(body) }
    }

    /// The whole body, if the status is a 2xx, and if there is memory for what is made of it, so many
    /// bytes of each of its own.
    pub fn read_success(self, memory_per_byte: usize) -> Result<Vec<u8>, AskError> {
        match self.status {
            200..=299 => {
                let body = self.read_body()?;
                memory::check_heap(body.len() * memory_per_byte)?;
                Ok(body)
            }
            status => Err(AskError::Status(status)),
        }
    }
}

/// Asks `url`, as `host` if one is given, and reads the head of the answer, as long as `wait` lasts.
pub fn get(url: &Url, host: Option<&str>, wait: &Wait) -> Result<Answer, AskError> {
    memory::check_stack(STACK)?;
    memory::check_heap(MEMORY)?;
    let connector = StreamConnector { origin: url.origin().clone(), wait: wait.clone() };
    get_through(connector, url, host, wait.deadline())
}

/// The same over whatever connection `connector` makes.
pub fn get_through(
    connector: impl Connector,
    url: &Url,
    host: Option<&str>,
    deadline: Deadline,
) -> Result<Answer, AskError> {
    // None of the client's own time limits: the transport keeps the run's.
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
    if let Some(host) = host {
        request = request.header("Host", host);
    }
    let response = request.call().map_err(|error| classify(error, deadline))?;
    Ok(Answer { status: response.status().as_u16(), body: response.into_body(), deadline })
}

fn classify(error: ureq::Error, deadline: Deadline) -> AskError {
    match error {
        ureq::Error::Other(error) => match error.downcast() {
            Ok(no_answer) => *no_answer,
            Err(error) => AskError::Other(error.to_string()),
        },
        ureq::Error::Io(error) => AskError::from_io(&error, deadline),
        ureq::Error::LargeResponseHeader(..) => AskError::LongHeader,
        ureq::Error::Protocol(_) => AskError::Malformed("HTTP"),
        other => AskError::Other(other.to_string()),
    }
}

/// Connects to the one server that is asked.
#[derive(Debug)]
struct StreamConnector {
    origin: Origin,
    wait: Wait,
}

impl<In: Transport> Connector<In> for StreamConnector {
    type Out = StreamTransport<Connection>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        _: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let stream = Connection::open(&self.origin, &self.wait);
        let stream = stream.map_err(|error| ureq::Error::Other(Box::new(error)))?;
        Ok(Some(StreamTransport::new(stream, self.origin.is_tls())))
    }
}

/// Looks up nothing, since [`Connection::open`] does.
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

/// The client's side of a connection.
#[derive(Debug)]
pub struct StreamTransport<S> {
    stream: S,
    is_tls: bool,
    buffers: LazyBuffers,
}

impl<S> StreamTransport<S> {
    pub fn new(stream: S, is_tls: bool) -> Self {
        let buffers = LazyBuffers::new(INPUT_BUFFER_SIZE, OUTPUT_BUFFER_SIZE);
        Self { stream, is_tls, buffers }
    }
}

impl<S: Read + Write + Debug + Send + Sync + 'static> Transport for StreamTransport<S> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        Ok(self.stream.flush()?)
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

    fn is_tls(&self) -> bool {
        self.is_tls
    }
}
