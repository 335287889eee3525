//! The HTTP APIs of Antelope services: `TYPE|URL[|BLOCKS[|HOST]]`, asked for one JSON document.

use std::fmt;
use std::sync::Arc;

use crate::net::headers::Headers;
use crate::net::http;
use crate::net::target::Target;
use crate::net::url::Protocol;
use crate::process::wait::Wait;
use crate::services::blocks::{Blocks, Tolerance};
use crate::services::json_answer::{AnswerError, JsonAnswer};
use crate::services::service::{Check, FieldError, Fields, is_same, write_fields};
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
    let (url, blocks, host) = (fields.url(Protocol::Http)?, fields.parse()?, fields.parse()?);
    let request = Request { target: Target { url, host }, blocks };
    Ok(Arc::new(AntelopeApi { request, path, judge }))
}

#[derive(Debug, PartialEq)]
struct Request {
    target: Target,
    blocks: Blocks,
}

#[derive(Debug)]
struct AntelopeApi {
    request: Request,
    path: &'static str,
    judge: Judge,
}

/// Checks of one service have the same path and judge, so only their requests can differ.
impl PartialEq for AntelopeApi {
    fn eq(&self, other: &Self) -> bool {
        self.request == other.request
    }
}

impl Check for AntelopeApi {
    fn target(&self) -> &Target {
        &self.request.target
    }

    fn ask(&self, wait: &Wait) -> Result<Verdict, Fault> {
        let Request { target, blocks } = &self.request;
        let response = http::get(&target.join(self.path), &Headers::default(), wait);
        let answer = JsonAnswer::of(response.map_err(AnswerError::Ask)?);
        Ok((self.judge)(&answer, &blocks.around_now())?)
    }

    fn equals(&self, other: &dyn Check) -> bool {
        is_same(self, other)
    }
}

impl fmt::Display for AntelopeApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { target: Target { url, host }, blocks } = &self.request;
        write_fields(f, &[url.uri(), blocks, host])
    }
}
