//! The agent and a real HAProxy, which starts it through xinetd and shows on its stats socket what it
//! made of the replies.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::*;

/// An HAProxy with one back end, `media`.
struct Haproxy {
    folder: tempfile::TempDir,
    _process: Process,
}

impl Haproxy {
    /// Starts it with these `server` lines.
    fn start(servers: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "global\n  stats socket {} level admin\n\
             defaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n\
             \x20 # agent-inter is no time limit then: an agent may take longer than the time between checks.\n\
             \x20 timeout check 5s\n\
             backend media\n  {}\n",
            folder.path().join("stats").display(),
            servers.join("\n  "),
        );
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, config).unwrap();
        let process = Command::new("/usr/sbin/haproxy")
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy is installed");
        let haproxy = Self { folder, _process: Process(process) };
        wait_until("HAProxy answers", || UnixStream::connect(haproxy.socket()).ok());
        haproxy
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("stats")
    }

    /// A column of `show stat` for a server.
    fn stat(&self, server: &str, column: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(b"show stat\n").unwrap();
        let mut table = String::new();
        stream.read_to_string(&mut table).unwrap();
        let mut lines = table.trim_start_matches("# ").lines().map(columns);
        let head = lines.next().unwrap();
        let place = head.iter().position(|name| name == column).unwrap();
        let row = lines.find(|row| row.get(1).is_some_and(|name| name == server)).unwrap();
        row[place].clone()
    }

    /// Waits until a server's status begins like this (HAProxy adds the words "(agent)").
    fn wait_for(&self, server: &str, status: &str) {
        wait_until(&format!("{server} is {status}"), || {
            self.stat(server, "status").starts_with(status).then_some(())
        });
    }

    /// Waits until the agent's last description of a server holds this.
    fn wait_for_reason(&self, server: &str, reason: &str) {
        wait_until(&format!("{server} is described by {reason}"), || {
            self.stat(server, "last_agt").contains(reason).then_some(())
        });
    }
}

/// The columns of a line of HAProxy's CSV, where quotes may hold commas.
fn columns(line: &str) -> Vec<String> {
    let mut columns = vec![String::new()];
    let mut is_quoted = false;
    for c in line.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => columns.push(String::new()),
            c => columns.last_mut().unwrap().push(c),
        }
    }
    columns
}

/// Two media servers behind one HAProxy, each with its page and its agent under xinetd.
struct Site {
    /// What HAProxy's own health check connects to; it has nothing to find fault with.
    media: Server,
    pages: [Arc<Mutex<Vec<u8>>>; 2],
    servers: [Server; 2],
    agents: [Xinetd; 2],
}

impl Site {
    fn new(args: &str) -> Self {
        let pages = [0, 1].map(|_| Arc::new(Mutex::new(Vec::new())));
        let servers = [0, 1].map(|n: usize| Server::page(pages[n].clone()));
        let agents = [0, 1].map(|n: usize| {
            Xinetd::start(&format!("--describe --stats-url {} {args}", servers[n].url()))
        });
        let site = Self { media: Server::start(hold), pages, servers, agents };
        site.serve(0, "1");
        site.serve(1, "1");
        site
    }

    /// Changes what a media server's page says.
    fn serve(&self, server: usize, hls: &str) {
        *self.pages[server].lock().unwrap() = text_page(&[("streams_hls", hls)]);
    }

    fn server_line(&self, server: usize, options: &str) -> String {
        let port = self.agents[server].address.port();
        format!(
            "server wcs{} {} check agent-check agent-addr 127.0.0.1 agent-port {port} \
             agent-inter 200ms {options}",
            server + 1,
            self.media.address,
        )
    }
}

#[test]
fn a_server_is_down_while_a_count_reaches_its_limit() {
    let site = Site::new("hls 10");
    let haproxy = Haproxy::start(&[site.server_line(0, ""), site.server_line(1, "")]);
    haproxy.wait_for_reason("wcs1", "hls 1/10");
    assert!(haproxy.stat("wcs1", "status").starts_with("UP"));
    site.serve(0, "10");
    haproxy.wait_for("wcs1", "DOWN");
    assert!(haproxy.stat("wcs1", "last_agt").contains("hls 10/10"));
    assert!(haproxy.stat("wcs2", "status").starts_with("UP"));
    site.serve(0, "9");
    haproxy.wait_for("wcs1", "UP");
    assert_eq!(haproxy.stat("wcs1", "weight"), "1");
    assert!(haproxy.stat("wcs1", "last_agt").contains("hls 9/10"));
}

#[test]
fn a_server_is_down_in_time_when_its_page_dies_or_hangs() {
    for hangs in [false, true] {
        let mut site = Site::new("--timeout 700ms hls 10");
        let haproxy = Haproxy::start(&[site.server_line(0, "")]);
        haproxy.wait_for_reason("wcs1", "hls 1/10");
        let address = site.servers[0].address;
        // Without the listener the connection is refused; with one that accepts nothing it hangs.
        let dead = Server::start(hold);
        drop(std::mem::replace(&mut site.servers[0], dead));
        let hanging = hangs
            .then(|| wait_until("the port is free", || std::net::TcpListener::bind(address).ok()));
        let start = Instant::now();
        haproxy.wait_for("wcs1", "DOWN");
        let limit = Duration::from_millis(700 + 200) + LATEST;
        assert!(start.elapsed() < limit, "{:?}", start.elapsed());
        let reason = if hangs { "gave no answer within 700 ms" } else { "refused the connection" };
        assert!(haproxy.stat("wcs1", "last_agt").contains(reason));
        drop(hanging);
    }
}

#[test]
fn agent_send_sets_a_servers_own_limits() {
    let site = Site::new("hls 10");
    site.serve(0, "5");
    site.serve(1, "5");
    for (send, reached) in [("\"hls 5\\n\"", "hls 5/5"), ("\"hls 5\"", "hls 5/5")] {
        let haproxy = Haproxy::start(&[
            site.server_line(0, &format!("agent-send {send}")),
            site.server_line(1, "agent-send \"cpu 1000000\\n\""),
        ]);
        haproxy.wait_for("wcs1", "DOWN");
        assert!(haproxy.stat("wcs1", "last_agt").contains(reached));
        haproxy.wait_for_reason("wcs2", "hls 5/10");
        assert!(haproxy.stat("wcs2", "last_agt").contains("cpu "));
        assert!(haproxy.stat("wcs2", "status").starts_with("UP"));
        site.serve(0, "4");
        haproxy.wait_for("wcs1", "UP");
        site.serve(0, "5");
    }
}

#[test]
fn a_request_that_is_not_understood_takes_the_server_down_and_is_shown() {
    let site = Site::new("hls 10");
    let haproxy = Haproxy::start(&[site.server_line(0, "agent-send \"hsl 5\\n\"")]);
    haproxy.wait_for("wcs1", "DOWN");
    assert!(haproxy.stat("wcs1", "last_agt").contains("'hsl' is none of cpu, publishers"));
}
