//! The agent under the programs that start it once for each connection.

mod common;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::*;

fn page() -> Server {
    let keys = ["streams_hls", "streams_rtmp_in", "streams_rtmp_out", "global_bandwidth_in"];
    let values: Vec<_> = keys.iter().map(|key| (*key, "5")).collect();
    Server::fixed(text_page(&values))
}

/// Checks that a supervisor passes on every kind of request line, and the whole reply.
fn check(ask: impl Fn(&[u8]) -> String) {
    assert_eq!(ask(b""), "up 100% # hls 5/10\n");
    assert_eq!(ask(b"hls 5\n"), "down # hls 5/5\n");
    assert_eq!(ask(b"hls 5"), "down # hls 5/5\n");
    assert_eq!(ask(b"band-in 4\r\nrest"), "down # band-in 5/4Mbps hls 5/10\n");
    let refused = ask(b"nonsense\n");
    assert!(refused.starts_with("fail # 'nonsense' "), "{refused}");
    assert_eq!(refused.lines().count(), 1, "{refused}");
}

#[test]
fn xinetd_passes_on_lines_and_replies_with_the_shipped_service_file() {
    let page = page();
    let xinetd = Xinetd::start(&format!("--describe --stats-url {} hls 10", page.url()));
    check(|line| ask(xinetd.address, line));
}

/// A WCS with its default settings reports no bandwidth.
#[test]
fn the_shipped_limits_suit_a_wcs_with_its_default_settings() {
    let shipped = include_str!("../xinetd/haproxy-agent-check");
    let args = shipped.lines().find_map(|line| line.trim().strip_prefix("server_args"));
    let args = args.unwrap().trim().strip_prefix("=").unwrap();
    let default = include_str!("../packaging/default");
    let default = default.lines().find_map(|line| line.strip_prefix("ARGS="));
    assert_eq!(args.trim(), default.unwrap().trim_matches('"'));
    let page = Server::fixed(include_str!("fixtures/wcs/stat.txt").to_owned());
    let xinetd = Xinetd::start(&format!("{args} --stats-url {} cpu 1000000", page.url()));
    let reply = ask(xinetd.address, b"");
    for name in ["cpu ", "publishers 1/100", "subscribers 0/100", "hls 0/100"] {
        assert!(reply.starts_with("up 100% # ") && reply.contains(name), "{name}: {reply}");
    }
}

#[test]
fn several_load_balancers_do_not_make_xinetd_disable_the_service() {
    let page = page();
    let xinetd = Xinetd::start(&format!("--stats-url {} hls 10", page.url()));
    let address = xinetd.address;
    // 8 load balancers make 400 connections as fast as they can. The default limit of xinetd is 50 a
    // second.
    let balancers = (0..8).map(|_| {
        thread::spawn(move || {
            for _ in 0..50 {
                assert_eq!(ask(address, b""), "up 100%\n");
            }
        })
    });
    for balancer in balancers.collect::<Vec<_>>() {
        balancer.join().unwrap();
    }
}

#[test]
fn under_xinetd_a_page_that_hangs_is_down_in_time() {
    let page = Server::start(hold);
    let xinetd = Xinetd::start(&format!("--describe -t 500 --stats-url {} hls 10", page.url()));
    let start = Instant::now();
    let reply = ask(xinetd.address, b"");
    let why = format!("http://{}/: no answer within 500 ms", page.address);
    assert_eq!(reply, format!("down # statistics page {why}\n"));
    assert!(start.elapsed() < Duration::from_millis(500) + TOLERANCE, "{:?}", start.elapsed());
}

fn agent_args(page: &Server) -> Vec<String> {
    ["--describe", "--stats-url", &page.url(), "hls", "10"].map(str::to_owned).to_vec()
}

fn listening(command: &mut Command, address: SocketAddr) -> Process {
    let process = Process(command.stdin(Stdio::null()).spawn().expect("the program is installed"));
    wait_for_listener(address);
    process
}

#[test]
fn systemd_passes_on_lines_and_replies() {
    let page = page();
    let address = free_address();
    let mut command = Command::new("systemd-socket-activate");
    command.args(["--accept", "--inetd", "--listen", &address.to_string(), AGENT]);
    let _systemd = listening(command.args(agent_args(&page)).stderr(Stdio::null()), address);
    check(|line| ask(address, line));
}

/// The page docs/installing.md.
const INSTALLING: &str = include_str!("../docs/installing.md");

/// The line of docs/installing.md that begins so, changed for a test: with the test's address, the program
/// under test, and arguments in place of the limits.
fn documented_line(begin: &str, address: SocketAddr, program: &Path, page: &Server) -> String {
    let line = INSTALLING.lines().find(|line| line.starts_with(begin));
    let line = line.expect("it is in docs/installing.md");
    let limits = "--describe cpu 90 hls 100";
    assert!(line.contains("9707") && line.contains(limits), "{line}");
    line.replace("9707", &address.port().to_string())
        .replace("/usr/bin/haproxy-agent-check", &program.display().to_string())
        .replace(limits, &agent_args(page).join(" "))
}

/// A folder that every user may read, with a copy of the agent.
fn shared_folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let program = shared_copy_of_agent(folder.path());
    (folder, program)
}

#[test]
fn openbsd_inetd_with_the_line_of_the_documentation() {
    let page = page();
    let address = free_address();
    let (folder, program) = shared_folder();
    let config = folder.path().join("inetd.conf");
    let line = documented_line("9707 stream tcp", address, &program, &page);
    std::fs::write(&config, format!("{}:{line}\n", address.ip())).unwrap();
    let mut inetd = Command::new("inetd");
    let _inetd = listening(inetd.arg("-i").arg(&config), address);
    check(|line| ask(address, line));
    // The default limit of inetd, 256 connections a minute, does not apply.
    for _ in 0..300 {
        assert_eq!(ask(address, b""), "up 100% # hls 5/10\n");
    }
}

#[test]
fn tcpserver_with_the_lines_of_the_documentation() {
    let page = page();
    let address = free_address();
    let (folder, program) = shared_folder();
    let rules = INSTALLING.lines().find(|line| line.contains("| tcprules "));
    let server = documented_line("tcpserver ", address, &program, &page)
        .replace(" 0 ", &format!(" {} ", address.ip()))
        .replacen("-l 127.0.0.1 ", "-l 0 ", 1);
    let in_folder = |line: &str| line.replace("/etc/", &format!("{}/", folder.path().display()));
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let shell = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).env("PATH", &path);
        shell
    };
    let rules = finish(&mut shell(&in_folder(rules.expect("it is in docs/installing.md"))));
    assert_eq!(rules.exit_status, Some(0), "{rules:?}");
    let mut server = shell(&format!("exec {}", in_folder(&server)));
    let _server = listening(server.stderr(Stdio::null()), address);
    check(|line| ask(address, line));
}

/// The line needs `nofork`. Without it, socat copies between connection and agent, and discards the rest
/// when the agent's exit status is not 0.
#[test]
fn socat_with_the_line_of_the_documentation() {
    let page = page();
    let address = free_address();
    let (folder, program) = shared_folder();
    // A colon would be the end of the argument to socat.
    let args = agent_args(&page).join(" ");
    let line = documented_line("socat TCP-LISTEN", address, &program, &page)
        .replace(&args, &args.replace(':', "\\:"))
        .replace(",fork", ",bind=127.0.0.1,fork");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec {line}")]);
    shell.env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()));
    let _socat = listening(&mut shell, address);
    check(|line| ask(address, line));
}

#[test]
fn with_standard_error_on_the_connection_socat_passes_on_one_line() {
    let address = free_address();
    let listen = format!("TCP4-LISTEN:{},bind=127.0.0.1,fork,reuseaddr", address.port());
    let run = format!("EXEC:{AGENT} --no-such-option,nofork,stderr");
    let _socat = listening(Command::new("socat").args([listen, run]), address);
    let reply = ask(address, b"");
    assert!(reply.starts_with("fail # ") && reply.lines().count() == 1, "{reply}");
}

#[test]
fn a_unix_socket_works_like_a_tcp_connection() {
    let page = page();
    let args = agent_args(&page);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    check(|line| ask_over_unix_socket(&args, line));
}

#[test]
fn telnet_shows_the_reply() {
    let page = page();
    let xinetd = Xinetd::start(&format!("--describe --stats-url {} hls 10", page.url()));
    let mut telnet = Command::new("telnet");
    let (host, port) = (xinetd.address.ip().to_string(), xinetd.address.port().to_string());
    telnet.args([&host, &port]);
    let start = Instant::now();
    let mut telnet = telnet.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // The input stays open, as with a person who types nothing.
    let stdin = telnet.stdin.take();
    let outcome = outcome(telnet.wait_with_output().unwrap(), start);
    drop(stdin);
    let transcript = format!(
        "Trying {host}...\nConnected to {host}.\nEscape character is '^]'.\nup 100% # hls 5/10\n"
    );
    assert_eq!(outcome.stdout, transcript);
}
