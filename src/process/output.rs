/*!
Descriptors 1 and 2: writing the reply, and messages for the operator, without blocking.
*/

use std::env;
use std::io::{self, IoSlice, IsTerminal};
use std::os::fd::BorrowedFd;
use std::thread;
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::fs::fstat;
use rustix::io::{Errno, ReadWriteFlags, pwritev2, write};
use rustix::net::{SendFlags, send};
use rustix::stdio::{stderr, stdin, stdout};

use crate::process::input::Input;
use crate::process::poll::{self, RETRY_PAUSE};

/// The most bytes that a pipe takes without blocking once poll(2) reports it writable; pipe(7).
const PIPE_BUF: usize = 4096;

/// Writes `text` to descriptor 1, until the instant `until`. Text that cannot be written is lost: there
/// is nowhere to report it.
pub fn write_reply(text: &str, until: Instant) {
    write_all(stdout(), text.as_bytes(), until);
}

/// Returns whether descriptor 2 is a terminal whose user has not switched colours off;
/// <https://no-color.org>.
pub fn error_shows_colours() -> bool {
    error_is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn error_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Writes `text` to descriptor 2, until the instant `until`. Writes nothing if descriptor 2 is the
/// connection, where the text would become part of the reply.
pub fn write_error(text: &str, until: Instant) {
    if error_is_terminal() || !is_connection(stderr()) {
        write_all(stderr(), text.as_bytes(), until);
    }
}

/// Returns whether `fd` is the same file as descriptor 1, or the same socket as descriptor 0. If that is
/// unknown, assumes that it is.
fn is_connection(fd: BorrowedFd<'_>) -> bool {
    let is_same_file = |other| match (fstat(fd), fstat(other)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => true,
    };
    is_same_file(stdout()) || (Input::of_process() == Input::Socket && is_same_file(stdin()))
}

/// Writes `bytes` until all are written, until the instant `until`, or until an error that will not
/// pass.
fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8], until: Instant) {
    while !bytes.is_empty() {
        // A longer write could block although poll(2) reports room.
        let piece = bytes.get(..PIPE_BUF).unwrap_or(bytes);
        let written = match poll::ready([Some((fd, PollFlags::OUT))], until) {
            Ok([true]) => write(fd, piece),
            Ok([false]) => return,
            Err(_) => write_now(fd, piece),
        };
        match written {
            Ok(count @ 1..) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN | Errno::NOMEM | Errno::NOBUFS) if Instant::now() < until => {
                thread::sleep(RETRY_PAUSE);
            }
            Ok(0) | Err(_) => return,
        }
    }
}

/// Writes as much as possible without waiting, for a descriptor that poll(2) failed to check. Returns
/// the number of bytes.
fn write_now(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    match send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Err(Errno::NOTSOCK) => {}
        result => return result,
    }
    match pwritev2(fd, &[IoSlice::new(bytes)], u64::MAX, ReadWriteFlags::NOWAIT) {
        // Either a file, where a write does not wait for long, or an old kernel.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write(fd, bytes),
        result => result,
    }
}
