//! Any WebSocket server: that it accepts the upgrade is all that is asked of it.

use super::{Api, Field};
use crate::net::url::Protocol;
use crate::verdict::Verdict;

pub const API: Api = Api {
    name: "ws",
    protocol: Protocol::WebSocket,
    fields: &[Field::Host],
    ask: |service| service.open_websocket().map(|_| Verdict::default()),
};
