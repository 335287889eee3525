/*!
URLs that the agent may open, checked once, and the origins that it may be told to open.

The parser is the HTTP client's own: an address that was judged by one parser and opened by another
could be two addresses.
*/

use std::fmt;
use std::net::Ipv6Addr;

use ureq::http::Uri;

/// The page that a WCS serves on its own host; from Flashphoner's documentation.
const STATISTICS_PAGE: &str = "http://127.0.0.1:8081/?action=stat";

/// Every scheme that the agent opens.
const SCHEMES: [Scheme; 4] = [
    Scheme { name: "http", port: 80, is_tls: false, is_websocket: false },
    Scheme { name: "https", port: 443, is_tls: true, is_websocket: false },
    Scheme { name: "ws", port: 80, is_tls: false, is_websocket: true },
    Scheme { name: "wss", port: 443, is_tls: true, is_websocket: true },
];

/// The longest URL, in bytes: a request with it has to fit the HTTP client's buffer.
const LENGTH_LIMIT: usize = 2048;

/// The longest URL that messages show in full, in characters.
const BRIEF_LENGTH: usize = 40;

/// What a scheme means for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scheme {
    name: &'static str,
    port: u16,
    is_tls: bool,
    is_websocket: bool,
}

/// A URL of one of [`SCHEMES`] with a host and without user information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    uri: Uri,
    origin: Origin,
}

/// What decides which server a URL names: scheme, host and port, in one form each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

/// Why a text is no URL that the agent opens, as the rest of a sentence that begins with the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    Malformed,
    Scheme,
    NotHttp,
    NotWebSocket,
    UserInformation,
    Port,
    NotAnOrigin,
    TooLong,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "is no URL: SCHEME://HOST[:PORT][/PATH] is expected",
            Self::Scheme => "has another scheme than http, https, ws or wss",
            Self::NotHttp => "has another scheme than http or https",
            Self::NotWebSocket => "has another scheme than ws or wss",
            Self::UserInformation => "holds user information, which is not allowed",
            Self::Port => "has no port from 1 to 65535",
            Self::TooLong => "is longer than 2048 bytes",
            Self::NotAnOrigin => "is more than scheme://host[:port]",
        })
    }
}

impl Url {
    /// Parses a URL; see [`UrlError`] for what is refused.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > LENGTH_LIMIT {
            return Err(UrlError::TooLong);
        }
        let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(UrlError::Malformed);
        };
        let known = SCHEMES.into_iter().find(|known| scheme.eq_ignore_ascii_case(known.name));
        let scheme = known.ok_or(UrlError::Scheme)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::UserInformation);
        }
        let host = normal_host(authority.host()).ok_or(UrlError::Malformed)?;
        // A port that is no number is not an error to the parser: it would be taken as absent.
        let port = match authority.as_str() == authority.host() {
            true => scheme.port,
            false => {
                let port = authority.port().filter(|port| !port.as_str().starts_with('+'));
                port.map(|port| port.as_u16()).filter(|port| *port > 0).ok_or(UrlError::Port)?
            }
        };
        Ok(Self { origin: Origin { scheme, host, port }, uri: with_path(uri) })
    }

    /// The page that is asked where no other is named.
    pub fn statistics_page() -> Self {
        Self::parse(STATISTICS_PAGE)
            .unwrap_or_else(|_| unreachable!("a constant that a test parses"))
    }

    /// This URL, if its scheme is that of an HTTP request.
    pub fn http(self) -> Result<Self, UrlError> {
        if self.origin.scheme.is_websocket { Err(UrlError::NotHttp) } else { Ok(self) }
    }

    /// This URL, if its scheme is that of a WebSocket.
    pub fn websocket(self) -> Result<Self, UrlError> {
        if self.origin.scheme.is_websocket { Ok(self) } else { Err(UrlError::NotWebSocket) }
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

    /// The URL with a path behind its own, joined by one slash; its query stays.
    pub fn join(&self, path: &str) -> Self {
        let before = self.uri.path().trim_end_matches('/');
        let query = self.uri.query().map_or_else(String::new, |query| format!("?{query}"));
        let joined = format!("{before}{path}{query}");
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = joined.parse().ok();
        let uri = Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone());
        Self { uri, origin: self.origin.clone() }
    }

    /// The URL as the HTTP client takes it.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The server that the URL names.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl Origin {
    /// Parses `scheme://host[:port]`.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let url = Url::parse(text)?;
        let beyond = url.uri.path_and_query().map_or("", |beyond| beyond.as_str());
        // Whether the text has a fragment, which the parser drops, shows in its end.
        if !matches!(beyond, "" | "/") || text.contains('#') {
            return Err(UrlError::NotAnOrigin);
        }
        Ok(url.origin)
    }

    /// The name or address, an IPv6 one in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The name or address, without brackets.
    pub fn bare_host(&self) -> &str {
        in_brackets(&self.host).unwrap_or(&self.host)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether TLS is spoken there.
    pub fn is_tls(&self) -> bool {
        self.scheme.is_tls
    }
}

/// A text as it may be shown, in which the URLs lack what may be secret: user information and query.
pub fn without_secrets(text: &str) -> String {
    let is_between = |c: char| c == '|' || c.is_whitespace();
    text.split_inclusive(is_between)
        .map(|piece| {
            let (word, end) = match piece.char_indices().next_back() {
                Some((place, last)) if is_between(last) => piece.split_at(place),
                _ => (piece, ""),
            };
            let (scheme, rest) = word.split_at(word.find("://").map_or(0, |place| place + 3));
            let before_query = rest.split('?').next().unwrap_or_default();
            let shown = match before_query.rsplit_once('@') {
                // An @ in the path of a URL.
                Some(_) if Url::parse(word).is_ok() => before_query,
                Some((_, after_user)) => after_user,
                // A ? in a password perhaps.
                None if rest.contains('@') && Url::parse(word).is_err() => "...",
                None => before_query,
            };
            format!("{scheme}{shown}{end}")
        })
        .collect()
}

/// What stands in the brackets of a URL's IPv6 host; `None` if the host has none.
pub fn in_brackets(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

/// The URI with the path `/` written out where it has none: the HTTP libraries ask for the text of the
/// path and the query, which for `http://host?query` is no more than `?query`.
fn with_path(uri: Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    // Displayed with a slash in front, in any case.
    parts.path_and_query = parts.path_and_query.and_then(|text| text.to_string().parse().ok());
    Uri::from_parts(parts).unwrap_or(uri)
}

/// The host in the one form in which hosts are compared; `None` if it is no host.
fn normal_host(host: &str) -> Option<String> {
    match in_brackets(host) {
        Some(address) => address.parse().ok().map(|address: Ipv6Addr| format!("[{address}]")),
        None => {
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            let absolute = host.strip_suffix('.').unwrap_or(host);
            let mut labels = absolute.split('.');
            labels
                .all(|label| !label.is_empty() && label.chars().all(is_name))
                .then(|| host.to_ascii_lowercase())
        }
    }
}

/// Without the query, which may hold what does not belong on a statistics page.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self.uri.authority().map_or("", |a| a.as_str());
        write!(f, "{scheme}://{authority}{}", self.uri.path())
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
    fn secrets_are_shown_in_no_text() {
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

    #[test]
    fn a_path_is_joined_with_one_slash() {
        for (url, joined) in [
            ("http://a", "http://a/v2/health"),
            ("http://a:7000/", "http://a:7000/v2/health"),
            ("http://a/api", "http://a/api/v2/health"),
            ("http://a/api//?key=1", "http://a/api/v2/health?key=1"),
        ] {
            assert_eq!(Url::parse(url).unwrap().join("/v2/health").uri().to_string(), joined);
        }
    }

    #[test]
    fn a_query_without_a_path_stands_behind_a_slash() {
        for (url, asked) in [("ws://a?b=1", "/?b=1"), ("ws://a?", "/?"), ("ws://a", "/")] {
            let url = Url::parse(url).unwrap();
            assert_eq!(url.uri().path_and_query().unwrap().as_str(), asked);
        }
    }

    #[test]
    fn a_url_is_at_most_2048_bytes() {
        let url = |length: usize| format!("http://a/{}", "x".repeat(length - 9));
        for length in [2047, 2048] {
            assert!(Url::parse(&url(length)).is_ok(), "{length}");
        }
        for length in [2049, 5000] {
            assert_eq!(Url::parse(&url(length)), Err(UrlError::TooLong), "{length}");
        }
    }

    #[test]
    fn a_message_shows_40_characters_of_a_url() {
        let [fits, longer] = [31, 32].map(|width| format!("http://a/{}", "x".repeat(width)));
        assert_eq!(Url::parse(&fits).unwrap().brief(), fits);
        assert_eq!(Url::parse(&longer).unwrap().brief(), format!("{fits}..."));
    }

    #[test]
    fn a_port_is_the_texts_or_the_schemes() {
        for (url, port, is_tls) in [
            ("http://a", 80, false),
            ("https://a", 443, true),
            ("ws://a", 80, false),
            ("wss://a", 443, true),
            ("HTTPS://a:1/", 1, true),
            ("http://[::1]:65535", 65535, false),
        ] {
            let origin = Origin::parse(url).unwrap();
            assert_eq!((origin.port(), origin.is_tls()), (port, is_tls), "{url}");
        }
    }

    #[test]
    fn the_brackets_of_an_address_belong_to_the_url_alone() {
        let origin = Origin::parse("http://[0:0::1]").unwrap();
        assert_eq!((origin.host(), origin.bare_host()), ("[::1]", "::1"));
        let origin = Origin::parse("http://A.example.").unwrap();
        assert_eq!((origin.host(), origin.bare_host()), ("a.example.", "a.example."));
    }

    #[test]
    fn the_default_page_is_a_url() {
        assert_eq!(Url::statistics_page().to_string(), "http://127.0.0.1:8081/");
    }

    #[test]
    fn origins_are_compared_as_what_they_mean() {
        for (origin, url) in [
            ("http://10.0.0.5:8888", "http://10.0.0.5:8888/v1/chain/get_info?x"),
            ("http://API.example.com", "http://api.Example.com:80/"),
            ("https://api.example.com:443/", "https://api.example.com"),
            ("ws://10.0.0.5", "ws://10.0.0.5:80"),
            ("wss://10.0.0.5", "wss://10.0.0.5:443"),
            ("http://[::1]:80", "http://[0:0::1]"),
        ] {
            let origin = Origin::parse(origin).unwrap();
            assert_eq!(&origin, Url::parse(url).unwrap().origin(), "{url}");
        }
        for (origin, url) in [
            ("http://10.0.0.5:8888", "http://10.0.0.5:8889/"),
            ("http://10.0.0.5:8888", "http://10.0.0.5:88880/"),
            ("http://10.0.0.5", "https://10.0.0.5:80"),
            ("http://10.0.0.5", "ws://10.0.0.5:80"),
            ("http://10.0.0.5", "http://10.0.0.50"),
            ("http://10.0.0.5", "http://10.0.0.5.example.com"),
            ("http://10.0.0.5", "http://10.0.0.5@evil.example.com"),
            ("http://example.com", "http://example.com.evil.com"),
        ] {
            let origin = Origin::parse(origin).unwrap();
            assert!(Url::parse(url).map_or(true, |url| url.origin() != &origin), "{url}");
        }
    }

    #[test]
    fn more_than_an_origin_is_no_origin() {
        for text in ["http://a/b", "http://a/?b", "http://a?b", "http://a#b", "http://a/#"] {
            assert_eq!(Origin::parse(text), Err(UrlError::NotAnOrigin), "{text}");
        }
        assert_eq!(Origin::parse("ftp://a"), Err(UrlError::Scheme));
        assert_eq!(Origin::parse("http://u@a"), Err(UrlError::UserInformation));
        assert_eq!(Origin::parse("a:80"), Err(UrlError::Malformed));
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
            ("http://host:+80/", UrlError::Port),
            ("http://*.example.com/", UrlError::Malformed),
            ("http://a..b/", UrlError::Malformed),
            ("http://./", UrlError::Malformed),
            ("http://[::x]/", UrlError::Malformed),
            ("http://[127.0.0.1]/", UrlError::Malformed),
            ("http://[]/", UrlError::Malformed),
            ("ws://host/", UrlError::NotHttp),
        ] {
            assert_eq!(Url::parse(text).and_then(Url::http), Err(error), "{text}");
        }
    }
}
