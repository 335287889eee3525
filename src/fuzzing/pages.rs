//! Statistics pages that are made of choices, so that what they report is known.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::fuzzing::choices::Choices;
use crate::process::deadline::Deadline;
use crate::values::figure::{Figure, NotANumber};
use crate::values::key::Key;
use crate::values::statistics::Statistics;
use crate::values::statistics_page::Page;

/// Names, values of labels, and strings in JSON. Each needs another kind of quotes or escapes.
const TEXTS: [&str; 8] = ["a", "b", "a b", "{,}|", "\"", "\\", "n\n", "\u{e9}"];

/// What a page reports for a key. `None` if it reports nothing.
type Reported = Option<Result<Figure, NotANumber>>;

/// What `page` reports for the key with this text, which must be one.
fn read(page: &str, key: &str) -> Reported {
    let key = Key::parse(key).unwrap_or_else(|error| panic!("{key:?}: {error:?}"));
    let page = Page::new("http://127.0.0.1/".to_owned(), page.as_bytes().to_vec());
    let deadline = Deadline::new(Instant::now(), Duration::from_secs(3600));
    let keys = [key];
    let statistics: Statistics =
        page.read(keys.iter(), deadline).unwrap_or_else(|error| panic!("{page:?}: {error}"));
    statistics.sum(&keys).transpose()
}

fn is_number(number: f64) -> bool {
    number.is_finite() && number >= 0.0
}

/// A JSON value.
enum Tree {
    Object(Vec<(String, Tree)>),
    List(Vec<Tree>),
    /// Any other value, as it is written, and the number that it stands for.
    Value(String, Option<f64>),
}

/// A document, and a key: either a name or a path. A search through the document that has been written finds what
/// the agent reads.
pub fn json_page(data: &[u8]) {
    let mut choices = Choices(data);
    let has_path = choices.flag();
    let steps = steps(&mut choices);
    let name = choices.pick(&TEXTS).to_owned();
    // The second member is always there, so that the page is not empty.
    let tree = tree(&mut choices, 6);
    let document = Tree::Object(vec![
        ("a".to_owned(), tree),
        ("always".to_owned(), Tree::Value("1".to_owned(), Some(1.0))),
    ]);
    let mut page = String::new();
    write_tree(&mut choices, &document, &mut page);
    if has_path {
        let (path, steps) = write_path(&mut choices, steps);
        let found = steps.iter().try_fold(&document, |place, step| place.part(step));
        let expected = found.map(|found| match found {
            Tree::Value(_, Some(number)) => Ok(Figure::of(*number)),
            _ => Err(NotANumber),
        });
        assert_eq!(read(&page, &path), expected, "{path} {page}");
    } else if !name.starts_with('.') && !name.contains('{') {
        let mut numbers = Vec::new();
        document.search(&name, &mut numbers);
        let expected = numbers.iter().copied().reduce(|all, number| {
            Some(match (all?, number?) {
                ((lowest, highest), (low, high)) => {
                    (f64::min(lowest, low), f64::max(highest, high))
                }
            })
        });
        let expected = expected.map(|range| {
            range.map(|(lowest, highest)| Figure { lowest, highest }).ok_or(NotANumber)
        });
        assert_eq!(read(&page, &name), expected, "{name} {page}");
    }
}

/// A step of a path.
enum Step {
    Member(String),
    Element(i64),
}

impl Tree {
    /// The part to which a step leads. The last of several members with the same name counts.
    fn part(&self, step: &Step) -> Option<&Tree> {
        match (self, step) {
            (Self::Object(members), Step::Member(wanted)) => {
                let mut members = members.iter().rev();
                members.find(|(name, _)| name == wanted).map(|(_, value)| value)
            }
            (Self::List(elements), Step::Element(index)) => {
                let from_end = index + elements.len() as i64;
                let index = if *index < 0 { from_end } else { *index };
                elements.get(usize::try_from(index).ok()?)
            }
            _ => None,
        }
    }

    /// Finds the numbers of all members with this name. `None` stands for one that is not a number.
    fn search(&self, wanted: &str, found: &mut Vec<Option<(f64, f64)>>) {
        match self {
            Self::Object(members) => {
                for (name, value) in members {
                    match value {
                        Self::Value(_, number) if name == wanted => {
                            found.push(number.map(|number| (number, number)));
                        }
                        _ => value.search(wanted, found),
                    }
                }
            }
            Self::List(elements) => {
                elements.iter().for_each(|element| element.search(wanted, found));
            }
            Self::Value(..) => {}
        }
    }
}

fn tree(choices: &mut Choices, depth: usize) -> Tree {
    let size = if depth == 0 { 0 } else { choices.byte() % 4 };
    match choices.byte() % 8 {
        0..3 => {
            let mut member = || {
                let name = choices.pick(&TEXTS).to_owned();
                (name, tree(choices, depth.saturating_sub(1)))
            };
            Tree::Object((0..size).map(|_| member()).collect())
        }
        3..5 => Tree::List((0..size).map(|_| tree(choices, depth.saturating_sub(1))).collect()),
        5 => {
            let flag = choices.flag();
            Tree::Value(flag.to_string(), Some(f64::from(u8::from(flag))))
        }
        6 => Tree::Value(choices.pick(&["null", "\"x\"", "\"\"", "-5", "1e999"]).to_owned(), None),
        _ => {
            let number = choices.number();
            let is_text = choices.flag() || !number.is_finite();
            let written = if is_text { format!("\" {number}\"") } else { format!("{number:e}") };
            // Adding 0 makes a negative zero a zero.
            Tree::Value(written, Some(number + 0.0).filter(|number| is_number(*number)))
        }
    }
}

fn write_tree(choices: &mut Choices, tree: &Tree, page: &mut String) {
    let space = choices.pick(&["", "", " ", "\n\t"]);
    page.push_str(space);
    match tree {
        Tree::Object(members) => {
            page.push('{');
            for (place, (name, value)) in members.iter().enumerate() {
                page.push_str(if place == 0 { space } else { "," });
                write_string(choices, name, page);
                write!(page, "{space}:").unwrap();
                write_tree(choices, value, page);
            }
            write!(page, "{space}}}").unwrap();
        }
        Tree::List(elements) => {
            page.push('[');
            for (place, value) in elements.iter().enumerate() {
                page.push_str(if place == 0 { "" } else { "," });
                write_tree(choices, value, page);
            }
            write!(page, "{space}]").unwrap();
        }
        Tree::Value(written, _) => write!(page, "{written}{space}").unwrap(),
    }
}

/// Writes a string with or without escapes that are not needed.
fn write_string(choices: &mut Choices, text: &str, page: &mut String) {
    if choices.flag() {
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        write!(page, "\"{escaped}\"").unwrap();
    } else {
        write!(page, "{}", serde_json::to_string(text).unwrap()).unwrap();
    }
}

/// The first step leads into the first member of the document.
fn steps(choices: &mut Choices) -> Vec<Step> {
    let more = (0..choices.byte() % 8).map(|_| match choices.byte() % 3 {
        0 => Step::Member(choices.pick(&TEXTS).to_owned()),
        _ => Step::Element(i64::from(choices.byte() % 8) - 4),
    });
    let more: Vec<Step> = more.collect();
    [Step::Member("a".to_owned())].into_iter().chain(more).collect()
}

fn write_path(choices: &mut Choices, steps: Vec<Step>) -> (String, Vec<Step>) {
    let mut path = String::new();
    for (place, step) in steps.iter().enumerate() {
        let point = if place == 0 || choices.flag() { "." } else { "" };
        match step {
            Step::Element(index) => write!(path, "{point}[{index}]").unwrap(),
            Step::Member(name) if choices.flag() => {
                write!(path, "{point}[").unwrap();
                write_string(choices, name, &mut path);
                path.push(']');
            }
            Step::Member(name)
                if name.len() == 1 && name.is_ascii() && name.as_str() > "A" && name != "\\" =>
            {
                write!(path, ".{name}").unwrap();
            }
            Step::Member(name) => {
                path.push('.');
                write_string(choices, name, &mut path);
            }
        }
    }
    (path, steps)
}

/// Samples, and a key with labels. The sum of the samples that have been written is what the agent reads.
pub fn prometheus_page(data: &[u8]) {
    const NAMES: [&str; 4] = ["a", "a_total", "b:c", "x.y"];
    const LABELS: [&str; 3] = ["a", "l_2", "x.y"];
    let mut choices = Choices(data);
    let wanted = choices.pick(&NAMES);
    let filter = labels(&mut choices, &LABELS);
    let key = write_series(&mut choices, wanted, &filter, true);
    let mut page = choices.pick(&["", "# TYPE a gauge\n", "\u{feff}", "\n# b=5\n"]).to_string();
    page.push_str("first 1\n");
    let mut sum: Reported = None;
    for _ in 0..choices.byte() % 8 {
        let name = choices.pick(&NAMES);
        let labels = labels(&mut choices, &LABELS);
        let number = choices.number();
        let written = if choices.flag() { format!("{number:e}") } else { format!("{number}") };
        let series = write_series(&mut choices, name, &labels, false);
        let indent = choices.pick(&["", " ", "\t"]);
        let space = choices.pick(&[" ", "\t", "  "]);
        let time = choices.pick(&["", " 1700000000000", " -1.5 "]);
        let exemplar = choices.pick(&["", "", " # {a=\"}\"} 5 6", " # x"]);
        let end = choices.pick(&["\n", "\n", "\r\n", "\n\n", "\n# HELP a \" {\n"]);
        write!(page, "{indent}{series}{space}{written}{time}{exemplar}{end}").unwrap();
        let is_meant =
            name == wanted && filter.iter().all(|label| labels.iter().any(|other| other == label));
        if is_meant {
            let number = if number.is_finite() { Ok(number) } else { Err(NotANumber) };
            sum = Some(match (sum, number) {
                (Some(Ok(sum)), Ok(number)) => Ok(Figure::of(sum.lowest + number)),
                (Some(Err(error)), _) => Err(error),
                (_, number) => number.map(Figure::of),
            });
        }
    }
    let expected = sum.map(|sum| {
        sum.map(|sum| Figure::of(sum.lowest + 0.0)).and_then(|sum| match is_number(sum.lowest) {
            true => Ok(sum),
            false => Err(NotANumber),
        })
    });
    assert_eq!(read(&page, &key), expected, "{key} {page}");
}

fn labels(choices: &mut Choices, names: &[&'static str]) -> Vec<(&'static str, &'static str)> {
    (0..choices.byte() % 4).map(|_| (choices.pick(names), choices.pick(&TEXTS))).collect()
}

/// Writes a series. In a key, a value may stand without quotes if it has no characters with a meaning.
fn write_series(
    choices: &mut Choices,
    name: &str,
    labels: &[(&str, &str)],
    is_key: bool,
) -> String {
    let quoted = |text: &str| {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("\"{text}\"")
    };
    let space = choices.pick(&["", "", " ", "\t"]);
    let mut items = Vec::new();
    let needs_quotes = name.contains('.');
    // A name with a point is a plain key too. In braces, the name has to be quoted.
    if needs_quotes && (!is_key || !labels.is_empty() || choices.flag()) {
        items.push(quoted(name));
    }
    for (label, value) in labels {
        let label = if label.contains('.') { quoted(label) } else { (*label).to_owned() };
        let is_plain = !value.contains(['"', ',', '}']) && !value.starts_with(' ');
        let value =
            if is_key && is_plain && choices.flag() { (*value).to_owned() } else { quoted(value) };
        items.push(format!("{label}{space}={space}{value}"));
    }
    let outside = if needs_quotes && !items.is_empty() { "" } else { name };
    if items.is_empty() {
        let braces = if choices.flag() && !needs_quotes { "{}" } else { "" };
        return format!("{outside}{braces}");
    }
    let comma = if choices.flag() { "," } else { "" };
    format!("{outside}{{{space}{}{comma}{space}}}", items.join(&format!("{space},{space}")))
}
