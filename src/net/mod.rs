//! Everything that goes over the network, under the run's deadline: URLs, host names, TCP, TLS, HTTP and
//! WebSockets.

pub mod connection;
pub mod dns;
pub mod error;
pub mod headers;
pub mod host;
pub mod hosts;
pub mod http;
pub mod name_server;
pub mod resolv_conf;
pub mod resolver;
pub mod secrets;
pub mod target;
pub mod tcp;
pub mod tls;
pub mod trust;
pub mod url;
pub mod websocket;
