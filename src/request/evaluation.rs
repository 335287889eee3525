//! Measures what a request asks for, and starts again if a request line changes the request meanwhile.

use crate::process::deadline::Deadline;
use crate::process::panics::Panic;
use crate::process::request_line::RequestLine;
use crate::process::wait::Wait;
use crate::reply::outcome::Outcome;
use crate::request::parsed::Request;
use crate::request::rules::{Refusal, RequestRules};
use crate::request::service_request::ServiceRequest;
use crate::values::settings::Settings;
use crate::values::sources::Sources;
use crate::verdict::Verdict;
use crate::verdict::fault::Fault;
use crate::verdict::hysteresis::Hysteresis;

/// How a run ended, and the text of the request that it served. The text is empty if no request was served.
#[derive(Debug)]
pub struct Evaluation {
    pub outcome: Outcome,
    pub request: String,
}

impl From<Outcome> for Evaluation {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, request: String::new() }
    }
}

impl From<Panic> for Evaluation {
    fn from(panic: Panic) -> Self {
        Outcome::NotMeasured(panic.into()).into()
    }
}

impl From<Refusal> for Evaluation {
    fn from(refusal: Refusal) -> Self {
        Self { request: refusal.request().to_owned(), outcome: refusal.into() }
    }
}

/// Serves the request of the command line and of the request line.
pub fn evaluate(
    rules: &RequestRules,
    mut line: RequestLine,
    settings: &Settings,
    hysteresis: Option<&Hysteresis>,
    deadline: Deadline,
) -> Result<Evaluation, Refusal> {
    let mut request = rules.request(rules.agent_send.first_line(&mut line, deadline))?;
    let wait = Wait::new(deadline, line);
    let mut answers =
        Answers { wait: &wait, sources: Sources::new(settings, &wait), hysteresis, service: None };
    loop {
        wait.stop_when(rules.makes_obsolete(&request));
        answers.ask(&request);
        match wait.line() {
            Some(line) => request = rules.request(Some(line))?,
            None => break,
        }
    }
    Ok(Evaluation { outcome: answers.judge(&request), request: request.to_string() })
}

/// What servers have answered so far. A request that changes keeps the answers that it still needs.
struct Answers<'a> {
    wait: &'a Wait,
    sources: Sources<'a>,
    hysteresis: Option<&'a Hysteresis>,
    service: Option<(ServiceRequest, Result<Verdict, Fault>)>,
}

impl Answers<'_> {
    /// Asks the server that the request needs, unless it has answered before.
    fn ask(&mut self, request: &Request) {
        match request {
            Request::Thresholds(thresholds) => self.sources.fetch(&thresholds.values()),
            Request::Service(request) => {
                let verdict = self.verdict(request);
                self.service = Some((request.clone(), verdict));
            }
            Request::Debug(_) => {}
        }
    }

    /// Judges what was measured.
    fn judge(mut self, request: &Request) -> Outcome {
        match request {
            Request::Thresholds(thresholds) => {
                let mut verdict = thresholds.judge(self.sources.read(&thresholds.values()));
                if let Some(hysteresis) = self.hysteresis {
                    hysteresis.apply(&mut verdict, self.wait.deadline());
                }
                Outcome::Measured(verdict)
            }
            Request::Service(request) => {
                self.verdict(request).map_or_else(Outcome::NotMeasured, Outcome::Measured)
            }
            Request::Debug(request) => Outcome::Debug(request.reply.clone()),
        }
    }

    /// The verdict on a service, which is asked unless it has answered before.
    fn verdict(&mut self, request: &ServiceRequest) -> Result<Verdict, Fault> {
        match self.service.take() {
            Some((asked, verdict)) if asked == *request => verdict,
            _ => request.ask(self.wait),
        }
    }
}
