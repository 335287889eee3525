//! What replaces `down` when a server was measured and is bad.

use crate::reply::state::State;
use crate::reply::words::Words;

/// The value of `--at-limit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtLimit {
    /// `down`: all clients move to other servers.
    #[default]
    Down,
    /// `drain`: the server keeps the clients that it has, and gets no new ones.
    Drain,
    /// `up` with this weight, from 0 to 99 percent: the server gets a part of the new clients.
    Weight(u16),
}

impl AtLimit {
    /// Parses `down`, `drain` or a weight such as `25%`. Returns `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let weight = |text: &str| {
            let digits = text.strip_suffix('%')?;
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|percent| is_number && *percent <= 99)
        };
        match text {
            "down" => Some(Self::Down),
            "drain" => Some(Self::Drain),
            text => weight(text).map(Self::Weight),
        }
    }

    /// The reply of a server that is bad.
    pub fn words(self, description: String) -> Words {
        match self {
            Self::Down => Words::of(State::Down, description),
            Self::Drain => Words::of(State::Drain, description),
            Self::Weight(percent) => {
                Words { weight_percent: Some(percent), ..Words::of(State::Up, description) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_at_a_limit_is_down_drain_or_a_weight_below_100() {
        for (text, state) in [
            ("down", AtLimit::Down),
            ("drain", AtLimit::Drain),
            ("0%", AtLimit::Weight(0)),
            ("25%", AtLimit::Weight(25)),
            ("99%", AtLimit::Weight(99)),
        ] {
            assert_eq!(AtLimit::parse(text), Some(state));
        }
        for text in ["", "%", "25", "100%", "-1%", "+1%", "1.5%", "Down", "maint", "up", "99999%"] {
            assert_eq!(AtLimit::parse(text), None, "{text}");
        }
    }
}
