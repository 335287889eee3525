//! `debug|REPLY`: the request names its reply, to try HAProxy's side.

use std::fmt;
use std::mem;

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
    /// `#description`. Each may occur once, and at least one word must. As in HAProxy, spaces, tabs and commas
    /// separate words.
    pub fn parse(text: &str) -> Result<Self, NotUnderstood> {
        let (words, description) = text.split_once('#').unwrap_or((text, ""));
        let description = description.trim().to_owned();
        let mut reply = Words { description, ..Words::default() };
        for word in words.split_ascii_whitespace() {
            // A mistake names the text between spaces: a URL with a secret may contain commas.
            for part in word.split(',').filter(|part| !part.is_empty()) {
                add(part, &mut reply).map_err(|mistake| NotUnderstood::new(word, mistake))?;
            }
        }
        let Words { is_ready, state, weight_percent, maxconn, .. } = reply;
        if !is_ready && state.is_none() && weight_percent.is_none() && maxconn.is_none() {
            return Err(NotUnderstood::new(words.trim_ascii(), Mistake::NotAReplyWord));
        }
        Ok(Self { reply })
    }
}

/// Adds a word to a reply that has none of its kind.
fn add(word: &str, reply: &mut Words) -> Result<(), Mistake> {
    let is_first = if word == "ready" {
        !mem::replace(&mut reply.is_ready, true)
    } else if let Some(state) = State::ALL.into_iter().find(|state| state.word() == word) {
        reply.state.replace(state).is_none()
    } else if let Some(percent) = parse_weight(word) {
        reply.weight_percent.replace(percent).is_none()
    } else if let Some(maxconn) = parse_maxconn(word) {
        reply.maxconn.replace(maxconn).is_none()
    } else {
        return Err(Mistake::NotAReplyWord);
    };
    if is_first { Ok(()) } else { Err(Mistake::SecondOfItsKind) }
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
            ("up,50%", "up 50%"),
            (",ready,\tup , #a,b", "ready up # a,b"),
            ("050%", "50%"),
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
            ",",
            "up,x",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("' is none of ready, up, down, "), "{text}: {error}");
        }
        for text in ["up up", "up down", "1% 2%", "ready ready", "maxconn:1 maxconn:1", "up,up"] {
            let error = parse(text).unwrap_err();
            assert!(error.ends_with("' names a second state, weight, maxconn or ready"), "{error}");
        }
    }
}
