//! BLOCKS: how far an Antelope service may be off.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::verdict::limit::Limit;
use crate::verdict::reading::Reading;

/// The number of blocks that a service may be off, if the request does not say.
const DEFAULT: u64 = 10;

/// The time between two blocks, in milliseconds; the block interval of the Antelope protocol.
const BLOCK_MS: u128 = 500;

/// A number of blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blocks(u64);

impl FromStr for Blocks {
    type Err = Infallible;

    /// Parses a whole number of 0 or more. Any other text means the default, as in the programs that this
    /// one replaces.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number that is too large for `u64` allows everything.
        Ok(Self(if is_number { text.parse().unwrap_or(u64::MAX) } else { DEFAULT }))
    }
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Blocks {
    /// How far a service may be off from the present time.
    pub fn around_now(self) -> Tolerance {
        Tolerance { blocks: self.0, now_ms: unix_ms(SystemTime::now()) }
    }
}

/// How far a service may be off, in either direction.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    pub blocks: u64,
    /// The present time, in milliseconds since 1970.
    pub now_ms: i128,
}

impl Tolerance {
    /// Compares a head block's time, in milliseconds since 1970, with the present time.
    pub fn time(&self, head_ms: i128) -> Reading {
        // Saturating: a service may report any time.
        let lag_ms = self.now_ms.saturating_sub(head_ms);
        let name = if lag_ms < 0 { "head block ahead" } else { "head block behind" };
        let limit_ms = u128::from(self.blocks) * BLOCK_MS;
        let seconds = |ms: u128| ms as f64 / 1000.0;
        reading(name.to_owned(), "s", seconds(lag_ms.unsigned_abs()), seconds(limit_ms))
    }

    /// Compares a block number with the head block's. `what` says which blocks it counts.
    pub fn distance(&self, what: &str, block: u64, head: u64) -> Reading {
        let direction = if block > head { "ahead" } else { "behind" };
        let name = format!("{what} blocks {direction}");
        reading(name, "", block.abs_diff(head) as f64, self.blocks as f64)
    }
}

fn reading(name: String, unit: &'static str, value: f64, limit: f64) -> Reading {
    Reading {
        name,
        unit,
        value: Ok(value),
        limit: Limit::AtMost(limit),
        source: "API",
        took: Duration::ZERO,
    }
}

/// A time in milliseconds since 1970, negative before.
fn unix_ms(time: SystemTime) -> i128 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_millis() as i128,
        Err(before) => -(before.duration().as_millis() as i128),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// 2022-08-17T14:16:36Z, the head block's time in the fixtures.
    pub const HEAD_MS: i128 = 1_660_745_796_000;

    /// The tolerance of a run that begins `lag_ms` after the fixtures' head block.
    pub fn tolerance(blocks: u64, lag_ms: i128) -> Tolerance {
        Tolerance { blocks, now_ms: HEAD_MS + lag_ms }
    }

    #[test]
    fn blocks_are_whole_numbers_or_the_default() {
        let parse = |text: &str| text.parse::<Blocks>().unwrap().0;
        for (text, blocks) in [("0", 0), ("15", 15), ("99999999999999999999999", u64::MAX)] {
            assert_eq!(parse(text), blocks, "{text}");
        }
        for text in ["", "-1", "+5", "1.5", "1e3", "ten", "0x10"] {
            assert_eq!(parse(text), DEFAULT, "{text}");
        }
    }

    #[test]
    fn an_extreme_head_time_is_never_within_the_tolerance() {
        for now_ms in [-2, -1, 0, HEAD_MS] {
            let tolerance = Tolerance { blocks: u64::MAX, now_ms };
            for head_ms in [i128::MIN, i128::MAX] {
                assert!(tolerance.time(head_ms).is_exceeded(), "{now_ms} {head_ms}");
            }
        }
    }

    #[test]
    fn a_time_is_in_milliseconds_since_1970_and_negative_before() {
        for (ms, time) in [
            (1500, UNIX_EPOCH + Duration::from_millis(1500)),
            (-1500, UNIX_EPOCH - Duration::from_millis(1500)),
            (
                9_000_000_000_000_000_000_000,
                UNIX_EPOCH + Duration::from_secs(9_000_000_000_000_000_000),
            ),
        ] {
            assert_eq!(unix_ms(time), ms);
        }
    }

    #[test]
    fn a_reading_says_in_which_direction_the_service_is_off_and_how_far() {
        for (lag_ms, name, seconds) in [
            (1500, "head block behind", 1.5),
            (0, "head block behind", 0.0),
            (-1, "head block ahead", 0.001),
        ] {
            let reading = tolerance(3, lag_ms).time(HEAD_MS);
            assert_eq!((reading.name.as_str(), reading.unit), (name, "s"));
            assert_eq!((reading.value.unwrap(), reading.limit), (seconds, Limit::AtMost(1.5)));
        }
        for (block, name, blocks) in [
            (98, "indexed blocks behind", 2.0),
            (100, "indexed blocks behind", 0.0),
            (101, "indexed blocks ahead", 1.0),
        ] {
            let reading = tolerance(3, 0).distance("indexed", block, 100);
            assert_eq!((reading.name.as_str(), reading.unit), (name, ""));
            assert_eq!((reading.value.unwrap(), reading.limit), (blocks, Limit::AtMost(3.0)));
        }
    }
}
