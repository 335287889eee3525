/*!
How long a check may wait: until the run's deadline, or until a request line comes that makes its
answer useless.

A check runs on the only thread there is. Whatever it waits for it waits for here, so that no service
can keep the run past its deadline, and no request line goes unheard meanwhile.
*/

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::event::PollFlags;

use crate::process::deadline::Deadline;
use crate::process::request_line::{Event, Line, RequestLine};

/// Shared by everything in a run that waits; a clone is the same wait.
#[derive(Clone)]
pub struct Wait {
    deadline: Deadline,
    listener: Arc<Mutex<RequestLineListener>>,
}

/// What listens for the request line while something else is waited for.
struct RequestLineListener {
    input: RequestLine,
    line: Option<Line>,
    /// Whether what is being asked is asked in vain once this line has come.
    changes_request: Box<dyn Fn(&Line) -> bool + Send>,
}

impl Wait {
    /// Wait for a run in which the request line may still come over `input`.
    pub fn new(deadline: Deadline, input: RequestLine) -> Self {
        let listener =
            RequestLineListener { input, line: None, changes_request: Box::new(|_| false) };
        Self { deadline, listener: Arc::new(Mutex::new(listener)) }
    }

    /// The run's deadline.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// From now on waiting ends with a line that `changes_request` what is being asked.
    pub fn stop_when(&self, changes_request: impl Fn(&Line) -> bool + Send + 'static) {
        self.listener().changes_request = Box::new(changes_request);
    }

    /// The line that has come, if one has come by now; waits for its end only.
    pub fn line(&self) -> Option<Line> {
        let mut listener = self.listener();
        if let Some(line) = listener.line.take() {
            return Some(line);
        }
        match listener.input.wait(None, Instant::now(), self.deadline.at()) {
            Event::Line(line) => Some(line),
            Event::Other | Event::TimeUp => None,
        }
    }

    /// Waits until `fd` is ready for `flags`, at the latest until `until`.
    ///
    /// Fails with [`io::ErrorKind::TimedOut`] then and at the deadline, also if `fd` is ready: who
    /// sends for ever is not read for ever. Fails with another kind if a line changes_request the wait.
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
            match listener.input.wait(Some((fd, flags)), until, self.deadline.at()) {
                Event::Other => return Ok(()),
                Event::TimeUp => {}
                Event::Line(line) => {
                    let is_over = (listener.changes_request)(&line);
                    listener.line = Some(line);
                    if is_over {
                        return Err(io::Error::other("another request came"));
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
