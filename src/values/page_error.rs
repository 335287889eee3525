//! Why a statistics page reports nothing.

use std::error::Error;
use std::fmt;

use crate::net::error::AskError;
use crate::values::headers_file::HeadersFileError;

/// Displayed as a sentence that names the page or the file.
#[derive(Debug)]
pub enum PageError {
    /// The page at this URL, as messages show it, reports nothing.
    Page { url: String, problem: PageProblem },
    /// The page was not asked for, because the headers of the request are unavailable.
    Headers(HeadersFileError),
}

/// What is wrong with a page. Displayed as the end of a sentence that begins with the page.
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
        match self {
            Self::Page { url, problem } => write!(f, "statistics page {url}: {problem}"),
            Self::Headers(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for PageProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(error) => error.fmt(f),
            Self::NotValid { format, line, column: None } => {
                write!(f, "holds no valid {format} (line {line})")
            }
            Self::NotValid { format, line, column: Some(column) } => {
                write!(f, "holds no valid {format} (line {line}, column {column})")
            }
            Self::TooSlow => f.write_str("takes too long to read"),
            Self::Empty => f.write_str("holds no statistics"),
        }
    }
}
