//! The reply: the line that HAProxy reads, the same for people and for the log, and the maintenance file
//! that replaces it.

pub mod description;
pub mod explain;
pub mod line;
pub mod maintenance;
pub mod outcome;
pub mod state;
pub mod syslog;
pub mod words;
