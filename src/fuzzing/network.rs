//! Servers that are asked: HTTP, WebSockets, name servers.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tungstenite::Message;
use ureq::unversioned::transport::{ConnectionDetails, Connector, Transport};

use crate::fuzzing::services::check_reply;
use crate::net::dns::{Answer, Family, Query};
use crate::net::headers::Headers;
use crate::net::http::{ConnectionTransport, get_through};
use crate::net::target::Target;
use crate::net::url::Url;
use crate::net::websocket::WebSocket;
use crate::process::deadline::Deadline;

const MIB: usize = 1024 * 1024;

/// The first byte is the size of the pieces in which the others come. They are the answer of a server to a
/// WebSocket upgrade with the key of RFC 6455's example. The WebSocket opens only if the answer is what
/// the RFC demands. No message is longer than the limit.
pub fn websocket(data: &[u8]) {
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    let (server, bytes) = Server::of(data);
    let mut socket = match WebSocket::upgrade(server, b"GET / HTTP/1.1\r\n\r\n", KEY, deadline()) {
        Ok(socket) => socket,
        Err(error) => return check_reply(Err(error)),
    };
    let text = String::from_utf8_lossy(bytes);
    assert!(text.contains("HTTP/1.1 101"), "{text:?}");
    let header = |wanted: &str, value: &str| {
        let mut headers = text.lines().filter_map(|line| line.split_once(':'));
        headers.any(|(name, found)| {
            name.trim().eq_ignore_ascii_case(wanted)
                && found.to_ascii_lowercase().contains(&value.to_ascii_lowercase())
        })
    };
    assert!(header("Sec-WebSocket-Accept", ACCEPT), "{text:?}");
    assert!(header("Upgrade", "websocket") && header("Connection", "upgrade"), "{text:?}");
    // Every frame has at least two bytes, so the loop ends.
    for _ in 0..=bytes.len() {
        match socket.receive() {
            Ok(message) => {
                assert!(matches!(message, Message::Text(_) | Message::Binary(_)));
                assert!(message.len() <= 2 * MIB && message.len() <= bytes.len());
                let _ = socket.send(vec![0]);
            }
            Err(error) => return check_reply(Err(error)),
        }
    }
    panic!("more messages than bytes");
}

/// The first byte is the size of the pieces in which the others come. They are the answer of an HTTP server.
/// Its body is not longer than the limit, and as long as its head says.
pub fn http(data: &[u8]) {
    let (server, bytes) = Server::of(data);
    let url = Url::parse("http://127.0.0.1/").unwrap();
    let headers = Headers::default();
    let answer = get_through(Connected(server), &Target::from(url), &headers, deadline());
    let result = answer.and_then(|answer| {
        assert!((100..=999).contains(&answer.status), "{}", answer.status);
        answer.read_body()
    });
    let body = match result {
        Ok(body) => body,
        Err(error) => return check_reply(Err(error)),
    };
    assert!(body.len() <= MIB && body.len() <= bytes.len());
    assert!(bytes.windows(7).any(|bytes| bytes == b"HTTP/1."));
    // If the answer has one plain head, its body is as long as the head says.
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let text = text.replace("\r\n", "\n");
    let head = text.split("\n\n").next().unwrap_or_default();
    let is_bodiless = ["1", "204", "304"].iter().any(|status| {
        ["http/1.0 ", "http/1.1 "]
            .iter()
            .any(|version| head.starts_with(&format!("{version}{status}")))
    });
    let lengths: Vec<&str> =
        head.lines().filter_map(|line| line.strip_prefix("content-length:")).collect();
    if let ([length], false) = (lengths.as_slice(), is_bodiless || head.contains("transfer")) {
        // The length may be repeated (RFC 9110, 8.6).
        for length in length.split(',') {
            assert_eq!(length.trim().parse(), Ok(body.len()), "{text:?}");
        }
    }
}

/// A deadline that no run of a fuzzer reaches.
fn deadline() -> Deadline {
    Deadline::new(Instant::now(), Duration::from_secs(3600))
}

/// A server that has sent all its bytes. They are read in pieces.
#[derive(Clone, Debug)]
struct Server {
    bytes: Vec<u8>,
    read: usize,
    piece: usize,
}

impl Server {
    /// The first byte is the size of the pieces. If it is 0, all bytes come at once.
    fn of(data: &[u8]) -> (Self, &[u8]) {
        let (piece, bytes) = data.split_first().unwrap_or((&0, &[]));
        let piece = if *piece == 0 { usize::MAX } else { usize::from(*piece) };
        (Self { bytes: bytes.to_vec(), read: 0, piece }, bytes)
    }
}

impl Read for Server {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(self.piece);
        let count = (&self.bytes[self.read..]).read(&mut buffer[..room])?;
        self.read += count;
        Ok(count)
    }
}

impl Write for Server {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Connects to the one server.
#[derive(Debug)]
struct Connected(Server);

impl<In: Transport> Connector<In> for Connected {
    type Out = ConnectionTransport<Server>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        _: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        Ok(Some(ConnectionTransport::new(self.0.clone(), false)))
    }
}

/// A packet of a name server. The first byte says whether an IPv4 or an IPv6 address was asked for. The packet
/// is an answer only if its head says so and it repeats the question. The addresses in the answer are among
/// its bytes.
pub fn dns(data: &[u8]) {
    const ID: u16 = 7;
    let (kind, packet) = data.split_first().unwrap_or((&0, &[]));
    let family = if kind % 2 == 0 { Family::V4 } else { Family::V6 };
    let mut query = Query::new("wcs.lan", family).unwrap();
    query.set_id(ID);
    let Some(answer) = query.read_answer(packet) else {
        return;
    };
    assert_eq!(packet[..2], ID.to_be_bytes());
    assert_eq!(packet[2] & 0xf8, 0x80, "a response to a query");
    assert_eq!(packet[4..6], [0, 1], "one question");
    let (is_cut, code) = (packet[2] & 0x02 != 0, packet[3] & 0x0f);
    let (name, end) = name_at(packet, 12);
    assert_eq!(name.to_ascii_lowercase(), b"wcs.lan.");
    assert_eq!(packet[end..][..4], [0, if family == Family::V4 { 1 } else { 28 }, 0, 1]);
    let addresses = match answer {
        Answer::Addresses(addresses) => addresses,
        Answer::Cut => return assert!(is_cut && code == 0),
        Answer::Failure => return assert!(!is_cut || code != 0),
    };
    assert!(matches!(code, 0 | 3));
    assert!(!is_cut || !addresses.is_empty() || code == 3);
    assert!(addresses.len() <= usize::from(u16::from_be_bytes([packet[6], packet[7]])));
    for address in addresses {
        assert_eq!(address.is_ipv4(), family == Family::V4);
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        assert!(packet.windows(octets.len()).any(|bytes| bytes == octets), "{address}");
    }
}

/// Returns the name at a place of a packet, and the place after it. A name may refer to an earlier one; RFC
/// 1035, 4.1.4.
fn name_at(packet: &[u8], place: usize) -> (Vec<u8>, usize) {
    let length = usize::from(packet[place]);
    if length >= 0xc0 {
        let earlier = (length & 0x3f) << 8 | usize::from(packet[place + 1]);
        return (name_at(packet, earlier).0, place + 2);
    }
    if length == 0 {
        return (Vec::new(), place + 1);
    }
    let (rest, end) = name_at(packet, place + 1 + length);
    ([&packet[place + 1..][..length], b".", &rest].concat(), end)
}
