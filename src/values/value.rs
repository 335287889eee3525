//! A value that can have a limit, and where it is read.

use crate::net::secrets::option_without_secrets;
use crate::process::deadline::Deadline;
use crate::text::malformed::Malformed;
use crate::values::key::Key;
use crate::values::settings::Settings;
use crate::verdict::fault::Fault;

/// A kind of value: a row of [`VALUES`](crate::values::VALUES).
#[derive(Debug)]
pub struct ValueKind {
    /// The name in requests. What comes after a colon, as in `stat:KEY`, stands for any text.
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
    /// On a file system of the machine. Only the command line may ask for it.
    FileSystem {
        /// The text of the column `source` of `--explain`.
        title: &'static str,
        /// Measures the value for the file system that holds this absolute path. It may hang for ever.
        read: fn(&str) -> Result<f64, Fault>,
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
            Self::Machine { .. } | Self::FileSystem { .. } => None,
        }
    }

    /// Returns the keys of the statistics page for a value with this argument, which is the end of its name.
    /// Fails if the argument is malformed.
    fn keys<'n>(&self, argument: &'n str) -> Result<Vec<Key>, Malformed<'n>> {
        match self {
            Self::Machine { .. } => Ok(Vec::new()),
            Self::FileSystem { .. } if argument.starts_with('/') => Ok(Vec::new()),
            Self::FileSystem { .. } => {
                Err(Malformed { piece: argument, problem: "is not an absolute path" })
            }
            Self::StatisticsPage { keys: PageKeys::Sum(names), .. } => {
                Ok(names.iter().map(|name| Key::name(name)).collect())
            }
            Self::StatisticsPage { keys: PageKeys::InName, .. } => Ok(vec![Key::parse(argument)?]),
        }
    }

    /// Returns the text of the column `source` of `--explain`.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Machine { title, .. } | Self::FileSystem { title, .. } => title,
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
    keys: Vec<Key>,
}

impl ValueKind {
    /// Whether a limit may end in `%`.
    pub fn is_percentage(&self) -> bool {
        self.unit == "%"
    }

    /// Returns the value with this name. `None` if the name does not belong to this kind. Fails if it does, and
    /// what comes after the colon is malformed.
    pub fn named<'n>(&'static self, name: &'n str) -> Option<Result<Value, Malformed<'n>>> {
        let prefix = self.prefix();
        let argument = name.strip_prefix(prefix)?;
        let has_its_argument = argument.is_empty() == (prefix == self.name);
        has_its_argument.then(|| {
            let keys = self.source.keys(argument)?;
            Ok(Value { kind: self, name: name.to_owned(), keys })
        })
    }

    /// The part of the name that is the same for every value of this kind.
    fn prefix(&self) -> &'static str {
        self.name.split_inclusive(':').next().unwrap_or_default()
    }
}

impl Value {
    pub fn kind(&self) -> &'static ValueKind {
        self.kind
    }

    /// The name as messages show it, without what may be secret in it.
    pub fn shown_name(&self) -> String {
        option_without_secrets(&self.name)
    }

    /// The name in the request, such as `cpu` or `stat:connections`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn is_on_statistics_page(&self) -> bool {
        matches!(self.kind.source, Source::StatisticsPage { .. })
    }

    /// Whether a request line may not ask for it.
    pub fn is_for_command_line_only(&self) -> bool {
        matches!(self.kind.source, Source::FileSystem { .. })
    }

    /// What the name says after its colon. Empty if it has none.
    pub fn argument(&self) -> &str {
        self.name.strip_prefix(self.kind.prefix()).unwrap_or_default()
    }

    /// The keys of the statistics page whose sum is the value. Empty if it is read elsewhere.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }
}
