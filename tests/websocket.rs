//! The requests `ship`, `stream` and `ws`: services behind a WebSocket.

mod common;

use std::sync::{Arc, Mutex};

use common::websocket::{Node, state_history_server};
use common::*;

#[test]
fn a_state_history_is_up_within_half_a_second_a_block_and_down_beyond() {
    for (lag_s, blocks, reply) in [
        (0.0, "", "up\n"),
        (3.0, "", "up\n"),
        (-3.0, "", "up\n"),
        (6.0, "", "down\n"),
        (-7.0, "", "down\n"),
        (6.0, "|15", "up\n"),
        (9.0, "|15", "down\n"),
        (1000.0, "|3000", "up\n"),
    ] {
        let server = state_history_server(Arc::new(Mutex::new(Node { lag_s, ..Node::healthy() })));
        let outcome = agent(&[&format!("ship|ws://{}{blocks}", server.address)]);
        outcome.expect(reply, i32::from(reply != "up\n"));
    }
}
