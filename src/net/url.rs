/*!
URLs that the agent may open, parsed once, and origins that `--allow-url` allows.

The parser is the HTTP client's own. If one parser judged a URL and another opened it, the two could
mean different servers.
*/

use std::error::Error;
use std::fmt;
use std::net::Ipv6Addr;

use ureq::http::Uri;
use ureq::http::uri::Authority;

/// Every scheme that the agent opens, one row each.
const SCHEMES: &[Scheme] = &[
    Scheme { name: "http", protocol: Protocol::Http, port: 80, is_tls: false },
    Scheme { name: "https", protocol: Protocol::Http, port: 443, is_tls: true },
    Scheme { name: "ws", protocol: Protocol::WebSocket, port: 80, is_tls: false },
    Scheme { name: "wss", protocol: Protocol::WebSocket, port: 443, is_tls: true },
];

/// The longest URL, in bytes. A request with it fits the HTTP client's output buffer.
const LENGTH_LIMIT: usize = 2048;

/// The longest URL that messages show in full, in characters.
const BRIEF_LENGTH: usize = 40;

/// What the agent speaks with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP, with or without TLS.
    Http,
    /// A WebSocket, with or without TLS.
    WebSocket,
}

/// What a scheme says about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scheme {
    name: &'static str,
    protocol: Protocol,
    /// The port that a URL without one means.
    port: u16,
    is_tls: bool,
}

/// A URL with a known scheme, a host, and no user information. Displayed without its query, which may
/// be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    uri: Uri,
    origin: Origin,
}

/// Which server a URL names: scheme, host and port. Equal origins name the same server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    /// In lower case; an IPv6 address in its shortest form.
    host: String,
    port: u16,
}

/// Why a text is refused as a URL or an origin. Displayed as the end of a sentence that begins with the
/// text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// The text does not have the form of a URL.
    Malformed,
    /// The scheme is unknown.
    Scheme,
    /// The scheme is known, but it is not one of this protocol, which is expected.
    Protocol(Protocol),
    /// There is a user name or a password.
    UserInformation,
    /// The port is not a number from 1 to 65535.
    Port,
    /// An origin is expected, but the URL has a path, a query or a fragment.
    NotAnOrigin,
    /// The text is longer than 2048 bytes.
    TooLong,
}

impl Error for UrlError {}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("is no URL: SCHEME://HOST[:PORT][/PATH] is expected"),
            Self::Scheme => {
                write!(f, "has another scheme than {}", scheme_names(|_| true))
            }
            Self::Protocol(protocol) => {
                let names = scheme_names(|scheme| scheme.protocol == *protocol);
                write!(f, "has another scheme than {names}")
            }
            Self::UserInformation => f.write_str("holds user information, which is not allowed"),
            Self::Port => f.write_str("has no port from 1 to 65535"),
            Self::TooLong => write!(f, "is longer than {LENGTH_LIMIT} bytes"),
            Self::NotAnOrigin => f.write_str("is more than scheme://host[:port]"),
        }
    }
}

/// Returns the names of the schemes that `is_wanted` selects, such as `a, b or c`.
fn scheme_names(is_wanted: impl Fn(&Scheme) -> bool) -> String {
    let wanted = SCHEMES.iter().filter(|scheme| is_wanted(scheme));
    let names: Vec<&str> = wanted.map(|scheme| scheme.name).collect();
    match names.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        names => names.concat(),
    }
}

impl Url {
    /// Parses a URL of any known scheme. Fails as [`UrlError`] describes.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > LENGTH_LIMIT {
            return Err(UrlError::TooLong);
        }
        let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(UrlError::Malformed);
        };
        let known = SCHEMES.iter().find(|known| scheme.eq_ignore_ascii_case(known.name));
        let scheme = *known.ok_or(UrlError::Scheme)?;
        let (host, port) = host_and_port(authority)?;
        let port = port.unwrap_or(scheme.port);
        Ok(Self { origin: Origin { scheme, host, port }, uri: with_path(uri) })
    }

    /// Parses a URL whose scheme is one of `protocol`. Fails as [`UrlError`] describes.
    pub fn of(text: &str, protocol: Protocol) -> Result<Self, UrlError> {
        let url = Self::parse(text)?;
        match url.origin.scheme.protocol == protocol {
            true => Ok(url),
            false => Err(UrlError::Protocol(protocol)),
        }
    }

    /// Returns the URL as messages show it: without its query, and cut after 40 characters, to leave
    /// room for the rest of the message.
    pub fn brief(&self) -> String {
        let text = self.to_string();
        match text.char_indices().nth(BRIEF_LENGTH) {
            None => text,
            Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        }
    }

    /// Returns the URL with `path` appended to its own path. `path` begins with a slash; slashes at the
    /// end of the URL's path are dropped. The query stays.
    pub fn join(&self, path: &str) -> Self {
        let before = self.uri.path().trim_end_matches('/');
        let query = self.uri.query().map_or_else(String::new, |query| format!("?{query}"));
        let joined = format!("{before}{path}{query}");
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = joined.parse().ok();
        let uri = Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone());
        Self { uri, origin: self.origin.clone() }
    }

    /// Returns the URL in the HTTP client's type, with its query.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Returns the server that the URL names.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "{scheme}://{authority}{}", self.uri.path())
    }
}

impl Origin {
    /// Parses `scheme://host[:port]`. Fails as [`UrlError`] describes.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let url = Url::parse(text)?;
        let path_and_query = url.uri.path_and_query().map_or("", |rest| rest.as_str());
        // The parser drops a fragment, so the text is searched for one.
        if !matches!(path_and_query, "" | "/") || text.contains('#') {
            return Err(UrlError::NotAnOrigin);
        }
        Ok(url.origin)
    }

    /// Returns the host's name or address. An IPv6 address is in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the host's name or address. An IPv6 address is without brackets.
    pub fn bare_host(&self) -> &str {
        in_brackets(&self.host).unwrap_or(&self.host)
    }

    /// Returns the TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns whether `text` is this server's host, with or without its port, as a `Host` header names it.
    pub fn has_host(&self, text: &str) -> bool {
        let named = text.parse().ok().and_then(|authority| host_and_port(&authority).ok());
        named.is_some_and(|(host, port)| {
            host == self.host && port.is_none_or(|port| port == self.port)
        })
    }

    /// Returns whether the connection uses TLS.
    pub fn is_tls(&self) -> bool {
        self.scheme.is_tls
    }
}

/// Returns the host in the form in which hosts are compared, and the port if there is one.
fn host_and_port(authority: &Authority) -> Result<(String, Option<u16>), UrlError> {
    if authority.as_str().contains('@') {
        return Err(UrlError::UserInformation);
    }
    let host = normal_host(authority.host()).ok_or(UrlError::Malformed)?;
    // The parser ignores a port that is not a number, and text between an IPv6 address and its port.
    let after_host = authority.as_str().strip_prefix(authority.host());
    let port = match after_host.ok_or(UrlError::Malformed)? {
        "" => None,
        after_host => Some(parse_port(after_host.strip_prefix(':').ok_or(UrlError::Malformed)?)?),
    };
    Ok((host, port))
}

/// Parses a port from 1 to 65535.
fn parse_port(text: &str) -> Result<u16, UrlError> {
    // Rust's parser would accept a sign.
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let port = digits.and_then(|digits| digits.parse().ok());
    port.filter(|port| *port > 0).ok_or(UrlError::Port)
}

/// Returns the text between the brackets of a URL's IPv6 host, or `None` if the host has no brackets.
pub fn in_brackets(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

/// Returns the URI with an explicit path: `/` if it had none. The HTTP libraries send path and query as
/// they are, which would be `?query` alone for `http://host?query`.
fn with_path(uri: Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    // Display always writes a slash first.
    parts.path_and_query = parts.path_and_query.and_then(|text| text.to_string().parse().ok());
    Uri::from_parts(parts).unwrap_or(uri)
}

/// Returns the host in the form in which hosts are compared, or `None` if it is neither a host name nor
/// an address.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_displayed_without_its_query() {
        let url = Url::parse("http://127.0.0.1:8081/?action=stat").unwrap();
        assert_eq!(url.to_string(), "http://127.0.0.1:8081/");
        let url = Url::parse("https://[::1]/a/b?c").unwrap();
        assert_eq!(url.to_string(), "https://[::1]/a/b");
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
    fn a_query_without_a_path_follows_a_slash() {
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
    fn a_port_comes_from_the_text_or_from_the_scheme() {
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
    fn a_bare_host_has_no_brackets() {
        let origin = Origin::parse("http://[0:0::1]").unwrap();
        assert_eq!((origin.host(), origin.bare_host()), ("[::1]", "::1"));
        let origin = Origin::parse("http://A.example.").unwrap();
        assert_eq!((origin.host(), origin.bare_host()), ("a.example.", "a.example."));
    }

    #[test]
    fn origins_are_equal_if_they_name_the_same_server() {
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
    fn an_origin_has_neither_path_nor_query_nor_fragment() {
        for text in ["http://a/b", "http://a/?b", "http://a?b", "http://a#b", "http://a/#"] {
            assert_eq!(Origin::parse(text), Err(UrlError::NotAnOrigin), "{text}");
        }
        assert_eq!(Origin::parse("ftp://a"), Err(UrlError::Scheme));
        assert_eq!(Origin::parse("http://u@a"), Err(UrlError::UserInformation));
        assert_eq!(Origin::parse("a:80"), Err(UrlError::Malformed));
    }

    #[test]
    fn a_text_that_is_not_an_http_url_is_refused() {
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
            ("http://[::1]junk:9999/", UrlError::Malformed),
            ("http://[::1]9999/", UrlError::Malformed),
            ("http://[::1]:9999junk/", UrlError::Port),
            ("ws://host/", UrlError::Protocol(Protocol::Http)),
        ] {
            assert_eq!(Url::of(text, Protocol::Http), Err(error), "{text}");
        }
    }
    #[test]
    fn a_url_is_of_the_protocol_of_its_scheme() {
        for (text, protocol) in [
            ("http://a", Protocol::Http),
            ("HTTPS://a", Protocol::Http),
            ("ws://a", Protocol::WebSocket),
            ("wss://a", Protocol::WebSocket),
        ] {
            for wanted in [Protocol::Http, Protocol::WebSocket] {
                let is_accepted = Url::of(text, wanted).is_ok();
                assert_eq!(is_accepted, wanted == protocol, "{text} {wanted:?}");
            }
        }
    }

    #[test]
    fn an_error_names_the_schemes_that_are_expected() {
        for (error, sentence) in [
            (UrlError::Scheme, "has another scheme than http, https, ws or wss"),
            (UrlError::Protocol(Protocol::Http), "has another scheme than http or https"),
            (UrlError::Protocol(Protocol::WebSocket), "has another scheme than ws or wss"),
            (UrlError::TooLong, "is longer than 2048 bytes"),
        ] {
            assert_eq!(error.to_string(), sentence);
        }
        assert_eq!(scheme_names(|scheme| scheme.name == "ws"), "ws");
    }
}
