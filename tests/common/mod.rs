/*!
What the tests share: ways to start the agent as a supervisor does, and servers for it to ask.

Every server listens on a loopback address. Every process is ended by its id.
*/

#![allow(dead_code, reason = "each test program uses a part of this")]

pub mod antelope;
pub mod faults;
pub mod haproxy;
pub mod http2;
pub mod name_server;
pub mod namespace;
pub mod reply;
pub mod requests;
pub mod shipped;
pub mod sites;
pub mod state_history;
pub mod tls;
pub mod websocket;
pub mod websocket_faults;

use std::ffi::OsStr;
use std::io::{PipeReader, PipeWriter, Read, Seek, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The program under test.
pub const AGENT: &str = env!("CARGO_BIN_EXE_haproxy-agent-check");

/// xinetd's program.
const XINETD: &str = "/usr/sbin/xinetd";

/// How much longer than its timeout a run may take: the 50 ms of the contract, and 250 ms for a busy
/// machine.
pub const TOLERANCE: Duration = Duration::from_millis(50 + 250);

/// How long a test waits for an event before it fails.
pub const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// A finished run.
#[derive(Debug)]
pub struct Outcome {
    pub stdout: String,
    pub stderr: String,
    pub exit_status: Option<i32>,
    pub took: Duration,
}

impl Outcome {
    /// Checks standard output and the exit status.
    #[track_caller]
    pub fn expect(&self, stdout: &str, exit_status: i32) {
        assert_eq!(
            (self.stdout.as_str(), self.exit_status),
            (stdout, Some(exit_status)),
            "{self:?}"
        );
    }

    /// The description after the state, if the reply has one.
    pub fn description(&self) -> Option<&str> {
        let line = self.stdout.strip_suffix('\n')?;
        line.split_once(" # ").map(|(_, description)| description)
    }
}

/// Runs a command with an empty standard input, and waits for its end.
pub fn finish(command: &mut Command) -> Outcome {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    outcome(output, start)
}

pub fn outcome(output: std::process::Output, start: Instant) -> Outcome {
    Outcome {
        stdout: String::from_utf8(output.stdout).expect("standard output is text"),
        stderr: String::from_utf8(output.stderr).expect("standard error is text"),
        exit_status: output.status.code(),
        took: start.elapsed(),
    }
}

/// Runs the agent with an empty standard input, and waits for its end.
pub fn agent(args: &[&str]) -> Outcome {
    finish(Command::new(AGENT).args(args))
}

/// A command that runs the agent without the variables that name trusted certificates.
pub fn agent_trusting_system() -> Command {
    let mut command = Command::new(AGENT);
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    command
}

/// A command that runs the agent. It trusts only the certificates in `file`.
pub fn agent_trusting(file: impl AsRef<OsStr>) -> Command {
    let mut command = agent_trusting_system();
    command.env("SSL_CERT_FILE", file);
    command
}

/// Runs the agent with this standard input.
pub fn agent_on(stdin: impl Into<Stdio>, args: &[&str]) -> Outcome {
    let start = Instant::now();
    outcome(Command::new(AGENT).args(args).stdin(stdin).output().unwrap(), start)
}

/// Runs the agent with these bytes on a pipe that is then closed.
pub fn agent_on_pipe(sent: &[u8], args: &[&str]) -> Outcome {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(sent).unwrap();
    drop(writer);
    agent_on(OwnedFd::from(reader), args)
}

/// Runs the agent with a file that holds these bytes.
pub fn agent_on_file(content: &[u8], args: &[&str]) -> Outcome {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file.rewind().unwrap();
    agent_on(file, args)
}

/// Runs the agent with a connection on which these bytes have arrived.
pub fn agent_on_socket(sent: &[u8], args: &[&str]) -> Outcome {
    Connection::open_after(args, sent).finish()
}

/// Removes the variables that cargo sets for the tests from a command that runs cargo again. With them,
/// that cargo would rebuild half of the dependencies.
pub fn remove_cargo_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_") && name != "CARGO_HOME" {
            command.env_remove(name);
        }
    }
}

/// A process that is killed, by its id, when the value is dropped.
pub struct Process(pub Child);

impl Process {
    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("the process can be waited for") {
                return status;
            }
            assert!(start.elapsed() < WAIT_LIMIT, "the process does not end");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The agent with a TCP connection on its descriptors 0, 1 and 2, as xinetd starts it. `peer` is HAProxy's
/// end of that connection.
pub struct Connection {
    pub peer: TcpStream,
    pub agent: Process,
    pub start: Instant,
}

impl Connection {
    pub fn open(args: &[&str]) -> Self {
        Self::open_after(args, b"")
    }

    /// The same, but these bytes have arrived before the agent starts.
    pub fn open_after(args: &[&str], sent: &[u8]) -> Self {
        Self::open_to(Command::new(AGENT).args(args), sent)
    }

    /// The same with a command that executes the agent, such as `prlimit`.
    pub fn open_to(command: &mut Command, sent: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_nodelay(true).unwrap();
        peer.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        peer.write_all(sent).unwrap();
        // The bytes have arrived when the other end can peek at them.
        while !sent.is_empty() && accepted.peek(&mut [0; 1]).unwrap() == 0 {}
        let accepted = OwnedFd::from(accepted);
        let start = Instant::now();
        let agent = command
            .stdin(accepted.try_clone().unwrap())
            .stdout(accepted.try_clone().unwrap())
            .stderr(accepted)
            .spawn()
            .expect("the agent starts");
        // The command holds copies of the descriptors. Without them the connection ends with the agent.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { peer, agent: Process(agent), start }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.peer.write_all(bytes).unwrap();
    }

    /// Reads until the connection is closed, and waits for the exit status. Fails if the connection is
    /// reset.
    pub fn finish(mut self) -> Outcome {
        let mut stdout = String::new();
        self.peer.read_to_string(&mut stdout).expect("the connection is closed, not reset");
        let took = self.start.elapsed();
        let exit_status = self.agent.wait().code();
        Outcome { stdout, stderr: String::new(), exit_status, took }
    }
}

/// A TCP server that hands each connection to a function.
pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
}

impl Server {
    /// Starts a server on a free port. It reads the head of a request, then hands the connection to
    /// `answer`.
    pub fn start(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::start_at(free_port(), answer)
    }

    /// The same, on this address.
    pub fn start_at(
        address: SocketAddr,
        answer: impl Fn(&mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        Self::answering_at(address, move |stream, _| answer(stream))
    }

    /// Like [`Server::start`], but `answer` gets the head of the request too.
    pub fn answering(answer: impl Fn(&mut TcpStream, &str) + Send + Sync + 'static) -> Self {
        Self::answering_at(free_port(), answer)
    }

    /// The same, on this address.
    pub fn answering_at(
        address: SocketAddr,
        answer: impl Fn(&mut TcpStream, &str) + Send + Sync + 'static,
    ) -> Self {
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let heads = requests.clone();
        Self::serve(address, requests, move |stream| {
            let head = read_head(stream);
            if !head.is_empty() {
                heads.lock().unwrap().push(head.clone());
            }
            answer(stream, &head);
        })
    }

    /// Starts a server on a free port. It hands each connection to `talk` without reading from it.
    pub fn accepting(talk: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::accepting_at(free_port(), talk)
    }

    /// The same, on this address.
    pub fn accepting_at(
        address: SocketAddr,
        talk: impl Fn(&mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        Self::serve(address, Arc::default(), talk)
    }

    fn serve(
        address: SocketAddr,
        requests: Arc<Mutex<Vec<String>>>,
        talk: impl Fn(&mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let server = Self { address, requests, is_over: is_over.clone() };
        let talk = Arc::new(talk);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let talk = talk.clone();
                thread::spawn(move || talk(&mut stream.unwrap()));
            }
        });
        server
    }

    /// Serves a page that the test can change.
    pub fn page(page: Arc<Mutex<Vec<u8>>>) -> Self {
        Self::page_at(free_port(), page)
    }

    /// The same, on this address.
    pub fn page_at(address: SocketAddr, page: Arc<Mutex<Vec<u8>>>) -> Self {
        Self::start_at(address, move |stream| {
            let page = page.lock().unwrap().clone();
            let _ = stream.write_all(&response("200 OK", &page));
        })
    }

    /// Serves a page that does not change.
    pub fn fixed(page: impl Into<Vec<u8>>) -> Self {
        Self::page(Arc::new(Mutex::new(page.into())))
    }

    /// The heads of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The URL of the statistics page on this server.
    pub fn url(&self) -> String {
        format!("http://{}/?action=stat", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// A connection, with or without TLS.
pub trait Duplex: Read + Write + Send {}

impl<S: Read + Write + Send> Duplex for S {}

/// Reads the head of a request. Returns what arrived if the connection ends before the head does.
pub fn read_head(stream: &mut (impl Read + ?Sized)) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// A whole HTTP response.
pub fn response(status: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Holds the connection open and sends nothing, until the other end closes it.
pub fn hold(stream: &mut (impl Read + ?Sized)) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// A statistics page in WCS's text format.
pub fn text_page(values: &[(&str, &str)]) -> Vec<u8> {
    let lines = values.iter().map(|(key, value)| format!("{key}={value}\n"));
    format!("-----Stream Stats-----\n{}", lines.collect::<String>()).into_bytes()
}

/// The same page in WCS's JSON format, with numeric strings as values.
pub fn json_page(values: &[(&str, &str)]) -> Vec<u8> {
    let group: serde_json::Map<_, _> =
        values.iter().map(|(key, value)| (key.to_string(), (*value).into())).collect();
    serde_json::json!({ "streams_stats": group }).to_string().into_bytes()
}

/// 127.0.0.1 and port 0, for which the kernel chooses a free port.
fn free_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A port of 127.0.0.1 that nothing listens on at the moment.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A loopback address that nothing listens on and nothing else will use: its port is outside the range from
/// which the kernel chooses, and its host is this process's own.
pub fn own_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    let process = std::process::id();
    let host = Ipv4Addr::new(127, 251, (process % 250) as u8, (process / 250 % 250) as u8);
    (host, NEXT.fetch_add(1, Ordering::SeqCst)).into()
}

/// Waits until `address` accepts a connection.
pub fn wait_for_listener(address: SocketAddr) {
    wait_until("the address accepts connections", || TcpStream::connect(address).ok());
}

/// Calls `ask` again and again until it returns a value.
#[track_caller]
pub fn wait_until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < WAIT_LIMIT, "did not happen in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a request line to an agent under a supervisor, as HAProxy does, and reads to the end of the
/// stream.
pub fn ask(address: SocketAddr, line: &[u8]) -> String {
    try_ask(address, line).expect("the connection is accepted, and closed, not reset")
}

/// The same, but returns an error where [`ask`] panics.
pub fn try_ask(address: SocketAddr, line: &[u8]) -> std::io::Result<String> {
    let mut reply = String::new();
    connect_and_send(address, line)?.read_to_string(&mut reply)?;
    Ok(reply)
}

/// Connects to a supervisor and sends a line as HAProxy does: in the last packet of the TCP handshake. The
/// line has arrived before the supervisor accepts the connection.
pub fn connect_and_send(address: SocketAddr, line: &[u8]) -> std::io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt::set_tcp_quickack};
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    if !line.is_empty() {
        set_tcp_quickack(&stream, false)?;
    }
    connect(&stream, &address)?;
    let mut stream = TcpStream::from(stream);
    stream.write_all(line)?;
    stream.set_read_timeout(Some(WAIT_LIMIT))?;
    Ok(stream)
}

/// xinetd with a service file that the repository ships, on an address of the test.
pub struct Xinetd {
    pub address: SocketAddr,
    process: Process,
    folder: tempfile::TempDir,
}

impl Xinetd {
    /// Starts the shipped service of a media server with these `server_args`.
    pub fn start(limits: &str) -> Self {
        Self::start_file(include_str!("../../xinetd/haproxy-agent-check"), limits)
    }

    /// Starts the service of this shipped file with these `server_args`.
    pub fn start_file(shipped: &str, limits: &str) -> Self {
        Self::start_at(own_address(), shipped, limits)
    }

    /// The same, on this address.
    pub fn start_at(address: SocketAddr, shipped: &str, limits: &str) -> Self {
        Self::start_agent(Self::command(&[]), address, shipped, limits)
    }

    /// Starts the shipped service of a media server through a command that executes xinetd, such as `unshare`.
    pub fn start_under(mut command: Command, limits: &str) -> Self {
        command.arg(XINETD);
        let shipped = include_str!("../../xinetd/haproxy-agent-check");
        Self::start_agent(command, own_address(), shipped, limits)
    }

    /// The same, with these variables in the environment of xinetd and of the agent.
    pub fn start_in(environment: &[(&str, PathBuf)], shipped: &str, limits: &str) -> Self {
        Self::start_agent(Self::command(environment), own_address(), shipped, limits)
    }

    fn start_agent(xinetd: Command, address: SocketAddr, shipped: &str, limits: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The user nobody cannot read the folders of the user who runs the tests.
        let program = shared_copy_of_agent(folder.path()).display().to_string();
        let user = match user_name().as_str() {
            "root" => "nobody".to_owned(),
            user => user.to_owned(),
        };
        Self::start_program(xinetd, address, shipped, &[&program], limits, &user, folder)
    }

    /// The same with a command that executes the agent, as the user who runs the tests.
    pub fn start_through(
        command: &Command,
        shipped: &str,
        limits: &str,
        environment: &[(&str, PathBuf)],
    ) -> Self {
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let words: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
        let folder = tempfile::tempdir().unwrap();
        let user = user_name();
        let xinetd = Self::command(environment);
        Self::start_program(xinetd, own_address(), shipped, &words, limits, &user, folder)
    }

    /// Starts xinetd as it is installed, with the shipped files unchanged in /etc/xinetd.d, and with the agent
    /// where they expect it. The load averages of the machine are in `loads`. The services are in the network
    /// of the calling thread, on their own ports.
    pub fn start_installed(loads: &Path) -> Self {
        let script = "mount -t tmpfs tmpfs /usr/local/bin || exit
            cp \"$1\" /usr/local/bin/haproxy-agent-check || exit
            mount --bind \"$2\" /etc/xinetd.d && mount --bind \"$3\" /proc/loadavg || exit
            exec \"$4\" -dontfork -pidfile \"$5\"";
        let folder = tempfile::tempdir().unwrap();
        let process = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh", AGENT])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/xinetd"))
            .args([loads, Path::new(XINETD), &folder.path().join("pid")])
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare is installed");
        let process = Process(process);
        let address = (Ipv4Addr::LOCALHOST, 9707).into();
        wait_for_listener(address);
        Self { address, process, folder }
    }

    fn command(environment: &[(&str, PathBuf)]) -> Command {
        let mut command = Command::new(XINETD);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn start_program(
        mut xinetd: Command,
        address: SocketAddr,
        shipped: &str,
        program: &[&str],
        limits: &str,
        user: &str,
        folder: tempfile::TempDir,
    ) -> Self {
        let (program, first_args) = program.split_first().unwrap();
        let first_args = first_args.join(" ");
        let mut service = String::new();
        for line in shipped.lines() {
            let line = match line.split_once('=').map(|(key, _)| key.trim()) {
                Some("port") => {
                    format!("    port = {}\n    bind = {}", address.port(), address.ip())
                }
                Some("bind") => String::new(),
                Some("server") => format!("    server = {program}"),
                Some("server_args") => format!("    server_args = {first_args} {limits}"),
                Some("user") => format!("    user = {user}"),
                _ => line.to_owned(),
            };
            service += &(line + "\n");
        }
        let log = folder.path().join("log");
        let config = folder.path().join("xinetd.conf");
        let defaults = format!("defaults\n{{\n    log_type = FILE {}\n}}\n", log.display());
        std::fs::write(&config, defaults + &service).unwrap();
        let process = xinetd
            .args(["-dontfork", "-f"])
            .arg(&config)
            .arg("-pidfile")
            .arg(folder.path().join("pid"))
            .stdin(Stdio::null())
            .spawn()
            .expect("xinetd is installed");
        let process = Process(process);
        wait_for_listener(address);
        Self { address, process, folder }
    }

    /// The ids of the processes that xinetd has started and that still run.
    pub fn children(&self) -> Vec<String> {
        let id = self.process.0.id();
        let file = format!("/proc/{id}/task/{id}/children");
        let ids = std::fs::read_to_string(file).expect("xinetd runs");
        ids.split_whitespace().map(str::to_owned).collect()
    }

    /// Waits until every process that xinetd has started has ended.
    pub fn wait_until_idle(&self) {
        wait_until("xinetd has no children", || self.children().is_empty().then_some(()));
    }

    /// How many descriptors xinetd has open.
    pub fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.process.0.id());
        std::fs::read_dir(folder).unwrap().count()
    }
}

/// Allows this process `count` descriptors.
pub fn allow_descriptors(count: usize) {
    let id = std::process::id().to_string();
    let limit = format!("--nofile={count}:");
    let status = Command::new("prlimit").args(["--pid", &id, &limit]).status();
    assert!(status.expect("prlimit is installed").success());
}

/// The name of the user who runs the tests.
pub fn user_name() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A copy of the agent that any user may run.
///
/// `cp` makes it, not this process: a child that another thread starts meanwhile would inherit a descriptor
/// that is open for writing, and running the copy would fail with "text file busy".
pub fn shared_copy_of_agent(folder: &Path) -> PathBuf {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    let program = folder.join("haproxy-agent-check");
    let status = Command::new("cp").arg(AGENT).arg(&program).status();
    assert!(status.expect("cp is installed").success());
    set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    program
}

/// Runs the agent with a Unix socket on its descriptors 0, 1 and 2, sends the line, and returns what it
/// answers.
pub fn ask_over_unix_socket(args: &[&str], line: &[u8]) -> String {
    agent_on_unix_socket(line, args).stdout
}

/// Runs the agent with a Unix socket on which these bytes have arrived.
pub fn agent_on_unix_socket(sent: &[u8], args: &[&str]) -> Outcome {
    let (mut peer, connection) = UnixStream::pair().unwrap();
    peer.write_all(sent).unwrap();
    let connection = OwnedFd::from(connection);
    let start = Instant::now();
    // One expression: the command, which holds descriptors of the connection, is dropped at its end.
    let agent = Command::new(AGENT)
        .args(args)
        .stdin(connection.try_clone().unwrap())
        .stdout(connection.try_clone().unwrap())
        .stderr(connection)
        .spawn();
    let mut agent = Process(agent.unwrap());
    let mut stdout = String::new();
    peer.read_to_string(&mut stdout).unwrap();
    let took = start.elapsed();
    Outcome { stdout, stderr: String::new(), exit_status: agent.wait().code(), took }
}

/// A command that runs the agent in a mount namespace whose /dev has only `null` and, if `socket` is given,
/// that socket as `log`. `dev` is an empty folder.
pub fn agent_with_log(dev: &Path, socket: Option<&Path>) -> Command {
    let script = "d=$1 s=$2; shift 2; : >$d/null; mount --bind /dev/null $d/null || exit
        [ -z \"$s\" ] || { : >$d/log; mount --bind \"$s\" $d/log || exit; }
        mount --rbind $d /dev && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(dev);
    command.arg(socket.unwrap_or(Path::new(""))).arg(AGENT);
    command
}

/// A pipe whose buffer is full: a write to it blocks until somebody reads.
pub fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut filler = writer.try_clone().unwrap();
    rustix::io::ioctl_fionbio(&filler, true).unwrap();
    while filler.write(&[0; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&filler, false).unwrap();
    (reader, writer)
}

/// Starts OpenSSL's TLS server on a free port with this key and certificate. `www` is the option that says
/// how it serves HTTP, `folder` is its working folder.
pub fn tls_server(
    www: &str,
    folder: &Path,
    key: &Path,
    certificate: &Path,
) -> (Process, SocketAddr) {
    let address = free_address();
    let server = Command::new("openssl")
        .args(["s_server", www, "-quiet", "-accept", &address.to_string()])
        .arg("-key")
        .arg(key)
        .arg("-cert")
        .arg(certificate)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let server = Process(server.expect("openssl is installed"));
    wait_for_listener(address);
    (server, address)
}
