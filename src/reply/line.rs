/*!
The line that HAProxy reads, and the exit status that goes with it.

State, weight and exit status of every reply are decided here. The grammar is that of the `agent-check` keyword
in HAProxy's configuration manual.
*/

use std::fmt;

use crate::reply::at_limit::AtLimit;
use crate::reply::description::{describe, fit};
use crate::reply::outcome::Outcome;
use crate::reply::state::State;
use crate::reply::words::Words;
use crate::verdict::Verdict;

/// Weights are multiples of this, in percent. HAProxy rebuilds its tables for every new weight, so small
/// changes are rounded away.
const WEIGHT_STEP: f64 = 5.0;

/// What the options say about the reply.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Style {
    /// Whether the reply has a description.
    pub describe: bool,
    /// Above this percentage of a limit, the weight is reduced.
    pub weight_from_percent: Option<f64>,
    /// Whether replies begin with `ready`: only `ready` takes back a MAINT or DRAIN of an earlier reply.
    pub is_ready: bool,
    /// What replaces `down` when the server was measured and is bad.
    pub at_limit: AtLimit,
}

/// A whole reply. Displayed as the line that HAProxy reads, with its line end.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    words: Words,
    exit_status: u8,
}

impl Reply {
    /// The reply that expresses `outcome`.
    pub fn new(outcome: &Outcome, style: Style) -> Self {
        let optional =
            |text: &dyn Fn() -> String| if style.describe { text() } else { String::new() };
        let (words, exit_status) = match outcome {
            Outcome::Measured(verdict) if verdict.is_up() => {
                let words = Words::of(State::Up, optional(&|| describe(verdict)));
                (Words { weight_percent: weight_percent(verdict, style), ..words }, 0)
            }
            Outcome::Measured(verdict) => {
                let state = if verdict.is_bad() { style.at_limit } else { AtLimit::Down };
                (state.words(optional(&|| describe(verdict))), 1)
            }
            Outcome::NotMeasured(fault) => {
                (Words::of(State::Fail, optional(&|| fault.to_string())), 1)
            }
            // The description of a mistake is always shown. It tells the operator what to correct.
            Outcome::NotUnderstood(fault) => (Words::of(State::Fail, fault.to_string()), 2),
            Outcome::Debug(words) | Outcome::Maintenance(words) => {
                let is_good = matches!(words.state, None | Some(State::Up));
                (words.clone(), if is_good { 0 } else { 1 })
            }
        };
        let is_at_limit = matches!(outcome, Outcome::Measured(verdict) if verdict.is_bad());
        let takes_drain_back = style.at_limit == AtLimit::Drain && !is_at_limit;
        let is_ready = match outcome {
            Outcome::Maintenance(_) => false,
            _ => words.is_ready || style.is_ready || takes_drain_back,
        };
        let description = fit(&words.description);
        Self { words: Words { is_ready, description, ..words }, exit_status }
    }

    /// The reply when making one failed.
    pub fn internal_error() -> Self {
        Self { words: Words::of(State::Fail, String::new()), exit_status: 1 }
    }

    /// Whether the server can take traffic, and no limit is reached.
    pub fn is_up(&self) -> bool {
        self.words.state == Some(State::Up) && self.exit_status == 0
    }

    /// 0 for `up` and for a reply without a state, 2 for options or a request that cannot be understood, 1
    /// for everything else.
    pub fn exit_status(&self) -> u8 {
        self.exit_status
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.words)
    }
}

/// The weight of a server that can take traffic. `None` leaves it as it is.
///
/// A server without graded values is well or not, so it has all of its weight. That is said only if an earlier
/// reply may have set another one.
fn weight_percent(verdict: &Verdict, style: Style) -> Option<u16> {
    match style.at_limit {
        _ if verdict.is_graded => {
            Some(graded_weight(verdict.fullness(), style.weight_from_percent))
        }
        AtLimit::Weight(_) => Some(100),
        AtLimit::Down | AtLimit::Drain => None,
    }
}

/// The weight of a server whose tightest value uses `fullness` of its limit, below 1. It is 100 up to
/// `from` percent of the limit. Above, it falls in steps of 5 on a straight line to 0 at the limit. It is
/// at least 1, because HAProxy reads 0 as drain.
fn graded_weight(fullness: f64, from: Option<f64>) -> u16 {
    let Some(from) = from else {
        return 100;
    };
    let weight = 100.0 * (100.0 - 100.0 * fullness) / (100.0 - from);
    // The millionth keeps a rounding error from taking a weight down a step.
    let steps = (weight / WEIGHT_STEP + 1e-6).floor();
    (steps * WEIGHT_STEP).clamp(1.0, 100.0) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    use crate::verdict::limit::Limit;
    use crate::verdict::reading::Reading;

    /// The outcome of thresholds with these values and limits.
    fn thresholds(values: &[(f64, f64)]) -> Outcome {
        let limits = values.iter().map(|(value, limit)| (*value, Limit::Below(*limit)));
        limited(&limits.collect::<Vec<_>>())
    }

    fn limited(values: &[(f64, Limit)]) -> Outcome {
        let readings = values.iter().map(|(value, limit)| Reading {
            name: "cpu".to_owned(),
            unit: "%",
            value: Ok(*value),
            limit: *limit,
            source: "test",
            took: Duration::ZERO,
        });
        Outcome::Measured(Verdict { is_graded: true, ..Verdict::of(readings.collect()) })
    }

    #[test]
    fn a_reply_without_description_is_exactly_its_words() {
        let brief = |outcome| Reply::new(&outcome, Style::default()).to_string();
        assert_eq!(brief(thresholds(&[(1.0, 90.0)])), "up 100%\n");
        assert_eq!(brief(thresholds(&[(90.0, 90.0)])), "down\n");
        assert_eq!(brief(Outcome::Measured(Verdict::default())), "up\n");
        assert_eq!(brief(Outcome::NotMeasured("why".into())), "fail\n");
        assert_eq!(brief(Outcome::NotUnderstood("'x'".into())), "fail # 'x'\n");
    }

    #[test]
    fn a_description_follows_a_hash() {
        let style = Style { describe: true, ..Style::default() };
        let described = |outcome| Reply::new(&outcome, style).to_string();
        assert_eq!(described(thresholds(&[(1.0, 90.0)])), "up 100% # cpu 1/90\n");
        assert_eq!(described(thresholds(&[(90.0, 90.0)])), "down # cpu 90/90\n");
        assert_eq!(described(Outcome::NotMeasured("why".into())), "fail # why\n");
    }

    #[test]
    fn ready_begins_every_reply_except_those_of_a_maintenance_file() {
        let style = Style { is_ready: true, ..Style::default() };
        let reply = |outcome| Reply::new(&outcome, style).to_string();
        assert_eq!(reply(thresholds(&[])), "ready up 100%\n");
        assert_eq!(reply(thresholds(&[(9.0, 9.0)])), "ready down\n");
        assert_eq!(reply(Outcome::NotMeasured("why".into())), "ready fail\n");
        assert_eq!(reply(Outcome::NotUnderstood("'x'".into())), "ready fail # 'x'\n");
        for (state, line) in [
            (State::Maint, "maint # why\n"),
            (State::Drain, "drain # why\n"),
            (State::Down, "down # why\n"),
            (State::Stopped, "stopped # why\n"),
        ] {
            let words = Words::of(state, "why".to_owned());
            assert_eq!(reply(Outcome::Debug(words.clone())), format!("ready {line}"));
            assert_eq!(reply(Outcome::Maintenance(words)), line);
        }
    }

    #[test]
    fn at_a_limit_another_state_may_replace_down() {
        let reply = |at_limit, outcome: &Outcome| {
            Reply::new(outcome, Style { at_limit, ..Style::default() })
        };
        let bad = thresholds(&[(90.0, 90.0)]);
        let broken = Outcome::Measured(Verdict::broken(vec!["broken".into()]));
        for (at_limit, line) in [
            (AtLimit::Down, "down\n"),
            (AtLimit::Drain, "drain\n"),
            (AtLimit::Weight(0), "up 0%\n"),
            (AtLimit::Weight(25), "up 25%\n"),
        ] {
            for outcome in [&bad, &broken] {
                let reply = reply(at_limit, outcome);
                assert_eq!((reply.to_string().as_str(), reply.exit_status()), (line, 1));
            }
        }
    }

    #[test]
    fn what_could_not_be_measured_is_not_at_its_limit() {
        let at_limit = |at_limit| Style { at_limit, ..Style::default() };
        let lines = |outcome: Outcome| {
            [AtLimit::Drain, AtLimit::Weight(25)]
                .map(|state| Reply::new(&outcome, at_limit(state)).to_string())
        };
        let unmeasured = Verdict { unmeasured: vec!["why".into()], ..Verdict::default() };
        let broken = || vec!["broken".into()];
        let both = Verdict { unmeasured: vec!["why".into()], ..Verdict::broken(broken()) };
        for verdict in [unmeasured, both] {
            assert_eq!(lines(Outcome::Measured(verdict)), ["ready down\n", "down\n"]);
        }
        assert_eq!(lines(Outcome::NotMeasured("why".into())), ["ready fail\n", "fail\n"]);
        assert_eq!(lines(thresholds(&[(1.0, 90.0)])), ["ready up 100%\n", "up 100%\n"]);
        assert_eq!(lines(Outcome::Measured(Verdict::default())), ["ready up\n", "up 100%\n"]);
        let maintenance = Outcome::Maintenance(Words::of(State::Maint, String::new()));
        assert_eq!(lines(maintenance), ["maint\n", "maint\n"]);
    }

    #[test]
    fn the_weight_falls_from_100_at_the_percentage_to_1_at_the_limit() {
        for (from, value, limit, weight) in [
            (80.0, 0.0, 100.0, 100),
            (80.0, 79.9, 100.0, 100),
            (80.0, 80.0, 100.0, 100),
            (80.0, 80.1, 100.0, 95),
            (80.0, 81.0, 100.0, 95),
            (80.0, 90.0, 100.0, 50),
            (80.0, 90.1, 100.0, 45),
            (80.0, 98.9, 100.0, 5),
            (80.0, 99.0, 100.0, 5),
            (80.0, 99.1, 100.0, 1),
            (80.0, 99.999, 100.0, 1),
            (0.0, 0.0, 100.0, 100),
            (0.0, 1.0, 100.0, 95),
            (0.0, 50.0, 100.0, 50),
            (0.0, 0.15, 0.3, 50),
            (70.0, 0.085, 0.1, 50),
            (99.0, 99.0, 100.0, 100),
            (99.0, 99.5, 100.0, 50),
        ] {
            let style = Style { weight_from_percent: Some(from), ..Style::default() };
            let outcome = thresholds(&[(value, limit), (0.0, 1.0)]);
            let reply = Reply::new(&outcome, style).to_string();
            assert_eq!(reply, format!("up {weight}%\n"), "{value}/{limit} from {from} %");
        }
    }

    #[test]
    fn the_weight_falls_while_a_value_falls_to_its_lower_limit() {
        let style = Style { weight_from_percent: Some(50.0), ..Style::default() };
        for (value, line) in [
            (1e300, "up 100%\n"),
            (200.0, "up 100%\n"),
            (199.0, "up 95%\n"),
            (125.0, "up 40%\n"),
            (100.1, "up 1%\n"),
            (100.0, "down\n"),
            (0.0, "down\n"),
        ] {
            let outcome = limited(&[(value, Limit::Above(100.0)), (0.0, Limit::Below(1.0))]);
            assert_eq!(Reply::new(&outcome, style).to_string(), line, "{value}");
        }
        let outcome = limited(&[(5.0, Limit::Above(0.0))]);
        assert_eq!(Reply::new(&outcome, style).to_string(), "up 100%\n");
    }
}
