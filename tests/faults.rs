//! Every kind of request, with every fault of the service that it asks, under every way of starting the
//! agent: the reply has to be one line, the right one, in time.

mod common;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
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
use common::requests::{services, thresholds};
use common::state_history::Node;
use common::tls::Authority;
use common::websocket::{acceptance, send_parts, send_parts_before, session};
use common::websocket_faults::*;
use common::*;

/// The agent's timeout where a run may last that long.
const TIMEOUT: Duration = Duration::from_millis(400);

/// The agent's timeout where a run must not last that long, and the time that it may take on a slow
/// machine.
const LONG_TIMEOUT: Duration = Duration::from_secs(10);
const PROMPT_LIMIT: Duration = Duration::from_secs(5);

/// The reason when a host name is not resolved within the timeout.
const NO_NAME: &str = "did not resolve within 400 ms";

/// The reason when a service answers over HTTP although a WebSocket was asked for.
const NO_UPGRADE: &str = "answered HTTP 200, no WebSocket upgrade";

/// How many runs go on at the same time. Most of them wait for something.
const WORKERS: usize = 24;

/// With this a request line may name the services of this test.
const ALLOW_ANY: [&str; 2] = ["--allow-url", "any"];

/// The longest body that the agent reads, in bytes.
const BODY_LIMIT: usize = 1 << 20;

/// A kind of request, with the answer of a healthy service.
struct Kind {
    /// The first word of the request. `hls` stands for the thresholds, which ask the statistics page.
    name: &'static str,
    scheme: &'static str,
    status: &'static str,
    body: String,
    /// The part of the body that the agent judges.
    value: String,
}

impl Kind {
    fn new(name: &'static str, body: String, value: impl Into<String>) -> Self {
        let value = value.into();
        assert!(body.contains(&value), "{name}: {value}");
        Self { name, scheme: "http", status: "200 OK", body, value }
    }

    /// Every kind, and some of them over TLS too.
    fn all() -> Vec<Arc<Self>> {
        let http = || {
            let info = get_info(0.0);
            let time = info.rsplit('"').nth(1).map(|time| format!("\"{time}\""));
            let unknown = r#"{"code":0,"message":"Transport unknown"}"#.to_owned();
            let json = r#"{"streams_stats": {"streams_hls": 5}}"#.to_owned();
            let metrics = "# TYPE connections gauge\nconnections 2\nstreams_hls{app=\"live\"} 5\n";
            let streams = Self::new("stream", unknown, "0");
            // The number of the head block must occur only once.
            let [reader, other] = [HEAD, HEAD - 1].map(|block| format!("\"{block}\""));
            let atomic = || atomic_health(0.0, "OK").replace(&reader, &other);
            [
                Self::new("hls", "connections=2\nstreams_hls=5\n".to_owned(), "5"),
                Self::new("hls", json, "5"),
                Self::new("hls", metrics.to_owned(), "5"),
                Self::new("v1", info, time.unwrap()),
                Self::new("v2", v2_health(0.0, HEAD), HEAD.to_string()),
                Self::new("hyperion", v2_health(0.0, HEAD), HEAD.to_string()),
                Self::new("atomic", atomic(), HEAD.to_string()),
                Self::new("contract", atomic(), HEAD.to_string()),
                Self { status: "400 Bad Request", ..streams },
                Self::new("http", r#"{"value": 5}"#.to_owned(), "5"),
            ]
        };
        let websocket = |name, scheme| {
            let page = Self::new(name, r#"{"value": 5}"#.to_owned(), "5");
            Self { scheme, ..page }
        };
        let plain = http().into_iter().chain(["ship", "ws"].map(|name| websocket(name, "ws")));
        // Paths and fields make no difference to TLS, so not every kind is repeated.
        let [text, _, _, v1, _, _, atomic, _, stream, any] = http();
        let over_tls = [text, v1, atomic, stream, any].map(|kind| Self { scheme: "https", ..kind });
        let over_tls = over_tls.into_iter();
        let over_tls = over_tls.chain(["ship", "ws"].map(|name| websocket(name, "wss")));
        plain.chain(over_tls).map(Arc::new).collect()
    }

    fn is_websocket(&self) -> bool {
        self.scheme.starts_with("ws")
    }

    fn is_tls(&self) -> bool {
        matches!(self.scheme, "https" | "wss")
    }

    /// The options and the request with which the agent asks the service at `place`, HOST:PORT.
    fn request(&self, place: &str) -> (Vec<String>, String) {
        let url = format!("{}://{place}", self.scheme);
        // High, so that no head block is too old however long the tests last.
        let blocks = 1_000_000;
        match self.name {
            "hls" => (vec!["-u".to_owned(), url], "hls 10".to_owned()),
            "ws" | "stream" | "http" => (vec![], format!("{}|{url}", self.name)),
            name => (vec![], format!("{name}|{url}|{blocks}")),
        }
    }

    /// The parts of a whole answer: head and body, or the parts of a WebSocket session.
    fn parts(&self, head: &str) -> Vec<Vec<u8>> {
        let mut parts = match self.scheme {
            "http" | "https" => {
                let answer = response(self.status, self.body.as_bytes());
                let (head, body) = answer.split_at(answer.len() - self.body.len());
                vec![head.to_vec(), body.to_vec()]
            }
            _ => session(head, &Node::healthy()),
        };
        if matches!(self.name, "ws" | "http") {
            parts.truncate(1);
        }
        parts
    }

    /// The reasons that the agent may give for a complete answer with an invalid body.
    fn reasons_for_body(&self) -> Vec<&'static str> {
        match self.name {
            "ship" | "ws" => vec![NO_UPGRADE],
            "stream" => vec!["answered HTTP 400"],
            // The name of the value, or a mistake in the page's format.
            "hls" => vec!["hls", "holds no valid ", "holds no statistics"],
            _ => vec!["sent no JSON", "reports no "],
        }
    }

    /// The reasons that this kind gives for an answer for which a request over HTTP gives `reason`.
    fn reasons_over_http(&self, reason: &'static str) -> Vec<&'static str> {
        if self.is_websocket() { vec![NO_UPGRADE] } else { vec![reason] }
    }

    fn state(&self, finding: Finding) -> &'static str {
        match (finding, self.name) {
            (Finding::Healthy, _) => "up",
            (Finding::Bad, _) => "down",
            (Finding::HealthyOverHttp, _) if !self.is_websocket() => "up",
            (Finding::ErrorStatus, "atomic" | "contract" | "http") => "down",
            (_, "hls") => "down",
            _ => "fail",
        }
    }
}

/// What the agent should find out about a service.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Finding {
    /// It is healthy.
    Healthy,
    /// Its answer over HTTP is healthy. A request for a WebSocket fails all the same.
    HealthyOverHttp,
    /// It answers with the HTTP status of an error.
    ErrorStatus,
    /// It is measured and found bad.
    Bad,
    /// It cannot be measured.
    Unmeasured,
}

/// A connection to a service, after the head of the request has been read.
struct Exchange<'a> {
    stream: &'a mut dyn Duplex,
    /// The TCP connection of `stream`.
    tcp: TcpStream,
    head: String,
}

/// A fault of a service.
struct Fault {
    name: String,
    finding: Finding,
    /// The reply's description has to contain one of these.
    reasons: Vec<&'static str>,
    /// Whether the head of the answer is good, and only its body is faulty.
    is_in_body: bool,
    behaviour: Behaviour,
}

/// What a faulty service does after the head of the request, or after the client's hello in TLS. The bytes
/// are those that a TLS server should send next.
type RequestHandler = Arc<dyn Fn(&mut Exchange, &Kind) + Send + Sync>;
type HelloHandler = Arc<dyn Fn(&mut TcpStream, &[u8]) + Send + Sync>;

/// When the fault shows.
#[derive(Clone)]
enum Behaviour {
    /// Nothing listens at the service's address.
    Refuses,
    /// The service listens and never accepts.
    NeverAccepts,
    /// The URL names this host.
    Host(&'static str),
    /// The same, and the agent runs in a network without routes.
    HostInIsolation(&'static str),
    /// As soon as the service has accepted the connection.
    OnConnection(fn(&mut TcpStream)),
    /// After the client's hello in TLS.
    OnHello(HelloHandler),
    /// The certificate is for another host.
    OtherHost,
    /// The agent does not trust the authority that signed the certificate.
    UntrustedAuthority,
    /// The variable for trusted certificates names this file.
    Store(&'static str),
    /// The service speaks TLS and the URL does not.
    UnexpectedTls,
    /// After the head of the request has been read.
    OnRequest(RequestHandler),
}

fn fault(
    name: impl Into<String>,
    finding: Finding,
    reason: &'static str,
    behaviour: Behaviour,
) -> Fault {
    Fault { name: name.into(), finding, reasons: vec![reason], is_in_body: false, behaviour }
}

/// A fault that shows after the head of the request has been read.
fn on_request(
    name: impl Into<String>,
    finding: Finding,
    reasons: Vec<&'static str>,
    talk: impl Fn(&mut Exchange, &Kind) + Send + Sync + 'static,
) -> Fault {
    let behaviour = Behaviour::OnRequest(Arc::new(talk));
    Fault { name: name.into(), finding, reasons, is_in_body: false, behaviour }
}

/// The fault of a service that answers with the right status and the body that `make` returns.
fn with_body(
    name: &str,
    finding: Finding,
    reasons: Vec<&'static str>,
    make: impl Fn(&Kind) -> Vec<u8> + Send + Sync + 'static,
) -> Fault {
    let fault = on_request(format!("body: {name}"), finding, reasons, move |exchange, kind| {
        send(exchange.stream, response(kind.status, &make(kind)));
    });
    Fault { is_in_body: true, ..fault }
}

/// The fault of a service whose body has `value` in the place of the value that is judged.
fn with_value(kind: &Kind, value: impl AsRef<[u8]> + Send + Sync + 'static, name: &str) -> Fault {
    with_body(name, Finding::Unmeasured, kind.reasons_for_body(), move |kind| {
        let (before, after) = kind.body.split_once(&kind.value).unwrap();
        [before.as_bytes(), value.as_ref(), after.as_bytes()].concat()
    })
}

/// Headers of answers without a Content-Length.
const CHUNKED: &str = "Transfer-Encoding: chunked";
const CLOSE: &str = "Connection: close";

/// The fault of a service that answers with this header and the body that `encode` returns.
fn encoded(
    name: &str,
    finding: Finding,
    reasons: Vec<&'static str>,
    header: &'static str,
    encode: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
) -> Fault {
    let fault = on_request(name, finding, reasons, move |exchange, kind| {
        let encoded = encode(kind.body.as_bytes());
        let length = match header {
            CHUNKED | CLOSE => String::new(),
            _ => format!("Content-Length: {}\r\n", encoded.len()),
        };
        send(exchange.stream, format!("HTTP/1.1 {}\r\n{header}\r\n{length}\r\n", kind.status));
        send(exchange.stream, encoded);
    });
    Fault { is_in_body: true, ..fault }
}

/// The body, filled up to `size` bytes with content that is not judged.
fn padded(kind: &Kind, size: usize) -> Vec<u8> {
    let (start, unit, rest) = match kind.body.strip_prefix('{') {
        Some(rest) => ("{\"pad\":[0", ",0", format!("],{rest}")),
        None if kind.body.starts_with('#') => ("", "# pad\n", kind.body.clone()),
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

/// The fault of a service that sends the longest body that is read, of the JSON that takes the most time to
/// read. Its last byte comes shortly before the timeout, so that the agent has little time left to read it.
fn late_nested_maps(kind: &Kind) -> Fault {
    let name = "body: nested maps whose end comes late";
    let reasons = [kind.reasons_for_body(), vec![NO_ANSWER]].concat();
    let fault = on_request(name, Finding::Unmeasured, reasons, |exchange, kind| {
        let due = Instant::now() + TIMEOUT - Duration::from_millis(40);
        let answer = response(kind.status, &nested_maps(BODY_LIMIT));
        let (last, before) = answer.split_last().unwrap();
        send(exchange.stream, before);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        send(exchange.stream, [*last]);
    });
    Fault { is_in_body: true, ..fault }
}

/// The faults of the service that this kind of request asks.
fn faults(kind: &Kind) -> Vec<Fault> {
    use Finding::*;
    let mut faults = vec![
        on_request("no fault", Healthy, vec![], |exchange, kind| {
            let parts = kind.parts(&exchange.head);
            send_parts_before(exchange.stream, &parts, parts.len());
        }),
        fault("refuses", Unmeasured, "refused the connection", Behaviour::Refuses),
        fault("never accepts", Unmeasured, NO_ANSWER, Behaviour::NeverAccepts),
        fault("has no address", Unmeasured, "does not resolve", Behaviour::Host("service.invalid")),
        fault("has no route", Unmeasured, "unreachable", Behaviour::HostInIsolation("192.0.2.1")),
        fault(
            "has a silent name server",
            Unmeasured,
            NO_NAME,
            Behaviour::HostInIsolation("service.example"),
        ),
        fault("accepts and hangs", Unmeasured, NO_ANSWER, Behaviour::OnConnection(hold)),
        fault("accepts and closes", Unmeasured, "closed the", Behaviour::OnConnection(|_| {})),
        fault(
            "accepts and resets",
            Unmeasured,
            "closed the",
            Behaviour::OnConnection(|tcp| Ending::Reset.carry_out(&mut &*tcp, tcp, b"")),
        ),
        fault(
            "speaks SSH first",
            Unmeasured,
            if kind.is_tls() { "speaks no TLS" } else { "sent no valid HTTP" },
            Behaviour::OnConnection(|tcp| {
                send(tcp, SSH);
                hold(tcp);
            }),
        ),
        fault(
            "sends zeros at once and for ever",
            Unmeasured,
            if kind.is_tls() { "speaks no TLS" } else { "sent no valid HTTP" },
            Behaviour::OnConnection(|tcp| send_for_ever(tcp, [0; 4096])),
        ),
    ];

    for (name, wrong_answer, status, reason) in WRONG_ANSWERS {
        let finding = match status {
            Some(200..=399) if kind.name == "http" => Healthy,
            Some(300..) => ErrorStatus,
            _ => Unmeasured,
        };
        // The answer to an upgrade has no body, and other code reads it, which finds other mistakes first.
        let mut reasons = vec![reason];
        if kind.is_websocket() {
            reasons.extend([", no WebSocket upgrade", "sent too long a header"]);
        }
        faults.push(on_request(name, finding, reasons, move |exchange, _| {
            wrong_answer(exchange.stream)
        }));
    }

    for part in 0..kind.parts("").len() {
        for is_within in [false, true] {
            for ending in Ending::ALL {
                let place = if is_within { "within" } else { "before" };
                let name = format!("{ending:?} {place} part {part}");
                let reasons = vec![ending.reason()];
                faults.push(on_request(name, Unmeasured, reasons, move |exchange, kind| {
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

    let too_large = kind.reasons_over_http("sent more than 1 MiB");
    let chunked = |name: &str, reason, encode: fn(&[u8]) -> Vec<u8>| {
        encoded(name, Unmeasured, kind.reasons_over_http(reason), CHUNKED, encode)
    };
    let deep = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    faults.extend([
        with_body("just under 1 MiB", HealthyOverHttp, kind.reasons_for_body(), |kind| {
            padded(kind, BODY_LIMIT - 1)
        }),
        with_body("1 MiB", HealthyOverHttp, kind.reasons_for_body(), |kind| {
            padded(kind, BODY_LIMIT)
        }),
        with_body("just over 1 MiB", Unmeasured, too_large.clone(), |kind| {
            padded(kind, BODY_LIMIT + 1)
        }),
        with_body("blanks, just over 1 MiB", Unmeasured, too_large, |kind| {
            let mut body = kind.body.clone().into_bytes();
            body.resize(BODY_LIMIT + 1, b' ');
            body
        }),
        with_body("empty", Unmeasured, kind.reasons_for_body(), |_| vec![]),
        with_body("HTML", Unmeasured, kind.reasons_for_body(), |_| {
            b"<html>It works!</html>".to_vec()
        }),
        with_body("nothing but brackets", Unmeasured, kind.reasons_for_body(), |_| {
            b"[".repeat(100_000)
        }),
        with_body("all byte values", Unmeasured, kind.reasons_for_body(), |_| (0..=255).collect()),
        with_body("half", Unmeasured, kind.reasons_for_body(), |kind| {
            let end = kind.body.find(&kind.value).unwrap();
            kind.body.as_bytes()[..end].to_vec()
        }),
        with_value(kind, deep("[", "]"), "100,000 brackets"),
        with_value(kind, deep("{\"a\":", "}"), "100,000 groups"),
        with_value(kind, "[".repeat(100_000), "100,000 brackets that open"),
        with_value(kind, "NaN", "NaN"),
        with_value(kind, "\"NaN\"", "NaN as text"),
        with_value(kind, "nan", "nan"),
        with_value(kind, "inf", "inf"),
        with_value(kind, "-Infinity", "-Infinity"),
        with_value(kind, "1e999", "1e999"),
        with_value(kind, "-1e999", "-1e999"),
        with_value(kind, "-1", "-1"),
        with_value(kind, "0x10", "a hexadecimal number"),
        with_value(kind, "9".repeat(100_000), "100,000 digits"),
        with_value(kind, "18446744073709551616", "2^64"),
        with_value(kind, "null", "null"),
        with_value(kind, b"\xff", "a byte that is not UTF-8"),
        with_value(kind, b"\"\xff\xfe\"", "text that is not UTF-8"),
        with_value(kind, b"\"\xed\xa0\x80\"", "a surrogate in UTF-8"),
        with_value(kind, "\"\\ud800\"", "half a surrogate pair"),
        with_value(kind, "\"\\u0000\r\nup 100%\\n\"", "control characters"),
        encoded(
            "gzip, unasked",
            Unmeasured,
            kind.reasons_for_body(),
            "Content-Encoding: gzip",
            gzip,
        ),
        encoded(
            "declared as identity",
            HealthyOverHttp,
            kind.reasons_for_body(),
            "Content-Encoding: identity",
            <[u8]>::to_vec,
        ),
        encoded(
            "ended by the connection",
            HealthyOverHttp,
            kind.reasons_for_body(),
            CLOSE,
            <[u8]>::to_vec,
        ),
        encoded("chunked", HealthyOverHttp, kind.reasons_for_body(), CHUNKED, |body| {
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
    if kind.name == "hls" {
        faults.extend(WRONG_PAGES.map(|(name, page)| {
            with_body(name, Unmeasured, kind.reasons_for_body(), move |_| page.to_vec())
        }));
    }
    if kind.body.starts_with('{') {
        let name = "cut, without a length";
        faults.push(encoded(name, Unmeasured, kind.reasons_for_body(), CLOSE, |body| {
            let end = body.iter().rposition(|byte| *byte == b'}').unwrap();
            body[..end].to_vec()
        }));
    }
    if !kind.is_websocket() {
        faults.push(late_nested_maps(kind));
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
                faults.push(fault(
                    name,
                    Unmeasured,
                    ending.reason(),
                    Behaviour::OnHello(Arc::new(talk)),
                ));
            }
        }
        let answering_hello = |name: &str, reason, answer: &'static [u8]| {
            let talk = move |tcp: &mut TcpStream, _: &[u8]| send(tcp, answer);
            fault(name, Unmeasured, reason, Behaviour::OnHello(Arc::new(talk)))
        };
        faults.extend([
            answering_hello(
                "answers TLS over HTTP",
                "speaks no TLS",
                b"HTTP/1.1 400 Bad Request\r\n\r\n",
            ),
            answering_hello("answers TLS with an alert", "received fatal alert", TLS_ALERT),
            fault("is another host", Unmeasured, "is for another name", Behaviour::OtherHost),
            fault(
                "is trusted by nobody",
                Unmeasured,
                "no valid certificate",
                Behaviour::UntrustedAuthority,
            ),
            fault(
                "should be trusted by a file that is missing",
                Unmeasured,
                "SSL_CERT_FILE does not exist",
                Behaviour::Store("/nonexistent"),
            ),
            fault(
                "should be trusted by a file that is empty",
                Unmeasured,
                "SSL_CERT_FILE holds no certificate",
                Behaviour::Store("/dev/null"),
            ),
        ]);
    } else {
        faults.push(fault(
            "speaks TLS",
            Unmeasured,
            "sent no valid HTTP",
            Behaviour::UnexpectedTls,
        ));
    }
    // The status alone is judged.
    if kind.name == "http" {
        for fault in faults.iter_mut().filter(|fault| fault.is_in_body) {
            fault.finding = Healthy;
        }
    }
    faults
}

/// Statistics pages that report no `streams_hls`, or not as a number.
const WRONG_PAGES: [(&str, &[u8]); 14] = [
    ("metrics: NaN", b"streams_hls NaN\n"),
    ("metrics: an infinite part of a sum", b"streams_hls{a=\"1\"} +Inf\nstreams_hls{a=\"2\"} 1\n"),
    ("metrics: a negative sum", b"streams_hls{a=\"1\"} -2\nstreams_hls{a=\"2\"} 1\n"),
    ("metrics: a sum out of range", b"streams_hls{a=\"1\"} 1e308\nstreams_hls{a=\"2\"} 1e308\n"),
    ("metrics: a longer name", b"streams_hls_total 5\n"),
    ("metrics: a label that is not closed", b"other 1\nstreams_hls{a=\"5} 5\n"),
    ("metrics: braces that are not closed", b"other 1\nstreams_hls{a=\"5\" 5\n"),
    ("metrics: two values and more", b"streams_hls 5 5 5\n"),
    ("metrics: no value", b"other 1\nstreams_hls\n"),
    ("metrics: key=value after a sample", b"other 1\nstreams_hls=5\n"),
    ("metrics: comments only", b"# TYPE streams_hls gauge\n# streams_hls 5\n# EOF\n"),
    ("metrics: not UTF-8", b"streams_hls 5\nother{a=\"\xff\"} 5\n"),
    ("JSON: the value is a list", b"[{\"streams_hls\": [5]}]"),
    ("JSON: one of two values is a text", b"[{\"streams_hls\": 5}, {\"streams_hls\": \"many\"}]"),
];

/// Faults in the answer to an upgrade.
fn upgrade_faults() -> Vec<Fault> {
    let changed = CHANGED_ACCEPTANCES.map(|(from, to, reason)| {
        let name = format!("accepts with {to:?} for {from:?}");
        on_request(name, Finding::Unmeasured, vec![reason], move |exchange, _| {
            let answer = acceptance(&exchange.head);
            let changed = answer.replace(from, to);
            assert_ne!(answer, changed);
            send(exchange.stream, changed);
            hold(exchange.stream);
        })
    });
    let wrong_answer = WRONG_ACCEPTANCES.map(|(name, wrong_answer, reason)| {
        on_request(name, Finding::Unmeasured, vec![reason], move |exchange, _| {
            wrong_answer(exchange.stream);
            hold(exchange.stream);
        })
    });
    changed.into_iter().chain(wrong_answer).collect()
}

/// Faults of a state history after it has accepted the upgrade.
fn session_faults() -> Vec<Fault> {
    let mut faults = Vec::new();
    for part in 1..=BLOCK {
        for (name, wrong_answer, reason) in INVALID_MESSAGES {
            let name = format!("{name} for part {part}");
            faults.push(on_request(
                name,
                Finding::Unmeasured,
                vec![reason],
                move |exchange, kind| {
                    send_parts_before(exchange.stream, &kind.parts(&exchange.head), part);
                    wrong_answer(exchange.stream);
                    hold(exchange.stream);
                },
            ));
        }
    }
    let unreadable = unreadable_messages().into_iter().map(|what| (what, Finding::Unmeasured));
    let out_of_range = out_of_range_messages().into_iter().map(|what| (what, Finding::Bad));
    for (WrongMessage { name, part, frame, reason }, finding) in unreadable.chain(out_of_range) {
        let name = format!("{name} for part {part}");
        faults.push(on_request(name, finding, vec![reason], move |exchange, kind| {
            let mut session = kind.parts(&exchange.head);
            session[part] = frame.clone();
            send_parts(exchange.stream, &session);
            hold(exchange.stream);
        }));
    }
    // The status alone shows that a log is incomplete.
    faults.extend(Ending::ALL.map(|ending| {
        let name = format!("{ending:?} after the status of a broken log");
        on_request(name, Finding::Bad, vec!["traces to block "], move |exchange, _| {
            let healthy = Node::healthy();
            let broken = Node { ends: [healthy.head, healthy.head + 1], ..healthy };
            let session = session(&exchange.head, &broken);
            // Without a delay: a reset would discard bytes that have not been sent.
            exchange.tcp.set_nodelay(true).unwrap();
            send_parts(exchange.stream, &session[..BLOCK]);
            ending.carry_out(exchange.stream, &exchange.tcp, &session[BLOCK]);
        })
    }));
    faults
}

/// Servers and networks that the faults share.
struct Setup {
    authority: Authority,
    untrusted_authority: Authority,
    isolated_network: IsolatedNetwork,
    full_listener: FullListener,
    /// Instances of xinetd that can be used again: they start agents without a statistics page, with this
    /// timeout.
    idle_instances: Mutex<Vec<(Duration, Xinetd)>>,
}

impl Setup {
    fn new() -> Self {
        Self {
            authority: Authority::new(),
            untrusted_authority: Authority::new(),
            isolated_network: IsolatedNetwork::new(),
            full_listener: FullListener::new(),
            idle_instances: Mutex::default(),
        }
    }

    /// Starts the server of a faulty service, if it needs one. Returns it and its HOST:PORT.
    fn serve(&self, kind: &Arc<Kind>, fault: &Fault) -> (Option<Server>, String) {
        let place = |host: &str, server: Server| {
            let place = format!("{host}:{}", server.address.port());
            (Some(server), place)
        };
        let own_host = if kind.is_tls() { "localhost" } else { "127.0.0.1" };
        let over_tls = |authority: &Authority, talk: RequestHandler| {
            let kind = kind.clone();
            authority.server(move |mut stream| {
                let tcp = stream.sock.try_clone().unwrap();
                let head = read_head(&mut stream);
                talk(&mut Exchange { stream: &mut stream, tcp, head }, &kind);
            })
        };
        let nothing: RequestHandler = Arc::new(|_, _| {});
        match fault.behaviour.clone() {
            Behaviour::Refuses => (None, own_address().to_string()),
            Behaviour::NeverAccepts => (None, self.full_listener.address.to_string()),
            Behaviour::Host(host) | Behaviour::HostInIsolation(host) => {
                (None, format!("{host}:8080"))
            }
            Behaviour::OnConnection(talk) => place(own_host, Server::accepting(talk)),
            Behaviour::OnHello(talk) => {
                let server = self.authority.server_after_hello(move |tcp, hello| talk(tcp, hello));
                place(own_host, server)
            }
            Behaviour::OtherHost => place("127.0.0.1", over_tls(&self.authority, nothing)),
            Behaviour::Store(_) => place(own_host, over_tls(&self.authority, nothing)),
            Behaviour::UntrustedAuthority => {
                place(own_host, over_tls(&self.untrusted_authority, nothing))
            }
            Behaviour::UnexpectedTls => place(own_host, over_tls(&self.authority, nothing)),
            Behaviour::OnRequest(talk) if kind.is_tls() => {
                place(own_host, over_tls(&self.authority, talk))
            }
            Behaviour::OnRequest(talk) => {
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

    /// The variables that name trusted certificates.
    fn trusted(&self, fault: &Fault) -> [(&'static str, PathBuf); 2] {
        let file = match fault.behaviour {
            Behaviour::Store(file) => file.into(),
            _ => self.authority.file(),
        };
        [("SSL_CERT_FILE", file), ("SSL_CERT_DIR", PathBuf::new())]
    }

    /// A command that runs the agent.
    fn agent(&self, fault: &Fault) -> Command {
        let mut command = match fault.behaviour {
            Behaviour::HostInIsolation(_) => self.isolated_network.agent(),
            _ => Command::new(AGENT),
        };
        command.envs(self.trusted(fault));
        command
    }
}

/// A way of starting the agent.
#[derive(Clone, Copy, Debug)]
enum Invocation {
    PipeAndArgument,
    PipeAndLine,
    SocketAndArgument,
    SocketAndLine,
    Xinetd,
}

impl Invocation {
    const ALL: [Self; 5] = [
        Self::PipeAndArgument,
        Self::PipeAndLine,
        Self::SocketAndArgument,
        Self::SocketAndLine,
        Self::Xinetd,
    ];

    /// Runs the agent and waits for its end.
    fn run(self, setup: &Setup, fault: &Fault, options: &[String], request: &str) -> Outcome {
        let mut command = setup.agent(fault);
        command.args(options);
        let line = format!("{request}\n");
        match self {
            Self::PipeAndArgument => on_pipe(command.args(request.split(' ')), ""),
            Self::PipeAndLine => on_pipe(command.args(ALLOW_ANY), &line),
            Self::SocketAndArgument => {
                Connection::open_to(command.args(request.split(' ')), b"").finish()
            }
            Self::SocketAndLine => {
                Connection::open_to(command.args(ALLOW_ANY), line.as_bytes()).finish()
            }
            Self::Xinetd => under_xinetd(setup, fault, options, &line),
        }
    }
}

/// Runs the agent with a pipe on standard input that stays open.
fn on_pipe(command: &mut Command, sent: &str) -> Outcome {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(sent.as_bytes()).unwrap();
    let start = Instant::now();
    let outcome = outcome(command.stdin(reader).output().unwrap(), start);
    drop(writer);
    outcome
}

/// Sends the request to an agent under xinetd, with the shipped service file.
fn under_xinetd(setup: &Setup, fault: &Fault, options: &[String], line: &str) -> Outcome {
    let mut args = vec!["--agent-send", "required"];
    args.extend(ALLOW_ANY);
    args.extend(options.iter().map(String::as_str));
    let args = args.join(" ");
    let environment = setup.trusted(fault);
    let timeout = fault.timeout();
    let has_page = options.iter().any(|option| option == "-u");
    let is_isolated = matches!(fault.behaviour, Behaviour::HostInIsolation(_));
    let is_shared = !has_page && !is_isolated && !matches!(fault.behaviour, Behaviour::Store(_));
    let shipped = if has_page {
        include_str!("../xinetd/haproxy-agent-check")
    } else {
        include_str!("../xinetd/antelope-agent-check")
    };
    let idle = || {
        let mut idle = setup.idle_instances.lock().unwrap();
        let place = idle.iter().position(|(each, _)| *each == timeout)?;
        is_shared.then(|| idle.swap_remove(place).1)
    };
    let xinetd = match idle() {
        Some(xinetd) => xinetd,
        None if is_isolated => {
            Xinetd::start_through(&setup.isolated_network.agent(), shipped, &args, &environment)
        }
        None => Xinetd::start_in(&environment, shipped, &args),
    };
    let start = Instant::now();
    let stdout = ask(xinetd.address, line.as_bytes());
    let took = start.elapsed();
    xinetd.wait_until_idle();
    if is_shared {
        setup.idle_instances.lock().unwrap().push((timeout, xinetd));
    }
    Outcome { stdout, stderr: String::new(), exit_status: None, took }
}

impl Fault {
    /// Whether the agent can reply without waiting for its timeout.
    fn is_prompt(&self) -> bool {
        match self.finding {
            Finding::Healthy | Finding::HealthyOverHttp | Finding::ErrorStatus | Finding::Bad => {
                true
            }
            Finding::Unmeasured => {
                !self.reasons.iter().any(|reason| [NO_ANSWER, NO_NAME].contains(reason))
            }
        }
    }

    fn timeout(&self) -> Duration {
        if self.is_prompt() { LONG_TIMEOUT } else { TIMEOUT }
    }

    /// The longest time that a run may take.
    fn time_limit(&self) -> Duration {
        if self.is_prompt() { PROMPT_LIMIT } else { TIMEOUT + TOLERANCE }
    }
}

/// A kind of request, a fault of the service that it asks, and a way of starting the agent.
type Combination = (Arc<Kind>, Arc<Fault>, Invocation);

/// What was wrong with a run.
enum Failure {
    /// The reply was right and came too late. Or it was right except for its reason, because the run used all
    /// its time at another point: on a busy machine, reading the certificates alone may take so long.
    Late(String),
    Wrong(String),
}

/// Runs one combination. Returns how long it took, and what was wrong.
fn run_combination(
    setup: &Setup,
    (kind, fault, invocation): &Combination,
) -> (Duration, Result<(), Failure>) {
    let (_server, place) = setup.serve(kind, fault);
    let (mut options, request) = kind.request(&place);
    options.extend(["-d".to_owned(), "-t".to_owned()]);
    options.push(fault.timeout().as_millis().to_string());
    let case = format!("{invocation:?} {} {request}: {}", options.join(" "), fault.name);
    let run = || invocation.run(setup, fault, &options, &request);
    let Ok(outcome) = catch_unwind(AssertUnwindSafe(run)) else {
        return (
            Duration::MAX,
            Err(Failure::Wrong(format!("{case}: the run failed or did not end"))),
        );
    };
    let verdict = match judge(kind, fault, *invocation, &outcome) {
        Err(Mistake::Reason(reason)) if !fault.is_prompt() && outcome.took >= TIMEOUT => {
            Err(Failure::Late(format!("{case}: {reason}: {outcome:?}")))
        }
        Err(Mistake::Reason(mistake) | Mistake::Reply(mistake)) => {
            Err(Failure::Wrong(format!("{case}: {mistake}: {outcome:?}")))
        }
        Ok(()) if outcome.took > fault.time_limit() => {
            Err(Failure::Late(format!("{case}: the reply is late: {outcome:?}")))
        }
        Ok(()) => Ok(()),
    };
    (outcome.took, verdict)
}

/// What is wrong with a reply.
enum Mistake {
    /// The reason in its description is not the expected one. Everything else is right.
    Reason(String),
    /// Anything else.
    Reply(String),
}

/// Compares the outcome of a run with the fault. Lateness is not considered.
fn judge(
    kind: &Kind,
    fault: &Fault,
    invocation: Invocation,
    outcome: &Outcome,
) -> Result<(), Mistake> {
    let wrong = |mistake: &str| Err(Mistake::Reply(mistake.to_owned()));
    let reply = Reply::parse(&outcome.stdout).map_err(Mistake::Reply)?;
    let state = kind.state(fault.finding);
    let is_up = state == "up";
    let weight = (is_up && kind.name == "hls").then_some(100);
    let exit_status = (!matches!(invocation, Invocation::Xinetd)).then_some(i32::from(!is_up));
    let says = |reason: &&str| reply.description.is_some_and(|text| text.contains(reason));
    match () {
        () if (reply.state, reply.weight_percent, reply.is_ready) != (state, weight, false) => {
            wrong(&format!("the state is not {state}"))
        }
        () if outcome.exit_status != exit_status => wrong("the exit status is wrong"),
        () if !outcome.stderr.is_empty() => wrong("standard error is not empty"),
        () if !is_up && !fault.reasons.iter().any(says) => {
            Err(Mistake::Reason(format!("the description lacks: {}", fault.reasons.join(" or "))))
        }
        () => Ok(()),
    }
}

/// Locked by each test with a time limit: tests that ran at the same time would slow each other down.
static ONE_TIMED_TEST_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn every_fault_of_a_service_is_answered_with_one_line_in_time() {
    let _alone = ONE_TIMED_TEST_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let setup = Setup::new();
    let start = Instant::now();
    let mut combinations: Vec<Combination> = Vec::new();
    for kind in Kind::all() {
        for fault in faults(&kind).into_iter().map(Arc::new) {
            combinations.extend(
                Invocation::ALL.map(|invocation| (kind.clone(), fault.clone(), invocation)),
            );
        }
    }
    let (next, ran) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (longest, late) = (Mutex::new(Duration::ZERO), Mutex::new(Vec::new()));
    let wrong = Mutex::new(Vec::new());
    let work = || {
        while let Some(combination) = combinations.get(next.fetch_add(1, Ordering::SeqCst)) {
            let (took, verdict) = run_combination(&setup, combination);
            if !combination.1.is_prompt() {
                let mut longest = longest.lock().unwrap();
                *longest = longest.max(took);
            }
            match verdict {
                Ok(()) => {}
                Err(Failure::Late(_)) => late.lock().unwrap().push(combination),
                Err(Failure::Wrong(reason)) => wrong.lock().unwrap().push(reason),
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
    // So many runs at the same time slow each other down. A late one is tried again, alone.
    let late = late.into_inner().unwrap();
    for combination in &late {
        if let (_, Err(Failure::Late(reason) | Failure::Wrong(reason))) =
            run_combination(&setup, combination)
        {
            wrong.push(reason);
        }
    }
    println!(
        "{ran} combinations in {:.1?}; the longest of those with {TIMEOUT:?} took {:?}; \
         {} were late and were tried again alone",
        start.elapsed(),
        longest.into_inner().unwrap(),
        late.len()
    );
    assert_eq!(ran, combinations.len(), "every combination has run");
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn an_answer_that_comes_late_and_takes_long_to_read_is_read_in_time() {
    let _alone = ONE_TIMED_TEST_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let setup = Setup::new();
    for kind in Kind::all().into_iter().filter(|kind| !kind.is_websocket()) {
        let fault = late_nested_maps(&kind);
        let (_server, place) = setup.serve(&kind, &fault);
        let (mut options, request) = kind.request(&place);
        options.extend(["-d", "-t", "400"].map(str::to_owned));
        // This way of starting asks the service at once, without waiting for a line. Four of five runs may
        // be late, because the machine is slow.
        let invocation = Invocation::SocketAndArgument;
        let outcomes = (0..5).map(|_| invocation.run(&setup, &fault, &options, &request));
        let mut seen = Vec::new();
        let is_in_time =
            outcomes.inspect(|outcome| seen.push(format!("{outcome:?}"))).any(|outcome| {
                let is_read = !outcome.stdout.contains(NO_ANSWER);
                is_read && outcome.took < TIMEOUT + Duration::from_millis(50)
            });
        assert!(is_in_time, "{request}: {seen:#?}");
    }
}

#[test]
fn the_kinds_of_requests_include_every_service_and_no_unknown_one() {
    let kinds: BTreeSet<_> = Kind::all().iter().map(|kind| kind.name.to_owned()).collect();
    assert!(thresholds().contains(&"hls".to_owned()), "hls is a threshold");
    let known: BTreeSet<_> = services().into_iter().chain(["hls".to_owned()]).collect();
    assert_eq!(kinds, known);
}

/// The soak checks this too when it runs. It is not among the tests that always run.
#[test]
fn the_soak_asks_every_service() {
    let soak = include_str!("../bench/soak.rs");
    for name in services() {
        assert!(soak.contains(&format!("\"{name}|")), "bench/soak.rs does not ask {name}");
    }
}
