/*!
API requests: `TYPE|URL[|...]`, whether a service behind HTTP or a WebSocket is well and in sync.

An API is a file: how a service is asked, and a pure function that judges the answer. What is common to
them, the request's form, the ways of asking and the fields of answers, is here.
*/

pub mod atomic;
pub mod hyperion;
pub mod ship;
pub mod stream;
pub mod v1;
pub mod v2;
mod ws;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;

use crate::net::error::AskError;
use crate::net::http;
use crate::net::url::{Protocol, Url};
use crate::net::websocket::WebSocket;
use crate::process::wait::Wait;
use crate::request::NotUnderstood;
use crate::text::json::{Json, NotAList};
use crate::values::Timed;
use crate::verdict::{Bound, Reading, Verdict};

/// Every API by its name in requests.
const APIS: [&Api; 8] = [
    &v1::API,
    &v2::API,
    &atomic::API,
    &atomic::CONTRACT,
    &hyperion::API,
    &ship::API,
    &stream::API,
    &ws::API,
];

/// The names that may stand behind the URL, in the order that the services this replaces deprecate.
const DEPRECATED_ORDER: [&str; 4] = ["v1", "v2", "atomic", "contract"];

/// How many blocks a service may be off where the request does not say.
const DEFAULT_BLOCKS: u64 = 10;

/// The longest `Host` header, in bytes: a request with it has to fit the HTTP client's buffer.
const HOST_LIMIT: usize = 1024;

/// Blocks are half a second apart; the Antelope protocol's block interval.
const BLOCK_MS: u128 = 500;

/// How one kind of service is asked and judged.
#[derive(Debug)]
pub struct Api {
    name: &'static str,
    /// What the service is asked by.
    protocol: Protocol,
    /// What may stand behind the URL, in this order.
    fields: &'static [Field],
    /// Asks and judges; fails with the rest of a sentence on the service if there is no verdict.
    ask: fn(&Service) -> Result<Verdict, String>,
}

/// A part of a request behind the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// How many blocks the service may be off.
    Blocks,
    /// The HTTP `Host` header.
    Host,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocks => "BLOCKS",
            Self::Host => "HOST",
        })
    }
}

/// What stands behind the URL of a request to an Antelope HTTP API.
const BLOCKS_AND_HOST: &[Field] = &[Field::Blocks, Field::Host];

/// How many bytes of memory a byte of JSON takes at most while it is looked into: one of a name, which is
/// held twice while it grows.
const MEMORY_PER_BYTE: usize = 4;

/// The longest list that a service may report; nobody runs so many services, or so many readers.
const LONGEST_LIST: usize = 1000;

/// One service, asked with a run's wait.
struct Service<'a> {
    request: &'a ServiceRequest,
    wait: &'a Wait,
}

impl Service<'_> {
    /// Asks for a path behind the request's URL.
    fn get(&self, path: &str) -> Result<http::Response, String> {
        let url = self.request.url.join(path);
        let answer = http::get(&url, self.request.host.as_deref(), self.wait);
        answer.map_err(|error| error.to_string())
    }

    /// The same for a path that answers JSON.
    fn get_json(&self, path: &str) -> Result<Answer, String> {
        let answer = self.get(path)?;
        let status = answer.status;
        // Nobody reads an error page, and waiting for its end takes time.
        let body = answer.read_success(MEMORY_PER_BYTE).map_err(|error| error.to_string());
        Ok(Answer { status, body })
    }

    /// Opens a WebSocket at the request's URL.
    fn open_websocket(&self) -> Result<WebSocket, String> {
        let host = self.request.host.as_deref();
        let socket = WebSocket::open(&self.request.url, host, self.wait);
        socket.map_err(|error| error.to_string())
    }

    /// How far the service may be off from now.
    fn limit(&self) -> Limit {
        Limit { blocks: self.request.blocks, now_ms: unix_ms(SystemTime::now()) }
    }
}

/// A JSON answer as the judges see it.
pub struct Answer {
    pub status: u16,
    /// The body, or in a sentence why there is none.
    pub body: Result<Vec<u8>, String>,
}

/// How far a service may be off, and from when.
#[derive(Clone, Copy)]
pub struct Limit {
    pub blocks: u64,
    pub now_ms: i128,
}

/// A request to judge a service by its API.
#[derive(Clone, Debug)]
pub struct ServiceRequest {
    api: &'static Api,
    url: Url,
    blocks: u64,
    host: Option<String>,
}

impl PartialEq for ServiceRequest {
    fn eq(&self, other: &Self) -> bool {
        let key = |request: &Self| (request.api.name, request.blocks);
        key(self) == key(other) && self.url == other.url && self.host == other.host
    }
}

impl ServiceRequest {
    /// Parses the fields of a request, in the order of today or in the deprecated one.
    pub fn parse(text: &str) -> Result<Self, NotUnderstood> {
        let fields: Vec<&str> = text.split('|').map(str::trim_ascii).collect();
        let (name, url, rest) = match fields.as_slice() {
            [url, name, rest @ ..] if DEPRECATED_ORDER.contains(name) => (*name, *url, rest),
            [name, url, rest @ ..] => (*name, *url, rest),
            _ => return Err(NotUnderstood::new(text, "is no TYPE|URL")),
        };
        let api = APIS.into_iter().find(|api| api.name == name).ok_or_else(|| {
            let names = APIS.map(|api| api.name).join(", ");
            NotUnderstood::new(name, format!("is none of {names}, debug"))
        })?;
        let url = Url::of(url, api.protocol)
            .map_err(|error| NotUnderstood::new(url, error.to_string()))?;
        if rest.len() > api.fields.len() {
            return Err(NotUnderstood::new(text, format!("has more than {}", api.form())));
        }
        let field = |wanted| {
            let place = api.fields.iter().position(|field| *field == wanted);
            place.and_then(|place| rest.get(place)).copied().unwrap_or_default()
        };
        let host = field(Field::Host);
        if host.len() > HOST_LIMIT || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NotUnderstood::new(host, "is no host"));
        }
        let host = Some(host.to_owned()).filter(|host| !host.is_empty());
        Ok(Self { api, url, blocks: parse_blocks(field(Field::Blocks)), host })
    }

    /// The URL that is opened.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Asks the service and judges its answer. Fails with a sentence if there is no verdict.
    pub fn ask(&self, wait: &Wait) -> Result<Verdict, String> {
        let subject = self.url.brief();
        let subject = subject.trim_end_matches('/');
        let service = Service { request: self, wait };
        let Timed { result, took } = Timed::of(|| (self.api.ask)(&service));
        let mut verdict = result.map_err(|error| format!("{subject}: {error}"))?;
        for reading in &mut verdict.readings {
            reading.took = took;
        }
        Ok(verdict)
    }
}

impl Api {
    /// How a request is written.
    fn form(&self) -> String {
        let fields = self.fields.iter().map(|field| format!("|{field}"));
        format!("{}|URL{}", self.name, fields.collect::<String>())
    }
}

/// The words of the request, from which it could be parsed again.
impl fmt::Display for ServiceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.api.name, self.url.uri())?;
        for field in self.api.fields {
            match (field, &self.host) {
                (Field::Blocks, _) => write!(f, "|{}", self.blocks)?,
                (Field::Host, Some(host)) => write!(f, "|{host}")?,
                (Field::Host, None) => {}
            }
        }
        Ok(())
    }
}

/// A whole number of 0 or more; anything else is the default, as in the services this replaces.
fn parse_blocks(text: &str) -> u64 {
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More blocks than can be counted are no limit.
        true => text.parse().unwrap_or(u64::MAX),
        false => DEFAULT_BLOCKS,
    }
}

/// A time in milliseconds since 1970, also one that no calendar reaches.
fn unix_ms(time: SystemTime) -> i128 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_millis() as i128,
        Err(before) => -(before.duration().as_millis() as i128),
    }
}

impl Answer {
    /// The JSON of a successful answer.
    fn success(&self) -> Result<Json<'_>, String> {
        match self.status {
            200..=299 => {
                let body = self.body.as_ref().map_err(String::clone)?;
                Json::parse(body).ok_or_else(|| "sent no JSON".to_owned())
            }
            status => Err(AskError::Status(status).to_string()),
        }
    }
}

impl Limit {
    /// How far a head block's time is from now, against BLOCKS half seconds.
    fn time(&self, head_ms: i128) -> Reading {
        // A service may report any time, and the clock may be before 1970.
        let lag_ms = self.now_ms.saturating_sub(head_ms);
        let name = if lag_ms < 0 { "head block ahead" } else { "head block behind" };
        let limit_ms = u128::from(self.blocks) * BLOCK_MS;
        let seconds = |ms: u128| ms as f64 / 1000.0;
        self.reading(name, "s", seconds(lag_ms.unsigned_abs()), seconds(limit_ms))
    }

    /// How far one block number is from another, in blocks.
    fn distance(&self, what: &str, block: u64, head: u64) -> Reading {
        let way = if block > head { "ahead" } else { "behind" };
        let name = format!("{what} blocks {way}");
        self.reading(&name, "", block.abs_diff(head) as f64, self.blocks as f64)
    }

    fn reading(&self, name: &str, unit: &'static str, value: f64, limit: f64) -> Reading {
        Reading {
            name: name.to_owned(),
            unit,
            value: Ok(value),
            limit,
            bound: Bound::AtMost,
            source: "API",
            took: Duration::ZERO,
        }
    }
}

/// The field of `json` behind these names. Fails if there is none.
fn field<'a>(json: Json<'a>, names: &[&str]) -> Result<Json<'a>, String> {
    let mut path = names.iter();
    path.try_fold(json, |json, name| json.get(name))
        .ok_or_else(|| format!("reports no {}", names.join(".")))
}

/// The elements of a list. Fails if it is none, or one that is longer than [`LONGEST_LIST`].
fn list<'a>(json: Json<'a>, what: &str) -> Result<Vec<Json<'a>>, String> {
    let elements = json.elements(LONGEST_LIST);
    elements.map_err(|NotAList| format!("reports no list of up to {LONGEST_LIST} as {what}"))
}

/// A block number: a whole number above 0.
fn block_number(value: Json, what: &str) -> Result<u64, String> {
    let number = whole_number(value).and_then(|number| u64::try_from(number).ok());
    number.filter(|number| *number > 0).ok_or_else(|| format!("reports no block number as {what}"))
}

/// A number without a fraction, also as a string.
fn whole_number(value: Json) -> Option<i128> {
    let said = value.text();
    let text = said.as_deref().unwrap_or(value.written()).trim();
    let of_float = || {
        let number: f64 = text.parse().ok()?;
        (number.fract() == 0.0).then_some(number as i128)
    };
    text.parse().ok().or_else(of_float)
}

/// A status in words.
fn text(value: Json, what: &str) -> Result<String, String> {
    value.text().ok_or_else(|| format!("reports no text as {what}"))
}

/// A time as ISO 8601 text, UTC unless it says otherwise, in milliseconds since 1970.
fn iso_time_ms(value: Json, what: &str) -> Result<i128, String> {
    let text = value.text().unwrap_or_default();
    let text = text.trim();
    let mut text = text.to_ascii_uppercase();
    if !text.split_once('T').is_some_and(|(_, clock)| clock.contains(['Z', '+', '-'])) {
        text.push('Z');
    }
    let time = OffsetDateTime::parse(&text, &Iso8601::PARSING);
    let nanoseconds =
        time.map_err(|_| format!("reports no time as {what}"))?.unix_timestamp_nanos();
    Ok(nanoseconds / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::Value;

    /// 2022-08-17T14:16:36Z, the head block's time in the fixtures.
    pub const HEAD_MS: i128 = 1_660_745_796_000;

    pub fn limit(blocks: u64, lag_ms: i128) -> Limit {
        Limit { blocks, now_ms: HEAD_MS + lag_ms }
    }

    pub fn answer(json: Value) -> Answer {
        Answer { status: 200, body: Ok(json.to_string().into_bytes()) }
    }

    /// A fixture in which some fields have another value; null takes a field away.
    pub fn changed(fixture: &str, changes: &[(&str, Value)]) -> Value {
        let mut json: Value = serde_json::from_str(fixture).unwrap();
        for (pointer, value) in changes {
            *json.pointer_mut(pointer).unwrap() = value.clone();
        }
        json
    }

    fn json(document: &str) -> Json<'_> {
        Json::parse(document.as_bytes()).unwrap()
    }

    #[test]
    fn times_are_utc_unless_they_say_otherwise() {
        let utc = |text: &str| iso_time_ms(json(&format!("\"{text}\"")), "t");
        for text in [
            "2022-08-17T14:16:36.000",
            "2022-08-17T14:16:36",
            "2022-08-17T14:16:36Z",
            "2022-08-17T14:16:36.000Z",
            "2022-08-17t14:16:36z",
            "2022-08-17T16:16:36+02:00",
            "2022-08-17T16:16:36.000+0200",
            "2022-08-17T09:46:36-04:30",
        ] {
            assert_eq!(utc(text), Ok(HEAD_MS), "{text}");
        }
        assert_eq!(utc("2022-08-17T14:16:36.5"), Ok(HEAD_MS + 500));
        for text in ["", "now", "2022-08-17", "2022-08-17T14:16:36+99:00", "2022-13-17T14:16:36"] {
            assert!(utc(text).is_err(), "{text}");
        }
        assert!(iso_time_ms(json("5"), "t").is_err());
    }

    #[test]
    fn no_time_is_so_far_away_that_it_is_near() {
        for now_ms in [-2, -1, 0, HEAD_MS] {
            let limit = Limit { blocks: u64::MAX, now_ms };
            for head_ms in [i128::MIN, i128::MAX] {
                assert!(limit.time(head_ms).is_exceeded(), "{now_ms} {head_ms}");
            }
        }
    }

    #[test]
    fn whole_numbers_are_numbers_or_strings_without_a_fraction() {
        for text in ["5", "5.0", "\"5\"", "\" 5 \"", "5e0", "\"5.0\""] {
            assert_eq!(whole_number(json(text)), Some(5), "{text}");
        }
        assert_eq!(whole_number(json("-1")), Some(-1));
        assert_eq!(whole_number(json("18446744073709551616")), Some(1 << 64));
        for text in ["5.5", "\"\"", "\"5a\"", "\"nan\"", "\"inf\"", "null", "true", "[]", "{}"] {
            assert_eq!(whole_number(json(text)), None, "{text}");
        }
    }

    #[test]
    fn blocks_are_whole_numbers_or_the_default() {
        for (text, blocks) in [("0", 0), ("15", 15), ("99999999999999999999999", u64::MAX)] {
            assert_eq!(parse_blocks(text), blocks, "{text}");
        }
        for text in ["", "-1", "+5", "1.5", "1e3", "ten", "0x10"] {
            assert_eq!(parse_blocks(text), DEFAULT_BLOCKS, "{text}");
        }
    }

    #[test]
    fn both_orders_are_the_same_request() {
        let parse = |text: &str| ServiceRequest::parse(text).unwrap();
        for name in ["v1", "v2", "atomic", "contract"] {
            let today = parse(&format!("{name}|http://10.0.0.5:8888|15|api.example.com"));
            assert_eq!(parse(&format!("http://10.0.0.5:8888|{name}|15|api.example.com")), today);
            assert_eq!(parse(&today.to_string()), today);
        }
        assert!(ServiceRequest::parse("http://10.0.0.5:8888|hyperion").is_err());
        // Only ASCII's spaces stand between the fields.
        let odd = parse("v2|http://a/?k\u{85}#b|10");
        assert_eq!(parse(&odd.to_string()), odd);
    }

    #[test]
    fn requests_that_differ_in_one_part_are_not_the_same() {
        let parse = |text: &str| ServiceRequest::parse(text).unwrap();
        let request = parse("v1|http://a|15|b");
        assert_eq!(request, parse("v1|http://a/|15|b"));
        for other in
            ["v2|http://a|15|b", "v1|http://c|15|b", "v1|http://a|16|b", "v1|http://a|15|c"]
        {
            assert_ne!(request, parse(other), "{other}");
        }
    }

    #[test]
    fn a_host_is_at_most_1024_visible_characters() {
        let parse = |host: &str| ServiceRequest::parse(&format!("v1|http://a|5|{host}"));
        for host in ["x".repeat(1023), "x".repeat(1024)] {
            assert_eq!(parse(&host).unwrap().host, Some(host));
        }
        for host in ["x".repeat(1025), "x".repeat(2000), "a b".to_owned(), "\u{e9}".to_owned()] {
            assert!(parse(&host).is_err(), "{host}");
        }
        assert_eq!(parse(" ").unwrap().host, None);
    }

    #[test]
    fn a_time_is_in_milliseconds_since_1970_or_before() {
        for (ms, time) in [
            (1500, UNIX_EPOCH + Duration::from_millis(1500)),
            (-1500, UNIX_EPOCH - Duration::from_millis(1500)),
            (
                9_000_000_000_000_000_000_000,
                UNIX_EPOCH + Duration::from_secs(9_000_000_000_000_000_000),
            ),
        ] {
            assert_eq!(unix_ms(time), ms);
        }
    }

    #[test]
    fn a_reading_says_on_which_side_the_service_is_and_how_far() {
        for (lag_ms, name, seconds) in [
            (1500, "head block behind", 1.5),
            (0, "head block behind", 0.0),
            (-1, "head block ahead", 0.001),
        ] {
            let reading = limit(3, lag_ms).time(HEAD_MS);
            assert_eq!((reading.name.as_str(), reading.unit), (name, "s"));
            assert_eq!((reading.value, reading.limit), (Ok(seconds), 1.5));
        }
        for (block, name, blocks) in [
            (98, "indexed blocks behind", 2.0),
            (100, "indexed blocks behind", 0.0),
            (101, "indexed blocks ahead", 1.0),
        ] {
            let reading = limit(3, 0).distance("indexed", block, 100);
            assert_eq!((reading.name.as_str(), reading.unit), (name, ""));
            assert_eq!((reading.value, reading.limit), (Ok(blocks), 3.0));
        }
    }
}
