/*!
Descriptor 0: what kind of file it is, and reading from it without blocking.
*/

use std::io::{self, IoSliceMut, IsTerminal};
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, ReadWriteFlags, preadv2, read, retry_on_intr};
use rustix::net::{RecvFlags, recv};
use rustix::stdio::stdin;

use crate::process::poll;

/// How many bytes are discarded at once.
const DRAIN_BUFFER_SIZE: usize = 4096;

/// What kind of file descriptor 0 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A terminal: a person has started the program.
    Terminal,
    /// A socket: the connection that a supervisor has accepted.
    Socket,
    /// A pipe.
    Pipe,
    /// Anything else: a regular file, a device, or no open file at all.
    File,
}

impl Input {
    /// Returns the kind of this process's descriptor 0.
    pub fn of_process() -> Self {
        if io::stdin().is_terminal() {
            return Self::Terminal;
        }
        match fstat(stdin()).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Socket) => Self::Socket,
            Ok(FileType::Fifo) => Self::Pipe,
            Ok(_) | Err(Errno::BADF) => Self::File,
            // Unknown. A connection must be read without blocking, and anything may be read like one.
            Err(_) => Self::Socket,
        }
    }

    /// Reads the bytes that have arrived, at most as many as `buffer` holds, and returns their number.
    /// Returns 0 at the end of the input.
    ///
    /// Call it after [`poll::ready`]. It does not wait on a socket or a pipe even if another process has
    /// read the bytes in the meantime; it then fails with `EAGAIN`.
    pub fn read_now(self, buffer: &mut [u8]) -> Result<usize, Errno> {
        retry_on_intr(|| match self {
            Self::Socket => {
                recv(stdin(), &mut *buffer, RecvFlags::DONTWAIT).map(|(count, _)| count)
            }
            Self::Pipe => {
                let mut buffers = [IoSliceMut::new(buffer)];
                match preadv2(stdin(), &mut buffers, u64::MAX, ReadWriteFlags::NOWAIT) {
                    // The kernel is too old for this flag.
                    Err(Errno::OPNOTSUPP | Errno::NOSYS) => read(stdin(), &mut *buffer),
                    result => result,
                }
            }
            Self::File | Self::Terminal => read(stdin(), &mut *buffer),
        })
    }

    /// Reads and discards the bytes that have arrived on a socket or a pipe, until none are left or
    /// until the instant `until`.
    ///
    /// The kernel resets a connection that is closed while it has unread input, and the peer may then
    /// lose the reply.
    pub fn drain(self, until: Instant) {
        if !matches!(self, Self::Socket | Self::Pipe) {
            return;
        }
        let mut buffer = [0; DRAIN_BUFFER_SIZE];
        // If poll(2) fails, reading is attempted all the same.
        while poll::ready([Some((stdin(), PollFlags::IN))], Instant::now()) != Ok([false])
            && Instant::now() < until
        {
            if !matches!(self.read_now(&mut buffer), Ok(1..)) {
                break;
            }
        }
    }
}
