/*!
How long a check may wait: until the run's deadline, or until a request line comes that makes the
current request obsolete.

A run has one thread. Everything that waits for a server waits through a [`Wait`], which watches the clock
and the request line at the same time. So no server can make a run longer than its deadline, and a request
line is read at once.
*/

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::event::PollFlags;

use crate::process::deadline::Deadline;
use crate::process::request_line::{Event, Line, RequestLine};

/// How long a run may wait. A clone shares the request line with the original: the HTTP client and the TCP connection need one each.
#[derive(Clone)]
pub struct Wait {
    deadline: Deadline,
    listener: Arc<Mutex<RequestLineListener>>,
}

/// Reads the request line while the run waits for something else.
struct RequestLineListener {
    request_line: RequestLine,
    /// A line that has come and has not been fetched yet.
    line: Option<Line>,
    /// Whether a line makes the current request obsolete.
    makes_obsolete: Box<dyn Fn(&Line) -> bool + Send>,
}

/// A request line has come, and the current request is no longer needed.
#[derive(Debug)]
struct Obsolete;

impl Error for Obsolete {}

impl fmt::Display for Obsolete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another request came")
    }
}

/// Returns whether [`Wait::until_ready`] failed because the current request became obsolete. Then do not try
/// anything else.
pub fn is_obsolete(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Obsolete>())
}

impl Wait {
    /// A wait until `deadline`, or until a request line comes.
    pub fn new(deadline: Deadline, request_line: RequestLine) -> Self {
        let listener =
            RequestLineListener { request_line, line: None, makes_obsolete: Box::new(|_| false) };
        Self { deadline, listener: Arc::new(Mutex::new(listener)) }
    }

    /// Returns the run's deadline.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// From now on, a request line for which `makes_obsolete` returns true ends the wait. Before the first
    /// call, no line does.
    pub fn stop_when(&self, makes_obsolete: impl Fn(&Line) -> bool + Send + 'static) {
        self.listener().makes_obsolete = Box::new(makes_obsolete);
    }

    /// Returns the request line if it has come. A second call returns `None`. If the line is incomplete, this
    /// waits for its end, until the deadline.
    pub fn line(&self) -> Option<Line> {
        let mut listener = self.listener();
        if let Some(line) = listener.line.take() {
            return Some(line);
        }
        match listener.request_line.wait(None, Instant::now(), self.deadline.at()) {
            Event::Line(line) => Some(line),
            Event::Other | Event::TimeUp => None,
        }
    }

    /// Waits until `fd` is ready for `flags`, but not longer than `until` and the deadline.
    ///
    /// Fails with [`io::ErrorKind::TimedOut`] at that time, even if `fd` is ready: a server that never stops
    /// sending must not keep the run from ending. Fails with an error that [`is_obsolete`] recognises if a
    /// request line makes the current request obsolete.
    pub fn until_ready(
        &self,
        fd: BorrowedFd<'_>,
        flags: PollFlags,
        until: Instant,
    ) -> io::Result<()> {
        let until = until.min(self.deadline.at());
        let mut listener = self.listener();
        loop {
            if Instant::now() >= until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match listener.request_line.wait(Some((fd, flags)), until, self.deadline.at()) {
                Event::Other => return Ok(()),
                Event::TimeUp => {}
                Event::Line(line) => {
                    let is_obsolete = (listener.makes_obsolete)(&line);
                    listener.line = Some(line);
                    if is_obsolete {
                        return Err(io::Error::other(Obsolete));
                    }
                }
            }
        }
    }

    fn listener(&self) -> MutexGuard<'_, RequestLineListener> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use crate::process::input::Input;

    impl Wait {
        /// Returns a wait of at most `limit` from now, without a request line. For the tests of every
        /// module that waits.
        pub fn for_test(limit: Duration) -> Self {
            let no_line = RequestLine::new(Input::Terminal);
            Self::new(Deadline::new(Instant::now(), limit), no_line)
        }
    }

    #[test]
    fn a_ready_descriptor_ends_the_wait_but_not_after_the_time_is_up() {
        let (stream, _peer) = UnixStream::pair().unwrap();
        let later = Instant::now() + Duration::from_secs(60);
        let wait = |limit, until| {
            let wait = Wait::for_test(limit);
            let ready = wait.until_ready(stream.as_fd(), PollFlags::OUT, until);
            ready.map_err(|error| error.kind())
        };
        assert_eq!(wait(Duration::from_secs(60), later), Ok(()));
        assert_eq!(wait(Duration::ZERO, later), Err(io::ErrorKind::TimedOut));
        assert_eq!(wait(Duration::from_secs(60), Instant::now()), Err(io::ErrorKind::TimedOut));
    }

    #[test]
    fn a_silent_descriptor_is_left_at_the_deadline() {
        let (stream, _peer) = UnixStream::pair().unwrap();
        let (start, limit) = (Instant::now(), Duration::from_millis(20));
        let wait = Wait::for_test(limit);
        let later = start + Duration::from_secs(60);
        let error = wait.until_ready(stream.as_fd(), PollFlags::IN, later).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(!is_obsolete(&error));
        assert!((limit..Duration::from_secs(30)).contains(&start.elapsed()));
        assert_eq!(wait.line(), None);
    }

    #[test]
    fn only_the_waits_own_error_is_recognised_as_obsolete() {
        assert!(is_obsolete(&io::Error::other(Obsolete)));
        assert!(!is_obsolete(&io::Error::other("another request came")));
        assert_eq!(io::Error::other(Obsolete).to_string(), "another request came");
    }
}
