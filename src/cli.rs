/*!
The command line: options with their meaning and defaults, and the words of the request.
*/

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lexopt::prelude::*;

use crate::net::secrets::option_without_secrets;
use crate::net::url::{Protocol, Url, UrlError};
use crate::process::deadline::Deadline;
use crate::reply::at_limit::AtLimit;
use crate::reply::line::Style;
use crate::request::agent_send::AgentSend;
use crate::request::allowed_urls::AllowedUrls;
use crate::text::decimal::decimal;
use crate::values::settings::{LoadAverage, Settings};
use crate::verdict::hysteresis::Hysteresis;

/// The longest time that `--timeout` accepts. No HAProxy waits so long for an agent.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

/// The answer to `--version`.
const VERSION: &str = concat!("haproxy-agent-check ", env!("CARGO_PKG_VERSION"), "\n");

/// The answer to `--help`.
const HELP: &str = "\
Usage: haproxy-agent-check [OPTIONS] [REQUEST]...

Request: NAME [LIMIT] [NAME [LIMIT]]..., down when a value reaches its limit;
  cpu (percent of the online CPUs, 90), publishers, subscribers, hls (streams,
  100 each), band-in, band-out (Mbps, 100 each), memory, disk:PATH (percent in
  use, 90 each), stat:KEY (a number of the statistics page, no default). A lower
  limit is min:LIMIT. Without a request: cpu to band-out.
Or: TYPE|URL[|BLOCKS[|HOST]] with v1, v2, atomic, contract, hyperion;
  ship|URL[|BLOCKS], stream|URL, ws|URL[|HOST], http|URL[|STATUS[|HOST]];
  debug|REPLY.

  -u, --stats-url URL    statistics page [http://127.0.0.1:8081/?action=stat]
      --stats-headers FILE  headers for that page, one 'Name: value' a line
  -t, --timeout TIME     time for the whole run: 1500ms, 1.5s, 1500 [1500ms]
      --load 1|5|15      minutes of the load average that cpu uses [5]
  -w, --weight-from PCT  reduce the weight above PCT % of a limit, 0 to 99
      --at-limit STATE   reply at a limit: down, drain, 0% to 99% [down]
      --recover PCT      a full server is up again below PCT % of its limits
      --state FILE       for --recover: FILE exists while the server is full
  -d, --describe         add the reason to the reply, after a #
  -e, --explain          print a table of values and limits on standard error
      --agent-send MODE  HAProxy's line: optional, required, ignore [optional]
  -a, --allow-url ORIGIN what request lines may name: scheme://host[:port], any
  -m, --maint-file PATH  reply what this file says while it exists
  -l, --syslog           log every reply that is not up
  -h, --help             print this help
  -V, --version          print the version

Exit status: 0 up, 1 any other state or a limit reached, 2 not understood
";

/// What the options say about a run.
#[derive(Debug)]
pub struct Options {
    pub settings: Settings,
    /// The time for the whole run.
    pub timeout: Duration,
    pub style: Style,
    pub explain: bool,
    pub agent_send: AgentSend,
    pub allowed_urls: AllowedUrls,
    pub maint_file: Option<PathBuf>,
    /// A server at its limit is held until every value is below this percentage of its limit.
    pub recover_percent: Option<f64>,
    /// The file that exists while the server is held.
    pub state_file: Option<PathBuf>,
    pub syslog: bool,
    /// The words of the request, joined by spaces.
    pub words: String,
    /// The first mistake in the options.
    pub misuse: Option<Arc<OptionError>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            timeout: Duration::from_millis(1500),
            style: Style::default(),
            explain: false,
            agent_send: AgentSend::Optional,
            allowed_urls: AllowedUrls::default(),
            maint_file: None,
            recover_percent: None,
            state_file: None,
            syslog: false,
            words: String::new(),
            misuse: None,
        }
    }
}

impl Options {
    /// What holds a server at its limit, if the options ask for it.
    pub fn hysteresis(&self, deadline: Deadline) -> Option<Hysteresis> {
        let (percent, path) = (self.recover_percent?, self.state_file.as_ref()?);
        Some(Hysteresis::new(percent, path, deadline))
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    Run(Box<Options>),
    /// Print this text and exit.
    Print(&'static str),
}

/// A mistake in the options. Displayed as a sentence that says what would be right.
#[derive(Debug)]
pub enum OptionError {
    /// An unknown option, a value that is missing, or a value that is not expected.
    Syntax(lexopt::Error),
    /// A number with a minus sign, such as `-5`.
    Negative(char),
    Value {
        option: &'static str,
        text: String,
        problem: &'static str,
    },
    Url {
        option: &'static str,
        text: String,
        error: UrlError,
    },
    /// The first option has no meaning without the second one.
    Alone(&'static str, &'static str),
    /// This option names no file.
    EmptyPath(&'static str),
}

impl Error for OptionError {}

impl From<lexopt::Error> for OptionError {
    fn from(error: lexopt::Error) -> Self {
        Self::Syntax(error)
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => write!(f, "{error}; see haproxy-agent-check --help"),
            Self::Negative(digit) => {
                write!(f, "'-{digit}' is no option, and a limit is a number of 0 or more")
            }
            Self::Value { option, text, problem } => {
                write!(f, "{option}: '{}' {problem}", option_without_secrets(text))
            }
            Self::Url { option, error: UrlError::TooLong, .. } => {
                write!(f, "{option} {}", UrlError::TooLong)
            }
            Self::Url { option, text, error } => {
                write!(f, "{option}: '{}' {error}", option_without_secrets(text))
            }
            Self::Alone(option, other) => write!(f, "{option} needs {other}"),
            Self::EmptyPath(option) => write!(f, "{option}: the path is empty"),
        }
    }
}

/// What an argument is.
enum Argument {
    Option,
    Word(String),
    Print(&'static str),
}

/// Parses the command line without its program name. The words of the request are not parsed.
///
/// A mistake becomes [`Options::misuse`], and the other options still count. So the reply to a mistake is
/// logged and explained like any other, and a maintenance file still takes the server out.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Command {
    let mut options = Options::default();
    let mut words = Vec::new();
    let mut parser = lexopt::Parser::from_args(args);
    loop {
        match parse_next(&mut parser, &mut options) {
            Ok(Some(Argument::Option)) => {}
            Ok(Some(Argument::Word(word))) => words.push(word),
            Ok(Some(Argument::Print(text))) => return Command::Print(text),
            Ok(None) => break,
            Err(misuse) => options.misuse = options.misuse.or(Some(Arc::new(misuse))),
        }
    }
    options.words = words.join(" ");
    let alone = match (options.recover_percent.is_some(), options.state_file.is_some()) {
        (true, false) => Some(OptionError::Alone("--recover", "--state")),
        (false, true) => Some(OptionError::Alone("--state", "--recover")),
        _ => None,
    };
    options.misuse = options.misuse.or(alone.map(Arc::new));
    Command::Run(Box::new(options))
}

/// Parses the next argument. Returns `None` after the last argument.
fn parse_next(
    parser: &mut lexopt::Parser,
    options: &mut Options,
) -> Result<Option<Argument>, OptionError> {
    let Some(arg) = parser.next()? else {
        return Ok(None);
    };
    match arg {
        Short('h') | Long("help") => return Ok(Some(Argument::Print(HELP))),
        Short('V') | Long("version") => return Ok(Some(Argument::Print(VERSION))),
        Value(word) => return Ok(Some(Argument::Word(word.to_string_lossy().into_owned()))),
        Short('u') | Long("stats-url") => {
            options.settings.stats_url = parse_stats_url(value(parser)?)?;
        }
        Long("stats-headers") => {
            options.settings.stats_headers = Some(path(parser, "--stats-headers")?);
        }
        Short('t') | Long("timeout") => options.timeout = parse_timeout(value(parser)?)?,
        Long("load") => options.settings.load = parse_load(value(parser)?)?,
        Short('w') | Long("weight-from") => {
            options.style.weight_from_percent = Some(parse_weight_from(value(parser)?)?);
        }
        Long("recover") => options.recover_percent = Some(parse_recover(value(parser)?)?),
        Long("state") => options.state_file = Some(path(parser, "--state")?),
        Long("at-limit") => options.style.at_limit = parse_at_limit(value(parser)?)?,
        Short('d') | Long("describe") => options.style.describe = true,
        Short('e') | Long("explain") => options.explain = true,
        Long("agent-send") => options.agent_send = parse_agent_send(value(parser)?)?,
        Short('a') | Long("allow-url") => allow_url(value(parser)?, &mut options.allowed_urls)?,
        Short('m') | Long("maint-file") => {
            options.maint_file = Some(path(parser, "--maint-file")?);
            options.style.is_ready = true;
        }
        Short('l') | Long("syslog") => options.syslog = true,
        Short(digit) if digit.is_ascii_digit() => return Err(OptionError::Negative(digit)),
        Short(_) | Long(_) => return Err(arg.unexpected().into()),
    }
    Ok(Some(Argument::Option))
}

fn value(parser: &mut lexopt::Parser) -> Result<String, OptionError> {
    Ok(parser.value()?.to_string_lossy().into_owned())
}

fn path(parser: &mut lexopt::Parser, option: &'static str) -> Result<PathBuf, OptionError> {
    match parser.value()? {
        path if path.is_empty() => Err(OptionError::EmptyPath(option)),
        path => Ok(path.into()),
    }
}

/// Parses a time as HAProxy writes it: a number in milliseconds, or with the unit `ms` or `s`.
fn parse_timeout(text: String) -> Result<Duration, OptionError> {
    let (number, unit_ms) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1.0),
        (None, Some(number)) => (number, 1000.0),
        (None, None) => (text.as_str(), 1.0),
    };
    let (option, problem) = ("--timeout", "is no time from 1ms to 3600s");
    decimal(number)
        .and_then(|number| Duration::try_from_secs_f64(number * unit_ms / 1000.0).ok())
        .filter(|time| *time >= Duration::from_millis(1) && *time <= LONGEST_TIMEOUT)
        .ok_or(OptionError::Value { option, text, problem })
}

fn parse_stats_url(text: String) -> Result<Url, OptionError> {
    let option = "--stats-url";
    Url::of(&text, Protocol::Http).map_err(|error| OptionError::Url { option, text, error })
}

fn allow_url(text: String, allowed_urls: &mut AllowedUrls) -> Result<(), OptionError> {
    let option = "--allow-url";
    allowed_urls.add(&text).map_err(|error| OptionError::Url { option, text, error })
}

fn parse_weight_from(text: String) -> Result<f64, OptionError> {
    let problem = "is no percentage from 0 to 99";
    percentage(&text, 0.0).ok_or(OptionError::Value { option: "--weight-from", text, problem })
}

fn parse_recover(text: String) -> Result<f64, OptionError> {
    let problem = "is no percentage from 1 to 99";
    percentage(&text, 1.0).ok_or(OptionError::Value { option: "--recover", text, problem })
}

/// Parses a percentage from `least` to 99.
fn percentage(text: &str, least: f64) -> Option<f64> {
    let percent = decimal(text.strip_suffix('%').unwrap_or(text));
    percent.filter(|percent| (least..=99.0).contains(percent))
}

fn parse_at_limit(text: String) -> Result<AtLimit, OptionError> {
    let (option, problem) = ("--at-limit", "is not down, drain or a weight from 0% to 99%");
    AtLimit::parse(&text).ok_or(OptionError::Value { option, text, problem })
}

fn parse_load(text: String) -> Result<LoadAverage, OptionError> {
    match text.as_str() {
        "1" => Ok(LoadAverage::OneMinute),
        "5" => Ok(LoadAverage::FiveMinutes),
        "15" => Ok(LoadAverage::FifteenMinutes),
        _ => Err(OptionError::Value { option: "--load", text, problem: "is not 1, 5 or 15" }),
    }
}

fn parse_agent_send(text: String) -> Result<AgentSend, OptionError> {
    let (option, problem) = ("--agent-send", "is not optional, required or ignore");
    match text.as_str() {
        "optional" => Ok(AgentSend::Optional),
        "required" => Ok(AgentSend::Required),
        "ignore" => Ok(AgentSend::Ignore),
        _ => Err(OptionError::Value { option, text, problem }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(args: &[&str]) -> Options {
        match parse(args.iter().map(OsString::from)) {
            Command::Run(options) => *options,
            Command::Print(text) => panic!("{text}"),
        }
    }

    fn misuse(args: &[&str]) -> Option<String> {
        options(args).misuse.map(|misuse| misuse.to_string())
    }

    #[test]
    fn times_are_read_as_haproxy_writes_them() {
        let parse = |text: &str| parse_timeout(text.to_owned());
        for (text, ms) in [("1500ms", 1500), ("1.5s", 1500), ("2s", 2000), ("250", 250), ("1", 1)] {
            assert_eq!(parse(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
        for text in ["", "s", "ms", "0", "0s", "-1", "1m", "1e3", "inf", "nans", "1 s", "3601s"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"9".repeat(400)).is_err());
    }

    #[test]
    fn options_and_words_come_in_any_order() {
        let a = options(&["-d", "-t2s", "cpu", "70", "--load=15"]);
        let b = options(&["cpu 70", "--load", "15", "--timeout", "2000", "--describe"]);
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
        assert!(a.style.describe && a.settings.load == LoadAverage::FifteenMinutes);
        assert_eq!(a.words, "cpu 70");
    }

    #[test]
    fn a_request_line_is_optional_required_or_ignored() {
        for (word, mode) in [
            ("optional", AgentSend::Optional),
            ("required", AgentSend::Required),
            ("ignore", AgentSend::Ignore),
        ] {
            assert_eq!(options(&["--agent-send", word]).agent_send, mode);
        }
        assert!(misuse(&["--agent-send", ""]).is_some());
        assert_eq!(options(&[]).agent_send, AgentSend::Optional);
    }

    #[test]
    fn the_weight_is_reduced_from_a_percentage_from_0_to_99() {
        for (text, percent) in [("0", 0.0), ("80", 80.0), ("80%", 80.0), ("99", 99.0)] {
            assert_eq!(options(&["-w", text]).style.weight_from_percent, Some(percent), "{text}");
        }
        for text in ["", "%", "-1", "99.5", "100", "1e1", "nan", "eighty"] {
            assert!(misuse(&["-w", text]).is_some(), "{text}");
        }
    }

    #[test]
    fn other_options_count_after_a_mistake() {
        let args = ["-w", "many", "--bogus", "-d=x", "-lm", "file", "cpu"];
        let options = options(&args);
        assert!(options.syslog && options.maint_file.is_some());
        assert_eq!(options.words, "cpu");
        let first = "--weight-from: 'many' is no percentage from 0 to 99";
        assert_eq!(misuse(&args).as_deref(), Some(first));
    }

    #[test]
    fn a_mistake_is_named_with_what_would_be_right() {
        let long = format!("http://a/{}", "x".repeat(3000));
        for (args, sentence) in [
            (&["cpu", "-5"][..], "'-5' is no option, and a limit is a number of 0 or more"),
            (&["-x"], "invalid option '-x'; see haproxy-agent-check --help"),
            (&["-t", "soon"], "--timeout: 'soon' is no time from 1ms to 3600s"),
            (&["--load", "2"], "--load: '2' is not 1, 5 or 15"),
            (&["--agent-send", "x"], "--agent-send: 'x' is not optional, required or ignore"),
            (&["-m", ""], "--maint-file: the path is empty"),
            (&["--stats-headers", ""], "--stats-headers: the path is empty"),
            (
                &["-u", "stat"],
                "--stats-url: 'stat' is no URL: SCHEME://HOST[:PORT][/PATH] is expected",
            ),
            (
                &["-a", "ftp://a"],
                "--allow-url: 'ftp://a' has another scheme than http, https, ws or wss",
            ),
            (&["-u", &long], "--stats-url is longer than 2048 bytes"),
            (&["-a", &long], "--allow-url is longer than 2048 bytes"),
        ] {
            assert_eq!(misuse(args).as_deref(), Some(sentence));
        }
    }

    #[test]
    fn help_is_short_and_fits_80_columns() {
        assert!(HELP.lines().count() <= 36);
        assert!(HELP.lines().all(|line| line.len() <= 80));
    }
}
