/*!
A state that lasts from run to run: a file exists, or it does not.

What the file holds does not matter. It is created and removed with one system call each, so runs at the same
time need no lock.
*/

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, mknodat, openat, statat, unlinkat};
use rustix::io::Errno;

use crate::process::background::{self, BackgroundError};
use crate::process::deadline::Deadline;

/// Opening the folder may take this part of the run's time.
const OPENING_SHARE: u32 = 10;

/// Changing the state may take this time even at the end of the run.
const CHANGING_TIME: Duration = Duration::from_millis(10);

/// A file in an open folder, so that the file can still be changed when the process has confined itself.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
    folder: Arc<OwnedFd>,
    name: OsString,
}

/// What is to become of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Create,
    Remove,
    Keep,
}

/// Why the state is unknown or cannot be changed. Displayed as a sentence that names the file.
#[derive(Clone, Debug)]
pub struct StateFileError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Clone, Debug)]
enum Problem {
    /// The path ends with a folder.
    NoName,
    Folder(Errno),
    Unreadable(Errno),
    NotAFile,
    NotCreated(Errno),
    NotRemoved(Errno),
    Background(BackgroundError),
}

impl Error for StateFileError {}

impl fmt::Display for StateFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = |error: &Errno| io::Error::from(*error);
        f.write_str("--state: ")?;
        match &self.problem {
            Problem::NoName => f.write_str("the path names no file")?,
            Problem::Folder(error) => write!(f, "cannot open its folder: {}", reason(error))?,
            Problem::Unreadable(error) => write!(f, "cannot look for it: {}", reason(error))?,
            Problem::NotAFile => f.write_str("it is no regular file")?,
            Problem::NotCreated(error) => write!(f, "cannot create it: {}", reason(error))?,
            Problem::NotRemoved(error) => write!(f, "cannot remove it: {}", reason(error))?,
            Problem::Background(error) => write!(f, "using it {error}")?,
        }
        write!(f, ": {}", self.path.display())
    }
}

impl StateFile {
    /// Opens the folder of the file at `path`. The file itself need not exist.
    ///
    /// A file system may hang, so this is done in the background, as is everything else with the file. It may take
    /// only a part of the run's time, because most of the run does not need the file.
    pub fn open(path: &Path, deadline: Deadline) -> Result<Self, StateFileError> {
        let fail = |problem| StateFileError { path: path.to_owned(), problem };
        // `Path::file_name` ignores a slash at the end.
        let is_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let name = path.file_name().filter(|_| !is_folder).ok_or_else(|| fail(Problem::NoName))?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let open = move || {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = openat(CWD, &folder, flags, Mode::empty()).map_err(Problem::Folder)?;
            // Opening a mount point does not ask its file system. Confining the process does, and would hang.
            fstat(&folder).map_err(Problem::Folder)?;
            Ok(folder)
        };
        let deadline = deadline.at_most(deadline.budget() / OPENING_SHARE);
        let folder = in_background(open, deadline).map_err(fail)?;
        Ok(Self { path: path.to_owned(), folder: Arc::new(folder), name: name.to_owned() })
    }

    /// The folder of the file.
    pub fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Creates or removes the file, or leaves it as it is. Returns whether it exists afterwards.
    ///
    /// Fails if the state is unknown, and if it cannot be changed. Measuring may have taken all the time of the run, so
    /// this may end a little after the deadline.
    pub fn change(&self, change: Change, deadline: Deadline) -> Result<bool, StateFileError> {
        let file = self.clone();
        in_background(move || file.change_now(change), deadline.at_least(CHANGING_TIME))
            .map_err(|problem| StateFileError { path: self.path.clone(), problem })
    }

    fn change_now(&self, change: Change) -> Result<bool, Problem> {
        let exists = self.exists()?;
        match change {
            Change::Create if !exists => {
                match mknodat(&self.folder, &self.name, FileType::RegularFile, Mode::RUSR, 0) {
                    // Another run has just created it.
                    Ok(()) | Err(Errno::EXIST) => Ok(true),
                    Err(error) => Err(Problem::NotCreated(error)),
                }
            }
            Change::Remove if exists => {
                match unlinkat(&self.folder, &self.name, AtFlags::empty()) {
                    // Another run has just removed it.
                    Ok(()) | Err(Errno::NOENT) => Ok(false),
                    Err(error) => Err(Problem::NotRemoved(error)),
                }
            }
            _ => Ok(exists),
        }
    }

    fn exists(&self) -> Result<bool, Problem> {
        match statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_file() => Ok(true),
            Ok(_) => Err(Problem::NotAFile),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(Problem::Unreadable(error)),
        }
    }
}

fn in_background<T, W>(work: W, deadline: Deadline) -> Result<T, Problem>
where
    T: Send + 'static,
    W: Fn() -> Result<T, Problem> + Clone + Send + 'static,
{
    background::run(work, deadline).unwrap_or_else(|error| Err(Problem::Background(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Instant;

    fn deadline() -> Deadline {
        Deadline::new(Instant::now(), Duration::from_secs(10))
    }

    #[test]
    fn the_state_is_that_the_file_exists() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let file = StateFile::open(&path, deadline()).unwrap();
        for (change, exists) in [
            (Change::Keep, false),
            (Change::Remove, false),
            (Change::Create, true),
            (Change::Create, true),
            (Change::Keep, true),
            (Change::Remove, false),
            (Change::Keep, false),
        ] {
            assert_eq!(file.change(change, deadline()).unwrap(), exists, "{change:?}");
            assert_eq!(path.exists(), exists, "{change:?}");
        }
    }

    #[test]
    fn a_path_that_cannot_be_a_state_is_named_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("folder")).unwrap();
        symlink("nowhere", path("link")).unwrap();
        fs::write(path("file"), "").unwrap();
        let missing = "cannot open its folder: No such file or directory (os error 2)";
        let not_a_folder = "cannot open its folder: Not a directory (os error 20)";
        let no_name = "the path names no file";
        for (name, problem) in [
            ("folder", "it is no regular file"),
            ("link", "it is no regular file"),
            ("missing/state", missing),
            ("file/state", not_a_folder),
            ("folder/", no_name),
            ("folder/..", no_name),
        ] {
            for change in [Change::Create, Change::Remove, Change::Keep] {
                let opened = StateFile::open(&path(name), deadline());
                let error = opened.and_then(|file| file.change(change, deadline())).unwrap_err();
                let sentence = format!("--state: {problem}: {}", path(name).display());
                assert_eq!(error.to_string(), sentence);
            }
        }
    }

    #[test]
    fn a_relative_path_is_in_the_current_folder() {
        let file = StateFile::open(Path::new("no-such-state"), deadline()).unwrap();
        assert!(!file.change(Change::Keep, deadline()).unwrap());
    }
}
