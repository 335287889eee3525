//! Any WebSocket server: that it accepts the upgrade is all that is asked of it.

use super::{Api, Field};
use crate::net::url::Url;
use crate::verdict::Verdict;

pub const API: Api = Api {
    name: "ws",
    url: Url::websocket,
    fields: &[Field::Host],
    ask: |service| service.open_websocket().map(|_| Verdict::default()),
};
