//! Requests from the command line and from HAProxy.

use std::ffi::OsString;
use std::net::Ipv6Addr;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use crate::cli::{self, Command};
use crate::fuzzing::reply::reply_words;
use crate::net::secrets::without_secrets;
use crate::net::target::Target;
use crate::net::url::{Origin, Url};
use crate::process::request_line::Line;
use crate::reply::line::Style;
use crate::reply::outcome::Outcome;
use crate::request::agent_send::AgentSend;
use crate::request::allowed_urls::AllowedUrls;
use crate::request::parsed::Request;
use crate::request::rules::{Refusal, RequestRules};
use crate::request::thresholds::Thresholds;

/// The first line is the request of the command line, the second is HAProxy's. A request that is understood
/// is the same after it was shown and parsed again. It names only URLs that may be opened. HAProxy's line
/// names only those that are allowed. A message about a mistake shows no secret.
pub fn request(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let [first, second] = [lines.next(), lines.next()];
    let [command_line, line] =
        [first, second].map(|line| line.and_then(|line| parse(&String::from_utf8_lossy(line))));
    is_same_again(&Request::combine(command_line.clone(), line.clone()));

    let rules = RequestRules {
        command_line: command_line.clone(),
        agent_send: AgentSend::Optional,
        allowed_urls: AllowedUrls::default(),
    };
    // Some values may be named on the command line only.
    let text = second.map(|line| String::from_utf8_lossy(line).into_owned());
    let line = line.filter(|_| text.is_some_and(|text| Request::parse_line(&text).is_ok()));
    let line_target = line.as_ref().and_then(Request::target);
    match rules.request(second.map(|line| Line::Whole(line.to_vec()))) {
        Ok(served) => {
            assert_eq!(line_target, None);
            let asked = command_line.as_ref().and_then(Request::target);
            assert!(served.target().is_none_or(|target| asked == Some(target)));
        }
        Err(Refusal::UrlNotAllowed(_)) => assert!(line_target.is_some()),
        Err(_) => assert_eq!(line, None),
    }
}

fn parse(text: &str) -> Option<Request> {
    let is_empty = text.split_ascii_whitespace().next().is_none();
    match Request::parse(text) {
        Err(error) => {
            shows_no_password(text, &error.to_string());
            let words = reply_words(&Outcome::NotUnderstood(error.into()), Style::default());
            assert_eq!((words.state.as_str(), words.exit_status), ("fail", 2));
            None
        }
        Ok(None) => {
            assert!(is_empty);
            None
        }
        Ok(Some(request)) => {
            assert!(!is_empty);
            is_same_again(&request);
            if let Some(target) = request.target() {
                may_be_opened(&target.url);
                only_what_is_allowed_may_be_opened(target);
            }
            Some(request)
        }
    }
}

fn is_same_again(request: &Request) {
    if *request == Request::Thresholds(Thresholds::default()) {
        return;
    }
    let shown = request.to_string();
    let again = Request::parse(&shown).unwrap_or_else(|error| panic!("{shown:?}: {error}"));
    assert_eq!(again.as_ref(), Some(request), "{shown:?}");
}

/// Checks that a URL means the same server to the agent and to the HTTP libraries.
fn may_be_opened(url: &Url) {
    let uri = url.uri();
    let scheme = uri.scheme_str().unwrap().to_ascii_lowercase();
    assert!(["http", "https", "ws", "wss"].contains(&scheme.as_str()));
    let authority = uri.authority().unwrap().as_str();
    assert!(!authority.contains('@'));
    let origin = Origin::parse(&format!("{scheme}://{authority}")).unwrap();
    assert_eq!(&origin, url.origin());
    let host = uri.host().unwrap_or_default();
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => assert_eq!(origin.bare_host().parse(), address.parse::<Ipv6Addr>()),
        None => assert_eq!(origin.host(), host.to_ascii_lowercase()),
    }
    assert!(uri.port_u16().is_none_or(|port| port == origin.port()));

    let joined = url.join("/v2/health");
    assert!(joined.uri().path().ends_with("/v2/health"));
    assert_eq!(joined.uri().query(), uri.query());
    match Url::parse(&joined.uri().to_string()) {
        Ok(again) => assert_eq!(again.origin(), url.origin()),
        Err(error) => assert!(joined.uri().to_string().len() > 2048, "{joined}: {error}"),
    }
}

/// Checks what `--allow-url` allows: nothing without the option, and everything with `any`. An origin allows its
/// own URLs with its own host, and no URL of another scheme, host or port.
fn only_what_is_allowed_may_be_opened(target: &Target) {
    let allow = |origin: &str| {
        let mut allowed = AllowedUrls::default();
        allowed.add(origin).is_ok() && allowed.allows(target)
    };
    assert!(!AllowedUrls::default().allows(target));
    assert!(allow("any"));

    let (uri, origin) = (target.url.uri(), target.url.origin());
    let (scheme, host, port) = (uri.scheme_str().unwrap(), origin.host(), origin.port());
    let is_own = match target.host.header() {
        None => Some(true),
        // The same IPv6 address or port may be written in several ways.
        Some(header) if header.starts_with('[') || header.contains(":0") => None,
        Some(header) => {
            let header = header.to_ascii_lowercase();
            Some(header == host || header == format!("{host}:{port}"))
        }
    };
    let is_allowed = allow(&format!("{scheme}://{host}:{port}"));
    assert!(is_own.is_none_or(|is_own| is_own == is_allowed), "{target:?}");
    for other in ["http", "https", "ws", "wss"].map(|scheme| format!("{scheme}://{host}:{port}")) {
        assert!(
            other.starts_with(&format!("{}://", scheme.to_ascii_lowercase())) || !allow(&other)
        );
    }
    assert!(!allow(&format!("{scheme}://{host}:{}", port ^ 1)), "{target:?}");
    assert!(!allow(&format!("{scheme}://x{host}:{port}")), "{target:?}");
}

/// Checks that messages do not show the password in a word that is not a URL. The password is in the text
/// between `://` and the last `@`, before a query if there is one.
fn shows_no_password(text: &str, shown: &str) {
    const PASSWORD: &str = "hunter2";
    let is_secret = |word: &str| {
        let rest = word.split_once("://").map_or("", |(_, rest)| rest);
        let before_query = rest.split('?').next().unwrap_or_default();
        let parted = before_query.rsplit_once('@').or(rest.rsplit_once('@'));
        parted.is_some_and(|(user, _)| user.contains(PASSWORD) && Url::parse(word).is_err())
    };
    // Only ASCII spaces separate words: other ones may stand in the path of a URL. In a debug request, a # ends
    // the word before it.
    let is_debug = text.trim().starts_with("debug|");
    let is_between = |c: char| c == '|' || c.is_ascii_whitespace() || (c == '#' && is_debug);
    let mut words = text.split(is_between);
    if text.matches(PASSWORD).count() == 1 && words.any(is_secret) {
        assert!(!shown.contains(PASSWORD), "{shown}");
        assert!(!without_secrets(text).contains(PASSWORD));
    }
}

/// Arguments, separated by NUL. Every option is within its range, even if others are wrong.
pub fn command_line(data: &[u8]) {
    let args = data.split(|byte| *byte == 0).map(|arg| OsString::from_vec(arg.to_vec()));
    let Command::Run(options) = cli::parse(args) else {
        return;
    };
    let (shortest, longest) = (Duration::from_millis(1), Duration::from_secs(3600));
    assert!((shortest..=longest).contains(&options.timeout));
    assert!(
        options.style.weight_from_percent.is_none_or(|percent| (0.0..=99.0).contains(&percent))
    );
    assert!(
        options
            .settings
            .stats_url
            .uri()
            .scheme_str()
            .unwrap()
            .to_ascii_lowercase()
            .starts_with("http")
    );
    may_be_opened(&options.settings.stats_url);
    assert!(options.maint_file.as_ref().is_none_or(|path| !path.as_os_str().is_empty()));
    if let Some(misuse) = &options.misuse {
        reply_words(&Outcome::NotUnderstood(misuse.clone().into()), options.style);
    }
    parse(&options.words);
}
