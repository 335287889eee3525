//! Servers and clients for the tests of the HAProxy configurations that the repository ships.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tungstenite::handshake::server;
use tungstenite::http::HeaderValue;
use tungstenite::{ClientRequestBuilder, Message, WebSocket, accept_hdr};

use super::{Duplex, Server, WAIT_LIMIT, hold, response, wait_until};

/// Loopback addresses that no other test uses. Services can listen on their usual ports there.
pub struct Hosts([u8; 3]);

impl Hosts {
    pub fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let process = std::process::id();
        let block = NEXT.fetch_add(1, Ordering::SeqCst);
        // Not 127.0.0.0/16, which other programs use.
        Self([1 + (process % 250) as u8, block, (process / 250 % 16 * 16) as u8])
    }

    /// The address with the number `n`, of 16.
    pub fn host(&self, n: u8) -> Ipv4Addr {
        assert!(n < 16);
        let [a, b, c] = self.0;
        Ipv4Addr::new(127, a, b, c + n)
    }

    pub fn at(&self, n: u8, port: u16) -> SocketAddr {
        (self.host(n), port).into()
    }
}

/// A service in a back end of HAProxy. Its answers contain its name. The test can make it unhealthy. It never answers
/// a request for the path `/silent`.
pub struct Service {
    pub name: &'static str,
    pub address: SocketAddr,
    serve: Box<dyn Fn() -> Server + Send + Sync>,
    server: Mutex<Option<Server>>,
    is_healthy: Arc<AtomicBool>,
    heads: Arc<Mutex<Vec<String>>>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

/// A request that a service has to answer: the connection, from which nothing has been read yet, the head
/// of the request, and whether the service is healthy.
pub struct IncomingRequest<'a> {
    pub stream: &'a mut TcpStream,
    pub name: &'static str,
    pub head: &'a str,
    pub is_healthy: bool,
}

impl Service {
    pub fn start(
        name: &'static str,
        address: SocketAddr,
        answer: impl Fn(IncomingRequest) + Send + Sync + 'static,
    ) -> Self {
        let is_healthy = Arc::new(AtomicBool::new(true));
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let streams: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let (health, seen, open) = (is_healthy.clone(), heads.clone(), streams.clone());
        let talk = Arc::new(move |stream: &mut TcpStream| {
            open.lock().unwrap().push(stream.try_clone().unwrap());
            let head = peek_head(stream);
            // HAProxy's own TCP check connects and sends nothing.
            if !head.is_empty() {
                seen.lock().unwrap().push(head.clone());
                let is_healthy = health.load(Ordering::SeqCst);
                if head.contains(" /silent ") {
                    hold(stream);
                    return;
                }
                answer(IncomingRequest { stream, name, head: &head, is_healthy });
            }
            // Dropping it would not close it: the list holds another descriptor of the connection.
            let _ = stream.shutdown(Shutdown::Both);
        });
        let serve = Box::new(move || {
            let talk = talk.clone();
            Server::accepting_at(address, move |stream| talk(stream))
        });
        let server = Mutex::new(Some(serve()));
        Self { name, address, serve, server, is_healthy, heads, streams }
    }

    /// Starts the service again after [`Service::kill`].
    pub fn restart(&self) {
        *self.server.lock().unwrap() = Some((self.serve)());
    }

    /// Ends the service with all its connections, as a crash does.
    pub fn kill(&self) {
        drop(self.server.lock().unwrap().take());
        let has_ended = || TcpStream::connect(self.address).is_err().then_some(());
        wait_until("the service listens no more", has_ended);
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Whether the service is healthy; follows [`Service::set_healthy`].
    pub fn health(&self) -> Arc<AtomicBool> {
        self.is_healthy.clone()
    }

    /// Makes the service healthy or unhealthy for the requests that follow.
    pub fn set_healthy(&self, is_healthy: bool) {
        self.is_healthy.store(is_healthy, Ordering::SeqCst);
    }

    /// The heads of the requests of clients. The agent's requests are left out: their `Host` is the
    /// service's own address.
    pub fn client_heads(&self) -> Vec<String> {
        let own = format!("host: {}", self.address);
        let heads = self.heads.lock().unwrap();
        let is_clients = |head: &&String| !head.to_ascii_lowercase().contains(&own);
        heads.iter().filter(is_clients).cloned().collect()
    }
}

/// Waits for the head of a request and leaves it unread. Returns an empty text if the connection ends
/// first.
fn peek_head(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 8192];
    loop {
        match stream.peek(&mut buffer) {
            Ok(1..) if buffer.windows(4).any(|four| four == b"\r\n\r\n") => {
                let end = buffer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(0);
                return String::from_utf8_lossy(&buffer[..end + 4]).into_owned();
            }
            Ok(1..) => thread::sleep(Duration::from_millis(1)),
            Ok(0) | Err(_) => return String::new(),
        }
    }
}

/// The values of a header in the head of a request.
pub fn header_values(head: &str, name: &str) -> Vec<String> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let values = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    values.map(|(_, value)| value.to_owned()).collect()
}

impl IncomingRequest<'_> {
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub fn is_upgrade(&self) -> bool {
        self.head.to_ascii_lowercase().contains("\r\nupgrade: websocket\r\n")
    }

    /// Answers, with the service's name in a header.
    pub fn respond(self, status: &str, body: &str) {
        let mut head = vec![0; self.head.len()];
        let _ = self.stream.read_exact(&mut head);
        let _ = self.stream.write_all(self.named_response(status, body).as_bytes());
    }

    fn named_response(&self, status: &str, body: &str) -> String {
        let answer = String::from_utf8(response(status, body.as_bytes())).unwrap();
        answer.replacen("\r\n", &format!("\r\nX-Server: {}\r\n", self.name), 1)
    }

    /// Accepts the upgrade, with the service's name in a header. Refuses it with the status 400 if it is incomplete.
    pub fn accept(self) -> Option<WebSocket<TcpStream>> {
        let name = HeaderValue::from_static(self.name);
        #[allow(clippy::result_large_err, reason = "tungstenite gives the type")]
        let with_name = |_: &server::Request, mut answer: server::Response| {
            answer.headers_mut().insert("X-Server", name);
            Ok(answer)
        };
        let accepted = accept_hdr(self.stream.try_clone().ok()?, with_name).ok();
        if accepted.is_none() {
            let refusal = self.named_response("400 Bad Request", "no WebSocket");
            let _ = self.stream.write_all(refusal.as_bytes());
        }
        accepted
    }

    /// Accepts the upgrade and sends every message back.
    pub fn echo(self) {
        let Some(mut socket) = self.accept() else { return };
        while let Ok(message) = socket.read() {
            if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                return;
            }
        }
    }
}

/// An answer that came through HAProxy.
#[derive(Debug)]
pub struct HttpAnswer {
    pub status: u16,
    pub text: String,
}

impl HttpAnswer {
    pub fn parse(text: String) -> Self {
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self { status: status.unwrap_or_default(), text }
    }

    /// The value of a header, or an empty text if the answer does not have it.
    pub fn header(&self, name: &str) -> String {
        let lines = self.text.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.to_owned()).unwrap_or_default()
    }

    /// The name of the service that answered.
    pub fn server(&self) -> String {
        self.header("X-Server")
    }
}

/// Sends a request with these lines and reads the answer. Of an answer to an upgrade only the head is read.
pub fn ask_http(mut stream: impl Duplex, lines: &[&str]) -> HttpAnswer {
    let is_upgrade = lines.iter().any(|line| line.starts_with("Upgrade:"));
    let last = if is_upgrade { "" } else { "Connection: close\r\n" };
    let request = format!("{}\r\n{last}\r\n", lines.join("\r\n"));
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    // An error counts as the end: HAProxy may close the connection without ending TLS.
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..count]);
        if is_upgrade && answer.windows(4).any(|four| four == b"\r\n\r\n") {
            break;
        }
    }
    HttpAnswer::parse(String::from_utf8_lossy(&answer).into_owned())
}

/// The header lines of a request for an upgrade to a WebSocket.
pub const UPGRADE: [&str; 4] = [
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// A client's WebSocket through HAProxy.
pub struct ClientSession {
    pub socket: WebSocket<Box<dyn Duplex>>,
    /// The name of the service that answered.
    pub server: String,
    /// The cookie that HAProxy set, if it did.
    pub cookie: Option<String>,
}

impl ClientSession {
    /// Opens a WebSocket. The error is the HTTP status with which it was refused.
    pub fn open(
        stream: impl Duplex + 'static,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, u16> {
        let request = ClientRequestBuilder::new(url.parse().unwrap());
        let add = |request: ClientRequestBuilder, (name, value): &(&str, &str)| {
            request.with_header(*name, *value)
        };
        let request = headers.iter().fold(request, add);
        let stream: Box<dyn Duplex> = Box::new(stream);
        match tungstenite::client(request, stream) {
            Ok((socket, response)) => {
                let header = |name| {
                    let value = response.headers().get(name)?.to_str().ok()?;
                    Some(value.to_owned())
                };
                let cookie = header("Set-Cookie");
                let cookie = cookie.and_then(|cookie| Some(cookie.split(';').next()?.to_owned()));
                Ok(Self { socket, server: header("X-Server").unwrap_or_default(), cookie })
            }
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("the upgrade failed: {error}"),
        }
    }

    /// Whether the service echoes a message.
    pub fn is_alive(&mut self) -> bool {
        let sent = Message::text("are you there");
        self.socket.send(sent.clone()).is_ok() && self.socket.read().is_ok_and(|back| back == sent)
    }
}

/// Connects to HAProxy.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("HAProxy accepts");
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    stream
}

/// The same, from this loopback address.
pub fn connect_from(host: Ipv4Addr, address: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&stream, &SocketAddr::from((host, 0))).unwrap();
    connect(&stream, &address).expect("HAProxy accepts");
    let stream = TcpStream::from(stream);
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    stream
}
