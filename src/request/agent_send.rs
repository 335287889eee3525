//! When the request line is waited for.

use std::time::{Duration, Instant};

use crate::process::deadline::Deadline;
use crate::process::input::Input;
use crate::process::request_line::{Event, Line, RequestLine};

/// How long a request line is awaited on a pipe or a file. It is there at once, or it never comes.
const PIPE_WAIT: Duration = Duration::from_millis(100);

/// How a run uses the line that HAProxy's `agent-send` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentSend {
    /// The line is used if it comes in time.
    Optional,
    /// The run waits for the line.
    Required,
    /// The line is not read as a request.
    Ignore,
}

impl AgentSend {
    /// Waits for the line: until the deadline if it is required, at most 100 ms on a pipe or a file, and not at
    /// all on a socket. A line that has begun on a socket is read to its end.
    pub fn first_line(self, line: &mut RequestLine, deadline: Deadline) -> Option<Line> {
        let (idle_until, line_until) = match (self, line.input()) {
            (Self::Ignore, _) => {
                line.ignore();
                return None;
            }
            (Self::Required, _) => (deadline.at(), deadline.at()),
            (Self::Optional, Input::Pipe | Input::File) => {
                let until = deadline.at().min(Instant::now() + PIPE_WAIT);
                (until, until)
            }
            (Self::Optional, Input::Socket | Input::Terminal) => (Instant::now(), deadline.at()),
        };
        let event = line.wait(None, idle_until, line_until);
        if line.input() != Input::Socket {
            // Only a connection may bring the line later.
            line.ignore();
        }
        match event {
            Event::Line(line) => Some(line),
            Event::Other | Event::TimeUp => None,
        }
    }
}
