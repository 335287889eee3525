/*!
What a check found, in terms of values and limits; it knows nothing of HAProxy's words.
*/

/// A value that was measured and the limit it must not reach.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The name that the request gave the value.
    pub name: String,
    pub value: f64,
    pub limit: f64,
}

impl Reading {
    /// Whether the value has reached its limit.
    pub fn is_reached(&self) -> bool {
        self.value >= self.limit
    }

    /// How much of the limit is used: 0 is none, 1 is all of it. A limit of 0 is always used up.
    pub fn fullness(&self) -> f64 {
        if self.limit > 0.0 { self.value / self.limit } else { f64::INFINITY }
    }
}

/// The outcome of a check that could be carried out.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    /// What was measured, in the order of the request.
    pub readings: Vec<Reading>,
    /// Sentences on what is wrong besides the readings.
    pub faults: Vec<String>,
}

impl Verdict {
    /// Whether the server can take traffic.
    pub fn is_up(&self) -> bool {
        self.faults.is_empty() && !self.readings.iter().any(Reading::is_reached)
    }
}
