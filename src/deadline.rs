/*!
The one time limit of a run: an absolute instant, made first thing and handed to whatever waits.
*/

use std::time::{Duration, Instant};

/// How long past the deadline the run may still take, to give up on a check that did not give up by
/// itself and to write the reply. The contract allows 50 ms; the rest is left for a slow machine.
const GRACE: Duration = Duration::from_millis(15);

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

    /// When to stop waiting for a check: checks keep the deadline themselves and say more about what
    /// went wrong than the run could, so they get a moment to return.
    pub fn give_up_at(&self) -> Instant {
        self.at + GRACE
    }

    /// When to stop reading and writing the connection, so that a reply that was made at the last
    /// moment still gets out.
    pub fn leave_at(&self) -> Instant {
        self.at + 2 * GRACE
    }
}
