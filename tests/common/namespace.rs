//! Network namespaces without a route to other hosts.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::panic;
use std::process::{Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{AGENT, Process, wait_until};

/// A network of a test's own, where it may use every address and port. It has only a loopback interface.
///
/// It needs root, so that supervisors in it can start agents as other users.
pub struct OwnNetwork {
    /// The namespace lasts as long as this process.
    holder: Process,
}

impl OwnNetwork {
    /// Creates the network. Besides 127.0.0.0/8 it has these addresses.
    pub fn new(addresses: &[Ipv4Addr]) -> Self {
        let script = "ip link set lo up || exit
            for address; do ip addr add \"$address/32\" dev lo || exit; done
            echo ready && exec cat";
        let holder = Command::new("unshare")
            .args(["--net", "sh", "-c", script, "sh"])
            .args(addresses.iter().map(Ipv4Addr::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut holder = Process(holder.expect("unshare is installed"));
        let mut line = String::new();
        let stdout = holder.0.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the network cannot be created; is this root?");
        Self { holder }
    }

    /// Runs a part of a test in the network. The threads and processes that it starts are in the network too.
    pub fn run<T: Send>(&self, part: impl FnOnce() -> T + Send) -> T {
        let network = format!("/proc/{}/ns/net", self.holder.0.id());
        let run = || {
            let network = File::open(network).unwrap();
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            part()
        };
        let result = thread::scope(|scope| scope.spawn(run).join());
        result.unwrap_or_else(|panic| panic::resume_unwind(panic))
    }
}

/// A network with a name server that never answers.
///
/// The namespace ends with its only process, the name server.
pub struct IsolatedNetwork {
    name_server: Process,
    _resolv_conf: tempfile::NamedTempFile,
}

impl IsolatedNetwork {
    /// Creates the namespace, and waits until the name server listens.
    pub fn new() -> Self {
        let resolv_conf = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&resolv_conf, "nameserver 127.0.0.9\n").unwrap();
        let script = "ip link set lo up && mount --bind \"$1\" /etc/resolv.conf && \
                      exec socat -u UDP4-RECV:53,bind=127.0.0.9 /dev/null";
        let name_server = Command::new("unshare")
            .args(["--map-root-user", "--mount", "--net", "sh", "-c", script, "sh"])
            .arg(resolv_conf.path())
            .stdin(Stdio::null())
            .spawn();
        let name_server = Process(name_server.expect("unshare is installed"));
        // Its own /proc shows the sockets of the namespace; port 53 is 0035 there.
        let sockets = format!("/proc/{}/net/udp", name_server.0.id());
        let listens = || std::fs::read_to_string(&sockets).ok()?.contains(":0035 ").then_some(());
        wait_until("the name server listens", listens);
        Self { name_server, _resolv_conf: resolv_conf }
    }

    /// A command that runs the agent in the namespace.
    pub fn agent(&self) -> Command {
        let mut command = Command::new("/usr/bin/nsenter");
        command.args(["--target", &self.name_server.0.id().to_string()]);
        // The user namespace too: without it, only root could enter the others.
        command.args(["--user", "--mount", "--net", "--preserve-credentials", AGENT]);
        command
    }
}
