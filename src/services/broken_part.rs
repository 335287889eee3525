//! What services report about themselves.

use std::error::Error;
use std::fmt;

/// A part of a service, such as its database, reports that it is broken.
#[derive(Debug)]
pub struct BrokenPart {
    pub name: String,
    /// The status in the service's own words.
    pub status: String,
}

impl Error for BrokenPart {}

impl fmt::Display for BrokenPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} reports {}", self.name, self.status)
    }
}
