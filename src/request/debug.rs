/*!
`debug|REPLY`: the reply that the request asks for, to try HAProxy's side.
*/

use std::fmt;

use crate::reply::{State, WEIGHTS};
use crate::request::NotUnderstood;

/// A reply in the words of the request.
#[derive(Clone, Debug, PartialEq)]
pub struct Debug {
    pub state: State,
    pub weight_percent: Option<u16>,
    pub description: String,
}

impl Debug {
    /// Parses `STATE[ WEIGHT%][#description]`. A leading `ready` is understood and left to the options.
    pub fn parse(reply: &str) -> Result<Self, NotUnderstood> {
        let (words, description) = reply.split_once('#').unwrap_or((reply, ""));
        let mut words = words.split_ascii_whitespace().peekable();
        words.next_if_eq(&"ready");
        let word = words.next().unwrap_or_default();
        let state = State::ALL.into_iter().find(|state| state.word() == word).ok_or_else(|| {
            let states = State::ALL.map(State::word).join(", ");
            NotUnderstood::new(word, format!("is none of {states}"))
        })?;
        let weight_percent = words.next().map(parse_weight).transpose()?;
        match words.next() {
            None => Ok(Self { state, weight_percent, description: description.trim().to_owned() }),
            Some(word) => Err(NotUnderstood::new(word, "is more than STATE WEIGHT% # description")),
        }
    }
}

/// The words of the request, from which it could be parsed again.
impl fmt::Display for Debug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "debug|{}", self.state.word())?;
        if let Some(percent) = self.weight_percent {
            write!(f, " {percent}%")?;
        }
        match self.description.as_str() {
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
        .ok_or_else(|| NotUnderstood::new(word, "is no weight from 0% to 256%"))
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
            let expected = Debug { state, weight_percent, description: description.to_owned() };
            assert_eq!(Debug::parse(text), Ok(expected), "{text}");
        }
        for text in ["", "#x", "ready", "failed", "UP", "up 50", "up 257%", "up -1%", "up 1% 2%"] {
            assert!(Debug::parse(text).is_err(), "{text}");
        }
    }
}
