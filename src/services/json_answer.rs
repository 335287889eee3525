/*!
A JSON answer of a service, and the fields that are read from it.

Block numbers may be numbers or strings that hold one. Times are UTC unless they name an offset.
*/

use std::error::Error;
use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;

use crate::net::error::AskError;
use crate::net::http::Response;
use crate::process::memory;
use crate::text::json::{Json, MEMORY_PER_BYTE, NotAList};

/// The longest list that a service may report. No site has so many services, or so many readers.
const LONGEST_LIST: usize = 1000;

/// What a service answered.
#[derive(Debug)]
pub struct JsonAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body of a successful answer. Error pages are not read, because that may take long.
    pub body: Result<Vec<u8>, AskError>,
}

/// Why an answer leads to no verdict.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerError {
    Ask(AskError),
    NotJson,
    /// The answer lacks this field, named by its path.
    Missing(String),
    /// The answer lacks this part of the service.
    MissingPart(String),
    /// A field has the wrong type, or a value that makes no sense.
    Wrong {
        expected: &'static str,
        field: String,
    },
    /// A list is longer than [`LONGEST_LIST`], or the field is not a list.
    NotAShortList {
        field: String,
    },
}

impl Error for AnswerError {}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(error) => error.fmt(f),
            Self::NotJson => f.write_str("sent no JSON"),
            Self::Missing(path) => write!(f, "reports no {path}"),
            Self::MissingPart(part) => write!(f, "reports no service {part}"),
            Self::Wrong { expected, field } => write!(f, "reports no {expected} as {field}"),
            Self::NotAShortList { field } => {
                write!(f, "reports no list of up to {LONGEST_LIST} as {field}")
            }
        }
    }
}

impl JsonAnswer {
    /// Reads the body of a response.
    pub fn of(response: Response) -> Self {
        let status = response.status;
        let body = response.read_success().and_then(|body| {
            memory::check_heap(body.len() * MEMORY_PER_BYTE)?;
            Ok(body)
        });
        Self { status, body }
    }

    /// The JSON of a successful answer. Fails for any other answer.
    pub fn success(&self) -> Result<Json<'_>, AnswerError> {
        match self.status {
            200..=299 => {
                let body = self.body.as_ref().map_err(|error| AnswerError::Ask(error.clone()))?;
                Json::parse(body).ok_or(AnswerError::NotJson)
            }
            status => Err(AnswerError::Ask(AskError::Status(status))),
        }
    }
}

/// The field of `json` at a path of names.
pub fn field<'a>(json: Json<'a>, path: &[&str]) -> Result<Json<'a>, AnswerError> {
    let mut names = path.iter();
    let found = names.try_fold(json, |json, name| json.get(name));
    found.ok_or_else(|| AnswerError::Missing(path.join(".")))
}

/// The elements of a list of at most [`LONGEST_LIST`].
pub fn list<'a>(json: Json<'a>, field: &str) -> Result<Vec<Json<'a>>, AnswerError> {
    let elements = json.elements(LONGEST_LIST);
    elements.map_err(|NotAList| AnswerError::NotAShortList { field: field.to_owned() })
}

/// A block number: a whole number above 0.
pub fn block_number(value: Json, field: &str) -> Result<u64, AnswerError> {
    let number = whole_number(value).and_then(|number| u64::try_from(number).ok());
    number.filter(|number| *number > 0).ok_or_else(|| wrong("block number", field))
}

/// A number without a fraction, also in a string.
pub fn whole_number(value: Json) -> Option<i128> {
    let string = value.text();
    let text = string.as_deref().unwrap_or(value.written()).trim();
    let from_float = || {
        let number: f64 = text.parse().ok()?;
        (number.fract() == 0.0).then_some(number as i128)
    };
    text.parse().ok().or_else(from_float)
}

/// A string.
pub fn text(value: Json, field: &str) -> Result<String, AnswerError> {
    value.text().ok_or_else(|| wrong("text", field))
}

/// A time in ISO 8601, in milliseconds since 1970.
pub fn iso_time_ms(value: Json, field: &str) -> Result<i128, AnswerError> {
    let text = value.text().unwrap_or_default();
    let mut text = text.trim().to_ascii_uppercase();
    let has_offset = text.split_once('T').is_some_and(|(_, clock)| clock.contains(['Z', '+', '-']));
    if !has_offset {
        text.push('Z');
    }
    let time = OffsetDateTime::parse(&text, &Iso8601::PARSING);
    let time = time.map_err(|_| wrong("time", field))?;
    Ok(time.unix_timestamp_nanos() / 1_000_000)
}

/// The error for a field that does not hold what it should.
pub fn wrong(expected: &'static str, field: &str) -> AnswerError {
    AnswerError::Wrong { expected, field: field.to_owned() }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    use serde_json::Value;

    use crate::services::blocks::tests::HEAD_MS;

    /// The answer of a service that is asked successfully.
    pub fn answer(json: Value) -> JsonAnswer {
        JsonAnswer { status: 200, body: Ok(json.to_string().into_bytes()) }
    }

    /// A fixture in which some fields have another value.
    pub fn changed(fixture: &str, changes: &[(&str, Value)]) -> Value {
        let mut json: Value = serde_json::from_str(fixture).unwrap();
        for (pointer, value) in changes {
            *json.pointer_mut(pointer).unwrap() = value.clone();
        }
        json
    }

    fn json(document: &str) -> Json<'_> {
        Json::parse(document.as_bytes()).unwrap()
    }

    #[test]
    fn times_are_utc_unless_they_name_an_offset() {
        let utc = |text: &str| iso_time_ms(json(&format!("\"{text}\"")), "t");
        for text in [
            "2022-08-17T14:16:36.000",
            "2022-08-17T14:16:36",
            "2022-08-17T14:16:36Z",
            "2022-08-17T14:16:36.000Z",
            "2022-08-17t14:16:36z",
            "2022-08-17T16:16:36+02:00",
            "2022-08-17T16:16:36.000+0200",
            "2022-08-17T09:46:36-04:30",
        ] {
            assert_eq!(utc(text), Ok(HEAD_MS), "{text}");
        }
        assert_eq!(utc("2022-08-17T14:16:36.5"), Ok(HEAD_MS + 500));
        for text in ["", "now", "2022-08-17", "2022-08-17T14:16:36+99:00", "2022-13-17T14:16:36"] {
            assert!(utc(text).is_err(), "{text}");
        }
        assert!(iso_time_ms(json("5"), "t").is_err());
    }

    #[test]
    fn whole_numbers_are_numbers_or_strings_without_a_fraction() {
        for text in ["5", "5.0", "\"5\"", "\" 5 \"", "5e0", "\"5.0\""] {
            assert_eq!(whole_number(json(text)), Some(5), "{text}");
        }
        assert_eq!(whole_number(json("-1")), Some(-1));
        assert_eq!(whole_number(json("18446744073709551616")), Some(1 << 64));
        for text in ["5.5", "\"\"", "\"5a\"", "\"nan\"", "\"inf\"", "null", "true", "[]", "{}"] {
            assert_eq!(whole_number(json(text)), None, "{text}");
        }
    }
}
