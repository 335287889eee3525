//! One value, compared with its limit.

use std::time::Duration;

use crate::verdict::fault::Fault;

/// Which values are within a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Values below the limit. A value that reaches it is too high.
    Below,
    /// Values up to the limit. A value that equals it is still good.
    AtMost,
}

/// A value of a request, and its limit.
#[derive(Debug)]
pub struct Reading {
    /// The name that descriptions give the value.
    pub name: String,
    /// The unit of value and limit, for people; empty for a plain count.
    pub unit: &'static str,
    /// The value, or why it is unavailable.
    pub value: Result<f64, Fault>,
    pub limit: f64,
    pub bound: Bound,
    /// Where the value came from, for people.
    pub source: &'static str,
    /// How long it took to get the value from there.
    pub took: Duration,
}

impl Reading {
    /// Whether there is a value, and it is not within the limit.
    pub fn is_exceeded(&self) -> bool {
        self.value.as_ref().is_ok_and(|value| !self.allows(*value))
    }

    /// Whether `value` is within the limit.
    pub fn allows(&self, value: f64) -> bool {
        match self.bound {
            Bound::Below => value < self.limit,
            Bound::AtMost => value <= self.limit,
        }
    }

    /// How much of the limit is used: 0 is nothing, 1 is all of it. A limit of 0 is always used up. So is
    /// the limit of a value that is unavailable.
    pub fn fullness(&self) -> f64 {
        match self.value {
            Ok(value) if self.limit > 0.0 => value / self.limit,
            _ => f64::INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(value: Result<f64, Fault>, limit: f64, bound: Bound) -> Reading {
        let (name, took) = ("a".to_owned(), Duration::ZERO);
        Reading { name, unit: "", value, limit, bound, source: "test", took }
    }

    #[test]
    fn a_value_at_its_limit_is_exceeded_only_if_it_must_stay_below() {
        for (bound, value, is_exceeded) in [
            (Bound::Below, 4.9, false),
            (Bound::Below, 5.0, true),
            (Bound::AtMost, 5.0, false),
            (Bound::AtMost, 5.1, true),
        ] {
            assert_eq!(reading(Ok(value), 5.0, bound).is_exceeded(), is_exceeded, "{bound:?}");
        }
        assert!(!reading(Err("gone".into()), 5.0, Bound::Below).is_exceeded());
    }

    #[test]
    fn a_limit_of_zero_and_the_limit_of_a_missing_value_are_used_up() {
        let fullness = |value, limit| reading(value, limit, Bound::AtMost).fullness();
        assert_eq!(fullness(Ok(2.0), 8.0), 0.25);
        for used_up in [fullness(Ok(0.0), 0.0), fullness(Err("gone".into()), 8.0)] {
            assert_eq!(used_up, f64::INFINITY);
        }
    }
}
