/*!
API requests: `TYPE|URL[|BLOCKS[|HOST]]`, whether an Antelope service is in sync.

An API is a file: the path it is asked under, and a pure function that judges the answer. What is
common to all of them, the request's form and the fields of answers, is here.
*/

mod atomic;
mod hyperion;
mod v1;
mod v2;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use time::format_description::well_known::Iso8601;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::http::{self, HttpError};
use crate::patience::Patience;
use crate::request::NotUnderstood;
use crate::source::Timed;
use crate::url::Url;
use crate::verdict::{Bound, Reading, Verdict};

/// Every API by its name in requests.
const APIS: [&Api; 5] = [&v1::API, &v2::API, &atomic::API, &atomic::CONTRACT, &hyperion::API];

/// The names that may stand behind the URL, in the order that the services this replaces deprecate.
const DEPRECATED_ORDER: [&str; 4] = ["v1", "v2", "atomic", "contract"];

/// How many blocks a service may be off where the request does not say.
const DEFAULT_BLOCKS: u64 = 10;

/// Blocks are half a second apart; the Antelope protocol's block interval.
const BLOCK_MS: i128 = 500;

/// How one service is asked and judged.
#[derive(Debug)]
pub struct Api {
    name: &'static str,
    /// Behind the request's URL.
    path: &'static str,
    /// Judges an answer; fails with a sentence if it holds no verdict.
    judge: fn(&Answer, &Limit) -> Result<Verdict, String>,
}

/// An answer as the judges see it.
struct Answer {
    status: u16,
    /// The body as JSON, or in a sentence why it is none.
    json: Result<Value, String>,
}

/// How far a service may be off, and from when.
struct Limit {
    blocks: u64,
    now_ms: i128,
    took: Duration,
}

/// A request to judge a service by its API.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    api: &'static Api,
    url: Url,
    blocks: u64,
    host: Option<String>,
}

impl PartialEq for ApiRequest {
    fn eq(&self, other: &Self) -> bool {
        let key = |request: &Self| (request.api.name, request.blocks);
        key(self) == key(other) && self.url == other.url && self.host == other.host
    }
}

impl ApiRequest {
    /// Parses the fields of a request, in the order of today or in the deprecated one.
    pub fn parse(text: &str) -> Result<Self, NotUnderstood> {
        let fields: Vec<&str> = text.split('|').map(str::trim).collect();
        let (name, url, rest) = match fields.as_slice() {
            [url, name, rest @ ..] if DEPRECATED_ORDER.contains(name) => (*name, *url, rest),
            [name, url, rest @ ..] => (*name, *url, rest),
            _ => return Err(NotUnderstood::new(text, "is no TYPE|URL")),
        };
        let api = APIS.into_iter().find(|api| api.name == name).ok_or_else(|| {
            let names = APIS.map(|api| api.name).join(", ");
            NotUnderstood::new(name, format!("is none of {names}, debug"))
        })?;
        let url = Url::parse(url).and_then(Url::http).map_err(|error| {
            // What may be secret in a URL is not repeated.
            let shown = if url.contains('@') { "URL" } else { url };
            let shown = shown.split('?').next().unwrap_or_default();
            NotUnderstood::new(shown, error.to_string())
        })?;
        let (blocks, host) = match rest {
            [] => ("", ""),
            [blocks] => (*blocks, ""),
            [blocks, host] => (*blocks, *host),
            _ => return Err(NotUnderstood::new(text, "has more than TYPE|URL|BLOCKS|HOST")),
        };
        if !host.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NotUnderstood::new(host, "is no host"));
        }
        let host = Some(host.to_owned()).filter(|host| !host.is_empty());
        Ok(Self { api, url, blocks: parse_blocks(blocks), host })
    }

    /// The URL that is opened.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Asks the service and judges its answer. Fails with a sentence if there is no verdict.
    pub fn ask(&self, patience: &Patience) -> Result<Verdict, String> {
        let subject = self.url.brief();
        let subject = subject.trim_end_matches('/');
        let asked = self.url.join(self.api.path);
        let Timed { result, took } =
            Timed::of(|| http::get(&asked, self.host.as_deref(), patience));
        let answer = result.map_err(|error| format!("{subject} {error}"))?;
        let json = serde_json::from_slice(&answer.body).map_err(|_| "sent no JSON".to_owned());
        let answer = Answer { status: answer.status, json };
        let limit = Limit { blocks: self.blocks, now_ms: now_ms(), took };
        (self.api.judge)(&answer, &limit).map_err(|error| format!("{subject} {error}"))
    }
}

/// The words of the request, from which it could be parsed again.
impl fmt::Display for ApiRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|{}", self.api.name, self.url.uri(), self.blocks)?;
        match &self.host {
            Some(host) => write!(f, "|{host}"),
            None => Ok(()),
        }
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

fn now_ms() -> i128 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_millis() as i128,
        Err(before) => -(before.duration().as_millis() as i128),
    }
}

impl Answer {
    /// The body of a successful answer.
    fn success(&self) -> Result<&Value, String> {
        match self.status {
            200..=299 => self.json.as_ref().map_err(String::clone),
            status => Err(HttpError::Status(status).to_string()),
        }
    }
}

impl Limit {
    /// How far a head block's time is from now, against BLOCKS half seconds.
    fn time(&self, head_ms: i128) -> Reading {
        let lag_ms = self.now_ms - head_ms;
        let name = if lag_ms < 0 { "head block ahead" } else { "head block behind" };
        let limit_ms = i128::from(self.blocks) * BLOCK_MS;
        let seconds = |ms: i128| ms as f64 / 1000.0;
        self.reading(name, "s", seconds(lag_ms.abs()), seconds(limit_ms))
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
            took: self.took,
        }
    }
}

/// The field of `json` behind these names. Fails if there is none.
fn field<'a>(json: &'a Value, names: &[&str]) -> Result<&'a Value, String> {
    names
        .iter()
        .try_fold(json, |json, name| json.get(name))
        .filter(|value| !value.is_null())
        .ok_or_else(|| format!("reports no {}", names.join(".")))
}

/// A block number: a number or a numeric string above 0.
fn block_number(value: &Value, what: &str) -> Result<u64, String> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64(),
    };
    number.filter(|number| *number > 0).ok_or_else(|| format!("reports no block number as {what}"))
}

/// A status in words.
fn text<'a>(value: &'a Value, what: &str) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("reports no text as {what}"))
}

/// A time as ISO 8601 text, UTC unless it says otherwise, in milliseconds since 1970.
fn iso_time_ms(value: &Value, what: &str) -> Result<i128, String> {
    let text = value.as_str().unwrap_or_default().trim();
    let has_zone =
        text.split_once('T').is_some_and(|(_, clock)| clock.contains(['Z', 'z', '+', '-']));
    let time = match has_zone {
        true => OffsetDateTime::parse(text, &Iso8601::PARSING),
        false => {
            PrimitiveDateTime::parse(text, &Iso8601::PARSING).map(PrimitiveDateTime::assume_utc)
        }
    };
    let nanoseconds =
        time.map_err(|_| format!("reports no time as {what}"))?.unix_timestamp_nanos();
    Ok(nanoseconds / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2022-08-17T14:16:36Z, the head block's time in the fixtures.
    pub const HEAD_MS: i128 = 1_660_745_796_000;

    pub fn limit(blocks: u64, lag_ms: i128) -> Limit {
        Limit { blocks, now_ms: HEAD_MS + lag_ms, took: Duration::ZERO }
    }

    pub fn answer(json: Value) -> Answer {
        Answer { status: 200, json: Ok(json) }
    }

    /// A fixture in which some fields have another value; null takes a field away.
    pub fn changed(fixture: &str, changes: &[(&str, Value)]) -> Value {
        let mut json: Value = serde_json::from_str(fixture).unwrap();
        for (pointer, value) in changes {
            *json.pointer_mut(pointer).unwrap() = value.clone();
        }
        json
    }

    #[test]
    fn times_are_utc_unless_they_say_otherwise() {
        let utc = |text: &str| iso_time_ms(&Value::from(text), "t");
        for text in [
            "2022-08-17T14:16:36.000",
            "2022-08-17T14:16:36",
            "2022-08-17T14:16:36Z",
            "2022-08-17T14:16:36.000Z",
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
        assert!(iso_time_ms(&Value::from(5), "t").is_err());
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
        let parse = |text: &str| ApiRequest::parse(text).unwrap();
        for name in ["v1", "v2", "atomic", "contract"] {
            let today = parse(&format!("{name}|http://10.0.0.5:8888|15|api.example.com"));
            assert_eq!(parse(&format!("http://10.0.0.5:8888|{name}|15|api.example.com")), today);
            assert_eq!(parse(&today.to_string()), today);
        }
        assert!(ApiRequest::parse("http://10.0.0.5:8888|hyperion").is_err());
    }
}
