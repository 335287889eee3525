/*!
The time limit of a run: one instant, fixed at the start and passed to everything that waits.
*/

use std::time::{Duration, Instant};

/// How long after the deadline the reply may still be written and the input drained, since a check may
/// use all the time before it. The contract allows 50 ms; the other half is left for slow machines.
const GRACE: Duration = Duration::from_millis(25);

/// The instant by which a run needs its answer.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    budget: Duration,
}

impl Deadline {
    /// Returns the deadline of a run that began at `start` and may take `budget`.
    pub fn new(start: Instant, budget: Duration) -> Self {
        Self { at: start + budget, budget }
    }

    /// Returns the deadline of a part of the run that may take `most` from now on.
    pub fn at_most(self, most: Duration) -> Self {
        Self { at: self.at.min(Instant::now() + most), ..self }
    }

    /// Returns the deadline of a last part of the run that needs `least` from now on. It may be up to [`GRACE`]
    /// later than the deadline of the run.
    pub fn at_least(self, least: Duration) -> Self {
        let latest = self.at + GRACE;
        Self { at: self.at.max(Instant::now() + least).min(latest), ..self }
    }

    /// Returns the instant itself.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Returns the time that the whole run may take. Messages name it.
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// Returns the time since the run began.
    pub fn elapsed(&self) -> Duration {
        (self.at - self.budget).elapsed()
    }

    /// Returns the time that is left. It is zero after the deadline.
    pub fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Returns the instant at which the run stops reading and writing the connection.
    pub fn exit_at(&self) -> Instant {
        self.at + GRACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_its_start_plus_its_budget() {
        let start = Instant::now();
        let deadline = Deadline::new(start, Duration::from_secs(60));
        assert_eq!(deadline.at(), start + Duration::from_secs(60));
        assert_eq!(deadline.budget(), Duration::from_secs(60));
        assert!(deadline.remaining() <= Duration::from_secs(60), "{deadline:?}");
        assert!(deadline.remaining() > Duration::from_secs(30), "{deadline:?}");
        assert_eq!(Deadline::new(start, Duration::ZERO).remaining(), Duration::ZERO);
    }

    #[test]
    fn the_run_leaves_after_the_deadline_but_within_50_ms() {
        let deadline = Deadline::new(Instant::now(), Duration::ZERO);
        let grace = deadline.exit_at() - deadline.at();
        assert!(grace > Duration::ZERO && grace < Duration::from_millis(50), "{grace:?}");
    }
}
