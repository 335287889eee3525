//! `debug|REPLY`: the request names its reply, to try HAProxy's side.

use std::fmt;

use crate::reply::state::{State, WEIGHTS};
use crate::reply::words::Words;
use crate::request::not_understood::{Mistake, NotUnderstood};

/// A request that names its reply.
#[derive(Clone, Debug, PartialEq)]
pub struct DebugRequest {
    pub reply: Words,
}

impl DebugRequest {
    /// Parses what HAProxy understands: `ready`, a state, a weight and `maxconn:N`, in any order, then
    /// `#description`. Each may occur once, and at least one word must.
    pub fn parse(text: &str) -> Result<Self, NotUnderstood> {
        let (words, description) = text.split_once('#').unwrap_or((text, ""));
        let description = description.trim().to_owned();
        let mut reply = Words { description, ..Words::default() };
        let mut words = words.split_ascii_whitespace().peekable();
        if words.peek().is_none() {
            return Err(NotUnderstood::new("", Mistake::NotAReplyWord));
        }
        for word in words {
            let is_first = if word == "ready" {
                !std::mem::replace(&mut reply.is_ready, true)
            } else if let Some(state) = State::ALL.into_iter().find(|state| state.word() == word) {
                reply.state.replace(state).is_none()
            } else if let Some(percent) = parse_weight(word) {
                reply.weight_percent.replace(percent).is_none()
            } else if let Some(maxconn) = parse_maxconn(word) {
                reply.maxconn.replace(maxconn).is_none()
            } else {
                return Err(NotUnderstood::new(word, Mistake::NotAReplyWord));
            };
            if !is_first {
                return Err(NotUnderstood::new(word, Mistake::SecondOfItsKind));
            }
        }
        Ok(Self { reply })
    }
}

/// The text of the request. Parsing it gives the same request.
impl fmt::Display for DebugRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "debug|{}", self.reply)
    }
}

fn parse_weight(word: &str) -> Option<u16> {
    let digits = word.strip_suffix('%').filter(|digits| is_number(digits))?;
    digits.parse().ok().filter(|percent| WEIGHTS.contains(percent))
}

fn parse_maxconn(word: &str) -> Option<u32> {
    word.strip_prefix("maxconn:").filter(|digits| is_number(digits))?.parse().ok()
}

/// Whether a text has digits only. Rust's parser would accept a sign.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        let request = DebugRequest::parse(text).map_err(|error| error.to_string())?;
        let shown = request.to_string();
        assert_eq!(DebugRequest::parse(&shown["debug|".len()..]).unwrap(), request, "{text}");
        Ok(shown)
    }

    #[test]
    fn a_reply_has_a_word_of_each_kind_and_a_description() {
        for (text, shown) in [
            ("up", "up"),
            ("ready", "ready"),
            ("down#text", "down # text"),
            ("fail # a # b ", "fail # a # b"),
            ("up 50%", "up 50%"),
            ("50%", "50%"),
            ("256%#x", "256% # x"),
            ("maxconn:10", "maxconn:10"),
            ("ready drain 0%#x", "ready drain 0% # x"),
            ("maxconn:0 7% maint ready", "ready maint 7% maxconn:0"),
        ] {
            assert_eq!(parse(text), Ok(format!("debug|{shown}")), "{text}");
        }
    }

    #[test]
    fn a_word_that_haproxy_does_not_understand_is_named() {
        for text in [
            "",
            "#x",
            "failed",
            "UP",
            "up 50",
            "up 257%",
            "up -1%",
            "%",
            "maxconn:",
            "maxconn:-1",
            "maxconn:+1",
            "maxconn:4294967296",
            "maxconn: 5",
            "weight:5",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("' is none of ready, up, down, "), "{text}: {error}");
        }
        for text in ["up up", "up down", "1% 2%", "ready ready", "maxconn:1 maxconn:1"] {
            let error = parse(text).unwrap_err();
            assert!(error.ends_with(" is the second word of its kind in one reply"), "{error}");
        }
    }
}
