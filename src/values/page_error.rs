//! Why a statistics page reports nothing.

use std::error::Error;
use std::fmt;

use crate::net::error::AskError;

/// Displayed as a sentence that names the page.
#[derive(Debug)]
pub struct PageError {
    /// The URL as messages show it.
    pub url: String,
    pub problem: PageProblem,
}

#[derive(Debug, PartialEq)]
pub enum PageProblem {
    /// The server sent no page.
    Ask(AskError),
    /// The page looks like this format, but cannot be parsed as it.
    NotValid {
        format: &'static str,
        /// Counts from 1.
        line: usize,
        /// Counts bytes from 1. `None` if the format has no smaller part than a line.
        column: Option<usize>,
    },
    /// The deadline passed while the page was read.
    TooSlow,
    /// The page contains no value at all.
    Empty,
}

impl Error for PageError {}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statistics page {}: ", self.url)?;
        match &self.problem {
            PageProblem::Ask(error) => error.fmt(f),
            PageProblem::NotValid { format, line, column: None } => {
                write!(f, "holds no valid {format} (line {line})")
            }
            PageProblem::NotValid { format, line, column: Some(column) } => {
                write!(f, "holds no valid {format} (line {line}, column {column})")
            }
            PageProblem::TooSlow => f.write_str("takes too long to read"),
            PageProblem::Empty => f.write_str("holds no statistics"),
        }
    }
}
