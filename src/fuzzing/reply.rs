//! The line that HAProxy reads, and the table for people.

use std::time::Duration;

use crate::fuzzing::choices::Choices;
use crate::reply::explain::explain;
use crate::reply::line::{Reply, Style};
use crate::reply::maintenance;
use crate::reply::outcome::{FixedReply, Outcome};
use crate::reply::state::State;
use crate::request::debug::DebugRequest;
use crate::verdict::Verdict;
use crate::verdict::reading::Bound;

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
pub const DESCRIBED: Style =
    Style { describe: true, weight_from_percent: Some(50.0), is_ready: true };

/// What a reply says.
#[derive(Debug, PartialEq)]
pub struct Words {
    pub is_ready: bool,
    pub state: String,
    pub weight: Option<u16>,
    pub description: Option<String>,
    pub exit_status: u8,
}

/// Checks the reply that expresses an outcome, and returns its words.
pub fn reply_words(outcome: &Outcome, style: Style) -> Words {
    let reply = Reply::new(outcome, style);
    let line = reply.to_string();
    let words = Words { exit_status: reply.exit_status(), ..words_of(&line) };
    let Words { is_ready, state, weight, description, exit_status } = &words;

    // The line is the same after it was parsed and written again.
    let parsed = DebugRequest::parse(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    let again_in = Style { is_ready: *is_ready, ..DESCRIBED };
    assert_eq!(Reply::new(&Outcome::Debug(parsed.reply), again_in).to_string(), line);

    let is_up = state == "up";
    assert_eq!(reply.is_up(), is_up, "{line:?}");
    assert_eq!(*exit_status == 0, is_up, "{line:?}");
    let is_maintenance = matches!(outcome, Outcome::Maintenance(_));
    assert_eq!(*is_ready, style.is_ready && !is_maintenance, "{line:?}");
    match outcome {
        Outcome::Measured(verdict) => {
            assert_eq!(is_up, is_within_limits(verdict), "{line:?} {verdict:?}");
            assert!(is_up || state == "down");
            assert_eq!(weight.is_some(), is_up && verdict.is_graded, "{line:?}");
            assert!(weight.is_none_or(|weight| (1..=100).contains(&weight)), "{line:?}");
            assert!(
                style.weight_from_percent.is_some() || weight.is_none_or(|weight| weight == 100)
            );
            assert!(style.describe || description.is_none());
        }
        Outcome::Debug(debug) => {
            assert_eq!((state.as_str(), *weight), (debug.state.word(), debug.weight_percent));
        }
        Outcome::Maintenance(FixedReply { state: maintenance, .. }) => {
            assert_eq!((state.as_str(), *weight), (maintenance.word(), None));
            let states = [State::Maint, State::Drain, State::Down, State::Stopped];
            assert!(states.contains(maintenance));
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
            // A word is cut only if it is the first one and too long.
            let next = printable.as_bytes().get(kept.len());
            assert!(next == Some(&b' ') || !kept.contains(' '), "{cut:?} {printable:?}");
        }
    }
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

pub fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
