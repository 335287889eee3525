/*!
Thresholds: `NAME [LIMIT] [NAME [LIMIT]]...`, the request of a media server.

A value that reaches its limit takes the server down, and so does one that cannot be had.
*/

use crate::load::{self, Period};
use crate::request::NotUnderstood;
use crate::source::Evidence;
use crate::statistics::{NotANumber, Statistics};
use crate::verdict::{Reading, Verdict};

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
                    NotUnderstood::new(*word, format!("is no limit for {name}: {A_LIMIT}"))
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

    /// Compares every value with its limit. There is `evidence` where a threshold needs it.
    pub fn judge(&self, period: Period, evidence: Option<&Evidence>) -> Verdict {
        let statistics = match evidence {
            Some(Evidence::Statistics(Ok(page))) => {
                let keys = self.thresholds.iter().flat_map(|threshold| threshold.metric.keys());
                page.read(&keys.collect::<Vec<_>>())
            }
            Some(Evidence::Statistics(Err(error))) => Err(error.clone()),
            None => Err("the statistics page was not asked".to_owned()),
        };
        let mut verdict = Verdict::default();
        for Threshold { metric, limit } in &self.thresholds {
            let value = match (metric, &statistics) {
                (Metric::Cpu, _) => {
                    load::percent(period).map(Some).map_err(|error| format!("cpu: {error}"))
                }
                (_, Ok(statistics)) => sum(statistics, &metric.keys())
                    .map_err(|error| format!("{}: {error}", metric.name())),
                (_, Err(error)) => Err(error.clone()),
            };
            let fault = match value {
                Ok(Some(value)) => {
                    verdict.readings.push(Reading { name: metric.name(), value, limit: *limit });
                    continue;
                }
                Ok(None) if self.skip_missing => continue,
                Ok(None) => format!("{}: {}", metric.name(), metric.missing()),
                Err(fault) => fault,
            };
            // A page that cannot be had is one fault, however many values were to come from it.
            if !verdict.faults.contains(&fault) {
                verdict.faults.push(fault);
            }
        }
        verdict
    }
}

/// A word that is no name; behind a name it may have been meant as its limit.
fn unknown_name(word: &str, is_first: bool) -> NotUnderstood {
    let names = NAMED.map(|(name, ..)| name).join(", ");
    NotUnderstood::new(
        word,
        match is_first {
            true => format!("is none of {names}, {STAT_PREFIX}KEY"),
            false => format!("is no limit ({A_LIMIT}) and none of {names}, {STAT_PREFIX}KEY"),
        },
    )
}

/// A limit is a decimal number: digits with at most one point among them; a percentage for `cpu`.
fn parse_limit(word: &str, metric: &Metric) -> Option<f64> {
    let number = match metric {
        Metric::Cpu => word.strip_suffix('%').unwrap_or(word),
        _ => word,
    };
    let is_decimal = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    // A number too long for its type is no limit, since nothing could reach it.
    let limit = number.parse().ok().filter(|limit: &f64| limit.is_finite());
    limit.filter(|_| is_decimal)
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
