//! What a statistics page reports for the keys of a request.

use crate::process::deadline::Deadline;
use crate::values::figure::{Figure, NotANumber};
use crate::values::key::Key;
use crate::values::page_error::PageProblem;

/// How much work is done between two looks at the clock. It takes less than a millisecond.
const WORK_AT_ONCE: usize = 64 * 1024;

/// The keys of a request, and what the page reports for each. A format fills it in.
#[derive(Debug)]
pub struct Statistics<'k> {
    pub entries: Vec<Entry<'k>>,
    pub time: TimeLimit,
    /// Whether the page reports anything, for any key.
    pub has_any: bool,
}

/// A key, and what the page reports for it. `None` if it reports nothing.
#[derive(Debug)]
pub struct Entry<'k> {
    pub key: &'k Key,
    pub figure: Option<Result<Figure, NotANumber>>,
}

impl<'k> Statistics<'k> {
    /// Nothing is reported yet. The page is read until the deadline.
    pub fn of(keys: impl Iterator<Item = &'k Key>, deadline: Deadline) -> Self {
        let entries = keys.map(|key| Entry { key, figure: None }).collect();
        Self { entries, time: TimeLimit { deadline, work: 0 }, has_any: false }
    }

    /// The sum of those of `keys` that the page reports, or `None` if it reports none of them.
    pub fn sum(&self, keys: &[Key]) -> Result<Option<Figure>, NotANumber> {
        let mut sum: Option<Figure> = None;
        for key in keys {
            let entry = self.entries.iter().find(|entry| entry.key == key);
            if let Some(figure) = entry.and_then(|entry| entry.figure) {
                sum = Some(sum.unwrap_or(Figure::ZERO).plus(figure?.checked()?));
            }
        }
        sum.map(Figure::checked).transpose()
    }
}

/// Ends the reading of a page at the deadline: a hostile page and many keys can take long.
#[derive(Debug)]
pub struct TimeLimit {
    deadline: Deadline,
    /// The work since the last look at the clock.
    work: usize,
}

impl TimeLimit {
    /// Tells that so many bytes or keys have been looked at. Fails after the deadline.
    pub fn spend(&mut self, work: usize) -> Result<(), PageProblem> {
        self.work += work;
        if self.work < WORK_AT_ONCE {
            return Ok(());
        }
        self.work = 0;
        if self.deadline.remaining().is_zero() { Err(PageProblem::TooSlow) } else { Ok(()) }
    }
}

impl Entry<'_> {
    /// Notes what the page reports. If it reports something else too, both count. One that is not a number
    /// spoils the key.
    pub fn note(&mut self, figure: Result<Figure, NotANumber>) {
        self.combine(figure, Figure::and);
    }

    /// Adds what the page reports to what it has reported before.
    pub fn add(&mut self, figure: Result<Figure, NotANumber>) {
        self.combine(figure, Figure::plus);
    }

    fn combine(
        &mut self,
        figure: Result<Figure, NotANumber>,
        both: impl Fn(Figure, Figure) -> Figure,
    ) {
        self.figure = Some(match (self.figure, figure) {
            (Some(Ok(known)), Ok(figure)) => Ok(both(known, figure)),
            (Some(Err(error)), _) => Err(error),
            (_, figure) => figure,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::{Duration, Instant};

    #[test]
    fn reading_ends_at_the_deadline() {
        let spent = |limit| {
            let deadline = Deadline::new(Instant::now(), limit);
            let mut time = TimeLimit { deadline, work: 0 };
            [WORK_AT_ONCE / 2, WORK_AT_ONCE / 2].map(|work| time.spend(work))
        };
        assert_eq!(spent(Duration::from_secs(60)), [Ok(()), Ok(())]);
        assert_eq!(spent(Duration::ZERO), [Ok(()), Err(PageProblem::TooSlow)]);
    }

    #[test]
    fn a_sum_adds_the_keys_that_are_reported() {
        let keys = ["a", "b", "c", "bad", "huge", "negative"].map(Key::name);
        let [a, b, c, bad, huge, negative] = &keys;
        let deadline = Deadline::new(Instant::now(), Duration::from_secs(60));
        let mut statistics = Statistics::of(keys.iter(), deadline);
        for entry in &mut statistics.entries {
            match entry.key.text() {
                "a" => entry.note(Ok(Figure::of(1.0))),
                "b" => entry.note(Ok(Figure::of(2.0))),
                "bad" => entry.note(Err(NotANumber)),
                "huge" => entry.note(Ok(Figure::of(1e308))),
                "negative" => entry.note(Ok(Figure::of(-1.0))),
                _ => {}
            }
        }
        let sum = |keys: &[&Key]| {
            let keys: Vec<Key> = keys.iter().copied().cloned().collect();
            statistics.sum(&keys)
        };
        assert_eq!(sum(&[a, b]), Ok(Some(Figure::of(3.0))));
        assert_eq!(sum(&[a, c]), Ok(Some(Figure::of(1.0))));
        assert_eq!(sum(&[c]), Ok(None));
        assert_eq!(sum(&[a, bad]), Err(NotANumber));
        assert_eq!(sum(&[huge, huge, a]), Err(NotANumber));
        assert_eq!(sum(&[b, negative]), Err(NotANumber));
    }

    #[test]
    fn one_report_that_is_not_a_number_spoils_the_key() {
        let key = Key::name("a");
        let [one, two] = [1.0, 2.0].map(|number| Ok(Figure::of(number)));
        let mut entry = Entry { key: &key, figure: None };
        entry.note(two);
        entry.note(one);
        assert_eq!(entry.figure, Some(Ok(Figure { lowest: 1.0, highest: 2.0 })));
        entry.add(one);
        assert_eq!(entry.figure, Some(Ok(Figure { lowest: 2.0, highest: 3.0 })));
        entry.note(Err(NotANumber));
        entry.add(one);
        assert_eq!(entry.figure, Some(Err(NotANumber)));
    }
}
