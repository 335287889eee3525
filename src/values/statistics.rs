//! What a statistics page reports for the keys of a request.

use crate::values::figure::{Figure, NotANumber};
use crate::values::key::Key;

/// The keys of a request, and what the page reports for each. A format fills it in.
#[derive(Debug)]
pub struct Statistics<'k> {
    entries: Vec<Entry<'k>>,
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
    /// Nothing is reported yet.
    pub fn of(keys: impl Iterator<Item = &'k Key>) -> Self {
        let entries = keys.map(|key| Entry { key, figure: None }).collect();
        Self { entries, has_any: false }
    }

    pub fn entries(&mut self) -> &mut [Entry<'k>] {
        &mut self.entries
    }

    /// The sum of those of `keys` that the page reports, or `None` if it reports none of them.
    pub fn sum(&self, keys: &[Key]) -> Result<Option<Figure>, NotANumber> {
        let mut sum: Option<Figure> = None;
        for key in keys {
            let entry = self.entries.iter().find(|entry| entry.key == key);
            if let Some(figure) = entry.and_then(|entry| entry.figure) {
                sum = Some(sum.unwrap_or(Figure::ZERO).plus(figure?));
            }
        }
        sum.map(Figure::checked).transpose()
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

    #[test]
    fn a_sum_adds_the_keys_that_are_reported() {
        let keys = ["a", "b", "c", "bad", "huge"].map(Key::name);
        let [a, b, c, bad, huge] = &keys;
        let mut statistics = Statistics::of(keys.iter());
        for entry in statistics.entries() {
            match entry.key.text() {
                "a" => entry.note(Ok(Figure::of(1.0))),
                "b" => entry.note(Ok(Figure::of(2.0))),
                "bad" => entry.note(Err(NotANumber)),
                "huge" => entry.note(Ok(Figure::of(1e308))),
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
