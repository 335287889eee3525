//! How a run ended.

use std::slice;

use crate::reply::words::Words;
use crate::verdict::Verdict;
use crate::verdict::fault::Fault;

/// What the reply has to express.
#[derive(Debug)]
pub enum Outcome {
    /// The check was carried out.
    Measured(Verdict),
    /// A `debug` request named the reply.
    Debug(Words),
    /// A maintenance file names the reply. Nothing was measured.
    Maintenance(Words),
    /// The request was understood, but there is no verdict on it.
    NotMeasured(Fault),
    /// The options or the request cannot be understood.
    NotUnderstood(Fault),
}

impl Outcome {
    /// What the operator has to correct on the agent's side.
    pub fn mistakes(&self) -> &[Fault] {
        match self {
            Self::NotUnderstood(fault) => slice::from_ref(fault),
            Self::Measured(verdict) => &verdict.warnings,
            Self::Debug(_) | Self::Maintenance(_) | Self::NotMeasured(_) => &[],
        }
    }
}
