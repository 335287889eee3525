/*!
The command line: options with their meaning and defaults, and the words of the request.
*/

use std::ffi::OsString;
use std::time::Duration;

use lexopt::prelude::*;

use crate::load::Period;
use crate::request::Request;
use crate::url::Url;

/// The page that a WCS serves on its own host; from Flashphoner's documentation.
const DEFAULT_STATS_URL: &str = "http://127.0.0.1:8081/?action=stat";

/// Under the 2 s of HAProxy's default `agent-inter`, which is also how long it waits for an answer.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(1500);

/// Longer than any HAProxy waits for an agent.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

/// The answer to `--help`.
pub const HELP: &str = "\
Tells an HAProxy whether the server behind it can take traffic.

Usage: haproxy-agent-check [OPTIONS] [REQUEST]...

Request: NAME [LIMIT] [NAME [LIMIT]]..., down when a value reaches its limit
  cpu          5-minute load average per online CPU, percent (default 90)
  publishers, subscribers, hls   streams of the WCS (default 100 each)
  band-in, band-out              its bandwidth in Mbps (default 100 each)
  stat:KEY     any numeric key of its statistics page (a limit is required)
  Without a request: all but stat:KEY, those that the WCS reports.

Options:
  -u, --stats-url URL    statistics page [http://127.0.0.1:8081/?action=stat]
  -t, --timeout TIME     time for the whole run: 1500ms, 1.5s, 1500 [1500ms]
      --load 1|5|15      which load average cpu uses [5]
  -d, --describe         say why, behind a #
      --agent-send MODE  its request line: optional, required, ignore [optional]
  -h, --help             print this
  -V, --version          print the version

Exit status: 0 up, 1 any other state, 2 request or options not understood
";

/// What the request line on standard input means to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentSend {
    /// Used if it is there in time.
    Optional,
    /// Waited for.
    Required,
    /// Not read as a request.
    Ignore,
}

/// What a run is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub stats_url: Url,
    pub timeout: Duration,
    pub load: Period,
    pub describe: bool,
    pub agent_send: AgentSend,
    /// The request of the command line, if it holds one.
    pub request: Option<Request>,
}

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Command {
    Run(Options),
    Help,
    Version,
}

/// Parses the command line without its program name. Fails with a sentence that names the word that
/// is wrong and says what would be right.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut stats_url = DEFAULT_STATS_URL.to_owned();
    let mut timeout = DEFAULT_TIMEOUT;
    let mut load = Period::FiveMinutes;
    let mut describe = false;
    let mut agent_send = AgentSend::Optional;
    let mut words = Vec::new();

    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|error| see_help(&error))? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Short('u') | Long("stats-url") => stats_url = value(&mut parser)?,
            Short('t') | Long("timeout") => timeout = parse_timeout(&value(&mut parser)?)?,
            Long("load") => load = parse_load(&value(&mut parser)?)?,
            Short('d') | Long("describe") => describe = true,
            Long("agent-send") => agent_send = parse_agent_send(&value(&mut parser)?)?,
            Value(word) => words.push(word.to_string_lossy().into_owned()),
            Short(digit) if digit.is_ascii_digit() => {
                return Err(format!(
                    "'-{digit}' is no option, and a limit is a number of 0 or more"
                ));
            }
            Short(_) | Long(_) => return Err(see_help(&arg.unexpected())),
        }
    }
    let request = Request::parse(&words.join(" ")).map_err(|error| error.to_string())?;
    // Without its query and user information, which are nobody's business.
    let stats_url = Url::parse(&stats_url).map_err(|error| match stats_url.split('?').next() {
        Some(shown) if !shown.contains('@') => format!("--stats-url: '{shown}' {error}"),
        _ => format!("--stats-url {error}"),
    })?;
    Ok(Command::Run(Options { stats_url, timeout, load, describe, agent_send, request }))
}

fn see_help(error: &lexopt::Error) -> String {
    format!("{error}; see haproxy-agent-check --help")
}

fn value(parser: &mut lexopt::Parser) -> Result<String, String> {
    let value = parser.value().map_err(|error| see_help(&error))?;
    Ok(value.to_string_lossy().into_owned())
}

/// Parses a time as HAProxy writes it: a number, in milliseconds unless `ms` or `s` follows.
fn parse_timeout(text: &str) -> Result<Duration, String> {
    let (number, unit_ms) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1.0),
        (None, Some(number)) => (number, 1000.0),
        (None, None) => (text, 1.0),
    };
    let is_decimal = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let seconds = number.parse().ok().filter(|_| is_decimal).map(|n: f64| n * unit_ms / 1000.0);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| *time >= Duration::from_millis(1) && *time <= LONGEST_TIMEOUT)
        .ok_or_else(|| format!("--timeout: '{text}' is no time from 1ms to 3600s"))
}

fn parse_load(text: &str) -> Result<Period, String> {
    match text {
        "1" => Ok(Period::OneMinute),
        "5" => Ok(Period::FiveMinutes),
        "15" => Ok(Period::FifteenMinutes),
        _ => Err(format!("--load: '{text}' is not 1, 5 or 15")),
    }
}

fn parse_agent_send(text: &str) -> Result<AgentSend, String> {
    match text {
        "optional" => Ok(AgentSend::Optional),
        "required" => Ok(AgentSend::Required),
        "ignore" => Ok(AgentSend::Ignore),
        _ => Err(format!("--agent-send: '{text}' is not optional, required or ignore")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(args: &[&str]) -> Result<Options, String> {
        match parse(args.iter().map(OsString::from))? {
            Command::Run(options) => Ok(options),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn times_are_read_as_haproxy_writes_them() {
        for (text, ms) in [("1500ms", 1500), ("1.5s", 1500), ("2s", 2000), ("250", 250), ("1", 1)] {
            assert_eq!(parse_timeout(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "ms", "0", "0s", "-1", "1m", "1e3", "inf", "nans", "1 s", "3601s"] {
            assert!(parse_timeout(text).is_err(), "{text}");
        }
        assert!(parse_timeout(&"9".repeat(400)).is_err());
    }

    #[test]
    fn options_and_words_come_in_any_order() {
        let a = options(&["-d", "-t2s", "cpu", "70", "--load=15"]).unwrap();
        let b = options(&["cpu 70", "--load", "15", "--timeout", "2000", "--describe"]).unwrap();
        assert_eq!(a, b);
        assert!(a.describe && a.load == Period::FifteenMinutes);
    }

    #[test]
    fn help_is_one_screen() {
        assert!(HELP.lines().count() <= 24);
        assert!(HELP.lines().all(|line| line.len() <= 80));
    }
}
