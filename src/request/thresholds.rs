/*!
Thresholds: `NAME [LIMIT] [NAME [LIMIT]]...`, the request of a media server.

A value that reaches its limit takes the server down, and so does one that cannot be had.
*/

use std::fmt;
use std::time::Duration;

use crate::request::NotUnderstood;
use crate::text::decimal::decimal;
use crate::values::statistics_page::{NotANumber, Statistics};
use crate::values::{Evidence, Measured, Timed};
use crate::verdict::{Bound, Reading, Verdict};

/// One value that can be limited.
#[derive(Clone, Debug, PartialEq)]
enum Metric {
    Cpu,
    Publishers,
    Subscribers,
    Hls,
    BandIn,
    BandOut,
    /// Any key of the statistics page.
    Stat(String),
}

/// Every named metric with the limit it has where the request gives none.
///
/// The names, the keys behind them and the limits are those of Flashphoner's
/// `haproxy-agent-check.sh`.
const NAMED: [(&str, Metric, f64); 6] = [
    ("cpu", Metric::Cpu, 90.0),
    ("publishers", Metric::Publishers, 100.0),
    ("subscribers", Metric::Subscribers, 100.0),
    ("hls", Metric::Hls, 100.0),
    ("band-in", Metric::BandIn, 100.0),
    ("band-out", Metric::BandOut, 100.0),
];

/// What begins the name of a metric that is any key of the statistics page.
const STAT_PREFIX: &str = "stat:";

/// What a limit is, for messages.
const A_LIMIT: &str = "a number of 0 or more, % for cpu only";

impl Metric {
    /// The metric called `name` and its default limit, which keys of the page do not have.
    fn named(name: &str) -> Option<(Self, Option<f64>)> {
        if let Some(key) = name.strip_prefix(STAT_PREFIX).filter(|key| !key.is_empty()) {
            return Some((Self::Stat(key.to_owned()), None));
        }
        let (_, metric, limit) = NAMED.iter().find(|(known, ..)| *known == name)?;
        Some((metric.clone(), Some(*limit)))
    }

    fn name(&self) -> String {
        match self {
            Self::Stat(key) => format!("{STAT_PREFIX}{key}"),
            _ => NAMED
                .iter()
                .find(|(_, metric, _)| metric == self)
                .map_or_else(String::new, |(name, ..)| (*name).to_owned()),
        }
    }

    /// The keys of the statistics page whose sum is the value; none if it has another source.
    fn keys(&self) -> Vec<&str> {
        match self {
            Self::Cpu => vec![],
            Self::Publishers => vec!["streams_webrtc_in", "streams_rtmp_in", "streams_rtsp_in"],
            Self::Subscribers => vec!["streams_webrtc_out", "streams_rtmp_out", "streams_rtsp_out"],
            Self::Hls => vec!["streams_hls"],
            Self::BandIn => vec!["global_bandwidth_in"],
            Self::BandOut => vec!["global_bandwidth_out"],
            Self::Stat(key) => vec![key],
        }
    }

    /// The value on the page, `None` if the page does not report it.
    fn find(&self, statistics: &Result<Statistics, String>) -> Result<Option<f64>, String> {
        let statistics = statistics.as_ref().map_err(String::clone)?;
        sum(statistics, &self.keys()).map_err(|error| format!("{}: {error}", self.name()))
    }

    /// The unit of the value; empty for a count or a key of the page.
    fn unit(&self) -> &'static str {
        match self {
            Self::Cpu => "%",
            Self::BandIn | Self::BandOut => "Mbps",
            Self::Publishers | Self::Subscribers | Self::Hls | Self::Stat(_) => "",
        }
    }

    /// What to do about a page that reports none of [`Self::keys`].
    fn missing(&self) -> String {
        let keys = self.keys().join(", ");
        match self {
            Self::BandIn | Self::BandOut => format!(
                "no {keys}; set global_bandwidth_check_enabled=true in flashphoner.properties"
            ),
            _ => format!("no {keys} on the statistics page"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Threshold {
    metric: Metric,
    limit: f64,
}

/// A request's thresholds, each metric once.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    thresholds: Vec<Threshold>,
    /// Whether a key that the page does not report is passed over: only where nobody named it.
    skip_missing: bool,
}

impl Default for Thresholds {
    /// All named thresholds at their default limits: the request of who makes none.
    fn default() -> Self {
        let threshold = |(_, metric, limit): &(&str, Metric, f64)| Threshold {
            metric: metric.clone(),
            limit: *limit,
        };
        Self { thresholds: NAMED.iter().map(threshold).collect(), skip_missing: true }
    }
}

impl Thresholds {
    /// Parses the words of a request; of a name given twice the later counts.
    pub fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, NotUnderstood> {
        let mut words = words.peekable();
        let mut parsed = Self { thresholds: Vec::new(), skip_missing: false };
        while let Some(name) = words.next() {
            let is_first = parsed.thresholds.is_empty();
            let (metric, default) =
                Metric::named(name).ok_or_else(|| unknown_name(name, is_first))?;
            let given = words.peek().and_then(|word| parse_limit(word, &metric));
            if given.is_some() {
                words.next();
            }
            let limit = given.or(default).ok_or_else(|| match words.peek() {
                Some(word) => {
                    NotUnderstood::new(word, format!("is no limit for {name}: {A_LIMIT}"))
                }
                None => NotUnderstood::new(name, format!("needs a limit: {A_LIMIT}")),
            })?;
            parsed.set(Threshold { metric, limit });
        }
        Ok(parsed)
    }

    /// These thresholds and `later` ones, which count where both have the same name.
    pub fn and(mut self, later: Self) -> Self {
        for threshold in later.thresholds {
            self.set(threshold);
        }
        self
    }

    fn set(&mut self, threshold: Threshold) {
        self.thresholds.retain(|known| known.metric != threshold.metric);
        self.thresholds.push(threshold);
    }

    /// Whether any of the thresholds needs the statistics page.
    pub fn need_statistics(&self) -> bool {
        self.thresholds.iter().any(|threshold| !threshold.metric.keys().is_empty())
    }

    /// Whether any of the thresholds needs the machine's load.
    pub fn need_load(&self) -> bool {
        self.thresholds.iter().any(|threshold| threshold.metric == Metric::Cpu)
    }

    /// Finds every value in what was measured.
    pub fn judge(&self, measured: &Measured) -> Verdict {
        let keys = self.thresholds.iter().flat_map(|threshold| threshold.metric.keys());
        let keys: Vec<&str> = keys.collect();
        let statistics = measured.evidence.as_ref().and_then(|evidence| match &evidence.result {
            Evidence::Statistics(page) => {
                let page = page.as_ref().map_err(String::clone);
                let result = page.and_then(|page| page.read(&keys));
                Some(Timed { result, took: evidence.took })
            }
            Evidence::Api(_) => None,
        });
        let mut skipped = Vec::new();
        let readings = self.thresholds.iter().filter_map(|threshold| {
            let metric = &threshold.metric;
            let name = metric.name();
            let (value, source, took) = match (metric, &measured.load, &statistics) {
                (Metric::Cpu, Some(load), _) => {
                    let value = load.result.clone().map(Some);
                    (value.map_err(|error| format!("{name}: {error}")), "load average", load.took)
                }
                (Metric::Cpu, None, _) | (_, _, None) => {
                    (Err(format!("{name} was not measured")), "nowhere", Duration::ZERO)
                }
                (_, _, Some(Timed { result: statistics, took })) => {
                    (metric.find(statistics), "statistics page", *took)
                }
            };
            let value = match value {
                Ok(None) if self.skip_missing => {
                    skipped.push(name);
                    return None;
                }
                Ok(None) => Err(format!("{name}: {}", metric.missing())),
                Ok(Some(value)) => Ok(value),
                Err(fault) => Err(fault),
            };
            let (unit, limit, bound) = (metric.unit(), threshold.limit, Bound::Below);
            Some(Reading { name, unit, value, limit, bound, source, took })
        });
        let readings = readings.collect();
        Verdict { skipped, ..Verdict::of(readings) }
    }
}

/// The words of the request, from which it could be parsed again; none for the request of who makes
/// none.
impl fmt::Display for Thresholds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.skip_missing {
            return Ok(());
        }
        for (place, Threshold { metric, limit }) in self.thresholds.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{} {limit}", metric.name())?;
        }
        Ok(())
    }
}

/// A word that is no name; behind a name it may have been meant as its limit.
fn unknown_name(word: &str, is_first: bool) -> NotUnderstood {
    let names = NAMED.map(|(name, ..)| name).join(", ");
    let problem = match is_first {
        true => format!("is none of {names}, {STAT_PREFIX}KEY"),
        false => format!("is no limit ({A_LIMIT}) and none of {names}, {STAT_PREFIX}KEY"),
    };
    NotUnderstood::new(word, problem)
}

/// A limit is a decimal number; `cpu` takes a percentage too.
fn parse_limit(word: &str, metric: &Metric) -> Option<f64> {
    match metric {
        Metric::Cpu => decimal(word.strip_suffix('%').unwrap_or(word)),
        _ => decimal(word),
    }
}

/// The sum of those keys that the page reports, or `None` if it reports none of them.
fn sum(statistics: &Statistics, keys: &[&str]) -> Result<Option<f64>, NotANumber> {
    let mut sum = None;
    for number in keys.iter().filter_map(|key| statistics.number(key)) {
        sum = Some(sum.unwrap_or(0.0) + number?);
    }
    match sum {
        Some(infinite) if !infinite.is_finite() => Err(NotANumber(infinite.to_string())),
        sum => Ok(sum),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thresholds(text: &str) -> Thresholds {
        Thresholds::parse(text.split(' ')).unwrap()
    }

    #[test]
    fn only_what_is_needed_is_measured() {
        for (text, needs_load, needs_statistics) in
            [("cpu 70", true, false), ("hls 5 stat:x 1", false, true), ("cpu hls", true, true)]
        {
            let thresholds = thresholds(text);
            assert_eq!(thresholds.need_load(), needs_load, "{text}");
            assert_eq!(thresholds.need_statistics(), needs_statistics, "{text}");
        }
        let all = Thresholds::default();
        assert!(all.need_load() && all.need_statistics());
    }

    #[test]
    fn later_thresholds_are_added_and_count_where_the_name_is_the_same() {
        let both = thresholds("cpu 70 hls 5").and(thresholds("hls 6 band-in 7"));
        assert_eq!(both, thresholds("cpu 70 hls 6 band-in 7"));
    }

    #[test]
    fn what_was_not_measured_is_a_fault() {
        let verdict = thresholds("cpu 70 hls 5").judge(&Measured::default());
        assert_eq!(verdict.all_faults(), ["cpu was not measured", "hls was not measured"]);
    }
}
