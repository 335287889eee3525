/*!
Giving up rights that a run does not need, with Landlock, before it reads anything from the network.

A confined process can read files and open outgoing connections. It cannot execute, write, create or
remove files. It cannot bind a TCP port (from Linux 6.7). It cannot send signals to other processes or
connect to their abstract Unix sockets (from Linux 6.12). Reading is not restricted, because certificates,
hosts and name servers are configured in many places. Unix sockets with a path are not restricted, because
the system's log is one. A kernel older than 5.13, or one with Landlock switched off, restricts nothing.

With `--state`, the process can also create and remove files in one folder.
*/

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope, make_bitflags,
};

/// The version of Landlock in Linux 6.12. On an older kernel, the rights that it does not know are left
/// out.
const KNOWN: ABI = ABI::V6;

/// What a run may do in the folder of the state file.
const CHANGE_STATE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{MakeReg | RemoveFile});

/// Confines the process until its end, as far as the kernel can. Never fails: a run that the kernel
/// does not confine still answers. In `state_folder`, regular files can still be created and removed.
///
/// The restrictions apply to the calling thread and to the threads that it starts later.
pub fn confine(state_folder: Option<BorrowedFd>) {
    let _ = restrict(state_folder);
}

fn restrict(state_folder: Option<BorrowedFd>) -> Result<(), RulesetError> {
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_write(KNOWN) | AccessFs::Execute)?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(KNOWN))?;
    // Every right named above is denied, except where a rule allows it.
    let ruleset = ruleset.create()?;
    let ruleset = match state_folder {
        Some(folder) => ruleset.add_rule(PathBeneath::new(folder, CHANGE_STATE))?,
        None => ruleset,
    };
    ruleset.restrict_self().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::{self, File};
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
    use std::path::Path;
    use std::process::{self, Command, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    use crate::process::deadline::Deadline;
    use crate::process::state_file::{Change, StateFile};

    use rustix::process::{Pid, Signal, kill_process};

    #[test]
    fn a_confined_thread_can_only_read_files_and_connect() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "there").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // A thread of its own, so that the other tests stay unconfined.
        let confined = thread::spawn(move || {
            restrict(None).expect("the kernel has Landlock");
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
    fn a_confined_thread_can_change_only_the_state_in_its_folder() {
        let [folder, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let deadline = Deadline::new(Instant::now(), Duration::from_secs(10));
        let open = |path: &Path| StateFile::open(&path.join("state"), deadline).unwrap();
        let (file, elsewhere) = (open(folder.path()), open(other.path()));
        let path = folder.path().join("state");
        let confined = thread::spawn(move || {
            restrict(Some(file.folder())).expect("the kernel has Landlock");
            assert!(file.change(Change::Create, deadline).unwrap());
            let written = File::options().append(true).open(&path).unwrap_err();
            assert_eq!(written.kind(), ErrorKind::PermissionDenied);
            assert!(!file.change(Change::Remove, deadline).unwrap());
            assert!(elsewhere.change(Change::Create, deadline).is_err());
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
            restrict(None).expect("the kernel has Landlock");
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
