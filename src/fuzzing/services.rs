//! Answers of services over HTTP.

use serde_json::{Deserializer, Value};

use crate::fuzzing::choices::split_line;
use crate::fuzzing::reply::{DESCRIBED, is_digits, reply_words};
use crate::reply::outcome::Outcome;
use crate::services::blocks::Tolerance;
use crate::services::json_answer::{AnswerError, JsonAnswer};
use crate::services::{atomic, hyperion, stream, v1, v2};
use crate::verdict::Verdict;
use crate::verdict::fault::Fault;

/// Whole numbers of an `f64` are exact below this.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// 2022-08-17T14:16:36Z, the head block's time in the fixtures.
pub const HEAD_MS: i128 = 1_660_745_796_000;

/// The first line is `STATUS BLOCKS LAG`, and the rest is the body of an answer. Each service that answers
/// JSON is `up` exactly if the fields, compared one by one, are good. LAG is the age of the head block, in
/// milliseconds.
pub fn services(data: &[u8]) {
    let (line, body) = split_line(data);
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_ascii_whitespace();
    let status = words.next().and_then(|word| word.parse().ok()).unwrap_or(200);
    let blocks = words.next().and_then(|word| word.parse().ok()).unwrap_or(10);
    let lag_ms: i64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);

    // Bodies of other answers are not read.
    if matches!(status, 200..=299 | 400) {
        let verdict = stream::judge(status, body);
        if is_up(&verdict) {
            assert!(is_engine(status, body), "{body:?}");
        }
        check_reply(verdict);
    }

    let is_success = matches!(status, 200..=299);
    let answer = JsonAnswer { status, body: Ok(body.to_vec()) };
    // This parser rejects deep nesting and numbers that are out of range.
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let is_json = json.is_some();
    let json = json.unwrap_or_default();
    let fields = Fields { json: &json, blocks };
    type Judge = fn(&JsonAnswer, &Tolerance) -> Result<Verdict, AnswerError>;
    type Judged<'a> = (Judge, Result<Option<i128>, Exotic>, &'a dyn Fn(i128) -> Known);
    let judges: [Judged; 4] = [
        (v1::judge, fields.nodeos_time(), &|now_ms| fields.nodeos_is_good(now_ms)),
        (v2::judge, Ok(None), &|_| fields.index_is_good()),
        (hyperion::judge, fields.hyperion_time(), &|now_ms| fields.hyperion_is_good(now_ms)),
        (atomic::judge, fields.atomic_time(), &|now_ms| fields.atomic_is_good(now_ms)),
    ];
    for (place, (judge, head_ms, is_good)) in judges.into_iter().enumerate() {
        let now_ms = head_ms.unwrap_or_default().unwrap_or(HEAD_MS) + i128::from(lag_ms);
        let verdict = judge(&answer, &Tolerance { blocks, now_ms });
        match is_good(now_ms) {
            Ok(is_good) if is_json => {
                let expected = is_success && is_good;
                assert_eq!(is_up(&verdict), expected, "{place} {status} {now_ms} {verdict:?}");
            }
            _ => assert!(is_success || !is_up(&verdict)),
        }
        check_reply(verdict);
    }
}

pub fn is_up<E>(verdict: &Result<Verdict, E>) -> bool {
    verdict.as_ref().is_ok_and(Verdict::is_up)
}

/// Checks the reply that expresses a verdict on a service, or why there is none.
pub fn check_reply(verdict: Result<Verdict, impl Into<Fault>>) {
    let is_up = is_up(&verdict);
    let outcome =
        verdict.map_or_else(|error| Outcome::NotMeasured(error.into()), Outcome::Measured);
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

/// A comparison would not be simple.
#[derive(Clone, Copy, Debug)]
struct Exotic;

/// Whether a service is good, if a simple comparison can tell.
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
        self.is_list_short(&self.json["health"])?;
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
        let missing = self.data("Elasticsearch", "missing_blocks");
        let count = plain_number(missing)?;
        Ok(services.iter().all(is_well)
            && (missing.is_null() || count.is_some_and(|count| count <= 0.0))
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
        self.is_list_short(&data["postgres"]["readers"])?;
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

    /// Fails if a list is longer than any service reports.
    fn is_list_short(&self, list: &Value) -> Result<(), Exotic> {
        let is_short = list.as_array().is_none_or(|list| list.len() <= 1000);
        if is_short { Ok(()) } else { Err(Exotic) }
    }

    fn is_near(&self, head_ms: Option<i128>, now_ms: i128) -> bool {
        let limit_ms = i128::from(self.blocks) * 500;
        head_ms.is_some_and(|head_ms| (-limit_ms..=limit_ms).contains(&(now_ms - head_ms)))
    }

    /// A field of the first service with this name. Null if it is absent.
    fn data(&self, service: &str, name: &str) -> &Value {
        let services = self.json["health"].as_array();
        let found = services.into_iter().flatten().find(|found| found["service"] == service);
        found.map_or(&Value::Null, |found| &found["service_data"][name])
    }
}

/// A number without a fraction, also in a string. `None` for any other value.
fn plain_number(value: &Value) -> Result<Option<f64>, Exotic> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) if text.len() > 100 => return Err(Exotic),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match number {
        Some(number) if number.is_finite() && number.abs() >= EXACT => Err(Exotic),
        number => Ok(number.filter(|number| number.is_finite() && number.trunc() == *number)),
    }
}

/// `YYYY-MM-DDTHH:MM:SS[.FRACTION][Z|+HH:MM|-HH:MM]` in milliseconds since 1970. `None` if it is
/// not a string with a T.
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
        // Counts the days since the year 0, with years that begin in March.
        let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        let days = year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468;
        let minutes = (days * 24 + hour) * 60 + minute - offset_minutes;
        Some(((minutes * 60 + second) * 1_000_000_000 + nanoseconds) / 1_000_000)
    };
    plain().map(Some).ok_or(Exotic)
}

/// Reads numbers with these lengths in digits.
fn digits<const N: usize>(text: &str, between: char, lengths: [usize; N]) -> Option<[i128; N]> {
    let mut words = text.split(between);
    let numbers = lengths.map(|length| {
        let word = words.next().filter(|word| word.len() == length && is_digits(word))?;
        word.parse().ok()
    });
    let is_all = words.next().is_none() && numbers.iter().all(Option::is_some);
    is_all.then(|| numbers.map(Option::unwrap_or_default))
}
