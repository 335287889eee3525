/*!
Both peers of the agent, for the benchmark: the WCS or nodeos that the agent asks, and the HAProxy that
asks the agent.

```text
bench-peer serve
    Prints its address. Then answers until it is killed.
bench-peer load ADDRESS SECONDS CLIENTS [PERIOD_MS LINE]
    Sends checks for SECONDS. Then prints the results as JSON. Each client sends one check after the other,
    or one check every PERIOD_MS with the request LINE.
```
*/

#[path = "../tests/common/state_history.rs"]
#[allow(dead_code, reason = "only the tests use all of it")]
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

/// How long HAProxy waits for an agent by default: its `agent-inter`.
const AGENT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a client of [`serve`] may be silent. Without this, a client that hangs would stop the benchmark.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// The limit on a request head and on an agent's reply, in bytes.
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

/// How many series [`metrics`] has.
const SERIES: usize = 500;

/// Serves the statistics page, a page of metrics, nodeos's `get_info` and a state history on a free loopback
/// port, one connection at a time.
fn serve() -> Result<(), Box<dyn Error>> {
    let text = response("text/plain", include_str!("../tests/fixtures/wcs/stat.txt"));
    let json = response("application/json", include_str!("../tests/fixtures/wcs/stat.json"));
    let get_info = include_str!("../tests/fixtures/antelope/get_info.json");
    let pages = Pages {
        metrics: response("text/plain; version=0.0.4", &metrics()),
        get_info: response("application/json", get_info),
        text,
        json,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    loop {
        // If a client goes away, the client itself reports it.
        let _ = listener.accept().and_then(|(stream, _)| answer(stream, &pages));
    }
}

/// The answers over HTTP.
struct Pages {
    text: String,
    json: String,
    metrics: String,
    get_info: String,
}

/// A page in the format of Prometheus. Six of its metrics are those that bench/run asks for.
fn metrics() -> String {
    let series = |n| {
        let name = if n < 6 { format!("figure_{n}") } else { format!("other_{}", n / 4) };
        format!("{name}{{node=\"media-{n}\",kind=\"webrtc\"}} {}\n", n % 7)
    };
    let help = "# HELP figure_0 Figures of a server.\n# TYPE figure_0 gauge\n".to_owned();
    (0..SERIES).map(series).fold(help, |page, line| page + &line)
}

/// The whole answer with `body`. It is made only once, so that the server adds little to the measured times.
fn response(content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

fn answer(mut stream: TcpStream, pages: &Pages) -> io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
    let mut first = [0; LIMIT as usize];
    let count = stream.peek(&mut first)?;
    if first[..count].windows(9).any(|bytes| bytes.eq_ignore_ascii_case(b"\r\nupgrade")) {
        stream.set_nodelay(true)?;
        state_history::talk(stream, &Node::healthy());
        return Ok(());
    }
    // Reads the whole head. If unread input is left, the kernel resets the connection, and the answer may be
    // lost.
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
        _ if request.contains("/v1/chain/get_info") => &pages.get_info,
        _ if request.contains("/metrics") => &pages.metrics,
        _ if request.contains("format=json") => &pages.json,
        _ => &pages.text,
    };
    stream.write_all(page.as_bytes())
}

/// The results of one client.
#[derive(Default)]
struct Seen {
    /// For every right reply, the time from connecting to the end of the reply.
    latencies: Vec<Duration>,
    failures: usize,
    /// The reason of the first failure.
    reason: Option<String>,
}

/// Checks an agent as HAProxy does, with `clients` at the same time. Each client sends one check after the
/// other, and at most one in `period_ms`. The clients start spread over the period.
///
/// A check that has begun before the time is over is completed and counted.
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

/// Sends checks from `begin` to `until`. Each check starts a `period` after the one before, or later if that
/// one has not ended yet.
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

/// Sends one check. Fails unless the whole reply is one line that begins with `up`.
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
