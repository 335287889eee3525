//! Why a value is unavailable.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::values::page_error::PageError;
use crate::verdict::fault::Fault;

/// Displayed as a sentence that names the value, or the page that should have reported it.
#[derive(Debug)]
pub enum ValueError {
    /// The whole page is unavailable, so other values have the same error.
    Page(Arc<PageError>),
    /// The machine does not tell the value.
    Machine { name: String, fault: Fault },
    /// The page reports none of the value's keys.
    Missing { name: String, keys: String, advice: Option<&'static str> },
    /// The page reports something else, or an infinite number. The text is not shown: it may be secret.
    NotANumber { name: String },
}

impl Error for ValueError {}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page(error) => error.fmt(f),
            Self::Machine { name, fault } => write!(f, "{name}: {fault}"),
            Self::Missing { name, keys, advice: Some(advice) } => {
                write!(f, "{name}: no {keys}; {advice}")
            }
            Self::Missing { name, keys, advice: None } => {
                write!(f, "{name}: no {keys} on the statistics page")
            }
            Self::NotANumber { name } => {
                write!(f, "{name}: the value is not a number of 0 or more")
            }
        }
    }
}
