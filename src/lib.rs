/*!
One run of `haproxy-agent-check`: one connection, one request, one line.

Data flows one way: words and line (`cli`, `connection`) -> request (`request`) -> measurements
(`source`, `load`) -> verdict (`verdict`) -> reply (`reply`) -> bytes and exit status. The descriptors,
the clock and the network are touched at the ends only, and whatever waits waits in `patience`.

A check is a file: how it reads its words, how it judges. See `thresholds` and, for where its values
come from, `statistics` and `load`.
*/

#![forbid(unsafe_code)]

mod cli;
mod connection;
mod deadline;
mod http;
mod load;
mod patience;
mod reply;
mod request;
mod resolver;
mod source;
mod statistics;
mod stream;
mod thresholds;
mod url;
mod verdict;

use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cli::{AgentSend, Command, Options};
use connection::{Event, Input, Line, RequestLine};
use deadline::Deadline;
use patience::Patience;
use reply::{Reply, State};
use request::Request;
use source::{Evidence, Source};

/// How long a request line is waited for on a pipe or a file, where it is there at once or never.
const PIPE_WAIT: Duration = Duration::from_millis(100);

/// Carries out one run on this process's arguments and its descriptors 0, 1 and 2, and returns its
/// exit status: 0 for `up`, 1 for any other state, 2 for what could not be understood.
pub fn run() -> ExitCode {
    let start = Instant::now();
    // Its message would go to descriptor 2, which may be the connection.
    panic::set_hook(Box::new(|_| {}));
    let input = Input::of_process();
    let mut deadline = Deadline::new(start, cli::DEFAULT_TIMEOUT);

    let reply = match guarded(|| cli::parse(env::args_os().skip(1))) {
        Ok(Ok(Command::Help)) => return print(cli::HELP),
        Ok(Ok(Command::Version)) => {
            return print(concat!("haproxy-agent-check ", env!("CARGO_PKG_VERSION"), "\n"));
        }
        Ok(Ok(Command::Run(options))) => {
            deadline = Deadline::new(start, options.timeout);
            let reply = guarded(|| answer(&options, input, deadline))
                .unwrap_or_else(|why| Reply::unmeasured(State::Fail, &why));
            if options.describe { reply } else { reply.brief() }
        }
        Ok(Err(error)) => Reply::not_understood(&error),
        Err(why) => Reply::unmeasured(State::Fail, &why),
    };

    let line = guarded(|| reply.to_string()).unwrap_or_else(|_| "fail\n".to_owned());
    connection::write_reply(&line, deadline.leave_at());
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

/// What `work` makes. Fails with a sentence if it panics, which is a mistake in this program and no
/// reason to leave HAProxy without a line.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // Nothing that a panic may have left half done is looked at again.
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let message = match panic.downcast_ref::<String>() {
            Some(message) => message.as_str(),
            None => panic.downcast_ref::<&str>().copied().unwrap_or("no message"),
        };
        format!("internal error, please report it: {message}")
    })
}

/// Works out the request, asks what it needs, and judges.
fn answer(options: &Options, input: Input, deadline: Deadline) -> Reply {
    let mut line = RequestLine::new(input);
    let mut request = match first_line(options.agent_send, &mut line, deadline) {
        Ok(None) if options.agent_send == AgentSend::Required => {
            return Reply::unmeasured(State::Fail, "no request line came");
        }
        Ok(line) => Request::of(options.request.clone(), line),
        Err(error) => return Reply::not_understood(&error),
    };

    // Until there is an answer, a line may come that changes the request.
    let patience = Patience::new(deadline, line);
    let mut asked: Option<(Source, Evidence)> = None;
    loop {
        let source = request.source(options);
        if asked.as_ref().map(|(source, _)| source) != source.as_ref() {
            asked = source.map(|source| {
                patience.end_if(overrules(options.clone(), source.clone()));
                let evidence = source.ask(&patience);
                (source, evidence)
            });
        }
        match patience.line().map(understand) {
            Some(Ok(line)) => request = Request::of(options.request.clone(), line),
            Some(Err(error)) => return Reply::not_understood(&error),
            None => break,
        }
    }
    let evidence = asked.map(|(_, evidence)| evidence);

    match request {
        Request::Thresholds(thresholds) => {
            Reply::to_thresholds(&thresholds.judge(options.load, evidence.as_ref()))
        }
    }
}

/// The request in the line that is there, or comes while nothing but it can be waited for.
fn first_line(
    mode: AgentSend,
    line: &mut RequestLine,
    deadline: Deadline,
) -> Result<Option<Request>, String> {
    let (idle_until, last) = match (mode, line.input()) {
        (AgentSend::Ignore, _) => {
            line.ignore();
            return Ok(None);
        }
        (AgentSend::Required, _) => (deadline.at(), deadline.at()),
        (AgentSend::Optional, Input::Pipe | Input::File) => {
            let until = deadline.at().min(Instant::now() + PIPE_WAIT);
            (until, until)
        }
        (AgentSend::Optional, Input::Socket | Input::Terminal) => (Instant::now(), deadline.at()),
    };
    let event = line.wait(None, idle_until, last);
    if line.input() != Input::Socket {
        // It has had its time; only a connection is listened to any longer.
        line.ignore();
    }
    match event {
        Event::Line(line) => understand(line),
        Event::Other | Event::TimeUp => Ok(None),
    }
}

/// Whether a line makes it useless to go on asking `source`.
fn overrules(options: Options, source: Source) -> impl Fn(&Line) -> bool {
    move |line| match understand(line.clone()) {
        Ok(line) => {
            Request::of(options.request.clone(), line).source(&options).as_ref() != Some(&source)
        }
        Err(_) => true,
    }
}

/// The request in a line, `None` if it holds none. Fails with a sentence.
fn understand(line: Line) -> Result<Option<Request>, String> {
    match line {
        Line::Whole(line) => {
            Request::parse(&String::from_utf8_lossy(&line)).map_err(|error| error.to_string())
        }
        Line::TooLong => Err("the request line is longer than 1024 bytes".to_owned()),
        Line::Unended => Err("the request line did not end in time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_sentence() {
        for (panic, message) in [
            (guarded(|| panic!("at {}", 7)), "at 7"),
            (guarded(|| panic!("here")), "here"),
            (guarded(|| panic::panic_any(7)), "no message"),
        ] {
            let sentence = format!("internal error, please report it: {message}");
            assert_eq!(panic, Err::<(), _>(sentence));
        }
    }
}
