/*!
A soak: many connections through a real xinetd, from many clients at once. The services are healthy,
unhealthy or faulty. Some clients break off. Every answer is counted as right, wrong or missing.

```text
cargo test --release --test soak -- [CONNECTIONS]    the default is 200,000
```

It takes minutes, so it runs only when it is named. It fails if an answer is wrong or missing. It also fails if
afterwards xinetd has child processes, or more descriptors than before. Late answers are counted, but they are
not failures: so many clients keep all processors busy, and a run that waits for a processor is late without a
fault of its own.
*/

#[path = "../tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::antelope::{HEAD, atomic_health, get_info, v2_health};
use common::reply::Reply;
use common::requests::services;
use common::state_history::Node;
use common::*;

/// The number of clients that connect at the same time.
const CLIENTS: usize = 32;

/// The agent's `--timeout`. The expected reasons of some faults name it.
const TIMEOUT: Duration = Duration::from_millis(400);

/// An answer is late after this time: the timeout plus 50 ms.
const LATE: Duration = Duration::from_millis(400 + 50);

/// The lag of the head block that services report. It is so large that the time a soak takes does not matter:
/// only BLOCKS of the request decides whether a service is in sync.
const LAG_S: f64 = 600.0;

/// What a client does.
enum Client {
    /// Sends a line. The answer must begin with `begins` and contain `holds`.
    Asks { line: String, begins: &'static str, holds: &'static str },
    /// Closes at once and expects no answer.
    Leaves,
    /// Sends a part of a line, closes and expects no answer.
    BreaksOff,
}

/// The result of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Right,
    Wrong,
    Missing,
    NoneExpected,
}

impl Client {
    fn asks(line: impl Into<String>, begins: &'static str, holds: &'static str) -> Self {
        Self::Asks { line: line.into(), begins, holds }
    }

    fn connect(&self, agent: SocketAddr) -> (Answer, String) {
        match self {
            Self::Asks { line, begins, holds } => match try_ask(agent, line.as_bytes()) {
                Ok(reply) if is_right(&reply, begins, holds) => (Answer::Right, reply),
                Ok(reply) if reply.is_empty() => (Answer::Missing, reply),
                Ok(reply) => (Answer::Wrong, reply),
                Err(error) => (Answer::Missing, error.to_string()),
            },
            Self::Leaves => {
                drop(std::net::TcpStream::connect(agent));
                (Answer::NoneExpected, String::new())
            }
            Self::BreaksOff => {
                if let Ok(mut stream) = std::net::TcpStream::connect(agent) {
                    let _ = stream.write_all(b"v1|http://127");
                }
                (Answer::NoneExpected, String::new())
            }
        }
    }
}

fn is_right(reply: &str, begins: &str, holds: &str) -> bool {
    Reply::parse(reply).is_ok() && reply.starts_with(begins) && reply.contains(holds)
}

fn main() -> ExitCode {
    let count = std::env::args().nth(1).map_or(200_000, |count| count.parse().expect("a number"));
    let nodeos = Server::fixed(get_info(LAG_S));
    let hyperion = Server::fixed(v2_health(LAG_S, HEAD - 5));
    let atomic = Server::fixed(atomic_health(LAG_S, "OK"));
    let broken = Server::fixed(atomic_health(LAG_S, "ERROR"));
    let engine = Server::fixed(r#"{"code":0,"message":"Transport unknown"}"#);
    let node = Node { lag_s: LAG_S, ..Node::healthy() };
    let ship = websocket::state_history_server(std::sync::Arc::new(Mutex::new(node)));
    let faults = faults::http_servers();

    let mut clients = vec![Client::Leaves, Client::BreaksOff];
    let url = |server: &Server| format!("http://{}", server.address);
    // Each of these twice, so that most connections are ordinary ones.
    for _ in 0..2 {
        clients.extend([
            Client::asks(format!("v1|{}|99999\n", url(&nodeos)), "up # head block behind", ""),
            Client::asks(format!("v1|{}|20\n", url(&nodeos)), "down # head block behind", "/10s"),
            Client::asks(format!("v2|{}|5\n", url(&hyperion)), "up # indexed blocks", " 5/5"),
            Client::asks(format!("v2|{}|4\n", url(&hyperion)), "down # indexed blocks", " 5/4"),
            Client::asks(format!("hyperion|{}|99999\n", url(&hyperion)), "up # ", "head block"),
            Client::asks(format!("atomic|{}|99999\n", url(&atomic)), "up # ", "head block"),
            Client::asks(format!("atomic|{}|99999\n", url(&broken)), "down # redis", "ERROR"),
            Client::asks(format!("contract|{}|99999\n", url(&atomic)), "up # ", "head block"),
            Client::asks(format!("contract|{}|99999\n", url(&broken)), "down # redis", "ERROR"),
            Client::asks(format!("stream|{}\n", url(&engine)), "up\n", ""),
            Client::asks(format!("stream|{}\n", url(&nodeos)), "fail # ", "Socket.IO"),
            Client::asks(format!("ws|ws://{}\n", ship.address), "up\n", ""),
            Client::asks(format!("ws|ws://{}\n", nodeos.address), "fail # ", "no WebSocket"),
            Client::asks(format!("ship|ws://{}|99999\n", ship.address), "up # head block", ""),
            Client::asks(format!("ship|ws://{}|20\n", ship.address), "down # head block", "/10s"),
            Client::asks(format!("http|{}\n", url(&nodeos)), "up\n", ""),
            Client::asks(format!("http|{}|500-599\n", url(&nodeos)), "down # answered", "HTTP 200"),
            Client::asks("cpu 1000000\n", "up 100% # cpu ", ""),
            Client::asks("cpu 0\n", "down # cpu ", ""),
            Client::asks("debug|drain # a|b\n", "drain # a|b\n", ""),
            Client::asks("nonsense\n", "fail # 'nonsense' is none of", ""),
        ]);
    }
    // Without a line end, 50 ms of silence end the line.
    clients.push(Client::asks("cpu 0", "down # cpu ", ""));
    clients.push(Client::asks(format!("v1|http://{}\n", free_address()), "fail # ", "refused"));
    for (server, why) in &faults {
        clients.push(Client::asks(format!("v1|{}\n", url(server)), "fail # ", why));
    }
    for name in services() {
        let begins = format!("{name}|");
        let is_asked = clients.iter().any(|client| match client {
            Client::Asks { line, .. } => line.starts_with(&begins),
            Client::Leaves | Client::BreaksOff => false,
        });
        assert!(is_asked, "no client asks {name}");
    }

    let args = format!(
        "--describe --agent-send required --allow-url any --timeout {}",
        TIMEOUT.as_millis()
    );
    let shipped = include_str!("../xinetd/antelope-agent-check");
    let xinetd = Xinetd::start_file(shipped, &args);
    // The check whether xinetd listens was a connection too.
    xinetd.wait_until_idle();
    let before = (xinetd.children().len(), xinetd.descriptors());
    let counts: Mutex<BTreeMap<Answer, usize>> = Mutex::default();
    let late = AtomicUsize::new(0);
    let longest = Mutex::new(Duration::ZERO);
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    // Steps of 7, so that neighbours differ. 7 does not divide the number of clients, so
                    // every client has its turn.
                    let client = &clients[n * 7 % clients.len()];
                    let asked = Instant::now();
                    let (answer, reply) = client.connect(xinetd.address);
                    let took = asked.elapsed();
                    if answer != Answer::NoneExpected {
                        let mut longest = longest.lock().unwrap();
                        *longest = took.max(*longest);
                        late.fetch_add((took > LATE).into(), Ordering::Relaxed);
                    }
                    *counts.lock().unwrap().entry(answer).or_insert(0) += 1;
                    if let (Answer::Wrong | Answer::Missing, Client::Asks { line, .. }) =
                        (answer, client)
                    {
                        println!("{answer:?}: {:?} was answered {reply:?}", line.trim_end());
                    }
                }
            });
        }
    });

    let counts = counts.into_inner().unwrap();
    let of = |answer| counts.get(&answer).copied().unwrap_or_default();
    let longest = longest.into_inner().unwrap();
    println!(
        "connections           {count}, {CLIENTS} at once, {:.0} s",
        start.elapsed().as_secs_f64()
    );
    println!("answers right         {}", of(Answer::Right));
    println!("answers wrong         {}", of(Answer::Wrong));
    println!("answers missing       {}", of(Answer::Missing));
    println!("no answer expected    {}", of(Answer::NoneExpected));
    println!(
        "answers late          {}, after more than {} ms with a timeout of {} ms",
        late.into_inner(),
        LATE.as_millis(),
        TIMEOUT.as_millis()
    );
    println!("longest               {} ms", longest.as_millis());
    xinetd.wait_until_idle();
    // xinetd closes a connection a moment after the run has ended.
    let has_no_more = |after: &usize| *after <= before.1;
    let seen = (0..100).map(|_| {
        thread::sleep(Duration::from_millis(20));
        xinetd.descriptors()
    });
    let descriptors = seen.into_iter().find(has_no_more).unwrap_or_else(|| xinetd.descriptors());
    let after = (xinetd.children().len(), descriptors);
    for (when, (children, descriptors)) in [("before", before), ("after", after)] {
        println!(
            "xinetd {when:<15}{children} processes that it started, {descriptors} descriptors"
        );
    }
    let is_well =
        of(Answer::Wrong) + of(Answer::Missing) == 0 && after.0 <= before.0 && after.1 <= before.1;
    ExitCode::from(u8::from(!is_well))
}
