/*!
The services that API requests ask: `TYPE|URL[|...]`.

A service is a row of [`SERVICES`] and a file of its own: the fields of its requests, how it is asked, and
a function that judges the answer.
*/

pub mod antelope_api;
pub mod atomic;
pub mod blocks;
pub mod broken_part;
pub mod http;
pub mod hyperion;
pub mod hyperion_health;
pub mod json_answer;
pub mod service;
pub mod ship;
pub mod stream;
pub mod v1;
pub mod v2;
pub mod ws;

use crate::services::service::Service;

/// Every service that a request can name.
pub const SERVICES: &[&Service] = &[
    &v1::SERVICE,
    &v2::SERVICE,
    &atomic::SERVICE,
    &atomic::CONTRACT,
    &hyperion::SERVICE,
    &ship::SERVICE,
    &stream::SERVICE,
    &ws::SERVICE,
    &http::SERVICE,
];

/// The service with this name, or `None` if there is none.
pub fn find(name: &str) -> Option<&'static Service> {
    SERVICES.iter().copied().find(|service| service.name == name)
}
