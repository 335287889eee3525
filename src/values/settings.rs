//! What the options say about values.

use crate::net::url::Url;
use crate::values::load::LoadAverage;

/// Where values are read, and which of several figures is meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub stats_url: Url,
    /// The load average that `cpu` uses.
    pub load: LoadAverage,
}

impl Default for Settings {
    fn default() -> Self {
        Self { stats_url: Url::statistics_page(), load: LoadAverage::FiveMinutes }
    }
}
