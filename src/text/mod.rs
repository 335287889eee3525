//! Parsing of text that comes from outside: JSON and decimal numbers.

pub mod decimal;
pub mod json;
