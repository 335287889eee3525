/*!
The description after the `#` of a reply: which values decided, in at most 100 printable ASCII characters.
*/

use crate::verdict::Verdict;
use crate::verdict::limit::Limit;
use crate::verdict::reading::Reading;

/// The longest description, in bytes. HAProxy's statistics page keeps 127, its own words included.
const LENGTH_LIMIT: usize = 100;

/// The end of a description that was cut.
const CUT: &str = "...";

/// Names what decided the verdict. A server that is up, or only over a limit, shows all its values, the
/// tightest first. A server with a fault shows the values that exceed their limit, then the faults.
pub fn describe(verdict: &Verdict) -> String {
    let faults = verdict.sentences();
    let mut readings: Vec<&Reading> = verdict.readings.iter().collect();
    readings.sort_by(|a, b| b.fullness().total_cmp(&a.fullness()));
    if !faults.is_empty() {
        readings.retain(|reading| reading.is_exceeded());
    }
    let values = match verdict.held_percent {
        Some(percent) => show_held(&readings, percent),
        // Spaces separate values. Sentences contain spaces, so semicolons separate them.
        None => readings.into_iter().filter_map(show).collect::<Vec<_>>().join(" "),
    };
    let values = Some(values).filter(|values| !values.is_empty());
    let warnings = verdict.warnings.iter().map(|warning| warning.to_string());
    values.into_iter().chain(faults).chain(warnings).collect::<Vec<_>>().join("; ")
}

/// Names the values that hold a server at its limit, and what would end that.
fn show_held(readings: &[&Reading], percent: f64) -> String {
    let held: Vec<&&Reading> =
        readings.iter().filter(|reading| !reading.has_room(percent)).collect();
    let shown: Vec<String> = held.iter().filter_map(|reading| show(reading)).collect();
    let end = match held.as_slice() {
        [reading] => {
            let limit = reading.limit.with_room(percent);
            let side = if matches!(limit, Limit::Above(_)) { "above" } else { "below" };
            format!("{side} {}", show_number(shortened(limit.number())))
        }
        _ => format!("with room, at {percent} % of the limits"),
    };
    format!("held: {}, up again {end}", shown.join(" "))
}

/// A number without the digits that taking a percentage of it may have added.
fn shortened(number: f64) -> f64 {
    format!("{number:.6}").parse().ok().filter(|short| *short > 0.0).unwrap_or(number)
}

fn show(reading: &Reading) -> Option<String> {
    let Reading { name, limit, .. } = reading;
    let value = shown_value(reading)?;
    // The name already says that a value is a percentage. There is no space before other units, so that
    // a value stays one word.
    let unit = if reading.unit == "%" { "" } else { reading.unit };
    Some(format!("{name} {}/{}{unit}", show_number(value), show_limit(*limit)))
}

/// The value, rounded down to one decimal. It is not rounded where that would move it to the other side
/// of its limit.
pub fn shown_value(reading: &Reading) -> Option<f64> {
    let value = *reading.value.as_ref().ok()?;
    let rounded = (value * 10.0).floor() / 10.0;
    let is_faithful = reading.limit.allows(rounded) != reading.is_exceeded() && rounded.is_finite();
    Some(if is_faithful { rounded } else { value })
}

/// A limit as requests give it, with its number as [`show_number`] shows it.
pub fn show_limit(limit: Limit) -> String {
    format!("{}{}", limit.prefix(), show_number(limit.number()))
}

/// A number in digits, or with an exponent if it has more than 15 digits.
pub fn show_number(number: f64) -> String {
    if number < 1e15 { number.to_string() } else { format!("{number:e}") }
}

/// Replaces every character that is not printable ASCII by `?`.
pub fn printable(text: &str) -> String {
    let is_printable = |c: char| c == ' ' || c.is_ascii_graphic();
    text.chars().map(|c| if is_printable(c) { c } else { '?' }).collect()
}

/// Makes a description of any text: printable, and cut where it is too long, if possible between words.
pub fn fit(text: &str) -> String {
    let text = printable(text);
    let text = text.trim();
    if text.len() <= LENGTH_LIMIT {
        return text.to_owned();
    }
    let room = LENGTH_LIMIT - CUT.len();
    let fitting: String = text.chars().take(room).collect();
    let ends_with_whole_word = text.chars().nth(room) == Some(' ');
    let kept = match fitting.rsplit_once(' ') {
        // A long word is cut too. Without it, little would be left.
        Some((words, _)) if !ends_with_whole_word && words.len() >= room / 2 => words,
        _ => &fitting,
    };
    format!("{}{CUT}", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    fn reading(name: &str, value: Result<f64, &str>, limit: f64) -> Reading {
        limited(name, value, Limit::Below(limit))
    }

    fn limited(name: &str, value: Result<f64, &str>, limit: Limit) -> Reading {
        Reading {
            name: name.to_owned(),
            unit: if name.starts_with("band") { "Mbps" } else { "" },
            value: value.map_err(Into::into),
            limit,
            source: "test",
            took: Duration::ZERO,
        }
    }

    fn described<const N: usize>(readings: [Reading; N]) -> String {
        describe(&Verdict::of(readings.into()))
    }

    #[test]
    fn the_tightest_value_comes_first() {
        let readings = [
            reading("publishers", Ok(3.0), 100.0),
            reading("band-in", Ok(6.25), 100.0),
            reading("cpu", Ok(12.56), 90.0),
        ];
        assert_eq!(described(readings), "cpu 12.5/90 band-in 6.2/100Mbps publishers 3/100");
    }

    #[test]
    fn a_lower_limit_is_tight_when_the_value_is_low() {
        let free = |value| limited("free", Ok(value), Limit::Above(100.0));
        let cpu = || reading("cpu", Ok(45.0), 90.0);
        assert_eq!(described([cpu(), free(201.0)]), "cpu 45/90 free 201/min:100");
        assert_eq!(described([cpu(), free(199.0)]), "free 199/min:100 cpu 45/90");
        assert_eq!(described([cpu(), free(100.0)]), "free 100/min:100 cpu 45/90");
        assert_eq!(described([cpu(), free(0.0)]), "free 0/min:100 cpu 45/90");
    }

    #[test]
    fn a_server_that_is_held_shows_what_holds_it() {
        let held =
            |readings| describe(&Verdict { held_percent: Some(80.0), ..Verdict::of(readings) });
        let cpu = || reading("cpu", Ok(10.0), 90.0);
        for (value, shown) in [
            (reading("hls", Ok(95.0), 100.0), "hls 95/100, up again below 80"),
            (limited("a", Ok(110.0), Limit::Above(100.0)), "a 110/min:100, up again above 125"),
            (reading("a", Ok(0.25), 0.3), "a 0.2/0.3, up again below 0.24"),
            (reading("a", Ok(0.0009), 0.001), "a 0/0.001, up again below 0.0008"),
        ] {
            assert_eq!(held(vec![cpu(), value]), format!("held: {shown}"));
        }
        let two = vec![reading("hls", Ok(95.0), 100.0), cpu(), reading("band-in", Ok(9.0), 10.0)];
        let shown = "hls 95/100 band-in 9/10Mbps, up again with room, at 80 % of the limits";
        assert_eq!(held(two), format!("held: {shown}"));
    }

    #[test]
    fn a_warning_follows_the_values() {
        let warnings = || vec!["cannot do it".into()];
        let values = vec![reading("hls", Ok(5.0), 10.0)];
        let verdict = Verdict { warnings: warnings(), ..Verdict::of(values) };
        assert_eq!(describe(&verdict), "hls 5/10; cannot do it");
    }

    #[test]
    fn a_fault_hides_the_values_within_their_limits() {
        let cpu = || reading("cpu", Ok(93.4), 90.0);
        let hls = || reading("hls", Ok(3.0), 100.0);
        let missing = |fault| reading("x", Err(fault), 100.0);
        assert_eq!(described([hls(), cpu()]), "cpu 93.4/90 hls 3/100");
        let gone = missing("a is gone");
        assert_eq!(described([gone, hls(), cpu()]), "cpu 93.4/90; a is gone");
        let [gone, too, again] = ["a is gone", "b too", "a is gone"].map(missing);
        assert_eq!(described([hls(), gone, too, again]), "a is gone; b too");
    }

    #[test]
    fn rounding_never_moves_a_value_across_its_limit() {
        let show = |value, limit| show(&reading("a", Ok(value), limit)).unwrap();
        assert_eq!(show(89.99, 90.0), "a 89.9/90");
        assert_eq!(show(90.04, 90.04), "a 90.04/90.04");
        assert_eq!(show(0.0, 0.0), "a 0/0");
        assert_eq!(show(1e308, 5.0), "a 1e308/5");
        assert_eq!(show(1e300, 9e307), "a 1e300/9e307");
        let show = |value, limit| super::show(&limited("a", Ok(value), Limit::Above(limit)));
        assert_eq!(show(80.06, 80.0).unwrap(), "a 80.06/min:80");
        assert_eq!(show(80.16, 80.0).unwrap(), "a 80.1/min:80");
        assert_eq!(show(79.99, 80.0).unwrap(), "a 79.9/min:80");
        assert_eq!(show(0.0, 1e15).unwrap(), "a 0/min:1e15");
    }

    #[test]
    fn a_number_of_more_than_15_digits_has_an_exponent() {
        assert_eq!(show_number(999_999_999_999_999.0), "999999999999999");
        assert_eq!(show_number(1e15), "1e15");
        assert_eq!(show_number(0.0625), "0.0625");
    }

    #[test]
    fn a_description_is_printable_ascii_of_at_most_100_bytes() {
        assert_eq!(fit("a\r\nup\t100%\0\u{7f}\u{e9}\u{2028}b"), "a??up?100%????b");
        for length in 95..110 {
            let fitted = fit(&"x".repeat(length));
            assert_eq!(fitted.len(), length.min(100), "{length}");
            assert_eq!(fitted.ends_with("..."), length > 100, "{length}");
        }
    }

    #[test]
    fn a_long_description_is_cut_between_words() {
        let cut = fit(&"word ".repeat(30));
        assert!(cut.ends_with("word...") && cut.len() <= 100, "{cut}");
        assert_eq!(fit(&format!("{} {}", "a".repeat(97), "b".repeat(9))), "a".repeat(97) + "...");
        assert_eq!(fit(&format!("{} {}", "a".repeat(98), "b".repeat(9))), "a".repeat(97) + "...");
        let [whole, cut_off] = [95, 96].map(|width| format!("x {} y", "a".repeat(width)));
        assert_eq!(fit(&format!("{whole}yy")), format!("x {}...", "a".repeat(95)));
        assert_eq!(fit(&format!("{cut_off}yy")), format!("x {}...", "a".repeat(95)));
        let long = format!("held: {} 90/100", "n".repeat(200));
        assert_eq!(fit(&long), format!("held: {}...", "n".repeat(91)));
    }
}
