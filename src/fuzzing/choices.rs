//! How a fuzzer's bytes are read.

use std::time::Duration;

use crate::reply::at_limit::AtLimit;
use crate::reply::line::Style;
use crate::verdict::Verdict;
use crate::verdict::fault::Fault;
use crate::verdict::limit::Limit;
use crate::verdict::reading::Reading;

/// The first line, and everything after it.
pub fn split_line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[]),
    }
}

/// A fuzzer's bytes, read as choices from the front. After their end, every choice is 0.
pub struct Choices<'a>(pub &'a [u8]);

impl<'a> Choices<'a> {
    pub fn taken(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.taken(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    pub fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// One of `all`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    /// Mostly small numbers that are close to each other. Also the ends of the range, and NaN.
    pub fn number(&mut self) -> f64 {
        const SPECIAL: [f64; 10] = [
            0.0,
            -0.0,
            -1.0,
            90.0,
            100.0,
            f64::MAX,
            f64::MIN_POSITIVE,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
        ];
        match self.byte() % 8 {
            0 => SPECIAL[usize::from(self.byte()) % SPECIAL.len()],
            1 => f64::from_le_bytes(self.array()),
            2 => f64::from(u16::from_le_bytes(self.array())) / 100.0,
            3 => f64::from(u32::from_le_bytes(self.array())),
            _ => f64::from(self.byte()),
        }
    }

    pub fn style(&mut self) -> Style {
        let percent = f64::from(self.byte()) / 2.0;
        Style {
            describe: self.flag(),
            weight_from_percent: Some(percent).filter(|percent| *percent <= 99.0),
            is_ready: self.flag(),
            at_limit: match self.byte() {
                percent @ 0..=99 => AtLimit::Weight(percent.into()),
                byte if byte % 2 == 0 => AtLimit::Drain,
                _ => AtLimit::Down,
            },
        }
    }

    /// A limit of 0 or more of any kind.
    pub fn limit(&mut self) -> Limit {
        let number = Some(self.number().abs()).filter(|limit| limit.is_finite()).unwrap_or(100.0);
        match self.byte() % 4 {
            0 => Limit::AtMost(number),
            1 => Limit::Above(number),
            _ => Limit::Below(number),
        }
    }

    /// A short text.
    pub fn text(&mut self) -> String {
        let length = usize::from(self.byte());
        String::from_utf8_lossy(self.taken(length)).into_owned()
    }

    /// The bytes that are left, as text. They stay.
    pub fn rest(&self) -> String {
        String::from_utf8_lossy(self.0).into_owned()
    }

    /// A verdict on thresholds if `is_graded`, otherwise on a service.
    pub fn verdict(&mut self, is_graded: bool) -> Verdict {
        const UNITS: [&str; 4] = ["", "%", "Mbps", "s"];
        let count = self.byte() % 8;
        let readings = (0..count).map(|_| Reading {
            name: self.text(),
            unit: UNITS[usize::from(self.byte()) % UNITS.len()],
            value: if self.byte().is_multiple_of(8) {
                Err(self.text().into())
            } else {
                Ok(self.number())
            },
            limit: self.limit(),
            source: "statistics page",
            took: Duration::ZERO,
        });
        let readings = readings.collect();
        let faults = (0..self.byte() % 16 / 13).map(|_| Fault::from(self.text())).collect();
        let unmeasured = (0..self.byte() % 16 / 13).map(|_| Fault::from(self.text())).collect();
        let skipped = (0..self.byte() % 3).map(|_| self.text()).collect();
        let warnings = (0..self.byte() % 16 / 13).map(|_| Fault::from(self.text())).collect();
        let mut verdict =
            Verdict { readings, faults, unmeasured, warnings, skipped, ..Verdict::default() };
        verdict.is_graded = is_graded;
        // Only a server that is otherwise up is held.
        if is_graded && self.flag() && verdict.is_up() {
            verdict.held_percent = Some(f64::from(self.byte() % 99 + 1));
        }
        verdict
    }
}
