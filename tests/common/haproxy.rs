//! A real HAProxy, and what its stats socket reports.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{AGENT, Process, free_address, wait_until};

/// HAProxy's program.
pub const HAPROXY: &str = "/usr/sbin/haproxy";

/// An HAProxy with one front end and one back end, `media`.
pub struct Haproxy {
    pub address: SocketAddr,
    folder: tempfile::TempDir,
    process: Process,
}

impl Haproxy {
    /// Starts HAProxy with these lines in `backend media`.
    pub fn start(lines: &[String]) -> Self {
        Self::start_with("", lines)
    }

    /// The same, with a line in `global`.
    pub fn start_with(global: &str, lines: &[String]) -> Self {
        Self::start_by(&mut haproxy(), global, lines)
    }

    /// The same, for HTTP instead of TCP.
    pub fn start_http(lines: &[String]) -> Self {
        Self::start_in_mode("http", &mut haproxy(), "", lines)
    }

    /// Like [`Haproxy::start_with`], with a command that executes HAProxy.
    pub fn start_by(command: &mut Command, global: &str, lines: &[String]) -> Self {
        Self::start_in_mode("tcp", command, global, lines)
    }

    fn start_in_mode(mode: &str, command: &mut Command, global: &str, lines: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let config = format!(
            "global\n  stats socket {} level admin\n  {global}\n\
             defaults\n  mode {mode}\n  timeout connect 1s\n  timeout client 60s\n  timeout server 60s\n\
             \x20 # An agent may take longer than agent-inter, the time between checks.\n\
             \x20 timeout check 5s\n\
             frontend clients\n  bind {address}\n  default_backend media\n\
             backend media\n  {}\n",
            folder.path().join("stats").display(),
            lines.join("\n  "),
        );
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, config).unwrap();
        Self::run(command, &[file], folder, address)
    }

    /// Starts HAProxy with a configuration that the repository ships and with these variables. `address` is
    /// one of the addresses on which it then listens.
    pub fn start_shipped(name: &str, address: SocketAddr, variables: &[(&str, String)]) -> Self {
        Self::start_file(&shipped(name), address, variables)
    }

    /// The same with any configuration.
    pub fn start_file(file: &Path, address: SocketAddr, variables: &[(&str, String)]) -> Self {
        Self::start_file_by(&mut haproxy(), file, address, variables)
    }

    /// The same with a command that executes HAProxy.
    pub fn start_file_by(
        command: &mut Command,
        file: &Path,
        address: SocketAddr,
        variables: &[(&str, String)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("stats");
        let more = folder.path().join("more.cfg");
        let added = format!("global\n  stats socket {} level admin\n", socket.display());
        std::fs::write(&more, added).unwrap();
        let variables = variables.iter().map(|(name, value)| (name, value));
        Self::run(command.envs(variables), &[file.to_owned(), more], folder, address)
    }

    fn run(
        command: &mut Command,
        files: &[PathBuf],
        folder: tempfile::TempDir,
        address: SocketAddr,
    ) -> Self {
        for file in files {
            command.arg("-f").arg(file);
        }
        // Holds the errors of an HAProxy that does not start.
        let errors = File::create(folder.path().join("errors")).unwrap();
        let process = command
            .arg("-db")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("haproxy is installed");
        let mut haproxy = Self { address, folder, process: Process(process) };
        wait_until("HAProxy accepts connections on its stats socket", || {
            let has_ended = haproxy.process.0.try_wait().unwrap().is_some();
            let errors = fs::read_to_string(haproxy.folder.path().join("errors"));
            assert!(!has_ended, "HAProxy does not start: {}", errors.unwrap());
            UnixStream::connect(haproxy.socket()).ok()
        });
        haproxy
    }

    /// The id of HAProxy's process.
    pub fn process_id(&self) -> u32 {
        self.process.0.id()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("stats")
    }

    /// What HAProxy answers to a command on its stats socket. On a busy machine HAProxy may reset the
    /// connection. Then the command is sent again; every command that tests send may be repeated.
    pub fn command(&self, command: &str) -> String {
        wait_until("HAProxy answers on its stats socket", || {
            let mut stream = UnixStream::connect(self.socket()).unwrap();
            let mut answer = String::new();
            let sent = stream.write_all(format!("{command}\n").as_bytes());
            match sent.and_then(|()| stream.read_to_string(&mut answer)) {
                Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
                result => result.map(|_| answer).map(Some).unwrap(),
            }
        })
    }

    /// A column of `show stat` for a server, which is named as SERVER or BACKEND/SERVER.
    pub fn stat(&self, server: &str, column: &str) -> String {
        let (backend, server) = match server.split_once('/') {
            Some((backend, server)) => (Some(backend), server),
            None => (None, server),
        };
        let table = self.command("show stat");
        let mut lines = table.trim_start_matches("# ").lines().map(columns);
        let head = lines.next().unwrap();
        let place = head.iter().position(|name| name == column).unwrap();
        let is_server = |row: &Vec<String>| {
            row.get(1).is_some_and(|name| name == server)
                && backend.is_none_or(|backend| row[0] == backend)
        };
        lines.find(is_server).unwrap()[place].clone()
    }

    /// Waits until a server's status begins with `status`. HAProxy adds the word "(agent)" to some.
    pub fn wait_for(&self, server: &str, status: &str) {
        wait_until(&format!("{server} is {status}"), || {
            self.stat(server, "status").starts_with(status).then_some(())
        });
    }

    /// Waits until a server's column of `show stat` has this value.
    pub fn wait_for_stat(&self, server: &str, column: &str, value: &str) {
        wait_until(&format!("{column} of {server} is {value}"), || {
            (self.stat(server, column) == value).then_some(())
        });
    }

    /// Waits until the agent's last description of a server contains `reason`.
    pub fn wait_for_reason(&self, server: &str, reason: &str) {
        wait_until(&format!("{server} is described by {reason}"), || {
            self.stat(server, "last_agt").contains(reason).then_some(())
        });
    }
}

/// A command that runs HAProxy with a search path on which its external checks find the agent.
pub fn haproxy() -> Command {
    let mut command = Command::new(HAPROXY);
    // With CERT, the shipped configurations serve TLS too. Only the test decides about that.
    command.env("PATH", search_path()).env_remove("CERT");
    command
}

/// The path of a configuration that the repository ships.
pub fn shipped(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("haproxy").join(name)
}

/// The search path of the tests, preceded by the agent's folder.
fn search_path() -> String {
    let folder = std::path::Path::new(AGENT).parent().unwrap().display();
    format!("{folder}:{}", std::env::var("PATH").unwrap())
}

/// The columns of a line of HAProxy's CSV. A quoted column may contain commas.
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
