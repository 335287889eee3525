//! Hyperion's own report on its parts; `/v2/health`.

use crate::services::broken_part::BrokenPart;
use crate::services::json_answer::{AnswerError, block_number, field, list, wrong};
use crate::text::json::Json;

/// Where Hyperion serves the report.
pub const PATH: &str = "/v2/health";

/// The parts whose block numbers are compared.
pub const NODEOS: &str = "NodeosRPC";
pub const ELASTICSEARCH: &str = "Elasticsearch";

/// A report.
pub struct HyperionHealth<'a>(Vec<Part<'a>>);

/// What a report says about one part. Anything may be absent.
struct Part<'a> {
    name: Option<String>,
    status: Option<Json<'a>>,
    data: Option<Json<'a>>,
}

impl<'a> HyperionHealth<'a> {
    /// Reads the report in an answer.
    pub fn of(answer: Json<'a>) -> Result<Self, AnswerError> {
        let parts = list(field(answer, &["health"])?, "health")?;
        let part = |part: Json<'a>| {
            let [name, status, data] = part.members(["service", "status", "service_data"]);
            Part { name: name.and_then(Json::text), status, data }
        };
        Ok(Self(parts.into_iter().map(part).collect()))
    }

    /// A field of a part's `service_data`.
    pub fn data(&self, part: &str, field: &str) -> Result<Json<'a>, AnswerError> {
        let found = self.0.iter().find(|found| found.name.as_deref() == Some(part));
        let found = found.ok_or_else(|| AnswerError::MissingPart(part.to_owned()))?;
        let value = found.data.and_then(|data| data.get(field));
        value.ok_or_else(|| AnswerError::Missing(format!("service_data.{field}")))
    }

    /// A block number in a part's `service_data`.
    pub fn block_number(&self, part: &str, field: &str) -> Result<u64, AnswerError> {
        block_number(self.data(part, field)?, field)
    }

    /// The parts that report another status than `OK` and `Warning`.
    pub fn broken_parts(&self) -> Vec<BrokenPart> {
        let broken = self.0.iter().filter_map(|part| {
            let status = part.status?.text()?;
            let name = part.title().to_owned();
            (!matches!(status.as_str(), "OK" | "Warning")).then_some(BrokenPart { name, status })
        });
        broken.collect()
    }

    /// Fails if a part reports no status.
    pub fn require_statuses(&self) -> Result<(), AnswerError> {
        for part in &self.0 {
            let status = part.status.and_then(Json::text);
            status.ok_or_else(|| wrong("text", &format!("status of {}", part.title())))?;
        }
        Ok(())
    }
}

impl Part<'_> {
    /// The name that messages give the part.
    fn title(&self) -> &str {
        self.name.as_deref().unwrap_or("a service")
    }
}
