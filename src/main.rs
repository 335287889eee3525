#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    haproxy_agent_check::run()
}
