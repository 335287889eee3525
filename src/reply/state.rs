//! The states that HAProxy can be told.

use std::ops::RangeInclusive;

/// The weights that HAProxy accepts, in percent of the weight in its `server` line.
pub const WEIGHTS: RangeInclusive<u16> = 0..=256;

/// A state of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The server can take traffic.
    Up,
    /// The server was measured and cannot take traffic.
    Down,
    /// The server could not be measured.
    Fail,
    /// An administrator took the server out.
    Maint,
    /// The server keeps its sessions and gets no new ones.
    Drain,
    /// The server is down on purpose.
    Stopped,
}

impl State {
    pub const ALL: [Self; 6] =
        [Self::Up, Self::Down, Self::Fail, Self::Maint, Self::Drain, Self::Stopped];

    /// HAProxy's word for the state; from the `agent-check` keyword of its configuration manual.
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Fail => "fail",
            Self::Maint => "maint",
            Self::Drain => "drain",
            Self::Stopped => "stopped",
        }
    }
}
