/*!
Giving up rights that a run does not need, with Landlock, before it reads anything from the network.

A confined process can read files and open outgoing connections. It cannot execute, write, create or
remove files. It cannot bind a TCP port (from Linux 6.7). It cannot send signals to other processes or
connect to their abstract Unix sockets (from Linux 6.12). Reading is not restricted, because certificates,
hosts and name servers are configured in many places. Unix sockets with a path are not restricted, because
the system's log is one. A kernel older than 5.13, or one with Landlock switched off, restricts nothing.
*/

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetError, Scope};

/// The version of Landlock in Linux 6.12. On an older kernel, the rights that it does not know are left
/// out.
const KNOWN: ABI = ABI::V6;

/// Confines the process until its end, as far as the kernel can. Never fails: a run that the kernel
/// does not confine still answers.
///
/// The restrictions apply to the calling thread and to the threads that it starts later.
pub fn confine() {
    let _ = restrict();
}

fn restrict() -> Result<(), RulesetError> {
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_write(KNOWN) | AccessFs::Execute)?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(KNOWN))?;
    // Every right named above is handled, and no rule allows any of them.
    ruleset.create()?.restrict_self().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::{self, File};
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
    use std::process::{self, Command, Stdio};
    use std::thread;

    use rustix::process::{Pid, Signal, kill_process};

    #[test]
    fn a_confined_thread_can_only_read_files_and_connect() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "there").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // A thread of its own, so that the other tests stay unconfined.
        let confined = thread::spawn(move || {
            restrict().expect("the kernel has Landlock");
            assert_eq!(fs::read_to_string(&file).unwrap(), "there");
            assert!(fs::read_to_string("/proc/loadavg").is_ok());
            assert!(TcpStream::connect(listener.local_addr().unwrap()).is_ok());
            for denied in [
                File::create(&file).map(drop),
                File::create(file.with_file_name("new")).map(drop),
                fs::remove_file(&file),
                TcpListener::bind("127.0.0.1:0").map(drop),
                Command::new("/bin/true").spawn().map(drop),
            ] {
                assert_eq!(denied.unwrap_err().kind(), ErrorKind::PermissionDenied);
            }
        });
        confined.join().unwrap();
    }

    #[test]
    fn a_confined_thread_reaches_no_process_outside_but_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let name = format!("haproxy-agent-check-{}", process::id());
        let outside = SocketAddr::from_abstract_name(&name).unwrap();
        let _stream = UnixListener::bind_addr(&outside).unwrap();
        let log = UnixDatagram::bind(&path).unwrap();
        let datagram = SocketAddr::from_abstract_name(name + "-datagram").unwrap();
        let _datagram = UnixDatagram::bind_addr(&datagram).unwrap();
        let mut other = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let id = Pid::from_child(&other);
        let reach = move || -> [std::io::Result<()>; 3] {
            let socket = UnixDatagram::unbound().unwrap();
            // As --syslog does.
            socket.send_to(b"line", &path).unwrap();
            [
                UnixStream::connect_addr(&outside).map(drop),
                socket.send_to_addr(b"line", &datagram).map(drop),
                kill_process(id, Signal::CONT).map_err(Into::into),
            ]
        };
        for result in reach() {
            result.expect("an unconfined thread reaches it");
        }
        let confined = thread::spawn(move || {
            restrict().expect("the kernel has Landlock");
            reach()
        });
        for result in confined.join().unwrap() {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
        let mut line = [0; 5];
        for _ in 0..2 {
            assert_eq!(log.recv(&mut line).unwrap(), 4);
        }
        // `cat` ends with its input.
        drop(other.stdin.take());
        assert!(other.wait().unwrap().success());
    }
}
