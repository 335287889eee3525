//! The HTTP APIs of Antelope services: `TYPE|URL[|BLOCKS[|HOST]]`, asked for one JSON document.

use std::fmt;
use std::sync::Arc;

use crate::net::http;
use crate::net::url::{Protocol, Url};
use crate::process::wait::Wait;
use crate::services::blocks::{Blocks, Tolerance};
use crate::services::host::Host;
use crate::services::json_answer::{AnswerError, JsonAnswer};
use crate::services::service::{Check, FieldError, Fields};
use crate::verdict::Verdict;
use crate::verdict::fault::Fault;

/// The fields of a request.
pub const FIELDS: &[&str] = &["URL", "BLOCKS", "HOST"];

/// Judges an answer. Fails if the service cannot be judged.
pub type Judge = fn(&JsonAnswer, &Tolerance) -> Result<Verdict, AnswerError>;

/// Parses a request. Its answer comes from `path` below the URL.
pub fn parse(
    fields: &mut Fields,
    path: &'static str,
    judge: Judge,
) -> Result<Arc<dyn Check>, FieldError> {
    Ok(Arc::new(AntelopeApi {
        url: fields.url(Protocol::Http)?,
        blocks: fields.parse()?,
        host: fields.parse()?,
        path,
        judge,
    }))
}

#[derive(Debug)]
struct AntelopeApi {
    url: Url,
    blocks: Blocks,
    host: Host,
    path: &'static str,
    judge: Judge,
}

impl Check for AntelopeApi {
    fn url(&self) -> &Url {
        &self.url
    }

    fn ask(&self, wait: &Wait) -> Result<Verdict, Fault> {
        let response = http::get(&self.url.join(self.path), self.host.header(), wait);
        let answer = JsonAnswer::of(response.map_err(AnswerError::Ask)?);
        Ok((self.judge)(&answer, &self.blocks.around_now())?)
    }
}

impl fmt::Display for AntelopeApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}{}", self.url.uri(), self.blocks, self.host)
    }
}
