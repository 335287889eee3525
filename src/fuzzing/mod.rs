/*!
Properties that hold for any input from outside: one function for each fuzzer in `fuzz/`. A function panics
if its property does not hold.

Each function works out the expected result a second time, as simply as possible: with plain comparisons,
offsets and lines. It compares nothing where that would not be simple, such as for a week date or a number
above 2^53.
*/

mod choices;
mod files;
mod network;
mod pages;
mod reply;
mod request;
mod services;
mod state_history;
mod thresholds;

pub use files::files;
pub use network::{dns, http, websocket};
pub use pages::{json_page, prometheus_page};
pub use reply::reply;
pub use request::{command_line, request};
pub use services::services;
pub use state_history::state_history;
pub use thresholds::{statistics, thresholds};
