//! The line that HAProxy reads, and the table for people.

use std::time::Duration;

use crate::fuzzing::choices::Choices;
use crate::reply::at_limit::AtLimit;
use crate::reply::explain::explain;
use crate::reply::line::{Reply, Style};
use crate::reply::maintenance;
use crate::reply::outcome::Outcome;
use crate::reply::state::State;
use crate::request::debug::DebugRequest;
use crate::verdict::Verdict;
use crate::verdict::limit::Limit;

/// The longest reply, in bytes, without its line end.
const LINE_LIMIT: usize = 200;

const DESCRIPTION_LIMIT: usize = 100;

/// Any outcome in any style gives one line within its limits, in HAProxy's words. The line is `up` only if
/// every value is within its limit. The table of `--explain` is printable.
pub fn reply(data: &[u8]) {
    let mut choices = Choices(data);
    let (style, kind) = (choices.style(), choices.byte() % 6);
    let outcome = match kind {
        0 | 1 => Outcome::Measured(choices.verdict(kind == 0)),
        2 => match DebugRequest::parse(&choices.rest()) {
            Ok(debug) => Outcome::Debug(debug.reply),
            Err(error) => Outcome::NotUnderstood(error.into()),
        },
        3 => Outcome::Maintenance(maintenance::parse(choices.0)),
        4 => Outcome::NotMeasured(choices.rest().into()),
        _ => Outcome::NotUnderstood(choices.rest().into()),
    };
    reply_words(&outcome, style);
    let table =
        explain(&choices.rest(), &outcome, &Reply::new(&outcome, style), Duration::MAX, false);
    for line in table.lines() {
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
    }
}

/// A style that leaves nothing out.
pub const DESCRIBED: Style = Style {
    describe: true,
    weight_from_percent: Some(50.0),
    is_ready: true,
    at_limit: AtLimit::Down,
};

/// What the text of a reply says.
#[derive(Debug, PartialEq)]
pub struct ReplyText {
    pub is_ready: bool,
    /// Empty if there is no state.
    pub state: String,
    pub weight: Option<u16>,
    pub maxconn: Option<u32>,
    pub description: Option<String>,
    pub exit_status: u8,
}

/// Checks the reply that expresses an outcome, and returns its words.
pub fn reply_words(outcome: &Outcome, style: Style) -> ReplyText {
    let reply = Reply::new(outcome, style);
    let line = reply.to_string();
    let words = ReplyText { exit_status: reply.exit_status(), ..words_of(&line) };
    let ReplyText { is_ready, state, weight, maxconn, description, exit_status } = &words;

    // The line is the same after it was parsed and written again.
    let parsed = DebugRequest::parse(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    let again = Reply::new(&Outcome::Debug(parsed.reply), Style::default());
    assert_eq!(again.to_string(), line);

    let is_up = state == "up";
    let is_bad = matches!(outcome, Outcome::Measured(verdict) if is_bad(verdict));
    assert_eq!(reply.is_up(), is_up && !is_bad, "{line:?}");
    assert_eq!(*exit_status == 0, (is_up && !is_bad) || state.is_empty(), "{line:?}");
    let takes_drain_back = style.at_limit == AtLimit::Drain && !is_bad;
    let is_ready_expected = match outcome {
        Outcome::Maintenance(_) => false,
        Outcome::Debug(words) => words.is_ready || style.is_ready || takes_drain_back,
        _ => style.is_ready || takes_drain_back,
    };
    assert_eq!(*is_ready, is_ready_expected, "{line:?}");
    assert!(maxconn.is_none() || matches!(outcome, Outcome::Debug(_)), "{line:?}");
    match outcome {
        Outcome::Measured(_) if is_bad => {
            let expected = match style.at_limit {
                AtLimit::Down => ("down", None),
                AtLimit::Drain => ("drain", None),
                AtLimit::Weight(percent) => ("up", Some(percent)),
            };
            assert_eq!((state.as_str(), *weight), expected, "{line:?}");
            assert!(style.describe || description.is_none());
        }
        Outcome::Measured(verdict) => {
            assert_eq!(is_up, is_within_limits(verdict), "{line:?} {verdict:?}");
            assert!(is_up || state == "down");
            let sets_weights = verdict.is_graded || matches!(style.at_limit, AtLimit::Weight(_));
            assert_eq!(weight.is_some(), is_up && sets_weights, "{line:?}");
            assert!(weight.is_none_or(|weight| (1..=100).contains(&weight)), "{line:?}");
            assert!(
                style.weight_from_percent.is_some() || weight.is_none_or(|weight| weight == 100)
            );
            assert!(style.describe || description.is_none());
        }
        Outcome::Debug(words) => {
            assert_eq!(state, words.state.map_or("", State::word));
            assert_eq!((*weight, *maxconn), (words.weight_percent, words.maxconn));
        }
        Outcome::Maintenance(words) => {
            assert_eq!((Some(state.as_str()), *weight), (words.state.map(State::word), None));
            assert!(["maint", "drain", "down", "stopped"].contains(&state.as_str()), "{line:?}");
        }
        Outcome::NotMeasured(fault) | Outcome::NotUnderstood(fault) => {
            let why = &fault.to_string();
            assert_eq!((state.as_str(), *weight), ("fail", None));
            let is_told = matches!(outcome, Outcome::NotUnderstood(_)) || style.describe;
            check_description(description.as_deref(), if is_told { why } else { "" });
            assert_eq!(*exit_status == 2, matches!(outcome, Outcome::NotUnderstood(_)));
        }
    }
    words
}

/// Checks that a description is `text` in printable characters, or the beginning of it if it is too long.
fn check_description(description: Option<&str>, text: &str) {
    let printable: String =
        text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect();
    let printable = printable.trim();
    match description {
        None => assert_eq!(printable, ""),
        Some(whole) if printable.len() <= DESCRIPTION_LIMIT => assert_eq!(whole, printable),
        Some(cut) => {
            let kept = cut.strip_suffix("...").unwrap_or_else(|| panic!("{cut:?}"));
            assert!(printable.starts_with(kept), "{cut:?} {printable:?}");
            // A word is cut only if it is long.
            let next = printable.as_bytes().get(kept.len());
            let cut_word = kept.rsplit(' ').next().unwrap_or_default();
            assert!(next == Some(&b' ') || cut_word.len() > 40, "{cut:?} {printable:?}");
        }
    }
}

/// Whether everything was measured, and something is bad.
fn is_bad(verdict: &Verdict) -> bool {
    let is_measured = verdict.unmeasured.is_empty()
        && verdict.readings.iter().all(|reading| reading.value.is_ok());
    is_measured && !is_within_limits(verdict)
}

fn is_within_limits(verdict: &Verdict) -> bool {
    verdict.faults.is_empty()
        && verdict.unmeasured.is_empty()
        && verdict.held_percent.is_none()
        && verdict.readings.iter().all(|reading| match (&reading.value, reading.limit) {
            (Err(_), _) => false,
            (Ok(value), Limit::Below(limit)) => *value < limit,
            (Ok(value), Limit::AtMost(limit)) => *value <= limit,
            (Ok(value), Limit::Above(limit)) => *value > limit,
        })
}

/// Reads `[ready ][STATE ][WEIGHT% ][maxconn:N ][# description]` and its line end.
fn words_of(line: &str) -> ReplyText {
    let text = line.strip_suffix('\n').unwrap_or_else(|| panic!("{line:?}"));
    assert!(text.len() <= LINE_LIMIT, "{line:?}");
    assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
    let (words, description) = match text.split_once(" # ") {
        Some((words, description)) => (words, Some(description.to_owned())),
        None => (text, None),
    };
    let is_description = |text: &String| !text.is_empty() && text.len() <= DESCRIPTION_LIMIT;
    assert!(description.as_ref().is_none_or(is_description), "{line:?}");
    let mut words = words.split(' ').peekable();
    let is_ready = words.next_if_eq(&"ready").is_some();
    let states = ["up", "down", "fail", "maint", "drain", "stopped"];
    let state = words.next_if(|word| states.contains(word)).unwrap_or_default().to_owned();
    let weight = words.next_if(|word| word.ends_with('%')).map(|word| {
        let digits = word.strip_suffix('%').filter(|digits| is_digits(digits));
        let weight = digits.and_then(|digits| digits.parse().ok());
        weight.filter(|weight| *weight <= 256).unwrap_or_else(|| panic!("{line:?}"))
    });
    let maxconn = words.next().map(|word| {
        let digits = word.strip_prefix("maxconn:").filter(|digits| is_digits(digits));
        digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{line:?}"))
    });
    assert_eq!(words.next(), None, "{line:?}");
    assert!(is_ready || !state.is_empty() || weight.is_some() || maxconn.is_some(), "{line:?}");
    ReplyText { is_ready, state, weight, maxconn, description, exit_status: 0 }
}

pub fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
