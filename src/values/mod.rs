/*!
What a request has to ask of other processes before it can be judged.
*/

pub mod load;
pub mod statistics_page;

use std::time::{Duration, Instant};

use crate::net::url::Url;
use crate::process::wait::Wait;
use crate::services::ServiceRequest;
use crate::values::statistics_page::Page;
use crate::verdict::Verdict;

/// Something that is asked over the network.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    StatisticsPage(Url),
    Api(ServiceRequest),
}

/// What a source said, or in a sentence why it said nothing.
#[derive(Debug)]
pub enum Evidence {
    Statistics(Result<Page, String>),
    /// An API's answer is judged as soon as it is there, since its age counts.
    Api(Result<Verdict, String>),
}

/// Something that was measured, and how long that took.
#[derive(Clone, Debug)]
pub struct Timed<T> {
    pub result: T,
    pub took: Duration,
}

/// All that was measured for a request.
#[derive(Debug, Default)]
pub struct Measured {
    /// The machine's load in percent, or in a sentence why it cannot be had.
    pub load: Option<Timed<Result<f64, String>>>,
    pub evidence: Option<Timed<Evidence>>,
}

impl<T> Timed<T> {
    /// Does what measures something.
    pub fn of(measure: impl FnOnce() -> T) -> Self {
        let start = Instant::now();
        let result = measure();
        Self { result, took: start.elapsed() }
    }
}

impl Source {
    /// Asks, as long as `wait` lasts.
    pub fn ask(&self, wait: &Wait) -> Evidence {
        match self {
            Self::StatisticsPage(url) => Evidence::Statistics(Page::fetch(url, wait)),
            Self::Api(request) => Evidence::Api(request.ask(wait)),
        }
    }
}
