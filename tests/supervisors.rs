//! The agent under the programs that start it once for each connection.

mod common;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::antelope::get_info;
use common::namespace::OwnNetwork;
use common::shipped::connect_from;
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
    let args = setting(MEDIA_SERVICE, "server_args");
    let default = include_str!("../packaging/default");
    let default = default.lines().find_map(|line| line.strip_prefix("ARGS="));
    assert_eq!(args, default.unwrap().trim_matches('"'));
    let page = Server::fixed(include_str!("fixtures/wcs/stat.txt").to_owned());
    let xinetd = Xinetd::start(&format!("{args} --stats-url {} cpu 1000000", page.url()));
    let reply = ask(xinetd.address, b"");
    for name in ["cpu ", "publishers 1/100", "subscribers 0/100", "hls 0/100"] {
        assert!(reply.starts_with("up 100% # ") && reply.contains(name), "{name}: {reply}");
    }
}

/// The service files that the repository ships.
const MEDIA_SERVICE: &str = include_str!("../xinetd/haproxy-agent-check");
const ANTELOPE_SERVICE: &str = include_str!("../xinetd/antelope-agent-check");

/// The value of a key in a service file.
fn setting<'a>(service: &'a str, key: &str) -> &'a str {
    let pairs = service.lines().filter_map(|line| line.split_once('='));
    let mut values = pairs.filter(|(found, _)| found.trim() == key).map(|(_, value)| value.trim());
    values.next().unwrap_or_else(|| panic!("no {key} in {service}"))
}

/// The addresses in `only_from` of a service file.
fn allowed_clients(service: &str) -> Vec<Ipv4Addr> {
    setting(service, "only_from").split(' ').map(|word| word.parse().unwrap()).collect()
}

/// The media server's own address in its network, and an address that no service file names.
const MEDIA_SERVER: Ipv4Addr = Ipv4Addr::new(172, 31, 44, 243);
const STRANGER: Ipv4Addr = Ipv4Addr::new(172, 31, 44, 12);

/// Runs a part of a test in a network with these addresses and with the load balancers of the service file.
/// There xinetd runs with the shipped files unchanged, on an idle machine.
fn with_installed_xinetd(part: impl FnOnce(&Xinetd) + Send) {
    use std::os::unix::fs::PermissionsExt;
    let loads = tempfile::NamedTempFile::new().unwrap();
    fs::write(&loads, "0.00 0.00 0.00 1/100 1234\n").unwrap();
    loads.as_file().set_permissions(fs::Permissions::from_mode(0o644)).unwrap();
    let mut addresses = allowed_clients(MEDIA_SERVICE);
    addresses.retain(|address| !address.is_loopback());
    assert_eq!(addresses.len(), 2, "there are two load balancers");
    addresses.extend([MEDIA_SERVER, STRANGER]);
    OwnNetwork::new(&addresses).run(|| {
        let xinetd = Xinetd::start_installed(loads.path());
        // The connection that showed that xinetd listens starts an agent. xinetd answers this one later.
        ask(xinetd.address, b"");
        xinetd.wait_until_idle();
        part(&xinetd);
    });
}

/// A page that the shipped limits allow, and the reply to it on an idle machine.
fn busy_page() -> Vec<u8> {
    text_page(&[("streams_hls", "8"), ("streams_rtmp_in", "3"), ("streams_rtmp_out", "42")])
}
const BUSY_REPLY: &str = "up 100% # subscribers 42/100 hls 8/100 publishers 3/100 cpu 0/90\n";

/// A WCS where the agent expects it.
fn wcs(page: Arc<Mutex<Vec<u8>>>) -> Server {
    Server::page_at((Ipv4Addr::LOCALHOST, 8081).into(), page)
}

/// The user id, the arguments and the limit on the address space of the only agent that runs.
fn only_agent(xinetd: &Xinetd) -> (String, String, String) {
    let id = wait_until("an agent runs", || match &xinetd.children()[..] {
        [id] => {
            let args = fs::read_to_string(format!("/proc/{id}/cmdline")).ok()?;
            args.starts_with("haproxy-agent-check\0").then(|| id.clone())
        }
        _ => None,
    });
    let args = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap();
    let args = args.split_terminator('\0').skip(1).collect::<Vec<_>>().join(" ");
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:\t")).unwrap();
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let mut limits = limits.lines();
    let memory = limits.find_map(|line| line.strip_prefix("Max address space ")).unwrap();
    let memory = memory.split_whitespace().next().unwrap().to_owned();
    (ids.split('\t').next().unwrap().to_owned(), args, memory)
}

#[test]
fn the_shipped_xinetd_files_run_unchanged() {
    let nobody = finish(Command::new("id").args(["-u", "nobody"])).stdout.trim().to_owned();
    let memory = (64 * 1024 * 1024).to_string();
    with_installed_xinetd(|xinetd| {
        let page = Arc::new(Mutex::new(busy_page()));
        let _wcs = wcs(page.clone());
        let media: SocketAddr = (MEDIA_SERVER, 9707).into();
        // The page comes only after the agent was looked at.
        let guard = page.lock().unwrap();
        let balancer = *allowed_clients(MEDIA_SERVICE).last().unwrap();
        let mut client = connect_from(balancer, media);
        let args = setting(MEDIA_SERVICE, "server_args").to_owned();
        let expected = (nobody.clone(), args, memory.clone());
        assert_eq!(only_agent(xinetd), expected);
        drop(guard);
        let mut reply = String::new();
        client.read_to_string(&mut reply).unwrap();
        assert_eq!(reply, BUSY_REPLY);
        xinetd.wait_until_idle();

        let _nodeos = Server::start_at((Ipv4Addr::LOCALHOST, 8888).into(), |stream| {
            let _ = stream.write_all(&response("200 OK", get_info(0.0).as_bytes()));
        });
        let antelope = (Ipv4Addr::LOCALHOST, 1337).into();
        // The agent waits for the line.
        let mut client = connect_from(Ipv4Addr::LOCALHOST, antelope);
        let expected = (nobody, setting(ANTELOPE_SERVICE, "server_args").to_owned(), memory);
        assert_eq!(only_agent(xinetd), expected);
        client.write_all(b"v1|http://127.0.0.1:8888|240\n").unwrap();
        let mut reply = String::new();
        client.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("up # head block "), "{reply}");
        let refused = TcpStream::connect((MEDIA_SERVER, 1337)).unwrap_err();
        assert_eq!(
            refused.kind(),
            ErrorKind::ConnectionRefused,
            "only the loopback address listens"
        );
    });
}

/// What a client at this address reads after it has sent a line. A connection may be reset.
fn ask_from(client: Ipv4Addr, address: SocketAddr, line: &str) -> String {
    let mut stream = connect_from(client, address);
    let mut reply = Vec::new();
    let _ = stream.write_all(line.as_bytes());
    match stream.read_to_end(&mut reply) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{client}: {error}"),
        _ => String::from_utf8(reply).unwrap(),
    }
}

#[test]
fn xinetd_refuses_a_client_that_only_from_of_the_shipped_file_does_not_name() {
    with_installed_xinetd(|_| {
        let wcs = wcs(Arc::new(Mutex::new(busy_page())));
        let media = (MEDIA_SERVER, 9707).into();
        let antelope = (Ipv4Addr::LOCALHOST, 1337).into();
        let asked = || wcs.requests().len();
        for client in allowed_clients(MEDIA_SERVICE) {
            let address = if client.is_loopback() { (client, 9707).into() } else { media };
            let before = asked();
            assert_eq!(ask_from(client, address, ""), BUSY_REPLY);
            for (stranger, address, line) in [
                (STRANGER, media, ""),
                (STRANGER, media, "hls 5\n"),
                (MEDIA_SERVER, media, ""),
                (Ipv4Addr::new(127, 0, 0, 2), (Ipv4Addr::LOCALHOST, 9707).into(), ""),
            ] {
                assert_eq!(ask_from(stranger, address, line), "", "{stranger} {line}");
            }
            assert_eq!(ask_from(client, address, ""), BUSY_REPLY);
            assert_eq!(asked(), before + 2, "no agent runs for a stranger");
        }
        let line = "debug|up # asked\n";
        for client in allowed_clients(ANTELOPE_SERVICE) {
            assert_eq!(ask_from(client, antelope, line), "up # asked\n");
        }
        assert_eq!(ask_from(Ipv4Addr::new(127, 0, 0, 2), antelope, line), "");
    });
}

#[test]
fn the_shipped_files_give_one_source_at_most_half_of_the_connections() {
    let number = |file: &str, key: &str| setting(file, key).parse::<u32>().unwrap();
    for file in [MEDIA_SERVICE, ANTELOPE_SERVICE] {
        assert!(number(file, "per_source") * 2 <= number(file, "instances"), "{file}");
    }
    for file in [
        include_str!("../systemd/haproxy-agent-check.socket"),
        include_str!("../systemd/antelope-agent-check.socket"),
    ] {
        let most = number(file, "MaxConnections");
        assert!(number(file, "MaxConnectionsPerSource") * 2 <= most, "{file}");
    }
}

/// A source that opens more connections than xinetd allows it, and each again as soon as it ends.
struct HostileSource {
    source: Ipv4Addr,
    target: SocketAddr,
    /// How many connections it wants to have at the same time.
    connections: usize,
    /// What it sends on each connection, again and again.
    sent: &'static [u8],
    /// How many connections were closed without an answer.
    refused: AtomicUsize,
    opened: AtomicUsize,
    is_over: AtomicBool,
}

impl HostileSource {
    fn new(source: Ipv4Addr, target: SocketAddr, connections: usize, sent: &'static [u8]) -> Self {
        let [refused, opened] = [0, 0].map(AtomicUsize::new);
        let is_over = AtomicBool::new(false);
        Self { source, target, connections, sent, refused, opened, is_over }
    }

    fn open(&self) -> TcpStream {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let stream = connect_from(self.source, self.target);
        stream.set_nonblocking(true).unwrap();
        stream
    }

    fn run(&self) {
        let mut clients = Vec::new();
        while !self.is_over.load(Ordering::SeqCst) {
            for client in &mut clients {
                let stream: &mut TcpStream = client;
                // The connection may be closed.
                let _ = stream.write(self.sent);
                match stream.read(&mut [0; 256]) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                    Err(_) | Ok(0) => self.refused.fetch_add(1, Ordering::SeqCst),
                    Ok(_) => 0,
                };
                *client = self.open();
            }
            for _ in 0..10.min(self.connections - clients.len()) {
                clients.push(self.open());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs while `part` runs.
    fn attack_during(&self, part: impl FnOnce()) {
        thread::scope(|scope| {
            scope.spawn(|| self.run());
            // A failure must not keep the source from ending.
            let result = catch_unwind(AssertUnwindSafe(part));
            self.is_over.store(true, Ordering::SeqCst);
            result.unwrap_or_else(|panic| resume_unwind(panic));
        });
    }
}

/// Checks from an address that each check is answered before HAProxy's next one, 2 s later. Returns the
/// longest time.
fn check_from(client: Ipv4Addr, address: SocketAddr, line: &str, reply: &str) -> Duration {
    let times = (0..100).map(|n| {
        let start = Instant::now();
        assert_eq!(ask_from(client, address, line), reply, "check {n}");
        start.elapsed()
    });
    let longest = times.max().unwrap();
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    longest
}

#[test]
fn a_hostile_load_balancer_under_xinetd_does_not_keep_out_another_one() {
    let limit: usize = setting(MEDIA_SERVICE, "per_source").parse().unwrap();
    allow_descriptors(limit + 500);
    let balancers = allowed_clients(MEDIA_SERVICE).into_iter().filter(|it| !it.is_loopback());
    let [hostile, honest] = balancers.collect::<Vec<_>>()[..] else { panic!("two load balancers") };
    let media = (MEDIA_SERVER, 9707).into();
    // It sends its line byte by byte.
    with_installed_xinetd(|_| {
        let _wcs = wcs(Arc::new(Mutex::new(busy_page())));
        let source = HostileSource::new(hostile, media, limit + 100, b"h");
        source.attack_during(|| {
            wait_until("it has opened more connections than it may have", || {
                (source.opened.load(Ordering::SeqCst) > limit + 100).then_some(())
            });
            let longest = check_from(honest, media, "", BUSY_REPLY);
            println!("byte by byte: {:?} opened, {longest:?}", source.opened);
        });
    });
    // The agent waits for its line until the timeout.
    OwnNetwork::new(&[hostile, honest, MEDIA_SERVER]).run(|| {
        let args = "--describe --timeout 5s --agent-send required";
        let xinetd = Xinetd::start_at(media, MEDIA_SERVICE, args);
        let source = HostileSource::new(hostile, media, limit + 100, b"");
        source.attack_during(|| {
            wait_until("xinetd refuses its connections", || {
                (source.refused.load(Ordering::SeqCst) > 100).then_some(())
            });
            let agents = xinetd.children().len();
            let longest = check_from(honest, media, "debug|up # asked\n", "up # asked\n");
            println!(
                "silent: {:?} opened, {:?} refused, {agents} agents, {longest:?}",
                source.opened, source.refused
            );
        });
        xinetd.wait_until_idle();
    });
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

/// What a person sees who types `telnet HOST PORT` and nothing else.
fn telnet(address: SocketAddr) -> String {
    // script(1) gives telnet a terminal.
    let command = format!("telnet {} {}", address.ip(), address.port());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // The input stays open: at its end, script would end telnet.
    let stdin = script.stdin.take();
    let output = script.wait_with_output().unwrap();
    drop(stdin);
    String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
}

#[test]
fn telnet_shows_the_reply_and_the_end_of_the_connection() {
    let page = page();
    for (option, reply) in [("", "up 100%"), ("--describe", "up 100% # hls 5/10")] {
        let xinetd = Xinetd::start(&format!("{option} --stats-url {} hls 10", page.url()));
        let host = xinetd.address.ip();
        let transcript = format!(
            "Trying {host}...\nConnected to {host}.\nEscape character is '^]'.\n{reply}\n\
             Connection closed by foreign host.\n"
        );
        assert_eq!(telnet(xinetd.address), transcript);
    }
}
