/*!
Statistics pages in the text format of Prometheus, version 0.0.4, and in that of OpenMetrics 1.0.

A key means every series that has its name and its labels, and their values are added up. The whole page is
checked, as Prometheus does: a page that holds anything but samples and comments is not read.
*/

use std::str;

use crate::text::series::{Series, Values, skip_blanks};
use crate::values::figure::{Figure, NotANumber};
use crate::values::page_error::PageProblem;
use crate::values::page_format::PageFormat;
use crate::values::statistics::Statistics;

pub const FORMAT: PageFormat = PageFormat { recognises, read, memory_per_byte: 0 };

/// The comments that have a meaning. Other pages do not begin with them.
const MARKS: [&str; 4] = ["# HELP ", "# TYPE ", "# UNIT ", "# EOF"];

/// Whether the first line that is not empty is a sample or one of [`MARKS`]. Comments before it do not count.
fn recognises(page: &[u8]) -> bool {
    let lines = page.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let is_mark = |line: &[u8]| MARKS.iter().any(|mark| line.starts_with(mark.as_bytes()));
    let mut lines = lines.filter(|line| is_mark(line) || !matches!(line, [] | [b'#', ..]));
    let is_first_sample = |line: &[u8]| str::from_utf8(line).is_ok_and(begins_sample);
    lines.next().is_some_and(|line| is_mark(line) || is_first_sample(line))
}

/// Whether a line is a sample, or begins like one that has labels.
fn begins_sample(line: &str) -> bool {
    let is_name = |text| {
        Series::parse(text, Values::Quoted).is_ok_and(|(_, rest)| skip_blanks(rest).is_empty())
    };
    let with_label = line.split_once('{').and_then(|(name, labels)| {
        let (label, _) = labels.split_once("=\"")?;
        Some((name, label))
    });
    parse_sample(line).is_some()
        || with_label.is_some_and(|(name, label)| is_name(name) && is_name(label))
}

fn read(page: &[u8], statistics: &mut Statistics) -> Result<(), PageProblem> {
    let Statistics { entries, time, has_any } = statistics;
    let not_valid = |line| PageProblem::NotValid { format: "Prometheus text", line, column: None };
    for (number, line) in (1..).zip(page.split(|byte| *byte == b'\n')) {
        let line = str::from_utf8(line.trim_ascii()).map_err(|_| not_valid(number))?;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (series, value) = parse_sample(line).ok_or_else(|| not_valid(number))?;
        time.spend(line.len() + entries.len())?;
        *has_any = true;
        // A negative value may be a part of the sum. The sum must not be negative.
        let figure = if value.is_finite() { Ok(Figure::of(value)) } else { Err(NotANumber) };
        for entry in entries.iter_mut().filter(|entry| entry.key.is_metric(series.name)) {
            time.spend(line.len())?;
            if entry.key.has_labels_of(series) {
                entry.add(figure);
            }
        }
    }
    Ok(())
}

/// Parses `SERIES VALUE [TIMESTAMP] [# EXEMPLAR]`. The value may be infinite or NaN. An exemplar is not checked.
fn parse_sample(line: &str) -> Option<(Series<'_>, f64)> {
    let (series, rest) = Series::parse(line, Values::Quoted).ok()?;
    let written = line.strip_suffix(rest)?;
    let is_separated = written.ends_with('}') || rest.starts_with([' ', '\t']);
    let sample = rest.split_once('#').map_or(rest, |(sample, _)| sample);
    let mut words = sample.split([' ', '\t']).filter(|word| !word.is_empty());
    let value = words.next()?.parse().ok()?;
    let is_time = |word: &str| word.parse::<f64>().is_ok();
    let is_whole = words.next().is_none_or(is_time) && words.next().is_none();
    (is_separated && is_whole).then_some((series, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::{Duration, Instant};

    use crate::process::deadline::Deadline;
    use crate::values::key::Key;

    fn far_deadline() -> Deadline {
        Deadline::new(Instant::now(), Duration::from_secs(60))
    }

    fn figure(page: &str, key: &str) -> Result<Option<Figure>, NotANumber> {
        let keys = [Key::parse(key).unwrap()];
        let mut statistics = Statistics::of(keys.iter(), far_deadline());
        read(page.as_bytes(), &mut statistics).unwrap();
        assert!(statistics.has_any);
        statistics.sum(&keys)
    }

    const PAGE: &str = r#"# HELP media_streams Streams by kind.
# TYPE media_streams gauge
media_streams{kind="webrtc",path="live/a"} 3
media_streams{kind="webrtc",path="live/b # 1"} 4 1700000000000
media_streams{kind="rtmp",path="} 9"} 2.5
media_streams_total 100

# TYPE delay histogram
delay_bucket{le="0.1"} 7 # {trace_id="a b",x="}"} 0.05 1700000000.1
delay_bucket{le="+Inf"} 9
delay_sum 1.5e1
delay_count	9	1700000000000
  balance{sign="-"} -2
balance{sign="+"}5
odd NaN
odd{a="1"} 1
high +Inf
low{a="1"} -Inf
low{a="2"} 1
{"media.bytes",dir="in"} 8
# a comment with "quotes" and {braces
# EOF
"#;

    #[test]
    fn the_value_is_the_sum_of_the_samples_that_match() {
        for (key, sum) in [
            ("media_streams", 9.5),
            ("media_streams{}", 9.5),
            ("media_streams{kind=webrtc}", 7.0),
            ("media_streams{kind=\"rtmp\"}", 2.5),
            ("media_streams{kind=webrtc,path=live/b # 1}", 4.0),
            ("media_streams{path=\"} 9\"}", 2.5),
            ("media_streams_total", 100.0),
            ("delay_bucket{le=0.1}", 7.0),
            ("delay_bucket", 16.0),
            ("delay_sum", 15.0),
            ("delay_count", 9.0),
            ("balance", 3.0),
            ("odd{a=1}", 1.0),
            ("low{a=2}", 1.0),
            ("media.bytes", 8.0),
            ("{\"media.bytes\",dir=in}", 8.0),
        ] {
            assert_eq!(figure(PAGE, key), Ok(Some(Figure::of(sum))), "{key}");
        }
        for key in ["media", "delay", "media_streams{kind=hls}", "balance{}{}", "# EOF", "NaN"] {
            let key = key.trim_end_matches("{}");
            assert_eq!(figure(PAGE, key).is_ok_and(|sum| sum.is_none()), key != "balance", "{key}");
        }
        for key in ["odd", "high", "low", "low{a=1}", "balance{sign=-}"] {
            assert_eq!(figure(PAGE, key), Err(NotANumber), "{key}");
        }
        assert_eq!(figure(&PAGE.replace('\n', "\r\n"), "delay_sum"), Ok(Some(Figure::of(15.0))));
        assert_eq!(figure(PAGE.trim_end(), "delay_sum"), Ok(Some(Figure::of(15.0))));
    }

    #[test]
    fn a_line_that_is_neither_sample_nor_comment_spoils_the_page() {
        for line in [
            "a",
            "a ",
            "a b",
            "a 5 6 7",
            "a 5 b",
            "a=5",
            "a-5",
            "a.5",
            "a 5,0",
            "a 0x10",
            "a{b=\"c\"",
            "a{b=\"c} 5",
            "a{b=c} 5",
            "a{b} 5",
            "a{b=\"c\"} ",
            "a{b=\"c\"}{} 5",
            "9a 5",
            "{b=\"c\"} 5",
            "{\"a\": 5}",
            "<html>",
            "a 5 timestamp # {}",
        ] {
            let page = format!("ok 1\n\n{line}\nok 1\n");
            let keys = [Key::name("ok")];
            let read = read(page.as_bytes(), &mut Statistics::of(keys.iter(), far_deadline()));
            let format = "Prometheus text";
            let problem = PageProblem::NotValid { format, line: 3, column: None };
            assert_eq!(read, Err(problem), "{line}");
        }
        let read = read(b"ok 1\n# \xff\n", &mut Statistics::of([].iter(), far_deadline()));
        assert!(matches!(read, Err(PageProblem::NotValid { line: 2, .. })));
    }

    #[test]
    fn a_page_is_recognised_by_its_first_line_that_has_a_meaning() {
        for page in [
            "a 5",
            "\n \r\n# a comment\na{b=\"c\"} 5 1700000000000\n",
            "# HELP a What a is.",
            "# a=b\n# TYPE a gauge\n<html>",
            "# EOF\n",
            "a{b=\"c} 5",
            "a{b=\"c\",d} 5",
            "{\"a.b\",c=\"d\"} 5",
            "a NaN\n",
        ] {
            assert!(recognises(page.as_bytes()), "{page}");
        }
        for page in [
            "",
            "\n\n",
            "# a comment\n# another\n",
            "# a comment\na=5\nb 5\n",
            "-----Connection Stats-----\nconnections=1\n",
            "a=5",
            "a = 5",
            "a{b=c}=5",
            "uptime 5 days",
            "It works!",
            "<html lang=\"en\">",
            "{\"a\": 5}",
            "{}",
            "[1, 2]",
            "5",
        ] {
            assert!(!recognises(page.as_bytes()), "{page}");
        }
        assert!(!recognises(b"a{b=\"\xff\"} 5\n"));
    }
}
