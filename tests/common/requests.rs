//! The names of the services and thresholds that the program knows, read from its own messages.

use super::agent;

/// The services that a request may name. `debug` is left out, since it asks no service.
pub fn services() -> Vec<String> {
    let mut names = names_in_refusal("x|http://127.0.0.1:1");
    names.retain(|name| name != "debug");
    names
}

/// The names of the thresholds; `stat:KEY` stands for any key of the statistics page.
pub fn thresholds() -> Vec<String> {
    names_in_refusal("x")
}

/// The names that the program lists when it refuses the name `x`. Standard error has all of them; the reply
/// on standard output may be cut.
fn names_in_refusal(request: &str) -> Vec<String> {
    let refusal = agent(&[request]).stderr;
    let list = refusal.trim_end().strip_prefix("haproxy-agent-check: 'x' is none of ");
    let list = list.unwrap_or_else(|| panic!("no list of names: {refusal:?}"));
    list.split(", ").map(str::to_owned).collect()
}
