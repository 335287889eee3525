/*!
Work in which the kernel may hang, such as reading a file of a network's file system. No deadline reaches
there, so it is done on a thread of its own, which the end of the process ends.
*/

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use crate::process::deadline::Deadline;
use crate::process::memory;

/// The stack of the thread, in bytes, many times what reading a file needs.
const STACK: usize = 128 * 1024;

/// More memory than a thread takes at its start beside its stack, in bytes: a heap of its own, 132 KiB,
/// and a stack for signals. Where it gets none the standard library ends the process.
const THREAD_MEMORY: usize = 384 * 1024;

/// What `work` returns, if it does so before the deadline; else what became of it, in words that follow
/// its name. Where there can be no thread, it is done on this one.
pub fn run<T, W>(work: W, deadline: Deadline) -> Result<T, &'static str>
where
    T: Send + 'static,
    W: Fn() -> T + Clone + Send + 'static,
{
    match on_thread(work.clone()) {
        None => Ok(work()),
        Some(result) => result.recv_timeout(deadline.remaining()).map_err(|error| match error {
            RecvTimeoutError::Timeout => "takes too long",
            RecvTimeoutError::Disconnected => "failed",
        }),
    }
}

/// Where the result will come; `None` if there can be no thread.
fn on_thread<T: Send + 'static>(work: impl Fn() -> T + Send + 'static) -> Option<Receiver<T>> {
    if memory::check_heap(STACK + THREAD_MEMORY).is_err() {
        return None;
    }
    let (send, receive) = mpsc::channel();
    let thread = thread::Builder::new().stack_size(STACK).spawn(move || send.send(work()));
    thread.ok().map(|_| receive)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::{Duration, Instant};

    #[test]
    fn what_takes_too_long_is_left() {
        let deadline = Deadline::new(Instant::now(), Duration::from_millis(500));
        assert_eq!(run(|| 7, deadline), Ok(7));
        let hang = || thread::sleep(Duration::from_secs(60));
        let deadline = Deadline::new(Instant::now(), Duration::from_millis(20));
        assert_eq!(run(hang, deadline), Err("takes too long"));
    }

    #[test]
    fn what_panics_has_failed() {
        let deadline = Deadline::new(Instant::now(), Duration::from_secs(10));
        assert_eq!(run(|| -> u8 { panic!("as it should") }, deadline), Err("failed"));
    }
}
