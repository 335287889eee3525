//! A name server that resolves every name.

use std::net::{Ipv4Addr, UdpSocket};
use std::thread;

/// An answer to any question, without the identifier at its start. It holds one record, which gives the
/// root the address 127.0.0.1; RFC 1035, 4.1.
const ANY_NAME: &[u8] = b"\x81\x80\0\0\0\x01\0\0\0\0\0\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01";

/// A name server on a loopback address of its own. It resolves every name to 127.0.0.1, and ends with the
/// test program.
pub struct NameServer {
    resolv_conf: tempfile::NamedTempFile,
}

impl NameServer {
    pub fn new() -> Self {
        let mut hosts = (1..=254).map(|n| Ipv4Addr::new(127, 253, 0, n));
        let found = hosts.find_map(|host| Some((host, UdpSocket::bind((host, 53)).ok()?)));
        let (host, socket) = found.expect("root may listen at port 53");
        thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((_, client)) = socket.recv_from(&mut question) {
                // The client may have closed its socket.
                let _ = socket.send_to(&[&question[..2], ANY_NAME].concat(), client);
            }
        });
        let resolv_conf = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&resolv_conf, format!("nameserver {host}\n")).unwrap();
        Self { resolv_conf }
    }

    /// The words to put before a command so that it uses this name server.
    pub fn command_prefix(&self) -> Vec<String> {
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        let file = self.resolv_conf.path().to_str().unwrap();
        let words = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, file];
        words.map(str::to_owned).into()
    }
}
