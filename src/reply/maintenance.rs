/*!
The maintenance file: while it is there, it is the answer.

Whoever put it there wanted the server out, so whatever is wrong with it is no reason to send traffic.
*/

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::process::background;
use crate::process::deadline::Deadline;
use crate::reply::State;

/// As much of the file as can matter, in bytes: its first line, of which the description is cut.
const READ_LIMIT: u64 = 4096;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    pub state: State,
    /// Why, in the words of who wrote the file, or what is wrong with it; may be empty.
    pub reason: String,
}

impl Maintenance {
    /// Reads the file at `path`; `None` if there is none.
    ///
    /// Aside, since the file may be on a file system that hangs.
    pub fn read(path: &Path, deadline: Deadline) -> Option<Self> {
        let file = path.to_owned();
        let content = background::run(move || read(&file), deadline)
            .unwrap_or_else(|problem| Err(format!("reading it {problem}")));
        match content {
            Ok(content) => content.map(|content| Self::parse(&content)),
            Err(error) => {
                let reason = format!("maintenance file: {error}: {}", path.display());
                Some(Self { state: State::Maint, reason })
            }
        }
    }

    /// The first word is the state, the rest of its line the reason; a file that begins with anything
    /// else is maintenance, and its first line is the reason.
    pub fn parse(content: &[u8]) -> Self {
        let text = String::from_utf8_lossy(content);
        let line = text.trim_start().lines().next().unwrap_or_default().trim();
        let (word, rest) = line.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((line, ""));
        let (state, reason) = match word {
            "maint" => (State::Maint, rest),
            "drain" => (State::Drain, rest),
            "down" => (State::Down, rest),
            "stopped" => (State::Stopped, rest),
            _ => (State::Maint, line),
        };
        // The description's mark may stand before the reason already.
        Self { state, reason: reason.trim_start_matches(['#', ' ', '\t']).trim_end().to_owned() }
    }
}

/// The beginning of a file, `None` if nothing is there, or what is wrong with it.
type Content = Result<Option<Vec<u8>>, String>;

/// The beginning of the file at `path`, `None` if nothing is there. Fails with what is wrong.
fn read(path: &Path) -> Content {
    let not_found = |error: &io::Error| error.kind() == ErrorKind::NotFound;
    // Looked at before it is opened: to open a device or a named pipe has effects of its own.
    match fs::symlink_metadata(path) {
        Err(error) if not_found(&error) => return Ok(None),
        Err(error) => return Err(error.to_string()),
        Ok(_) => {}
    }
    match fs::metadata(path) {
        Err(error) if not_found(&error) => return Err("it is a link to nothing".to_owned()),
        Err(error) => return Err(error.to_string()),
        Ok(metadata) if !metadata.is_file() => return Err("it is no regular file".to_owned()),
        Ok(_) => {}
    }
    match File::open(path).and_then(read_beginning) {
        // It has just been removed.
        Err(error) if not_found(&error) => Ok(None),
        content => content.map(Some).map_err(|error| error.to_string()),
    }
}

fn read_beginning(file: File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(READ_LIMIT).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_the_state_and_the_rest_of_its_line_the_reason() {
        for (content, state, reason) in [
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
            let expected = Maintenance { state, reason: reason.to_owned() };
            assert_eq!(Maintenance::parse(content.as_bytes()), expected, "{content:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let problem = |name: &str| read(&path(name)).unwrap_err();
        std::os::unix::fs::symlink("nowhere", path("dangling")).unwrap();
        std::os::unix::fs::symlink("loop", path("loop")).unwrap();
        fs::create_dir(path("folder")).unwrap();
        fs::write(path("file"), "drain").unwrap();
        assert_eq!(problem("dangling"), "it is a link to nothing");
        assert!(problem("loop").contains("symbolic links"), "{}", problem("loop"));
        assert_eq!(problem("folder"), "it is no regular file");
        assert!(problem("file/below").contains("Not a directory"), "{}", problem("file/below"));
        assert_eq!(read(&path("file")), Ok(Some(b"drain".to_vec())));
        assert_eq!(read(&path("none")), Ok(None));
    }

    #[test]
    fn the_beginning_of_a_file_is_enough() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [b'x'; 5000]).unwrap();
        assert_eq!(read(file.path()), Ok(Some(vec![b'x'; 4096])));
    }
}
