/*!
Removing what may be secret from a text before it is shown or logged.
*/

use ureq::http::Uri;

use crate::net::url::{Url, UrlError};

/// What ends the scheme of a URL.
const SCHEME_END: &str = "://";

/// Returns the text of a request without the user information, the queries and the fragments of the URLs in it.
///
/// Only `|` ends a URL, because a password may contain spaces. If the text after a scheme is not a URL,
/// nothing after `://` is shown, up to the end of the text.
pub fn without_secrets(text: &str) -> String {
    let mut shown = String::new();
    for field in text.split_inclusive('|') {
        let (field, separator) = match field.strip_suffix('|') {
            Some(field) => (field, "|"),
            None => (field, ""),
        };
        let (field, is_whole) = field_without_secrets(field);
        shown.push_str(&field);
        if !is_whole {
            return shown;
        }
        shown.push_str(separator);
    }
    shown
}

/// Removes the same from the value of an option. There, `|` is an ordinary character.
pub fn option_without_secrets(text: &str) -> String {
    field_without_secrets(text).0
}

/// Returns what may be shown of a text with at most one URL, and whether the text after it may be shown too.
fn field_without_secrets(field: &str) -> (String, bool) {
    let Some(scheme_end) = field.find(SCHEME_END) else {
        return (words_without_secrets(field), true);
    };
    let scheme = field.get(..scheme_end).unwrap_or_default();
    let url_start = scheme
        .rfind(char::is_whitespace)
        .map_or(0, |space| space + scheme[space..].chars().next().map_or(0, char::len_utf8));
    let (before, url) = field.split_at(url_start);
    let before = words_without_secrets(before);
    if !is_url(url.trim()) {
        let scheme = scheme.get(url_start..).unwrap_or_default();
        return (format!("{before}{scheme}{SCHEME_END}"), false);
    }
    // The parser accepts any text after a #.
    (before + url.split(['?', '#']).next().unwrap_or_default(), true)
}

/// Whether a text is a URL without user information, of any scheme.
fn is_url(text: &str) -> bool {
    match Url::parse(text) {
        Ok(_) => true,
        // What is before an @ may be a password.
        Err(UrlError::Scheme | UrlError::Malformed) if !text.contains('@') => is_plain_uri(text),
        Err(_) => false,
    }
}

/// Whether a text is a URI without a port. What follows a colon may be a port or a password. The host may be
/// empty, as in `file:///path`.
fn is_plain_uri(text: &str) -> bool {
    let rest = text.split_once(SCHEME_END).map_or("", |(_, rest)| rest);
    match rest.starts_with('/') {
        true => !rest.contains(':') && rest.parse::<Uri>().is_ok(),
        false => text.parse::<Uri>().is_ok_and(|uri| {
            uri.authority().is_some_and(|authority| authority.as_str() == authority.host())
        }),
    }
}

/// Removes what may be secret from words without a scheme: all before an `@`, and all after a `?`.
fn words_without_secrets(text: &str) -> String {
    let shown = |word: &str| {
        let space = word.trim_start_matches(|c: char| !c.is_whitespace());
        let word = word.split('?').next().unwrap_or_default();
        let after_user = word.rsplit_once('@').map_or(word, |(_, after)| after);
        format!("{}{space}", after_user.trim_end())
    };
    text.split_inclusive(char::is_whitespace).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_and_queries_are_removed() {
        for (text, shown) in [
            ("cpu 70", "cpu 70"),
            ("v1|http://h:1/p?secret|5|h", "v1|http://h:1/p|5|h"),
            ("http://h/?token=secret|v1|5", "http://h/|v1|5"),
            ("user:secret@h|v1", "h|v1"),
            ("secret@x?secret y", "x y"),
            ("v1|http://h/@a?secret@", "v1|http://h/@a"),
            ("http://h/?secret@secret", "http://h/"),
            ("v1|http://h/#x http://u:secret@h|5", "v1|http://h/|5"),
            ("v1|ftp://h/p?secret|5", "v1|ftp://h/p|5"),
            ("file:///etc/passwd", "file:///etc/passwd"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }

    #[test]
    fn a_bar_separates_nothing_in_an_option() {
        for (text, shown) in [
            ("http://user:SEC|RET@h/", "http://"),
            ("http://h/a|b?secret", "http://h/a|b"),
            ("http://h/a?secret", "http://h/a"),
            ("stat", "stat"),
        ] {
            assert_eq!(option_without_secrets(text), shown);
        }
    }

    #[test]
    fn nothing_is_shown_after_a_scheme_that_no_url_follows() {
        for (text, shown) in [
            ("v1|http://user:SECRET@h:1/p|5|h", "v1|http://"),
            ("v1|http://user:SEC RET@host", "v1|http://"),
            ("v1|http://h/?token=a b SECRET", "v1|http://"),
            ("cpu x://u:SEC RET@h", "cpu x://"),
            ("http://user:SE?CRET@h", "http://"),
            ("http://SECRET@h/ http://h?SECRET", "http://"),
            ("v1|http://SEC|RET@h", "v1|http://SEC|h"),
            ("x:///SEC RET", "x://"),
            ("v1|http://user:SEC|RET@h", "v1|http://"),
            ("v1|ftp://user:SECRET", "v1|ftp://"),
            ("v1|ftp://h/x://user:SECRET@h", "v1|ftp://"),
            ("v1|http:///user:SECRET", "v1|http://"),
            ("v1|http://[::1]:SECRET/", "v1|http://"),
            ("v1|http://*:SECRET", "v1|http://"),
            ("v1|http://h:99999", "v1|http://"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }
}
