//! Hyperion streaming: that the Socket.IO engine behind `/stream/` answers.

use super::Api;
use crate::net::error::AskError;
use crate::net::url::Protocol;
use crate::text::json::Json;
use crate::verdict::Verdict;

pub const API: Api = Api {
    name: "stream",
    protocol: Protocol::Http,
    fields: &[],
    ask: |service| {
        let answer = service.get("/stream/")?;
        let (status, body) = match answer.status {
            status @ (200..=299 | ENGINE_ERROR) => (status, answer.read_body()),
            status => (status, Err(AskError::Status(status))),
        };
        judge(status, &body.map_err(|error| error.to_string())?)
    },
};

/// The HTTP status of the engine's own errors.
const ENGINE_ERROR: u16 = 400;

pub fn judge(status: u16, body: &[u8]) -> Result<Verdict, String> {
    if is_unknown_transport(body) || (status != ENGINE_ERROR && is_handshake(body)) {
        return Ok(Verdict::default());
    }
    match status {
        ENGINE_ERROR => Err(AskError::Status(status).to_string()),
        _ => Err("sent no answer of a Socket.IO engine".to_owned()),
    }
}

/// Whether the engine says that it was not told a transport; engine.io's error 0, with [`ENGINE_ERROR`].
fn is_unknown_transport(body: &[u8]) -> bool {
    Json::parse(body).is_some_and(|json| {
        let [code, message] = json.members(["code", "message"]);
        code.map(Json::written) == Some("0")
            && message.and_then(Json::text).as_deref() == Some("Transport unknown")
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
    let session = Json::at_start_of(json).and_then(|packet| packet.get("sid"));
    is_length && session.and_then(Json::text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_known_by_its_error_or_its_first_packet() {
        let unknown = r#"{"code":0,"message":"Transport unknown"}"#;
        let spaced = r#" { "message" : "Transport unknown", "code" : 0 } "#;
        let packet = r#"0{"sid":"ab","upgrades":["websocket"],"pingInterval":25000}"#;
        for (status, body) in [(400, unknown), (200, unknown), (400, spaced), (200, packet)] {
            assert_eq!(judge(status, body.as_bytes()), Ok(Verdict::default()), "{status} {body}");
        }
        for before in ["96:", "\u{0}\u{9}\u{6}"] {
            assert!(judge(200, format!("{before}{packet}2:40").as_bytes()).is_ok(), "{before:?}");
        }
        assert!(judge(200, &[b"\x00\x09\x06\xff", packet.as_bytes()].concat()).is_ok());
    }

    #[test]
    fn any_other_answer_is_not_the_engines() {
        for body in [
            "",
            "0",
            "{}",
            "<html>",
            "0{}",
            r#"0{"sid":5}"#,
            r#"0{"sid":"a""#,
            r#"x0{"sid":"a"}"#,
            r#"1{"sid":"a"}"#,
            r#"{"sid":"a"}"#,
            r#"{"code":1,"message":"Session ID unknown"}"#,
            r#"{"code":5,"message":"Transport unknown"}"#,
            r#"{"code":0}"#,
        ] {
            assert!(judge(200, body.as_bytes()).is_err(), "{body}");
            assert_eq!(judge(400, body.as_bytes()), Err("answered HTTP 400".to_owned()), "{body}");
        }
    }
}
