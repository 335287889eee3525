/*!
One run of `haproxy-agent-check`: one connection, one request, one line.

Data flows one way: words and line (`cli`, `request_line`) -> request (`request`) -> measurements
(`source`, `load`) -> verdict (`verdict`) -> reply (`reply`) -> bytes and exit status. The descriptors,
the clock and the network are touched at the ends only, and whatever waits waits in `wait`.

A check is a file: how it reads its words, how it judges. See `thresholds` and, for where its values
come from, `statistics` and `load`; see `api` for services that are asked over HTTP or a WebSocket.
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
use std::time::{Duration, Instant};

use cli::{AgentSend, Command, Options};
use net::url::Url;
use process::confinement;
use process::deadline::Deadline;
use process::input::Input;
use process::output;
use process::panics::{self, Panic};
use process::peer::Peer;
use process::request_line::{Event, Line, RequestLine};
use process::signals;
use process::wait::Wait;
use reply::Reply;
use reply::explain::explain;
use reply::maintenance::Maintenance;
use reply::syslog;
use request::Request;
use values::{Evidence, Measured, Source, Timed, load};
use verdict::Outcome;

/// How long a request line is waited for on a pipe or a file, where it is there at once or never.
const PIPE_WAIT: Duration = Duration::from_millis(100);

/// How long, at the very end, a peer that sends for ever is still read.
const LAST_DRAIN: Duration = Duration::from_millis(5);

/// Carries out one run on this process's arguments and its descriptors 0, 1 and 2, and returns its
/// exit status: 0 for `up`, 1 for any other state, 2 for what could not be understood.
pub fn run() -> ExitCode {
    let start = Instant::now();
    panics::silence();
    signals::ignore_timers();
    let input = Input::of_process();
    // Asked now, since a peer that has its answer is soon gone.
    let peer = Peer::of(input);
    let panicked = |panic: Panic| End::from(Outcome::Unmeasured(panic.to_string()));
    let (options, end) = match panics::catch(|| cli::parse(env::args_os().skip(1))) {
        Ok(Command::Help) => return print(cli::HELP),
        Ok(Command::Version) => {
            return print(concat!("haproxy-agent-check ", env!("CARGO_PKG_VERSION"), "\n"));
        }
        Ok(Command::Run(options)) => {
            let deadline = Deadline::new(start, options.timeout);
            let end = panics::catch(|| answer(&options, input, &peer, deadline));
            let end = end.map_or_else(panicked, |end| end.unwrap_or_else(|end| end));
            (*options, end)
        }
        Err(panic) => (Options::default(), panicked(panic)),
    };
    let request = if end.request.is_empty() { &options.words } else { &end.request };
    let leave_at = Deadline::new(start, options.timeout).leave_at();
    let (reply, line) = panics::catch(|| {
        let reply = Reply::new(&end.outcome, options.style());
        let line = reply.to_string();
        (reply, line)
    })
    .unwrap_or_else(|_| (Reply::internal_error(), "fail\n".to_owned()));

    output::write_reply(&line, leave_at);
    input.drain(leave_at);
    // The line is out: nothing of what follows may fail, and nothing of it has to succeed.
    let _ = panics::catch(|| {
        if options.syslog && !reply.is_up() {
            syslog::write(&end.outcome, &peer, request);
        }
        if let Outcome::NotUnderstood(error) = &end.outcome {
            let error = format!("haproxy-agent-check: {}\n", reply::printable(error));
            output::write_error(&error, leave_at);
        }
        if options.explain {
            let colour = output::error_is_terminal() && !has_no_color();
            let table = explain(request, &end.outcome, &reply, start.elapsed(), colour);
            output::write_error(&table, leave_at);
        }
    });
    // What came meanwhile, also if standard error has taken all the time.
    input.drain(Instant::now() + LAST_DRAIN);
    ExitCode::from(reply.exit_status())
}

/// Answers `--help` and `--version`.
fn print(text: &str) -> ExitCode {
    output::write_reply(text, Instant::now() + Options::default().timeout);
    ExitCode::SUCCESS
}

/// Whether the user wants no colours; <https://no-color.org>.
fn has_no_color() -> bool {
    env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// How a run ended, and on which request.
struct End {
    outcome: Outcome,
    /// The words of the request, as far as there are any.
    request: String,
}

impl From<Outcome> for End {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, request: String::new() }
    }
}

/// Works out the request, measures what it needs, and judges. An error is an end too, one that came
/// before there was anything to judge.
fn answer(options: &Options, input: Input, peer: &Peer, deadline: Deadline) -> Result<End, End> {
    let maint_file = options.maint_file.as_ref();
    if let Some(maintenance) = maint_file.and_then(|path| Maintenance::read(path, deadline)) {
        return Ok(Outcome::Maintenance(maintenance).into());
    }
    confinement::confine();
    let asker = Asker::new(options, peer)?;
    let mut line = RequestLine::new(input);
    let mut request = asker.request(first_line(options.agent_send, &mut line, deadline))?;

    // Until there is an answer, a line may come that changes the request.
    let wait = Wait::new(deadline, line);
    let mut asked: Option<(Source, Timed<Evidence>)> = None;
    loop {
        let source = request.source(&options.stats_url);
        if asked.as_ref().map(|(source, _)| source) != source.as_ref() {
            asked = source.map(|source| {
                wait.stop_when(asker.overrules(&source));
                let evidence = Timed::of(|| source.ask(&wait));
                (source, evidence)
            });
        }
        match wait.line() {
            Some(line) => request = asker.request(Some(line))?,
            None => break,
        }
    }
    let measured = Measured {
        load: request.needs_load().then(|| Timed::of(|| load::percent(options.load, deadline))),
        evidence: asked.map(|(_, evidence)| evidence),
    };
    Ok(End { outcome: request.judge(&measured), request: request.to_string() })
}

/// The line that is there, or comes while nothing but it can be waited for.
fn first_line(mode: AgentSend, line: &mut RequestLine, deadline: Deadline) -> Option<Line> {
    let (idle_until, last) = match (mode, line.input()) {
        (AgentSend::Ignore, _) => {
            line.ignore();
            return None;
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
        Event::Line(line) => Some(line),
        Event::Other | Event::TimeUp => None,
    }
}

/// Who asks, with which command line.
#[derive(Clone)]
struct Asker {
    options: Options,
    peer: Peer,
    /// The request of the command line, if it holds one.
    command_line: Option<Request>,
}

impl Asker {
    fn new(options: &Options, peer: &Peer) -> Result<Self, End> {
        if let Some(misuse) = &options.misuse {
            return Err(not_understood(misuse, &options.words));
        }
        let command_line = parse(&options.words)?;
        Ok(Self { options: options.clone(), peer: peer.clone(), command_line })
    }

    /// The request of the command line and of the line that came, if one came; the end of the run
    /// where that is none to measure for.
    fn request(&self, line: Option<Line>) -> Result<Request, End> {
        let line = match line {
            None => None,
            Some(Line::Whole(line)) => parse(&String::from_utf8_lossy(&line))?,
            Some(Line::TooLong) => {
                return Err(not_understood("the request line is longer than 1024 bytes", ""));
            }
            Some(Line::Unended) => {
                return Err(not_understood("the request line did not end in time", ""));
            }
            Some(Line::Unreadable(error)) => {
                let why = format!("the request line cannot be read: {error}");
                return Err(Outcome::Unmeasured(why).into());
            }
        };
        let refusal = match &line {
            None if self.options.agent_send == AgentSend::Required => "no request line came",
            Some(request) if !self.may_ask(request) => "url not allowed",
            _ => return Ok(Request::of(self.command_line.clone(), line)),
        };
        let request = line.map_or_else(String::new, |request| request.to_string());
        Err(End { outcome: Outcome::Unmeasured(refusal.to_owned()), request })
    }

    /// Whether the peer may have the agent open every URL that a request line names.
    fn may_ask(&self, request: &Request) -> bool {
        let is_allowed = |url: &Url| self.options.allow_urls.contains(url.origin());
        self.peer.is_local() || request.urls().into_iter().all(is_allowed)
    }

    /// Whether a line makes it useless to go on asking `source`.
    fn overrules(&self, source: &Source) -> impl Fn(&Line) -> bool + use<> {
        let (asker, source) = (self.clone(), source.clone());
        move |line| match asker.request(Some(line.clone())) {
            Ok(request) => request.source(&asker.options.stats_url).as_ref() != Some(&source),
            Err(_) => true,
        }
    }
}

/// The request in a text, if it holds one.
fn parse(text: &str) -> Result<Option<Request>, End> {
    Request::parse(text).map_err(|error| not_understood(&error.to_string(), text))
}

/// The end of a run whose request, `text`, cannot be understood.
fn not_understood(why: &str, text: &str) -> End {
    End { outcome: Outcome::NotUnderstood(why.to_owned()), request: text.trim().to_owned() }
}
