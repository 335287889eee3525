/*!
One run of `haproxy-agent-check`: one connection, one request, one line.

Data flows one way: words and line ([`cli`], [`connection`]) -> request ([`request`]) -> measurements
([`source`], [`load`]) -> verdict ([`verdict`]) -> reply ([`reply`]) -> bytes and exit status. The
descriptors, the clock and the network are touched at the ends only.

A check is a file: what it asks, how it reads the answer, how it judges. See [`thresholds`] and, for
where its values come from, [`statistics`] and [`load`].
*/

#![forbid(unsafe_code)]

mod cli;
mod connection;
mod deadline;
mod http;
mod load;
mod reply;
mod request;
mod resolver;
mod source;
mod statistics;
mod thresholds;
mod url;
mod verdict;

use std::any::Any;
use std::env;
use std::panic;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cli::{AgentSend, Command, Options};
use connection::{Event, Input, Line, RequestLine};
use deadline::Deadline;
use reply::{Reply, State};
use request::Request;
use source::{Asking, Evidence};

/// How long a request line is waited for on a pipe or a file, where it is there at once or never.
const PIPE_WAIT: Duration = Duration::from_millis(100);

/// Carries out one run on this process's arguments and its descriptors 0, 1 and 2, and returns its
/// exit status: 0 for `up`, 1 for any other state, 2 for what could not be understood.
pub fn run() -> ExitCode {
    let start = Instant::now();
    // Its message would go to descriptor 2, which may be the connection.
    panic::set_hook(Box::new(|_| {}));
    let input = Input::of_process();
    let default_deadline = Deadline::new(start, cli::DEFAULT_TIMEOUT);

    let (reply, deadline) = match cli::parse(env::args_os().skip(1)) {
        Ok(Command::Help) => return print(cli::HELP),
        Ok(Command::Version) => {
            return print(concat!("haproxy-agent-check ", env!("CARGO_PKG_VERSION"), "\n"));
        }
        Ok(Command::Run(options)) => {
            let deadline = Deadline::new(start, options.timeout);
            let reply = panic::catch_unwind(|| answer(&options, input, deadline));
            let reply = reply
                .unwrap_or_else(|panic| Reply::unmeasured(State::Fail, &internal_error(&*panic)));
            let reply = if options.describe { reply } else { reply.brief() };
            (reply, deadline)
        }
        Err(error) => (Reply::not_understood(&error), default_deadline),
    };

    connection::write_reply(&reply.to_string(), deadline.leave_at());
    if let Some(error) = reply.misuse() {
        let error = format!("haproxy-agent-check: {}\n", reply::printable(error));
        connection::write_error(&error, deadline.leave_at());
    }
    connection::drain(input, deadline.leave_at());
    ExitCode::from(reply.exit_status())
}

/// Answers `--help` and `--version`.
fn print(text: &str) -> ExitCode {
    connection::write_reply(text, Instant::now() + cli::DEFAULT_TIMEOUT);
    ExitCode::SUCCESS
}

/// The sentence for a panic, which is a mistake in this program.
fn internal_error(panic: &(dyn Any + Send)) -> String {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("internal error, please report it: {}", message.unwrap_or("no message"))
}

/// Works out the request, asks what it needs, and judges.
fn answer(options: &Options, input: Input, deadline: Deadline) -> Reply {
    let mut line = RequestLine::new(input);
    let (idle_until, last) = match (options.agent_send, input) {
        (AgentSend::Required, _) => (deadline.at(), deadline.at()),
        (AgentSend::Optional, Input::Pipe | Input::File) => {
            let until = deadline.at().min(Instant::now() + PIPE_WAIT);
            (until, until)
        }
        (AgentSend::Optional, _) => (Instant::now(), deadline.at()),
        (AgentSend::Ignore, _) => {
            line.ignore();
            (deadline.at(), deadline.at())
        }
    };
    let first = line.wait(None, idle_until, last);
    if input != Input::Socket {
        line.ignore();
    }
    let mut request = match understand(first, deadline) {
        Ok(None) if options.agent_send == AgentSend::Required => {
            return Reply::unmeasured(State::Fail, "no request line came");
        }
        Ok(requested) => Request::of(options.request.clone(), requested),
        Err(reply) => return reply,
    };

    // Until there is an answer, a line may come that changes the request.
    let mut asking: Option<Asking> = None;
    let is_late = loop {
        let source = request.source(&options.stats_url);
        if asking.as_ref().map(Asking::source) != source.as_ref() {
            asking = source.map(|source| Asking::start(source, deadline));
        }
        let pending = asking.as_ref().and_then(Asking::pending);
        let is_pending = pending.is_some();
        let idle_until = if is_pending { deadline.give_up_at() } else { Instant::now() };
        match line.wait(pending, idle_until, deadline.at()) {
            Event::Line(line) => match understand(Event::Line(line), deadline) {
                Ok(requested) => request = Request::of(options.request.clone(), requested),
                Err(reply) => return reply,
            },
            Event::Other => break false,
            Event::TimeUp => break is_pending,
        }
    };
    let evidence = asking.map(|asking| match is_late {
        true => Err(format!("{} gave no answer in time", asking.source())),
        false => asking.evidence(),
    });

    match request {
        Request::Thresholds(thresholds) => {
            let statistics = evidence.map(|evidence| match evidence? {
                Evidence::Statistics(statistics) => statistics,
            });
            Reply::to_thresholds(&thresholds.judge(options.load, statistics.as_ref()))
        }
    }
}

/// The request in what came over the connection, `None` if that holds none; the reply if it cannot
/// be understood.
fn understand(event: Event, deadline: Deadline) -> Result<Option<Request>, Reply> {
    let line = match event {
        Event::Line(Line::Whole(line)) => line,
        Event::Line(Line::TooLong) => {
            return Err(Reply::not_understood("the request line is longer than 1024 bytes"));
        }
        Event::Line(Line::Unended) => {
            let budget = deadline.budget().as_millis();
            let why = format!("the request line did not end within {budget} ms");
            return Err(Reply::not_understood(&why));
        }
        Event::Other | Event::TimeUp => return Ok(None),
    };
    Request::parse(&String::from_utf8_lossy(&line))
        .map_err(|error| Reply::not_understood(&error.to_string()))
}
