//! A value that can have a limit, and where it is read.

use crate::process::deadline::Deadline;
use crate::values::settings::Settings;
use crate::verdict::fault::Fault;

/// If the name of a kind ends in this text, any key of the statistics page may take its place.
const ANY_KEY: &str = "KEY";

/// A kind of value: a row of [`VALUES`](crate::values::VALUES).
#[derive(Debug)]
pub struct ValueKind {
    /// The name in requests. `KEY` at its end stands for any key of the statistics page.
    pub name: &'static str,
    /// The unit, for people; empty for a plain count.
    pub unit: &'static str,
    /// The limit for a request that gives no limit. `None` if every request must give one.
    pub default_limit: Option<f64>,
    /// Whether a run without a request checks the value.
    pub is_default: bool,
    pub source: Source,
}

/// Where a value is read.
#[derive(Debug)]
pub enum Source {
    /// On the machine that the agent runs on.
    Machine {
        /// The text of the column `source` of `--explain`.
        title: &'static str,
        /// Measures the value in its unit. Returns before the deadline.
        read: fn(&Settings, Deadline) -> Result<f64, Fault>,
    },
    StatisticsPage {
        keys: PageKeys,
        /// What to do if the page reports none of the keys. `None` if nothing helps.
        advice: Option<&'static str>,
    },
}

/// The keys of the statistics page from which a value is calculated.
#[derive(Debug)]
pub enum PageKeys {
    /// The sum of these keys. A key that the page does not report is left out.
    Sum(&'static [&'static str]),
    /// The key is a part of the value's name.
    InName,
}

impl Source {
    /// Returns what to do if the value is missing. `None` if nothing helps.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::StatisticsPage { advice, .. } => *advice,
            Self::Machine { .. } => None,
        }
    }

    /// Returns the text of the column `source` of `--explain`.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Machine { title, .. } => title,
            Self::StatisticsPage { .. } => "statistics page",
        }
    }
}

/// Two kinds are equal if their names are equal.
impl PartialEq for ValueKind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A value that a request names. It has not been read yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    kind: &'static ValueKind,
    name: String,
}

impl ValueKind {
    /// Whether a limit may end in `%`.
    pub fn is_percentage(&self) -> bool {
        self.unit == "%"
    }

    /// Returns the value with this name, if the name belongs to this kind.
    pub fn named(&'static self, name: &str) -> Option<Value> {
        let name_matches = match self.name.strip_suffix(ANY_KEY) {
            Some(prefix) => name.strip_prefix(prefix).is_some_and(|key| !key.is_empty()),
            None => name == self.name,
        };
        name_matches.then(|| Value { kind: self, name: name.to_owned() })
    }
}

impl Value {
    pub fn kind(&self) -> &'static ValueKind {
        self.kind
    }

    /// The name in the request, such as `cpu` or `stat:connections`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn is_on_statistics_page(&self) -> bool {
        matches!(self.kind.source, Source::StatisticsPage { .. })
    }

    /// Returns the keys of the statistics page whose sum is the value. Empty if it is read elsewhere.
    pub fn page_keys(&self) -> Vec<&str> {
        match &self.kind.source {
            Source::Machine { .. } => Vec::new(),
            Source::StatisticsPage { keys: PageKeys::Sum(keys), .. } => keys.to_vec(),
            Source::StatisticsPage { keys: PageKeys::InName, .. } => {
                let prefix = self.kind.name.trim_end_matches(ANY_KEY);
                self.name.strip_prefix(prefix).into_iter().collect()
            }
        }
    }
}
