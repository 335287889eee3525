/*!
The table of `--explain`, for people: every value against its limit, and how the reply came about.
*/

use std::fmt::Write;
use std::time::Duration;

use crate::net::secrets::without_secrets;
use crate::reply::description::{printable, show_limit, show_number, shown_value};
use crate::reply::line::Reply;
use crate::reply::outcome::Outcome;
use crate::verdict::Verdict;
use crate::verdict::limit::Limit;
use crate::verdict::reading::Reading;

/// The widest line, in columns.
const WIDTH: usize = 80;

/// The widths of the columns with a fixed width. A space separates columns.
const VALUE: usize = 11;
const LIMIT: usize = 11;
const FULL: usize = 5;
const BAR: usize = 8;
const TIME: usize = 9;

/// The least width of the column of names, so that most tables look alike.
const NAME: usize = 14;

/// What begins and ends a coloured row on a terminal; the renditions of ECMA-48.
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

/// A value that uses at least this part of its limit is shown as near it.
const NEAR: f64 = 0.8;

/// Explains how a run for `request` ended in `reply`.
pub fn explain(
    request: &str,
    outcome: &Outcome,
    reply: &Reply,
    took: Duration,
    has_colours: bool,
) -> String {
    let mut text = String::new();
    let request = without_secrets(request);
    line(
        &mut text,
        "request  ",
        if request.is_empty() { "none, so the defaults" } else { &request },
    );
    match outcome {
        Outcome::Measured(verdict) => table(&mut text, verdict, has_colours),
        Outcome::Debug(_) => line(&mut text, "         ", "nothing was measured"),
        Outcome::Maintenance(_) => {
            line(&mut text, "problem  ", "a maintenance file is there, and nothing was measured");
        }
        Outcome::NotMeasured(fault) | Outcome::NotUnderstood(fault) => {
            line(&mut text, "problem  ", &fault.to_string());
        }
    }
    line(&mut text, "reply    ", reply.to_string().trim_end());
    line(&mut text, "time     ", &milliseconds(took));
    text
}

fn table(text: &mut String, verdict: &Verdict, has_colours: bool) {
    let columns = Columns::of(&verdict.readings);
    if !verdict.readings.is_empty() {
        columns.row(text, ["check", "value", "limit", "full", "", "source", "time"]);
    }
    for reading in &verdict.readings {
        let [begin, end] = if has_colours { [colour(reading), PLAIN] } else { ["", ""] };
        let value = match shown_value(reading) {
            Some(value) => with_unit(value, reading.unit, VALUE),
            None => "none".to_owned(),
        };
        let limit = limit_with_unit(reading.limit, reading.unit);
        let percent = match reading.fullness() * 100.0 {
            percent if percent < 1000.0 => format!("{}%", percent.floor()),
            _ if reading.value.is_ok() => ">999%".to_owned(),
            _ => "-".to_owned(),
        };
        text.push_str(begin);
        // A request may contain any bytes.
        let mut name = printable(&reading.name);
        if name.len() > columns.name {
            // The name is too long for its column and gets a line of its own.
            line(text, "", &name);
            name.clear();
        }
        columns.row(
            text,
            [
                &name,
                &value,
                &limit,
                &percent,
                &bar(reading),
                reading.source,
                &milliseconds(reading.took),
            ],
        );
        text.push_str(end);
    }
    if !verdict.skipped.is_empty() {
        let skipped = verdict.skipped.join(", ");
        line(text, "skipped  ", &format!("{skipped}: not reported, and not asked for by name"));
    }
    if let Some(percent) = verdict.held_percent {
        let rule =
            format!("a limit was reached before; up again with room, at {percent} % of each limit");
        line(text, "held     ", &rule);
    }
    let warnings = verdict.warnings.iter().map(|warning| warning.to_string());
    for sentence in verdict.sentences().into_iter().chain(warnings) {
        line(text, "problem  ", &sentence);
    }
}

/// The widths of the columns that depend on their content.
struct Columns {
    name: usize,
    source: usize,
}

impl Columns {
    /// Each column is as wide as its content. Names that would make a line too long are left out.
    fn of(readings: &[Reading]) -> Self {
        let widest = |widths: &mut dyn Iterator<Item = usize>| widths.max().unwrap_or_default();
        let source = widest(&mut readings.iter().map(|reading| reading.source.len()));
        let source = source.max("source".len());
        let others = [VALUE, LIMIT, FULL, BAR, source, TIME];
        let room = WIDTH - others.len() - others.iter().sum::<usize>();
        let names = readings.iter().map(|reading| printable(&reading.name).len());
        let name = widest(&mut names.filter(|width| *width <= room));
        Self { name: name.max(NAME), source }
    }

    /// Writes `check`, `value`, `limit`, `full`, its bar, `source` and `time` in their columns.
    fn row(&self, text: &mut String, cells: [&str; 7]) {
        let Self { name: name_width, source: source_width } = self;
        let [name, value, limit, full, bar, source, time] = cells;
        let row = format!(
            "{name:name_width$} {value:>VALUE$} {limit:>LIMIT$} {full:>FULL$} {bar:BAR$} \
             {source:source_width$} {time}"
        );
        let _ = writeln!(text, "{}", row.trim_end());
    }
}

/// Writes a text after its label, and breaks lines that are too long between words.
fn line(text: &mut String, label: &str, content: &str) {
    let indent = " ".repeat(label.len());
    let mut label = label;
    let mut rest = printable(content);
    loop {
        let room = WIDTH - label.len();
        let fits = rest.len() <= room;
        let space = rest.get(..=room).and_then(|fitting| fitting.rfind(' '));
        let end = if fits { rest.len() } else { space.unwrap_or(room).max(1) };
        let (now, later) = rest.split_at_checked(end).unwrap_or((&rest, ""));
        let _ = writeln!(text, "{}", format!("{label}{now}").trim_end());
        if fits {
            return;
        }
        rest = later.trim_start().to_owned();
        label = &indent;
    }
}

/// The colour of a row.
fn colour(reading: &Reading) -> &'static str {
    match reading.fullness() {
        full if full > 1.0 || reading.is_exceeded() => RED,
        full if full >= NEAR => YELLOW,
        _ => GREEN,
    }
}

/// How much of the limit is used: a full bar is all of it. Empty without a value.
fn bar(reading: &Reading) -> String {
    if reading.value.is_err() {
        return String::new();
    }
    let filled = (reading.fullness() * BAR as f64).floor().clamp(0.0, BAR as f64) as usize;
    "#".repeat(filled) + &".".repeat(BAR - filled)
}

/// A value with its unit. It has an exponent where its digits need more than `width` columns.
fn with_unit(value: f64, unit: &str, width: usize) -> String {
    let shown = |value: String| format!("{value} {unit}").trim_end().to_owned();
    let plain = shown(show_number(value));
    if plain.len() > width { shown(format!("{value:.1e}")) } else { plain }
}

/// A limit with its unit. A lower limit that is too long for its column has no unit.
fn limit_with_unit(limit: Limit, unit: &str) -> String {
    let width = LIMIT - limit.prefix().len();
    let [whole, without_unit] =
        [unit, ""].map(|unit| format!("{} {unit}", show_limit(limit)).trim_end().to_owned());
    match limit {
        Limit::Above(_) if whole.len() <= LIMIT => whole,
        Limit::Above(_) if without_unit.len() <= LIMIT => without_unit,
        Limit::Above(number) => format!("{}{}", limit.prefix(), with_unit(number, "", width)),
        Limit::Below(number) | Limit::AtMost(number) => with_unit(number, unit, width),
    }
}

fn milliseconds(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 9.9 => format!("{:.1} ms", seconds * 1000.0),
        seconds => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::reply::line::Style;
    use crate::reply::state::State;
    use crate::reply::words::Words;
    use crate::verdict::fault::Fault;

    fn reading(name: &str, unit: &'static str, value: Result<f64, Fault>, limit: f64) -> Reading {
        let (took, limit) = (Duration::from_micros(1250), Limit::Below(limit));
        Reading { name: name.to_owned(), unit, value, limit, source: "statistics page", took }
    }

    fn explained(outcome: &Outcome, has_colours: bool) -> String {
        let reply = Reply::new(outcome, Style { describe: true, ..Style::default() });
        explain("cpu 90", outcome, &reply, Duration::from_millis(2), has_colours)
    }

    #[test]
    fn every_value_is_shown_against_its_limit() {
        let outcome = Outcome::Measured(Verdict {
            readings: vec![
                reading("cpu", "%", Ok(12.56), 90.0),
                reading("publishers", "", Ok(99.0), 100.0),
                reading("band-in", "Mbps", Ok(250.0), 100.0),
                reading("hls", "", Err("hls: no streams_hls on the page".into()), 100.0),
            ],
            skipped: vec!["band-out".to_owned()],
            ..Verdict::default()
        });
        let expected = "\
request  cpu 90
check                value       limit  full          source          time
cpu                 12.5 %        90 %   13% #....... statistics page 1.2 ms
publishers              99         100   99% #######. statistics page 1.2 ms
band-in           250 Mbps    100 Mbps  250% ######## statistics page 1.2 ms
hls                   none         100     -          statistics page 1.2 ms
skipped  band-out: not reported, and not asked for by name
problem  hls: no streams_hls on the page
reply    down # band-in 250/100Mbps; hls: no streams_hls on the page
time     2.0 ms
";
        assert_eq!(explained(&outcome, false), expected);
        assert!(explained(&outcome, true).contains("\x1b[32mcpu "));
    }

    fn shown(readings: Vec<Reading>, colour: bool) -> Vec<String> {
        let text = explained(&Outcome::Measured(Verdict::of(readings)), colour);
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_name_of_more_than_15_characters_has_a_line_of_its_own() {
        let row = |name: &str| shown(vec![reading(name, "", Ok(1.0), 2.0)], false);
        let [fits, own_line] = [15, 16].map(|width| "x".repeat(width));
        let rest = "           1           2   50% ####.... statistics page 1.2 ms";
        assert_eq!(row(&fits)[2], format!("{fits}{rest}"));
        assert_eq!(row(&own_line)[2..4], [own_line, format!("{}{rest}", " ".repeat(14))]);
        let both =
            shown(vec![reading(&fits, "", Ok(1.0), 2.0), reading("a", "", Ok(1.0), 2.0)], false);
        assert_eq!(both[3], format!("a{}{rest}", " ".repeat(14)));
    }

    #[test]
    fn a_verdict_without_values_has_no_table() {
        let nothing = explained(&Outcome::Measured(Verdict::default()), false);
        assert_eq!(nothing, "request  cpu 90\nreply    up\ntime     2.0 ms\n");
        let unasked = Reply::internal_error();
        let text =
            explain("", &Outcome::NotMeasured("why".into()), &unasked, Duration::ZERO, false);
        assert_eq!(
            text,
            "request  none, so the defaults\nproblem  why\nreply    fail\ntime     0.0 ms\n"
        );
    }

    #[test]
    fn a_percentage_of_1000_or_more_is_shown_as_more_than_999() {
        for (value, percent) in [(999.0, " 999% "), (1000.0, " >999% "), (1e9, " >999% ")] {
            let row = &shown(vec![reading("a", "", Ok(value), 100.0)], false)[2];
            assert!(row.contains(percent), "{row}");
        }
        let used_up = &shown(vec![reading("a", "", Ok(0.0), 0.0)], false)[2];
        assert!(used_up.contains(" >999% "), "{used_up}");
    }

    #[test]
    fn a_row_is_red_beyond_its_limit_yellow_near_it_and_green_below() {
        for (value, limit, expected) in [
            (79.9, Limit::Below(100.0), GREEN),
            (80.0, Limit::Below(100.0), YELLOW),
            (99.9, Limit::Below(100.0), YELLOW),
            (100.0, Limit::Below(100.0), RED),
            (100.0, Limit::AtMost(100.0), YELLOW),
            (100.1, Limit::AtMost(100.0), RED),
            (126.0, Limit::Above(100.0), GREEN),
            (125.0, Limit::Above(100.0), YELLOW),
            (100.0, Limit::Above(100.0), RED),
        ] {
            let reading = Reading { limit, ..reading("a", "", Ok(value), 0.0) };
            assert_eq!(colour(&reading), expected, "{value} {limit:?}");
        }
        assert_eq!(colour(&reading("a", "", Err("gone".into()), 100.0)), RED);
    }

    #[test]
    fn each_character_of_the_bar_is_an_eighth_of_the_limit() {
        for (value, shown) in [
            (0.0, "........"),
            (12.4, "........"),
            (12.5, "#......."),
            (99.0, "#######."),
            (100.0, "########"),
            (1e9, "########"),
        ] {
            assert_eq!(bar(&reading("a", "", Ok(value), 100.0)), shown, "{value}");
        }
        assert_eq!(bar(&reading("a", "", Err("gone".into()), 100.0)), "");
    }

    #[test]
    fn a_value_has_an_exponent_if_its_digits_need_too_many_columns() {
        assert_eq!(with_unit(123_456.0, "Mbps", 11), "123456 Mbps");
        assert_eq!(with_unit(1_234_567.0, "Mbps", 11), "1.2e6 Mbps");
        assert_eq!(with_unit(12_345_678_901.0, "", 11), "12345678901");
        assert_eq!(with_unit(123_456_789_012.0, "", 11), "1.2e11");
    }

    #[test]
    fn a_lower_limit_has_its_unit_if_there_is_room() {
        for (limit, unit, shown) in [
            (100.0, "", "min:100"),
            (10.0, "%", "min:10 %"),
            (50.0, "Mbps", "min:50 Mbps"),
            (100.0, "Mbps", "min:100"),
            (1_234_567.0, "Mbps", "min:1234567"),
            (12_345_678.0, "Mbps", "min:1.2e7"),
        ] {
            assert_eq!(limit_with_unit(Limit::Above(limit), unit), shown);
        }
        assert_eq!(limit_with_unit(Limit::Below(123_456_789.0), "Mbps"), "1.2e8 Mbps");
    }

    #[test]
    fn times_are_in_milliseconds_below_9_9_seconds() {
        for (ms, shown) in [(0, "0.0 ms"), (9899, "9899.0 ms"), (9900, "9.9 s"), (12_340, "12.3 s")]
        {
            assert_eq!(milliseconds(Duration::from_millis(ms)), shown);
        }
    }

    #[test]
    fn a_long_text_is_broken_between_words_and_a_long_word_anywhere() {
        let broken = |content: &str| {
            let mut text = String::new();
            line(&mut text, "problem  ", content);
            text
        };
        let indent = " ".repeat(9);
        let [fits, longer] = [71, 72].map(|width| "x".repeat(width));
        assert_eq!(broken(&fits), format!("problem  {fits}\n"));
        assert_eq!(broken(&longer), format!("problem  {fits}\n{indent}x\n"));
        assert_eq!(broken(&format!("{fits} y")), format!("problem  {fits}\n{indent}y\n"));
        assert_eq!(broken(&format!("y {fits}")), format!("problem  y\n{indent}{fits}\n"));
        assert_eq!(
            broken(&format!("y {fits}z")),
            format!("problem  y\n{indent}{fits}\n{indent}z\n")
        );
    }

    #[test]
    fn a_name_is_printable_whatever_the_request_contains() {
        let readings = vec![reading("stat:\u{1b}[2Jé\u{7f}", "", Ok(1.0), 5.0)];
        let table = explained(&Outcome::Measured(Verdict::of(readings)), false);
        assert!(table.contains("\nstat:?[2J?? "), "{table}");
        assert!(table.lines().all(|line| line == printable(line)), "{table}");
    }

    #[test]
    fn no_line_is_wider_than_80_columns() {
        let long = "word ".repeat(50) + &"x".repeat(200);
        let name = format!("stat:{}", "x".repeat(100));
        let readings = vec![
            reading(&name, "", Ok(f64::MAX), 1e-300),
            reading(&name, "Mbps", Err(long.clone().into()), 1e12),
            reading("a", "%", Ok(123_456_789_012_345.6), 0.000_000_001),
        ];
        let words = Words::of(State::Drain, long.clone());
        for outcome in [
            Outcome::Measured(Verdict {
                faults: vec![long.clone().into()],
                ..Verdict::of(readings)
            }),
            Outcome::NotUnderstood(long.clone().into()),
            Outcome::NotMeasured(long.into()),
            Outcome::Maintenance(words),
        ] {
            for line in explained(&outcome, false).lines() {
                assert!(line.len() <= WIDTH, "{line}");
            }
        }
    }
}
