/*!
The file of `--stats-headers`: headers for the request of the statistics page, such as an access token.

They are in a file because every user can see the arguments of a process.
*/

use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::net::headers::{Headers, HeadersError};
use crate::net::secrets::option_without_secrets;
use crate::process::background::{self, BackgroundError};
use crate::process::deadline::Deadline;

/// The longest file, in bytes.
const SIZE_LIMIT: u64 = 16 * 1024;

/// Why a file gives no headers. Displayed as a sentence that names the file, but not what it holds.
#[derive(Debug)]
pub struct HeadersFileError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Io(io::Error),
    NotAFile,
    TooLarge,
    Background(BackgroundError),
    Headers(HeadersError),
}

impl Error for HeadersFileError {}

impl fmt::Display for HeadersFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("--stats-headers: ")?;
        match &self.problem {
            Problem::Io(error) => write!(f, "cannot read it: {error}")?,
            Problem::NotAFile => f.write_str("it is no regular file")?,
            Problem::TooLarge => write!(f, "it is larger than {SIZE_LIMIT} bytes")?,
            Problem::Background(error) => write!(f, "reading it {error}")?,
            Problem::Headers(error) => error.fmt(f)?,
        }
        write!(f, ": {}", option_without_secrets(&self.path.to_string_lossy()))
    }
}

/// Reads the headers in the file at `path`.
///
/// A file system may hang, so the file is read in the background.
pub fn read(path: &Path, deadline: Deadline) -> Result<Headers, HeadersFileError> {
    let file = path.to_owned();
    background::run(move || read_now(&file), deadline)
        .unwrap_or_else(|error| Err(Problem::Background(error)))
        .and_then(|text| Headers::parse(&text).map_err(Problem::Headers))
        .map_err(|problem| HeadersFileError { path: path.to_owned(), problem })
}

fn read_now(path: &Path) -> Result<Vec<u8>, Problem> {
    // Checked before it is opened: opening a device or a named pipe has side effects.
    if !fs::metadata(path).map_err(Problem::Io)?.is_file() {
        return Err(Problem::NotAFile);
    }
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SIZE_LIMIT + 1).read_to_end(&mut text));
    match read.map_err(Problem::Io)? {
        size if size as u64 > SIZE_LIMIT => Err(Problem::TooLarge),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::{Duration, Instant};

    #[test]
    fn a_file_that_gives_no_headers_is_named_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let deadline = Deadline::new(Instant::now(), Duration::from_secs(10));
        let path = folder.path().join("headers");
        let error = |path: &Path| read(path, deadline).unwrap_err().to_string();
        assert!(error(&path).starts_with("--stats-headers: cannot read it: No such file"));
        assert!(error(folder.path()).starts_with("--stats-headers: it is no regular file: "));
        fs::write(&path, "Bearer secret").unwrap();
        let sentence = "--stats-headers: line 1 is not 'Name: value': ";
        assert_eq!(error(&path), format!("{sentence}{}", path.display()));
        fs::write(&path, vec![b'\n'; SIZE_LIMIT as usize + 1]).unwrap();
        assert!(error(&path).starts_with("--stats-headers: it is larger than 16384 bytes: "));
        fs::write(&path, "A: b").unwrap();
        assert_eq!(read(&path, deadline).unwrap().iter().count(), 1);
    }
}
