//! The small files that the agent reads.

use resolv_conf::Config;
use simple_dns::Name;

use crate::fuzzing::reply::reply_words;
use crate::net::hosts;
use crate::net::resolver::candidates;
use crate::net::trust::validity;
use crate::reply::line::Style;
use crate::reply::maintenance;
use crate::reply::outcome::Outcome;
use crate::values::cpu::{count_listed, parse_load_average};
use crate::values::settings::LoadAverage;

/// Reads the text as each of the small files: hosts, resolv.conf, the load average, the list of
/// processors, a trusted certificate and the maintenance file.
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
        // A wrong name is an error, never a panic.
        let _ = names.iter().filter(|name| Name::new(name).is_ok()).count();
    }

    let load_averages =
        [LoadAverage::OneMinute, LoadAverage::FiveMinutes, LoadAverage::FifteenMinutes];
    for (column, load_average) in load_averages.into_iter().enumerate() {
        if let Some(load) = parse_load_average(&text, load_average) {
            assert!(load.is_finite() && load >= 0.0);
            let word = text.split_ascii_whitespace().nth(column).unwrap();
            assert_eq!(word.parse(), Ok(load));
        }
    }
    if let Some(count) = count_listed(&text) {
        assert!(count >= text.trim().split(',').count());
    }

    // Anything but a certificate is an error, never a panic.
    let _ = validity(data);

    reply_words(&Outcome::Maintenance(maintenance::parse(data)), Style::default());
}
