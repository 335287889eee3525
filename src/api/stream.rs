//! Hyperion streaming: that the Socket.IO engine behind `/stream/` answers.

use serde_json::{Deserializer, Value};

use super::Api;
use crate::http::Answer;
use crate::no_answer::NoAnswer;
use crate::url::Url;
use crate::verdict::Verdict;

pub const API: Api = Api {
    name: "stream",
    url: Url::http,
    fields: &[],
    ask: |service| judge(&service.get("/stream/")?),
};

fn judge(answer: &Answer) -> Result<Verdict, String> {
    match answer.status {
        200..=299 | 400 if is_unknown_transport(&answer.body) => Ok(Verdict::default()),
        200..=299 if is_handshake(&answer.body) => Ok(Verdict::default()),
        200..=299 => Err("sent no answer of a Socket.IO engine".to_owned()),
        status => Err(NoAnswer::Status(status).to_string()),
    }
}

/// Whether the engine says that it was not told a transport; engine.io's error 0, with status 400.
fn is_unknown_transport(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|json: Value| {
        json.get("code") == Some(&Value::from(0))
            && json.get("message") == Some(&Value::from("Transport unknown"))
    })
}

/// Whether this is the engine's first packet: `0` and an object with a session identifier. Before
/// engine.io 4 its length and a colon came first, or length and 0xff in bytes.
fn is_handshake(body: &[u8]) -> bool {
    let Some(start) = body.iter().position(|byte| *byte == b'{') else {
        return false;
    };
    let (before, json) = body.split_at(start);
    let Some((b'0', length)) = before.split_last() else {
        return false;
    };
    let is_length = length.iter().all(|byte| matches!(byte, 0..=9 | b'0'..=b'9' | b':' | 0xff));
    let packet = Deserializer::from_slice(json).into_iter::<Value>().next();
    is_length && packet.is_some_and(|packet| packet.is_ok_and(|json| json["sid"].is_string()))
}
