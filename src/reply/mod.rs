/*!
The one line that HAProxy reads, and the exit status that goes with it.

Words, weight, length and character set are decided here and nowhere else. The grammar is that of
the `agent-check` keyword in HAProxy's configuration manual.
*/

pub mod explain;
pub mod maintenance;
pub mod syslog;

use std::fmt;
use std::ops::RangeInclusive;

use crate::reply::maintenance::Maintenance;
use crate::request::debug::Debug;
use crate::verdict::{Outcome, Reading, Verdict};

/// The longest description, in bytes: HAProxy's statistics page keeps 127 with its own words.
const DESCRIPTION_LIMIT: usize = 100;

/// What a description that was cut ends with.
const CUT: &str = "...";

/// Weights are multiples of this, in percent: a weight that changes with every reply would make
/// HAProxy rebuild its tables for nothing.
const WEIGHT_STEP: f64 = 5.0;

/// The weights that HAProxy takes, in percent of the `server` line's.
pub const WEIGHTS: RangeInclusive<u16> = 0..=256;

/// The states that HAProxy is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The server can take traffic.
    Up,
    /// It was measured and cannot.
    Down,
    /// It could not be judged.
    Fail,
    /// Its administrator took it out.
    Maint,
    /// It keeps its sessions and gets no new ones.
    Drain,
    /// As down, and said to be on purpose.
    Stopped,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Up, Self::Down, Self::Fail, Self::Maint, Self::Drain, Self::Stopped];

    /// The word that HAProxy knows the state by.
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Fail => "fail",
            Self::Maint => "maint",
            Self::Drain => "drain",
            Self::Stopped => "stopped",
        }
    }
}

/// What the options say about replies.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Style {
    /// Whether the reply says why.
    pub describe: bool,
    /// From which percentage of its limit on a value lowers the weight.
    pub weight_from_percent: Option<f64>,
    /// Whether the agent may have set MAINT or DRAIN before, which only `ready` takes back.
    pub takes_back: bool,
}

/// A whole reply.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    is_ready: bool,
    state: State,
    weight_percent: Option<u16>,
    description: String,
    exit_status: u8,
}

impl Reply {
    /// The reply to a run that ended like this.
    pub fn new(outcome: &Outcome, style: Style) -> Self {
        let weightless = |state, description: &str, exit_status| Self {
            is_ready: style.takes_back,
            state,
            weight_percent: None,
            description: description.to_owned(),
            exit_status,
        };
        let reply = match outcome {
            Outcome::Thresholds(verdict) | Outcome::Api(verdict) if !verdict.is_up() => {
                weightless(State::Down, &describe(verdict), 1)
            }
            Outcome::Thresholds(verdict) => Self {
                weight_percent: Some(weight_percent(verdict.fullness(), style)),
                ..weightless(State::Up, &describe(verdict), 0)
            },
            Outcome::Api(verdict) => weightless(State::Up, &describe(verdict), 0),
            Outcome::Debug(Debug { state, weight_percent, description }) => {
                let exit_status = if *state == State::Up { 0 } else { 1 };
                let reply = weightless(*state, description, exit_status);
                return Self { weight_percent: *weight_percent, ..reply };
            }
            Outcome::Unmeasured(why) => weightless(State::Fail, why, 1),
            Outcome::NotUnderstood(why) => return weightless(State::Fail, why, 2),
            Outcome::Maintenance(Maintenance { state, reason }) => {
                return Self { is_ready: false, ..weightless(*state, reason, 1) };
            }
        };
        // What is wrong with a request, and why a server is out, is said in any case.
        let description = if style.describe { reply.description } else { String::new() };
        Self { description, ..reply }
    }

    /// The reply where none could be made.
    pub fn internal_error() -> Self {
        Self {
            is_ready: false,
            state: State::Fail,
            weight_percent: None,
            description: String::new(),
            exit_status: 1,
        }
    }

    /// Whether the server can take traffic.
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// 0 for `up`, 2 for what could not be understood, 1 for everything else.
    pub fn exit_status(&self) -> u8 {
        self.exit_status
    }
}

/// The line as it goes to HAProxy, its line end included.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ready {
            f.write_str("ready ")?;
        }
        f.write_str(self.state.word())?;
        if let Some(percent) = self.weight_percent {
            write!(f, " {percent}%")?;
        }
        let description = cut(&printable(&self.description));
        if !description.is_empty() {
            write!(f, " # {description}")?;
        }
        f.write_str("\n")
    }
}

/// The weight of a server whose tightest value uses this much of its limit, below 1: 100 up to the
/// percentage where it begins to fall, then on a straight line to 0 at the limit, in steps of 5; at
/// least 1, since 0 means drain to HAProxy.
fn weight_percent(fullness: f64, style: Style) -> u16 {
    let Some(from) = style.weight_from_percent else {
        return 100;
    };
    let weight = 100.0 * (100.0 - 100.0 * fullness) / (100.0 - from);
    // The millionth keeps a weight that is a step from falling to the next for a rounding error.
    let steps = (weight / WEIGHT_STEP + 1e-6).floor();
    (steps * WEIGHT_STEP).clamp(1.0, 100.0) as u16
}

/// What decides first: values that reached their limit, then faults; where there are neither, every
/// value, the tightest first.
fn describe(verdict: &Verdict) -> String {
    let faults = verdict.all_faults();
    let mut readings: Vec<&Reading> = verdict.readings.iter().collect();
    readings.sort_by(|a, b| b.fullness().total_cmp(&a.fullness()));
    if !faults.is_empty() {
        readings.retain(|reading| reading.is_exceeded());
    }
    let values: Vec<String> = readings.into_iter().filter_map(show).collect();
    // Values part at spaces, sentences need more.
    let values = Some(values.join(" ")).filter(|values| !values.is_empty());
    let parts = values.into_iter().chain(faults.into_iter().map(str::to_owned));
    parts.collect::<Vec<_>>().join("; ")
}

fn show(reading: &Reading) -> Option<String> {
    let Reading { name, limit, .. } = reading;
    let value = shown_value(reading)?;
    // A percentage and a count are plain by their names. No space: a value stays one word.
    let unit = if reading.unit == "%" { "" } else { reading.unit };
    Some(format!("{name} {}/{}{unit}", number(value), number(*limit)))
}

/// The value rounded down to one decimal, so that one below its limit is not shown as having reached
/// it; in full where that would show one that has reached its limit as being below.
pub fn shown_value(reading: &Reading) -> Option<f64> {
    let value = *reading.value.as_ref().ok()?;
    let rounded = (value * 10.0).floor() / 10.0;
    let is_faithful = reading.allows(rounded) != reading.is_exceeded() && rounded.is_finite();
    Some(if is_faithful { rounded } else { value })
}

/// A number in digits, or with an exponent where that would be too many.
pub fn number(number: f64) -> String {
    if number < 1e15 { number.to_string() } else { format!("{number:e}") }
}

/// Replaces what is neither a space nor a visible ASCII character.
pub fn printable(text: &str) -> String {
    let is_printable = |c: char| c == ' ' || c.is_ascii_graphic();
    text.chars().map(|c| if is_printable(c) { c } else { '?' }).collect()
}

/// Cuts ASCII text at a word boundary, if there is one, to fit a description.
fn cut(text: &str) -> String {
    let text = text.trim();
    if text.len() <= DESCRIPTION_LIMIT {
        return text.to_owned();
    }
    let room = DESCRIPTION_LIMIT - CUT.len();
    let fitting: String = text.chars().take(room).collect();
    // A word that ends where the room does is whole.
    let ends_word = text.chars().nth(room) == Some(' ');
    let kept = match fitting.rsplit_once(' ') {
        Some((words, _)) if !ends_word => words,
        _ => &fitting,
    };
    format!("{}{CUT}", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    use crate::verdict::Bound;

    const DESCRIBED: Style = Style { describe: true, weight_from_percent: None, takes_back: false };

    fn reading(name: &str, value: Result<f64, &str>, limit: f64) -> Reading {
        Reading {
            name: name.to_owned(),
            unit: if name.starts_with("band") { "Mbps" } else { "" },
            value: value.map_err(str::to_owned),
            limit,
            bound: Bound::Below,
            source: "test",
            took: Duration::ZERO,
        }
    }

    fn verdict(readings: &[Reading]) -> Outcome {
        Outcome::Thresholds(Verdict::of(readings.to_vec()))
    }

    fn line(readings: &[Reading]) -> String {
        Reply::new(&verdict(readings), DESCRIBED).to_string()
    }

    fn misuse(why: &str) -> String {
        Reply::new(&Outcome::NotUnderstood(why.to_owned()), DESCRIBED).to_string()
    }

    #[test]
    fn the_tightest_value_comes_first() {
        let readings = [
            reading("publishers", Ok(3.0), 100.0),
            reading("band-in", Ok(6.25), 100.0),
            reading("cpu", Ok(12.56), 90.0),
        ];
        let expected = "up 100% # cpu 12.5/90 band-in 6.2/100Mbps publishers 3/100\n";
        assert_eq!(line(&readings), expected);
    }

    #[test]
    fn reached_values_come_before_faults_and_the_rest_is_left_out() {
        let (cpu, hls) = (reading("cpu", Ok(93.4), 90.0), reading("hls", Ok(3.0), 100.0));
        let [a, b] = ["a is gone", "b too"].map(|fault| reading("x", Err(fault), 100.0));
        assert_eq!(line(&[hls.clone(), cpu.clone()]), "down # cpu 93.4/90 hls 3/100\n");
        assert_eq!(line(&[a.clone(), hls.clone(), cpu]), "down # cpu 93.4/90; a is gone\n");
        assert_eq!(line(&[hls, a.clone(), b, a]), "down # a is gone; b too\n");
    }

    #[test]
    fn rounding_never_moves_a_value_across_its_limit() {
        let show = |value, limit| show(&reading("a", Ok(value), limit)).unwrap();
        assert_eq!(show(89.99, 90.0), "a 89.9/90");
        assert_eq!(show(90.04, 90.04), "a 90.04/90.04");
        assert_eq!(show(0.0, 0.0), "a 0/0");
        assert_eq!(show(1e308, 5.0), "a 1e308/5");
        assert_eq!(show(1e300, 9e307), "a 1e300/9e307");
    }

    #[test]
    fn a_number_of_more_than_15_digits_has_an_exponent() {
        assert_eq!(number(999_999_999_999_999.0), "999999999999999");
        assert_eq!(number(1e15), "1e15");
        assert_eq!(number(0.0625), "0.0625");
    }

    #[test]
    fn a_reply_without_description_is_exactly_its_words() {
        let brief = |outcome| Reply::new(&outcome, Style::default()).to_string();
        let readings = [reading("cpu", Ok(1.0), 90.0)];
        assert_eq!(brief(verdict(&readings)), "up 100%\n");
        assert_eq!(brief(verdict(&[reading("cpu", Ok(90.0), 90.0)])), "down\n");
        assert_eq!(brief(Outcome::Unmeasured("why".to_owned())), "fail\n");
        assert_eq!(brief(Outcome::NotUnderstood("'x'".to_owned())), "fail # 'x'\n");
    }

    #[test]
    fn ready_begins_every_reply_but_those_of_a_maintenance_file() {
        let style = Style { takes_back: true, ..Style::default() };
        let reply = |outcome| Reply::new(&outcome, style).to_string();
        assert_eq!(reply(verdict(&[])), "ready up 100%\n");
        assert_eq!(reply(verdict(&[reading("cpu", Ok(9.0), 9.0)])), "ready down\n");
        assert_eq!(reply(Outcome::Unmeasured("why".to_owned())), "ready fail\n");
        assert_eq!(reply(Outcome::NotUnderstood("'x'".to_owned())), "ready fail # 'x'\n");
        for (state, line) in [
            (State::Maint, "maint # why\n"),
            (State::Drain, "drain # why\n"),
            (State::Down, "down # why\n"),
            (State::Stopped, "stopped # why\n"),
        ] {
            let maintenance = Maintenance { state, reason: "why".to_owned() };
            assert_eq!(reply(Outcome::Maintenance(maintenance)), line);
        }
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
            let readings = [reading("a", Ok(value), limit), reading("b", Ok(0.0), 1.0)];
            let reply = Reply::new(&verdict(&readings), style).to_string();
            assert_eq!(reply, format!("up {weight}%\n"), "{value}/{limit} from {from} %");
        }
    }

    #[test]
    fn a_description_is_printable_ascii_of_at_most_100_bytes() {
        let reply = misuse("a\r\nup\t100%\0\u{7f}\u{e9}\u{2028}b");
        assert_eq!(reply, "fail # a??up?100%????b\n");

        for length in 95..110 {
            let reply = misuse(&"x".repeat(length));
            assert_eq!(reply.len(), "fail # ".len() + length.min(100) + 1, "{length}");
            assert_eq!(reply.ends_with("...\n"), length > 100, "{length}");
        }
    }

    #[test]
    fn a_long_description_is_cut_between_words() {
        let reply = misuse(&"word ".repeat(30));
        assert!(reply.ends_with("word...\n"), "{reply}");
        assert!(reply.len() <= "fail # ".len() + 101, "{reply}");
        assert_eq!(cut(&format!("{} {}", "a".repeat(97), "b".repeat(9))), "a".repeat(97) + "...");
        assert_eq!(cut(&format!("{} {}", "a".repeat(98), "b".repeat(9))), "a".repeat(97) + "...");
        let [whole, cut_off] = [95, 96].map(|width| format!("x {} y", "a".repeat(width)));
        assert_eq!(cut(&format!("{whole}yy")), format!("x {}...", "a".repeat(95)));
        assert_eq!(cut(&format!("{cut_off}yy")), "x...");
    }
}
