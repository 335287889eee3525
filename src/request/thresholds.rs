//! `NAME [LIMIT] [NAME [LIMIT]]...`: a request to compare values with limits.

use std::error::Error;
use std::fmt;
use std::mem;

use crate::request::not_understood::{Mistake, NotUnderstood};
use crate::request::words::words;
use crate::text::decimal::decimal;
use crate::text::malformed::Malformed;
use crate::values;
use crate::values::error::ValueError;
use crate::values::sources::Reported;
use crate::values::value::Value;
use crate::verdict::Verdict;
use crate::verdict::limit::Limit;
use crate::verdict::reading::Reading;

/// A request's values and their limits. Each value occurs once.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    thresholds: Vec<Threshold>,
    /// Whether nobody named the values. Then those that the statistics page does not report are skipped.
    are_defaults: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Threshold {
    value: Value,
    limit: Limit,
}

impl Default for Thresholds {
    /// The default request, used when none is given.
    fn default() -> Self {
        let threshold = |value: Value| {
            let limit = default_limit(&value)?;
            Some(Threshold { value, limit })
        };
        Self { thresholds: values::defaults().filter_map(threshold).collect(), are_defaults: true }
    }
}

impl Thresholds {
    /// Parses the text of a request. If a name is repeated, the last one wins.
    pub fn parse(text: &str) -> Result<Self, NotUnderstood> {
        let malformed = |name, Malformed { piece, problem }: Malformed| {
            NotUnderstood::new(name, Mistake::Name(piece.to_owned(), problem))
        };
        let words = words(text).map_err(|error| malformed(error.word, error.malformed))?;
        let mut words = words.into_iter().peekable();
        let mut parsed = Self { thresholds: Vec::new(), are_defaults: false };
        while let Some(name) = words.next() {
            let unknown = || match parsed.thresholds.is_empty() {
                true => NotUnderstood::new(name, Mistake::UnknownValue),
                false => NotUnderstood::new(name, Mistake::UnknownValueOrLimit),
            };
            let value =
                values::find(name).ok_or_else(unknown)?.map_err(|error| malformed(name, error))?;
            let given = words.peek().and_then(|word| parse_limit(word, &value));
            if given.is_some() {
                words.next();
            }
            let missing = || match words.peek() {
                Some(word) => NotUnderstood::new(word, Mistake::NotALimit(name.to_owned())),
                None => NotUnderstood::new(name, Mistake::LimitMissing),
            };
            let limit = given.or(default_limit(&value)).ok_or_else(missing)?;
            parsed.set(Threshold { value, limit });
        }
        Ok(parsed)
    }

    /// Adds `later` thresholds. Where both name a value, the later limit wins.
    pub fn and(mut self, later: Self) -> Self {
        for threshold in later.thresholds {
            self.set(threshold);
        }
        self
    }

    fn set(&mut self, threshold: Threshold) {
        self.thresholds.retain(|known| known.value != threshold.value);
        self.thresholds.push(threshold);
    }

    /// The values, in the order of the request.
    pub fn values(&self) -> Vec<&Value> {
        self.thresholds.iter().map(|threshold| &threshold.value).collect()
    }

    /// Compares each of [`Thresholds::values`], as it was read, with its limit.
    ///
    /// A default value that the page does not report is skipped. If the page reports none of them, it is not
    /// a statistics page.
    pub fn judge(&self, values: Vec<Reported>) -> Verdict {
        let mut verdict = Verdict { is_graded: true, ..Verdict::default() };
        let mut reports_some = false;
        for (Threshold { value, limit }, read) in self.thresholds.iter().zip(values) {
            let name = value.shown_name();
            if self.are_defaults && matches!(read.result, Err(ValueError::Missing { .. })) {
                verdict.skipped.push(name);
                continue;
            }
            reports_some |= value.is_on_statistics_page();
            verdict.readings.push(Reading {
                name,
                unit: value.kind().unit,
                value: read.result.map(|figure| figure.against(*limit)).map_err(Into::into),
                limit: *limit,
                source: value.kind().source.title(),
                took: read.took,
            });
        }
        if !reports_some && !verdict.skipped.is_empty() {
            verdict
                .unmeasured
                .push(NotAStatisticsPage { names: mem::take(&mut verdict.skipped) }.into());
        }
        verdict
    }
}

/// The statistics page reports none of the values with these names.
#[derive(Debug)]
struct NotAStatisticsPage {
    names: Vec<String>,
}

impl Error for NotAStatisticsPage {}

impl fmt::Display for NotAStatisticsPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the statistics page reports none of {}", self.names.join(", "))
    }
}

/// The text of the request. Parsing it gives the same request. The default request has no text.
impl fmt::Display for Thresholds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.are_defaults {
            return Ok(());
        }
        for (place, Threshold { value, limit }) in self.thresholds.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{} {limit}", value.name())?;
        }
        Ok(())
    }
}

/// The limit for a request that gives no limit.
fn default_limit(value: &Value) -> Option<Limit> {
    value.kind().default_limit.map(Limit::Below)
}

/// Parses an upper or a lower limit. A percentage may end in `%`.
fn parse_limit(word: &str, value: &Value) -> Option<Limit> {
    let is_percentage = value.kind().is_percentage();
    Limit::parse(word, |number| {
        decimal(number.strip_suffix('%').filter(|_| is_percentage).unwrap_or(number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thresholds(text: &str) -> Thresholds {
        Thresholds::parse(text).unwrap()
    }

    #[test]
    fn a_limit_is_given_or_the_default() {
        let all = "cpu 70% publishers 1 subscribers 2.50 hls band-in 0 band-out 3 stat:a-b.c 0.125";
        let shown =
            "cpu 70 publishers 1 subscribers 2.5 hls 100 band-in 0 band-out 3 stat:a-b.c 0.125";
        assert_eq!(thresholds(all).to_string(), shown);
        assert_eq!(thresholds(shown), thresholds(all));
    }

    #[test]
    fn any_limit_may_be_a_lower_one() {
        let all = "cpu min:5% hls min:0.5 memory 80% disk:/var min:10 stat:a{b=c d} min:100";
        let shown = "cpu min:5 hls min:0.5 memory 80 disk:/var min:10 stat:a{b=c d} min:100";
        assert_eq!(thresholds(all).to_string(), shown);
        assert_eq!(thresholds(shown), thresholds(all));
        assert_eq!(thresholds("hls min:5 hls 6"), thresholds("hls 6"));
        assert_eq!(thresholds("hls 6 hls min:5"), thresholds("hls min:5"));
        assert_eq!(thresholds("memory disk:/a").to_string(), "memory 90 disk:/a 90");
    }

    #[test]
    fn later_thresholds_are_added_and_win_if_the_name_is_the_same() {
        let both = thresholds("cpu 70 hls 5").and(thresholds("hls 6 band-in 7"));
        assert_eq!(both, thresholds("cpu 70 hls 6 band-in 7"));
        assert_eq!(thresholds("hls 5 cpu 70 hls 6"), thresholds("cpu 70 hls 6"));
    }

    #[test]
    fn a_wrong_word_is_named_with_what_would_be_right() {
        for (text, sentence) in [
            (
                "hsl",
                "'hsl' is none of cpu, publishers, subscribers, hls, band-in, band-out, memory, \
                 disk:PATH, stat:KEY",
            ),
            (
                "cpu 90 hsl",
                "'hsl' is no limit (a number of 0 or more or min:NUMBER, % for percentages only) and \
                 none of ",
            ),
            (
                "stat:a",
                "'stat:a' needs a limit: a number of 0 or more or min:NUMBER, % for percentages only",
            ),
            ("stat:a 5%", "'5%' is no limit for stat:a: a number of 0 or more or min:NUMBER, "),
            ("stat:a min:", "'min:' is no limit for stat:a: a number of 0 or more or min:NUMBER, "),
            ("hls 5%", "'5%' is no limit (a number of 0 or more or min:NUMBER, "),
            ("hls min:-5", "'min:-5' is no limit (a number of 0 or more or min:NUMBER, "),
            ("cpu 5 disk:var 5", "disk:var: 'var' is not an absolute path"),
            ("stat:.a[x] 5", "stat:.a[x]: '[x]' is not an index"),
            ("cpu stat:a{b=\"c} 5", "stat:a{b=\"c} 5: '\"c} 5' has no closing quote"),
        ] {
            let error = Thresholds::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(sentence), "{error}");
        }
    }
}
