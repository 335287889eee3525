//! Statistics pages in JSON: an object whose members are values or groups of them.

use crate::text::json::{Json, MEMORY_PER_BYTE};
use crate::values::page_error::PageProblem;
use crate::values::page_format::{PageFormat, TakeValue};

/// The greatest depth at which groups are read. A WCS has groups at depth 1.
const MAX_DEPTH: usize = 8;

pub const FORMAT: PageFormat = PageFormat {
    recognises: |page| page.trim_ascii_start().starts_with(b"{"),
    read: |page, take| {
        let page = Json::parse(page).ok_or(PageProblem::NotValid("JSON"))?;
        read_group(page, MAX_DEPTH, take).map_err(|_| PageProblem::NotValid("JSON"))
    },
    memory_per_byte: MEMORY_PER_BYTE,
};

/// Hands every member that is not a group to `take`, as the text it stands for. The groups' names differ
/// between versions of WCS and do not count. Fails if a name is not text.
fn read_group(
    group: Json,
    depth_left: usize,
    take: &mut TakeValue,
) -> Result<(), serde_json::Error> {
    let mut groups = Ok(());
    group.for_each_member(|name, value| {
        let written = value.written();
        if !written.starts_with('{') {
            take(name, value.text().as_deref().unwrap_or(written));
        } else if let Some(depth_left) = depth_left.checked_sub(1)
            && groups.is_ok()
        {
            groups = read_group(value, depth_left, take);
        }
    })?;
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page's keys and values.
    fn read(page: &str) -> Result<Vec<(String, String)>, PageProblem> {
        let mut values = Vec::new();
        let mut take = |key: &str, value: &str| values.push((key.to_owned(), value.to_owned()));
        (FORMAT.read)(page.as_bytes(), &mut take).map(|()| values)
    }

    #[test]
    fn members_of_any_group_are_values() {
        let page = r#" {"a": {"x": 3, "y": "4.5"}, "b": {"c": {"z": 1e2}}, "flat": " 7 ",
                        "\u0066": "\u0038"}"#;
        let values = read(page).unwrap();
        let expected = [("x", "3"), ("y", "4.5"), ("z", "1e2"), ("flat", " 7 "), ("f", "8")];
        assert_eq!(values, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn groups_that_are_nested_too_deep_are_not_read() {
        let nested =
            |depth| format!("{}{{\"x\": 1}}{}", "{\"g\":".repeat(depth), "}".repeat(depth));
        assert_eq!(read(&nested(MAX_DEPTH)).unwrap().len(), 1);
        assert_eq!(read(&nested(MAX_DEPTH + 1)), Ok(vec![]));
        assert_eq!(read(&nested(100_000)), Ok(vec![]));
        let open = format!("{{\"x\": 1, \"y\": {}", "[".repeat(100_000));
        assert_eq!(read(&open), Err(PageProblem::NotValid("JSON")));
    }
}
