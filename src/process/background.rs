/*!
Work that may hang in the kernel, such as reading a file on a network file system.

No deadline can interrupt such a system call. So the work runs on a thread of its own. If it is late,
the run goes on without it, and the end of the process ends the thread.
*/

use std::error::Error;
use std::fmt;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use crate::process::deadline::Deadline;
use crate::process::memory;

/// The stack of the thread, in bytes; many times what reading a file needs.
const STACK: usize = 128 * 1024;

/// What a new thread takes besides its stack, in bytes, rounded up: a heap of its own (132 KiB) and a
/// stack for signal handlers. Without this memory the standard library would end the process.
const THREAD_MEMORY: usize = 384 * 1024;

/// Why work in the background has no result. Displayed as the end of a sentence that begins with what
/// the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackgroundError {
    /// The deadline passed first.
    TooSlow,
    /// The work panicked.
    Failed,
}

impl Error for BackgroundError {}

impl fmt::Display for BackgroundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooSlow => "takes too long",
            Self::Failed => "failed",
        })
    }
}

/// Runs `work` on a new thread, and returns its result if that comes before the deadline.
///
/// If no thread can be started, `work` runs on the calling thread, without a time limit.
pub fn run<T, W>(work: W, deadline: Deadline) -> Result<T, BackgroundError>
where
    T: Send + 'static,
    W: Fn() -> T + Clone + Send + 'static,
{
    match start(work.clone()) {
        None => Ok(work()),
        Some(result) => result.recv_timeout(deadline.remaining()).map_err(|error| match error {
            RecvTimeoutError::Timeout => BackgroundError::TooSlow,
            RecvTimeoutError::Disconnected => BackgroundError::Failed,
        }),
    }
}

/// Starts `work` on a thread, and returns where its result will arrive. Returns `None` if no thread can
/// be started.
fn start<T: Send + 'static>(work: impl Fn() -> T + Send + 'static) -> Option<Receiver<T>> {
    memory::check_heap(STACK + THREAD_MEMORY).ok()?;
    let (send, receive) = mpsc::channel();
    let thread = thread::Builder::new().stack_size(STACK).spawn(move || send.send(work()));
    thread.ok().map(|_| receive)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::{Duration, Instant};

    #[test]
    fn work_that_misses_the_deadline_is_too_slow() {
        let deadline = Deadline::new(Instant::now(), Duration::from_millis(500));
        assert_eq!(run(|| 7, deadline), Ok(7));
        let hang = || thread::sleep(Duration::from_secs(60));
        let deadline = Deadline::new(Instant::now(), Duration::from_millis(20));
        assert_eq!(run(hang, deadline), Err(BackgroundError::TooSlow));
    }

    #[test]
    fn work_that_panics_has_failed() {
        let deadline = Deadline::new(Instant::now(), Duration::from_secs(10));
        let result = run(|| -> u8 { panic!("part of the test") }, deadline);
        assert_eq!(result, Err(BackgroundError::Failed));
    }

    #[test]
    fn an_error_is_the_end_of_a_sentence() {
        assert_eq!(BackgroundError::TooSlow.to_string(), "takes too long");
        assert_eq!(BackgroundError::Failed.to_string(), "failed");
    }
}
