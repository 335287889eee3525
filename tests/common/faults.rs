//! Faults of a service that is asked over HTTP.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use super::{Duplex, Server, hold, response};

/// Sends a wrong answer, after the request has been read.
pub type WrongAnswer = fn(&mut dyn Duplex);

/// Wrong answers: the name of each, what the server does, the status of the answer's head if that is whole,
/// and the reason that the agent has to give for it, with a timeout of 400 ms, when it asks over HTTP.
pub const WRONG_ANSWERS: [(&str, WrongAnswer, Option<u16>, &str); 30] = [
    ("sends nothing and waits", |stream| hold(stream), None, NO_ANSWER),
    ("sends one byte at a time for ever", drip, Some(200), NO_ANSWER),
    ("sends a part and waits", send_a_part_and_hold, Some(200), NO_ANSWER),
    ("sends interim answers for ever", send_interim_answers, None, NO_ANSWER),
    ("sends an endless header", send_endless_header, None, "sent no valid HTTP"),
    (
        "sends a header line without an end",
        send_endless_header_line,
        None,
        "sent too long a header",
    ),
    ("sends a long header", send_long_header, None, "sent too long a header"),
    ("sends an endless body", send_endless_body, Some(200), "sent more than 1 MiB"),
    ("sends endless chunks", send_endless_chunks, Some(200), "sent more than 1 MiB"),
    ("sends a large body", send_large_body, Some(200), "sent more than 1 MiB"),
    ("sends a truncated body", send_truncated_body, Some(200), CLOSED_EARLY),
    ("closes without an answer", |_| {}, None, CLOSED_EARLY),
    (
        "answers 503",
        |stream| send(stream, response("503 Busy", b"{}")),
        Some(503),
        "answered HTTP 503",
    ),
    (
        "answers 404",
        |stream| send(stream, response("404 Not Found", b"")),
        Some(404),
        "answered HTTP 404",
    ),
    (
        "redirects in a loop",
        |stream| redirect(stream, "301 Moved", "/"),
        Some(301),
        "answered HTTP 301; redirects are not followed",
    ),
    (
        "redirects to itself",
        |stream| redirect(stream, "302 Found", ""),
        Some(302),
        "answered HTTP 302; redirects are not followed",
    ),
    (
        "redirects to another host",
        |stream| redirect(stream, "307 Go", "http://192.0.2.1/"),
        Some(307),
        "answered HTTP 307; redirects are not followed",
    ),
    (
        "redirects to an invalid URL",
        |stream| redirect(stream, "308 Go", "gopher://\u{ff}"),
        Some(308),
        "answered HTTP 308; redirects are not followed",
    ),
    ("answers as SSH", |stream| send(stream, SSH), None, "sent no valid HTTP"),
    ("answers as SSH and waits", send_ssh_and_hold, None, "sent no valid HTTP"),
    (
        "answers as SMTP",
        |stream| send(stream, "220 mail.example ESMTP\r\n"),
        None,
        "sent no valid HTTP",
    ),
    (
        "answers in HTTP/0.9",
        |stream| send(stream, "<html>0.9</html>\r\n"),
        None,
        "sent no valid HTTP",
    ),
    ("answers in HTTP/2", |stream| send(stream, HTTP_2), None, "sent no valid HTTP"),
    ("answers with HTTP/2's preface", |stream| send(stream, PREFACE), None, "sent no valid HTTP"),
    ("answers with a TLS alert", |stream| send(stream, TLS_ALERT), None, "sent no valid HTTP"),
    ("sends zeros for ever", |stream| send_for_ever(stream, [0; 4096]), None, "sent no valid HTTP"),
    (
        "sends line ends for ever",
        |stream| send_for_ever(stream, [b'\n'; 4096]),
        None,
        "sent too long a header",
    ),
    (
        "sends a chunk without a valid size",
        |stream| send_chunks(stream, "soon\r\n{}\r\n0\r\n\r\n"),
        Some(200),
        BAD_CHUNK,
    ),
    (
        "sends a chunk size of more than 64 bits",
        |stream| send_chunks(stream, "ffffffffffffffffff\r\n{}\r\n"),
        Some(200),
        BAD_CHUNK,
    ),
    (
        "sends a chunk size without an end",
        send_endless_chunk_size,
        Some(200),
        "could not be asked: response",
    ),
];

/// The agent's reason, with a timeout of 400 ms, when a service does not answer in time.
pub const NO_ANSWER: &str = "no answer within 400 ms";

/// Its reason when a service closes the connection before the answer is complete.
pub const CLOSED_EARLY: &str = "closed the connection within the answer";

/// Its reason when the chunks of a body are invalid.
pub const BAD_CHUNK: &str = "could not be asked: protocol: chunk ";

/// The first line of an SSH server.
pub const SSH: &str = "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n";

/// An HTTP/2 server's first frame, SETTINGS, and GOAWAY; RFC 9113, 6.5 and 6.8.
const HTTP_2: &[u8] =
    b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01";

/// The first bytes of an HTTP/2 client; RFC 9113, 3.4.
const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A TLS server's answer to bytes that are not TLS: unexpected_message; RFC 8446, 6.
pub const TLS_ALERT: &[u8] = b"\x15\x03\x03\x00\x02\x02\x0a";

/// A server for each wrong answer, with the reason that the agent has to give.
pub fn http_servers() -> Vec<(Server, &'static str)> {
    let servers = WRONG_ANSWERS.into_iter();
    servers
        .map(|(_, answer, _, reason)| (Server::start(move |stream| answer(stream)), reason))
        .collect()
}

/// Sends the bytes, unless the other end closes the connection.
pub fn send(stream: &mut (impl Write + ?Sized), bytes: impl AsRef<[u8]>) {
    let _ = stream.write_all(bytes.as_ref());
}

/// Sends the bytes again and again until the other end closes the connection.
pub fn send_for_ever(stream: &mut (impl Write + ?Sized), bytes: impl AsRef<[u8]>) {
    while stream.write_all(bytes.as_ref()).is_ok() {}
}

fn drip(stream: &mut dyn Duplex) {
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".iter().cycle() {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn send_a_part_and_hold(stream: &mut dyn Duplex) {
    send(stream, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}");
    hold(stream);
}

fn send_interim_answers(stream: &mut dyn Duplex) {
    send_for_ever(stream, "HTTP/1.1 102 Processing\r\n\r\n");
}

fn send_endless_header(stream: &mut dyn Duplex) {
    send(stream, "HTTP/1.1 200 OK\r\n");
    send_for_ever(stream, "X-Long: yes\r\n");
}

fn send_long_header(stream: &mut dyn Duplex) {
    send(stream, format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(200_000)));
}

fn send_endless_body(stream: &mut dyn Duplex) {
    send(stream, "HTTP/1.1 200 OK\r\n\r\n");
    send_for_ever(stream, [b' '; 65536]);
}

/// The body holds the value that is asked for, but is one byte too long.
fn send_large_body(stream: &mut dyn Duplex) {
    let mut body = b"streams_hls=1\n".to_vec();
    body.resize((1 << 20) + 1, b'\n');
    send(stream, response("200 OK", &body));
}

fn send_truncated_body(stream: &mut dyn Duplex) {
    send(stream, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nstreams_hls=1\n");
}

fn redirect(stream: &mut dyn Duplex, status: &str, to: &str) {
    send(stream, format!("HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"));
}

fn send_endless_header_line(stream: &mut dyn Duplex) {
    send(stream, "HTTP/1.1 200 OK\r\nX: ");
    send_for_ever(stream, [b'x'; 4096]);
}

fn send_ssh_and_hold(stream: &mut dyn Duplex) {
    send(stream, SSH);
    hold(stream);
}

fn send_chunks(stream: &mut dyn Duplex, chunks: impl AsRef<[u8]>) {
    send(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    send(stream, chunks);
}

fn send_endless_chunks(stream: &mut dyn Duplex) {
    send_chunks(stream, "");
    send_for_ever(stream, "10\r\n                \r\n".repeat(1000));
}

fn send_endless_chunk_size(stream: &mut dyn Duplex) {
    send_chunks(stream, "5;");
    send_for_ever(stream, [b'x'; 4096]);
}

/// A JSON text of `size` bytes that consists of nested maps. No other JSON of that size takes as much
/// memory and time to read.
pub fn nested_maps(size: usize) -> Vec<u8> {
    let nested = format!("{}1{}", "{\"\":".repeat(100), "}".repeat(100));
    let mut maps = "{\"first\": 0".to_owned();
    let mut next = format!(",\"0\":{nested}");
    for n in 1.. {
        if maps.len() + next.len() >= size {
            break;
        }
        maps += &next;
        next = format!(",\"{n}\":{nested}");
    }
    let mut maps = maps.into_bytes();
    maps.resize(size - 1, b' ');
    maps.push(b'}');
    maps
}

/// How an answer breaks off before it is complete.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    Close,
    Reset,
    Hang,
    Drip,
}

impl Ending {
    pub const ALL: [Self; 4] = [Self::Close, Self::Reset, Self::Hang, Self::Drip];

    /// Breaks off an answer on `stream`, whose TCP connection is `tcp`. `rest` is what has not been sent
    /// yet.
    pub fn carry_out(self, stream: &mut (impl Duplex + ?Sized), tcp: &TcpStream, rest: &[u8]) {
        match self {
            Self::Close => {}
            Self::Reset => set_socket_linger(tcp, Some(Duration::ZERO)).unwrap(),
            Self::Hang => hold(stream),
            Self::Drip => {
                // Not the last byte: the answer must stay incomplete.
                for byte in rest.iter().take(rest.len() - 1) {
                    thread::sleep(Duration::from_millis(2));
                    if stream.write_all(&[*byte]).is_err() {
                        return;
                    }
                }
                hold(stream);
            }
        }
    }

    /// The reason that the agent, with a timeout of 400 ms, has to give.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Close | Self::Reset => CLOSED_EARLY,
            Self::Hang | Self::Drip => NO_ANSWER,
        }
    }
}

/// A listener that never accepts and whose queue is full, so that connecting to it does not end.
pub struct FullListener {
    pub address: SocketAddr,
    _listener: OwnedFd,
    _waiting: Vec<OwnedFd>,
}

impl FullListener {
    /// Listens on a free port, and fills its own queue.
    pub fn new() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The same, on this address.
    pub fn at(address: SocketAddr) -> Self {
        use rustix::net::{
            AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket_with,
        };
        let socket = || {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap()
        };
        let listener = socket();
        // Connections of an earlier listener may still be in TIME_WAIT.
        rustix::net::sockopt::set_socket_reuseaddr(&listener, true).unwrap();
        bind(&listener, &address).unwrap();
        listen(&listener, 0).unwrap();
        let address = rustix::net::getsockname(&listener).unwrap().try_into().unwrap();
        // A queue of length 0 takes one connection, so four are enough to fill it.
        let waiting = (0..4).map(|_| {
            let waiting = socket();
            assert_eq!(connect(&waiting, &address), Err(rustix::io::Errno::INPROGRESS));
            waiting
        });
        Self { address, _waiting: waiting.collect(), _listener: listener }
    }
}
