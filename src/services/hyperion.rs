//! Hyperion, strictly: its index, every service, nodeos's head block time, missing blocks.

use super::v2::{ELASTICSEARCH, Fault, NODEOS, PATH, Services};
use super::{Answer, Api, BLOCKS_AND_HOST, Limit, iso_time_ms, whole_number};
use crate::net::url::Protocol;
use crate::verdict::Verdict;

pub const API: Api = Api {
    name: "hyperion",
    protocol: Protocol::Http,
    fields: BLOCKS_AND_HOST,
    ask: |service| judge(&service.get_json(PATH)?, &service.limit()),
};

pub fn judge(answer: &Answer, limit: &Limit) -> Result<Verdict, String> {
    let services = Services::of(answer.success()?)?;
    let missing = missing_blocks(&services);
    let mut faults: Vec<_> = services.faults().iter().map(Fault::to_string).collect();
    if let Ok(count @ 1..) = missing {
        faults.push(format!("missing blocks: {count}"));
    }
    let readings = || {
        services.require_statuses()?;
        let head = services.number(NODEOS, "head_block_num")?;
        let indexed = services.number(ELASTICSEARCH, "last_indexed_block")?;
        let time = "head_block_time";
        let head_ms = iso_time_ms(services.data(NODEOS, time)?, time)?;
        missing?;
        Ok(vec![limit.distance("indexed", indexed, head), limit.time(head_ms)])
    };
    match readings() {
        Ok(readings) => Ok(Verdict { faults, ..Verdict::of(readings) }),
        Err(error) if faults.is_empty() => Err(error),
        // What it says itself to be broken has been measured.
        Err(_) => Ok(Verdict::broken(faults)),
    }
}

/// How many blocks the index lacks; some versions say -1 for none.
fn missing_blocks(services: &Services) -> Result<i128, String> {
    let name = "missing_blocks";
    let number = whole_number(services.data(ELASTICSEARCH, name)?);
    number.ok_or_else(|| format!("reports no number as {name}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, changed, limit};
    use super::*;

    use serde_json::{Value, json};

    const FIXTURE: &str = include_str!("../../tests/fixtures/antelope/v2_health.json");

    fn judged(lag_ms: i128, changes: &[(&str, Value)]) -> Result<bool, String> {
        let verdict = judge(&answer(changed(FIXTURE, changes)), &limit(10, lag_ms));
        verdict.map(|verdict| verdict.is_up())
    }

    #[test]
    fn both_the_index_and_the_head_block_are_within_the_limit() {
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
    fn every_service_is_ok_or_warns() {
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
    fn missing_blocks_are_not_above_zero() {
        let pointer = "/health/2/service_data/missing_blocks";
        for (value, verdict) in [
            (json!(0), Ok(true)),
            (json!(-1), Ok(true)),
            (json!("0"), Ok(true)),
            (json!(1), Ok(false)),
            (json!("3"), Ok(false)),
        ] {
            assert_eq!(judged(0, &[(pointer, value.clone())]), verdict, "{value}");
        }
        for value in [json!(null), json!("some"), json!([])] {
            assert!(judged(0, &[(pointer, value.clone())]).is_err(), "{value}");
        }
    }

    #[test]
    fn without_the_head_blocks_time_there_is_no_verdict() {
        for value in [json!(null), json!(0), json!("soon")] {
            let pointer = "/health/1/service_data/head_block_time";
            assert!(judged(0, &[(pointer, value.clone())]).is_err(), "{value}");
        }
    }
}
