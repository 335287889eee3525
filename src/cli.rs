/*!
The command line: options with their meaning and defaults, and the words of the request.
*/

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::net::secrets::without_secrets;
use crate::net::url::{Origin, Protocol, Url, UrlError};
use crate::reply::Style;
use crate::text::decimal::decimal;
use crate::values::load::Period;

/// Longer than any HAProxy waits for an agent.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

/// The answer to `--help`: one screen.
pub const HELP: &str = "\
Usage: haproxy-agent-check [OPTIONS] [REQUEST]...

Request: NAME [LIMIT] [NAME [LIMIT]]..., down when a value reaches its limit;
  cpu (percent of the online CPUs, 90), publishers, subscribers, hls (streams,
  100 each), band-in, band-out (Mbps, 100 each), stat:KEY (any key of the
  statistics page, no default). Without a request: all but stat:KEY.
Or: TYPE|URL[|BLOCKS[|HOST]] with v1, v2, atomic, contract, hyperion;
  ship|URL[|BLOCKS], stream|URL, ws|URL[|HOST]; debug|REPLY.

  -u, --stats-url URL    statistics page [http://127.0.0.1:8081/?action=stat]
  -t, --timeout TIME     time for the whole run: 1500ms, 1.5s, 1500 [1500ms]
      --load 1|5|15      minutes of the load average that cpu uses [5]
  -w, --weight-from PCT  lower the weight from PCT % of a limit on, 0 to 99
  -d, --describe         say why, behind a #
  -e, --explain          table of values and limits on standard error
      --agent-send MODE  HAProxy's line: optional, required, ignore [optional]
  -a, --allow-url ORIGIN scheme://host[:port] that request lines may name
  -m, --maint-file PATH  answer what the file says while it is there
  -l, --syslog           log every reply that is not up
  -h, --help             print this
  -V, --version          print the version

Exit status: 0 up, 1 any other state, 2 options or request not understood
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
    /// In percent of a limit.
    pub weight_from: Option<f64>,
    pub describe: bool,
    pub explain: bool,
    pub agent_send: AgentSend,
    pub allow_urls: Vec<Origin>,
    pub maint_file: Option<PathBuf>,
    pub syslog: bool,
    /// The words of the request.
    pub words: String,
    /// What is wrong with the options, in a sentence.
    pub misuse: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            stats_url: Url::statistics_page(),
            timeout: Duration::from_millis(1500),
            load: Period::FiveMinutes,
            weight_from: None,
            describe: false,
            explain: false,
            agent_send: AgentSend::Optional,
            allow_urls: Vec::new(),
            maint_file: None,
            syslog: false,
            words: String::new(),
            misuse: None,
        }
    }
}

impl Options {
    /// What the options say about replies.
    pub fn style(&self) -> Style {
        Style {
            describe: self.describe,
            weight_from_percent: self.weight_from,
            takes_back: self.maint_file.is_some(),
        }
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Command {
    Run(Box<Options>),
    Help,
    Version,
}

/// What an argument is for, besides being an option.
enum Role {
    Option,
    Word(String),
    Other(Command),
}

/// Parses the command line without its program name; the words of the request stay words.
///
/// What is wrong is kept as [`Options::misuse`], and the rest still counts: a reply on a mistake is
/// logged, explained and overruled by a maintenance file like any other.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Command {
    let mut options = Options::default();
    let mut words = Vec::new();
    let mut parser = lexopt::Parser::from_args(args);
    loop {
        match parse_next(&mut parser, &mut options) {
            Ok(Some(Role::Option)) => {}
            Ok(Some(Role::Word(word))) => words.push(word),
            Ok(Some(Role::Other(command))) => return command,
            Ok(None) => break,
            Err(misuse) => options.misuse = options.misuse.or(Some(misuse)),
        }
    }
    options.words = words.join(" ");
    Command::Run(Box::new(options))
}

/// Takes the next argument, `None` behind the last. Fails with a sentence that names what is wrong and
/// says what would be right.
fn parse_next(parser: &mut lexopt::Parser, options: &mut Options) -> Result<Option<Role>, String> {
    let Some(arg) = parser.next().map_err(|error| see_help(&error))? else {
        return Ok(None);
    };
    match arg {
        Short('h') | Long("help") => return Ok(Some(Role::Other(Command::Help))),
        Short('V') | Long("version") => return Ok(Some(Role::Other(Command::Version))),
        Value(word) => return Ok(Some(Role::Word(word.to_string_lossy().into_owned()))),
        Short('u') | Long("stats-url") => options.stats_url = parse_stats_url(&value(parser)?)?,
        Short('t') | Long("timeout") => options.timeout = parse_timeout(&value(parser)?)?,
        Long("load") => options.load = parse_load(&value(parser)?)?,
        Short('w') | Long("weight-from") => {
            options.weight_from = Some(parse_weight_from(&value(parser)?)?);
        }
        Short('d') | Long("describe") => options.describe = true,
        Short('e') | Long("explain") => options.explain = true,
        Long("agent-send") => options.agent_send = parse_agent_send(&value(parser)?)?,
        Short('a') | Long("allow-url") => options.allow_urls.push(parse_origin(&value(parser)?)?),
        Short('m') | Long("maint-file") => {
            let path = parser.value().map_err(|error| see_help(&error))?;
            if path.is_empty() {
                return Err("--maint-file: the path is empty".to_owned());
            }
            options.maint_file = Some(path.into());
        }
        Short('l') | Long("syslog") => options.syslog = true,
        Short(digit) if digit.is_ascii_digit() => {
            return Err(format!("'-{digit}' is no option, and a limit is a number of 0 or more"));
        }
        Short(_) | Long(_) => return Err(see_help(&arg.unexpected())),
    }
    Ok(Some(Role::Option))
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
    decimal(number)
        .and_then(|number| Duration::try_from_secs_f64(number * unit_ms / 1000.0).ok())
        .filter(|time| *time >= Duration::from_millis(1) && *time <= LONGEST_TIMEOUT)
        .ok_or_else(|| format!("--timeout: '{text}' is no time from 1ms to 3600s"))
}

fn parse_stats_url(text: &str) -> Result<Url, String> {
    let url = Url::of(text, Protocol::Http);
    url.map_err(|error| wrong_url("--stats-url", text, error))
}

fn parse_origin(text: &str) -> Result<Origin, String> {
    Origin::parse(text).map_err(|error| wrong_url("--allow-url", text, error))
}

fn wrong_url(option: &str, text: &str, error: UrlError) -> String {
    match error {
        UrlError::TooLong => format!("{option} {error}"),
        _ => format!("{option}: '{}' {error}", without_secrets(text)),
    }
}

fn parse_weight_from(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    decimal(number)
        .filter(|percent| *percent <= 99.0)
        .ok_or_else(|| format!("--weight-from: '{text}' is no percentage from 0 to 99"))
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
        match parse(args.iter().map(OsString::from)) {
            Command::Run(options) => Ok(*options),
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
    fn a_request_line_is_optional_required_or_ignored() {
        for (word, mode) in [
            ("optional", AgentSend::Optional),
            ("required", AgentSend::Required),
            ("ignore", AgentSend::Ignore),
        ] {
            assert_eq!(parse_agent_send(word), Ok(mode));
        }
        assert!(parse_agent_send("").is_err());
        assert_eq!(Options::default().agent_send, AgentSend::Optional);
    }

    #[test]
    fn weights_begin_to_fall_at_a_percentage_from_0_to_99() {
        for (text, percent) in [("0", 0.0), ("80", 80.0), ("80%", 80.0), ("99", 99.0)] {
            assert_eq!(parse_weight_from(text), Ok(percent), "{text}");
        }
        for text in ["", "%", "-1", "99.5", "100", "1e1", "nan", "eighty"] {
            assert!(parse_weight_from(text).is_err(), "{text}");
        }
    }

    #[test]
    fn behind_a_mistake_the_rest_still_counts() {
        let options = options(&["-w", "many", "--bogus", "-d=x", "-lm", "file", "cpu"]).unwrap();
        assert!(options.syslog && options.maint_file.is_some());
        assert_eq!(options.words, "cpu");
        let misuse = "--weight-from: 'many' is no percentage from 0 to 99";
        assert_eq!(options.misuse.as_deref(), Some(misuse));
    }

    #[test]
    fn a_mistake_is_named_with_what_would_be_right() {
        let misuse = |args: &[&str]| options(args).unwrap().misuse.unwrap();
        let long = format!("http://a/{}", "x".repeat(3000));
        for (args, sentence) in [
            (&["cpu", "-5"][..], "'-5' is no option, and a limit is a number of 0 or more"),
            (&["-x"], "invalid option '-x'; see haproxy-agent-check --help"),
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
            assert_eq!(misuse(args), sentence);
        }
    }

    #[test]
    fn help_is_one_screen() {
        assert!(HELP.lines().count() <= 24);
        assert!(HELP.lines().all(|line| line.len() <= 80));
    }
}
