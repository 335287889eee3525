//! A network namespace without a route to other hosts, and with a name server that never answers.

use std::process::{Command, Stdio};

use super::{AGENT, Process, wait_until};

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
