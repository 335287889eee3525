/*!
Giving up rights that a run does not need, with Landlock, before it reads anything from the network.

A confined process can read files and open outgoing connections. It cannot execute, write, create or
remove files. It cannot bind a TCP port (from Linux 6.7) or send signals to other processes (from Linux
6.12). Reading is not restricted, because certificates, hosts and name servers are configured in many
places. A kernel older than 5.13, or one with Landlock switched off, restricts nothing.
*/

use landlock::{ABI, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr, RulesetError, Scope};

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
        .scope(BitFlags::from(Scope::Signal))?;
    // Every right named above is handled, and no rule allows any of them.
    ruleset.create()?.restrict_self().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::{self, File};
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;
    use std::thread;

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
}
