/*!
What has to hold for whatever comes from outside, one function for each of the fuzzers in `fuzz/`. They
panic where it does not hold.

What the agent makes of an input is compared with what is worked out here a second time, as simply as
possible and from the contract: with plain comparisons, offsets and lines. Where that would not be simple
(a week date, a number beyond 2^53) nothing is compared.
*/

mod api;
mod choices;
mod files;
mod network;
mod reply;
mod request;
mod state_history;
mod thresholds;

pub use api::api;
pub use files::files;
pub use network::{dns, http, websocket};
pub use reply::reply;
pub use request::{command_line, request};
pub use state_history::state_history;
pub use thresholds::{statistics, thresholds};
