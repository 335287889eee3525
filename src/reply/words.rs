//! The words of a reply.

use std::fmt;

use crate::reply::state::State;

/// What a reply says to HAProxy; the `agent-check` keyword of its configuration manual. Each part may be
/// absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Whether HAProxy takes MAINT and DRAIN back first.
    pub is_ready: bool,
    pub state: Option<State>,
    /// In percent of the weight in HAProxy's `server` line.
    pub weight_percent: Option<u16>,
    /// How many connections the server may have.
    pub maxconn: Option<u32>,
    /// May be empty.
    pub description: String,
}

impl Words {
    /// A state, and a description that may be empty.
    pub fn of(state: State, description: String) -> Self {
        Self { state: Some(state), description, ..Self::default() }
    }
}

/// The words in the order in which every reply has them, without the line end.
impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            self.is_ready.then(|| "ready".to_owned()),
            self.state.map(|state| state.word().to_owned()),
            self.weight_percent.map(|percent| format!("{percent}%")),
            self.maxconn.map(|maxconn| format!("maxconn:{maxconn}")),
            (!self.description.is_empty()).then(|| format!("# {}", self.description)),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        f.write_str(&words.join(" "))
    }
}
