//! Why the words of a request cannot be understood.

use std::error::Error;
use std::fmt;

use crate::net::secrets::without_secrets;
use crate::reply::state::State;
use crate::services::SERVICES;
use crate::services::service::{FieldError, Service};
use crate::values::VALUES;
use crate::verdict::fault::Fault;

/// A word of a request that cannot be understood.
///
/// It is displayed as a sentence that names the word and what would be right, without the secrets of URLs.
#[derive(Debug)]
pub struct NotUnderstood {
    word: String,
    mistake: Mistake,
}

/// What is wrong with a word.
#[derive(Debug)]
pub enum Mistake {
    /// It should be the name of a value.
    UnknownValue,
    /// It should be the limit of the value before it, or the name of another value.
    UnknownValueOrLimit,
    /// It should be a limit of the value with this name.
    NotALimit(String),
    /// It names a value that needs a limit.
    LimitMissing,
    /// It names a value that only the command line may name.
    NotInALine,
    /// This part of it is wrong, and why.
    Name(String, &'static str),
    /// It should be the name of a service.
    UnknownService,
    /// It has more fields than this service understands.
    TooManyFields(&'static Service),
    /// It should be a certain field of a service's request.
    Field(Fault),
    /// It should be a word of a reply.
    NotAReplyWord,
    /// It is a word of a reply, but the reply has another one of its kind.
    SecondOfItsKind,
}

impl NotUnderstood {
    pub fn new(word: &str, mistake: Mistake) -> Self {
        Self { word: word.to_owned(), mistake }
    }
}

impl From<FieldError> for NotUnderstood {
    fn from(FieldError { text, problem }: FieldError) -> Self {
        Self { word: text, mistake: Mistake::Field(problem) }
    }
}

impl Error for NotUnderstood {}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = without_secrets(&self.word);
        match &self.mistake {
            // The piece may be the end of a URL, and begin anywhere in it.
            Mistake::Name(_, problem) if self.word.contains("://") => {
                write!(f, "{word}: a part of it {problem}")
            }
            Mistake::Name(piece, problem) => {
                write!(f, "{word}: '{}' {problem}", without_secrets(piece))
            }
            mistake => write!(f, "'{word}' {mistake}"),
        }
    }
}

/// The end of a sentence that begins with the word.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownValue => write!(f, "is none of {}", value_names()),
            Self::UnknownValueOrLimit => {
                write!(f, "is no limit ({A_LIMIT}) and none of {}", value_names())
            }
            Self::NotALimit(name) => {
                write!(f, "is no limit for {}: {A_LIMIT}", without_secrets(name))
            }
            Self::LimitMissing => write!(f, "needs a limit: {A_LIMIT}"),
            Self::NotInALine => f.write_str("can be named on the command line only"),
            Self::Name(_, problem) => f.write_str(problem),
            Self::UnknownService => {
                let names: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
                write!(f, "is none of {}, debug", names.join(", "))
            }
            Self::TooManyFields(service) => {
                write!(f, "has more than {}|{}", service.name, service.fields.join("|"))
            }
            Self::Field(problem) => problem.fmt(f),
            Self::NotAReplyWord => {
                let states = State::ALL.map(State::word).join(", ");
                write!(f, "is none of ready, {states}, a weight from 0% to 256%, maxconn:N")
            }
            Self::SecondOfItsKind => f.write_str("names a second state, weight, maxconn or ready"),
        }
    }
}

/// What a limit is.
const A_LIMIT: &str = "a number of 0 or more or min:NUMBER, % for percentages only";

fn value_names() -> String {
    let names: Vec<&str> = VALUES.iter().map(|kind| kind.name).collect();
    names.join(", ")
}
