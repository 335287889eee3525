//! The small files that the agent reads.

use crate::fuzzing::reply::reply_words;
use crate::net::dns::{Family, Query};
use crate::net::headers::Headers;
use crate::net::hosts;
use crate::net::resolv_conf::ResolvConf;
use crate::net::trust::validity;
use crate::reply::line::Style;
use crate::reply::maintenance;
use crate::reply::outcome::Outcome;
use crate::values::cpu::{count_listed, parse_load_average};
use crate::values::settings::LoadAverage;

/// Reads the text as each of the small files: hosts, resolv.conf, the load average, the list of
/// processors, a trusted certificate, the headers for the statistics page and the maintenance file.
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

    let conf = ResolvConf::parse(data);
    assert!((1..=30).contains(&conf.timeout().as_secs()) && (1..=5).contains(&conf.attempts()));
    for host in ["wcs", "wcs.lan", "wcs.lan.", "a.b.c"] {
        let names = conf.candidates(host);
        assert!(names.contains(&host.trim_end_matches('.').to_owned()));
        // A wrong name is an error, never a panic.
        let _ = names.iter().filter_map(|name| Query::new(name, Family::V4)).count();
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

    if let Ok(headers) = Headers::parse(data) {
        let lines = data.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        assert_eq!(headers.iter().count(), lines.count());
        for (name, value) in headers.iter() {
            let written = text.to_ascii_lowercase();
            assert!(written.contains(name.as_str()), "{name}");
            assert!(!value.as_bytes().contains(&b'\r'));
        }
    }

    // Anything but a certificate is an error, never a panic.
    let _ = validity(data);

    reply_words(&Outcome::Maintenance(maintenance::parse(data)), Style::default());
}
