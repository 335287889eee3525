/*!
The values that thresholds compare with their limits, and where they are read.

A value is a row of [`VALUES`]. A value of the machine has a file of its own. So has each format of the
statistics page, which is a row of `FORMATS` in `statistics_page`.
*/

pub mod cpu;
pub mod error;
pub mod headers_file;
pub mod json_page;
pub mod key_value_page;
pub mod page_error;
pub mod page_format;
pub mod settings;
pub mod sources;
pub mod statistics_page;
pub mod value;
pub mod wcs;

use crate::values::value::{Value, ValueKind};

/// Every value that a request can name, in the order in which messages list them.
pub const VALUES: &[&ValueKind] = &[
    &cpu::CPU,
    &wcs::PUBLISHERS,
    &wcs::SUBSCRIBERS,
    &wcs::HLS,
    &wcs::BAND_IN,
    &wcs::BAND_OUT,
    &statistics_page::STAT,
];

/// Returns the value with this name, or `None` if the name is unknown.
pub fn find(name: &str) -> Option<Value> {
    VALUES.iter().find_map(|kind| kind.named(name))
}

/// Returns the values that are checked without a request.
pub fn defaults() -> impl Iterator<Item = Value> {
    VALUES.iter().filter(|kind| kind.is_default).filter_map(|kind| kind.named(kind.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_finds_its_row() {
        for kind in VALUES {
            let name = kind.name.replace("KEY", "streams_hls");
            let value = find(&name).unwrap();
            assert_eq!((value.kind().name, value.name()), (kind.name, name.as_str()));
        }
        for name in ["", "CPU", "cpu ", "hsl", "stat", "stat:", "stat:KEY2=", "xstat:a"] {
            let is_known = name == "stat:KEY2=";
            assert_eq!(find(name).is_some(), is_known, "{name}");
        }
    }

    #[test]
    fn the_default_request_has_a_limit_for_each_of_its_values() {
        let names: Vec<_> = defaults().map(|value| value.name().to_owned()).collect();
        assert_eq!(names, ["cpu", "publishers", "subscribers", "hls", "band-in", "band-out"]);
        assert!(defaults().all(|value| value.kind().default_limit.is_some()));
    }
}
