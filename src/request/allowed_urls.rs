//! `--allow-url`: the servers that a request line may name. Who sends the line makes no difference, because a
//! relay can make every sender look local.

use crate::net::target::Target;
use crate::net::url::{Origin, UrlError};

/// The word that allows every URL and every HOST.
const ANY: &str = "any";

/// The servers that a request line may name. None by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllowedUrls {
    is_any: bool,
    origins: Vec<Origin>,
}

impl AllowedUrls {
    /// Allows one more origin, or with `any` everything. Fails as [`Origin::parse`] does.
    pub fn add(&mut self, text: &str) -> Result<(), UrlError> {
        match text {
            ANY => self.is_any = true,
            _ => self.origins.push(Origin::parse(text)?),
        }
        Ok(())
    }

    /// Returns whether a request line may have this server asked. The URL must be of an allowed origin. HOST
    /// must be the host of the URL or of an allowed origin, so that it opens no other site of that server.
    pub fn allows(&self, Target { url, host }: &Target) -> bool {
        if self.is_any {
            return true;
        }
        // The URL's own origin is among the allowed ones, so its host is covered too.
        let is_allowed_host = |host| self.origins.iter().any(|origin| origin.has_host(host));
        self.origins.contains(url.origin()) && host.header().is_none_or(is_allowed_host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::net::url::Url;

    fn allowed(texts: &[&str]) -> AllowedUrls {
        let mut allowed = AllowedUrls::default();
        for text in texts {
            allowed.add(text).unwrap();
        }
        allowed
    }

    fn target(url: &str, host: &str) -> Target {
        Target { host: host.parse().unwrap(), url: Url::parse(url).unwrap() }
    }

    #[test]
    fn a_host_is_that_of_the_url_or_of_an_allowed_origin() {
        let origins = ["http://10.0.0.5:8888", "https://API.example", "ws://[::1]:7000"];
        let allowed = allowed(&origins);
        for url in ["http://10.0.0.5:8888/a?b", "https://api.example:443/", "ws://[0::1]:7000"] {
            for host in [
                "",
                "10.0.0.5",
                "10.0.0.5:8888",
                "api.example",
                "Api.Example:443",
                "[::1]",
                "[0:0::1]:7000",
            ] {
                assert!(allowed.allows(&target(url, host)), "{url} {host}");
            }
            for host in [
                "10.0.0.5:80",
                "10.0.0.5:7000",
                "api.example:80",
                "api.example:8888",
                "api.example.",
                "www.api.example",
                "::1",
                "::1:7000",
                "[::1]:",
                "[::1]x",
                "api.example:+443",
                "api.example:0443x",
                "user@api.example",
                "api.example/",
                "api.example,other",
                "https://api.example",
            ] {
                assert!(!allowed.allows(&target(url, host)), "{url} {host}");
            }
        }
    }

    #[test]
    fn a_url_is_of_an_allowed_origin() {
        let allowed = allowed(&["http://10.0.0.5:8888"]);
        for url in ["https://10.0.0.5:8888", "ws://10.0.0.5:8888", "http://10.0.0.5", "http://a"] {
            assert!(!allowed.allows(&target(url, "")), "{url}");
            assert!(!allowed.allows(&target(url, "10.0.0.5")), "{url}");
            assert!(!AllowedUrls::default().allows(&target(url, "")), "{url}");
        }
    }

    #[test]
    fn any_allows_everything_also_together_with_origins() {
        for texts in [&["any"][..], &["any", "http://a"], &["http://a", "any"]] {
            for host in ["", "b", "user@c"] {
                assert!(allowed(texts).allows(&target("wss://10.0.0.5:1/", host)), "{host}");
            }
        }
        for text in ["ANY", "any ", "*", "all", ""] {
            assert!(AllowedUrls::default().add(text).is_err(), "{text}");
        }
    }
}
