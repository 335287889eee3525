//! How long something took.

use std::time::{Duration, Instant};

/// A result, and how long it took to get it.
#[derive(Clone, Debug)]
pub struct Timed<T> {
    pub result: T,
    pub took: Duration,
}

impl<T> Timed<T> {
    /// Does `work` and takes the time.
    pub fn of(work: impl FnOnce() -> T) -> Self {
        let start = Instant::now();
        let result = work();
        Self { result, took: start.elapsed() }
    }
}
