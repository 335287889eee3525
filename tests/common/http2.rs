//! A small HTTP/2 client (RFC 9113): one request in a connection, or one WebSocket (RFC 8441).

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use tungstenite::WebSocket;
use tungstenite::protocol::Role;

use super::Duplex;
use super::shipped::{ClientSession, HttpAnswer};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The only stream that this client opens.
const STREAM: u32 = 1;

// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;

// Flags of frames.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// The setting ENABLE_CONNECT_PROTOCOL with the value 1: the server accepts extended CONNECT.
const CONNECT_PROTOCOL_ENABLED: [u8; 6] = [0, 8, 0, 0, 0, 1];

/// A request in a connection of its own. Reading and writing concern the bodies.
struct Exchange<S> {
    connection: S,
    headers: Vec<(String, String)>,
    received: VecDeque<u8>,
    accepts_websockets: bool,
    has_ended: bool,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// Sends a request without a body and reads the whole answer.
pub fn ask_http2(connection: impl Duplex, request: &[(&str, &str)]) -> HttpAnswer {
    let mut exchange = Exchange::start(connection);
    exchange.send_headers(request, END_STREAM);
    exchange.wait_for_headers();
    let mut body = Vec::new();
    exchange.read_to_end(&mut body).unwrap();
    let mut text = format!("HTTP/2 {} \r\n", exchange.status());
    for (name, value) in &exchange.headers {
        text += &format!("{name}: {value}\r\n");
    }
    HttpAnswer::parse(text + "\r\n" + &String::from_utf8_lossy(&body))
}

/// The first headers of a request.
pub fn request<'a>(
    method: &'a str,
    scheme: &'a str,
    host: &'a str,
    path: &'a str,
) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", scheme), (":authority", host), (":path", path)]
}

impl ClientSession {
    /// Opens a WebSocket over HTTP/2 by an extended CONNECT. The error is the HTTP status with which it was
    /// refused.
    pub fn open_http2(
        connection: impl Duplex + 'static,
        scheme: &str,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, u16> {
        let mut exchange = Exchange::start(connection);
        exchange.wait_until_websockets_are_accepted();
        let mut all = request("CONNECT", scheme, host, path);
        all.extend([(":protocol", "websocket"), ("sec-websocket-version", "13")]);
        all.extend(headers);
        exchange.send_headers(&all, 0);
        exchange.wait_for_headers();
        match exchange.status() {
            200 => {
                let header = |name| Some(exchange.header(name)).filter(|value| !value.is_empty());
                let cookie = header("set-cookie");
                let cookie = cookie.and_then(|cookie| Some(cookie.split(';').next()?.to_owned()));
                let server = exchange.header("x-server");
                let stream: Box<dyn Duplex> = Box::new(exchange);
                let socket = WebSocket::from_raw_socket(stream, Role::Client, None);
                Ok(Self { socket, server, cookie })
            }
            status => Err(status),
        }
    }
}

impl<S: Duplex> Exchange<S> {
    /// Sends what begins a connection.
    fn start(mut connection: S) -> Self {
        connection.write_all(PREFACE).unwrap();
        let mut exchange = Self {
            connection,
            headers: Vec::new(),
            received: VecDeque::new(),
            accepts_websockets: false,
            has_ended: false,
        };
        exchange.send(SETTINGS, 0, 0, b"").unwrap();
        exchange
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.connection.write_all(&frame)?;
        self.connection.flush()
    }

    fn send_headers(&mut self, headers: &[(&str, &str)], flags: u8) {
        let mut block = Vec::new();
        for (name, value) in headers {
            // A literal that is not added to the table, with a new name (RFC 7541, 6.2.2).
            block.push(0);
            for text in [name, value] {
                let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
                block.push(length.expect("the text is short"));
                block.extend(text.as_bytes());
            }
        }
        self.send(HEADERS, flags | END_HEADERS, STREAM, &block).unwrap();
    }

    fn read_frame(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.connection.read_exact(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.connection.read_exact(&mut payload)?;
        Ok(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// Reads the next frame and does what it asks for.
    fn advance(&mut self) -> io::Result<()> {
        let frame = self.read_frame()?;
        let ends_stream = frame.stream == STREAM && frame.flags & END_STREAM != 0;
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => {
                let mut settings = frame.payload.chunks(6);
                self.accepts_websockets |= settings.any(|one| one == CONNECT_PROTOCOL_ENABLED);
                self.send(SETTINGS, ACK, 0, b"")?;
            }
            PING if frame.flags & ACK == 0 => self.send(PING, ACK, 0, &frame.payload)?,
            HEADERS if self.headers.is_empty() => {
                self.headers = parse_headers(&frame.payload);
                self.has_ended |= ends_stream;
            }
            DATA => {
                self.received.extend(frame.payload);
                self.has_ended |= ends_stream;
            }
            RESET | GO_AWAY => self.has_ended = true,
            _ => {}
        }
        Ok(())
    }

    fn wait_until_websockets_are_accepted(&mut self) {
        while !self.accepts_websockets {
            self.advance().expect("HAProxy accepts WebSockets over HTTP/2");
        }
    }

    fn wait_for_headers(&mut self) {
        while self.headers.is_empty() && !self.has_ended {
            self.advance().expect("HAProxy answers");
        }
    }

    /// The status, or 0 if HAProxy has ended the stream without one.
    fn status(&self) -> u16 {
        self.header(":status").parse().unwrap_or_default()
    }

    fn header(&self, name: &str) -> String {
        let header = self.headers.iter().find(|(key, _)| key == name);
        header.map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

impl<S: Duplex> Read for Exchange<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.received.is_empty() && !self.has_ended {
            self.advance()?;
        }
        self.received.read(buffer)
    }
}

impl<S: Duplex> Write for Exchange<S> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        // The size that every peer accepts.
        let data = &data[..data.len().min(16_384)];
        self.send(DATA, 0, STREAM, data)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.connection.flush()
    }
}

/// Reads a block of headers (RFC 7541). HAProxy uses no Huffman codes and no table of its own.
fn parse_headers(mut block: &[u8]) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    while let Some(&first) = block.first() {
        if first & 0x80 != 0 {
            headers.push(known_header(read_number(&mut block, 7)));
            continue;
        }
        if first & 0xe0 == 0x20 {
            read_number(&mut block, 5);
            continue;
        }
        let name = match read_number(&mut block, if first & 0x40 == 0 { 4 } else { 6 }) {
            0 => read_text(&mut block),
            number => known_header(number).0,
        };
        headers.push((name, read_text(&mut block)));
    }
    headers
}

/// A header of the static table (RFC 7541, appendix A). Those that no test reads have only a number.
fn known_header(number: usize) -> (String, String) {
    const STATUSES: [&str; 7] = ["200", "204", "206", "304", "400", "404", "500"];
    match number {
        8..15 => (":status".to_owned(), STATUSES[number - 8].to_owned()),
        55 => ("set-cookie".to_owned(), String::new()),
        _ => (format!("header {number}"), String::new()),
    }
}

/// Reads a number that begins in the last bits of a byte (RFC 7541, 5.1).
fn read_number(block: &mut &[u8], bits: u32) -> usize {
    let most = (1 << bits) - 1;
    let mut number = usize::from(take(block)) & most;
    if number == most {
        let mut shift = 0;
        loop {
            let byte = usize::from(take(block));
            number += (byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    number
}

fn read_text(block: &mut &[u8]) -> String {
    assert_eq!(block[0] & 0x80, 0, "a Huffman code");
    let length = read_number(block, 7);
    let (text, rest) = block.split_at(length);
    *block = rest;
    String::from_utf8_lossy(text).into_owned()
}

fn take(block: &mut &[u8]) -> u8 {
    let (first, rest) = block.split_first().expect("the block is whole");
    *block = rest;
    *first
}
