//! A number that a source reports.

use crate::verdict::limit::Limit;

/// The numbers that a source reports for one value. They differ only if a page repeats a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    pub lowest: f64,
    pub highest: f64,
}

/// A source reports something that is not a finite number of 0 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANumber;

impl Figure {
    pub const ZERO: Self = Self { lowest: 0.0, highest: 0.0 };

    /// A number that is reported once.
    pub fn of(number: f64) -> Self {
        Self { lowest: number, highest: number }
    }

    /// Covers `other` too.
    pub fn and(self, other: Self) -> Self {
        Self { lowest: self.lowest.min(other.lowest), highest: self.highest.max(other.highest) }
    }

    pub fn plus(self, other: Self) -> Self {
        Self { lowest: self.lowest + other.lowest, highest: self.highest + other.highest }
    }

    /// The number that is compared with `limit`: the one that is nearest to it. A page that repeats itself must
    /// not make a server look idle.
    pub fn against(self, limit: Limit) -> f64 {
        match limit {
            Limit::Below(_) | Limit::AtMost(_) => self.highest,
            Limit::Above(_) => self.lowest,
        }
    }

    /// Fails if a number is negative or not finite.
    pub fn checked(self) -> Result<Self, NotANumber> {
        let is_good = |number: f64| number.is_finite() && number >= 0.0;
        // Adding 0 makes a negative zero a zero.
        let positive = self.plus(Self::ZERO);
        if is_good(self.lowest) && is_good(self.highest) { Ok(positive) } else { Err(NotANumber) }
    }
}

/// Parses a number of 0 or more, as pages write it.
pub fn parse(text: &str) -> Result<Figure, NotANumber> {
    text.trim().parse().map_err(|_| NotANumber).and_then(|number| Figure::of(number).checked())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_finite_and_not_negative() {
        for (text, number) in [("3", 3.0), (" 4.5\t", 4.5), ("1e2", 100.0), ("+7", 7.0)] {
            assert_eq!(parse(text), Ok(Figure::of(number)), "{text}");
        }
        for text in ["", "-1", "NaN", "inf", "1e999", "test/0", "1,5", "0x10"] {
            assert_eq!(parse(text), Err(NotANumber), "{text}");
        }
        assert!(parse("-0").unwrap().lowest.is_sign_positive());
        assert_eq!(Figure { lowest: -1.0, highest: 1.0 }.checked(), Err(NotANumber));
    }

    #[test]
    fn the_number_that_is_nearest_to_the_limit_counts() {
        let figure = Figure::of(3.0).and(Figure::of(5.0)).and(Figure::of(4.0));
        assert_eq!(figure.plus(Figure::of(1.0)), Figure { lowest: 4.0, highest: 6.0 });
        assert_eq!(figure.against(Limit::Below(9.0)), 5.0);
        assert_eq!(figure.against(Limit::AtMost(9.0)), 5.0);
        assert_eq!(figure.against(Limit::Above(1.0)), 3.0);
    }
}
