/*!
Asks file systems in the background, because a file system may hang.

They are asked before the statistics page is fetched, so that a slow server does not take their time. One thread
asks all of them, because the number of a process's threads may be limited.
*/

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Instant;

use crate::process::background::{self, BackgroundError, Results};
use crate::process::deadline::Deadline;
use crate::process::timed::Timed;
use crate::values::value::{Source, Value};
use crate::verdict::fault::Fault;

/// What a file system answers: a value in its unit, or why it is unavailable.
pub type Answer = Timed<Result<f64, Fault>>;

/// The file systems that a run asks.
#[derive(Default)]
pub struct FileSystems {
    /// What has been asked, and may not have been answered yet.
    batches: Vec<Batch>,
    /// By the names of the values.
    answers: BTreeMap<String, Answer>,
}

/// File systems that are asked one after the other.
struct Batch {
    start: Instant,
    /// The names of their values.
    names: Vec<String>,
    results: Results<Answer>,
}

/// What a file system is asked.
#[derive(Clone)]
struct Question {
    read: fn(&str) -> Result<f64, Fault>,
    path: String,
}

impl FileSystems {
    /// Starts to ask the file systems of those of `values` that need one. Does not ask twice.
    pub fn start(&mut self, values: &[&Value]) {
        let is_asked = |value: &Value| {
            self.batches.iter().flat_map(|batch| &batch.names).any(|name| name == value.name())
        };
        let question = |value: &&Value| match value.kind().source {
            Source::FileSystem { read, .. } if !is_asked(value) => {
                let path = value.argument().to_owned();
                Some((value.name().to_owned(), Question { read, path }))
            }
            _ => None,
        };
        let (names, questions): (Vec<_>, Vec<_>) = values.iter().filter_map(question).unzip();
        if !names.is_empty() {
            let start = Instant::now();
            let results =
                background::run_each(questions, |Question { read, path }| Timed::of(|| read(path)));
            self.batches.push(Batch { start, names, results });
        }
    }

    /// The answer to one of the values that were asked, if it arrives before the deadline.
    pub fn answer(&mut self, value: &Value, deadline: Deadline) -> Answer {
        for Batch { start, names, mut results } in self.batches.drain(..) {
            for name in names {
                let answer = results.next(deadline).unwrap_or_else(|error| Timed {
                    result: Err(NoAnswer(error).into()),
                    took: start.elapsed(),
                });
                self.answers.insert(name, answer);
            }
        }
        let not_asked = || Timed::of(|| Err(NoAnswer(BackgroundError::Failed).into()));
        self.answers.remove(value.name()).unwrap_or_else(not_asked)
    }
}

/// A file system has not answered.
#[derive(Debug)]
struct NoAnswer(BackgroundError);

impl Error for NoAnswer {}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asking the file system {}", self.0)
    }
}
