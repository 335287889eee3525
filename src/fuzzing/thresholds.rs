//! Thresholds against statistics pages.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fuzzing::choices::{Choices, split_line};
use crate::fuzzing::reply::{DESCRIBED, reply_words};
use crate::process::deadline::Deadline;
use crate::process::timed::Timed;
use crate::reply::outcome::Outcome;
use crate::request::parsed::Request;
use crate::request::thresholds::Thresholds;
use crate::request::words::words;
use crate::values::prometheus_page;
use crate::values::sources::{find_on_page, of_machine};
use crate::values::statistics_page::Page;
use crate::values::value::Value;
use crate::verdict::limit::Limit;

/// The names of thresholds, their keys on the statistics page, and their default limits, written down a second
/// time. A value of the machine that is not here is checked too, but not chosen.
const NAMES: [(&str, &[&str], f64); 6] = [
    ("cpu", &[], 90.0),
    ("publishers", &["streams_webrtc_in", "streams_rtmp_in", "streams_rtsp_in"], 100.0),
    ("subscribers", &["streams_webrtc_out", "streams_rtmp_out", "streams_rtsp_out"], 100.0),
    ("hls", &["streams_hls"], 100.0),
    ("band-in", &["global_bandwidth_in"], 100.0),
    ("band-out", &["global_bandwidth_out"], 100.0),
];

/// The first line is a request for thresholds, and the rest is a page. The reply is `up` only if a search
/// through every line of the page finds each value within its limit.
pub fn statistics(data: &[u8]) {
    let (words, page) = split_line(data);
    let request = match Request::parse(&String::from_utf8_lossy(words)) {
        Ok(Some(Request::Thresholds(thresholds))) => thresholds,
        Ok(None) => Thresholds::default(),
        _ => return,
    };
    let outcome = judge_page(&request, page.to_vec(), 50.0);
    let words = reply_words(&outcome, DESCRIBED);
    if words.state != "up" {
        assert_eq!(words.state, "down");
        return;
    }
    let Some((reported, is_json)) = reported(page) else {
        return;
    };
    let mut thresholds = pairs(&request.to_string());
    let is_default = thresholds.is_empty();
    if is_default {
        thresholds = NAMES.map(|(name, _, limit)| (name.to_owned(), Limit::Below(limit))).to_vec();
    }
    let mut has_any = false;
    for (name, limit) in thresholds {
        // Paths and labels have fuzzers of their own.
        if name.starts_with("stat:.") || name.contains('{') {
            continue;
        }
        let values = keys(&name).into_iter().map(|key| {
            let values = reported.iter().filter(|(reported, _)| *reported == key);
            let values = values.map(|(_, value)| number(value));
            match limit {
                Limit::Above(_) => values.reduce(f64::min),
                _ => values.reduce(f64::max),
            }
        });
        let values: Vec<f64> = values.flatten().collect();
        let is_of_machine = keys(&name).is_empty();
        let value = if is_of_machine { 50.0 } else { values.iter().sum() };
        // If JSON groups have the same name, `reported` has only the last one.
        let may_be_missing = is_default || is_of_machine || is_json;
        assert!(may_be_missing || !values.is_empty(), "{name}");
        let is_within = match limit {
            Limit::Above(limit) => value > limit,
            Limit::Below(limit) | Limit::AtMost(limit) => value < limit,
        };
        assert!(is_within || (is_json && values.is_empty()), "{name} {value} {limit}");
        has_any |= !values.is_empty();
    }
    assert!(!is_default || has_any || is_json, "{page:?}");
}

/// The names and limits in the text of a request.
fn pairs(text: &str) -> Vec<(String, Limit)> {
    let words = words(text).unwrap();
    let pair = |pair: &[&str]| {
        let limit = match pair[1].strip_prefix("min:") {
            Some(limit) => Limit::Above(limit.parse().unwrap()),
            None => Limit::Below(pair[1].parse().unwrap()),
        };
        (pair[0].to_owned(), limit)
    };
    words.chunks(2).map(pair).collect()
}

/// The keys of a threshold on the statistics page. A value of the machine has none.
fn keys(name: &str) -> Vec<&str> {
    match name.strip_prefix("stat:") {
        Some(key) => vec![key],
        None => {
            let known = NAMES.iter().find(|(known, ..)| *known == name);
            known.map_or_else(Vec::new, |(_, keys, _)| keys.to_vec())
        }
    }
}

/// A page's value as a number. Infinite if it is not a number of 0 or more.
fn number(text: &str) -> f64 {
    let number = text.trim().parse().unwrap_or(f64::INFINITY);
    if number >= 0.0 { number } else { f64::INFINITY }
}

/// Every key of a page with its value, and whether the page is JSON. `None` for a page that is not simple.
fn reported(page: &[u8]) -> Option<(Vec<(String, String)>, bool)> {
    let text = String::from_utf8_lossy(page);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut found = Vec::new();
    if (prometheus_page::FORMAT.recognises)(text.as_bytes()) || text.contains('[') {
        return None;
    }
    let is_json = text.trim_start_matches(|c: char| c.is_ascii_whitespace()).starts_with('{');
    if is_json {
        collect(&serde_json::from_str(text).ok()?, &mut found);
    } else {
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            found.push((key.trim().to_owned(), value.to_owned()));
        }
    }
    Some((found, is_json))
}

fn collect(group: &serde_json::Value, found: &mut Vec<(String, String)>) {
    for (key, value) in group.as_object().into_iter().flatten() {
        match value {
            serde_json::Value::Object(_) => collect(value, found),
            serde_json::Value::String(text) => found.push((key.clone(), text.clone())),
            serde_json::Value::Bool(flag) => found.push((key.clone(), u8::from(*flag).to_string())),
            other => found.push((key.clone(), other.to_string())),
        }
    }
}

/// Judges thresholds by a page, on a machine with this load.
fn judge_page(thresholds: &Thresholds, page: Vec<u8>, load: f64) -> Outcome {
    let page = Page::new("http://127.0.0.1/".to_owned(), page);
    let values = thresholds.values();
    let keys = values.iter().flat_map(|value| value.keys());
    let deadline = Deadline::new(Instant::now(), Duration::from_secs(3600));
    let statistics = page.read(keys, deadline).map_err(Arc::new);
    let took = Duration::ZERO;
    let read = |value: &&Value| match value.is_on_statistics_page() {
        true => Timed { result: find_on_page(value, &statistics), took },
        false => of_machine(value, Timed { result: Ok(load), took }),
    };
    Outcome::Measured(thresholds.judge(values.iter().map(read).collect()))
}

/// Thresholds, and a page made of chosen numbers, some of them not finite. The reply is `up` exactly if plain
/// comparisons say so. Its weight follows the formula of the manual page.
pub fn thresholds(data: &[u8]) {
    let mut choices = Choices(data);
    let (format, style) = (choices.byte() % 3, choices.style());
    let load = match choices.number() {
        negative if negative < 0.0 => 0.0,
        load => load,
    };
    let mut words = String::new();
    let mut wanted: Vec<(String, f64, bool)> = Vec::new();
    for _ in 0..=choices.byte() % 6 {
        let name = match NAMES.get(usize::from(choices.byte() % 8)) {
            Some((name, ..)) => (*name).to_owned(),
            None => format!("stat:key{}", choices.byte() % 3),
        };
        let limit = choices.number().abs();
        let limit = if limit.is_finite() { limit } else { 100.0 };
        let is_lower = choices.byte() % 4 == 3;
        write!(words, "{name} {}{limit} ", if is_lower { "min:" } else { "" }).unwrap();
        wanted.retain(|(known, ..)| *known != name);
        wanted.push((name, limit, is_lower));
    }

    let mut page = Vec::new();
    let mut has_all = true;
    let mut fullest: f64 = 0.0;
    for (name, limit, is_lower) in &wanted {
        let mut values = Vec::new();
        for key in keys(name) {
            if choices.byte() % 8 == 0 {
                continue;
            }
            let value = choices.number();
            values.push(value);
            let text = if choices.flag() { format!("{value:e}") } else { format!("{value}") };
            let is_bare = value.is_finite() && choices.flag();
            page.push(match (format, is_bare) {
                (0, _) => format!("{key}={text}"),
                (1, true) => format!("\"{key}\":{text}"),
                (1, false) => format!("\"{key}\":\"{text}\""),
                (_, true) => format!("{key} {text}"),
                (_, false) => format!("{key}{{a=\"b\"}} {text}"),
            });
        }
        if keys(name).is_empty() {
            values.push(load);
        }
        let is_number = |value: &f64| value.is_finite() && *value >= 0.0;
        let sum: f64 = values.iter().sum();
        let is_within = if *is_lower { sum > *limit } else { sum < *limit };
        has_all &=
            is_within && sum.is_finite() && !values.is_empty() && values.iter().all(is_number);
        fullest = fullest.max(if *is_lower { limit / sum } else { sum / limit });
    }
    let page = match format {
        0 => format!("other=0\n{}\n", page.join("\n")),
        1 => format!("{{\"other\":0,\"group\":{{{}}}}}", page.join(",")),
        _ => format!("other 0\n{}\n", page.join("\n")),
    };

    let Ok(Some(Request::Thresholds(request))) = Request::parse(&words) else {
        panic!("{words:?} is not understood");
    };
    let outcome = judge_page(&request, page.clone().into_bytes(), load);
    let reply = reply_words(&outcome, style);
    // At a limit, --at-limit may say `up` too.
    assert_eq!(reply.exit_status == 0, has_all, "{words:?} {load} {page}");
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
