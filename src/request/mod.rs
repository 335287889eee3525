//! What is asked: the text of a request, the request line, and how both lead to an outcome.

pub mod agent_send;
pub mod allowed_urls;
pub mod debug;
pub mod evaluation;
pub mod not_understood;
pub mod parsed;
pub mod rules;
pub mod service_request;
pub mod thresholds;
pub mod words;
