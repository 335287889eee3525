/*!
The connection on descriptors 0, 1 and 2, as inetd-style supervisors hand it over: its kind, the
request line that comes over it, the bytes that go back.

No descriptor is made non-blocking, since that would also change it for whoever else holds it:
every read and write waits for its turn with poll(2), up to an instant.
*/

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, IsTerminal};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2, read, retry_on_intr, write};
use rustix::net::{RecvFlags, SendFlags, getpeername, recv, send};
use rustix::stdio::{stderr, stdin, stdout};

/// The longest request line, in bytes, without its line end.
const LINE_LIMIT: usize = 1024;

/// As much as a pipe takes at once when it takes anything; pipe(7).
const PIPE_BUF: usize = 4096;

/// How long after its last byte a line without a line end has ended: HAProxy sends its `agent-send`
/// string in one piece and as it is, and `\n` is often forgotten in it.
const SILENCE: Duration = Duration::from_millis(50);

/// How long it takes until it may be worth trying again what failed for want of memory.
const PAUSE: Duration = Duration::from_millis(1);

/// What descriptor 0 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    Terminal,
    Socket,
    Pipe,
    /// Anything else: a file, a device.
    File,
}

impl Input {
    /// The kind of this process's standard input.
    pub fn of_process() -> Self {
        if io::stdin().is_terminal() {
            return Self::Terminal;
        }
        match fstat(stdin()).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Socket) => Self::Socket,
            Ok(FileType::Fifo) => Self::Pipe,
            Ok(_) | Err(Errno::BADF) => Self::File,
            // What it is cannot be told: it may be a connection, and its peer anybody.
            Err(_) => Self::Socket,
        }
    }
}

/// Who is at the other end of descriptor 0, as far as it matters who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Who started the process: a terminal, a pipe, a file.
    Local,
    Tcp(SocketAddr),
    /// A socket that is no TCP connection, or one whose peer cannot be told any more.
    Unknown,
}

impl Peer {
    /// The peer of this process's standard input.
    pub fn of(input: Input) -> Self {
        if input != Input::Socket {
            return Self::Local;
        }
        let address = getpeername(stdin()).ok().flatten();
        address
            .and_then(|address| SocketAddr::try_from(address).ok())
            .map_or(Self::Unknown, Self::Tcp)
    }

    /// Whether the peer is on this machine for certain, and may have any URL asked.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Local => true,
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unknown => false,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Tcp(address) => address.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// A request line, or why what came is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Whole(Vec<u8>),
    TooLong,
    /// Bytes came until there was no more time, but no end.
    Unended,
    /// There may be a line, but the system does not hand it over.
    Unreadable(Errno),
}

/// What ended a wait.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A line has come.
    Line(Line),
    /// The other descriptor is ready.
    Other,
    /// Neither came in time.
    TimeUp,
}

/// Reads the request line from descriptor 0.
pub struct RequestLine {
    input: Input,
    bytes: Vec<u8>,
    last_byte: Option<Instant>,
    /// Why no more can be read of it.
    error: Option<Errno>,
    /// Whether no more is to be read as part of the line.
    is_over: bool,
}

impl RequestLine {
    pub fn new(input: Input) -> Self {
        let is_over = input == Input::Terminal;
        Self { input, bytes: Vec::new(), last_byte: None, error: None, is_over }
    }

    /// What the line comes over.
    pub fn input(&self) -> Input {
        self.input
    }

    /// Makes sure that nothing is read as a request from now on.
    pub fn ignore(&mut self) {
        self.is_over = true;
    }

    /// Waits for the line, or for `other` to become ready, until `idle_until`. A line that has begun
    /// by then is waited for until it ends, or until `last`; it goes before `other`.
    pub fn wait(
        &mut self,
        other: Option<(BorrowedFd<'_>, PollFlags)>,
        idle_until: Instant,
        last: Instant,
    ) -> Event {
        loop {
            if self.is_over && other.is_none() {
                return Event::TimeUp;
            }
            let has_begun = !self.is_over && self.last_byte.is_some();
            let other = other.filter(|_| !has_begun);
            let silent_at = self.last_byte.filter(|_| has_begun).map(|at| at + SILENCE);
            let until = silent_at.map_or(idle_until, |silent_at| silent_at.min(last));
            let input = (!self.is_over).then_some((stdin(), PollFlags::IN));
            let ready = wait([input, other], until);
            // Without poll(2) both are tried from time to time: nobody reads them in a way that waits.
            let [has_input, has_other] = ready.unwrap_or_else(|_| {
                thread::sleep(PAUSE.min(until.saturating_duration_since(Instant::now())));
                [input.is_some(), other.is_some()]
            });
            if has_input {
                let has_come = self.read();
                if let Some(line) = self.take_if_ended() {
                    return Event::Line(line);
                }
                if has_come {
                    continue;
                }
                // poll(2) says that something is there, and it cannot be had; not for ever.
                if ready.is_ok() {
                    if Instant::now() < last {
                        continue;
                    }
                    self.is_over = true;
                    return Event::Line(Line::Unended);
                }
            }
            if has_other {
                return Event::Other;
            }
            if Instant::now() >= until {
                return match silent_at {
                    None => Event::TimeUp,
                    // What has come over a pipe in its time is the line.
                    Some(at) if at <= until || self.input != Input::Socket => {
                        Event::Line(self.take())
                    }
                    Some(_) => {
                        self.is_over = true;
                        Event::Line(Line::Unended)
                    }
                };
            }
        }
    }

    /// Reads what is there; whether there was something, or the end.
    fn read(&mut self) -> bool {
        // Room for a line end, so that the longest line is seen whole.
        let mut buffer = [0; LINE_LIMIT + 2];
        let room = buffer.len() - self.bytes.len();
        match read_now(self.input, &mut buffer[..room]) {
            Err(Errno::AGAIN) => return false,
            // A connection that was reset has ended too.
            Ok(0) | Err(Errno::CONNRESET) => self.is_over = true,
            // Nothing that lines are read from: a folder, say.
            Err(Errno::BADF | Errno::ISDIR | Errno::INVAL) if self.input == Input::File => {
                self.is_over = true;
            }
            Err(error) => {
                self.error = Some(error);
                self.is_over = true;
            }
            Ok(count) => {
                self.bytes.extend(&buffer[..count]);
                self.last_byte = Some(Instant::now());
            }
        }
        true
    }

    fn take_if_ended(&mut self) -> Option<Line> {
        let is_full = self.bytes.len() == LINE_LIMIT + 2;
        let is_cut = self.is_over && !self.bytes.is_empty();
        let has_ended = self.bytes.contains(&b'\n') || is_cut || self.error.is_some();
        (has_ended || is_full).then(|| self.take())
    }

    fn take(&mut self) -> Line {
        self.is_over = true;
        if let Some(error) = self.error.take() {
            return Line::Unreadable(error);
        }
        let mut line = std::mem::take(&mut self.bytes);
        if let Some(end) = line.iter().position(|&byte| byte == b'\n') {
            line.truncate(end);
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        match line.len() {
            0..=LINE_LIMIT => Line::Whole(line),
            _ => Line::TooLong,
        }
    }
}

/// Reads whatever has arrived on descriptor 0 and was not read, until `until`: the kernel resets a
/// connection that is closed over unread input, and the reply may be lost with it.
pub fn drain(input: Input, until: Instant) {
    if !matches!(input, Input::Socket | Input::Pipe) {
        return;
    }
    let mut buffer = [0; 4096];
    // Where poll(2) fails it is tried all the same.
    while wait([Some((stdin(), PollFlags::IN))], Instant::now()) != Ok([false])
        && Instant::now() < until
    {
        if !matches!(read_now(input, &mut buffer), Ok(1..)) {
            break;
        }
    }
}

/// Reads from descriptor 0 what is there, without waiting: poll(2) has said that something is, but who
/// shares the descriptor may have taken it since.
fn read_now(input: Input, buffer: &mut [u8]) -> Result<usize, Errno> {
    retry_on_intr(|| match input {
        Input::Socket => recv(stdin(), &mut *buffer, RecvFlags::DONTWAIT).map(|(count, _)| count),
        Input::Pipe => {
            let mut buffers = [IoSliceMut::new(buffer)];
            match preadv2(stdin(), &mut buffers, u64::MAX, ReadWriteFlags::NOWAIT) {
                // An old kernel.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => read(stdin(), &mut *buffer),
                result => result,
            }
        }
        Input::File | Input::Terminal => read(stdin(), &mut *buffer),
    })
}

/// Writes what can be written without waiting, where poll(2) has not said that it can.
fn write_now(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    match send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Err(Errno::NOTSOCK) => {}
        result => return result,
    }
    match pwritev2(fd, &[IoSlice::new(bytes)], u64::MAX, ReadWriteFlags::NOWAIT) {
        // A file, where nothing waits for long, or an old kernel.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write(fd, bytes),
        result => result,
    }
}

/// Writes to descriptor 1 until `until`. What cannot be written is lost: there is nobody to tell.
pub fn write_reply(text: &str, until: Instant) {
    write_all(stdout(), text.as_bytes(), until);
}

/// Whether descriptor 2 is a terminal.
pub fn error_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Writes to descriptor 2, unless that is the connection: there it would be part of the reply.
pub fn write_error(text: &str, until: Instant) {
    if error_is_terminal() || !is_connection(stderr()) {
        write_all(stderr(), text.as_bytes(), until);
    }
}

fn is_connection(fd: BorrowedFd<'_>) -> bool {
    let same_file = |other| match (fstat(fd), fstat(other)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => true,
    };
    same_file(stdout()) || (Input::of_process() == Input::Socket && same_file(stdin()))
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8], until: Instant) {
    while !bytes.is_empty() {
        // More could block, though poll(2) has said that there is room.
        let piece = bytes.get(..PIPE_BUF).unwrap_or(bytes);
        let written = match wait([Some((fd, PollFlags::OUT))], until) {
            Ok([true]) => write(fd, piece),
            Ok([false]) => return,
            Err(_) => write_now(fd, piece),
        };
        match written {
            Ok(count @ 1..) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN | Errno::NOMEM | Errno::NOBUFS) if Instant::now() < until => {
                thread::sleep(PAUSE);
            }
            Ok(0) | Err(_) => return,
        }
    }
}

/// Waits with poll(2) until one of `fds` is ready for what is wanted of it, broken or at its end, and
/// says which are; none when `until` comes first. Fails, at once, where the kernel has no memory for it
/// or a process that may have fewer descriptors.
fn wait<const N: usize>(
    fds: [Option<(BorrowedFd<'_>, PollFlags)>; N],
    until: Instant,
) -> Result<[bool; N], Errno> {
    let present = fds.iter().flatten();
    let mut polled: Vec<_> =
        present.map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match poll(&mut polled, Timespec::try_from(left).ok().as_ref()) {
            Err(Errno::INTR) if !left.is_zero() => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    let mut polled = polled.iter();
    Ok(fds.map(|fd| fd.is_some() && polled.next().is_some_and(|fd| !fd.revents().is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_peers_are_local() {
        for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(Peer::Tcp(address.parse().unwrap()).is_local(), "{address}");
        }
        for address in ["10.0.0.1:1", "0.0.0.0:1", "[::ffff:10.0.0.1]:1", "[fe80::1]:1", "[::]:1"] {
            assert!(!Peer::Tcp(address.parse().unwrap()).is_local(), "{address}");
        }
        assert!(Peer::Local.is_local() && !Peer::Unknown.is_local());
    }

    #[test]
    fn a_line_ends_with_its_line_end_the_input_or_1026_bytes() {
        let ended = |bytes: &[u8], is_over| {
            let mut line =
                RequestLine { bytes: bytes.to_vec(), is_over, ..RequestLine::new(Input::Socket) };
            let ended = line.take_if_ended();
            // What has ended is not read on.
            assert!(ended.is_none() || line.is_over);
            ended
        };
        let whole = |bytes: &[u8]| Some(Line::Whole(bytes.to_vec()));
        assert_eq!(ended(b"", false), None);
        assert_eq!(ended(b"", true), None);
        assert_eq!(ended(b"cpu", false), None);
        assert_eq!(ended(b"cpu", true), whole(b"cpu"));
        assert_eq!(ended(b"cpu\r", true), whole(b"cpu"));
        assert_eq!(ended(b"\n", false), whole(b""));
        assert_eq!(ended(b"cpu\r\nmore\n", false), whole(b"cpu"));
        assert_eq!(ended(b"cpu\n\r", false), whole(b"cpu"));
        let longest = [b'x'; LINE_LIMIT];
        assert_eq!(ended(&longest, false), None);
        assert_eq!(ended(&[&longest[..], b"\r\n"].concat(), false), whole(&longest));
        assert_eq!(ended(&[b'x'; LINE_LIMIT + 1], false), None);
        assert_eq!(ended(&[b'x'; LINE_LIMIT + 1], true), Some(Line::TooLong));
        assert_eq!(ended(&[b'x'; LINE_LIMIT + 2], false), Some(Line::TooLong));
    }

    #[test]
    fn a_peer_is_shown_as_its_address_or_what_it_is() {
        let peer = Peer::Tcp("[::1]:80".parse().unwrap());
        assert_eq!(
            [peer, Peer::Local, Peer::Unknown].map(|peer| peer.to_string()),
            ["[::1]:80", "local", "unknown"]
        );
    }
}
