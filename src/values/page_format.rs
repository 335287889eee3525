//! A format of the statistics page.

use crate::values::page_error::PageProblem;

/// Receives a key and its value.
pub type TakeValue<'a> = dyn FnMut(&str, &str) + 'a;

/// How pages in one format are read: a row of `FORMATS` in [`statistics_page`](crate::values::statistics_page).
#[derive(Debug)]
pub struct PageFormat {
    /// Whether a page is in this format.
    pub recognises: fn(&[u8]) -> bool,
    /// Hands each key of the page and its value, as text, to the callback.
    pub read: fn(&[u8], &mut TakeValue) -> Result<(), PageProblem>,
    /// The memory that reading takes at most, in bytes for each byte of the page.
    pub memory_per_byte: usize,
}
