//! Follows the paths of a request through a JSON document, all of them in one pass.

use crate::text::json::{Json, Token};
use crate::text::json_path::Step;
use crate::values::figure::{Figure, NotANumber};
use crate::values::page_error::PageProblem;
use crate::values::statistics::{Entry, TimeLimit};

/// The paths of a request, and the place in the document at which they are.
///
/// A document may be nested deeper than the paths are long. Nothing is kept for what is deeper.
pub struct Paths<'s, 'k> {
    paths: Vec<Path<'s, 'k>>,
    /// The groups that are open, from the root. No more than the longest path has steps.
    groups: Vec<Group>,
    /// How many groups are open.
    depth: usize,
    longest: usize,
}

struct Path<'s, 'k> {
    entry: &'s mut Entry<'k>,
    steps: &'k [Step],
    /// How many of its steps lead to the groups that are open. The path goes on in the innermost group only if
    /// they lead to that group.
    taken: usize,
}

/// An object or a list.
struct Group {
    /// How many of its values have been read.
    read: i64,
    /// How many values it has. Counted only for a list that a path enters from its end.
    length: i64,
    is_list: bool,
}

impl<'s, 'k> Paths<'s, 'k> {
    /// The paths among the keys of `entries`.
    pub fn of(entries: impl Iterator<Item = &'s mut Entry<'k>>) -> Self
    where
        'k: 's,
    {
        let path = |entry: &'s mut Entry<'k>| {
            let steps = entry.key.path()?;
            Some(Path { entry, steps, taken: 0 })
        };
        let paths: Vec<Path> = entries.filter_map(path).collect();
        let longest = paths.iter().map(|path| path.steps.len()).max().unwrap_or_default();
        Self { paths, groups: Vec::new(), depth: 0, longest }
    }

    /// Takes the next value. `name` is its name if it is a member, and `number` what it stands for. Each path
    /// that ends here has this number. Of members with the same name, the last one counts, as in jq.
    pub fn take(&mut self, name: Option<Json>, number: impl Fn() -> Result<Figure, NotANumber>) {
        self.step(name, |path, is_end| path.entry.figure = is_end.then(&number));
    }

    /// Takes the beginning of a group, as [`Paths::take`] takes a value. `rest` is what follows.
    pub fn begin<'a>(
        &mut self,
        name: Option<Json>,
        is_list: bool,
        rest: impl Iterator<Item = Token<'a>>,
        time: &mut TimeLimit,
    ) -> Result<(), PageProblem> {
        let depth = self.depth;
        self.step(name, |path, is_end| {
            path.entry.figure = is_end.then_some(Err(NotANumber));
            if !is_end {
                path.taken = depth;
            }
        });
        self.depth += 1;
        if self.depth > self.longest {
            return Ok(());
        }
        let is_from_end = |path: &Path| {
            let next = path.steps.get(depth).filter(|_| path.taken == depth);
            matches!(next, Some(Step::Element(..0)))
        };
        let is_counted = self.paths.iter().any(is_from_end);
        let length = if is_counted { count_values(rest, time)? } else { 0 };
        self.groups.push(Group { read: 0, length, is_list });
        Ok(())
    }

    /// Takes the end of the innermost group.
    pub fn end(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.groups.truncate(self.depth);
        for path in &mut self.paths {
            path.taken = path.taken.min(self.depth.saturating_sub(1));
        }
    }

    /// Calls `follow` with each path that leads to the next value of the innermost group, and whether it ends
    /// there.
    fn step(&mut self, name: Option<Json>, mut follow: impl FnMut(&mut Path, bool)) {
        // Outside of all groups is the document itself, to which no path leads.
        let Some(place) = self.depth.checked_sub(1) else {
            return;
        };
        let Some(group) = self.groups.get_mut(place) else {
            return;
        };
        let index = group.read;
        group.read += 1;
        let leads_here = |step: &Step| match step {
            Step::Member(wanted) => name.is_some_and(|name| name.is_text(wanted)),
            Step::Element(wanted @ 0..) => group.is_list && *wanted == index,
            Step::Element(wanted) => group.is_list && wanted.saturating_add(group.length) == index,
        };
        for path in self.paths.iter_mut().filter(|path| path.taken == place) {
            if path.steps.get(place).is_some_and(leads_here) {
                follow(path, path.steps.len() == place + 1);
            }
        }
    }
}

/// How many values a group has, of which `rest` is everything after its beginning.
fn count_values<'a>(
    rest: impl Iterator<Item = Token<'a>>,
    time: &mut TimeLimit,
) -> Result<i64, PageProblem> {
    let (mut count, mut depth) = (0, 0_usize);
    for token in rest {
        time.spend(1)?;
        if depth == 0 && matches!(token, Token::Object | Token::List | Token::Value(_)) {
            count += 1;
        }
        match token {
            Token::Object | Token::List => depth += 1,
            Token::End if depth == 0 => break,
            Token::End => depth -= 1,
            Token::Name(_) | Token::Value(_) => {}
        }
    }
    Ok(count)
}
