/*!
URLs that the agent may open, checked once.

The same parser that the HTTP client uses: an address that was judged by one parser and opened by
another could be two addresses.
*/

use std::fmt;

use ureq::http::Uri;

/// The longest URL that messages show in full, in characters.
const BRIEF_LENGTH: usize = 40;

/// An `http` or `https` URL with a host and without user information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(Uri);

/// Why a text is no URL that the agent opens, as the rest of a sentence that begins with the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    Malformed,
    Scheme,
    UserInformation,
    Port,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "is no URL: http://HOST[:PORT][/PATH] is expected",
            Self::Scheme => "has another scheme than http or https",
            Self::UserInformation => "holds user information, which is not allowed",
            Self::Port => "has no port from 1 to 65535",
        })
    }
}

impl Url {
    /// Parses a URL; see [`UrlError`] for what is refused.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(UrlError::Malformed);
        };
        if !["http", "https"].contains(&scheme) {
            return Err(UrlError::Scheme);
        }
        if authority.as_str().contains('@') {
            return Err(UrlError::UserInformation);
        }
        if authority.host().is_empty() || authority.host() == "[]" {
            return Err(UrlError::Malformed);
        }
        // A port that is no number is not an error to the parser: it would be taken as absent.
        let has_port = authority.as_str() != authority.host();
        if has_port && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(UrlError::Port);
        }
        Ok(Self(uri))
    }

    /// What a message shows of the URL: not its query, which may hold what does not belong there, and
    /// no more than leaves room for the rest of the message.
    pub fn brief(&self) -> String {
        let text = self.to_string();
        match text.char_indices().nth(BRIEF_LENGTH) {
            None => text,
            Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        }
    }

    /// The URL as the HTTP client takes it.
    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

/// Without the query, which may hold what does not belong on a statistics page.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.scheme_str().unwrap_or_default();
        let authority = self.0.authority().map_or("", |a| a.as_str());
        write!(f, "{scheme}://{authority}{}", self.0.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_leaves_out_the_query() {
        let url = Url::parse("http://127.0.0.1:8081/?action=stat").unwrap();
        assert_eq!(url.to_string(), "http://127.0.0.1:8081/");
        let url = Url::parse("https://[::1]/a/b?c").unwrap();
        assert_eq!(url.to_string(), "https://[::1]/a/b");
    }

    #[test]
    fn what_is_no_http_url_is_refused() {
        for (text, error) in [
            ("", UrlError::Malformed),
            ("stat", UrlError::Malformed),
            ("/?action=stat", UrlError::Malformed),
            ("http://", UrlError::Malformed),
            ("http://a b/", UrlError::Malformed),
            ("http://:80/", UrlError::Malformed),
            ("ftp://host/", UrlError::Scheme),
            ("file:///etc/passwd", UrlError::Malformed),
            ("http://user@host/", UrlError::UserInformation),
            ("http://user:secret@host/", UrlError::UserInformation),
            ("http://host:0/", UrlError::Port),
            ("http://host:/", UrlError::Port),
            ("http://host:65536/", UrlError::Port),
            ("http://host:80a/", UrlError::Port),
        ] {
            assert_eq!(Url::parse(text), Err(error), "{text}");
        }
    }
}
