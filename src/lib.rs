/*!
One run of `haproxy-agent-check`: one connection, one request, one line.

The command line and the request line give a request. The agent measures what the request names, and makes
a verdict of it. The verdict becomes the reply.

The folders are layers: `text`, `process`, `net`, `verdict`, `reply`, `values`, `services`, `request`, and
then `cli` and this file. A layer uses only itself and the layers before it. `docs/design.md` explains why.
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
use crate::verdict::hysteresis::Hysteresis;

/// After the reply, the agent reads for at most this long what the peer goes on sending.
const DRAIN: Duration = Duration::from_millis(250);

/// At the end of a run, the agent reads for this long what the peer still sends.
const LAST_DRAIN: Duration = Duration::from_millis(5);

/// Serves one connection on descriptors 0, 1 and 2. Returns the exit status: 0 for `up` and for a reply without
/// a state, 1 for any other state, 2 for options or a request that cannot be understood.
pub fn run() -> ExitCode {
    let start = Instant::now();
    panics::silence();
    signals::ignore_timers();
    let input = Input::of_process();
    // For the log. Read now: when the peer has left, its address is lost.
    let peer = Peer::of(input);
    let (options, panic) = match panics::catch(|| cli::parse(env::args_os().skip(1))) {
        Ok(Command::Print(text)) => return print(text),
        Ok(Command::Run(options)) => (options, None),
        Err(panic) => (Box::default(), Some(panic)),
    };
    let deadline = Deadline::new(start, options.timeout);
    let evaluation = match panic {
        None => {
            panics::catch(|| answer(&options, input, deadline)).unwrap_or_else(Evaluation::from)
        }
        Some(panic) => Evaluation::from(panic),
    };
    let reply = panics::catch(|| Reply::new(&evaluation.outcome, options.style))
        .unwrap_or_else(|_| Reply::internal_error());

    output::write_reply(&reply.to_string(), deadline.exit_at());
    input.drain(deadline.exit_at().min(Instant::now() + DRAIN));
    // HAProxy has its line. From here on, a failure does not change the exit status.
    let _ = panics::catch(|| report(&options, &evaluation, &reply, &peer, deadline));
    // Read what has arrived in the meantime, even if the report took all the time.
    input.drain(Instant::now() + LAST_DRAIN);
    ExitCode::from(reply.exit_status())
}

/// Answers `--help` and `--version`.
fn print(text: &str) -> ExitCode {
    output::write_reply(text, Instant::now() + Options::default().timeout);
    ExitCode::SUCCESS
}

/// Evaluates the request, unless a maintenance file gives the reply.
fn answer(options: &Options, input: Input, deadline: Deadline) -> Evaluation {
    let maint_file = options.maint_file.as_deref();
    if let Some(reply) = maint_file.and_then(|path| maintenance::read(path, deadline)) {
        return Outcome::Maintenance(reply).into();
    }
    let hysteresis = options.hysteresis(deadline);
    confinement::confine(hysteresis.as_ref().and_then(Hysteresis::folder));
    match &options.misuse {
        Some(misuse) => Outcome::NotUnderstood(Arc::clone(misuse).into()).into(),
        None => {
            serve(options, hysteresis.as_ref(), input, deadline).unwrap_or_else(Evaluation::from)
        }
    }
}

/// Evaluates the request of the command line and of the request line.
fn serve(
    options: &Options,
    hysteresis: Option<&Hysteresis>,
    input: Input,
    deadline: Deadline,
) -> Result<Evaluation, Refusal> {
    let rules = RequestRules {
        command_line: parse(&options.words)?,
        agent_send: options.agent_send,
        allowed_urls: options.allowed_urls.clone(),
    };
    evaluate(&rules, RequestLine::new(input), &options.settings, hysteresis, deadline)
}

/// Writes what happened to the log and to standard error, until the run has to exit.
fn report(
    options: &Options,
    Evaluation { outcome, request }: &Evaluation,
    reply: &Reply,
    peer: &Peer,
    deadline: Deadline,
) {
    let until = deadline.exit_at();
    let request = if request.is_empty() { &options.words } else { request };
    if options.syslog && (!reply.is_up() || !outcome.mistakes().is_empty()) {
        syslog::write(outcome, options.style, peer, request);
    }
    for mistake in outcome.mistakes() {
        let sentence = printable(&mistake.to_string());
        output::write_error(&format!("haproxy-agent-check: {sentence}\n"), until);
    }
    if options.explain {
        let has_colours = output::error_shows_colours();
        let table = explain(request, outcome, reply, deadline.elapsed(), has_colours);
        output::write_error(&table, until);
    }
}
