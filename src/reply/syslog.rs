//! Replies in the system's log, for `--syslog`.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process;

use syslog::{Facility, Formatter3164, LogFormat};

use crate::net::secrets::without_secrets;
use crate::process::peer::Peer;
use crate::reply::description::printable;
use crate::reply::line::{Reply, Style};
use crate::reply::outcome::Outcome;

/// Where syslog listens.
const SOCKET: &str = "/dev/log";

/// The longest request that is logged, in characters.
const REQUEST_LIMIT: usize = 200;

/// Logs the peer, the request and the reply that expresses `outcome`, always with its description. The
/// line is lost if the log is missing or full: a run never waits for it.
pub fn write(outcome: &Outcome, style: Style, peer: &Peer, request: &str) {
    // The log puts the request between quotes, so it must not contain any.
    let request: String = printable(&without_secrets(request)).replace(['"', '\\'], "'");
    let request: String = request.chars().take(REQUEST_LIMIT).collect();
    let reply = Reply::new(outcome, Style { describe: true, ..style }).to_string();
    let message = format!("peer={peer} request=\"{request}\" reply: {}", reply.trim_end());
    let formatter = Formatter3164 {
        facility: Facility::LOG_DAEMON,
        hostname: None,
        process: env!("CARGO_PKG_NAME").to_owned(),
        pid: process::id(),
    };
    let mut line = Vec::new();
    // The crate's own writer would wait for the log.
    if formatter.format(&mut line, syslog::Severity::LOG_WARNING, message).is_ok() {
        let _ = send(&line, Path::new(SOCKET));
    }
}

fn send(line: &[u8], to: &Path) -> std::io::Result<usize> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to(line, to)
}
