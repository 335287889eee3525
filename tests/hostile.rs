//! Hostile and broken clients of an agent under xinetd with the shipped service files.

mod common;

use std::io::ErrorKind::WouldBlock;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::reply::Reply;
use common::*;
use rustix::net::sockopt::set_socket_linger;

const OPTIONAL: &str = include_str!("../xinetd/haproxy-agent-check");
const REQUIRED: &str = include_str!("../xinetd/antelope-agent-check");

/// The agent's default timeout.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// An agent under xinetd with a shipped service file, and the statistics page that it asks, on which `hls`
/// is 5.
struct SupervisedAgent {
    xinetd: Xinetd,
    _page: Server,
}

impl SupervisedAgent {
    /// An agent that needs no request line. Without one, it compares `hls` with 10.
    fn optional() -> Self {
        Self::start(OPTIONAL, "hls 10")
    }

    /// An agent that requires a request line.
    fn required() -> Self {
        Self::start(REQUIRED, "--agent-send required")
    }

    fn start(shipped: &str, args: &str) -> Self {
        let page = Server::fixed(text_page(&[("streams_hls", "5")]));
        let args = format!("--describe --stats-url {} {args}", page.url());
        Self { xinetd: Xinetd::start_file(shipped, &args), _page: page }
    }

    fn address(&self) -> SocketAddr {
        self.xinetd.address
    }

    /// Expects that an ordinary check is answered, and that no process of an earlier connection is left.
    fn expect_healthy(&self) {
        assert_eq!(ask(self.address(), b"hls 6\n"), "up 100% # hls 5/6\n");
        self.xinetd.wait_until_idle();
    }
}

/// Reads one reply and nothing after it: the connection may then be reset.
fn read_reply(stream: &mut TcpStream) -> String {
    let mut reply = Vec::new();
    let mut byte = [0];
    while !reply.ends_with(b"\n") && matches!(stream.read(&mut byte), Ok(1)) {
        reply.push(byte[0]);
    }
    String::from_utf8_lossy(&reply).into_owned()
}

const TOO_LONG: &str = "fail # the request line is longer than 1024 bytes\n";
const NO_LINE: &str = "fail # no request line came\n";

/// Sends `first`, then `piece` again and again until the reply has come. Returns the reply.
fn send_until_answered(address: SocketAddr, first: &[u8], piece: &[u8], pause: Duration) -> String {
    let mut stream = connect_and_send(address, first).unwrap();
    let mut sender = stream.try_clone().unwrap();
    let is_answered = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_answered.load(Ordering::SeqCst) && sender.write_all(piece).is_ok() {
                thread::sleep(pause);
            }
            let _ = sender.shutdown(Shutdown::Both);
        });
        let reply = read_reply(&mut stream);
        is_answered.store(true, Ordering::SeqCst);
        let _ = stream.shutdown(Shutdown::Both);
        reply
    })
}

#[test]
fn a_client_that_sends_nothing_is_answered_at_once_or_at_the_timeout() {
    for (service, reply, at) in [
        (SupervisedAgent::optional(), "up 100% # hls 5/10\n", Duration::ZERO),
        (SupervisedAgent::required(), NO_LINE, TIMEOUT),
    ] {
        let start = Instant::now();
        assert_eq!(ask(service.address(), b""), reply);
        let took = start.elapsed();
        assert!(
            took + Duration::from_millis(10) >= at && took < at + TOLERANCE,
            "{reply} {took:?}"
        );
        service.expect_healthy();
    }
}

#[test]
fn a_client_that_sends_for_ever_is_answered_in_time() {
    let none = Duration::ZERO;
    let slow = Duration::from_millis(10);
    for service in [SupervisedAgent::optional(), SupervisedAgent::required()] {
        for (first, piece, pause, reply) in [
            (&[b'x'; 4096][..], &[b'x'; 4096][..], none, TOO_LONG),
            (&[0; 4096], &[0; 4096], none, TOO_LONG),
            (b"hls 7\n", b"hls 5\n", none, "up 100% # hls 5/7\n"),
            (b"hls 5\n", b"\n", slow, "down # hls 5/5\n"),
            (b"h", b"l", slow, "fail # the request line did not end in time\n"),
            (b" ", b" ", none, TOO_LONG),
        ] {
            let ask = || {
                let start = Instant::now();
                (send_until_answered(service.address(), first, piece, pause), start)
            };
            // On a busy machine, the agent may have answered before the first bytes arrive.
            let (seen, start) = wait_until("the line arrives in time", || {
                Some(ask()).filter(|(seen, _)| seen != "up 100% # hls 5/10\n")
            });
            assert!(seen.starts_with(reply) && Reply::parse(&seen).is_ok(), "{seen:?}");
            assert!(start.elapsed() < TIMEOUT + TOLERANCE, "{reply} {:?}", start.elapsed());
        }
        service.expect_healthy();
    }
}

#[test]
fn a_request_line_sent_byte_by_byte_is_read_to_its_end() {
    for service in [SupervisedAgent::optional(), SupervisedAgent::required()] {
        let mut stream = connect_and_send(service.address(), b"h").unwrap();
        for byte in b"ls 5\r\n" {
            thread::sleep(Duration::from_millis(5));
            stream.write_all(&[*byte]).unwrap();
        }
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("the connection is closed, not reset");
        assert_eq!(reply, "down # hls 5/5\n");
        service.expect_healthy();
    }
}

#[test]
fn a_client_that_disconnects_leaves_no_process() {
    for service in [SupervisedAgent::optional(), SupervisedAgent::required()] {
        for sent in [&b""[..], b"h", b"hls 5\n", &[b'x'; 4096]] {
            drop(connect_and_send(service.address(), sent).unwrap());
            let resetting = connect_and_send(service.address(), sent).unwrap();
            set_socket_linger(&resetting, Some(Duration::ZERO)).unwrap();
            drop(resetting);
        }
        service.expect_healthy();
    }
}

#[test]
fn a_client_that_shuts_down_its_sending_side_is_answered() {
    for (service, without) in [
        (SupervisedAgent::optional(), "up 100% # hls 5/10\n"),
        (SupervisedAgent::required(), NO_LINE),
    ] {
        for (sent, reply) in [
            (&b""[..], without),
            (b"hls 5\n", "down # hls 5/5\n"),
            (b"hls 5", "down # hls 5/5\n"),
            (b"\n", without),
        ] {
            let start = Instant::now();
            let mut stream = connect_and_send(service.address(), sent).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut seen = String::new();
            stream.read_to_string(&mut seen).expect("the connection is closed, not reset");
            assert_eq!(seen, reply, "{sent:?}");
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        }
        service.expect_healthy();
    }
}

#[test]
fn anything_but_a_request_is_answered_with_one_printable_line() {
    let all_bytes: Vec<u8> = (0..=255).collect();
    let no_line_end: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
    let telnet = b"\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18\xff\xfb\x27\xff\xfd\x01\xff\xfd\x03";
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(40);
    let long = [&[b'x'; 1025][..], b"\n"].concat();
    let longest = [&[b'x'; 1024][..], b"\n"].concat();
    let word = "fail # '";
    for service in [SupervisedAgent::optional(), SupervisedAgent::required()] {
        for (sent, start) in [
            (&all_bytes[..], word),
            // A brace in it is not closed. The sentence begins with the word itself.
            (&no_line_end, "fail # !\"#$%&'()*+,-./0123456789:;<=>"),
            (telnet, word),
            (&hello, word),
            (&[0; 100], word),
            (b"\0\n", word),
            (b"hls\0 5\n", word),
            (b"hls 5\0\n", word),
            (b"\xef\xbb\xbfhls 5\n", word),
            (b"\x1b[2J\x1b]0;up 100%\x07\n", word),
            (b"\x80\x80\x80\x80\n", word),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", word),
            (b"up 100%\n", word),
            (b"\rhls 5\rup\n", "fail # "),
            (&longest, word),
            (&long, TOO_LONG),
            (&[b'\xff'; 1 << 16], TOO_LONG),
        ] {
            let reply = ask(service.address(), sent);
            let parsed = Reply::parse(&reply);
            let parsed = parsed.unwrap_or_else(|why| panic!("{why}: {reply:?} to {sent:?}"));
            assert_eq!(parsed.state, "fail", "{reply:?} to {sent:?}");
            assert!(reply.starts_with(start), "{reply:?} to {sent:?}");
        }
        service.expect_healthy();
    }
}

#[test]
fn a_client_that_never_reads_its_answer_leaves_no_process() {
    for (service, line) in
        [(SupervisedAgent::optional(), &b""[..]), (SupervisedAgent::required(), b"hls 9\n")]
    {
        let held: Vec<_> =
            (0..20).map(|_| connect_and_send(service.address(), line).unwrap()).collect();
        service.expect_healthy();
        drop(held);
    }
}

/// What a client of a crowd does while its connection lasts.
#[derive(Clone, Copy)]
enum Behaviour {
    Silent,
    /// Sends a byte every few milliseconds.
    Dripping,
    /// Sends as much as the connection takes.
    Flooding,
    /// Sends a line and does not read the answer.
    NotReading,
    HalfClosing,
    Resetting,
}

impl Behaviour {
    const ALL: [Self; 6] = [
        Self::Silent,
        Self::Dripping,
        Self::Flooding,
        Self::NotReading,
        Self::HalfClosing,
        Self::Resetting,
    ];

    /// The bytes of the first packet.
    fn first(self) -> &'static [u8] {
        match self {
            Self::Silent | Self::HalfClosing => b"",
            Self::Dripping | Self::Resetting => b"h",
            Self::Flooding => &[b'\xff'; 900],
            Self::NotReading => b"hls 5\n",
        }
    }

    /// Acts again; called every few milliseconds.
    fn act(self, stream: &mut TcpStream) {
        let sent = match self {
            Self::Dripping | Self::Resetting => stream.write(b"h"),
            Self::Flooding => stream.write(&[b'\xff'; 4096]),
            Self::HalfClosing => return drop(stream.shutdown(Shutdown::Write)),
            Self::Silent | Self::NotReading => return,
        };
        // The connection may be full or closed.
        let _ = sent;
    }

    /// Whether the agent waits for more from this client; it answers the others at once.
    fn is_held(self, is_line_required: bool) -> bool {
        match self {
            // The agent waits for a line only if one is required.
            Self::Silent => is_line_required,
            // A line that has begun must end within 250 ms. The other lines are too long, or complete, or cannot
            // come any more.
            Self::Dripping
            | Self::Resetting
            | Self::Flooding
            | Self::NotReading
            | Self::HalfClosing => false,
        }
    }

    fn end(self, stream: TcpStream) {
        if matches!(self, Self::Resetting) {
            let _ = set_socket_linger(&stream, Some(Duration::ZERO));
        }
        drop(stream);
    }
}

/// How many hostile clients are connected at the same time, and how many ordinary checks are made
/// meanwhile. They come from the same address, which may have 1000 connections.
const CROWD_SIZE: usize = 900;
const CHECKS: usize = 50;

/// How many clients connect in one round, in the place of those that were answered.
const NEW_CLIENTS: usize = 5;

/// A crowd of hostile clients. A new client replaces each one that was answered, until the crowd is told to
/// end.
struct Crowd {
    address: SocketAddr,
    behaviours: &'static [Behaviour],
    /// How many clients are connected now.
    present: AtomicUsize,
    /// How many of them have no answer yet.
    unanswered: AtomicUsize,
    /// How many connections the crowd has opened in all.
    opened: AtomicUsize,
    is_over: AtomicBool,
}

impl Crowd {
    fn client(&self) -> (Behaviour, TcpStream) {
        let n = self.opened.fetch_add(1, Ordering::SeqCst);
        let behaviour = self.behaviours[n % self.behaviours.len()];
        let stream = connect_and_send(self.address, behaviour.first()).unwrap();
        stream.set_nonblocking(true).unwrap();
        (behaviour, stream)
    }

    fn run(&self) {
        let mut clients: Vec<_> = Vec::new();
        while !self.is_over.load(Ordering::SeqCst) {
            let (mut new_clients, mut unanswered) = (0, 0);
            for client in &mut clients {
                let (behaviour, stream): &mut (Behaviour, TcpStream) = client;
                behaviour.act(stream);
                // Peeks, and leaves the answer unread.
                let is_held = matches!(stream.peek(&mut [0]), Err(e) if e.kind() == WouldBlock);
                if is_held {
                    unanswered += 1;
                } else if new_clients < NEW_CLIENTS {
                    new_clients += 1;
                    let (behaviour, stream) = std::mem::replace(client, self.client());
                    behaviour.end(stream);
                }
            }
            for _ in 0..NEW_CLIENTS.min(CROWD_SIZE - clients.len()) {
                clients.push(self.client());
            }
            self.present.store(clients.len(), Ordering::SeqCst);
            self.unanswered.store(unanswered, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(2));
        }
        clients.into_iter().for_each(|(behaviour, stream)| behaviour.end(stream));
    }
}

#[test]
fn hundreds_of_hostile_clients_do_not_make_an_ordinary_check_late() {
    allow_descriptors(CROWD_SIZE + 500);
    for (name, shipped, is_line_required, behaviours) in [
        ("optional line", OPTIONAL, false, &Behaviour::ALL[..]),
        ("required line", REQUIRED, true, &Behaviour::ALL),
        ("all silent", OPTIONAL, true, &[Behaviour::Silent]),
    ] {
        let required = if is_line_required { "--agent-send required" } else { "" };
        // The timeout is so long that no agent reaches it while the crowd lasts.
        let service = SupervisedAgent::start(shipped, &format!("--timeout 60s {required} hls 10"));
        // The behaviours take turns. Clients that replace answered ones can only add to this number.
        let held_behaviours =
            behaviours.iter().filter(|behaviour| behaviour.is_held(is_line_required)).count();
        let held = CROWD_SIZE * held_behaviours / behaviours.len();
        let crowd = Crowd {
            address: service.address(),
            behaviours,
            present: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        };
        let mut most_agents = 0;
        let mut times = Vec::new();
        thread::scope(|scope| {
            let clients = scope.spawn(|| crowd.run());
            // A failure below must not keep the crowd from ending.
            let asking = catch_unwind(AssertUnwindSafe(|| {
                wait_until("all clients of the crowd are connected", || {
                    assert!(!clients.is_finished(), "a client of the crowd has failed");
                    let is_complete = crowd.present.load(Ordering::SeqCst) == CROWD_SIZE;
                    let is_held = crowd.unanswered.load(Ordering::SeqCst) >= held;
                    (is_complete && is_held).then_some(())
                });
                for n in 0..CHECKS {
                    let limit = 6 + n % 2;
                    let start = Instant::now();
                    let reply = ask(service.address(), format!("hls {limit}\n").as_bytes());
                    times.push(start.elapsed());
                    assert_eq!(reply, format!("up 100% # hls 5/{limit}\n"), "check {n}");
                    most_agents = most_agents.max(service.xinetd.children().len());
                }
            }));
            crowd.is_over.store(true, Ordering::SeqCst);
            asking.unwrap_or_else(|panic| resume_unwind(panic));
        });
        times.sort_unstable();
        let (median, longest) = (times[CHECKS / 2], times[CHECKS - 1]);
        println!(
            "{name}: {CROWD_SIZE} clients, {} connections, up to {most_agents} agents, of at least {held}; \
             {CHECKS} checks took {median:.1?} (median), {longest:.1?} (longest)",
            crowd.opened.into_inner()
        );
        assert!(longest < TIMEOUT + TOLERANCE, "{longest:?}");
        assert!(most_agents >= held, "{most_agents} agents, not {held}");
        service.xinetd.wait_until_idle();
        service.expect_healthy();
    }
}

/// Sends without a pause until the connection ends.
fn flood(stream: &TcpStream) {
    let bytes = [b'x'; 64 * 1024];
    while (&mut &*stream).write_all(&bytes).is_ok() {}
}

#[test]
fn a_client_that_never_stops_sending_does_not_hold_its_run() {
    for args in [&["-t", "30s", "cpu", "1000000"][..], &["-t", "30s", "--agent-send", "required"]] {
        let mut connection = Connection::open_after(args, b"cpu 1000000\n");
        let peer = connection.peer.try_clone().unwrap();
        let (start, status) = thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| flood(&peer));
            }
            let mut reply = [0; 8];
            connection.peer.read_exact(&mut reply).unwrap();
            assert_eq!(&reply, b"up 100%\n");
            let start = Instant::now();
            let status = connection.agent.wait();
            // The kernel may have reset the connection already.
            let _ = peer.shutdown(Shutdown::Both);
            (start, status)
        });
        assert_eq!(status.code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
}
