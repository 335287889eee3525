//! The limit of a value.

use std::fmt;

/// What begins the text of a lower limit.
const LOWER: &str = "min:";

/// A limit, and which values are within it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Values below the number. A value that reaches it is too high.
    Below(f64),
    /// Values up to the number. A value that equals it is still good.
    AtMost(f64),
    /// Values above the number. A value that falls to it is too low.
    Above(f64),
}

impl Limit {
    /// Parses the limit of a request: a number is an upper limit, and a number after `min:` a lower one.
    /// `number` parses the number.
    pub fn parse(text: &str, number: impl Fn(&str) -> Option<f64>) -> Option<Self> {
        match text.strip_prefix(LOWER) {
            Some(text) => number(text).map(Self::Above),
            None => number(text).map(Self::Below),
        }
    }

    pub fn number(self) -> f64 {
        match self {
            Self::Below(number) | Self::AtMost(number) | Self::Above(number) => number,
        }
    }

    /// What begins the text of the limit, before its number. Empty for an upper limit.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Below(_) | Self::AtMost(_) => "",
            Self::Above(_) => LOWER,
        }
    }

    /// The limit for values that leave room: this percentage of an upper limit, and accordingly more than a
    /// lower one.
    pub fn with_room(self, percent: f64) -> Self {
        match self {
            Self::Below(limit) => Self::Below(limit * percent / 100.0),
            Self::AtMost(limit) => Self::AtMost(limit * percent / 100.0),
            Self::Above(limit) => Self::Above(limit * 100.0 / percent),
        }
    }

    /// Whether `value` is within the limit.
    pub fn allows(self, value: f64) -> bool {
        match self {
            Self::Below(limit) => value < limit,
            Self::AtMost(limit) => value <= limit,
            Self::Above(limit) => value > limit,
        }
    }

    /// How much of the limit a value of 0 or more uses: 0 is nothing, 1 is all of it. An upper limit of 0 is
    /// always used up. So is a lower limit if the value is 0.
    pub fn fullness(self, value: f64) -> f64 {
        let (part, whole) = match self {
            Self::Below(limit) | Self::AtMost(limit) => (value, limit),
            Self::Above(limit) => (limit, value),
        };
        if whole > 0.0 { part / whole } else { f64::INFINITY }
    }
}

/// The limit as a request gives it.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.prefix(), self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_limit_up_to_its_number_allows_the_number_itself() {
        for (limit, value, is_allowed) in [
            (Limit::Below(5.0), 4.9, true),
            (Limit::Below(5.0), 5.0, false),
            (Limit::AtMost(5.0), 5.0, true),
            (Limit::AtMost(5.0), 5.1, false),
            (Limit::Above(5.0), 5.1, true),
            (Limit::Above(5.0), 5.0, false),
            (Limit::Above(0.0), 0.0, false),
        ] {
            assert_eq!(limit.allows(value), is_allowed, "{value} {limit:?}");
        }
    }

    #[test]
    fn a_value_that_is_not_allowed_uses_its_whole_limit() {
        for (limit, value, fullness) in [
            (Limit::AtMost(8.0), 2.0, 0.25),
            (Limit::Below(8.0), 8.0, 1.0),
            (Limit::Below(0.0), 0.0, f64::INFINITY),
            (Limit::Above(8.0), 32.0, 0.25),
            (Limit::Above(8.0), 8.0, 1.0),
            (Limit::Above(8.0), 2.0, 4.0),
            (Limit::Above(8.0), 0.0, f64::INFINITY),
            (Limit::Above(0.0), 0.0, f64::INFINITY),
            (Limit::Above(0.0), 5.0, 0.0),
        ] {
            assert_eq!(limit.fullness(value), fullness, "{value} {limit:?}");
        }
    }

    #[test]
    fn a_limit_with_room_is_lower_or_higher_by_the_percentage() {
        assert_eq!(Limit::Below(100.0).with_room(80.0), Limit::Below(80.0));
        assert_eq!(Limit::AtMost(50.0).with_room(50.0), Limit::AtMost(25.0));
        assert_eq!(Limit::Above(100.0).with_room(80.0), Limit::Above(125.0));
        assert_eq!(Limit::Below(0.3).with_room(99.0), Limit::Below(0.297));
    }

    #[test]
    fn the_text_of_a_limit_is_parsed_to_the_same_limit() {
        let parse = |text: &str| Limit::parse(text, |number| number.parse().ok());
        for (text, limit) in [("2.5", Limit::Below(2.5)), ("min:100", Limit::Above(100.0))] {
            assert_eq!((parse(text), limit.to_string()), (Some(limit), text.to_owned()));
        }
        for text in ["", "min:", "max:1", "min: 1", "MIN:1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
