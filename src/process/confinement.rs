/*!
Giving up rights that a run does not need, with Landlock, before it reads anything from the network.

A confined process can read files and open outgoing connections. It cannot execute, write, create or
remove files. It cannot bind a TCP port (from Linux 6.7) or send signals to other processes (from Linux
6.12). Reading is not restricted, because certificates, hosts and name servers are configured in many
places. A kernel older than 5.13, or one with Landlock switched off, restricts nothing.

With `--state`, the process can also create and remove files in one folder.
*/

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, AccessFs, AccessNet, BitFlags, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, Scope, make_bitflags,
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
        .scope(BitFlags::from(Scope::Signal))?;
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
    use std::path::Path;
    use std::process::Command;
    use std::thread;
    use std::time::{Duration, Instant};

    use crate::process::deadline::Deadline;
    use crate::process::state_file::{Change, StateFile};

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
}
