/*!
The one line that HAProxy reads, and the exit status that goes with it.

Words, weight, length and character set are decided here and nowhere else. The grammar is that of
the `agent-check` keyword in HAProxy's configuration manual.
*/

use std::fmt;

use crate::verdict::{Reading, Verdict};

/// The longest description, in bytes: HAProxy's statistics page keeps 127 with its own words.
const DESCRIPTION_LIMIT: usize = 100;

/// What a description that was cut ends with.
const CUT: &str = "...";

/// The exit status for options or a request that cannot be understood.
const MISUSE: u8 = 2;

/// The states that HAProxy is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The server can take traffic.
    Up,
    /// It was measured and cannot.
    Down,
    /// It could not be judged.
    Fail,
}

/// A whole reply.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    state: State,
    weight_percent: Option<u8>,
    description: Option<String>,
    exit_status: u8,
}

impl Reply {
    /// The reply to thresholds.
    pub fn to_thresholds(verdict: &Verdict) -> Self {
        let (state, weight_percent, exit_status) = match verdict.is_up() {
            true => (State::Up, Some(100), 0),
            false => (State::Down, None, 1),
        };
        Self { state, weight_percent, description: Some(describe(verdict)), exit_status }
    }

    /// The reply where nothing could be measured.
    pub fn unmeasured(state: State, why: &str) -> Self {
        Self { state, weight_percent: None, description: Some(why.to_owned()), exit_status: 1 }
    }

    /// The reply to options or a request that cannot be understood.
    pub fn not_understood(why: &str) -> Self {
        Self { exit_status: MISUSE, ..Self::unmeasured(State::Fail, why) }
    }

    /// The reply without its description, unless it says what could not be understood.
    pub fn brief(mut self) -> Self {
        if self.exit_status != MISUSE {
            self.description = None;
        }
        self
    }

    /// What could not be understood, in full, if it is that.
    pub fn misuse(&self) -> Option<&str> {
        self.description.as_deref().filter(|_| self.exit_status == MISUSE)
    }

    /// 0 for `up`, 2 for what could not be understood, 1 for everything else.
    pub fn exit_status(&self) -> u8 {
        self.exit_status
    }
}

/// The line as it goes to HAProxy, its line end included.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Up => "up",
            State::Down => "down",
            State::Fail => "fail",
        })?;
        if let Some(percent) = self.weight_percent {
            write!(f, " {percent}%")?;
        }
        let description = self.description.as_deref().map(|text| cut(&printable(text)));
        if let Some(description) = description.filter(|text| !text.is_empty()) {
            write!(f, " # {description}")?;
        }
        f.write_str("\n")
    }
}

/// What decides first: values that reached their limit, then faults; where there are neither, every
/// value, the tightest first.
fn describe(verdict: &Verdict) -> String {
    let mut readings: Vec<&Reading> = verdict.readings.iter().collect();
    readings.sort_by(|a, b| b.fullness().total_cmp(&a.fullness()));
    if !verdict.faults.is_empty() {
        readings.retain(|reading| reading.is_reached());
    }
    let readings = readings.into_iter().map(show);
    let faults = verdict.faults.iter().cloned();
    // Values part at spaces, sentences need more.
    let readings = readings.collect::<Vec<_>>().join(" ");
    let parts = Some(readings).into_iter().filter(|text| !text.is_empty()).chain(faults);
    parts.collect::<Vec<_>>().join("; ")
}

fn show(reading: &Reading) -> String {
    let Reading { name, value, limit } = reading;
    // Rounded down, so that a value below its limit is not shown as having reached it; in full where
    // rounding would show one that has reached its limit as being below.
    let rounded = (value * 10.0).floor() / 10.0;
    let is_faithful = (rounded >= *limit) == reading.is_reached() && rounded.is_finite();
    format!("{name} {}/{}", number(if is_faithful { rounded } else { *value }), number(*limit))
}

/// A number in digits, or with an exponent where that would be too many.
fn number(number: f64) -> String {
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

    fn reading(name: &str, value: f64, limit: f64) -> Reading {
        Reading { name: name.to_owned(), value, limit }
    }

    fn line(readings: &[Reading], faults: &[&str]) -> String {
        let verdict = Verdict {
            readings: readings.to_vec(),
            faults: faults.iter().map(|&fault| fault.to_owned()).collect(),
        };
        Reply::to_thresholds(&verdict).to_string()
    }

    #[test]
    fn the_tightest_value_comes_first() {
        let readings = [reading("publishers", 3.0, 100.0), reading("cpu", 12.56, 90.0)];
        assert_eq!(line(&readings, &[]), "up 100% # cpu 12.5/90 publishers 3/100\n");
    }

    #[test]
    fn reached_values_come_before_faults_and_the_rest_is_left_out() {
        let readings = [reading("cpu", 93.4, 90.0), reading("hls", 3.0, 100.0)];
        assert_eq!(line(&readings, &[]), "down # cpu 93.4/90 hls 3/100\n");
        assert_eq!(line(&readings, &["a is gone"]), "down # cpu 93.4/90; a is gone\n");
        assert_eq!(line(&readings[1..], &["a", "b"]), "down # a; b\n");
    }

    #[test]
    fn rounding_never_moves_a_value_across_its_limit() {
        assert_eq!(show(&reading("a", 89.99, 90.0)), "a 89.9/90");
        assert_eq!(show(&reading("a", 90.04, 90.04)), "a 90.04/90.04");
        assert_eq!(show(&reading("a", 0.0, 0.0)), "a 0/0");
        assert_eq!(show(&reading("a", 1e308, 5.0)), "a 1e308/5");
        assert_eq!(show(&reading("a", 1e300, 9e307)), "a 1e300/9e307");
    }

    #[test]
    fn a_reply_without_description_is_exactly_its_words() {
        let up = Reply::to_thresholds(&Verdict::default());
        assert_eq!(up.brief().to_string(), "up 100%\n");
        let fail = Reply::unmeasured(State::Fail, "no request line came");
        assert_eq!(fail.brief().to_string(), "fail\n");
        let misuse = Reply::not_understood("'x' is unknown");
        assert_eq!(misuse.brief().to_string(), "fail # 'x' is unknown\n");
    }

    #[test]
    fn a_description_is_printable_ascii_of_at_most_100_bytes() {
        let hostile = "a\r\nup\t100%\0\u{7f}é\u{2028}b";
        let reply = Reply::not_understood(hostile).to_string();
        assert_eq!(reply, "fail # a??up?100%????b\n");

        for length in 95..110 {
            let reply = Reply::not_understood(&"x".repeat(length)).to_string();
            assert_eq!(reply.len(), "fail # ".len() + length.min(100) + 1, "{length}");
            assert_eq!(reply.ends_with("...\n"), length > 100, "{length}");
        }
    }

    #[test]
    fn a_long_description_is_cut_between_words() {
        let words = "word ".repeat(30);
        let reply = Reply::not_understood(&words).to_string();
        assert!(reply.ends_with("word...\n"), "{reply}");
        assert!(reply.len() <= "fail # ".len() + 101, "{reply}");
        assert_eq!(cut(&format!("{} {}", "a".repeat(97), "b".repeat(9))), "a".repeat(97) + "...");
        assert_eq!(cut(&format!("{} {}", "a".repeat(98), "b".repeat(9))), "a".repeat(97) + "...");
    }
}
