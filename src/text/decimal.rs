/*!
Decimal numbers as operators write them.
*/

/// Parses a decimal number of 0 or more: digits with at most one point among them.
///
/// Returns `None` for any other text, such as one with a sign or an exponent, and for a number that is
/// too large for an `f64`.
pub fn decimal(text: &str) -> Option<f64> {
    let is_decimal = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.parse().ok().filter(|number: &f64| is_decimal && number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_has_digits_and_at_most_one_point() {
        for (text, number) in [("0", 0.0), ("70", 70.0), ("2.50", 2.5), (".5", 0.5), ("5.", 5.0)] {
            assert_eq!(decimal(text), Some(number), "{text}");
        }
        for text in ["", ".", "1.2.3", "-1", "+1", "1e3", "inf", "nan", " 1", "1,5", "\u{0661}"] {
            assert_eq!(decimal(text), None, "{text}");
        }
        assert_eq!(decimal(&"9".repeat(400)), None);
    }
}
