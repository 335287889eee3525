//! A part of a text that is not what its place requires.

/// What is wrong with a text, and where. The sentence is `'PIECE' PROBLEM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed<'a> {
    /// The part that is wrong.
    pub piece: &'a str,
    /// The end of the sentence, such as `is not an index`.
    pub problem: &'static str,
}
