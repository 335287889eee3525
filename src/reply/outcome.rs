//! How a run ended.

use crate::reply::state::State;
use crate::verdict::Verdict;
use crate::verdict::fault::Fault;

/// What the reply has to express.
#[derive(Debug)]
pub enum Outcome {
    /// The check was carried out.
    Measured(Verdict),
    /// A `debug` request named the reply.
    Debug(FixedReply),
    /// A maintenance file names the reply. Nothing was measured.
    Maintenance(FixedReply),
    /// The request was understood, but there is no verdict on it.
    NotMeasured(Fault),
    /// The options or the request cannot be understood.
    NotUnderstood(Fault),
}

/// A reply that somebody wrote down. No measurement led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedReply {
    pub state: State,
    pub weight_percent: Option<u16>,
    /// May be empty.
    pub description: String,
}
