//! The grammar of a reply, as HAProxy and its users may rely on it.

/// The states that the agent may report to HAProxy.
const STATES: [&str; 6] = ["up", "down", "fail", "maint", "drain", "stopped"];

/// The longest line, without its line end, and the longest description, in bytes.
const LINE_LIMIT: usize = 200;
const DESCRIPTION_LIMIT: usize = 100;

/// The highest weight that HAProxy accepts, in percent.
const WEIGHT_LIMIT: u16 = 256;

/// A valid reply.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    pub is_ready: bool,
    pub state: &'a str,
    pub weight_percent: Option<u16>,
    pub description: Option<&'a str>,
}

impl<'a> Reply<'a> {
    /// Parses `[ready ]STATE[ WEIGHT%][ # description]` and a line end. The error is a sentence that says
    /// what is wrong.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let line = text.strip_suffix('\n').ok_or("the line has no end")?;
        if !line.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err("the line holds other characters than printable ASCII".to_owned());
        }
        if line.len() > LINE_LIMIT {
            return Err(format!("the line is {} bytes long", line.len()));
        }
        let (words, description) = match line.split_once(" # ") {
            Some((words, description)) => (words, Some(description)),
            None => (line, None),
        };
        if description.is_some_and(|text| text.is_empty() || text.len() > DESCRIPTION_LIMIT) {
            return Err("the description is empty or too long".to_owned());
        }
        let (is_ready, words) = match words.strip_prefix("ready ") {
            Some(words) => (true, words),
            None => (false, words),
        };
        let (state, weight) = match words.split_once(' ') {
            Some((state, weight)) => (state, Some(weight)),
            None => (words, None),
        };
        if !STATES.contains(&state) {
            return Err(format!("'{state}' is not a state"));
        }
        let percent = |weight: &str| {
            let digits = weight.strip_suffix('%')?;
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            let percent = digits.parse().ok()?;
            (is_plain && percent <= WEIGHT_LIMIT).then_some(percent)
        };
        let weight_percent = match weight {
            None => None,
            Some(weight) => Some(percent(weight).ok_or(format!("'{weight}' is not a weight"))?),
        };
        Ok(Self { is_ready, state, weight_percent, description })
    }
}
