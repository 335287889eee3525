/*!
The two programs that an agent stands between, for the benchmark: the WCS or nodeos that it
asks, and the HAProxy that asks the agent.

```text
bench-peer serve
    prints its address, then answers until it is killed
bench-peer load ADDRESS SECONDS CLIENTS [PERIOD_MS LINE]
    checks for SECONDS, then prints what it saw as JSON: each client one check after the other, or one
    every PERIOD_MS with the request LINE
```
*/

#[path = "../tests/common/state_history.rs"]
#[allow(dead_code, reason = "the tests need more of a state history")]
mod state_history;

use std::env;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use state_history::Node;

const USAGE: &str =
    "usage: bench-peer serve | bench-peer load ADDRESS SECONDS CLIENTS [PERIOD_MS LINE]";

/// HAProxy's default `agent-inter`, which is also how long it waits for an agent.
const AGENT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a client of [`serve`] may be silent: the benchmark must not hang on one that is stuck.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest request head and the longest agent reply that is read, in bytes.
const LIMIT: u64 = 8 * 1024;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["serve"] => serve(),
        ["load", address, seconds, clients] => load(address, seconds, clients, "0", ""),
        ["load", address, seconds, clients, period_ms, line] => {
            load(address, seconds, clients, period_ms, line)
        }
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-peer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves the statistics page, nodeos's `get_info` and a state history on a free loopback port, one
/// connection after the other.
fn serve() -> Result<(), Box<dyn Error>> {
    let text = response("text/plain", include_str!("../tests/fixtures/wcs/stat.txt"));
    let json = response("application/json", include_str!("../tests/fixtures/wcs/stat.json"));
    let get_info = include_str!("../tests/fixtures/antelope/get_info.json");
    let get_info = response("application/json", get_info);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    loop {
        // A client that went away is its own affair: the program that it is reports it.
        let _ = listener.accept().and_then(|(stream, _)| answer(stream, &text, &json, &get_info));
    }
}

/// The whole answer with `body`, made once so that the server adds little to what is measured.
fn response(content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

fn answer(mut stream: TcpStream, text: &str, json: &str, get_info: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
    let mut first = [0; LIMIT as usize];
    let count = stream.peek(&mut first)?;
    if first[..count].windows(9).any(|bytes| bytes == b"\r\nUpgrade") {
        stream.set_nodelay(true)?;
        state_history::talk(stream, &Node::healthy());
        return Ok(());
    }
    // To its end: a connection closed over unread input is reset, and the answer may be lost.
    let mut head = Vec::new();
    let mut buffer = [0; LIMIT as usize];
    while !head.ends_with(b"\r\n\r\n") && head.len() < buffer.len() {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let request = head.lines().next().unwrap_or_default();
    let page = match request {
        _ if request.contains("/v1/chain/get_info") => get_info,
        _ if request.contains("format=json") => json,
        _ => text,
    };
    stream.write_all(page.as_bytes())
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    /// The time from connecting to the end of the reply, of every reply that was right.
    latencies: Vec<Duration>,
    failures: usize,
    /// Why the first failure was one.
    reason: Option<String>,
}

/// Connects to an agent as HAProxy does, `clients` at a time, each one check after the other and at
/// most one in `period_ms`, with their beginnings spread over the period.
///
/// A check that is under way when the time is over is still waited for, like any other.
fn load(
    address: &str,
    seconds: &str,
    clients: &str,
    period_ms: &str,
    line: &str,
) -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = address.parse().map_err(|e| format!("ADDRESS {address}: {e}"))?;
    let seconds: f64 = seconds.parse().map_err(|e| format!("SECONDS {seconds}: {e}"))?;
    let clients: u32 = clients.parse().map_err(|e| format!("CLIENTS {clients}: {e}"))?;
    let period_ms = period_ms.parse().map_err(|e| format!("PERIOD_MS {period_ms}: {e}"))?;
    let period = Duration::from_millis(period_ms);
    let line = if line.is_empty() { String::new() } else { format!("{line}\n") };
    let start = Instant::now();
    let until = start + Duration::try_from_secs_f64(seconds)?;

    let seen: Vec<Seen> = thread::scope(|scope| {
        let begin = |n| start + period * n / clients;
        let running: Vec<_> = (0..clients)
            .map(|n| {
                scope.spawn({
                    let line = &line;
                    move || check_until(address, begin(n), until, period, line)
                })
            })
            .collect();
        running.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
    });
    let elapsed = start.elapsed();

    let failures: usize = seen.iter().map(|client| client.failures).sum();
    if let Some(reason) = seen.iter().find_map(|client| client.reason.as_ref()) {
        eprintln!("bench-peer: {failures} failures at {address}, one of them: {reason}");
    }
    let mut latencies: Vec<Duration> = seen.into_iter().flat_map(|c| c.latencies).collect();
    latencies.sort_unstable();
    let percentile_us = |percent: usize| {
        let rank = (latencies.len() * percent).div_ceil(100).max(1);
        latencies.get(rank - 1).map(Duration::as_micros).ok_or("no check succeeded")
    };
    println!(
        "{{\"connections\":{},\"connections_per_second\":{:.1},\"p50_us\":{},\"p99_us\":{},\
         \"failures\":{failures}}}",
        latencies.len(),
        latencies.len() as f64 / elapsed.as_secs_f64(),
        percentile_us(50)?,
        percentile_us(99)?,
    );
    Ok(())
}

/// Checks from `begin` to `until`, each check a `period` after the one before or as soon as that is over.
fn check_until(
    address: SocketAddr,
    begin: Instant,
    until: Instant,
    period: Duration,
    line: &str,
) -> Seen {
    let mut seen = Seen::default();
    let mut next = begin;
    while next.max(Instant::now()) < until {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next += period;
        let start = Instant::now();
        match check(address, line) {
            Ok(()) => seen.latencies.push(start.elapsed()),
            Err(reason) => {
                seen.failures += 1;
                seen.reason.get_or_insert(reason);
            }
        }
    }
    seen
}

/// One agent check: fails unless the whole reply is one line that begins with `up`.
fn check(address: SocketAddr, line: &str) -> Result<(), String> {
    let reply = read_reply(address, line).map_err(|error| error.to_string())?;
    let is_line = reply.ends_with('\n') && reply.lines().count() == 1;
    if is_line && reply.starts_with("up") { Ok(()) } else { Err(format!("reply {reply:?}")) }
}

fn read_reply(address: SocketAddr, line: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, AGENT_TIMEOUT)?;
    stream.set_read_timeout(Some(AGENT_TIMEOUT))?;
    stream.write_all(line.as_bytes())?;
    let mut reply = String::new();
    stream.take(LIMIT).read_to_string(&mut reply)?;
    Ok(reply)
}
