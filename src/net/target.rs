//! Whom a request asks: the URL that is opened, and the `Host` header that is sent.

use crate::net::host::Host;
use crate::net::url::Url;

/// A URL, and the `Host` header of the request. Nothing else in a request says which server answers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub url: Url,
    pub host: Host,
}

impl Target {
    /// Returns the target with `path` appended to the URL's own path, as [`Url::join`] does.
    pub fn join(&self, path: &str) -> Self {
        Self { url: self.url.join(path), host: self.host.clone() }
    }
}

/// The URL names the host.
impl From<Url> for Target {
    fn from(url: Url) -> Self {
        Self { url, host: Host::default() }
    }
}
