//! The reply: the line for HAProxy, the table for people, the line in the log, and the maintenance file.

pub mod at_limit;
pub mod description;
pub mod explain;
pub mod line;
pub mod maintenance;
pub mod outcome;
pub mod state;
pub mod syslog;
pub mod words;
