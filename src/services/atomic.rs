//! AtomicAssets (eosio-contract-api): its stores, the head block it knows, and its readers; `/health`.

use super::{Answer, Api, BLOCKS_AND_HOST, Limit, block_number, field, list, text, whole_number};
use crate::net::error::AskError;
use crate::net::url::Protocol;
use crate::text::json::Json;
use crate::verdict::Verdict;

pub const API: Api = Api {
    name: "atomic",
    protocol: Protocol::Http,
    fields: BLOCKS_AND_HOST,
    ask: |service| judge(&service.get_json(PATH)?, &service.limit()),
};

/// The older name of the same.
pub const CONTRACT: Api = Api { name: "contract", ..API };

const PATH: &str = "/health";

/// How many blocks a reader may be behind in any case: readers commit in batches, and the head that is
/// reported is nodeos's, so without a limit of its own a stuck reader would look healthy.
const READER_BLOCKS: u64 = 180;

pub fn judge(answer: &Answer, limit: &Limit) -> Result<Verdict, String> {
    if answer.status >= 300 {
        let faults = vec![AskError::Status(answer.status).to_string()];
        return Ok(Verdict::broken(faults));
    }
    let data = field(answer.success()?, &["data"])?;
    let faults = broken(data);
    if !faults.is_empty() {
        return Ok(Verdict::broken(faults));
    }
    for service in ["postgres", "redis"] {
        text(field(data, &[service, "status"])?, "status")?;
    }
    let head_ms = head_time_ms(field(data, &["chain", "head_time"])?)?;
    let mut readings = vec![limit.time(head_ms)];
    let reported = field(data, &["postgres", "readers"]).ok();
    let readers = match reported.filter(|readers| readers.written().starts_with('[')) {
        Some(readers) => list(readers, "readers")?,
        None => Vec::new(),
    };
    let numbers: Vec<Json> =
        readers.into_iter().filter_map(|reader| reader.get("block_num")).collect();
    if !numbers.is_empty() {
        let head = block_number(field(data, &["chain", "head_block"])?, "head_block")?;
        let limit = Limit { blocks: limit.blocks.max(READER_BLOCKS), ..*limit };
        for number in numbers {
            // A reader that is ahead of a head that is asked for more rarely is not behind.
            let block = block_number(number, "block_num")?.min(head);
            readings.push(limit.distance("reader's", block, head));
        }
    }
    Ok(Verdict::of(readings))
}

/// Sentences on the stores that report themselves as anything but `OK`. Not on the chain, which calls
/// itself broken as soon as its head is 20 s old, whatever the limit.
fn broken(data: Json) -> Vec<String> {
    let status = |store: &&str| {
        let status = data.get(store)?.get("status")?.text()?;
        (status != "OK").then(|| format!("{store} reports {status}"))
    };
    ["postgres", "redis"].iter().filter_map(status).collect()
}

/// A time in milliseconds since 1970; nothing up to 0 is one.
fn head_time_ms(value: Json) -> Result<i128, String> {
    let number = whole_number(value).filter(|number| *number > 0);
    number.ok_or_else(|| "reports no time as head_time".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, changed, limit};
    use super::*;

    use serde_json::{Value, json};

    const FIXTURE: &str = include_str!("../../tests/fixtures/antelope/atomic_health.json");
    const HEAD: u64 = 263_148_621;
    const READER: &str = "/data/postgres/readers/0/block_num";

    fn judged(blocks: u64, lag_ms: i128, changes: &[(&str, Value)]) -> Result<bool, String> {
        let verdict = judge(&answer(changed(FIXTURE, changes)), &limit(blocks, lag_ms));
        verdict.map(|verdict| verdict.is_up())
    }

    #[test]
    fn the_head_time_is_within_half_a_second_a_block() {
        for sign in [1, -1] {
            assert_eq!(judged(15, sign * 7500, &[]), Ok(true));
            assert_eq!(judged(15, sign * 7501, &[]), Ok(false));
        }
        let text = [("/data/chain/head_time", json!("1660745796000"))];
        assert_eq!(judged(10, 5000, &text), Ok(true));
        for value in [json!(null), json!(0), json!("soon"), json!({})] {
            assert!(judged(10, 0, &[("/data/chain/head_time", value.clone())]).is_err(), "{value}");
        }
    }

    #[test]
    fn no_reader_is_more_than_180_blocks_behind_or_more_than_are_allowed() {
        for (blocks, behind, is_up) in
            [(10, 180, true), (10, 181, false), (200, 200, true), (200, 201, false)]
        {
            for number in [json!(HEAD - behind), json!((HEAD - behind).to_string())] {
                assert_eq!(judged(blocks, 0, &[(READER, number)]), Ok(is_up), "{blocks} {behind}");
            }
        }
        assert_eq!(judged(10, 0, &[(READER, json!(HEAD + 1000))]), Ok(true));
        assert_eq!(judged(10, 0, &[(READER, json!(null))]), Ok(true));
        for none in [json!(null), json!({}), json!("1")] {
            assert_eq!(judged(10, 0, &[("/data/postgres/readers", none)]), Ok(true));
        }
        let readers = |count| [("/data/postgres/readers", json!(vec![json!({}); count]))];
        assert_eq!(judged(10, 0, &readers(1000)), Ok(true));
        assert!(judged(10, 0, &readers(1001)).is_err());
        for number in [json!(0), json!("0"), json!("x"), json!([])] {
            assert!(judged(10, 0, &[(READER, number.clone())]).is_err(), "{number}");
        }
        assert!(judged(10, 0, &[("/data/chain/head_block", json!(0))]).is_err());
    }

    #[test]
    fn its_stores_are_ok() {
        for status in ["/data/postgres/status", "/data/redis/status"] {
            assert_eq!(judged(10, 0, &[(status, json!("ERROR"))]), Ok(false), "{status}");
            for value in [json!(null), json!(1)] {
                assert!(judged(10, 0, &[(status, value)]).is_err(), "{status}");
            }
        }
        let broken = [("/data/redis/status", json!("ERROR")), ("/data/chain", json!(null))];
        assert_eq!(judged(10, 0, &broken), Ok(false));
    }

    #[test]
    fn an_error_status_is_down_whatever_the_body() {
        for status in [300, 404, 500, 503] {
            let answer = Answer { status, body: Err("sent more than 1 MiB".to_owned()) };
            assert_eq!(judge(&answer, &limit(10, 0)).map(|verdict| verdict.is_up()), Ok(false));
        }
    }
}
