/*!
A WebSocket (RFC 6455) under the run's deadline: the upgrade, and whole messages in both directions.
*/

use std::io::{Read, Write};

use tungstenite::handshake::client::{Request, Response, generate_key, generate_request};
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse;
use tungstenite::http::header::{CONNECTION, HeaderName, UPGRADE};
use tungstenite::http::{HeaderMap, StatusCode};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Bytes, Message};

use crate::net::connection::{Connection, STACK};
use crate::net::error::AskError;
use crate::net::url::Url;
use crate::process::deadline::Deadline;
use crate::process::memory;
use crate::process::wait::Wait;

/// The longest header of the answer to the upgrade, in bytes.
const HEADER_LIMIT: usize = 8 * 1024;

/// The longest message, in bytes: twice what an Antelope chain by default puts into a block.
const MESSAGE_LIMIT: usize = 2 * 1024 * 1024;

/// What is read at once; as much as a state history's first message.
const READ_BUFFER_SIZE: usize = 36 * 1024;

/// As much memory as a conversation takes at most, in bytes: a message, its frames, and either twice
/// while it grows; and what TLS needs.
const MEMORY: usize = 16 * 1024 * 1024;

/// A WebSocket whose upgrade has been accepted.
pub struct WebSocket<S: Read + Write = Connection> {
    socket: tungstenite::WebSocket<S>,
    deadline: Deadline,
}

impl WebSocket {
    /// Connects to `url` and upgrades the connection, as `host` if one is given.
    pub fn open(url: &Url, host: Option<&str>, wait: &Wait) -> Result<Self, AskError> {
        memory::check_stack(STACK)?;
        memory::check_heap(MEMORY)?;
        let deadline = wait.deadline();
        let upgrade = generate_request(upgrade(url, host)?);
        let (request, key) = upgrade.map_err(|error| classify(error, deadline))?;
        let stream = Connection::open(url.origin(), wait)?;
        Self::upgrade(stream, &request, &key, deadline)
    }
}

impl<S: Read + Write> WebSocket<S> {
    /// Upgrades a connection with a request that holds this key.
    pub fn upgrade(
        mut stream: S,
        request: &[u8],
        key: &str,
        deadline: Deadline,
    ) -> Result<Self, AskError> {
        let classified = |error| classify(error, deadline);
        let of_io = |error| AskError::from_io(&error, deadline);
        stream.write_all(request).and_then(|()| stream.flush()).map_err(of_io)?;

        // Not by the library's own loop, which takes an answer in many small pieces for an attack.
        let mut head = Vec::new();
        let (length, response) = loop {
            match Response::try_parse(&head).map_err(classified)? {
                Some((length, interim)) if is_interim(interim.status()) => {
                    head.drain(..length);
                    continue;
                }
                Some(parsed) => break parsed,
                None => {}
            }
            let mut piece = [0; 1024];
            let room = piece.len().min(HEADER_LIMIT - head.len());
            match stream.read(&mut piece[..room]).map_err(of_io)? {
                0 if room == 0 => return Err(AskError::LongHeader),
                0 => return Err(AskError::Cut),
                count => head.extend_from_slice(&piece[..count]),
            }
        };
        verify(&response, key)?;
        let first_bytes = head.split_off(length);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_SIZE)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_LIMIT))
            .max_frame_size(Some(MESSAGE_LIMIT));
        let socket = tungstenite::WebSocket::from_partially_read(
            stream,
            first_bytes,
            Role::Client,
            Some(config),
        );
        Ok(Self { socket, deadline })
    }

    /// Sends a binary message.
    pub fn send(&mut self, bytes: impl Into<Bytes>) -> Result<(), AskError> {
        let sent = self.socket.send(Message::Binary(bytes.into()));
        sent.map_err(|error| classify(error, self.deadline))
    }

    /// The next text or binary message; pings are answered meanwhile.
    pub fn receive(&mut self) -> Result<Message, AskError> {
        loop {
            match self.socket.read().map_err(|error| classify(error, self.deadline))? {
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                Message::Close(_) => return Err(AskError::Cut),
                message => return Ok(message),
            }
        }
    }
}

/// Tells the server that there is no more to come. Its answer is not waited for, and what it sent unasked is
/// not read: the kernel may then end the connection with a reset behind the close frame.
impl<S: Read + Write> Drop for WebSocket<S> {
    fn drop(&mut self) {
        let _ = self.socket.close(None);
    }
}

/// The request for the upgrade, RFC 6455, 4.1.
fn upgrade(url: &Url, host: Option<&str>) -> Result<Request, AskError> {
    let other = |error: tungstenite::http::Error| AskError::Other(error.to_string());
    let own_host = url.uri().authority().map_or("", |authority| authority.as_str());
    Request::builder()
        .uri(url.uri())
        .header("Host", host.unwrap_or(own_host))
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key())
        .body(())
        .map_err(other)
}

/// Fails unless the upgrade with this key was accepted as RFC 6455, 4.1, demands. The library's own
/// verification knows `Connection: upgrade` alone, not in a list.
fn verify(response: &Response, key: &str) -> Result<(), AskError> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(AskError::NoUpgrade(response.status().as_u16()));
    }
    let headers = response.headers();
    let accept = derive_accept_key(key.as_bytes());
    let holds = |name| headers.get_all(name).iter().any(|value: &_| !value.is_empty());
    if !has_token(headers, UPGRADE, "websocket") {
        Err(AskError::BadUpgrade("without Upgrade: websocket"))
    } else if !has_token(headers, CONNECTION, "upgrade") {
        Err(AskError::BadUpgrade("without Connection: Upgrade"))
    } else if headers.get("Sec-WebSocket-Accept").is_none_or(|value| value != &accept) {
        Err(AskError::BadUpgrade("without the key's Sec-WebSocket-Accept"))
    } else if holds("Sec-WebSocket-Extensions") {
        Err(AskError::BadUpgrade("with an extension, unasked"))
    } else if holds("Sec-WebSocket-Protocol") {
        Err(AskError::BadUpgrade("with a protocol, unasked"))
    } else {
        Ok(())
    }
}

/// Whether the answer proper follows behind an answer with this status; RFC 9110, 15.2.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Whether a header's comma-separated list holds a word, in any case.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

fn classify(error: tungstenite::Error, deadline: Deadline) -> AskError {
    use tungstenite::Error;
    use tungstenite::error::{CapacityError, ProtocolError};
    match error {
        Error::Io(error) => AskError::from_io(&error, deadline),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => AskError::Cut,
        Error::Capacity(CapacityError::MessageTooLong { .. }) => AskError::LongMessage,
        Error::Capacity(CapacityError::TooManyHeaders) => AskError::LongHeader,
        Error::Protocol(ProtocolError::WrongHttpVersion) => AskError::Malformed("HTTP/1.1"),
        Error::Protocol(ProtocolError::HttparseError(_)) | Error::HttpFormat(_) => {
            AskError::Malformed("HTTP")
        }
        Error::Protocol(_) | Error::Utf8(_) => AskError::Malformed("WebSocket message"),
        other => AskError::Other(other.to_string()),
    }
}
