/*!
The request line: reading it from descriptor 0, and finding its end.

HAProxy sends its `agent-send` string in one piece and adds nothing to it. Administrators often forget
the `\n` there. So a line ends at `\n`, at the end of the input, or when no byte has come for 50 ms. It must
end within 250 ms, so that nobody can hold a run by sending slowly.
*/

use std::mem;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::stdio::stdin;

use crate::process::input::Input;
use crate::process::poll::{self, Interest, RETRY_PAUSE};

/// The longest request line, in bytes, without its line end.
const LINE_LIMIT: usize = 1024;

/// How long after its last byte a line without a line end counts as complete.
const SILENCE: Duration = Duration::from_millis(50);

/// How long after its first byte a line must have ended.
const LINE_TIME: Duration = Duration::from_millis(250);

/// What came as a request line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The bytes of a complete line, without `\n` or `\r\n`.
    Whole(Vec<u8>),
    /// More than 1024 bytes.
    TooLong,
    /// Bytes, but no line end before the time was up.
    Unfinished,
    /// An error on reading: a line may have come, but the system does not deliver it.
    Unreadable(Errno),
}

/// What ended a wait.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A line has come.
    Line(Line),
    /// The other descriptor is ready.
    Other,
    /// The time is up.
    TimeUp,
}

/// When a line without a line end is over, and whether it is a whole line then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LineEnd {
    at: Instant,
    is_whole: bool,
}

/// Reads the request line from descriptor 0, as it arrives.
pub struct RequestLine {
    input: Input,
    bytes: Vec<u8>,
    /// When the first and the last byte came; `None` before the first.
    came: Option<(Instant, Instant)>,
    /// Why no more can be read.
    error: Option<Errno>,
    /// Whether reading is over: the line has been returned, the input has ended, or no line is wanted.
    is_over: bool,
}

impl RequestLine {
    /// Prepares to read a line from descriptor 0, which is of the kind `input`. Nothing is read from a
    /// terminal.
    pub fn new(input: Input) -> Self {
        let is_over = input == Input::Terminal;
        Self { input, bytes: Vec::new(), came: None, error: None, is_over }
    }

    /// Returns the kind of descriptor 0.
    pub fn input(&self) -> Input {
        self.input
    }

    /// Stops reading: no line comes from now on.
    pub fn ignore(&mut self) {
        self.is_over = true;
    }

    /// Waits for the line, or until `other` is ready, but not past `idle_until`.
    ///
    /// Once the first byte of the line has come, waits for the rest of the line only, for 250 ms at most and
    /// not past `line_until`. A complete line comes before `other`.
    pub fn wait(
        &mut self,
        other: Option<Interest<'_>>,
        idle_until: Instant,
        line_until: Instant,
    ) -> Event {
        loop {
            if self.is_over && other.is_none() {
                return Event::TimeUp;
            }
            let end = self.end(line_until);
            let other = other.filter(|_| end.is_none());
            let until = end.map_or(idle_until, |end| end.at);
            let input = (!self.is_over).then_some((stdin(), PollFlags::IN));
            let ready = poll::ready([input, other], until);
            // If poll(2) fails, both descriptors are tried from time to time. Reading from either
            // returns at once.
            let [is_input_ready, is_other_ready] = ready.unwrap_or_else(|_| {
                thread::sleep(RETRY_PAUSE.min(until.saturating_duration_since(Instant::now())));
                [input.is_some(), other.is_some()]
            });
            let has_read = is_input_ready && self.read();
            if has_read && let Some(line) = self.take_if_ended() {
                return Event::Line(line);
            }
            // The time is up even if there are more bytes: somebody may send them for ever.
            let now = Instant::now();
            match self.end(line_until) {
                Some(end) if now >= end.at && end.is_whole => return Event::Line(self.take()),
                Some(end) if now >= end.at => return Event::Line(self.give_up()),
                _ if has_read => continue,
                _ => {}
            }
            // poll(2) reports input, but nothing can be read: another process may have read it. Poll again
            // while there is time.
            if is_input_ready && ready.is_ok() {
                if now < line_until {
                    continue;
                }
                return Event::Line(self.give_up());
            }
            if is_other_ready {
                return Event::Other;
            }
            if now >= until {
                return Event::TimeUp;
            }
        }
    }

    /// Returns when the line that has begun is over, if no more bytes come. `None` if no line has begun.
    fn end(&self, line_until: Instant) -> Option<LineEnd> {
        let (first, last) = self.came.filter(|_| !self.is_over)?;
        let (silent_at, late_at) = (last + SILENCE, first + LINE_TIME);
        // On a pipe or a file, the bytes that have come in time are the line.
        let cut_at = Some(line_until).filter(|_| self.input != Input::Socket);
        let whole_at = cut_at.map_or(silent_at, |cut_at| cut_at.min(silent_at));
        let at = whole_at.min(late_at).min(line_until);
        Some(LineEnd { at, is_whole: at == whole_at })
    }

    /// Reads the bytes that have arrived. Returns `false` if there were none, and `true` also at the end
    /// of the input and after an error.
    fn read(&mut self) -> bool {
        // With room for a line end, the longest line can be told from one that is too long.
        let mut buffer = [0; LINE_LIMIT + 2];
        let room = buffer.len() - self.bytes.len();
        match self.input.read_now(&mut buffer[..room]) {
            Err(Errno::AGAIN) => return false,
            // A connection that was reset has ended too.
            Ok(0) | Err(Errno::CONNRESET) => self.is_over = true,
            // A file that holds no lines, such as a folder.
            Err(Errno::BADF | Errno::ISDIR | Errno::INVAL) if self.input == Input::File => {
                self.is_over = true;
            }
            Err(error) => {
                self.error = Some(error);
                self.is_over = true;
            }
            Ok(count) => {
                self.bytes.extend(&buffer[..count]);
                let now = Instant::now();
                self.came = Some((self.came.map_or(now, |(first, _)| first), now));
            }
        }
        true
    }

    /// Returns the line if its end has come, or if it is too long to have one.
    fn take_if_ended(&mut self) -> Option<Line> {
        let is_full = self.bytes.len() == LINE_LIMIT + 2;
        let is_cut = self.is_over && !self.bytes.is_empty();
        let has_ended = self.bytes.contains(&b'\n') || is_cut || self.error.is_some();
        (has_ended || is_full).then(|| self.take())
    }

    /// Stops reading: the line has no end.
    fn give_up(&mut self) -> Line {
        self.is_over = true;
        Line::Unfinished
    }

    /// Returns the bytes so far as the line, and stops reading.
    fn take(&mut self) -> Line {
        self.is_over = true;
        if let Some(error) = self.error.take() {
            return Line::Unreadable(error);
        }
        let mut line = mem::take(&mut self.bytes);
        if let Some(end) = line.iter().position(|&byte| byte == b'\n') {
            line.truncate(end);
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        match line.len() {
            0..=LINE_LIMIT => Line::Whole(line),
            _ => Line::TooLong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_an_end_is_over_after_50_ms_of_silence_and_at_the_latest_after_250_ms() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        // When the last byte came, the limit, and when the line is over on a socket and on a pipe.
        for (last, limit, socket, pipe) in [
            (0, 1500, (50, true), (50, true)),
            (200, 1500, (250, true), (250, true)),
            (201, 1500, (250, false), (250, false)),
            (90, 100, (100, false), (100, true)),
            (240, 250, (250, false), (250, true)),
        ] {
            for (input, end) in [(Input::Socket, socket), (Input::Pipe, pipe), (Input::File, pipe)]
            {
                let came = Some((start, at(last)));
                let line = RequestLine { came, ..RequestLine::new(input) };
                let expected = LineEnd { at: at(end.0), is_whole: end.1 };
                assert_eq!(line.end(at(limit)), Some(expected), "{input:?} {last} {limit}");
            }
        }
        assert_eq!(RequestLine::new(Input::Pipe).end(start), None);
    }

    #[test]
    fn a_line_ends_at_its_line_end_at_the_end_of_input_or_after_1026_bytes() {
        let ended = |bytes: &[u8], is_over| {
            let mut line =
                RequestLine { bytes: bytes.to_vec(), is_over, ..RequestLine::new(Input::Socket) };
            let ended = line.take_if_ended();
            assert!(ended.is_none() || line.is_over, "reading goes on after the line");
            ended
        };
        let whole = |bytes: &[u8]| Some(Line::Whole(bytes.to_vec()));
        assert_eq!(ended(b"", false), None);
        assert_eq!(ended(b"", true), None);
        assert_eq!(ended(b"cpu", false), None);
        assert_eq!(ended(b"cpu", true), whole(b"cpu"));
        assert_eq!(ended(b"cpu\r", true), whole(b"cpu"));
        assert_eq!(ended(b"\n", false), whole(b""));
        assert_eq!(ended(b"cpu\r\nmore\n", false), whole(b"cpu"));
        assert_eq!(ended(b"cpu\n\r", false), whole(b"cpu"));
        let longest = [b'x'; LINE_LIMIT];
        assert_eq!(ended(&longest, false), None);
        assert_eq!(ended(&[&longest[..], b"\r\n"].concat(), false), whole(&longest));
        assert_eq!(ended(&[b'x'; LINE_LIMIT + 1], false), None);
        assert_eq!(ended(&[b'x'; LINE_LIMIT + 1], true), Some(Line::TooLong));
        assert_eq!(ended(&[b'x'; LINE_LIMIT + 2], false), Some(Line::TooLong));
    }
}
