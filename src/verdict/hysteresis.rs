/*!
`--recover` and `--state`: a server that has reached a limit comes back only when it has room.

Without this, a server near its limit would go down and up with every few clients.
*/

use std::os::fd::BorrowedFd;
use std::path::Path;

use crate::net::secrets::option_without_secrets;
use crate::process::deadline::Deadline;
use crate::process::state_file::{Change, StateFile, StateFileError};
use crate::verdict::Verdict;
use crate::verdict::reading::Reading;

/// Holds a server at its limit until every value is below a percentage of its limit.
#[derive(Debug)]
pub struct Hysteresis {
    recover_percent: f64,
    /// It exists while the server is held.
    file: Result<StateFile, StateFileError>,
}

impl Hysteresis {
    /// Prepares to use the state file at `path`. A file that cannot be used becomes a warning of every verdict.
    pub fn new(recover_percent: f64, path: &Path, deadline: Deadline) -> Self {
        Self { recover_percent, file: StateFile::open(path, deadline) }
    }

    /// The folder of the state file.
    pub fn folder(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().ok().map(StateFile::folder)
    }

    /// Begins to hold a server that has reached a limit, and ends it for one that has room. Any other server is
    /// held as before. A verdict that says neither leaves the state as it is.
    ///
    /// If the state is unknown or cannot be changed, the verdict stays as it is, with a warning.
    pub fn apply(&self, verdict: &mut Verdict, deadline: Deadline) {
        if !verdict.is_measured() && !verdict.readings.iter().any(Reading::is_exceeded) {
            return;
        }
        let has_room = |reading: &Reading| reading.has_room(self.recover_percent);
        let change = match () {
            () if verdict.readings.iter().any(Reading::is_exceeded) => Change::Create,
            () if verdict.is_up() && verdict.readings.iter().all(has_room) => Change::Remove,
            () => Change::Keep,
        };
        let file = self.file.as_ref().map_err(StateFileError::clone);
        match file.and_then(|file| file.change(change, deadline)) {
            Ok(is_held) if verdict.is_up() => {
                verdict.held_percent = is_held.then_some(self.recover_percent);
            }
            Ok(_) => {}
            // A path may look like a URL with a password.
            Err(error) => verdict.warnings.push(option_without_secrets(&error.to_string()).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;
    use std::time::{Duration, Instant};

    use crate::verdict::fault::Fault;
    use crate::verdict::limit::Limit;

    fn verdict(values: Vec<(Result<f64, Fault>, Limit)>) -> Verdict {
        let readings = values.into_iter().map(|(value, limit)| Reading {
            name: "a".to_owned(),
            unit: "",
            value,
            limit,
            source: "test",
            took: Duration::ZERO,
        });
        Verdict::of(readings.collect())
    }

    /// Applies 80 percent to values whose limit is 100, and returns the verdict.
    fn applied(path: &Path, values: Vec<Result<f64, Fault>>) -> Verdict {
        let deadline = Deadline::new(Instant::now(), Duration::from_secs(10));
        let values = values.into_iter().map(|value| (value, Limit::Below(100.0)));
        let mut verdict = verdict(values.collect());
        Hysteresis::new(80.0, path, deadline).apply(&mut verdict, deadline);
        verdict
    }

    #[test]
    fn a_server_is_held_from_its_limit_until_it_has_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        for (value, is_up, exists) in [
            (99.9, true, false),
            (100.0, false, true),
            (99.9, false, true),
            (80.0, false, true),
            (79.9, true, false),
            (80.0, true, false),
            (250.0, false, true),
            (0.0, true, false),
        ] {
            let verdict = applied(&path, vec![Ok(value), Ok(0.0)]);
            assert_eq!((verdict.is_up(), verdict.is_bad(), path.exists()), (is_up, !is_up, exists));
        }
    }

    #[test]
    fn a_value_that_is_unavailable_neither_holds_nor_releases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let missing = || Err("missing".into());
        for exists in [false, true] {
            let verdict = applied(&path, vec![missing(), Ok(1.0)]);
            assert_eq!((verdict.is_bad(), path.exists()), (false, exists));
            fs::write(&path, "").unwrap();
        }
        fs::remove_file(&path).unwrap();
        applied(&path, vec![missing(), Ok(100.0)]);
        assert!(path.exists());
    }

    #[test]
    fn a_state_that_cannot_be_used_changes_nothing_and_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        for value in [1.0, 90.0, 100.0] {
            let verdict = applied(folder.path(), vec![Ok(value)]);
            assert_eq!((verdict.is_up(), verdict.warnings.len()), (value < 100.0, 1), "{value}");
        }
    }
}
