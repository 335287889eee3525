/*!
What the process gives up before anything from the network reaches it, with Landlock.

From its arguments and the maintenance file on, a run only reads files and opens outgoing connections.
What it never does it then cannot be made to do: no file is executed, written, made or removed, no port is
bound, no other process is signalled. What is read stays open to it, since certificates, name servers and
hosts are found in many places. A kernel without Landlock (before 5.13, or with it switched off) confines
nothing, and nothing fails.
*/

use landlock::{ABI, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr, RulesetError, Scope};

/// The Landlock of Linux 6.12; what an older kernel does not know is left out.
const KNOWN: ABI = ABI::V6;

/// Confines the process for the rest of its life, as far as the kernel can.
pub fn confine() {
    // What the kernel refuses to take away is no reason not to answer.
    let _ = restrict();
}

fn restrict() -> Result<(), RulesetError> {
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_write(KNOWN) | AccessFs::Execute)?
        .handle_access(AccessNet::BindTcp)?
        .scope(BitFlags::from(Scope::Signal))?;
    // Everything is handled and nothing allowed.
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
    fn what_is_confined_reads_and_connects_and_does_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "there").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // It holds for the thread that calls it, and what that starts.
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
