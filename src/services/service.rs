//! The parts of a service, and the fields of its requests.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::net::target::Target;
use crate::net::url::{Protocol, Url};
use crate::process::wait::Wait;
use crate::verdict::Verdict;
use crate::verdict::fault::Fault;

/// A kind of service: a row of [`SERVICES`](crate::services::SERVICES).
#[derive(Debug)]
pub struct Service {
    /// The first field of its requests.
    pub name: &'static str,
    /// The names of the other fields. The first one is required.
    pub fields: &'static [&'static str],
    /// Whether `URL|NAME` is accepted too. The programs that this one replaces used this order.
    pub allows_url_first: bool,
    /// Parses the fields after the name.
    pub parse: fn(&mut Fields) -> Result<Arc<dyn Check>, FieldError>,
}

/// A check of one server. Its `Display` writes the fields of its request, without the name.
pub trait Check: Any + fmt::Debug + fmt::Display + Send + Sync {
    /// The URL that is opened, and the `Host` header that is sent. `--allow-url` decides by it. A service
    /// without URLs in its requests has one too, with a scheme of its own.
    fn target(&self) -> &Target;

    /// Asks the service and judges its answer. Fails if the service cannot be judged.
    fn ask(&self, wait: &Wait) -> Result<Verdict, Fault>;

    /// Whether `other` is the same check: [`is_same`] for a type that derives equality.
    fn equals(&self, other: &dyn Check) -> bool;
}

/// Whether `other` is of the same type as `check`, and equal to it.
pub fn is_same<T: PartialEq + 'static>(check: &T, other: &dyn Check) -> bool {
    let other: &dyn Any = other;
    other.downcast_ref() == Some(check)
}

/// The fields of a request after its name, in order. An absent field is empty.
pub struct Fields<'a> {
    fields: &'a [&'a str],
    read_count: usize,
}

impl<'a> Fields<'a> {
    pub fn new(fields: &'a [&'a str]) -> Self {
        Self { fields, read_count: 0 }
    }

    /// Returns how many fields were read so far.
    pub fn read_count(&self) -> usize {
        self.read_count
    }

    /// Returns the next field as text.
    pub fn text(&mut self) -> &'a str {
        let field = self.fields.get(self.read_count).copied().unwrap_or_default();
        self.read_count += 1;
        field
    }

    /// Parses the next field into a value of its own type.
    pub fn parse<T: FromStr<Err: Error + Send + Sync + 'static>>(
        &mut self,
    ) -> Result<T, FieldError> {
        let text = self.text();
        text.parse().map_err(|error: T::Err| FieldError::new(text, error))
    }

    /// Parses the next field as a URL of `protocol`.
    pub fn url(&mut self, protocol: Protocol) -> Result<Url, FieldError> {
        let text = self.text();
        Url::of(text, protocol).map_err(|error| FieldError::new(text, error))
    }
}

/// Writes the fields of a request. Empty fields at the end are left out.
pub fn write_fields(f: &mut fmt::Formatter<'_>, fields: &[&dyn fmt::Display]) -> fmt::Result {
    let fields: Vec<String> = fields.iter().map(|field| field.to_string()).collect();
    f.write_str(fields.join("|").trim_end_matches('|'))
}

/// A field that cannot be understood.
#[derive(Debug)]
pub struct FieldError {
    pub text: String,
    /// What is wrong. It continues a sentence that begins with `text`.
    pub problem: Fault,
}

impl FieldError {
    pub fn new(text: &str, problem: impl Into<Fault>) -> Self {
        Self { text: text.to_owned(), problem: problem.into() }
    }
}
