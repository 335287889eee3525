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
    /// The deadline passed while the thread was still busy with something before this work.
    Blocked,
    /// The work panicked.
    Failed,
}

impl Error for BackgroundError {}

impl fmt::Display for BackgroundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooSlow => "takes too long",
            Self::Blocked => "has to wait for another that takes too long",
            Self::Failed => "failed",
        })
    }
}

/// Results that arrive from a thread, in the order of its work.
pub struct Results<T> {
    receive: Receiver<T>,
    /// Why there will be no more results.
    end: Option<BackgroundError>,
}

impl<T> Results<T> {
    /// Returns the next result, if it arrives before the deadline.
    pub fn next(&mut self, deadline: Deadline) -> Result<T, BackgroundError> {
        if let Some(end) = self.end {
            return Err(end);
        }
        self.receive.recv_timeout(deadline.remaining()).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                self.end = Some(BackgroundError::Blocked);
                BackgroundError::TooSlow
            }
            RecvTimeoutError::Disconnected => BackgroundError::Failed,
        })
    }
}

/// Starts one thread, which runs `work` on each item in turn. One thread is enough, because the number of a
/// process's threads may be limited.
///
/// If no thread can be started, the work is done on the calling thread, without a time limit.
pub fn run_each<I, T>(items: Vec<I>, work: fn(&I) -> T) -> Results<T>
where
    I: Clone + Send + 'static,
    T: Send + 'static,
{
    let (send, receive) = mpsc::channel();
    let run = move || {
        for item in &items {
            // Nobody waits for the result if the run has ended meanwhile.
            let _ = send.send(work(item));
        }
    };
    if !start(run.clone()) {
        run();
    }
    Results { receive, end: None }
}

/// Runs `work` on a new thread, and returns its result if that comes before the deadline.
///
/// If no thread can be started, `work` runs on the calling thread, without a time limit.
pub fn run<T, W>(work: W, deadline: Deadline) -> Result<T, BackgroundError>
where
    T: Send + 'static,
    W: Fn() -> T + Clone + Send + 'static,
{
    run_each(vec![work], |work| work()).next(deadline)
}

/// Starts `work` on a thread. Returns whether one could be started.
fn start(work: impl FnOnce() + Send + 'static) -> bool {
    memory::check_heap(STACK + THREAD_MEMORY).is_ok()
        && thread::Builder::new().stack_size(STACK).spawn(work).is_ok()
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
    fn work_after_work_that_hangs_is_blocked() {
        let sleep = |seconds: &u64| {
            thread::sleep(Duration::from_secs(*seconds));
            *seconds
        };
        let mut results = run_each(vec![0, 60, 0], sleep);
        let deadline = Deadline::new(Instant::now(), Duration::from_millis(500));
        assert_eq!(results.next(deadline), Ok(0));
        assert_eq!(results.next(deadline), Err(BackgroundError::TooSlow));
        assert_eq!(results.next(deadline), Err(BackgroundError::Blocked));
    }

    #[test]
    fn work_that_panics_has_failed() {
        let deadline = Deadline::new(Instant::now(), Duration::from_secs(10));
        let result = run(|| -> u8 { panic!("part of the test") }, deadline);
        assert_eq!(result, Err(BackgroundError::Failed));
        let mut results = run_each(vec![1_u8, 0], |n| 1 / *n);
        assert_eq!(
            [results.next(deadline), results.next(deadline)],
            [Ok(1), Err(BackgroundError::Failed)]
        );
        assert_eq!(results.next(deadline), Err(BackgroundError::Failed));
    }

    #[test]
    fn an_error_is_the_end_of_a_sentence() {
        assert_eq!(BackgroundError::TooSlow.to_string(), "takes too long");
        assert_eq!(BackgroundError::Failed.to_string(), "failed");
    }
}
