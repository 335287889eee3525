/*!
What has to hold for whatever comes from outside, one function for each of the fuzzers in `fuzz/`. They
panic where it does not hold.

What the agent makes of an input is compared with what is worked out here a second time, as simply as
possible and from the contract: with plain comparisons, offsets and lines. Where that would not be simple
(a week date, a number beyond 2^53) nothing is compared.
*/

use std::cell::Cell;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use resolv_conf::Config;
use serde_json::{Deserializer, Value};
use simple_dns::{Name, TYPE};
use tungstenite::{Bytes, Message};
use ureq::unversioned::transport::{ConnectionDetails, Connector, Transport};

use crate::api::{Answer, Limit, atomic, hyperion, ship, stream, v1, v2};
use crate::cli::{self, Command, Options};
use crate::deadline::Deadline;
use crate::debug::Debug;
use crate::explain::explain;
use crate::http::{StreamTransport, get_through};
use crate::load::{Period, count_listed, parse_load_average};
use crate::maintenance::Maintenance;
use crate::reply::{Reply, State, Style};
use crate::request::Request;
use crate::resolver::{candidates, from_hosts, read_answer};
use crate::source::{Evidence, Measured, Timed};
use crate::statistics::Page;
use crate::thresholds::Thresholds;
use crate::url::{Origin, Url, without_secrets};
use crate::verdict::{Bound, Outcome, Reading, Verdict};
use crate::websocket::WebSocket;

/// Whole numbers of an `f64` are exact below this.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// 2022-08-17T14:16:36Z, the head block's time in the fixtures.
const HEAD_MS: i128 = 1_660_745_796_000;

/// The longest reply, in bytes, without its line end.
const LINE_LIMIT: usize = 200;

const DESCRIPTION_LIMIT: usize = 100;

const MIB: usize = 1024 * 1024;

/// The names of thresholds with their keys on the statistics page and their default limits: the
/// contract's table.
const NAMES: [(&str, &[&str], f64); 6] = [
    ("cpu", &[], 90.0),
    ("publishers", &["streams_webrtc_in", "streams_rtmp_in", "streams_rtsp_in"], 100.0),
    ("subscribers", &["streams_webrtc_out", "streams_rtmp_out", "streams_rtsp_out"], 100.0),
    ("hls", &["streams_hls"], 100.0),
    ("band-in", &["global_bandwidth_in"], 100.0),
    ("band-out", &["global_bandwidth_out"], 100.0),
];

/// A line as the words of a command line, and one as HAProxy's: what is understood is the same when
/// what is shown of it is parsed again, names only URLs that may be opened, and shows no secret.
pub fn request(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let [first, second] = [lines.next(), lines.next()]
        .map(|line| line.and_then(|line| parse(&String::from_utf8_lossy(line))));
    is_same_again(&Request::of(first, second));
}

fn parse(text: &str) -> Option<Request> {
    let is_empty = text.split_ascii_whitespace().next().is_none();
    match Request::parse(text) {
        Err(error) => {
            let error = error.to_string();
            shows_no_password(text, &error);
            let words = reply_words(&Outcome::NotUnderstood(error), Style::default());
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
            for url in request.urls() {
                may_be_opened(url);
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

/// Whether the server that a URL is checked to name is the one that it names to the HTTP libraries.
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

/// What stands between `://` and the last `@`, before a query if it can, of a word that is no URL is not
/// shown.
fn shows_no_password(text: &str, shown: &str) {
    const PASSWORD: &str = "hunter2";
    let is_secret = |word: &str| {
        let rest = word.split_once("://").map_or("", |(_, rest)| rest);
        let before_query = rest.split('?').next().unwrap_or_default();
        let parted = before_query.rsplit_once('@').or(rest.rsplit_once('@'));
        parted.is_some_and(|(user, _)| user.contains(PASSWORD) && Url::parse(word).is_err())
    };
    let mut words = text.split(|c: char| c == '|' || c.is_whitespace());
    if text.matches(PASSWORD).count() == 1 && words.any(is_secret) {
        assert!(!shown.contains(PASSWORD), "{shown}");
        assert!(!without_secrets(text).contains(PASSWORD));
    }
}

/// Arguments, parted by NUL: every option is within its range, whatever else is wrong.
pub fn command_line(data: &[u8]) {
    let args = data.split(|byte| *byte == 0).map(|arg| OsString::from_vec(arg.to_vec()));
    let Command::Run(options) = cli::parse(args) else {
        return;
    };
    let (shortest, longest) = (Duration::from_millis(1), Duration::from_secs(3600));
    assert!((shortest..=longest).contains(&options.timeout));
    assert!(options.weight_from.is_none_or(|percent| (0.0..=99.0).contains(&percent)));
    assert!(options.stats_url.uri().scheme_str().unwrap().to_ascii_lowercase().starts_with("http"));
    may_be_opened(&options.stats_url);
    assert!(options.maint_file.as_ref().is_none_or(|path| !path.as_os_str().is_empty()));
    if let Some(misuse) = &options.misuse {
        reply_words(&Outcome::NotUnderstood(misuse.clone()), options.style());
    }
    parse(&options.words);
}

/// The words of thresholds, and behind them on a line of its own any page: it is `up` only if a look
/// at every line of the page finds each value below its limit.
pub fn statistics(data: &[u8]) {
    let (words, page) = split_line(data);
    let request = match Request::parse(&String::from_utf8_lossy(words)) {
        Ok(Some(Request::Thresholds(thresholds))) => Request::Thresholds(thresholds),
        Ok(None) => Request::of(None, None),
        _ => return,
    };
    let outcome = judge_page(&request, page.to_vec(), 50.0);
    let words = reply_words(&outcome, DESCRIBED);
    if words.state != "up" {
        assert_eq!(words.state, "down");
        return;
    }
    let Some(reported) = reported(page) else {
        return;
    };
    let mut thresholds: Vec<(String, f64)> = pairs(&request.to_string());
    let is_default = thresholds.is_empty();
    if is_default {
        thresholds = NAMES.map(|(name, _, limit)| (name.to_owned(), limit)).to_vec();
    }
    for (name, limit) in thresholds {
        let values = keys(&name).into_iter().map(|key| {
            let values = reported.iter().filter(|(reported, _)| *reported == key);
            values.map(|(_, value)| number(value)).reduce(f64::max)
        });
        let values: Vec<f64> = values.flatten().collect();
        let value = if name == "cpu" { 50.0 } else { values.iter().sum() };
        assert!(is_default || name == "cpu" || !values.is_empty(), "{name}");
        assert!(value < limit, "{name} {value} {limit}");
    }
}

/// The names and limits in the words of thresholds.
fn pairs(text: &str) -> Vec<(String, f64)> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let pair = |pair: &[&str]| (pair[0].to_owned(), pair[1].parse().unwrap());
    words.chunks(2).map(pair).collect()
}

fn keys(name: &str) -> Vec<&str> {
    match name.strip_prefix("stat:") {
        Some(key) => vec![key],
        None => NAMES.iter().find(|(known, ..)| *known == name).unwrap().1.to_vec(),
    }
}

/// A page's value as a number; infinite where it is none of 0 or more.
fn number(text: &str) -> f64 {
    let number = text.trim().parse().unwrap_or(f64::INFINITY);
    if number >= 0.0 { number } else { f64::INFINITY }
}

/// Every key of a page with its value; `None` for JSON that is not simple.
fn reported(page: &[u8]) -> Option<Vec<(String, String)>> {
    let text = String::from_utf8_lossy(page);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut found = Vec::new();
    if text.trim_start_matches(|c: char| c.is_ascii_whitespace()).starts_with('{') {
        collect(&serde_json::from_str(text).ok()?, &mut found);
    } else {
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            found.push((key.trim().to_owned(), value.to_owned()));
        }
    }
    Some(found)
}

fn collect(group: &Value, found: &mut Vec<(String, String)>) {
    for (key, value) in group.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => collect(value, found),
            Value::String(text) => found.push((key.clone(), text.clone())),
            other => found.push((key.clone(), other.to_string())),
        }
    }
}

fn judge_page(request: &Request, page: Vec<u8>, load: f64) -> Outcome {
    let page = Page::new("statistics page".to_owned(), page);
    request.judge(&Measured {
        load: Some(timed(Ok(load))),
        evidence: Some(timed(Evidence::Statistics(Ok(page)))),
    })
}

fn timed<T>(result: T) -> Timed<T> {
    Timed { result, took: Duration::ZERO }
}

/// Thresholds and a page made of chosen numbers, some of which are none: it is `up` exactly if plain
/// comparisons say so, and its weight is what the contract says.
pub fn thresholds(data: &[u8]) {
    let mut choices = Choices(data);
    let (is_json, style) = (choices.flag(), choices.style());
    let load = match choices.number() {
        negative if negative < 0.0 => 0.0,
        load => load,
    };
    let mut words = String::new();
    let mut wanted: Vec<(String, f64)> = Vec::new();
    for _ in 0..=choices.byte() % 6 {
        let name = match NAMES.get(usize::from(choices.byte() % 8)) {
            Some((name, ..)) => (*name).to_owned(),
            None => format!("stat:key{}", choices.byte() % 3),
        };
        let limit = choices.number().abs();
        let limit = if limit.is_finite() { limit } else { 100.0 };
        write!(words, "{name} {limit} ").unwrap();
        wanted.retain(|(known, _)| *known != name);
        wanted.push((name, limit));
    }

    let mut page = Vec::new();
    let mut has_all = true;
    let mut fullest: f64 = 0.0;
    for (name, limit) in &wanted {
        let mut values = Vec::new();
        for key in keys(name) {
            if choices.byte() % 8 == 0 {
                continue;
            }
            let value = choices.number();
            values.push(value);
            let text = if choices.flag() { format!("{value:e}") } else { format!("{value}") };
            let is_bare = is_json && value.is_finite() && choices.flag();
            page.push(match (is_json, is_bare) {
                (false, _) => format!("{key}={text}"),
                (true, true) => format!("\"{key}\":{text}"),
                (true, false) => format!("\"{key}\":\"{text}\""),
            });
        }
        if name == "cpu" {
            values.push(load);
        }
        let is_number = |value: &f64| value.is_finite() && *value >= 0.0;
        let sum: f64 = values.iter().sum();
        let is_below = !values.is_empty() && values.iter().all(is_number) && sum < *limit;
        has_all &= is_below;
        fullest = fullest.max(sum / limit);
    }
    let page = match is_json {
        true => format!("{{\"other\":0,\"group\":{{{}}}}}", page.join(",")),
        false => format!("other=0\n{}\n", page.join("\n")),
    };

    let request = Request::parse(&words).unwrap().unwrap();
    let outcome = judge_page(&request, page.clone().into_bytes(), load);
    let reply = reply_words(&outcome, style);
    assert_eq!(reply.state == "up", has_all, "{words:?} {load} {page}");
    if has_all {
        let weight = f64::from(reply.weight.unwrap());
        let exact = style
            .weight_from_percent
            .map_or(100.0, |from| 100.0 * (100.0 - 100.0 * fullest) / (100.0 - from));
        let step = |weight: f64| ((weight / 5.0).floor() * 5.0).clamp(1.0, 100.0);
        let (least, most) = (step(exact - 1e-3), step(exact + 1e-3));
        assert!((least..=most).contains(&weight), "{words:?} {page} {style:?}: {weight} {exact}");
    }
}

/// `STATUS BLOCKS LAG` on a line, and any body behind it: each API that is judged by JSON is `up`
/// exactly if its fields, looked at one by one, say so. LAG is how far now is from the head block's
/// time, in milliseconds.
pub fn api(data: &[u8]) {
    let (line, body) = split_line(data);
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_ascii_whitespace();
    let status = words.next().and_then(|word| word.parse().ok()).unwrap_or(200);
    let blocks = words.next().and_then(|word| word.parse().ok()).unwrap_or(10);
    let lag_ms: i64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);

    // The only answers whose body is read.
    if matches!(status, 200..=299 | 400) {
        let verdict = stream::judge(status, body);
        if is_up(&verdict) {
            assert!(is_engine(status, body), "{body:?}");
        }
        check_api(verdict);
    }

    let json: Option<Value> = serde_json::from_slice(body).ok();
    let is_success = matches!(status, 200..=299);
    let answer = Answer { status, json: json.clone().ok_or_else(|| "sent no JSON".to_owned()) };
    let json = json.unwrap_or_default();
    let fields = Fields { json: &json, blocks };
    type Judge = fn(&Answer, &Limit) -> Result<Verdict, String>;
    type Judged<'a> = (Judge, Result<Option<i128>, Exotic>, &'a dyn Fn(i128) -> Known);
    let judges: [Judged; 4] = [
        (v1::judge, fields.nodeos_time(), &|now_ms| fields.nodeos_is_good(now_ms)),
        (v2::judge, Ok(None), &|_| fields.index_is_good()),
        (hyperion::judge, fields.hyperion_time(), &|now_ms| fields.hyperion_is_good(now_ms)),
        (atomic::judge, fields.atomic_time(), &|now_ms| fields.atomic_is_good(now_ms)),
    ];
    for (place, (judge, head_ms, is_good)) in judges.into_iter().enumerate() {
        let now_ms = head_ms.unwrap_or_default().unwrap_or(HEAD_MS) + i128::from(lag_ms);
        let verdict = judge(&answer, &Limit { blocks, now_ms });
        match is_good(now_ms) {
            Ok(is_good) => {
                let expected = is_success && is_good;
                assert_eq!(is_up(&verdict), expected, "{place} {status} {now_ms} {verdict:?}");
            }
            Err(Exotic) => assert!(is_success || !is_up(&verdict)),
        }
        check_api(verdict);
    }
}

fn is_up(verdict: &Result<Verdict, String>) -> bool {
    verdict.as_ref().is_ok_and(Verdict::is_up)
}

fn check_api(verdict: Result<Verdict, String>) {
    let is_up = is_up(&verdict);
    let outcome = verdict.map_or_else(Outcome::Unmeasured, Outcome::Api);
    let words = reply_words(&outcome, DESCRIBED);
    assert_eq!(words.state == "up", is_up);
    assert_eq!(words.weight, None);
}

/// Whether this may be an answer of a Socket.IO engine.
fn is_engine(status: u16, body: &[u8]) -> bool {
    let unknown = serde_json::from_slice(body).is_ok_and(|json: Value| {
        json["code"].as_f64() == Some(0.0) && json["message"] == "Transport unknown"
    });
    let start = body.windows(2).position(|pair| pair == b"0{");
    let has_session = start.is_some_and(|start| {
        let mut packets = Deserializer::from_slice(&body[start + 1..]).into_iter::<Value>();
        packets.next().is_some_and(|packet| packet.is_ok_and(|json| json["sid"].is_string()))
    });
    unknown || (status != 400 && has_session)
}

/// That a comparison would not be simple.
#[derive(Clone, Copy, Debug)]
struct Exotic;

/// What has to hold, where that can be said.
type Known = Result<bool, Exotic>;

/// The fields of an API's answer, and how many blocks it may be off.
struct Fields<'a> {
    json: &'a Value,
    blocks: u64,
}

impl Fields<'_> {
    fn nodeos_time(&self) -> Result<Option<i128>, Exotic> {
        plain_time_ms(&self.json["head_block_time"])
    }

    fn nodeos_is_good(&self, now_ms: i128) -> Known {
        Ok(self.is_near(self.nodeos_time()?, now_ms))
    }

    fn index_is_good(&self) -> Known {
        if !self.json["health"].is_array() {
            return Ok(false);
        }
        let head = plain_number(self.data("NodeosRPC", "head_block_num"))?;
        let indexed = plain_number(self.data("Elasticsearch", "last_indexed_block"))?;
        Ok(match (head, indexed) {
            (Some(head), Some(indexed)) if head > 0.0 && indexed > 0.0 => {
                (head - indexed).abs() <= self.blocks as f64
            }
            _ => false,
        })
    }

    fn hyperion_time(&self) -> Result<Option<i128>, Exotic> {
        plain_time_ms(self.data("NodeosRPC", "head_block_time"))
    }

    fn hyperion_is_good(&self, now_ms: i128) -> Known {
        let services = self.json["health"].as_array().cloned().unwrap_or_default();
        let is_well = |service: &Value| ["OK", "Warning"].iter().any(|ok| service["status"] == *ok);
        let missing = plain_number(self.data("Elasticsearch", "missing_blocks"))?;
        Ok(services.iter().all(is_well)
            && missing.is_some_and(|count| count <= 0.0)
            && self.is_near(self.hyperion_time()?, now_ms)
            && self.index_is_good()?)
    }

    fn atomic_time(&self) -> Result<Option<i128>, Exotic> {
        let time = plain_number(&self.json["data"]["chain"]["head_time"])?;
        Ok(time.filter(|time| *time > 0.0).map(|time| time as i128))
    }

    fn atomic_is_good(&self, now_ms: i128) -> Known {
        let data = &self.json["data"];
        if data["postgres"]["status"] != "OK" || data["redis"]["status"] != "OK" {
            return Ok(false);
        }
        let head = plain_number(&data["chain"]["head_block"]);
        for reader in data["postgres"]["readers"].as_array().into_iter().flatten() {
            let block = match &reader["block_num"] {
                Value::Null => continue,
                number => plain_number(number)?,
            };
            let is_following = match (block, head?) {
                (Some(block), Some(head)) if block > 0.0 && head > 0.0 => {
                    head - block <= self.blocks.max(180) as f64
                }
                _ => false,
            };
            if !is_following {
                return Ok(false);
            }
        }
        Ok(self.is_near(self.atomic_time()?, now_ms))
    }

    fn is_near(&self, head_ms: Option<i128>, now_ms: i128) -> bool {
        let limit_ms = i128::from(self.blocks) * 500;
        head_ms.is_some_and(|head_ms| (-limit_ms..=limit_ms).contains(&(now_ms - head_ms)))
    }

    /// A field of what the first service of this name reports; null if there is none.
    fn data(&self, service: &str, name: &str) -> &Value {
        let services = self.json["health"].as_array();
        let found = services.into_iter().flatten().find(|found| found["service"] == service);
        found.map_or(&Value::Null, |found| &found["service_data"][name])
    }
}

/// A number without a fraction, also as text; `None` if it is none.
fn plain_number(value: &Value) -> Result<Option<f64>, Exotic> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match number {
        Some(number) if number.is_finite() && number.abs() >= EXACT => Err(Exotic),
        number => Ok(number.filter(|number| number.is_finite() && number.trunc() == *number)),
    }
}

/// `YYYY-MM-DDTHH:MM:SS[.FRACTION][Z|+HH:MM|-HH:MM]` in milliseconds since 1970; `None` if it is no
/// text with a T.
fn plain_time_ms(value: &Value) -> Result<Option<i128>, Exotic> {
    let text = value.as_str().unwrap_or_default().trim();
    if !text.contains(['T', 't']) {
        return Ok(None);
    }
    let plain = || {
        let (date, clock) = (text.get(..10)?, text.get(11..19)?);
        let [year, month, day] = digits(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = digits(clock, ':', [2, 2, 2])?;
        let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let days = match month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        let is_clock = hour < 24 && minute < 60 && second < 60;
        if !is_clock || !(1..=days).contains(&day) || !text.get(10..11)?.contains(['T', 't']) {
            return None;
        }
        let rest = text.get(19..)?;
        let zone_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
        let (fraction, zone) = rest.split_at(zone_at);
        let nanoseconds: i128 = match fraction.strip_prefix('.') {
            None if fraction.is_empty() => 0,
            Some(digits) if (1..=9).contains(&digits.len()) && is_digits(digits) => {
                format!("{digits:0<9}").parse().ok()?
            }
            _ => return None,
        };
        let offset_minutes = match (zone.get(..1), zone.get(1..)) {
            (None | Some("Z" | "z"), None | Some("")) => 0,
            (Some(sign @ ("+" | "-")), Some(zone)) => {
                let [hours, minutes] = digits(zone, ':', [2, 2])?;
                let minutes = (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)?;
                if sign == "+" { minutes } else { -minutes }
            }
            _ => return None,
        };
        // Every day from the first of the year 0 on, by the months since March.
        let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        let days = year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468;
        let minutes = (days * 24 + hour) * 60 + minute - offset_minutes;
        Some(((minutes * 60 + second) * 1_000_000_000 + nanoseconds) / 1_000_000)
    };
    plain().map(Some).ok_or(Exotic)
}

/// Numbers of so many digits each.
fn digits<const N: usize>(text: &str, between: char, lengths: [usize; N]) -> Option<[i128; N]> {
    let mut words = text.split(between);
    let numbers = lengths.map(|length| {
        let word = words.next().filter(|word| word.len() == length && is_digits(word))?;
        word.parse().ok()
    });
    let is_all = words.next().is_none() && numbers.iter().all(Option::is_some);
    is_all.then(|| numbers.map(Option::unwrap_or_default))
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A lag, BLOCKS, the length of a status message, the message, and behind it a block message: a state
/// history is `up` exactly if the fields at their offsets say so.
pub fn state_history(data: &[u8]) {
    let mut choices = Choices(data);
    let lag_ms = i128::from(i32::from_le_bytes(choices.array()));
    let blocks = u64::from(u16::from_le_bytes(choices.array()));
    let length = u16::from_le_bytes(choices.array());
    let status = choices.taken(usize::from(length));
    let block = choices.0;

    let head_ms = head_block_ms(status, block);
    let now_ms = head_ms.unwrap_or(HEAD_MS) + lag_ms;
    let asked = Cell::new(0);
    let answer = |request: Vec<u8>| {
        let answer = if request[0] == 0 { status } else { block };
        asked.set(asked.get() + 1);
        Ok(Bytes::copy_from_slice(answer))
    };
    let verdict = ship::judge(answer, || Limit { blocks, now_ms });
    let is_near = lag_ms.abs() <= i128::from(blocks) * 500;
    assert_eq!(is_up(&verdict), head_ms.is_some() && is_near, "{verdict:?}");
    assert!(asked.get() <= 2);
    check_api(verdict);
}

/// The head block's time if the logs of a `get_status_result_v0` end at it, and a
/// `get_blocks_result_v0` holds it.
fn head_block_ms(status: &[u8], block: &[u8]) -> Option<i128> {
    const POSITION: usize = 36;
    let u32_at =
        |bytes: &[u8], at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (variant, start) = varuint(status)?;
    let ends = start + 2 * POSITION;
    let head = u32_at(status, start)?;
    let [trace_end, state_end] = [u32_at(status, ends + 4)?, u32_at(status, ends + 12)?];
    let is_whole = |end: u32| end == 0 || end.checked_sub(1) == Some(head);
    let is_kept = trace_end != 0 || state_end != 0;
    if variant != 0 || head == 0 || !is_kept || !is_whole(trace_end) || !is_whole(state_end) {
        return None;
    }

    let (variant, start) = varuint(block)?;
    let this = start + 2 * POSITION;
    // Without this_block there is no block to compare with.
    let has_this = *block.get(this)? != 0;
    let previous = if has_this { this + 1 + POSITION } else { this + 1 };
    let has_previous = *block.get(previous)? != 0;
    let has_block = if has_previous { previous + 1 + POSITION } else { previous + 1 };
    if variant != 1 || !has_this || u32_at(block, this + 1)? != head || *block.get(has_block)? == 0
    {
        return None;
    }
    let (length, width) = varuint(block.get(has_block + 1..)?)?;
    let bytes = block.get(has_block + 1 + width..)?.get(..usize::try_from(length).ok()?)?;
    Some(946_684_800_000 + i128::from(u32_at(bytes, 0)?) * 500)
}

/// A number of at most five bytes of seven bits, and how many bytes it has; `None` if it is no `u32`.
fn varuint(bytes: &[u8]) -> Option<(u64, usize)> {
    let width = bytes.iter().take(5).position(|byte| *byte < 0x80)? + 1;
    let number =
        bytes[..width].iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f));
    u32::try_from(number).ok().map(|_| (number, width))
}

/// Any end of a run in any style: one line within its limits, in HAProxy's words, `up` only if every
/// value is within its limit; and a table of printable lines.
pub fn reply(data: &[u8]) {
    let mut choices = Choices(data);
    let (style, kind) = (choices.style(), choices.byte() % 6);
    let outcome = match kind {
        0 | 1 => {
            let verdict = choices.verdict();
            if kind == 0 { Outcome::Thresholds(verdict) } else { Outcome::Api(verdict) }
        }
        2 => match Debug::parse(&choices.rest()) {
            Ok(debug) => Outcome::Debug(debug),
            Err(error) => Outcome::NotUnderstood(error.to_string()),
        },
        3 => Outcome::Maintenance(Maintenance::parse(choices.0)),
        4 => Outcome::Unmeasured(choices.rest()),
        _ => Outcome::NotUnderstood(choices.rest()),
    };
    reply_words(&outcome, style);
    let table =
        explain(&choices.rest(), &outcome, &Reply::new(&outcome, style), Duration::MAX, false);
    for line in table.lines() {
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
    }
}

/// A style in which nothing is left out.
const DESCRIBED: Style =
    Style { describe: true, weight_from_percent: Some(50.0), takes_back: true };

/// What a reply says.
#[derive(Debug, PartialEq)]
struct Words {
    is_ready: bool,
    state: String,
    weight: Option<u16>,
    description: Option<String>,
    exit_status: u8,
}

/// The words of the reply to an outcome, once it has been seen to be one.
fn reply_words(outcome: &Outcome, style: Style) -> Words {
    let reply = Reply::new(outcome, style);
    let line = reply.to_string();
    let Words { is_ready, state, weight, description, exit_status } =
        Words { exit_status: reply.exit_status(), ..words_of(&line) };

    let is_up = state == "up";
    assert_eq!(reply.is_up(), is_up, "{line:?}");
    assert_eq!(exit_status == 0, is_up, "{line:?}");
    let is_maintenance = matches!(outcome, Outcome::Maintenance(_));
    assert_eq!(is_ready, style.takes_back && !is_maintenance, "{line:?}");
    match outcome {
        Outcome::Thresholds(verdict) | Outcome::Api(verdict) => {
            assert_eq!(is_up, is_within_limits(verdict), "{line:?} {verdict:?}");
            assert!(is_up || state == "down");
            let has_weight = is_up && matches!(outcome, Outcome::Thresholds(_));
            assert_eq!(weight.is_some(), has_weight, "{line:?}");
            assert!(weight.is_none_or(|weight| (1..=100).contains(&weight)), "{line:?}");
            assert!(
                style.weight_from_percent.is_some() || weight.is_none_or(|weight| weight == 100)
            );
            assert!(style.describe || description.is_none());
        }
        Outcome::Debug(debug) => {
            assert_eq!((state.as_str(), weight), (debug.state.word(), debug.weight_percent));
        }
        Outcome::Maintenance(Maintenance { state: maintenance, .. }) => {
            assert_eq!((state.as_str(), weight), (maintenance.word(), None));
            let states = [State::Maint, State::Drain, State::Down, State::Stopped];
            assert!(states.contains(maintenance));
        }
        Outcome::Unmeasured(_) | Outcome::NotUnderstood(_) => {
            assert_eq!((state.as_str(), weight), ("fail", None));
            assert_eq!(exit_status == 2, matches!(outcome, Outcome::NotUnderstood(_)));
        }
    }
    Words { is_ready, state, weight, description, exit_status }
}

fn is_within_limits(verdict: &Verdict) -> bool {
    verdict.faults.is_empty()
        && verdict.readings.iter().all(|reading| match (&reading.value, reading.bound) {
            (Err(_), _) => false,
            (Ok(value), Bound::Below) => *value < reading.limit,
            (Ok(value), Bound::AtMost) => *value <= reading.limit,
        })
}

/// Reads `[ready ]STATE[ WEIGHT%][ # description]` and its line end.
fn words_of(line: &str) -> Words {
    let text = line.strip_suffix('\n').unwrap_or_else(|| panic!("{line:?}"));
    assert!(text.len() <= LINE_LIMIT, "{line:?}");
    assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
    let (words, description) = match text.split_once(" # ") {
        Some((words, description)) => (words, Some(description.to_owned())),
        None => (text, None),
    };
    let is_description = |text: &String| !text.is_empty() && text.len() <= DESCRIPTION_LIMIT;
    assert!(description.as_ref().is_none_or(is_description), "{line:?}");
    let is_ready = words.starts_with("ready ");
    let mut words = words.strip_prefix("ready ").unwrap_or(words).split(' ');
    let state = words.next().unwrap_or_default().to_owned();
    let states = ["up", "down", "fail", "maint", "drain", "stopped"];
    assert!(states.contains(&state.as_str()), "{line:?}");
    let weight = words.next().map(|word| {
        let digits = word.strip_suffix('%').filter(|digits| is_digits(digits));
        let weight = digits.and_then(|digits| digits.parse().ok());
        weight.filter(|weight| *weight <= 256).unwrap_or_else(|| panic!("{line:?}"))
    });
    assert_eq!(words.next(), None, "{line:?}");
    Words { is_ready, state, weight, description, exit_status: 0 }
}

/// How many bytes come at once, and the bytes of a server that is asked for a WebSocket with the key
/// of RFC 6455's example: it is open only if the answer is what the RFC demands, and no message is
/// longer than the limit.
pub fn websocket(data: &[u8]) {
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    let (server, bytes) = Server::of(data);
    let mut socket = match WebSocket::upgrade(server, b"GET / HTTP/1.1\r\n\r\n", KEY, deadline()) {
        Ok(socket) => socket,
        Err(error) => return check_api(Err(error.to_string())),
    };
    let text = String::from_utf8_lossy(bytes);
    assert!(text.contains("HTTP/1.1 101"), "{text:?}");
    let header = |wanted: &str, value: &str| {
        let mut headers = text.lines().filter_map(|line| line.split_once(':'));
        headers.any(|(name, found)| {
            name.trim().eq_ignore_ascii_case(wanted)
                && found.to_ascii_lowercase().contains(&value.to_ascii_lowercase())
        })
    };
    assert!(header("Sec-WebSocket-Accept", ACCEPT), "{text:?}");
    assert!(header("Upgrade", "websocket") && header("Connection", "upgrade"), "{text:?}");
    // Every frame has two bytes at least, so this ends.
    for _ in 0..=bytes.len() {
        match socket.receive() {
            Ok(message) => {
                assert!(matches!(message, Message::Text(_) | Message::Binary(_)));
                assert!(message.len() <= 2 * MIB && message.len() <= bytes.len());
                let _ = socket.send(vec![0]);
            }
            Err(error) => return check_api(Err(error.to_string())),
        }
    }
    panic!("more messages than bytes");
}

/// How many bytes come at once, and the bytes of an HTTP server: a body is no longer than its limit,
/// and as long as the server said.
pub fn http(data: &[u8]) {
    let (server, bytes) = Server::of(data);
    let url = Url::statistics_page();
    let answer = get_through(Connected(server), &url, None, deadline());
    let result = answer.and_then(|answer| {
        assert!((100..=999).contains(&answer.status), "{}", answer.status);
        answer.read_body()
    });
    let body = match result {
        Ok(body) => body,
        Err(error) => return check_api(Err(error.to_string())),
    };
    assert!(body.len() <= MIB && body.len() <= bytes.len());
    assert!(bytes.windows(7).any(|bytes| bytes == b"HTTP/1."));
    // Where the answer has one plain head, its body is as long as that says.
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let text = text.replace("\r\n", "\n");
    let head = text.split("\n\n").next().unwrap_or_default();
    let is_bodiless = ["1", "204", "304"].iter().any(|status| {
        ["http/1.0 ", "http/1.1 "]
            .iter()
            .any(|version| head.starts_with(&format!("{version}{status}")))
    });
    let lengths: Vec<&str> =
        head.lines().filter_map(|line| line.strip_prefix("content-length:")).collect();
    if let ([length], false) = (lengths.as_slice(), is_bodiless || head.contains("transfer")) {
        assert_eq!(length.trim().parse(), Ok(body.len()), "{text:?}");
    }
}

/// A time that fuzzing does not reach.
fn deadline() -> Deadline {
    Deadline::new(Instant::now(), Duration::from_secs(3600))
}

/// A server that has sent all it will send, which comes in pieces.
#[derive(Clone, Debug)]
struct Server {
    bytes: Vec<u8>,
    read: usize,
    piece: usize,
}

impl Server {
    /// The first byte says how long pieces are, 0 that all comes at once.
    fn of(data: &[u8]) -> (Self, &[u8]) {
        let (piece, bytes) = data.split_first().unwrap_or((&0, &[]));
        let piece = if *piece == 0 { usize::MAX } else { usize::from(*piece) };
        (Self { bytes: bytes.to_vec(), read: 0, piece }, bytes)
    }
}

impl Read for Server {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(self.piece);
        let count = (&self.bytes[self.read..]).read(&mut buffer[..room])?;
        self.read += count;
        Ok(count)
    }
}

impl Write for Server {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Connects to the one server.
#[derive(Debug)]
struct Connected(Server);

impl<In: Transport> Connector<In> for Connected {
    type Out = StreamTransport<Server>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        _: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        Ok(Some(StreamTransport::new(self.0.clone(), false)))
    }
}

/// A packet of a name server that was asked for an IPv4 or, as the first byte says, an IPv6 address:
/// it is an answer only if its head says so, and its addresses are among its bytes.
pub fn dns(data: &[u8]) {
    const ID: u16 = 7;
    let (kind, packet) = data.split_first().unwrap_or((&0, &[]));
    let record = if kind % 2 == 0 { TYPE::A } else { TYPE::AAAA };
    let Some(found) = read_answer(packet, ID, "wcs.lan", record) else {
        return;
    };
    assert_eq!(packet[..2], ID.to_be_bytes());
    assert!(packet[2] & 0x80 != 0);
    let Ok(addresses) = found else {
        return;
    };
    assert!(matches!(packet[3] & 0x0f, 0 | 3));
    assert!(addresses.len() <= usize::from(u16::from_be_bytes([packet[6], packet[7]])));
    for address in addresses {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        assert!(packet.windows(octets.len()).any(|bytes| bytes == octets), "{address}");
    }
}

/// A text as each of the small files that the agent reads: hosts, resolv.conf, the load average, the
/// list of processors, the maintenance file.
pub fn files(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for address in from_hosts("wcs.lan", &text) {
        let is_line = |line: &str| {
            line.to_ascii_lowercase().contains("wcs.lan")
                && line.split_ascii_whitespace().next().is_some_and(|word| {
                    word.split('#').next().unwrap_or_default().parse() == Ok(address)
                })
        };
        assert!(text.lines().any(is_line), "{address}");
    }

    let (config, _) = Config::parse_with_errors(data);
    for host in ["wcs", "wcs.lan", "wcs.lan.", "a.b.c"] {
        let names = candidates(host, &config);
        assert!(names.contains(&host.trim_end_matches('.').to_owned()));
        // Those that are no names are not asked for; that is an error, no panic.
        let _ = names.iter().filter(|name| Name::new(name).is_ok()).count();
    }

    let periods = [Period::OneMinute, Period::FiveMinutes, Period::FifteenMinutes];
    for (column, period) in periods.into_iter().enumerate() {
        if let Some(load) = parse_load_average(&text, period) {
            assert!(load.is_finite() && load >= 0.0);
            let word = text.split_ascii_whitespace().nth(column).unwrap();
            assert_eq!(word.parse(), Ok(load));
        }
    }
    if let Some(count) = count_listed(&text) {
        assert!(count >= text.trim().split(',').count());
    }

    let maintenance = Maintenance::parse(data);
    reply_words(&Outcome::Maintenance(maintenance), Options::default().style());
}

/// The first line, and what is behind it.
fn split_line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[]),
    }
}

/// A fuzzer's bytes, taken for choices from the front; zeros behind their end.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn taken(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.taken(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// Mostly small numbers, which are near each other; also the ends of the range, and none.
    fn number(&mut self) -> f64 {
        const SPECIAL: [f64; 10] = [
            0.0,
            -0.0,
            -1.0,
            90.0,
            100.0,
            f64::MAX,
            f64::MIN_POSITIVE,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
        ];
        match self.byte() % 8 {
            0 => SPECIAL[usize::from(self.byte()) % SPECIAL.len()],
            1 => f64::from_le_bytes(self.array()),
            2 => f64::from(u16::from_le_bytes(self.array())) / 100.0,
            3 => f64::from(u32::from_le_bytes(self.array())),
            _ => f64::from(self.byte()),
        }
    }

    fn style(&mut self) -> Style {
        let percent = f64::from(self.byte()) / 2.0;
        Style {
            describe: self.flag(),
            weight_from_percent: Some(percent).filter(|percent| *percent <= 99.0),
            takes_back: self.flag(),
        }
    }

    /// A short text.
    fn text(&mut self) -> String {
        let length = usize::from(self.byte());
        String::from_utf8_lossy(self.taken(length)).into_owned()
    }

    /// All that is left, which stays.
    fn rest(&self) -> String {
        String::from_utf8_lossy(self.0).into_owned()
    }

    fn verdict(&mut self) -> Verdict {
        const UNITS: [&str; 4] = ["", "%", "Mbps", "s"];
        let count = self.byte() % 8;
        let readings = (0..count).map(|_| Reading {
            name: self.text(),
            unit: UNITS[usize::from(self.byte()) % UNITS.len()],
            value: if self.byte().is_multiple_of(8) { Err(self.text()) } else { Ok(self.number()) },
            limit: Some(self.number().abs()).filter(|limit| limit.is_finite()).unwrap_or(100.0),
            bound: if self.flag() { Bound::Below } else { Bound::AtMost },
            source: "statistics page",
            took: Duration::ZERO,
        });
        let readings = readings.collect();
        let faults = (0..self.byte() % 16 / 13).map(|_| self.text()).collect();
        let skipped = (0..self.byte() % 3).map(|_| self.text()).collect();
        Verdict { readings, faults, skipped }
    }
}
