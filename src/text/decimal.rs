/*!
Numbers as operators write them.
*/

/// Reads a decimal of 0 or more: digits with at most one point among them. `None` for anything else,
/// and for a number so large that no value could reach it.
pub fn decimal(text: &str) -> Option<f64> {
    let is_decimal = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.parse().ok().filter(|number: &f64| is_decimal && number.is_finite())
}
