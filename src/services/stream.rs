//! `stream`: judges Hyperion streaming by whether the Socket.IO engine at `/stream/` answers.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::net::error::AskError;
use crate::net::headers::Headers;
use crate::net::http;
use crate::net::target::Target;
use crate::net::url::Protocol;
use crate::process::wait::Wait;
use crate::services::service::{Check, Service, is_same};
use crate::text::json::Json;
use crate::verdict::Verdict;
use crate::verdict::fault::Fault;

pub const SERVICE: Service = Service {
    name: "stream",
    fields: &["URL"],
    allows_url_first: false,
    parse: |fields| Ok(Arc::new(Streaming { target: fields.url(Protocol::Http)?.into() })),
};

/// The HTTP status of the engine's own errors.
const ENGINE_ERROR: u16 = 400;

#[derive(Debug, PartialEq)]
struct Streaming {
    target: Target,
}

impl Check for Streaming {
    fn target(&self) -> &Target {
        &self.target
    }

    fn ask(&self, wait: &Wait) -> Result<Verdict, Fault> {
        let response = http::get(&self.target.join("/stream/"), &Headers::default(), wait)?;
        match response.status {
            status @ (200..=299 | ENGINE_ERROR) => Ok(judge(status, &response.read_body()?)?),
            status => Err(AskError::Status(status).into()),
        }
    }

    fn equals(&self, other: &dyn Check) -> bool {
        is_same(self, other)
    }
}

impl fmt::Display for Streaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.url.uri().fmt(f)
    }
}

/// Why an answer leads to no verdict.
#[derive(Debug, PartialEq)]
pub enum StreamError {
    /// A web server answered, but not the engine.
    NotTheEngine,
    Ask(AskError),
}

impl Error for StreamError {}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTheEngine => f.write_str("sent no answer of a Socket.IO engine"),
            Self::Ask(error) => error.fmt(f),
        }
    }
}

pub fn judge(status: u16, body: &[u8]) -> Result<Verdict, StreamError> {
    if is_unknown_transport(body) || (status != ENGINE_ERROR && is_handshake(body)) {
        return Ok(Verdict::default());
    }
    match status {
        ENGINE_ERROR => Err(StreamError::Ask(AskError::Status(status))),
        _ => Err(StreamError::NotTheEngine),
    }
}

/// Whether the engine answers that the request named no transport; engine.io's error 0, sent with
/// [`ENGINE_ERROR`].
fn is_unknown_transport(body: &[u8]) -> bool {
    Json::parse(body).is_some_and(|json| {
        let [code, message] = json.members(["code", "message"]);
        code.map(Json::written) == Some("0")
            && message.and_then(Json::text).as_deref() == Some("Transport unknown")
    })
}

/// Whether this is the engine's first packet: `0` and an object with a session identifier. Before
/// engine.io 4 the packet's length comes first: digits and a colon, or bytes and 0xff.
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
    fn the_engine_is_recognised_by_its_error_or_its_first_packet() {
        let unknown = r#"{"code":0,"message":"Transport unknown"}"#;
        let spaced = r#" { "message" : "Transport unknown", "code" : 0 } "#;
        let packet = r#"0{"sid":"ab","upgrades":["websocket"],"pingInterval":25000}"#;
        for (status, body) in [(400, unknown), (200, unknown), (400, spaced), (200, packet)] {
            assert!(judge(status, body.as_bytes()).unwrap().is_up(), "{status} {body}");
        }
        for before in ["96:", "\u{0}\u{9}\u{6}"] {
            assert!(judge(200, format!("{before}{packet}2:40").as_bytes()).is_ok(), "{before:?}");
        }
        assert!(judge(200, &[b"\x00\x09\x06\xff", packet.as_bytes()].concat()).is_ok());
    }

    #[test]
    fn any_other_answer_leads_to_no_verdict() {
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
            let error = |status| judge(status, body.as_bytes()).unwrap_err();
            assert_eq!(error(200), StreamError::NotTheEngine, "{body}");
            assert_eq!(error(400), StreamError::Ask(AskError::Status(400)), "{body}");
        }
    }
}
