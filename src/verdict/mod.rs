/*!
What a run found out, in terms of values and limits; nothing here knows HAProxy's words.
*/

use std::time::Duration;

use crate::reply::maintenance::Maintenance;
use crate::request::debug::Debug;

/// Which values are within a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Those below it: a value that reaches it is too much.
    Below,
    /// Those up to and with it.
    AtMost,
}

/// One value of a request, and the limit that it must not reach.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The name that the request gave the value.
    pub name: String,
    /// The unit of value and limit, for people; empty for a plain count.
    pub unit: &'static str,
    /// The value, or a sentence on why it cannot be had.
    pub value: Result<f64, String>,
    pub limit: f64,
    pub bound: Bound,
    /// Where the value came from, for people.
    pub source: &'static str,
    /// How long it took to get it from there.
    pub took: Duration,
}

impl Reading {
    /// Whether there is a value, and it is not within the limit.
    pub fn is_exceeded(&self) -> bool {
        self.value.as_ref().is_ok_and(|value| !self.allows(*value))
    }

    /// Whether a value is within the limit.
    pub fn allows(&self, value: f64) -> bool {
        match self.bound {
            Bound::Below => value < self.limit,
            Bound::AtMost => value <= self.limit,
        }
    }

    /// How much of the limit is used: 0 is none, 1 is all of it. A limit of 0 is always used up, and
    /// so is that of a value that cannot be had.
    pub fn fullness(&self) -> f64 {
        match self.value {
            Ok(value) if self.limit > 0.0 => value / self.limit,
            _ => f64::INFINITY,
        }
    }
}

/// The outcome of a check that could be carried out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// What was measured, in the order of the request.
    pub readings: Vec<Reading>,
    /// Sentences on what is wrong besides.
    pub faults: Vec<String>,
    /// The names of values that are not reported and were passed over.
    pub skipped: Vec<String>,
}

impl Verdict {
    /// The verdict that follows from values alone.
    pub fn of(readings: Vec<Reading>) -> Self {
        Self { readings, ..Self::default() }
    }

    /// The verdict on what says itself that it is broken.
    pub fn broken(faults: Vec<String>) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Whether the server can take traffic: every value is there and within its limit, and nothing
    /// else is wrong.
    pub fn is_up(&self) -> bool {
        let is_good = |reading: &Reading| reading.value.is_ok() && !reading.is_exceeded();
        self.faults.is_empty() && self.readings.iter().all(is_good)
    }

    /// What is wrong besides values, each sentence once: a page that cannot be had is one fault,
    /// however many values were to come from it.
    pub fn all_faults(&self) -> Vec<&str> {
        let missing = self.readings.iter().filter_map(|reading| reading.value.as_ref().err());
        let mut faults = Vec::new();
        for fault in missing.chain(&self.faults) {
            if !faults.contains(&fault.as_str()) {
                faults.push(fault.as_str());
            }
        }
        faults
    }

    /// How much of its limit the tightest value uses; see [`Reading::fullness`].
    pub fn fullness(&self) -> f64 {
        self.readings.iter().map(Reading::fullness).fold(0.0, f64::max)
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Thresholds were compared with their values.
    Thresholds(Verdict),
    /// A service was judged by its API.
    Api(Verdict),
    /// The request said itself what to reply.
    Debug(Debug),
    /// A maintenance file was there, and nothing was measured.
    Maintenance(Maintenance),
    /// The request was understood, and there is no verdict on it; a sentence on why.
    Unmeasured(String),
    /// The options or the request cannot be understood; a sentence that names the word.
    NotUnderstood(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(value: Result<f64, String>, limit: f64, bound: Bound) -> Reading {
        let (name, took) = ("a".to_owned(), Duration::ZERO);
        Reading { name, unit: "", value, limit, bound, source: "test", took }
    }

    #[test]
    fn a_limit_is_reached_or_may_be_by_its_bound() {
        for (bound, value, is_exceeded) in [
            (Bound::Below, 4.9, false),
            (Bound::Below, 5.0, true),
            (Bound::AtMost, 5.0, false),
            (Bound::AtMost, 5.1, true),
        ] {
            assert_eq!(reading(Ok(value), 5.0, bound).is_exceeded(), is_exceeded, "{bound:?}");
        }
        assert!(!reading(Err("gone".to_owned()), 5.0, Bound::Below).is_exceeded());
    }

    #[test]
    fn a_limit_of_zero_and_that_of_a_missing_value_are_used_up() {
        let fullness = |value, limit| reading(value, limit, Bound::AtMost).fullness();
        assert_eq!(fullness(Ok(2.0), 8.0), 0.25);
        for used_up in [fullness(Ok(0.0), 0.0), fullness(Err(String::new()), 8.0)] {
            assert_eq!(used_up, f64::INFINITY);
        }
    }
}
