//! Parsing of text that comes from outside: JSON and paths into it, Prometheus's series, and decimal numbers.

pub mod decimal;
pub mod json;
pub mod json_path;
pub mod malformed;
pub mod series;
