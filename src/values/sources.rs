//! Reads the values of a run. The statistics page is fetched once, even if many values are on it.

use std::sync::Arc;

use crate::process::timed::Timed;
use crate::process::wait::Wait;
use crate::values::error::ValueError;
use crate::values::page_error::PageError;
use crate::values::settings::Settings;
use crate::values::statistics_page::{NotANumber, Page, Statistics};
use crate::values::value::{Source, Value};

/// What the values of one run are read from.
pub struct Sources<'a> {
    settings: &'a Settings,
    wait: &'a Wait,
    /// The statistics page. `None` before it is fetched.
    page: Option<Timed<Result<Page, Arc<PageError>>>>,
}

impl<'a> Sources<'a> {
    pub fn new(settings: &'a Settings, wait: &'a Wait) -> Self {
        Self { settings, wait, page: None }
    }

    /// Fetches the statistics page if one of `values` is on it. Does not fetch it twice.
    pub fn fetch(&mut self, values: &[&Value]) {
        if values.iter().any(|value| value.is_on_statistics_page()) {
            self.fetched_page();
        }
    }

    /// Reads `values`, in this order.
    pub fn read(&mut self, values: &[&Value]) -> Vec<Timed<Result<f64, ValueError>>> {
        let mut statistics = None;
        let read_value = |value: &&Value| match &value.kind().source {
            Source::Machine { read, .. } => Timed::of(|| {
                let name = || value.name().to_owned();
                read(self.settings, self.wait.deadline())
                    .map_err(|fault| ValueError::Machine { name: name(), fault })
            }),
            Source::StatisticsPage { .. } => {
                let Timed { result, took } =
                    statistics.get_or_insert_with(|| self.read_page(values));
                Timed { result: find_on_page(value, result), took: *took }
            }
        };
        values.iter().map(read_value).collect()
    }

    /// Reads the keys that `values` need from the statistics page.
    fn read_page(&mut self, values: &[&Value]) -> Timed<Result<Statistics, Arc<PageError>>> {
        let Timed { result: page, took } = self.fetched_page();
        let keys = values.iter().flat_map(|value| value.page_keys());
        let read = |page: &Page| page.read(keys).map_err(Arc::new);
        Timed { result: page.as_ref().map_err(Arc::clone).and_then(read), took: *took }
    }

    fn fetched_page(&mut self) -> &Timed<Result<Page, Arc<PageError>>> {
        let (settings, wait) = (self.settings, self.wait);
        self.page.get_or_insert_with(|| Timed::of(|| Page::fetch(settings, wait).map_err(Arc::new)))
    }
}

/// Finds a value in what the statistics page reports.
pub fn find_on_page(
    value: &Value,
    statistics: &Result<Statistics, Arc<PageError>>,
) -> Result<f64, ValueError> {
    let statistics = statistics.as_ref().map_err(|error| ValueError::Page(Arc::clone(error)))?;
    let (name, keys) = (value.name().to_owned(), value.page_keys());
    match statistics.sum(&keys) {
        Ok(Some(sum)) => Ok(sum),
        Ok(None) => {
            let advice = value.kind().source.advice();
            Err(ValueError::Missing { name, keys: keys.join(", "), advice })
        }
        Err(NotANumber) => Err(ValueError::NotANumber { name }),
    }
}
