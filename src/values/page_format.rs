//! A format of the statistics page.

use crate::values::page_error::PageProblem;
use crate::values::statistics::Statistics;

/// How pages in one format are read: a row of `FORMATS` in [`statistics_page`](crate::values::statistics_page).
#[derive(Debug)]
pub struct PageFormat {
    /// Whether a page is in this format.
    pub recognises: fn(&[u8]) -> bool,
    /// Fills in what the page reports.
    pub read: fn(&[u8], &mut Statistics) -> Result<(), PageProblem>,
    /// The memory that reading takes at most, in bytes for each byte of the page.
    pub memory_per_byte: usize,
}
