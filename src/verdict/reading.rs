//! One value, compared with its limit.

use std::time::Duration;

use crate::verdict::fault::Fault;
use crate::verdict::limit::Limit;

/// A value of a request, and its limit.
#[derive(Debug)]
pub struct Reading {
    /// The name that descriptions give the value.
    pub name: String,
    /// The unit of value and limit, for people; empty for a plain count.
    pub unit: &'static str,
    /// The value, or why it is unavailable.
    pub value: Result<f64, Fault>,
    pub limit: Limit,
    /// Where the value came from, for people.
    pub source: &'static str,
    /// How long it took to get the value from there.
    pub took: Duration,
}

impl Reading {
    /// Whether there is a value, and it is not within the limit.
    pub fn is_exceeded(&self) -> bool {
        self.value.as_ref().is_ok_and(|value| !self.limit.allows(*value))
    }

    /// Whether there is a value, and it is within [`Limit::with_room`].
    pub fn has_room(&self, percent: f64) -> bool {
        self.value.as_ref().is_ok_and(|value| self.limit.with_room(percent).allows(*value))
    }

    /// How much of the limit is used; see [`Limit::fullness`]. The limit of a value that is unavailable is used
    /// up.
    pub fn fullness(&self) -> f64 {
        self.value.as_ref().map_or(f64::INFINITY, |value| self.limit.fullness(*value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(value: Result<f64, Fault>, limit: Limit) -> Reading {
        let (name, took) = ("a".to_owned(), Duration::ZERO);
        Reading { name, unit: "", value, limit, source: "test", took }
    }

    #[test]
    fn a_missing_value_exceeds_nothing_and_uses_its_limit_up() {
        let missing = reading(Err("gone".into()), Limit::Below(5.0));
        assert!(!missing.is_exceeded());
        assert_eq!(missing.fullness(), f64::INFINITY);
        let measured = |value| reading(Ok(value), Limit::Below(5.0));
        assert!(measured(5.0).is_exceeded() && !measured(4.9).is_exceeded());
        assert_eq!(measured(2.5).fullness(), 0.5);
    }
}
