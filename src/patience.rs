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

use crate::connection::{Event, Line, RequestLine};
use crate::deadline::Deadline;

/// Shared by everything in a run that waits; a clone is the same patience.
#[derive(Clone)]
pub struct Patience {
    deadline: Deadline,
    ear: Arc<Mutex<Ear>>,
}

/// What listens for the request line while something else is waited for.
struct Ear {
    input: RequestLine,
    heard: Option<Line>,
    /// Whether what is being asked is asked in vain once this line has come.
    overrules: Box<dyn Fn(&Line) -> bool + Send>,
}

impl Patience {
    /// Patience for a run in which the request line may still come over `input`.
    pub fn new(deadline: Deadline, input: RequestLine) -> Self {
        let ear = Ear { input, heard: None, overrules: Box::new(|_| false) };
        Self { deadline, ear: Arc::new(Mutex::new(ear)) }
    }

    /// The run's deadline.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// From now on waiting ends with a line that `overrules` what is being asked.
    pub fn end_if(&self, overrules: impl Fn(&Line) -> bool + Send + 'static) {
        self.ear().overrules = Box::new(overrules);
    }

    /// The line that has come, if one has come by now; waits for its end only.
    pub fn line(&self) -> Option<Line> {
        let mut ear = self.ear();
        if let Some(line) = ear.heard.take() {
            return Some(line);
        }
        match ear.input.wait(None, Instant::now(), self.deadline.at()) {
            Event::Line(line) => Some(line),
            Event::Other | Event::TimeUp => None,
        }
    }

    /// Waits until `fd` is ready for `flags`, at the latest until `until`.
    ///
    /// Fails with [`io::ErrorKind::TimedOut`] then and at the deadline, also if `fd` is ready: who
    /// sends for ever is not read for ever. Fails with another kind if a line overrules the wait.
    pub fn wait(&self, fd: BorrowedFd<'_>, flags: PollFlags, until: Instant) -> io::Result<()> {
        let until = until.min(self.deadline.at());
        let mut ear = self.ear();
        loop {
            if Instant::now() >= until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match ear.input.wait(Some((fd, flags)), until, self.deadline.at()) {
                Event::Other => return Ok(()),
                Event::TimeUp => {}
                Event::Line(line) => {
                    let is_over = (ear.overrules)(&line);
                    ear.heard = Some(line);
                    if is_over {
                        return Err(io::Error::other("another request came"));
                    }
                }
            }
        }
    }

    fn ear(&self) -> MutexGuard<'_, Ear> {
        self.ear.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
