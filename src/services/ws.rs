//! `ws`: judges any WebSocket server by whether it accepts the upgrade.

use std::fmt;
use std::sync::Arc;

use crate::net::target::Target;
use crate::net::url::Protocol;
use crate::net::websocket::WebSocket;
use crate::process::wait::Wait;
use crate::services::service::{Check, Service, is_same, write_fields};
use crate::verdict::Verdict;
use crate::verdict::fault::Fault;

pub const SERVICE: Service = Service {
    name: "ws",
    fields: &["URL", "HOST"],
    allows_url_first: false,
    parse: |fields| {
        let (url, host) = (fields.url(Protocol::WebSocket)?, fields.parse()?);
        Ok(Arc::new(WebSocketServer { target: Target { url, host } }))
    },
};

#[derive(Debug, PartialEq)]
struct WebSocketServer {
    target: Target,
}

impl Check for WebSocketServer {
    fn target(&self) -> &Target {
        &self.target
    }

    fn ask(&self, wait: &Wait) -> Result<Verdict, Fault> {
        WebSocket::open(&self.target, wait)?;
        Ok(Verdict::default())
    }

    fn equals(&self, other: &dyn Check) -> bool {
        is_same(self, other)
    }
}

impl fmt::Display for WebSocketServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { url, host } = &self.target;
        write_fields(f, &[url.uri(), host])
    }
}
