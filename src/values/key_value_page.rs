//! Statistics pages of `key=value` lines, as a WCS serves them.

use crate::values::figure;
use crate::values::page_format::PageFormat;
use crate::values::statistics::Statistics;

/// Any text may be such a page, so this is the format of pages that no other format recognises.
pub const FORMAT: PageFormat = PageFormat {
    recognises: |_| true,
    read: |page, statistics| {
        let text = String::from_utf8_lossy(page);
        let Statistics { entries, time, has_any } = statistics;
        for (key, value) in text.lines().filter_map(parse_line) {
            time.spend(key.len() + entries.len())?;
            *has_any = true;
            for entry in entries.iter_mut().filter(|entry| entry.key.text() == key) {
                entry.note(figure::parse(value));
            }
        }
        Ok(())
    },
    // A byte that is not UTF-8 becomes a character of three. The text is held twice while it grows.
    memory_per_byte: 10,
};

/// Parses `key=value`. Other lines, such as headings, comments and markup, hold no value.
fn parse_line(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let key = key.trim();
    let is_markup = key.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"'));
    let is_comment = key.starts_with('#');
    (!key.is_empty() && !is_markup && !is_comment).then(|| (key, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_and_markup_are_not_values() {
        assert_eq!(parse_line(" a/b = 4\r"), Some(("a/b", "4")));
        assert_eq!(parse_line("a=b=c"), Some(("a", "b=c")));
        assert_eq!(parse_line("a="), Some(("a", "")));
        for line in
            ["", "-----Connection Stats-----", "=1", "a b=1", "<p a=1", "\"a\"=1", "#a=1", " # a=1"]
        {
            assert_eq!(parse_line(line), None, "{line}");
        }
    }
}
