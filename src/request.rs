/*!
Requests: the same text from the command line and from HAProxy's `agent-send`, parsed once.
*/

use std::fmt;

use crate::cli::Options;
use crate::source::Source;
use crate::thresholds::Thresholds;

/// What the agent is asked to judge.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Thresholds(Thresholds),
}

/// A word that cannot be understood, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub struct NotUnderstood {
    word: String,
    problem: String,
}

impl NotUnderstood {
    /// `problem` is the rest of the sentence that begins with the word.
    pub fn new(word: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { word: word.into(), problem: problem.into() }
    }
}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' {}", self.word, self.problem)
    }
}

impl Request {
    /// Parses the text of a request; `None` if it holds no word.
    pub fn parse(text: &str) -> Result<Option<Self>, NotUnderstood> {
        let mut words = text.split_ascii_whitespace().peekable();
        if words.peek().is_none() {
            return Ok(None);
        }
        Thresholds::parse(words).map(|thresholds| Some(Self::Thresholds(thresholds)))
    }

    /// What is asked of the agent by a command line and a request line, either of which may be
    /// absent: thresholds of both are added, else the line counts.
    pub fn of(command_line: Option<Self>, line: Option<Self>) -> Self {
        match (command_line, line) {
            (Some(Self::Thresholds(first)), Some(Self::Thresholds(later))) => {
                Self::Thresholds(first.and(later))
            }
            (_, Some(request)) | (Some(request), None) => request,
            (None, None) => Self::Thresholds(Thresholds::default()),
        }
    }

    /// What has to be asked before the request can be judged, if anything.
    pub fn source(&self, options: &Options) -> Option<Source> {
        match self {
            Self::Thresholds(thresholds) => thresholds
                .need_statistics()
                .then(|| Source::StatisticsPage(options.stats_url.clone())),
        }
    }
}
