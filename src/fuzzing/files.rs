//! The small files that the agent reads.

use resolv_conf::Config;
use simple_dns::Name;

use super::reply::reply_words;
use crate::cli::Options;
use crate::net::hosts;
use crate::net::resolver::candidates;
use crate::reply::maintenance::Maintenance;
use crate::values::load::{Period, count_listed, parse_load_average};
use crate::verdict::Outcome;

/// A text as each of the small files that the agent reads: hosts, resolv.conf, the load average, the
/// list of processors, the maintenance file.
pub fn files(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for address in hosts::find("wcs.lan", &text) {
        let is_line = |line: &str| {
            line.to_ascii_lowercase().contains("wcs.lan")
                && line.split_ascii_whitespace().next().is_some_and(|word| {
                    word.split('#').next().unwrap_or_default().parse() == Ok(address)
                })
        };
        assert!(text.lines().any(is_line), "{address}");
    }

    let (config, _) = Config::parse_with_errors(data);
    for host in ["wcs", "wcs.lan", "wcs.lan.", "a.b.c"] {
        let names = candidates(host, &config);
        assert!(names.contains(&host.trim_end_matches('.').to_owned()));
        // Those that are no names are not asked for; that is an error, no panic.
        let _ = names.iter().filter(|name| Name::new(name).is_ok()).count();
    }

    let periods = [Period::OneMinute, Period::FiveMinutes, Period::FifteenMinutes];
    for (column, period) in periods.into_iter().enumerate() {
        if let Some(load) = parse_load_average(&text, period) {
            assert!(load.is_finite() && load >= 0.0);
            let word = text.split_ascii_whitespace().nth(column).unwrap();
            assert_eq!(word.parse(), Ok(load));
        }
    }
    if let Some(count) = count_listed(&text) {
        assert!(count >= text.trim().split(',').count());
    }

    let maintenance = Maintenance::parse(data);
    reply_words(&Outcome::Maintenance(maintenance), Options::default().style());
}
