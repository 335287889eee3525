/*!
The one time limit of a run: an absolute instant, made first thing and handed to whatever waits.
*/

use std::time::{Duration, Instant};

/// How long past the deadline the reply may still be written and the input drained, since a check may
/// use up all its time. The contract allows 50 ms; the rest is left for a slow machine.
const GRACE: Duration = Duration::from_millis(25);

/// The instant by which a run has to have its answer.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    budget: Duration,
}

impl Deadline {
    /// The deadline of a run that began at `start` and may take `budget`.
    pub fn new(start: Instant, budget: Duration) -> Self {
        Self { at: start + budget, budget }
    }

    /// The instant itself.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// What the run was given in all, for error messages.
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// What is left; zero when the deadline has passed.
    pub fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// When to stop reading and writing the connection.
    pub fn leave_at(&self) -> Instant {
        self.at + GRACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_its_budget_behind_the_start() {
        let start = Instant::now();
        let deadline = Deadline::new(start, Duration::from_secs(60));
        assert_eq!(deadline.at(), start + Duration::from_secs(60));
        assert_eq!(deadline.budget(), Duration::from_secs(60));
        assert!(deadline.remaining() <= Duration::from_secs(60), "{deadline:?}");
        assert!(deadline.remaining() > Duration::from_secs(30), "{deadline:?}");
        assert_eq!(Deadline::new(start, Duration::ZERO).remaining(), Duration::ZERO);
    }

    #[test]
    fn the_reply_may_leave_a_little_past_the_deadline_and_within_50_ms() {
        let deadline = Deadline::new(Instant::now(), Duration::ZERO);
        let grace = deadline.leave_at() - deadline.at();
        assert!(grace > Duration::ZERO && grace < Duration::from_millis(50), "{grace:?}");
    }
}
