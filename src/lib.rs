/*!
One run of `haproxy-agent-check`: one connection, one request, one line.

The command line and the request line give a request. What it asks about is measured, and becomes a
verdict. The verdict becomes the reply.

The folders are layers. Each uses only the layers before it: `text`, `process`, `net`, `verdict`, `reply`,
`values`, `services`, `request`; then come `cli` and this file. `docs/design.md` explains why.
*/

#![forbid(unsafe_code)]

mod cli;
#[cfg(fuzzing)]
pub mod fuzzing;
mod net;
mod process;
mod reply;
mod request;
mod services;
mod text;
mod values;
mod verdict;

use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::{Command, Options};
use crate::process::deadline::Deadline;
use crate::process::input::Input;
use crate::process::peer::Peer;
use crate::process::request_line::RequestLine;
use crate::process::{confinement, output, panics, signals};
use crate::reply::description::printable;
use crate::reply::explain::explain;
use crate::reply::line::Reply;
use crate::reply::outcome::Outcome;
use crate::reply::{maintenance, syslog};
use crate::request::evaluation::{Evaluation, evaluate};
use crate::request::rules::{Refusal, RequestRules, parse};

/// How long a peer that never stops sending is still read at the end of a run.
const LAST_DRAIN: Duration = Duration::from_millis(5);

/// Serves one connection on descriptors 0, 1 and 2. Returns the exit status: 0 for `up`, 1 for any other
/// state, 2 for options or a request that cannot be understood.
pub fn run() -> ExitCode {
    let start = Instant::now();
    panics::silence();
    signals::ignore_timers();
    let input = Input::of_process();
    // Read at once, because the address is unknown after the peer has left.
    let peer = Peer::of(input);
    let (options, evaluation) = match panics::catch(|| cli::parse(env::args_os().skip(1))) {
        Ok(Command::Print(text)) => return print(text),
        Ok(Command::Run(options)) => {
            let deadline = Deadline::new(start, options.timeout);
            let evaluation = panics::catch(|| answer(&options, input, &peer, deadline));
            (options, evaluation.unwrap_or_else(Evaluation::from))
        }
        Err(panic) => (Box::default(), Evaluation::from(panic)),
    };
    let reply = panics::catch(|| Reply::new(&evaluation.outcome, options.style))
        .unwrap_or_else(|_| Reply::internal_error());

    let leave_at = Deadline::new(start, options.timeout).leave_at();
    output::write_reply(&reply.to_string(), leave_at);
    input.drain(leave_at);
    // HAProxy has its line. Nothing that fails from here on changes the exit status.
    let _ = panics::catch(|| report(&options, &evaluation, &reply, &peer, start));
    // Read what has arrived since, even if writing the report took all the time.
    input.drain(Instant::now() + LAST_DRAIN);
    ExitCode::from(reply.exit_status())
}

/// Answers `--help` and `--version`.
fn print(text: &str) -> ExitCode {
    output::write_reply(text, Instant::now() + Options::default().timeout);
    ExitCode::SUCCESS
}

/// Evaluates the request, unless a maintenance file names the reply.
fn answer(options: &Options, input: Input, peer: &Peer, deadline: Deadline) -> Evaluation {
    let maint_file = options.maint_file.as_deref();
    if let Some(reply) = maint_file.and_then(|path| maintenance::read(path, deadline)) {
        return Outcome::Maintenance(reply).into();
    }
    confinement::confine();
    match &options.misuse {
        Some(misuse) => Outcome::NotUnderstood(Arc::clone(misuse).into()).into(),
        None => serve(options, input, peer, deadline).unwrap_or_else(Evaluation::from),
    }
}

/// Evaluates the request of the command line and of the request line.
fn serve(
    options: &Options,
    input: Input,
    peer: &Peer,
    deadline: Deadline,
) -> Result<Evaluation, Refusal> {
    let rules = RequestRules {
        command_line: parse(&options.words)?,
        agent_send: options.agent_send,
        allow_urls: options.allow_urls.clone(),
        peer: peer.clone(),
    };
    evaluate(&rules, RequestLine::new(input), &options.settings, deadline)
}

/// Tells the log and the person at the terminal what happened.
fn report(options: &Options, run: &Evaluation, reply: &Reply, peer: &Peer, start: Instant) {
    let until = Deadline::new(start, options.timeout).leave_at();
    let request = if run.request.is_empty() { options.words.trim() } else { &run.request };
    if options.syslog && !reply.is_up() {
        syslog::write(&run.outcome, peer, request);
    }
    if let Outcome::NotUnderstood(fault) = &run.outcome {
        let sentence = printable(&fault.to_string());
        output::write_error(&format!("haproxy-agent-check: {sentence}\n"), until);
    }
    if options.explain {
        let has_colours = output::error_shows_colours();
        let table = explain(request, &run.outcome, reply, start.elapsed(), has_colours);
        output::write_error(&table, until);
    }
}
