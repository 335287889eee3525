//! Reads the values of a run. The statistics page is fetched once, even if many values are on it.

use std::sync::Arc;

use crate::net::secrets::option_without_secrets;
use crate::process::timed::Timed;
use crate::process::wait::Wait;
use crate::values::error::ValueError;
use crate::values::figure::{Figure, NotANumber};
use crate::values::file_systems::FileSystems;
use crate::values::key::Key;
use crate::values::page_error::PageError;
use crate::values::settings::Settings;
use crate::values::statistics::Statistics;
use crate::values::statistics_page::Page;
use crate::values::value::{Source, Value};
use crate::verdict::fault::Fault;

/// What was read for a value, and how long it took.
pub type Reported = Timed<Result<Figure, ValueError>>;

/// What the values of one run are read from.
pub struct Sources<'a> {
    settings: &'a Settings,
    wait: &'a Wait,
    file_systems: FileSystems,
    /// The statistics page. `None` before it is fetched.
    page: Option<Timed<Result<Page, Arc<PageError>>>>,
}

impl<'a> Sources<'a> {
    pub fn new(settings: &'a Settings, wait: &'a Wait) -> Self {
        Self { settings, wait, file_systems: FileSystems::default(), page: None }
    }

    /// Starts to ask the file systems of `values`, and fetches the statistics page if one of `values` is on it.
    /// Does neither twice.
    pub fn fetch(&mut self, values: &[&Value]) {
        self.file_systems.start(values);
        if values.iter().any(|value| value.is_on_statistics_page()) {
            self.fetched_page();
        }
    }

    /// Reads `values`, in this order.
    pub fn read(&mut self, values: &[&Value]) -> Vec<Reported> {
        self.file_systems.start(values);
        let deadline = self.wait.deadline();
        let mut statistics = None;
        let read_value = |value: &&Value| match &value.kind().source {
            Source::Machine { read, .. } => {
                Some(of_machine(value, Timed::of(|| read(self.settings, deadline))))
            }
            Source::FileSystem { .. } => None,
            Source::StatisticsPage { .. } => {
                let Timed { result, took } =
                    statistics.get_or_insert_with(|| self.read_page(values));
                Some(Timed { result: find_on_page(value, result), took: *took })
            }
        };
        let read: Vec<Option<Reported>> = values.iter().map(read_value).collect();
        // A file system may take all the time that is left, so these are the last.
        let mut wait_for = |value| of_machine(value, self.file_systems.answer(value, deadline));
        let values = values.iter().zip(read);
        values.map(|(value, read)| read.unwrap_or_else(|| wait_for(value))).collect()
    }

    /// Reads the keys that `values` need from the statistics page.
    fn read_page<'v>(
        &mut self,
        values: &[&'v Value],
    ) -> Timed<Result<Statistics<'v>, Arc<PageError>>> {
        let deadline = self.wait.deadline();
        let Timed { result: page, took } = self.fetched_page();
        let keys = values.iter().flat_map(|value| value.keys());
        let read = |page: &Page| page.read(keys, deadline).map_err(Arc::new);
        Timed { result: page.as_ref().map_err(Arc::clone).and_then(read), took: *took }
    }

    fn fetched_page(&mut self) -> &Timed<Result<Page, Arc<PageError>>> {
        let (settings, wait) = (self.settings, self.wait);
        self.page.get_or_insert_with(|| Timed::of(|| Page::fetch(settings, wait).map_err(Arc::new)))
    }
}

/// What the machine tells of a value.
pub fn of_machine(value: &Value, Timed { result, took }: Timed<Result<f64, Fault>>) -> Reported {
    let error = |fault| ValueError::Machine { name: value.shown_name(), fault };
    let not_a_number = |NotANumber| ValueError::NotANumber { name: value.shown_name() };
    let result = result.map_err(error);
    let result = result.and_then(|number| Figure::of(number).checked().map_err(not_a_number));
    Timed { result, took }
}

/// Finds a value in what the statistics page reports.
pub fn find_on_page(
    value: &Value,
    statistics: &Result<Statistics, Arc<PageError>>,
) -> Result<Figure, ValueError> {
    let statistics = statistics.as_ref().map_err(|error| ValueError::Page(Arc::clone(error)))?;
    let name = || value.shown_name();
    match statistics.sum(value.keys()) {
        Ok(Some(sum)) => Ok(sum),
        Ok(None) => {
            let shown = |key: &Key| option_without_secrets(key.text());
            let keys: Vec<String> = value.keys().iter().map(shown).collect();
            let advice = value.kind().source.advice();
            Err(ValueError::Missing { name: name(), keys: keys.join(", "), advice })
        }
        Err(NotANumber) => Err(ValueError::NotANumber { name: name() }),
    }
}
