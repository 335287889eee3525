//! A state history server in the real wire format, for the tests and the benchmark.

use std::io::{Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Message, WebSocket, accept};

/// What a state history reports about itself.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    pub head: u32,
    /// The number after the last block of the traces, and of the chain state; 0 if the node keeps no such
    /// log.
    pub ends: [u32; 2],
    /// The age of the head block, in seconds.
    pub lag_s: f64,
}

impl Node {
    /// A node that is in sync and keeps both logs.
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

    /// A block of 2000 bytes: its timestamp, and filler for the rest, which no client of the tests reads.
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

/// A state history's first message: its ABI as text, about 33 KB.
pub fn abi() -> String {
    format!("{{\"version\": \"eosio::abi/1.1\", \"structs\": [{}]}}", "\"struct\", ".repeat(3400))
}

/// Sends a message in fragments, as nodeos sends large ones. A ping comes before every fragment but the
/// first.
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
pub fn talk(stream: impl Read + Write, node: &Node) {
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
            // nodeos closes the session when it cannot unpack a request.
            _ => return,
        };
        if send_in_fragments(&mut socket, Data::Binary, &result, 700).is_err() {
            return;
        }
    }
}
