//! WebSocket servers, among them state histories, written byte by byte.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use tungstenite::handshake::derive_accept_key;

use super::Server;
use super::faults::send;
use super::state_history::{Node, abi, talk};

/// A state history on a free port. The test can change what it reports.
pub fn state_history_server(node: Arc<Mutex<Node>>) -> Server {
    Server::accepting(move |stream| {
        // As nodeos does. Otherwise each fragment would wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let node = *node.lock().unwrap();
        talk(stream, &node);
    })
}

/// First bytes of frames that each hold a whole message; RFC 6455, 5.2.
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;

/// A frame as a server sends it. `first` is its first byte, with the opcode and the mark of a message's
/// last frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let length = match length {
        0..126 => vec![length as u8],
        126..0x1_0000 => [&[126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[127][..], &(length as u64).to_be_bytes()].concat(),
    };
    [&[first][..], &length, payload].concat()
}

/// Reads a short, masked frame, as a client sends it. Returns its first byte and its payload.
pub fn read_frame(stream: &mut (impl Read + ?Sized)) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 6];
    stream.read_exact(&mut head).ok()?;
    let [first, length, mask @ ..] = head;
    assert!((0x80..0x80 + 126).contains(&length), "masked and short: {head:?}");
    let mut payload = vec![0; usize::from(length - 0x80)];
    stream.read_exact(&mut payload).ok()?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Some((first, payload))
}

/// The answer that accepts an upgrade; `head` is the head of the request.
pub fn acceptance(head: &str) -> String {
    let mut lines = head.lines();
    let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )
}

/// The bytes that a state history sends in a session, in four parts: the answer to the upgrade, the ABI,
/// the status and the block.
pub type SessionParts = Vec<Vec<u8>>;

/// The session of a node. `head` is the head of the request.
pub fn session(head: &str, node: &Node) -> SessionParts {
    vec![
        acceptance(head).into_bytes(),
        frame(TEXT, abi().as_bytes()),
        frame(BINARY, &node.status()),
        frame(BINARY, &node.block()),
    ]
}

/// Waits until a part of a session is due. The status and the block are due when the client has asked for
/// them.
pub fn wait_until_due(stream: &mut (impl Read + ?Sized), part: usize) {
    if part >= 2 {
        read_frame(stream);
    }
}

/// Sends these parts of a session, each when it is due.
pub fn send_parts(stream: &mut (impl Read + Write + ?Sized), session: &[Vec<u8>]) {
    for (n, part) in session.iter().enumerate() {
        wait_until_due(stream, n);
        send(stream, part);
    }
}

/// Sends the parts of a session before `part`, and waits until `part` is due.
pub fn send_parts_before(
    stream: &mut (impl Read + Write + ?Sized),
    session: &[Vec<u8>],
    part: usize,
) {
    send_parts(stream, &session[..part]);
    wait_until_due(stream, part);
}
