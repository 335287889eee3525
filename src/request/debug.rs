//! `debug|REPLY`: the request names its reply, to try HAProxy's side.

use std::fmt;

use crate::reply::outcome::FixedReply;
use crate::reply::state::{State, WEIGHTS};
use crate::request::not_understood::{Mistake, NotUnderstood};

/// A request that names its reply.
#[derive(Clone, Debug, PartialEq)]
pub struct DebugRequest {
    pub reply: FixedReply,
}

impl DebugRequest {
    /// Parses `[ready ]STATE[ WEIGHT%][#description]`. `ready` is accepted, but the options decide about it.
    pub fn parse(reply: &str) -> Result<Self, NotUnderstood> {
        let (words, description) = reply.split_once('#').unwrap_or((reply, ""));
        let mut words = words.split_ascii_whitespace().peekable();
        words.next_if_eq(&"ready");
        let word = words.next().unwrap_or_default();
        let state = State::ALL.into_iter().find(|state| state.word() == word);
        let state = state.ok_or_else(|| NotUnderstood::new(word, Mistake::UnknownState))?;
        let weight_percent = words.next().map(parse_weight).transpose()?;
        if let Some(word) = words.next() {
            return Err(NotUnderstood::new(word, Mistake::TooManyWords));
        }
        let description = description.trim().to_owned();
        Ok(Self { reply: FixedReply { state, weight_percent, description } })
    }
}

/// The text of the request. Parsing it gives the same request.
impl fmt::Display for DebugRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FixedReply { state, weight_percent, description } = &self.reply;
        write!(f, "debug|{}", state.word())?;
        if let Some(percent) = weight_percent {
            write!(f, " {percent}%")?;
        }
        match description.as_str() {
            "" => Ok(()),
            description => write!(f, " # {description}"),
        }
    }
}

fn parse_weight(word: &str) -> Result<u16, NotUnderstood> {
    let digits = word.strip_suffix('%').filter(|n| n.bytes().all(|byte| byte.is_ascii_digit()));
    let percent = digits.and_then(|digits| digits.parse().ok());
    percent
        .filter(|percent| WEIGHTS.contains(percent))
        .ok_or_else(|| NotUnderstood::new(word, Mistake::NotAWeight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_a_state_a_weight_and_a_description() {
        for (text, state, weight_percent, description) in [
            ("up", State::Up, None, ""),
            ("down#text", State::Down, None, "text"),
            ("fail # a # b ", State::Fail, None, "a # b"),
            ("up 50%", State::Up, Some(50), ""),
            ("ready drain 0%#x", State::Drain, Some(0), "x"),
        ] {
            let reply = FixedReply { state, weight_percent, description: description.to_owned() };
            assert_eq!(DebugRequest::parse(text).unwrap(), DebugRequest { reply }, "{text}");
        }
        for text in ["", "#x", "ready", "failed", "UP", "up 50", "up 257%", "up -1%", "up 1% 2%"] {
            assert!(DebugRequest::parse(text).is_err(), "{text}");
        }
    }
}
