//! Clients that mean no good, or nothing, at the agent under xinetd with the shipped service files.

mod common;

use std::io::ErrorKind::WouldBlock;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::reply::Reply;
use common::*;
use rustix::net::sockopt::set_socket_linger;

const OPTIONAL: &str = include_str!("../xinetd/haproxy-agent-check");
const REQUIRED: &str = include_str!("../xinetd/antelope-agent-check");

/// The agent's default.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// The agent of a shipped file, and the page it asks, on which `hls` is 5.
struct Service {
    xinetd: Xinetd,
    _page: Server,
}

impl Service {
    /// It judges `hls` against 10.
    fn optional() -> Self {
        Self::start(OPTIONAL, "hls 10")
    }

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

    /// An honest check is answered, and nothing is left of any other.
    fn expect_well(&self) {
        assert_eq!(ask(self.address(), b"hls 6\n"), "up 100% # hls 5/6\n");
        self.xinetd.wait_until_idle();
    }
}

/// Reads one reply; what comes behind it is the agent's affair or a reset.
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

/// Sends pieces until the reply is there, and returns that.
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
fn who_sends_nothing_is_answered_at_once_or_at_the_timeout() {
    for (service, reply, at) in [
        (Service::optional(), "up 100% # hls 5/10\n", Duration::ZERO),
        (Service::required(), NO_LINE, TIMEOUT),
    ] {
        let start = Instant::now();
        assert_eq!(ask(service.address(), b""), reply);
        let took = start.elapsed();
        assert!(
            took + Duration::from_millis(10) >= at && took < at + TOLERANCE,
            "{reply} {took:?}"
        );
        service.expect_well();
    }
}

#[test]
fn who_sends_for_ever_is_answered_in_time() {
    let none = Duration::ZERO;
    let slow = Duration::from_millis(10);
    for service in [Service::optional(), Service::required()] {
        for (first, piece, pause, reply) in [
            (&[b'x'; 4096][..], &[b'x'; 4096][..], none, TOO_LONG),
            (&[0; 4096], &[0; 4096], none, TOO_LONG),
            (b"hls 7\n", b"hls 5\n", none, "up 100% # hls 5/7\n"),
            (b"hls 5\n", b"\n", slow, "down # hls 5/5\n"),
            (b"h", b"l", slow, "fail # "),
            (b" ", b" ", none, TOO_LONG),
        ] {
            let start = Instant::now();
            let seen = send_until_answered(service.address(), first, piece, pause);
            assert!(seen.starts_with(reply) && Reply::parse(&seen).is_ok(), "{seen:?}");
            assert!(start.elapsed() < TIMEOUT + TOLERANCE, "{reply} {:?}", start.elapsed());
        }
        service.expect_well();
    }
}

#[test]
fn who_sends_one_byte_at_a_time_is_heard_to_the_end() {
    for service in [Service::optional(), Service::required()] {
        let mut stream = connect_and_send(service.address(), b"h").unwrap();
        for byte in b"ls 5\r\n" {
            thread::sleep(Duration::from_millis(5));
            stream.write_all(&[*byte]).unwrap();
        }
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("the connection is closed, not reset");
        assert_eq!(reply, "down # hls 5/5\n");
        service.expect_well();
    }
}

#[test]
fn who_goes_away_leaves_nothing_behind() {
    for service in [Service::optional(), Service::required()] {
        for sent in [&b""[..], b"h", b"hls 5\n", &[b'x'; 4096]] {
            drop(connect_and_send(service.address(), sent).unwrap());
            let resetting = connect_and_send(service.address(), sent).unwrap();
            set_socket_linger(&resetting, Some(Duration::ZERO)).unwrap();
            drop(resetting);
        }
        service.expect_well();
    }
}

#[test]
fn who_closes_his_half_is_answered() {
    for (service, without) in
        [(Service::optional(), "up 100% # hls 5/10\n"), (Service::required(), NO_LINE)]
    {
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
        service.expect_well();
    }
}

#[test]
fn who_sends_something_else_than_a_request_gets_one_printable_line() {
    let all_bytes: Vec<u8> = (0..=255).collect();
    let no_line_end: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
    let telnet = b"\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18\xff\xfb\x27\xff\xfd\x01\xff\xfd\x03";
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(40);
    let long = [&[b'x'; 1025][..], b"\n"].concat();
    let longest = [&[b'x'; 1024][..], b"\n"].concat();
    let word = "fail # '";
    for service in [Service::optional(), Service::required()] {
        for (sent, start) in [
            (&all_bytes[..], word),
            (&no_line_end, word),
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
        service.expect_well();
    }
}

#[test]
fn who_never_reads_the_answer_holds_nothing() {
    for (service, line) in [(Service::optional(), &b""[..]), (Service::required(), b"hls 9\n")] {
        let held: Vec<_> =
            (0..20).map(|_| connect_and_send(service.address(), line).unwrap()).collect();
        service.expect_well();
        drop(held);
    }
}

/// What the clients of a crowd do for as long as their connection lasts.
#[derive(Clone, Copy)]
enum Habit {
    Silent,
    /// Sends a byte now and then.
    Dripping,
    /// Sends as much as is taken.
    Flooding,
    /// Sends a line and does not read the answer.
    NotReading,
    HalfClosing,
    Resetting,
}

impl Habit {
    const ALL: [Self; 6] = [
        Self::Silent,
        Self::Dripping,
        Self::Flooding,
        Self::NotReading,
        Self::HalfClosing,
        Self::Resetting,
    ];

    /// What it sends with its first packet.
    fn first(self) -> &'static [u8] {
        match self {
            Self::Silent | Self::HalfClosing => b"",
            Self::Dripping | Self::Resetting => b"h",
            Self::Flooding => &[b'\xff'; 900],
            Self::NotReading => b"hls 5\n",
        }
    }

    /// What it does every few milliseconds.
    fn go_on(self, stream: &mut TcpStream) {
        let sent = match self {
            Self::Dripping | Self::Resetting => stream.write(b"h"),
            Self::Flooding => stream.write(&[b'\xff'; 4096]),
            Self::HalfClosing => return drop(stream.shutdown(Shutdown::Write)),
            Self::Silent | Self::NotReading => return,
        };
        // Refused, or full: so be it.
        let _ = sent;
    }

    /// Whether the agent holds its connection open; the others are answered at once.
    fn is_held(self, is_line_required: bool) -> bool {
        match self {
            // Without a line there is only something to wait for where one is required.
            Self::Silent => is_line_required,
            // A line that goes on is waited for until it is longer than one may be.
            Self::Dripping | Self::Resetting => true,
            // Too long a line, a whole one, and none that could still come.
            Self::Flooding | Self::NotReading | Self::HalfClosing => false,
        }
    }

    fn end(self, stream: TcpStream) {
        if matches!(self, Self::Resetting) {
            let _ = set_socket_linger(&stream, Some(Duration::ZERO));
        }
        drop(stream);
    }
}

/// How many hostile clients there are at a time, and how many honest checks meanwhile.
const CROWD: usize = 1000;
const CHECKS: usize = 50;

/// How many new clients come at a time in the place of those that were answered.
const NEWCOMERS: usize = 5;

/// Holds a crowd's connections open until told to end; who was answered makes room for another.
struct Crowd {
    address: SocketAddr,
    habits: &'static [Habit],
    /// How many clients there are, how many of them have no answer, and how many there ever were.
    present: AtomicUsize,
    unanswered: AtomicUsize,
    opened: AtomicUsize,
    is_over: AtomicBool,
}

impl Crowd {
    fn client(&self) -> (Habit, TcpStream) {
        let n = self.opened.fetch_add(1, Ordering::SeqCst);
        let habit = self.habits[n % self.habits.len()];
        let stream = connect_and_send(self.address, habit.first()).unwrap();
        stream.set_nonblocking(true).unwrap();
        (habit, stream)
    }

    fn be(&self) {
        let mut clients: Vec<_> = Vec::new();
        while !self.is_over.load(Ordering::SeqCst) {
            let (mut newcomers, mut unanswered) = (0, 0);
            for client in &mut clients {
                let (habit, stream): &mut (Habit, TcpStream) = client;
                habit.go_on(stream);
                // Seen, not read.
                let is_held = matches!(stream.peek(&mut [0]), Err(e) if e.kind() == WouldBlock);
                if is_held {
                    unanswered += 1;
                } else if newcomers < NEWCOMERS {
                    newcomers += 1;
                    let (habit, stream) = std::mem::replace(client, self.client());
                    habit.end(stream);
                }
            }
            for _ in 0..NEWCOMERS.min(CROWD - clients.len()) {
                clients.push(self.client());
            }
            self.present.store(clients.len(), Ordering::SeqCst);
            self.unanswered.store(unanswered, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(2));
        }
        clients.into_iter().for_each(|(habit, stream)| habit.end(stream));
    }
}

/// Lets this process have as many descriptors as it needs.
fn allow_descriptors(count: usize) {
    let id = std::process::id().to_string();
    let limit = format!("--nofile={count}:");
    let status = Command::new("prlimit").args(["--pid", &id, &limit]).status();
    assert!(status.expect("prlimit is installed").success());
}

#[test]
fn a_thousand_of_them_keep_no_honest_check_waiting() {
    allow_descriptors(CROWD + 500);
    for (name, shipped, is_line_required, habits) in [
        ("optional line", OPTIONAL, false, &Habit::ALL[..]),
        ("required line", REQUIRED, true, &Habit::ALL),
        ("all silent", OPTIONAL, true, &[Habit::Silent]),
    ] {
        let required = if is_line_required { "--agent-send required" } else { "" };
        // No agent comes to its timeout while the crowd lasts.
        let service = Service::start(shipped, &format!("--timeout 60s {required} hls 10"));
        // The habits take turns. Who comes in the place of a client that was answered adds to these.
        let held_habits = habits.iter().filter(|habit| habit.is_held(is_line_required)).count();
        let held = CROWD * held_habits / habits.len();
        let crowd = Crowd {
            address: service.address(),
            habits,
            present: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        };
        let mut most_agents = 0;
        let mut times = Vec::new();
        thread::scope(|scope| {
            let clients = scope.spawn(|| crowd.be());
            // Whatever fails below, the crowd has to end.
            let asking = catch_unwind(AssertUnwindSafe(|| {
                wait_until("the crowd is there", || {
                    assert!(!clients.is_finished(), "the crowd fails");
                    let is_complete = crowd.present.load(Ordering::SeqCst) == CROWD;
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
            "{name}: {CROWD} clients, {} connections, up to {most_agents} agents, of at least {held}; \
             {CHECKS} checks took {median:.1?} (median), {longest:.1?} (longest)",
            crowd.opened.into_inner()
        );
        assert!(longest < TIMEOUT + TOLERANCE, "{longest:?}");
        assert!(most_agents >= held, "{most_agents} agents, not {held}");
        service.xinetd.wait_until_idle();
        service.expect_well();
    }
}
