//! `hyperion`: judges Hyperion strictly, by its index, all its parts, the head block's time and missing blocks.

use std::error::Error;
use std::fmt;

use crate::services::antelope_api::{self, FIELDS};
use crate::services::blocks::Tolerance;
use crate::services::hyperion_health::{ELASTICSEARCH, HyperionHealth, NODEOS, PATH};
use crate::services::json_answer::{AnswerError, JsonAnswer, iso_time_ms, whole_number, wrong};
use crate::services::service::Service;
use crate::verdict::Verdict;
use crate::verdict::fault::Fault;

pub const SERVICE: Service = Service {
    name: "hyperion",
    fields: FIELDS,
    allows_url_first: false,
    parse: |fields| antelope_api::parse(fields, PATH, judge),
};

pub fn judge(answer: &JsonAnswer, tolerance: &Tolerance) -> Result<Verdict, AnswerError> {
    let health = HyperionHealth::of(answer.success()?)?;
    let missing = missing_blocks(&health);
    let mut faults: Vec<Fault> = health.broken_parts().into_iter().map(Into::into).collect();
    if let Ok(count @ 1..) = missing {
        faults.push(MissingBlocks(count).into());
    }
    let readings = || {
        health.require_statuses()?;
        let head = health.block_number(NODEOS, "head_block_num")?;
        let indexed = health.block_number(ELASTICSEARCH, "last_indexed_block")?;
        let time = "head_block_time";
        let head_ms = iso_time_ms(health.data(NODEOS, time)?, time)?;
        missing?;
        Ok(vec![tolerance.distance("indexed", indexed, head), tolerance.time(head_ms)])
    };
    match readings() {
        Ok(readings) => Ok(Verdict { faults, ..Verdict::of(readings) }),
        Err(error) if faults.is_empty() => Err(error),
        // A Hyperion that reports itself as broken was measured, and it is bad.
        Err(_) => Ok(Verdict::broken(faults)),
    }
}

/// The index lacks this many blocks.
#[derive(Debug)]
struct MissingBlocks(i128);

impl Error for MissingBlocks {}

impl fmt::Display for MissingBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "missing blocks: {}", self.0)
    }
}

/// The number of blocks that the index lacks. Some versions report -1 instead of 0, and older ones report
/// nothing.
fn missing_blocks(health: &HyperionHealth) -> Result<i128, AnswerError> {
    let name = "missing_blocks";
    match health.data(ELASTICSEARCH, name) {
        Ok(number) => whole_number(number).ok_or_else(|| wrong("number", name)),
        Err(_) => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::{Value, json};

    use crate::services::blocks::tests::tolerance;
    use crate::services::json_answer::tests::{answer, changed};

    const FIXTURE: &str = include_str!("../../tests/fixtures/antelope/v2_health.json");

    fn judged(lag_ms: i128, changes: &[(&str, Value)]) -> Result<bool, AnswerError> {
        let verdict = judge(&answer(changed(FIXTURE, changes)), &tolerance(10, lag_ms));
        verdict.map(|verdict| verdict.is_up())
    }

    #[test]
    fn both_the_index_and_the_head_block_must_be_within_the_limit() {
        for sign in [1, -1] {
            assert_eq!(judged(sign * 5000, &[]), Ok(true));
            assert_eq!(judged(sign * 5001, &[]), Ok(false));
        }
        let behind = |blocks: u64| {
            [("/health/2/service_data/last_indexed_block", json!(263_148_621 - blocks))]
        };
        assert_eq!(judged(0, &behind(10)), Ok(true));
        assert_eq!(judged(0, &behind(11)), Ok(false));
    }

    #[test]
    fn every_part_must_report_ok_or_warning() {
        for service in ["/health/0/status", "/health/1/status", "/health/2/status"] {
            assert_eq!(judged(0, &[(service, json!("Warning"))]), Ok(true));
            for status in [json!("Error"), json!("ok"), json!("")] {
                assert_eq!(
                    judged(0, &[(service, status.clone())]),
                    Ok(false),
                    "{service} {status}"
                );
            }
            for status in [json!(null), json!(1), json!({})] {
                assert!(judged(0, &[(service, status.clone())]).is_err(), "{service} {status}");
            }
        }
        let gone = [("/health/1/status", json!("Error")), ("/health/1/service_data", json!(null))];
        assert_eq!(judged(0, &gone), Ok(false));
    }

    #[test]
    fn missing_blocks_must_not_be_above_zero() {
        let pointer = "/health/2/service_data/missing_blocks";
        for (value, verdict) in [
            (json!(0), Ok(true)),
            (json!(-1), Ok(true)),
            (json!("0"), Ok(true)),
            (json!(null), Ok(true)),
            (json!(1), Ok(false)),
            (json!("3"), Ok(false)),
        ] {
            assert_eq!(judged(0, &[(pointer, value.clone())]), verdict, "{value}");
        }
        for value in [json!("some"), json!(""), json!(true), json!(1.5), json!([]), json!({})] {
            assert!(judged(0, &[(pointer, value.clone())]).is_err(), "{value}");
        }
    }

    #[test]
    fn older_versions_report_no_missing_blocks() {
        let mut health = changed(FIXTURE, &[]);
        let data = health.pointer_mut("/health/2/service_data").unwrap().as_object_mut().unwrap();
        data.remove("missing_blocks").unwrap();
        let is_up = |health: &Value| {
            judge(&answer(health.clone()), &tolerance(10, 0)).map(|verdict| verdict.is_up())
        };
        assert_eq!(is_up(&health), Ok(true));
        // The other fields are needed all the same.
        *health.pointer_mut("/health/2/service_data").unwrap() = json!(null);
        assert!(is_up(&health).is_err());
    }

    #[test]
    fn an_answer_without_the_head_blocks_time_leads_to_no_verdict() {
        for value in [json!(null), json!(0), json!("soon")] {
            let pointer = "/health/1/service_data/head_block_time";
            assert!(judged(0, &[(pointer, value.clone())]).is_err(), "{value}");
        }
    }
}
