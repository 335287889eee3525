/*!
The maintenance file: while it exists, it names the reply.

Somebody created the file to take the server out. So a file that cannot be read takes the server out too.
*/

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::process::background;
use crate::process::deadline::Deadline;
use crate::reply::state::State;
use crate::reply::words::Words;

/// The longest part of the file that is read, in bytes. Only its first line counts, and descriptions are
/// far shorter.
const READ_LIMIT: u64 = 4096;

/// Why a maintenance file cannot be read.
#[derive(Debug)]
enum FileError {
    Io(io::Error),
    DanglingLink,
    NotAFile,
    Background(background::BackgroundError),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::DanglingLink => f.write_str("it is a link to nothing"),
            Self::NotAFile => f.write_str("it is no regular file"),
            Self::Background(error) => write!(f, "reading it {error}"),
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The reply that the file at `path` names, or `None` if there is no file.
///
/// A file system may hang, so the file is read in the background.
pub fn read(path: &Path, deadline: Deadline) -> Option<Words> {
    let file = path.to_owned();
    let content = background::run(move || read_beginning(&file), deadline)
        .unwrap_or_else(|error| Err(FileError::Background(error)));
    match content {
        Ok(content) => content.map(|content| parse(&content)),
        Err(error) => {
            let description = format!("maintenance file: {error}: {}", path.display());
            Some(Words::of(State::Maint, description))
        }
    }
}

/// Parses the first line of a file: its first word is the state, the rest is the description. A line that
/// begins with another word is the description of `maint`.
pub fn parse(content: &[u8]) -> Words {
    let text = String::from_utf8_lossy(content);
    let line = text.trim_start().lines().next().unwrap_or_default().trim();
    let (word, rest) = line.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((line, ""));
    let (state, description) = match word {
        "maint" => (State::Maint, rest),
        "drain" => (State::Drain, rest),
        "down" => (State::Down, rest),
        "stopped" => (State::Stopped, rest),
        _ => (State::Maint, line),
    };
    // The file may already contain the `#` that begins a description.
    let description = description.trim_start_matches(['#', ' ', '\t']).trim_end().to_owned();
    Words::of(state, description)
}

/// The beginning of the file at `path`, or `None` if there is no file.
fn read_beginning(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let is_not_found = |error: &io::Error| error.kind() == ErrorKind::NotFound;
    // Checked before it is opened: opening a device or a named pipe has side effects.
    match fs::symlink_metadata(path) {
        Err(error) if is_not_found(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
        Ok(_) => {}
    }
    match fs::metadata(path) {
        Err(error) if is_not_found(&error) => return Err(FileError::DanglingLink),
        Err(error) => return Err(error.into()),
        Ok(metadata) if !metadata.is_file() => return Err(FileError::NotAFile),
        Ok(_) => {}
    }
    let mut content = Vec::new();
    match File::open(path).and_then(|file| file.take(READ_LIMIT).read_to_end(&mut content)) {
        Ok(_) => Ok(Some(content)),
        // The file was removed a moment ago.
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_the_state_and_the_rest_of_its_line_the_description() {
        for (content, state, description) in [
            ("", State::Maint, ""),
            (" \n", State::Maint, ""),
            ("maint", State::Maint, ""),
            ("drain deploying 4.2\nby me\n", State::Drain, "deploying 4.2"),
            ("down\t for  repair \r\n", State::Down, "for  repair"),
            ("\n stopped\n", State::Stopped, ""),
            ("up\n", State::Maint, "up"),
            ("ready now", State::Maint, "ready now"),
            ("drained", State::Maint, "drained"),
            ("Drain", State::Maint, "Drain"),
            ("drain # why", State::Drain, "why"),
            ("drain# why", State::Maint, "drain# why"),
            ("\u{0}\u{1}", State::Maint, "\u{0}\u{1}"),
        ] {
            let reply = parse(content.as_bytes());
            assert_eq!(reply, Words::of(state, description.to_owned()), "{content:?}");
        }
    }

    #[test]
    fn an_unreadable_file_is_reported_with_its_problem() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let problem = |name: &str| read_beginning(&path(name)).unwrap_err().to_string();
        std::os::unix::fs::symlink("nowhere", path("dangling")).unwrap();
        std::os::unix::fs::symlink("loop", path("loop")).unwrap();
        fs::create_dir(path("folder")).unwrap();
        fs::write(path("file"), "drain").unwrap();
        assert_eq!(problem("dangling"), "it is a link to nothing");
        assert!(problem("loop").contains("symbolic links"), "{}", problem("loop"));
        assert_eq!(problem("folder"), "it is no regular file");
        assert!(problem("file/below").contains("Not a directory"), "{}", problem("file/below"));
        assert_eq!(read_beginning(&path("file")).unwrap(), Some(b"drain".to_vec()));
        assert_eq!(read_beginning(&path("none")).unwrap(), None);
    }

    #[test]
    fn only_the_beginning_of_a_file_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [b'x'; 5000]).unwrap();
        assert_eq!(read_beginning(file.path()).unwrap(), Some(vec![b'x'; 4096]));
    }
}
