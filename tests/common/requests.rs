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

/// The form that the program names when a request to this service has too many fields.
pub fn form(service: &str) -> String {
    let servers = ["http://127.0.0.1:1", "ws://127.0.0.1:1", "127.0.0.1:1"];
    let errors = servers.map(|server| agent(&[&format!("{service}|{server}||||||x")]).stderr);
    let form = errors.iter().find_map(|error| error.trim_end().split_once(" has more than "));
    form.unwrap_or_else(|| panic!("{service}: no form in {errors:?}")).1.to_owned()
}

/// The names that the program lists when it refuses the name `x`. Standard error has all of them; the reply
/// on standard output may be cut.
fn names_in_refusal(request: &str) -> Vec<String> {
    let refusal = agent(&[request]).stderr;
    let list = refusal.trim_end().strip_prefix("haproxy-agent-check: 'x' is none of ");
    let list = list.unwrap_or_else(|| panic!("no list of names: {refusal:?}"));
    list.split(", ").map(str::to_owned).collect()
}
