/*!
Removing what may be secret from a text before it is shown or logged.
*/

use crate::net::url::Url;

/// Returns `text` without the user information and the queries of the URLs in it. Spaces and `|` end a
/// URL.
pub fn without_secrets(text: &str) -> String {
    let is_separator = |c: char| c == '|' || c.is_whitespace();
    text.split_inclusive(is_separator)
        .map(|piece| {
            let (word, separator) = match piece.char_indices().next_back() {
                Some((place, last)) if is_separator(last) => piece.split_at(place),
                _ => (piece, ""),
            };
            format!("{}{separator}", shown(word))
        })
        .collect()
}

/// Returns a word as it may be shown. It may be a URL, a mistyped one, or anything else.
fn shown(word: &str) -> String {
    let (scheme, rest) = word.split_at(word.find("://").map_or(0, |place| place + 3));
    let before_query = rest.split('?').next().unwrap_or_default();
    let shown = match before_query.rsplit_once('@') {
        // A valid URL has no user information, so the @ is in its path.
        Some(_) if Url::parse(word).is_ok() => before_query,
        Some((_, after_user)) => after_user,
        // The ? may be part of a password.
        None if rest.contains('@') && Url::parse(word).is_err() => "...",
        None => before_query,
    };
    format!("{scheme}{shown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_and_queries_are_removed() {
        for (text, shown) in [
            ("cpu 70", "cpu 70"),
            ("v1|http://user:secret@h:1/p?secret|5|h", "v1|http://h:1/p|5|h"),
            ("http://secret@h/ http://h?secret", "http://h/ http://h"),
            ("ws://a:secret@b:secret@h|", "ws://h|"),
            ("user:secret@h|v1", "h|v1"),
            ("v1|http://h/@a?secret@", "v1|http://h/@a"),
            ("http://user:se?cret@h", "http://..."),
            ("http://h/?secret@secret", "http://h/"),
            ("http://user:secret@h?secret@", "http://h"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }
}
