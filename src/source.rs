/*!
What a request has to ask of other processes, asked on a thread of its own.

The run waits for the thread no longer than its deadline, whatever the thread is stuck in, and goes
on listening for a request line meanwhile. A panic in the thread is an answer like any other.
*/

use std::fmt;
use std::io::{PipeReader, pipe};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::{self, JoinHandle};

use crate::deadline::Deadline;
use crate::statistics::Statistics;
use crate::url::Url;

/// Something that has to be asked over the network.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    StatisticsPage(Url),
}

/// What a source said, or why it said nothing.
#[derive(Debug)]
pub enum Evidence {
    Statistics(Result<Statistics, String>),
}

impl Source {
    fn ask(&self, deadline: Deadline) -> Evidence {
        match self {
            Self::StatisticsPage(url) => {
                let statistics = Statistics::fetch(url, deadline);
                Evidence::Statistics(statistics.map_err(|error| format!("{self} {error}")))
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StatisticsPage(url) => write!(f, "statistics page {url}"),
        }
    }
}

/// A source that is being asked.
pub struct Asking {
    source: Source,
    answer: Answer,
}

enum Answer {
    /// The pipe is at its end as soon as the thread is.
    Pending(PipeReader, JoinHandle<Evidence>),
    Given(Evidence),
}

impl Asking {
    /// Starts to ask `source`. Where no thread can be had (a limit on processes or descriptors), it
    /// is asked here and now: without an ear for the request line, but not without an answer.
    pub fn start(source: Source, deadline: Deadline) -> Self {
        let threaded = pipe().and_then(|(reader, writer)| {
            let source = source.clone();
            let thread = thread::Builder::new().spawn(move || {
                let _closed_at_the_end = writer;
                source.ask(deadline)
            })?;
            Ok(Answer::Pending(reader, thread))
        });
        let answer = threaded.unwrap_or_else(|_| Answer::Given(source.ask(deadline)));
        Self { source, answer }
    }

    /// What is being asked.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// A descriptor that becomes readable with the answer; `None` if that has been given already.
    pub fn pending(&self) -> Option<BorrowedFd<'_>> {
        match &self.answer {
            Answer::Pending(reader, _) => Some(reader.as_fd()),
            Answer::Given(_) => None,
        }
    }

    /// What the source said; fails with a sentence if it panicked. Call it when nothing is pending
    /// any more: it waits for the thread to end.
    pub fn evidence(self) -> Result<Evidence, String> {
        match self.answer {
            Answer::Given(evidence) => Ok(evidence),
            Answer::Pending(_, thread) => {
                thread.join().map_err(|panic| crate::internal_error(&*panic))
            }
        }
    }
}
