//! Every request, against everything that can be wrong with the service it asks, in every way of being
//! started: one line, the right one, in time.

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use common::antelope::{HEAD, atomic_health, get_info, v2_health};
use common::faults::{
    BAD_CHUNK, CLOSED_EARLY, Ending, FullListener, NO_ANSWER, SSH, TLS_ALERT, WRONG_ANSWERS,
    nested_maps, send, send_for_ever,
};
use common::namespace::IsolatedNetwork;
use common::reply::Reply;
use common::state_history::Node;
use common::tls::Authority;
use common::websocket::{acceptance, send_parts, send_parts_before, session};
use common::websocket_faults::*;
use common::*;

/// The timeout of runs that may have to wait for it.
const TIMEOUT: Duration = Duration::from_millis(400);

/// The timeout of runs that may not, and how long they may take on a slow machine.
const LONG_TIMEOUT: Duration = Duration::from_secs(10);
const PROMPTLY: Duration = Duration::from_secs(5);

/// What is said when it is over before a name is found.
const NO_NAME: &str = "did not resolve within 400 ms";

/// What is said of an answer in HTTP where a WebSocket was asked for.
const NO_UPGRADE: &str = "answered HTTP 200, no WebSocket upgrade";

/// How many runs there are at a time: most of them wait.
const WORKERS: usize = 24;

/// The longest body that is read, in bytes.
const BODY_LIMIT: usize = 1 << 20;

/// A kind of request, with what the service it asks answers when it is well.
struct Kind {
    /// The request's first word; `hls` is a threshold on the statistics page.
    name: &'static str,
    scheme: &'static str,
    status: &'static str,
    body: String,
    /// The part of the body that is judged.
    value: String,
}

impl Kind {
    fn new(name: &'static str, body: String, value: impl Into<String>) -> Self {
        let value = value.into();
        assert!(body.contains(&value), "{name}: {value}");
        Self { name, scheme: "http", status: "200 OK", body, value }
    }

    /// Every kind, over TLS too.
    fn all() -> Vec<Arc<Self>> {
        let http = || {
            let info = get_info(0.0);
            let time = info.rsplit('"').nth(1).map(|time| format!("\"{time}\""));
            let unknown = r#"{"code":0,"message":"Transport unknown"}"#.to_owned();
            let json = r#"{"streams_stats": {"streams_hls": 5}}"#.to_owned();
            let streams = Self::new("stream", unknown, "0");
            // The head block's number stands in it once.
            let [reader, other] = [HEAD, HEAD - 1].map(|block| format!("\"{block}\""));
            let atomic = || atomic_health(0.0, "OK").replace(&reader, &other);
            [
                Self::new("hls", "connections=2\nstreams_hls=5\n".to_owned(), "5"),
                Self::new("hls", json, "5"),
                Self::new("v1", info, time.unwrap()),
                Self::new("v2", v2_health(0.0, HEAD), HEAD.to_string()),
                Self::new("hyperion", v2_health(0.0, HEAD), HEAD.to_string()),
                Self::new("atomic", atomic(), HEAD.to_string()),
                Self::new("contract", atomic(), HEAD.to_string()),
                Self { status: "400 Bad Request", ..streams },
            ]
        };
        let websocket = |name, scheme| {
            let page = Self::new(name, r#"{"value": 5}"#.to_owned(), "5");
            Self { scheme, ..page }
        };
        let plain = http().into_iter().chain(["ship", "ws"].map(|name| websocket(name, "ws")));
        // What TLS carries does not depend on the paths and fields that are asked for.
        let [text, _, v1, _, _, atomic, _, stream] = http();
        let over_tls = [text, v1, atomic, stream].map(|kind| Self { scheme: "https", ..kind });
        let over_tls = over_tls.into_iter();
        let over_tls = over_tls.chain(["ship", "ws"].map(|name| websocket(name, "wss")));
        plain.chain(over_tls).map(Arc::new).collect()
    }

    fn is_websocket(&self) -> bool {
        self.scheme.starts_with("ws")
    }

    fn is_tls(&self) -> bool {
        self.scheme.ends_with('s') && self.scheme != "ws"
    }

    /// The options and the request that ask the service at this place.
    fn request(&self, place: &str) -> (Vec<String>, String) {
        let url = format!("{}://{place}", self.scheme);
        // Room for bodies to age.
        let blocks = 1_000_000;
        match self.name {
            "hls" => (vec!["-u".to_owned(), url], "hls 10".to_owned()),
            "ws" | "stream" => (vec![], format!("{}|{url}", self.name)),
            name => (vec![], format!("{name}|{url}|{blocks}")),
        }
    }

    /// How the whole answer comes: a head and a body, or the upgrade and what is sent behind it.
    fn parts(&self, head: &str) -> Vec<Vec<u8>> {
        let mut parts = match self.scheme {
            "http" | "https" => {
                let answer = response(self.status, self.body.as_bytes());
                let (head, body) = answer.split_at(answer.len() - self.body.len());
                vec![head.to_vec(), body.to_vec()]
            }
            _ => session(head, &Node::healthy()),
        };
        if self.name == "ws" {
            parts.truncate(1);
        }
        parts
    }

    /// What is said of a whole answer that is not as it should be: one of these.
    fn complaints(&self) -> Vec<&'static str> {
        match self.name {
            "ship" | "ws" => vec![NO_UPGRADE],
            "stream" => vec!["answered HTTP 400"],
            // The value's own name, or the page's form.
            "hls" => vec!["hls", "holds no valid JSON", "holds no statistics"],
            _ => vec!["sent no JSON", "reports no "],
        }
    }

    /// What is said of an answer of which whoever asks over HTTP says this.
    fn over_http(&self, reason: &'static str) -> Vec<&'static str> {
        if self.is_websocket() { vec![NO_UPGRADE] } else { vec![reason] }
    }

    fn state(&self, finding: Finding) -> &'static str {
        match (finding, self.name) {
            (Finding::Nothing, _) => "up",
            (Finding::Bad, _) => "down",
            (Finding::WellFormed, _) if !self.is_websocket() => "up",
            (Finding::Status, "atomic" | "contract") => "down",
            (_, "hls") => "down",
            _ => "fail",
        }
    }
}

/// What is to be found out about a service.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Finding {
    /// Nothing is wrong.
    Nothing,
    /// It answers over HTTP what it should, which no WebSocket should.
    WellFormed,
    /// It answers with the status of an error.
    Status,
    /// It is measured, and not well.
    Bad,
    /// It cannot be measured.
    Unmeasured,
}

/// A connection to a service in which the request's head has been read.
struct Exchange<'a> {
    stream: &'a mut dyn Duplex,
    /// What carries it.
    tcp: TcpStream,
    head: String,
}

/// What is wrong with a service.
struct Fault {
    name: String,
    finding: Finding,
    /// Parts of the description, one of which is in it.
    whys: Vec<&'static str>,
    act: Act,
}

/// What it then does: when the request has been read, or when the client has said hello in TLS, with
/// what it should say now.
type Talk = Arc<dyn Fn(&mut Exchange, &Kind) + Send + Sync>;
type Greet = Arc<dyn Fn(&mut TcpStream, &[u8]) + Send + Sync>;

/// Where and when it goes wrong.
#[derive(Clone)]
enum Act {
    /// Nobody listens.
    Refuses,
    /// Somebody does, and never accepts.
    Deaf,
    /// The URL names another host.
    Host(&'static str),
    /// The same, asked in a network of its own.
    Isolated(&'static str),
    /// As soon as the connection is there.
    Connected(fn(&mut TcpStream)),
    /// When the client has said hello in TLS.
    Greeted(Greet),
    /// The certificate is for another host, or of an authority that nobody trusts.
    OtherHost,
    OtherAuthority,
    /// TLS where nobody asked for it.
    UnaskedTls,
    /// When the request has been read.
    Asked(Talk),
}

fn fault(name: impl Into<String>, finding: Finding, reason: &'static str, act: Act) -> Fault {
    Fault { name: name.into(), finding, whys: vec![reason], act }
}

/// The fault of a service that goes wrong when it has read the request, with one of these descriptions.
fn asked(
    name: impl Into<String>,
    finding: Finding,
    whys: Vec<&'static str>,
    talk: impl Fn(&mut Exchange, &Kind) + Send + Sync + 'static,
) -> Fault {
    Fault { name: name.into(), finding, whys, act: Act::Asked(Arc::new(talk)) }
}

/// The fault of a service that answers, with success, what this makes of its answer's body.
fn body(
    name: &str,
    finding: Finding,
    whys: Vec<&'static str>,
    make: impl Fn(&Kind) -> Vec<u8> + Send + Sync + 'static,
) -> Fault {
    asked(format!("body: {name}"), finding, whys, move |exchange, kind| {
        send(exchange.stream, response(kind.status, &make(kind)));
    })
}

/// The same with what is judged replaced.
fn value(kind: &Kind, value: impl AsRef<[u8]> + Send + Sync + 'static, name: &str) -> Fault {
    body(name, Finding::Unmeasured, kind.complaints(), move |kind| {
        let (before, behind) = kind.body.split_once(&kind.value).unwrap();
        [before.as_bytes(), value.as_ref(), behind.as_bytes()].concat()
    })
}

/// Headers of answers whose length is not declared.
const CHUNKED: &str = "Transfer-Encoding: chunked";
const CLOSE: &str = "Connection: close";

/// The same with this header and a body as it then has to be.
fn encoded(
    name: &str,
    finding: Finding,
    whys: Vec<&'static str>,
    header: &'static str,
    encode: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
) -> Fault {
    asked(name, finding, whys, move |exchange, kind| {
        let encoded = encode(kind.body.as_bytes());
        let length = match header {
            CHUNKED | CLOSE => String::new(),
            _ => format!("Content-Length: {}\r\n", encoded.len()),
        };
        send(exchange.stream, format!("HTTP/1.1 {}\r\n{header}\r\n{length}\r\n", kind.status));
        send(exchange.stream, encoded);
    })
}

/// The body with so much that does not matter in it that it has this size.
fn padded(kind: &Kind, size: usize) -> Vec<u8> {
    let (start, unit, rest) = match kind.body.strip_prefix('{') {
        Some(rest) => ("{\"pad\":[0", ",0", format!("],{rest}")),
        None => ("", "pad=1\n", kind.body.clone()),
    };
    let room = size - start.len() - rest.len();
    let mut padded = [start, &unit.repeat(room / unit.len()), &rest].concat().into_bytes();
    padded.resize(size, b'\n');
    padded
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip =
        Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    gzip.stdin.take().unwrap().write_all(bytes).unwrap();
    gzip.wait_with_output().unwrap().stdout
}

/// The fault of a service that sends the longest body, of the JSON that takes the longest to read, and
/// its last byte so late that reading it has to be quick.
fn late_maps(kind: &Kind) -> Fault {
    let name = "body: maps in maps whose end comes late";
    let whys = [kind.complaints(), vec![NO_ANSWER]].concat();
    asked(name, Finding::Unmeasured, whys, |exchange, kind| {
        let due = Instant::now() + TIMEOUT - Duration::from_millis(40);
        let answer = response(kind.status, &nested_maps(BODY_LIMIT));
        let (last, before) = answer.split_last().unwrap();
        send(exchange.stream, before);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        send(exchange.stream, [*last]);
    })
}

/// What can be wrong with the service that a kind of request asks.
fn faults(kind: &Kind) -> Vec<Fault> {
    use Finding::*;
    let mut faults = vec![
        asked("none", Nothing, vec![], |exchange, kind| {
            let parts = kind.parts(&exchange.head);
            send_parts_before(exchange.stream, &parts, parts.len());
        }),
        fault("refuses", Unmeasured, "refused the connection", Act::Refuses),
        fault("never accepts", Unmeasured, NO_ANSWER, Act::Deaf),
        fault("has no address", Unmeasured, "does not resolve", Act::Host("service.invalid")),
        fault("has no route", Unmeasured, "unreachable", Act::Isolated("192.0.2.1")),
        fault("has a silent name server", Unmeasured, NO_NAME, Act::Isolated("service.example")),
        fault("accepts and hangs", Unmeasured, NO_ANSWER, Act::Connected(hold)),
        fault("accepts and closes", Unmeasured, "closed the", Act::Connected(|_| {})),
        fault(
            "accepts and resets",
            Unmeasured,
            "closed the",
            Act::Connected(|tcp| Ending::Reset.carry_out(&mut &*tcp, tcp, b"")),
        ),
        fault(
            "speaks SSH first",
            Unmeasured,
            if kind.is_tls() { "speaks no TLS" } else { "sent no valid HTTP" },
            Act::Connected(|tcp| {
                send(tcp, SSH);
                hold(tcp);
            }),
        ),
        fault(
            "sends zeros at once and for ever",
            Unmeasured,
            if kind.is_tls() { "speaks no TLS" } else { "sent no valid HTTP" },
            Act::Connected(|tcp| send_for_ever(tcp, [0; 4096])),
        ),
    ];

    for (name, instead, reason) in WRONG_ANSWERS {
        let finding = if reason.starts_with("answered HTTP") { Status } else { Unmeasured };
        // A WebSocket's answer may have no body, and is read otherwise.
        let mut whys = vec![reason];
        if kind.is_websocket() {
            whys.extend([", no WebSocket upgrade", "sent too long a header"]);
        }
        faults.push(asked(name, finding, whys, move |exchange, _| instead(exchange.stream)));
    }

    for part in 0..kind.parts("").len() {
        for is_within in [false, true] {
            for ending in Ending::ALL {
                let place = if is_within { "within" } else { "before" };
                let name = format!("{ending:?} {place} part {part}");
                let whys = vec![ending.reason()];
                faults.push(asked(name, Unmeasured, whys, move |exchange, kind| {
                    let parts = kind.parts(&exchange.head);
                    send_parts_before(exchange.stream, &parts, part);
                    let half = parts[part].len() / 2;
                    let (begun, rest) = parts[part].split_at(if is_within { half } else { 0 });
                    send(exchange.stream, begun);
                    let rest = if kind.is_websocket() {
                        rest.to_vec()
                    } else {
                        [rest, &parts[part + 1..].concat()].concat()
                    };
                    ending.carry_out(exchange.stream, &exchange.tcp, &rest);
                }));
            }
        }
    }

    let too_large = kind.over_http("sent more than 1 MiB");
    let chunked = |name: &str, reason, encode: fn(&[u8]) -> Vec<u8>| {
        encoded(name, Unmeasured, kind.over_http(reason), CHUNKED, encode)
    };
    let deep = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    faults.extend([
        body("just under 1 MiB", WellFormed, kind.complaints(), |kind| {
            padded(kind, BODY_LIMIT - 1)
        }),
        body("1 MiB", WellFormed, kind.complaints(), |kind| padded(kind, BODY_LIMIT)),
        body("just over 1 MiB", Unmeasured, too_large.clone(), |kind| padded(kind, BODY_LIMIT + 1)),
        body("blanks, just over 1 MiB", Unmeasured, too_large, |kind| {
            let mut body = kind.body.clone().into_bytes();
            body.resize(BODY_LIMIT + 1, b' ');
            body
        }),
        body("empty", Unmeasured, kind.complaints(), |_| vec![]),
        body("HTML", Unmeasured, kind.complaints(), |_| b"<html>It works!</html>".to_vec()),
        body("nothing but brackets", Unmeasured, kind.complaints(), |_| b"[".repeat(100_000)),
        body("all byte values", Unmeasured, kind.complaints(), |_| (0..=255).collect()),
        body("half", Unmeasured, kind.complaints(), |kind| {
            let end = kind.body.find(&kind.value).unwrap();
            kind.body.as_bytes()[..end].to_vec()
        }),
        value(kind, deep("[", "]"), "100,000 brackets"),
        value(kind, deep("{\"a\":", "}"), "100,000 groups"),
        value(kind, "[".repeat(100_000), "100,000 brackets that open"),
        value(kind, "NaN", "NaN"),
        value(kind, "\"NaN\"", "NaN as text"),
        value(kind, "nan", "nan"),
        value(kind, "inf", "inf"),
        value(kind, "-Infinity", "-Infinity"),
        value(kind, "1e999", "1e999"),
        value(kind, "-1e999", "-1e999"),
        value(kind, "-1", "-1"),
        value(kind, "0x10", "a hexadecimal number"),
        value(kind, "9".repeat(100_000), "100,000 digits"),
        value(kind, "18446744073709551616", "2^64"),
        value(kind, "null", "null"),
        value(kind, b"\xff", "a byte that is no UTF-8"),
        value(kind, b"\"\xff\xfe\"", "text that is no UTF-8"),
        value(kind, b"\"\xed\xa0\x80\"", "a surrogate in UTF-8"),
        value(kind, "\"\\ud800\"", "half a surrogate pair"),
        value(kind, "\"\\u0000\r\nup 100%\\n\"", "control characters"),
        encoded(
            "gzip, not asked for",
            Unmeasured,
            kind.complaints(),
            "Content-Encoding: gzip",
            gzip,
        ),
        encoded(
            "said to be as it is",
            WellFormed,
            kind.complaints(),
            "Content-Encoding: identity",
            <[u8]>::to_vec,
        ),
        encoded("ended by the connection", WellFormed, kind.complaints(), CLOSE, <[u8]>::to_vec),
        encoded("chunked", WellFormed, kind.complaints(), CHUNKED, |body| {
            [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
        }),
        chunked("chunked without a last chunk", CLOSED_EARLY, |body| {
            [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat()
        }),
        chunked("a chunk without its end", BAD_CHUNK, |body| {
            [format!("{:x}\r\n", body.len()).as_bytes(), body, b"0\r\n\r\n"].concat()
        }),
        chunked("a chunk that is too short", CLOSED_EARLY, |body| {
            [format!("{:x}\r\n", body.len() + 99).as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
        }),
        chunked("a chunk that is too long", BAD_CHUNK, |body| {
            [format!("{:x}\r\n", body.len() - 1).as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
        }),
    ]);
    if kind.body.starts_with('{') {
        let name = "cut, without a length";
        faults.push(encoded(name, Unmeasured, kind.complaints(), CLOSE, |body| {
            let end = body.iter().rposition(|byte| *byte == b'}').unwrap();
            body[..end].to_vec()
        }));
    }
    if !kind.is_websocket() {
        faults.push(late_maps(kind));
    }
    if kind.is_websocket() {
        faults.extend(upgrade_faults());
    }
    if kind.name == "ship" {
        faults.extend(session_faults());
    }
    if kind.is_tls() {
        for is_within in [false, true] {
            for ending in Ending::ALL {
                let talk = move |tcp: &mut TcpStream, hello: &[u8]| {
                    let half = if is_within { hello.len() / 2 } else { 0 };
                    let (begun, rest) = hello.split_at(half);
                    send(tcp, begun);
                    let carrier = tcp.try_clone().unwrap();
                    ending.carry_out(tcp, &carrier, rest);
                };
                let place = if is_within { "within" } else { "before" };
                let name = format!("{ending:?} {place} the server's hello");
                faults.push(fault(name, Unmeasured, ending.reason(), Act::Greeted(Arc::new(talk))));
            }
        }
        let greeted = |name: &str, reason, answer: &'static [u8]| {
            let talk = move |tcp: &mut TcpStream, _: &[u8]| send(tcp, answer);
            fault(name, Unmeasured, reason, Act::Greeted(Arc::new(talk)))
        };
        faults.extend([
            greeted("answers TLS over HTTP", "speaks no TLS", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            greeted("answers TLS with an alert", "received fatal alert", TLS_ALERT),
            fault("is another host", Unmeasured, "is for another name", Act::OtherHost),
            fault("is trusted by nobody", Unmeasured, "no valid certificate", Act::OtherAuthority),
        ]);
    } else {
        faults.push(fault("speaks TLS", Unmeasured, "sent no valid HTTP", Act::UnaskedTls));
    }
    faults
}

/// What can be wrong with the answer to an upgrade.
fn upgrade_faults() -> Vec<Fault> {
    let changed = CHANGED_ACCEPTANCES.map(|(from, to, reason)| {
        let name = format!("accepts with {to:?} for {from:?}");
        asked(name, Finding::Unmeasured, vec![reason], move |exchange, _| {
            let answer = acceptance(&exchange.head);
            let changed = answer.replace(from, to);
            assert_ne!(answer, changed);
            send(exchange.stream, changed);
            hold(exchange.stream);
        })
    });
    let instead = WRONG_ACCEPTANCES.map(|(name, instead, reason)| {
        asked(name, Finding::Unmeasured, vec![reason], move |exchange, _| {
            instead(exchange.stream);
            hold(exchange.stream);
        })
    });
    changed.into_iter().chain(instead).collect()
}

/// What can be wrong with a state history that has accepted the upgrade.
fn session_faults() -> Vec<Fault> {
    let mut faults = Vec::new();
    for part in 1..=BLOCK {
        for (name, instead, reason) in INVALID_MESSAGES {
            let name = format!("{name} for part {part}");
            faults.push(asked(name, Finding::Unmeasured, vec![reason], move |exchange, kind| {
                send_parts_before(exchange.stream, &kind.parts(&exchange.head), part);
                instead(exchange.stream);
                hold(exchange.stream);
            }));
        }
    }
    let unreadable = unreadable_messages().into_iter().map(|what| (what, Finding::Unmeasured));
    let out_of_range = out_of_range_messages().into_iter().map(|what| (what, Finding::Bad));
    for (WrongMessage { name, part, frame, reason }, finding) in unreadable.chain(out_of_range) {
        let name = format!("{name} for part {part}");
        faults.push(asked(name, finding, vec![reason], move |exchange, kind| {
            let mut session = kind.parts(&exchange.head);
            session[part] = frame.clone();
            send_parts(exchange.stream, &session);
            hold(exchange.stream);
        }));
    }
    // The status is enough to know.
    faults.extend(Ending::ALL.map(|ending| {
        let name = format!("{ending:?} behind the status of a broken log");
        asked(name, Finding::Bad, vec!["traces to block "], move |exchange, _| {
            let healthy = Node::healthy();
            let broken = Node { ends: [healthy.head, healthy.head + 1], ..healthy };
            let session = session(&exchange.head, &broken);
            // A reset takes back what has not been sent.
            exchange.tcp.set_nodelay(true).unwrap();
            send_parts(exchange.stream, &session[..BLOCK]);
            ending.carry_out(exchange.stream, &exchange.tcp, &session[BLOCK]);
        })
    }));
    faults
}

/// What every fault needs.
struct World {
    authority: Authority,
    stranger: Authority,
    isolated: IsolatedNetwork,
    deaf: FullListener,
    /// Instances of xinetd that start an agent without a statistics page, with this timeout.
    idle: Mutex<Vec<(Duration, Xinetd)>>,
}

impl World {
    fn new() -> Self {
        Self {
            authority: Authority::new(),
            stranger: Authority::new(),
            isolated: IsolatedNetwork::new(),
            deaf: FullListener::new(),
            idle: Mutex::default(),
        }
    }

    /// The server of a service with a fault, if it has one, and where to ask it.
    fn serve(&self, kind: &Arc<Kind>, fault: &Fault) -> (Option<Server>, String) {
        let place = |host: &str, server: Server| {
            let place = format!("{host}:{}", server.address.port());
            (Some(server), place)
        };
        let own_host = if kind.is_tls() { "localhost" } else { "127.0.0.1" };
        let over_tls = |authority: &Authority, talk: Talk| {
            let kind = kind.clone();
            authority.server(move |mut stream| {
                let tcp = stream.sock.try_clone().unwrap();
                let head = read_head(&mut stream);
                talk(&mut Exchange { stream: &mut stream, tcp, head }, &kind);
            })
        };
        let nothing: Talk = Arc::new(|_, _| {});
        match fault.act.clone() {
            Act::Refuses => (None, own_address().to_string()),
            Act::Deaf => (None, self.deaf.address.to_string()),
            Act::Host(host) | Act::Isolated(host) => (None, format!("{host}:8080")),
            Act::Connected(talk) => place(own_host, Server::accepting(talk)),
            Act::Greeted(talk) => {
                let server = self.authority.server_after_hello(move |tcp, hello| talk(tcp, hello));
                place(own_host, server)
            }
            Act::OtherHost => place("127.0.0.1", over_tls(&self.authority, nothing)),
            Act::OtherAuthority => place(own_host, over_tls(&self.stranger, nothing)),
            Act::UnaskedTls => place(own_host, over_tls(&self.authority, nothing)),
            Act::Asked(talk) if kind.is_tls() => place(own_host, over_tls(&self.authority, talk)),
            Act::Asked(talk) => {
                let kind = kind.clone();
                let server = Server::accepting(move |stream| {
                    let tcp = stream.try_clone().unwrap();
                    let head = read_head(stream);
                    talk(&mut Exchange { stream, tcp, head }, &kind);
                });
                place(own_host, server)
            }
        }
    }

    /// A command that becomes the agent.
    fn agent(&self, fault: &Fault) -> Command {
        let mut command = match fault.act {
            Act::Isolated(_) => self.isolated.agent(),
            _ => Command::new(AGENT),
        };
        command.env("SSL_CERT_FILE", self.authority.file());
        command
    }
}

/// A way in which the agent is started.
#[derive(Clone, Copy, Debug)]
enum Way {
    PipeAndArgument,
    PipeAndLine,
    SocketAndArgument,
    SocketAndLine,
    Xinetd,
}

impl Way {
    const ALL: [Self; 5] = [
        Self::PipeAndArgument,
        Self::PipeAndLine,
        Self::SocketAndArgument,
        Self::SocketAndLine,
        Self::Xinetd,
    ];

    /// One run, which has ended when this returns.
    fn run(self, world: &World, fault: &Fault, options: &[String], request: &str) -> Outcome {
        let mut command = world.agent(fault);
        command.args(options);
        let line = format!("{request}\n");
        match self {
            Self::PipeAndArgument => on_pipe(command.args(request.split(' ')), ""),
            Self::PipeAndLine => on_pipe(&mut command, &line),
            Self::SocketAndArgument => {
                Connection::open_to(command.args(request.split(' ')), b"").finish()
            }
            Self::SocketAndLine => Connection::open_to(&mut command, line.as_bytes()).finish(),
            Self::Xinetd => under_xinetd(world, fault, options, &line),
        }
    }
}

/// Runs the agent on a pipe that nobody closes.
fn on_pipe(command: &mut Command, sent: &str) -> Outcome {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(sent.as_bytes()).unwrap();
    let start = Instant::now();
    let outcome = outcome(command.stdin(reader).output().unwrap(), start);
    drop(writer);
    outcome
}

/// Sends the request to the agent of a shipped file.
fn under_xinetd(world: &World, fault: &Fault, options: &[String], line: &str) -> Outcome {
    let mut args = vec!["--agent-send", "required"];
    args.extend(options.iter().map(String::as_str));
    let args = args.join(" ");
    let environment = [("SSL_CERT_FILE", world.authority.file())];
    let timeout = fault.timeout();
    let has_page = options.iter().any(|option| option == "-u");
    let is_isolated = matches!(fault.act, Act::Isolated(_));
    let shipped = if has_page {
        include_str!("../xinetd/haproxy-agent-check")
    } else {
        include_str!("../xinetd/antelope-agent-check")
    };
    let idle = || {
        let mut idle = world.idle.lock().unwrap();
        let place = idle.iter().position(|(each, _)| *each == timeout)?;
        (!has_page && !is_isolated).then(|| idle.swap_remove(place).1)
    };
    let xinetd = match idle() {
        Some(xinetd) => xinetd,
        None if is_isolated => {
            Xinetd::start_through(&world.isolated.agent(), shipped, &args, &environment)
        }
        None => Xinetd::start_in(&environment, shipped, &args),
    };
    let start = Instant::now();
    let stdout = ask(xinetd.address, line.as_bytes());
    let took = start.elapsed();
    xinetd.wait_until_idle();
    if !has_page && !is_isolated {
        world.idle.lock().unwrap().push((timeout, xinetd));
    }
    Outcome { stdout, stderr: String::new(), exit_status: None, took }
}

impl Fault {
    /// Whether the answer is known without waiting for anything.
    fn is_plain(&self) -> bool {
        match self.finding {
            Finding::Nothing | Finding::WellFormed | Finding::Status | Finding::Bad => true,
            Finding::Unmeasured => {
                !self.whys.iter().any(|reason| [NO_ANSWER, NO_NAME].contains(reason))
            }
        }
    }

    fn timeout(&self) -> Duration {
        if self.is_plain() { LONG_TIMEOUT } else { TIMEOUT }
    }

    /// The longest that a run may take.
    fn latest(&self) -> Duration {
        if self.is_plain() { PROMPTLY } else { TIMEOUT + TOLERANCE }
    }
}

/// A kind of request, what is wrong with the service it asks, and how the agent is started.
type Combination = (Arc<Kind>, Arc<Fault>, Way);

/// Why a run is not as it should be.
enum Wrong {
    /// It was right, and too long.
    Late(String),
    Otherwise(String),
}

/// One run, how long it took, and what was wrong with it.
fn carry_out(world: &World, (kind, fault, way): &Combination) -> (Duration, Result<(), Wrong>) {
    let (_server, place) = world.serve(kind, fault);
    let (mut options, request) = kind.request(&place);
    options.extend(["-d".to_owned(), "-t".to_owned()]);
    options.push(fault.timeout().as_millis().to_string());
    let case = format!("{way:?} {} {request}: {}", options.join(" "), fault.name);
    let run = || way.run(world, fault, &options, &request);
    let Ok(outcome) = catch_unwind(AssertUnwindSafe(run)) else {
        return (Duration::MAX, Err(Wrong::Otherwise(format!("{case}: the run has no end"))));
    };
    let verdict = match judge(kind, fault, *way, &outcome) {
        Err(reason) => Err(Wrong::Otherwise(format!("{case}: {reason}: {outcome:?}"))),
        Ok(()) if outcome.took > fault.latest() => {
            Err(Wrong::Late(format!("{case}: it is late: {outcome:?}")))
        }
        Ok(()) => Ok(()),
    };
    (outcome.took, verdict)
}

/// Fails with what is wrong with the outcome of a run, apart from its time.
fn judge(kind: &Kind, fault: &Fault, way: Way, outcome: &Outcome) -> Result<(), String> {
    let reply = Reply::parse(&outcome.stdout)?;
    let state = kind.state(fault.finding);
    let is_up = state == "up";
    let weight = (is_up && kind.name == "hls").then_some(100);
    let exit_status = (!matches!(way, Way::Xinetd)).then_some(i32::from(!is_up));
    let says = |reason: &&str| reply.description.is_some_and(|text| text.contains(reason));
    match () {
        () if (reply.state, reply.weight_percent, reply.is_ready) != (state, weight, false) => {
            Err(format!("it is not {state}"))
        }
        () if !is_up && !fault.whys.iter().any(says) => {
            Err(format!("it does not say: {}", fault.whys.join(" or ")))
        }
        () if outcome.exit_status != exit_status => Err("it has another exit status".to_owned()),
        () if !outcome.stderr.is_empty() => Err("it writes to standard error".to_owned()),
        () => Ok(()),
    }
}

/// Held by each test: what one takes of the machine would be the other's slowness.
static MACHINE: Mutex<()> = Mutex::new(());

#[test]
fn whatever_is_wrong_with_a_service_the_answer_is_one_line_in_time() {
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::new();
    let start = Instant::now();
    let mut combinations: Vec<Combination> = Vec::new();
    for kind in Kind::all() {
        for fault in faults(&kind).into_iter().map(Arc::new) {
            combinations.extend(Way::ALL.map(|way| (kind.clone(), fault.clone(), way)));
        }
    }
    let (next, ran) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (longest, late) = (Mutex::new(Duration::ZERO), Mutex::new(Vec::new()));
    let wrong = Mutex::new(Vec::new());
    let work = || {
        while let Some(combination) = combinations.get(next.fetch_add(1, Ordering::SeqCst)) {
            let (took, verdict) = carry_out(&world, combination);
            if !combination.1.is_plain() {
                let mut longest = longest.lock().unwrap();
                *longest = longest.max(took);
            }
            match verdict {
                Ok(()) => {}
                Err(Wrong::Late(_)) => late.lock().unwrap().push(combination),
                Err(Wrong::Otherwise(reason)) => wrong.lock().unwrap().push(reason),
            }
            ran.fetch_add(1, Ordering::SeqCst);
        }
    };
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(work);
        }
    });
    let (ran, mut wrong) = (ran.into_inner(), wrong.into_inner().unwrap());
    // So many at a time are no fair trial of how long one takes: alone it has to be in time.
    let late = late.into_inner().unwrap();
    for combination in &late {
        if let (_, Err(Wrong::Late(reason) | Wrong::Otherwise(reason))) =
            carry_out(&world, combination)
        {
            wrong.push(reason);
        }
    }
    println!(
        "{ran} combinations in {:.1?}; the longest of those with {TIMEOUT:?} took {:?}; \
         {} were late among the others and tried again alone",
        start.elapsed(),
        longest.into_inner().unwrap(),
        late.len()
    );
    assert_eq!(ran, combinations.len(), "none is skipped");
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn an_answer_that_takes_long_to_read_and_comes_late_is_read_in_time() {
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::new();
    for kind in Kind::all().into_iter().filter(|kind| !kind.is_websocket()) {
        let fault = late_maps(&kind);
        let (_server, place) = world.serve(&kind, &fault);
        let (mut options, request) = kind.request(&place);
        options.extend(["-d", "-t", "400"].map(str::to_owned));
        // It is asked at once, without waiting for a line first; once, or four times, it may be the
        // machine.
        let way = Way::SocketAndArgument;
        let outcomes = (0..5).map(|_| way.run(&world, &fault, &options, &request));
        let mut seen = Vec::new();
        let is_in_time =
            outcomes.inspect(|outcome| seen.push(format!("{outcome:?}"))).any(|outcome| {
                let is_read = !outcome.stdout.contains(NO_ANSWER);
                is_read && outcome.took < TIMEOUT + Duration::from_millis(50)
            });
        assert!(is_in_time, "{request}: {seen:#?}");
    }
}
