/*!
The certificates that are trusted: those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, otherwise those of the
system's store.

A store that is broken is never replaced by another one. Otherwise a spelling mistake in a variable would make
the agent trust authorities that nobody has named.
*/

use std::collections::HashSet;
use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use der::asn1::{GeneralizedTime, UtcTime};
use der::{Decode, Header, Reader as _, SliceReader, Tag};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use crate::process::background::{self, BackgroundError};
use crate::process::deadline::Deadline;
use crate::process::memory::{self, OutOfMemory};

/// A file with trusted certificates; see `SSL_CERT_FILE` in openssl-env(7).
const FILE_VARIABLE: &str = "SSL_CERT_FILE";

/// Folders with trusted certificates, separated by colons; see `SSL_CERT_DIR` in openssl-env(7).
const FOLDERS_VARIABLE: &str = "SSL_CERT_DIR";

/// How messages name the system's store.
const SYSTEM: &str = "the system's store";

/// How messages name the list that is part of the program.
const BUILT_IN: &str = "the built-in list";

/// Where distributions keep all trusted certificates in one file. The first one that can be read counts. The
/// list is that of openssl-probe 0.2.2. That crate cannot tell a file that is absent from one that may not be
/// read.
const SYSTEM_FILES: [&str; 8] = [
    // Debian, Ubuntu, Gentoo.
    "/etc/ssl/certs/ca-certificates.crt",
    // Fedora and Red Hat, since RHEL 7. It comes before the older one.
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    // Fedora and Red Hat, RHEL 6.
    "/etc/pki/tls/certs/ca-bundle.crt",
    // SUSE.
    "/etc/ssl/ca-bundle.pem",
    // OpenELEC.
    "/etc/pki/tls/cacert.pem",
    // Alpine.
    "/etc/ssl/cert.pem",
    // Entware.
    "/opt/etc/ssl/certs/ca-certificates.crt",
    // OpenHarmony.
    "/etc/ssl/certs/cacert.pem",
];

/// Where distributions keep a file for each trusted certificate, from the same list. All of them count.
const SYSTEM_FOLDERS: [&str; 3] =
    ["/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/security/certificates"];

/// The most that is read from one source, in bytes. Debian's store has 0.5 MB.
const SIZE_LIMIT: usize = 4 * 1024 * 1024;

/// The most files that are read. Debian's store has 150.
const FILE_LIMIT: usize = 4096;

/// How many bytes of memory a byte of a file takes at most: the decoded certificates, twice while their list
/// grows, and what of them is kept.
const MEMORY_PER_BYTE: usize = 3;

/// Why no certificate can be trusted. Displayed as a sentence that begins with what names the certificates.
#[derive(Clone, Debug, PartialEq)]
pub struct TrustError {
    /// The variable, or the system's store.
    source: &'static str,
    problem: Problem,
    /// The file or folder, if it is known.
    path: PathBuf,
}

/// What is wrong with a file or a folder with trusted certificates.
#[derive(Clone, Debug, PartialEq)]
enum Problem {
    Missing,
    /// The reason, in the words of the system.
    Unreadable(String),
    NoCertificate,
    /// Each certificate has expired or is not valid yet.
    NotValidNow,
    TooLarge,
    TooManyFiles,
    Background(BackgroundError),
}

impl Error for TrustError {}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.source, self.problem)?;
        match self.path.as_os_str().is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.path.display()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("does not exist"),
            Self::Unreadable(reason) => write!(f, "cannot be read ({reason})"),
            Self::NoCertificate => f.write_str("holds no certificate"),
            Self::NotValidNow => f.write_str("holds no certificate that is valid now"),
            Self::TooLarge => write!(f, "holds more than {} MiB", SIZE_LIMIT / 1024 / 1024),
            Self::TooManyFiles => write!(f, "holds more than {FILE_LIMIT} files"),
            Self::Background(BackgroundError::TooSlow) => f.write_str("takes too long to read"),
            Self::Background(error) => write!(f, "cannot be read ({error})"),
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::OutOfMemory => OutOfMemory.into(),
            _ => {
                let text = error.to_string();
                // A description is short, and the words say enough without the number.
                let words = text.split(" (os error").next().unwrap_or_default();
                Self::Unreadable(words.to_owned())
            }
        }
    }
}

impl From<OutOfMemory> for Problem {
    fn from(error: OutOfMemory) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// Whether `SSL_CERT_FILE` or `SSL_CERT_DIR` names the certificates that are trusted.
pub fn is_named_by_variables() -> bool {
    Source::of_environment() != [Source::System]
}

/// Returns the certificates that are trusted. Expired ones are not, nor those that are not valid yet.
///
/// If `SSL_CERT_FILE` or `SSL_CERT_DIR` is set and not empty, these are the certificates that they name.
/// Otherwise they are those of the system's store. On a system without a store, they are Mozilla's list, as it
/// was when the program was built. A system is without a store if no file and no folder exists where OpenSSL
/// looks for one.
///
/// Fails if a file or folder that a variable names cannot be read. Fails if there is no certificate at all.
pub fn trusted_certificates(deadline: Deadline) -> Result<RootCertStore, TrustError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut certificates = Vec::new();
    let mut files = Files::new();
    let mut lack = None;
    for source in Source::of_environment() {
        if let Some(content) = source.read_in_background(&files, deadline)? {
            let found = content.certificates(&source, now)?;
            certificates.extend(found.certificates);
            lack.get_or_insert(found.lack);
            files = content.files;
        }
    }
    let lack = lack.unwrap_or_else(|| {
        certificates.extend(built_in_certificates(now));
        TrustError { source: BUILT_IN, problem: Problem::NotValidNow, path: PathBuf::new() }
    });
    let mut store = RootCertStore::empty();
    // Folders often hold the certificates of the file again.
    certificates.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
    certificates.dedup();
    store.add_parsable_certificates(certificates);
    if store.is_empty() { Err(lack) } else { Ok(store) }
}

/// Returns the certificates of the built-in list that are valid now.
fn built_in_certificates(now: Duration) -> impl Iterator<Item = CertificateDer<'static>> {
    let is_valid = move |certificate: &&CertificateDer| {
        validity(certificate).is_ok_and(|[from, until]| (from..=until).contains(&now))
    };
    TLS_SERVER_ROOT_CERTS.iter().filter(is_valid).cloned()
}

/// The device and the inode of each file that has been read. A folder usually has several links to a file.
type Files = HashSet<(u64, u64)>;

/// What names trusted certificates.
#[derive(Clone, Debug, PartialEq)]
enum Source {
    File(PathBuf),
    Folders(OsString),
    System,
}

impl Source {
    /// The sources that count: the variables that are set, or the system's store.
    fn of_environment() -> Vec<Self> {
        let value = |name| env::var_os(name).filter(|value| !value.is_empty());
        let file = value(FILE_VARIABLE).map(|value| Self::File(value.into()));
        let folders = value(FOLDERS_VARIABLE).map(Self::Folders);
        match (file, folders) {
            (None, None) => vec![Self::System],
            (file, folders) => file.into_iter().chain(folders).collect(),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::File(_) => FILE_VARIABLE,
            Self::Folders(_) => FOLDERS_VARIABLE,
            Self::System => SYSTEM,
        }
    }

    /// What the source names, for messages. The places of the system's store are too many to name.
    fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Folders(paths) => Path::new(paths),
            Self::System => Path::new(""),
        }
    }

    fn error(&self, problem: Problem, path: &Path) -> TrustError {
        TrustError { source: self.name(), problem, path: path.to_owned() }
    }

    /// Reads the source on another thread, because the source may be on a file system that hangs.
    fn read_in_background(
        &self,
        files: &Files,
        deadline: Deadline,
    ) -> Result<Option<Content>, TrustError> {
        let (source, files) = (self.clone(), files.clone());
        background::run(move || source.read(files.clone()), deadline)
            .unwrap_or_else(|error| Err(self.error(Problem::Background(error), self.path())))
    }

    /// Reads the source, except the `files` that have been read. Returns `None` if it is the system's store and
    /// there is none.
    ///
    /// Fails if what a variable names cannot be read.
    fn read(&self, files: Files) -> Result<Option<Content>, TrustError> {
        let mut content = Content { path: self.path().to_owned(), files, ..Content::default() };
        match self {
            Self::File(path) => {
                content.read_file(path).map_err(|problem| self.error(problem, path))?;
            }
            Self::Folders(paths) => {
                // OpenSSL skips empty parts too.
                let is_named = |path: &PathBuf| !path.as_os_str().is_empty();
                for path in env::split_paths(paths).filter(is_named) {
                    content.read_folder(&path).map_err(|problem| self.error(problem, &path))?;
                }
            }
            Self::System => return Ok(content.read_system()),
        }
        Ok(Some(content))
    }
}

/// The certificates of a source that are valid now.
struct Found {
    certificates: Vec<CertificateDer<'static>>,
    /// What is wrong if there is none.
    lack: TrustError,
}

/// The files of one source. Only reading can hang, so the certificates are decoded later. That takes many
/// small allocations: on a thread with little memory, the C library takes a page for each.
#[derive(Debug, Default)]
struct Content {
    /// Where the files are, for messages.
    path: PathBuf,
    text: Vec<u8>,
    /// Where each file ends in `text`.
    ends: Vec<usize>,
    /// What else has been read.
    files: Files,
    /// The first file or folder that was skipped because it cannot be read.
    skipped: Option<(Problem, PathBuf)>,
}

impl Content {
    /// Decodes the certificates in PEM format. Everything else in the files is skipped.
    ///
    /// Fails if there is too little memory.
    fn certificates(&self, source: &Source, now: Duration) -> Result<Found, TrustError> {
        memory::check_heap(self.text.len() * MEMORY_PER_BYTE)
            .map_err(|error| source.error(error.into(), &self.path))?;
        let mut certificates = Vec::new();
        let mut lack = Problem::NoCertificate;
        let mut start = 0;
        for &end in &self.ends {
            // Each file by itself: in one text, a block without an end would spoil the next file.
            let text = self.text.get(start..end).unwrap_or_default();
            for certificate in CertificateDer::pem_slice_iter(text).filter_map(Result::ok) {
                match validity(&certificate) {
                    Ok([from, until]) if (from..=until).contains(&now) => {
                        certificates.push(certificate);
                    }
                    Ok(_) => lack = Problem::NotValidNow,
                    Err(_) => {}
                }
            }
            start = end;
        }
        let lack = match &self.skipped {
            Some((problem, path)) => source.error(problem.clone(), path),
            None => source.error(lack, &self.path),
        };
        Ok(Found { certificates, lack })
    }

    /// Reads the first file of the system's store that can be read, and all its folders. Returns `None` if there
    /// is no store.
    fn read_system(mut self) -> Option<Self> {
        for path in SYSTEM_FILES.map(Path::new) {
            let read = self.read_file(path);
            let is_read = read.is_ok();
            self.note_place(path, read);
            if is_read {
                break;
            }
        }
        for path in SYSTEM_FOLDERS.map(Path::new) {
            let read = self.read_folder(path);
            self.note_place(path, read);
        }
        let has_store = !self.path.as_os_str().is_empty();
        has_store.then_some(self)
    }

    /// Remembers a place of the system's store, unless nothing exists there.
    fn note_place(&mut self, path: &Path, read: Result<(), Problem>) {
        match read {
            Err(Problem::Missing) => return,
            Err(problem) => self.skip(problem, path),
            Ok(()) => {}
        }
        if self.path.as_os_str().is_empty() {
            self.path = path.to_owned();
        }
    }

    fn skip(&mut self, problem: Problem, path: &Path) {
        self.skipped.get_or_insert_with(|| (problem, path.to_owned()));
    }

    /// Reads every file in a folder. A file that cannot be read is skipped.
    ///
    /// Fails if the folder cannot be read or holds too much.
    fn read_folder(&mut self, folder: &Path) -> Result<(), Problem> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match self.read_file_of_folder(&path) {
                Err(problem @ (Problem::TooLarge | Problem::TooManyFiles)) => return Err(problem),
                // A link to nothing is what remains of a certificate that was removed.
                Ok(()) | Err(Problem::Missing) => {}
                Err(problem) => self.skip(problem, &path),
            }
        }
        Ok(())
    }

    /// Like [`Self::read_file`], but skips what is not a regular file. Opening a named pipe would block.
    fn read_file_of_folder(&mut self, path: &Path) -> Result<(), Problem> {
        let metadata = fs::metadata(path)?;
        match metadata.is_file() {
            true => self.read_file_once(path, &metadata),
            false => Ok(()),
        }
    }

    /// Reads a file. Fails if the file cannot be read or is too large.
    fn read_file(&mut self, path: &Path) -> Result<(), Problem> {
        self.read_file_once(path, &fs::metadata(path)?)
    }

    /// Like [`Self::read_file`], but does nothing if the file has been read.
    fn read_file_once(&mut self, path: &Path, metadata: &Metadata) -> Result<(), Problem> {
        if !self.files.insert((metadata.dev(), metadata.ino())) {
            return Ok(());
        }
        if self.files.len() > FILE_LIMIT {
            return Err(Problem::TooManyFiles);
        }
        let start = self.text.len();
        let read = self.append(path, metadata);
        match read {
            Ok(()) => self.ends.push(self.text.len()),
            Err(_) => self.text.truncate(start),
        }
        read
    }

    fn append(&mut self, path: &Path, metadata: &Metadata) -> Result<(), Problem> {
        let file = File::open(path)?;
        let limit_plus_one = SIZE_LIMIT.saturating_sub(self.text.len()) + 1;
        let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX).min(limit_plus_one);
        if metadata.is_file() && size > 0 {
            // With the size known, reading takes one system call, and no memory is copied.
            self.text.try_reserve(size).map_err(|_| OutOfMemory)?;
            file.take(size as u64).read_to_end(&mut self.text)?;
        } else {
            // A pipe or a file of the kernel.
            file.take(limit_plus_one as u64).read_to_end(&mut self.text)?;
        }
        if self.text.len() > SIZE_LIMIT { Err(Problem::TooLarge) } else { Ok(()) }
    }
}

/// Returns from when until when a certificate is valid, as times since 1970; see RFC 5280, section 4.1.
///
/// Fails if the beginning of the certificate is malformed. rustls checks the rest.
pub fn validity(certificate: &[u8]) -> der::Result<[Duration; 2]> {
    let mut reader = SliceReader::new(certificate)?;
    // The certificate, and the part of it that is signed.
    for _ in 0..2 {
        Header::decode(&mut reader)?;
    }
    if Tag::peek(&reader)? != Tag::Integer {
        // The version. Version 1 leaves it out.
        reader.tlv_bytes()?;
    }
    // The serial number, the algorithm of the signature, and the issuer.
    for _ in 0..3 {
        reader.tlv_bytes()?;
    }
    Header::decode(&mut reader)?;
    Ok([time(&mut reader)?, time(&mut reader)?])
}

/// Reads a time. RFC 5280 has two formats: the first for years before 2050, the second for later ones.
fn time(reader: &mut SliceReader<'_>) -> der::Result<Duration> {
    Ok(match Tag::peek(reader)? {
        Tag::UtcTime => UtcTime::decode(reader)?.to_unix_duration(),
        _ => GeneralizedTime::decode(reader)?.to_unix_duration(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of a certificate that is valid from and until these times. A time has a tag: 23 for years
    /// before 2050, 24 for later ones.
    fn certificate(version: &[u8], times: [(u8, &str); 2]) -> Vec<u8> {
        let element = |tag: u8, content: &[u8]| {
            let length = u8::try_from(content.len()).unwrap();
            assert!(length < 128);
            [&[tag, length], content].concat()
        };
        let times = times.map(|(tag, text)| element(tag, text.as_bytes())).concat();
        let (number, sequence) = (element(2, &[1]), element(48, &[]));
        let fields = [version, &number, &sequence, &sequence, &element(48, &times)].concat();
        element(48, &element(48, &fields))
    }

    #[test]
    fn a_certificate_of_every_version_says_when_it_is_valid() {
        let times = [(23, "700101000001Z"), (24, "20500101000000Z")];
        let expected = [1, 2_524_608_000].map(Duration::from_secs);
        for version in [&[][..], &[0xa0, 3, 2, 1, 1], &[0xa0, 3, 2, 1, 2]] {
            let certificate = certificate(version, times);
            assert_eq!(validity(&certificate), Ok(expected), "{version:?}");
            for length in 0..certificate.len() {
                assert!(validity(&certificate[..length]).is_err(), "{version:?} {length}");
            }
        }
    }

    #[test]
    fn a_certificate_with_a_malformed_time_is_never_valid() {
        let good = (24, "20500101000000Z");
        for bad in [(23, "20500101000000Z"), (24, "20501301000000Z"), (24, ""), (4, "now")] {
            assert!(validity(&certificate(&[], [bad, good])).is_err(), "{bad:?}");
            assert!(validity(&certificate(&[], [good, bad])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_built_in_list_holds_only_what_is_valid_at_the_time() {
        let count = |now| built_in_certificates(Duration::from_secs(now)).count();
        let [in_2026, in_2100] = [1_790_000_000, 4_102_444_800];
        assert!(count(in_2026) > 50, "{}", count(in_2026));
        assert_eq!(count(in_2100), 0);
    }
}
