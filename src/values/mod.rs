/*!
The values that thresholds compare with their limits, and where they are read.

A value is a row of [`VALUES`]. A value of the machine has a file of its own. So has each format of the
statistics page, which is a row of `FORMATS` in `statistics_page`.
*/

pub mod cpu;
pub mod disk;
pub mod error;
pub mod figure;
pub mod file_systems;
pub mod headers_file;
pub mod json_page;
pub mod json_paths;
pub mod key;
pub mod key_value_page;
pub mod memory;
pub mod page_error;
pub mod page_format;
pub mod prometheus_page;
pub mod settings;
pub mod sources;
pub mod statistics;
pub mod statistics_page;
pub mod value;
pub mod wcs;

use crate::text::malformed::Malformed;
use crate::values::value::{Value, ValueKind};

/// Every value that a request can name, in the order in which messages list them.
pub const VALUES: &[&ValueKind] = &[
    &cpu::CPU,
    &wcs::PUBLISHERS,
    &wcs::SUBSCRIBERS,
    &wcs::HLS,
    &wcs::BAND_IN,
    &wcs::BAND_OUT,
    &memory::MEMORY,
    &disk::DISK,
    &statistics_page::STAT,
];

/// Returns the value with this name, or `None` if the name is unknown. Fails if what comes after its colon is
/// malformed.
pub fn find(name: &str) -> Option<Result<Value, Malformed<'_>>> {
    VALUES.iter().find_map(|kind| kind.named(name))
}

/// Returns the values that are checked without a request.
pub fn defaults() -> impl Iterator<Item = Value> {
    VALUES.iter().filter(|kind| kind.is_default).filter_map(|kind| kind.named(kind.name)?.ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_finds_its_row() {
        for kind in VALUES {
            let name = kind.name.replace("KEY", "streams_hls").replace("PATH", "/var");
            let value = find(&name).unwrap().unwrap();
            assert_eq!((value.kind().name, value.name()), (kind.name, name.as_str()));
            let (_, argument) = name.split_once(':').unwrap_or_default();
            assert_eq!(value.argument(), argument);
        }
        let unknown = [
            "", "CPU", "cpu ", "cpu:", "hsl", "stat", "stat:", "disk", "disk:", "disk/", "xstat:a",
        ];
        for name in unknown {
            assert_eq!(find(name), None, "{name}");
        }
        assert!(find("stat:KEY2=").is_some_and(|value| value.is_ok()));
    }

    #[test]
    fn what_comes_after_the_colon_may_be_malformed() {
        for (name, piece, problem) in [
            ("disk:var", "var", "is not an absolute path"),
            ("stat:.a[x]", "[x]", "is not an index"),
        ] {
            assert_eq!(find(name), Some(Err(Malformed { piece, problem })), "{name}");
        }
    }

    #[test]
    fn the_default_request_has_a_limit_for_each_of_its_values() {
        let names: Vec<_> = defaults().map(|value| value.name().to_owned()).collect();
        assert_eq!(names, ["cpu", "publishers", "subscribers", "hls", "band-in", "band-out"]);
        assert!(defaults().all(|value| value.kind().default_limit.is_some()));
    }
}
