//! Hyperion: how far Elasticsearch's index is from nodeos's head block; `/v2/health`.

use std::fmt;

use super::{Answer, Api, BLOCKS_AND_HOST, Limit, block_number, field, list};
use crate::net::url::Protocol;
use crate::text::json::Json;
use crate::verdict::Verdict;

pub const API: Api = Api {
    name: "v2",
    protocol: Protocol::Http,
    fields: BLOCKS_AND_HOST,
    ask: |service| judge(&service.get_json(PATH)?, &service.limit()),
};

/// Where Hyperion reports its health.
pub const PATH: &str = "/v2/health";

/// The services whose block numbers are compared.
pub const NODEOS: &str = "NodeosRPC";
pub const ELASTICSEARCH: &str = "Elasticsearch";

pub fn judge(answer: &Answer, limit: &Limit) -> Result<Verdict, String> {
    let services = Services::of(answer.success()?)?;
    let blocks = services
        .number(NODEOS, "head_block_num")
        .and_then(|head| Ok((head, services.number(ELASTICSEARCH, "last_indexed_block")?)));
    match blocks {
        Ok((head, indexed)) => Ok(Verdict::of(vec![limit.distance("indexed", indexed, head)])),
        // A service that says itself that it is broken has been measured.
        Err(error) => {
            let is_asked = |fault: &Fault| [NODEOS, ELASTICSEARCH].contains(&fault.service);
            let faults: Vec<_> = services.faults().into_iter().filter(is_asked).collect();
            match faults.is_empty() {
                true => Err(error),
                false => Ok(Verdict::broken(faults.iter().map(Fault::to_string).collect())),
            }
        }
    }
}

/// The services that a Hyperion reports on.
pub struct Services<'a>(Vec<Service<'a>>);

/// What one of them reports.
struct Service<'a> {
    name: Option<String>,
    status: Option<Json<'a>>,
    data: Option<Json<'a>>,
}

impl<'a> Services<'a> {
    pub fn of(health: Json<'a>) -> Result<Self, String> {
        let services = list(field(health, &["health"])?, "health")?;
        let service = |reported: Json<'a>| {
            let [name, status, data] = reported.members(["service", "status", "service_data"]);
            Service { name: name.and_then(Json::text), status, data }
        };
        Ok(Self(services.into_iter().map(service).collect()))
    }

    /// A field of what a service reports.
    pub fn data(&self, service: &str, name: &str) -> Result<Json<'a>, String> {
        let found = self.0.iter().find(|found| found.name.as_deref() == Some(service));
        let found = found.ok_or_else(|| format!("reports no service {service}"))?;
        let field = found.data.and_then(|data| data.get(name));
        field.ok_or_else(|| format!("reports no service_data.{name}"))
    }

    /// A block number of a service.
    pub fn number(&self, service: &str, name: &str) -> Result<u64, String> {
        block_number(self.data(service, name)?, name)
    }

    /// Sentences on the services that report another status than `OK` and `Warning`; a service that
    /// reports none is not among them.
    pub fn faults(&self) -> Vec<Fault<'_>> {
        let broken = self.0.iter().filter_map(|service| {
            let status = service.status?.text()?;
            let service = service.title();
            (!matches!(status.as_str(), "OK" | "Warning")).then_some(Fault { service, status })
        });
        broken.collect()
    }

    /// Fails if a service reports no status.
    pub fn require_statuses(&self) -> Result<(), String> {
        for service in &self.0 {
            let status = service.status.and_then(Json::text);
            status.ok_or_else(|| format!("reports no text as status of {}", service.title()))?;
        }
        Ok(())
    }
}

impl Service<'_> {
    /// What sentences call it.
    fn title(&self) -> &str {
        self.name.as_deref().unwrap_or("a service")
    }
}

/// A service that says itself that it is broken.
pub struct Fault<'a> {
    service: &'a str,
    status: String,
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} reports {}", self.service, self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, changed, limit};
    use super::*;

    use serde_json::{Value, json};

    const FIXTURE: &str = include_str!("../../tests/fixtures/antelope/v2_health.json");
    const HEAD: u64 = 263_148_621;
    const HEAD_POINTER: &str = "/health/1/service_data/head_block_num";
    const INDEXED_POINTER: &str = "/health/2/service_data/last_indexed_block";

    fn judged(blocks: u64, changes: &[(&str, Value)]) -> Result<bool, String> {
        let verdict = judge(&answer(changed(FIXTURE, changes)), &limit(blocks, 999_999_999));
        verdict.map(|verdict| verdict.is_up())
    }

    #[test]
    fn the_index_is_within_the_blocks_on_both_sides() {
        for (indexed, is_up) in [
            (HEAD, true),
            (HEAD - 10, true),
            (HEAD - 11, false),
            (HEAD + 10, true),
            (HEAD + 11, false),
        ] {
            assert_eq!(judged(10, &[(INDEXED_POINTER, json!(indexed))]), Ok(is_up));
            assert_eq!(judged(10, &[(INDEXED_POINTER, json!(indexed.to_string()))]), Ok(is_up));
        }
        assert_eq!(judged(0, &[]), Ok(true));
        assert_eq!(judged(0, &[(INDEXED_POINTER, json!(HEAD - 1))]), Ok(false));
    }

    #[test]
    fn without_both_block_numbers_there_is_no_verdict() {
        for pointer in [HEAD_POINTER, INDEXED_POINTER] {
            for value in
                [json!(null), json!(0), json!("0"), json!("x"), json!(-1), json!(1.5), json!([])]
            {
                assert!(judged(10, &[(pointer, value.clone())]).is_err(), "{pointer} {value}");
            }
        }
        for (pointer, value) in
            [("/health", json!(null)), ("/health", json!({})), ("/health/2", json!(5))]
        {
            assert!(judged(10, &[(pointer, value)]).is_err(), "{pointer}");
        }
    }

    #[test]
    fn a_service_that_is_broken_and_reports_no_block_is_down() {
        let broken = [("/health/2/status", json!("Error")), (INDEXED_POINTER, json!(null))];
        assert_eq!(judged(10, &broken), Ok(false));
        assert_eq!(judged(10, &broken[..1]), Ok(true));
        let verdict = judge(&answer(changed(FIXTURE, &broken)), &limit(10, 0)).unwrap();
        assert_eq!(verdict.all_faults(), ["Elasticsearch reports Error"]);
    }
}
