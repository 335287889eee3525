//! What the options say about values.

use std::path::PathBuf;

use crate::net::url::Url;

/// Where a WCS serves its statistics page on its own host; from Flashphoner's documentation.
const STATISTICS_PAGE: &str = "http://127.0.0.1:8081/?action=stat";

/// Where values are read, and which of several figures is meant.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The statistics page.
    pub stats_url: Url,
    /// A file with headers for the request of the statistics page.
    pub stats_headers: Option<PathBuf>,
    /// The load average that `cpu` uses.
    pub load: LoadAverage,
}

impl Default for Settings {
    fn default() -> Self {
        let stats_url = Url::parse(STATISTICS_PAGE)
            .unwrap_or_else(|_| unreachable!("a test parses this constant"));
        Self { stats_url, stats_headers: None, load: LoadAverage::FiveMinutes }
    }
}

/// Which of the kernel's three load averages is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadAverage {
    OneMinute,
    FiveMinutes,
    FifteenMinutes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_statistics_page_is_a_url() {
        assert_eq!(Settings::default().stats_url.uri().to_string(), STATISTICS_PAGE);
    }
}
