//! Faults of a service that is asked over a WebSocket, each with the reason that the agent, with a timeout
//! of 400 ms, has to give.

use super::faults::{CLOSED_EARLY, NO_ANSWER, WrongAnswer, send, send_for_ever};
use super::state_history::Node;
use super::websocket::{BINARY, CLOSE, PING, TEXT, frame};
use super::{Duplex, response};

const NO_MESSAGE: &str = "sent no valid WebSocket message";
const LONG_MESSAGE: &str = "sent a message of more than 2 MiB";
const NO_ACCEPT: &str = "without the key's Sec-WebSocket-Accept";

/// The first line of an answer that accepts an upgrade.
const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols";

/// Answers to an upgrade with one mistake: a part of the right answer, and the text that replaces it.
pub const CHANGED_ACCEPTANCES: [(&str, &str, &str); 19] = [
    (ACCEPTED, "HTTP/1.1 200 OK", "answered HTTP 200, no WebSocket upgrade"),
    (ACCEPTED, "HTTP/1.1 302 Found\r\nLocation: /", "answered HTTP 302, no WebSocket upgrade"),
    (ACCEPTED, "HTTP/1.1 400 Bad Request", "answered HTTP 400, no WebSocket upgrade"),
    (ACCEPTED, "HTTP/1.1 404 Not Found", "answered HTTP 404, no WebSocket upgrade"),
    (ACCEPTED, "HTTP/1.1 426 Upgrade Required", "answered HTTP 426, no WebSocket upgrade"),
    (ACCEPTED, "HTTP/1.1 500 Error", "answered HTTP 500, no WebSocket upgrade"),
    (ACCEPTED, "HTTP/1.1 503 Busy", "answered HTTP 503, no WebSocket upgrade"),
    (ACCEPTED, "HTTP/1.0 503 Busy", "sent no valid HTTP/1.1"),
    (ACCEPTED, "HTTP/2 101", "sent no valid HTTP"),
    (ACCEPTED, "220 mail.example.com ESMTP", "sent no valid HTTP"),
    ("Upgrade: websocket\r\n", "", "without Upgrade: websocket"),
    ("Upgrade: websocket", "Upgrade: h2c", "without Upgrade: websocket"),
    ("Connection: Upgrade\r\n", "", "without Connection: Upgrade"),
    ("Connection: Upgrade", "Connection: close", "without Connection: Upgrade"),
    ("Sec-WebSocket-Accept", "Sec-WebSocket-Key", NO_ACCEPT),
    ("Accept: ", "Accept: AAAA", NO_ACCEPT),
    ("=\r\n", "\r\n", NO_ACCEPT),
    (
        "\r\n\r\n",
        "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        "with an extension, unasked",
    ),
    ("\r\n\r\n", "\r\nSec-WebSocket-Protocol: soap\r\n\r\n", "with a protocol, unasked"),
];

/// Wrong answers to an upgrade. The answers of [`super::faults::WRONG_ANSWERS`] are wrong there too.
pub const WRONG_ACCEPTANCES: [(&str, WrongAnswer, &str); 6] = [
    ("accepts with an endless header", accept_with_endless_header, "sent too long a header"),
    ("accepts with a long header", accept_with_long_header, "sent too long a header"),
    (
        "accepts for ever in one line",
        |stream| send_for_ever(stream, "HTTP/1.1 101 Hi"),
        "sent too long a header",
    ),
    (
        "accepts for ever, line by line",
        |stream| send_for_ever(stream, "HTTP/1.1 101 Hi\r\n"),
        "sent no valid HTTP",
    ),
    (
        "sends a frame instead of upgrading",
        |stream| send(stream, frame(TEXT, b"{}")),
        "sent no valid HTTP",
    ),
    (
        "pings instead of upgrading",
        |stream| send_for_ever(stream, frame(PING, b"")),
        "sent no valid HTTP",
    ),
];

fn accept_with_endless_header(stream: &mut dyn Duplex) {
    send(stream, "HTTP/1.1 101 Switching Protocols\r\n");
    send_for_ever(stream, "X-Long: yes\r\n");
}

fn accept_with_long_header(stream: &mut dyn Duplex) {
    send(stream, format!("HTTP/1.1 101 Hi\r\nX: {}\r\n\r\n", "x".repeat(200_000)));
}

/// What a server may send instead of a valid message.
pub const INVALID_MESSAGES: [(&str, WrongAnswer, &str); 25] = [
    ("a frame of 3 MiB", |stream| begin_frame(stream, 3 << 20), LONG_MESSAGE),
    ("a frame of 2^63 bytes", |stream| begin_frame(stream, 1 << 63), LONG_MESSAGE),
    ("a frame of 2^64 - 1 bytes", |stream| begin_frame(stream, u64::MAX), LONG_MESSAGE),
    ("a frame without its end", |stream| begin_frame(stream, 1 << 20), NO_ANSWER),
    (
        "long fragments for ever",
        |stream| send_fragments_for_ever(stream, &[0; 1 << 16]),
        LONG_MESSAGE,
    ),
    ("empty fragments for ever", |stream| send_fragments_for_ever(stream, b""), NO_ANSWER),
    ("a masked frame", |stream| send(stream, [&[BINARY, 0x81][..], &[0; 5]].concat()), NO_MESSAGE),
    ("a compressed frame", |stream| send(stream, frame(0xc2, b"compressed")), NO_MESSAGE),
    ("the second reserved bit", |stream| send(stream, frame(0xa2, b"bit")), NO_MESSAGE),
    ("the third reserved bit", |stream| send(stream, frame(0x92, b"bit")), NO_MESSAGE),
    ("a reserved opcode of data", |stream| send(stream, frame(0x83, b"opcode")), NO_MESSAGE),
    ("a reserved opcode of control", |stream| send(stream, frame(0x8b, b"opcode")), NO_MESSAGE),
    ("a long ping", |stream| send(stream, frame(PING, &[0; 126])), NO_MESSAGE),
    ("a ping in fragments", |stream| send(stream, frame(0x09, b"ping")), NO_MESSAGE),
    ("a last fragment without a first", |stream| send(stream, frame(0x80, b"end")), NO_MESSAGE),
    (
        "a message within another",
        |stream| send(stream, [frame(0x02, b""), frame(BINARY, b"")].concat()),
        NO_MESSAGE,
    ),
    ("text that is not UTF-8", |stream| send(stream, frame(TEXT, b"\xff")), NO_MESSAGE),
    ("text that ends within a character", |stream| send(stream, frame(TEXT, b"\xc3")), NO_MESSAGE),
    ("HTTP", |stream| send(stream, response("500 Error", &[b' '; 99])), NO_MESSAGE),
    ("pings for ever", |stream| send_for_ever(stream, frame(PING, b"are you there?")), NO_ANSWER),
    ("pongs for ever", |stream| send_for_ever(stream, frame(0x8a, b"here I am")), NO_ANSWER),
    ("text for ever", |stream| send_for_ever(stream, frame(TEXT, b"{}")), NO_ANSWER),
    ("a close frame", |stream| send(stream, frame(CLOSE, &1001_u16.to_be_bytes())), CLOSED_EARLY),
    ("an empty close frame", |stream| send(stream, frame(CLOSE, b"")), CLOSED_EARLY),
    (
        "a close frame within a message",
        |stream| send(stream, [frame(0x02, b""), frame(CLOSE, b"")].concat()),
        CLOSED_EARLY,
    ),
];

/// Sends the beginning of a frame whose header declares this length.
fn begin_frame(stream: &mut dyn Duplex, length: u64) {
    send(stream, [&[BINARY, 127][..], &length.to_be_bytes(), &[0; 64]].concat());
}

fn send_fragments_for_ever(stream: &mut dyn Duplex, fragment: &[u8]) {
    send(stream, frame(0x02, b""));
    send_for_ever(stream, frame(0x00, fragment));
}

/// The parts of a session that hold the status and the block.
pub const STATUS: usize = 2;
pub const BLOCK: usize = 3;

/// A wrong message of a state history: the part of the session that it replaces, its frame, and the reason
/// that the agent has to give.
pub struct WrongMessage {
    pub name: &'static str,
    pub part: usize,
    pub frame: Vec<u8>,
    pub reason: &'static str,
}

/// Messages that do not hold a status, or a block, although one is due.
pub fn unreadable_messages() -> Vec<WrongMessage> {
    let node = Node::healthy();
    let variant = |n: u8, message: Vec<u8>| [&[n], &message[1..]].concat();
    let cut = |message: Vec<u8>, length| message[..length].to_vec();
    let other = Node { head: node.head - 1, ..node };
    let long_block = [cut(node.block(), node.block().len() - 2000 - 4), vec![0xff; 5]].concat();
    let binary = [
        (STATUS, "a block", node.block(), "sent something else than a status"),
        (STATUS, "variant 3", variant(3, node.status()), "sent something else than a status"),
        (STATUS, "nothing", vec![], "ends early"),
        (STATUS, "a variant alone", vec![0], "ends early"),
        (STATUS, "half a position", cut(node.status(), 36), "ends early"),
        (STATUS, "half its logs", cut(node.status(), 88), "ends early"),
        (STATUS, "a large variant", vec![0xff; 99], "sent a number of more than 32 bits"),
        (STATUS, "zeros", vec![0; 121], "reports no head block"),
        (BLOCK, "a status", node.status(), "sent something else than a block"),
        (BLOCK, "variant 2", variant(2, node.block()), "sent something else than a block"),
        (BLOCK, "a large variant", vec![0xff; 99], "sent a number of more than 32 bits"),
        (BLOCK, "another block", other.block(), "sent no block 263148621, its head"),
        (BLOCK, "no block", node.no_block(), "sent no block 263148621, its head"),
        (BLOCK, "a large size", long_block, "sent a number of more than 32 bits"),
        (BLOCK, "nothing", vec![], "ends early"),
        (BLOCK, "half a position", cut(node.block(), 100), "ends early"),
        (BLOCK, "half its positions", cut(node.block(), 150), "ends early"),
        (BLOCK, "half of itself", cut(node.block(), 2000), "ends early"),
    ];
    let text = [STATUS, BLOCK].map(|part| WrongMessage {
        name: "text",
        part,
        frame: frame(TEXT, b"{}"),
        reason: NO_ANSWER,
    });
    let binary = binary.into_iter().map(|(part, name, message, reason)| WrongMessage {
        name,
        part,
        frame: frame(BINARY, &message),
        reason,
    });
    binary.chain(text).collect()
}

/// Messages with numbers that no healthy state history sends. The agent reads them and finds the service
/// bad.
pub fn out_of_range_messages() -> Vec<WrongMessage> {
    let node = Node::healthy();
    let status = |name, node: Node, reason| WrongMessage {
        name,
        part: STATUS,
        frame: frame(BINARY, &node.status()),
        reason,
    };
    let block_of_slot = |name, slot: u32, reason| {
        let mut block = node.block();
        let place = block.len() - 2 - 2000;
        block[place..place + 4].copy_from_slice(&slot.to_le_bytes());
        WrongMessage { name, part: BLOCK, frame: frame(BINARY, &block), reason }
    };
    let head = u32::MAX;
    vec![
        status("the last head block", Node { head, ends: [1, 0], ..node }, "traces to block 0"),
        status("the last end", Node { ends: [u32::MAX, 0], ..node }, "traces to block 4294967294"),
        block_of_slot("the first time", 0, "head block behind"),
        block_of_slot("the last time", u32::MAX, "head block ahead"),
    ]
}
