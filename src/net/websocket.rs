/*!
A WebSocket (RFC 6455), under the run's deadline: the upgrade, and whole messages in both directions.
*/

use std::io::{Read, Write};

use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::handshake::client::{self, generate_key, generate_request};
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse;
use tungstenite::http::header::{CONNECTION, HeaderName, UPGRADE};
use tungstenite::http::{HeaderMap, StatusCode};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Bytes, Error, Message};

use crate::net::connection::{Connection, STACK};
use crate::net::error::AskError;
use crate::net::target::Target;
use crate::process::deadline::Deadline;
use crate::process::memory;
use crate::process::wait::Wait;

/// The longest header of the response to the upgrade, in bytes.
const HEADER_LIMIT: usize = 8 * 1024;

/// The longest message, in bytes: twice the default size limit of an Antelope block.
const MESSAGE_LIMIT: usize = 2 * 1024 * 1024;

/// How many bytes are read at once: as many as a state history's first message has.
const READ_BUFFER_SIZE: usize = 36 * 1024;

/// The most memory that an exchange takes, in bytes: a message and its frames, each held twice while its
/// buffer grows, and what TLS needs.
const MEMORY: usize = 16 * 1024 * 1024;

/// A WebSocket, after the server has accepted the upgrade. `C` is the connection that carries it.
pub struct WebSocket<C: Read + Write = Connection> {
    socket: tungstenite::WebSocket<C>,
    deadline: Deadline,
}

impl WebSocket {
    /// Connects to `target` and upgrades the connection.
    pub fn open(target: &Target, wait: &Wait) -> Result<Self, AskError> {
        memory::check_stack(STACK)?;
        memory::check_heap(MEMORY)?;
        let deadline = wait.deadline();
        let upgrade = generate_request(upgrade_request(target)?);
        let (request, key) = upgrade.map_err(|error| ask_error(error, deadline))?;
        let connection = Connection::open(target.url.origin(), wait)?;
        Self::upgrade(connection, &request, &key, deadline)
    }
}

impl<C: Read + Write> WebSocket<C> {
    /// Upgrades an open connection. `request` is the whole request, and `key` its `Sec-WebSocket-Key`.
    pub fn upgrade(
        mut connection: C,
        request: &[u8],
        key: &str,
        deadline: Deadline,
    ) -> Result<Self, AskError> {
        let of_websocket = |error| ask_error(error, deadline);
        let of_io = |error| AskError::from_io(&error, deadline);
        connection.write_all(request).and_then(|()| connection.flush()).map_err(of_io)?;

        // tungstenite's own loop is not used: it takes a response in many small pieces for an attack.
        let mut head = Vec::new();
        let (length, response) = loop {
            match client::Response::try_parse(&head).map_err(of_websocket)? {
                Some((length, interim)) if is_interim(interim.status()) => {
                    head.drain(..length);
                    continue;
                }
                Some(parsed) => break parsed,
                None => {}
            }
            let mut piece = [0; 1024];
            let room = piece.len().min(HEADER_LIMIT - head.len());
            match connection.read(&mut piece[..room]).map_err(of_io)? {
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
            connection,
            first_bytes,
            Role::Client,
            Some(config),
        );
        Ok(Self { socket, deadline })
    }

    /// Sends one binary message.
    pub fn send(&mut self, bytes: impl Into<Bytes>) -> Result<(), AskError> {
        let sent = self.socket.send(Message::Binary(bytes.into()));
        sent.map_err(|error| ask_error(error, self.deadline))
    }

    /// Waits for the next text or binary message, and returns it. Answers pings while it waits. Fails if
    /// the server closes the WebSocket.
    pub fn receive(&mut self) -> Result<Message, AskError> {
        loop {
            match self.socket.read().map_err(|error| ask_error(error, self.deadline))? {
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                Message::Close(_) => return Err(AskError::Cut),
                message => return Ok(message),
            }
        }
    }
}

/// Sends a close frame, and does not wait for the server's. If the server has sent more than was read, the
/// kernel may reset the connection after the close frame.
impl<C: Read + Write> Drop for WebSocket<C> {
    fn drop(&mut self) {
        let _ = self.socket.close(None);
    }
}

/// Returns the request for the upgrade; RFC 6455, 4.1.
fn upgrade_request(Target { url, host }: &Target) -> Result<client::Request, AskError> {
    let other = |error: tungstenite::http::Error| AskError::Other(error.to_string());
    let own_host = url.uri().authority().map_or("", |authority| authority.as_str());
    client::Request::builder()
        .uri(url.uri())
        .header("Host", host.header().unwrap_or(own_host))
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key())
        .body(())
        .map_err(other)
}

/// Fails unless the response accepts the upgrade with this key, as RFC 6455, 4.1, demands.
///
/// tungstenite's own check is not used: it accepts `Connection: upgrade` only if `upgrade` is the only
/// word.
fn verify(response: &client::Response, key: &str) -> Result<(), AskError> {
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

/// Returns whether another response follows one with this status; RFC 9110, 15.2.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Returns whether the comma-separated list in a header holds `token`, in upper or lower case.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

/// Returns what an error of tungstenite means.
fn ask_error(error: Error, deadline: Deadline) -> AskError {
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
        error => AskError::Other(error.to_string()),
    }
}
