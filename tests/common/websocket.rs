//! WebSocket servers, and a state history that speaks its real wire format.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Message, WebSocket, accept};

use super::Server;
use super::faults::send;

/// Sends every message back as it came, to the end of the session.
pub fn echo(stream: &mut TcpStream) {
    let Ok(mut socket) = accept(stream) else { return };
    while let Ok(message) = socket.read() {
        if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
            return;
        }
    }
}

/// What a state history says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    pub head: u32,
    /// One past the last block of the traces and of the chain state; 0 is a log that is not kept.
    pub ends: [u32; 2],
    /// How far the head block's timestamp is in the past.
    pub lag_s: f64,
}

impl Node {
    /// A node in sync with both logs.
    pub const fn healthy() -> Self {
        Self { head: 263_148_621, ends: [263_148_622; 2], lag_s: 0.0 }
    }

    fn position(block: u32) -> Vec<u8> {
        [&block.to_le_bytes()[..], &[0xab; 32]].concat()
    }

    /// `get_status_result_v0`.
    pub fn status(&self) -> Vec<u8> {
        let last_irreversible = self.head.saturating_sub(325);
        let logs = self.ends.map(|end| {
            let begin: u32 = if end == 0 { 0 } else { 2 };
            [begin.to_le_bytes(), end.to_le_bytes()].concat()
        });
        let chain_id = vec![0xcd; 32];
        let positions = [Self::position(self.head), Self::position(last_irreversible)].concat();
        [vec![0], positions, logs.concat(), chain_id].concat()
    }

    /// `get_blocks_result_v0` with the head block.
    pub fn block(&self) -> Vec<u8> {
        let length_2000 = vec![1, 0xd0, 0x0f];
        self.blocks_result(&[length_2000, self.signed_block()].concat())
    }

    /// `get_blocks_result_v0` without a block.
    pub fn no_block(&self) -> Vec<u8> {
        self.blocks_result(&[0])
    }

    /// A block's timestamp, and the rest, which nobody reads: 2000 bytes.
    fn signed_block(&self) -> Vec<u8> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let slot = ((now_s - self.lag_s - 946_684_800.0) * 2.0).floor() as u32;
        [&slot.to_le_bytes()[..], &[0x5a; 1996]].concat()
    }

    fn blocks_result(&self, block: &[u8]) -> Vec<u8> {
        let this_block = [vec![1], Self::position(self.head)].concat();
        let prev_block = [vec![1], Self::position(self.head.saturating_sub(1))].concat();
        let traces_and_deltas = vec![0, 0];
        let positions =
            [Self::position(self.head), Self::position(self.head.saturating_sub(1))].concat();
        [vec![1], positions, this_block, prev_block, block.to_vec(), traces_and_deltas].concat()
    }
}

/// The first message of a state history: its ABI as text, about 33 KB.
pub fn abi() -> String {
    format!("{{\"version\": \"eosio::abi/1.1\", \"structs\": [{}]}}", "\"struct\", ".repeat(3400))
}

/// Sends a message in fragments with a ping before each but the first, as large ones come from nodeos.
pub fn send_in_fragments<S: Read + Write>(
    socket: &mut WebSocket<S>,
    kind: Data,
    message: &[u8],
    size: usize,
) -> tungstenite::Result<()> {
    let count = message.len().div_ceil(size);
    for (n, fragment) in message.chunks(size).enumerate() {
        let opcode = if n == 0 { kind } else { Data::Continue };
        if n > 0 {
            socket.send(Message::Ping(vec![n as u8].into()))?;
        }
        let frame = Frame::message(fragment.to_vec(), OpCode::Data(opcode), n + 1 == count);
        socket.send(Message::Frame(frame))?;
    }
    Ok(())
}

/// Answers the requests of one session as a state history does.
pub fn state_history<S: Read + Write>(stream: S, node: &Node) {
    let Ok(mut socket) = accept(stream) else { return };
    let _ = send_in_fragments(&mut socket, Data::Text, abi().as_bytes(), 8192);
    while let Ok(message) = socket.read() {
        let Message::Binary(request) = message else { continue };
        let head = node.head.to_le_bytes();
        let end = (node.head + 1).to_le_bytes();
        let block_alone = [&head[..], &end, &1_u32.to_le_bytes(), &[0, 0, 1, 0, 0]].concat();
        let result = match request.split_first() {
            Some((0, [])) => node.status(),
            Some((1, arguments)) if arguments == block_alone => node.block(),
            // nodeos closes the session where it cannot unpack a request.
            _ => return,
        };
        if send_in_fragments(&mut socket, Data::Binary, &result, 700).is_err() {
            return;
        }
    }
}

/// A state history on a free port, which can be changed.
pub fn state_history_server(node: Arc<Mutex<Node>>) -> Server {
    Server::accepting(move |stream| {
        // As nodeos does; fragments would wait for each other's acknowledgement.
        let _ = stream.set_nodelay(true);
        let node = *node.lock().unwrap();
        state_history(stream, &node);
    })
}

/// First bytes of frames that are whole messages; RFC 6455, 5.2.
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;

/// A frame as a server sends it, behind its first byte: whether it is the last, and its opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let length = match length {
        0..126 => vec![length as u8],
        126..0x1_0000 => [&[126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[127][..], &(length as u64).to_be_bytes()].concat(),
    };
    [&[first][..], &length, payload].concat()
}

/// Reads a short frame as a client sends it, masked: its first byte and what it holds.
pub fn read_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
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

/// The answer that accepts the upgrade that the head of a request asks for.
pub fn acceptance(head: &str) -> String {
    let mut lines = head.lines();
    let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )
}

/// What a state history sends in a session, in the bytes on the wire and in the order in which it is
/// due: the answer to the upgrade, the ABI, the status and the block.
pub type Session = Vec<Vec<u8>>;

/// The session of a node with a request that has this head.
pub fn session(head: &str, node: &Node) -> Session {
    vec![
        acceptance(head).into_bytes(),
        frame(TEXT, abi().as_bytes()),
        frame(BINARY, &node.status()),
        frame(BINARY, &node.block()),
    ]
}

/// Waits until a part of a session is due: the status and the block are when they are asked for.
pub fn wait_until_due(stream: &mut TcpStream, part: usize) {
    if part >= 2 {
        read_frame(stream);
    }
}

/// Sends a session or its beginning, each part when it is due.
pub fn play(stream: &mut TcpStream, session: &[Vec<u8>]) {
    for (n, part) in session.iter().enumerate() {
        wait_until_due(stream, n);
        send(stream, part);
    }
}

/// Sends what comes before a part of a session, and waits until that part is due.
pub fn play_until(stream: &mut TcpStream, session: &[Vec<u8>], part: usize) {
    play(stream, &session[..part]);
    wait_until_due(stream, part);
}
