//! What a check found out: values against their limits, and faults. Nothing here knows HAProxy's words.

pub mod fault;
pub mod hysteresis;
pub mod limit;
pub mod reading;

use crate::verdict::fault::Fault;
use crate::verdict::reading::Reading;

/// The result of a check that could be carried out.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What was measured, in the order of the request.
    pub readings: Vec<Reading>,
    /// What the server reports as broken.
    pub faults: Vec<Fault>,
    /// Why something besides the values could not be measured.
    pub unmeasured: Vec<Fault>,
    /// What else the operator has to correct. It changes no state.
    pub warnings: Vec<Fault>,
    /// Set if the server has reached a limit before, and is held until every value is below this percentage of
    /// its limit.
    pub held_percent: Option<f64>,
    /// The names of values that the server does not report and that nobody asked for by name.
    pub skipped: Vec<String>,
    /// Whether the values say how full the server is. A service is either well or not.
    pub is_graded: bool,
}

impl Verdict {
    /// A verdict on values alone.
    pub fn of(readings: Vec<Reading>) -> Self {
        Self { readings, ..Self::default() }
    }

    /// A verdict on a server that reports itself as broken.
    pub fn broken(faults: Vec<Fault>) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Whether the server can take traffic: everything was measured, and nothing is bad.
    pub fn is_up(&self) -> bool {
        self.is_measured() && !self.has_bad()
    }

    /// Whether the server was measured and cannot take traffic.
    pub fn is_bad(&self) -> bool {
        self.is_measured() && self.has_bad()
    }

    /// Whether a value has reached its limit, now or before, or the server reports something as broken.
    fn has_bad(&self) -> bool {
        let is_exceeded = self.readings.iter().any(Reading::is_exceeded);
        is_exceeded || !self.faults.is_empty() || self.held_percent.is_some()
    }

    /// Whether everything could be measured.
    pub fn is_measured(&self) -> bool {
        self.unmeasured.is_empty() && self.readings.iter().all(|reading| reading.value.is_ok())
    }

    /// Why values are unavailable, and what else is wrong, as sentences. Each sentence occurs once: an
    /// unreachable page is one fault, however many values it should have reported.
    pub fn sentences(&self) -> Vec<String> {
        let unavailable = self.readings.iter().filter_map(|reading| reading.value.as_ref().err());
        let mut sentences = Vec::new();
        for fault in unavailable.chain(&self.unmeasured).chain(&self.faults) {
            let sentence = fault.to_string();
            if !sentences.contains(&sentence) {
                sentences.push(sentence);
            }
        }
        sentences
    }

    /// How much of its limit the tightest value uses; see [`Reading::fullness`].
    pub fn fullness(&self) -> f64 {
        self.readings.iter().map(Reading::fullness).fold(0.0, f64::max)
    }
}
