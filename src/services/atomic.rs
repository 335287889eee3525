/*!
`atomic`: judges AtomicAssets (eosio-contract-api) by what `/health` says about its databases, its head block
and its readers.
*/

use crate::net::error::AskError;
use crate::services::antelope_api::{self, FIELDS};
use crate::services::blocks::Tolerance;
use crate::services::broken_part::BrokenPart;
use crate::services::json_answer::{
    AnswerError, JsonAnswer, block_number, field, list, text, whole_number, wrong,
};
use crate::services::service::Service;
use crate::text::json::Json;
use crate::verdict::Verdict;
use crate::verdict::fault::Fault;

pub const SERVICE: Service = Service {
    name: "atomic",
    fields: FIELDS,
    allows_url_first: true,
    parse: |fields| antelope_api::parse(fields, "/health", judge),
};

/// The older name of the same service.
pub const CONTRACT: Service = Service { name: "contract", ..SERVICE };

/// The databases that must be `OK`. The status of `chain` does not count: it is `ERROR` when the head block is
/// 20 s old, even if the request allows more.
const DATABASES: [&str; 2] = ["postgres", "redis"];

/// A reader may lag by this many blocks in any case, because readers commit in batches. The head block comes
/// from nodeos, so it does not show that a reader is stuck. Only this limit does.
const READER_BLOCKS: u64 = 180;

pub fn judge(answer: &JsonAnswer, tolerance: &Tolerance) -> Result<Verdict, AnswerError> {
    if answer.status >= 300 {
        return Ok(Verdict::broken(vec![AskError::Status(answer.status).into()]));
    }
    let data = field(answer.success()?, &["data"])?;
    let broken: Vec<Fault> = broken_databases(data).map(Into::into).collect();
    if !broken.is_empty() {
        return Ok(Verdict::broken(broken));
    }
    for database in DATABASES {
        text(field(data, &[database, "status"])?, "status")?;
    }
    let head_ms = head_time_ms(field(data, &["chain", "head_time"])?)?;
    let mut readings = vec![tolerance.time(head_ms)];
    let blocks = reader_blocks(data)?;
    if !blocks.is_empty() {
        let head = block_number(field(data, &["chain", "head_block"])?, "head_block")?;
        let tolerance = Tolerance { blocks: tolerance.blocks.max(READER_BLOCKS), ..*tolerance };
        for block in blocks {
            // AtomicAssets asks nodeos for the head block from time to time, so a reader may be ahead of it.
            let block = block_number(block, "block_num")?.min(head);
            readings.push(tolerance.distance("reader's", block, head));
        }
    }
    Ok(Verdict::of(readings))
}

/// Returns the databases whose status is not `OK`.
fn broken_databases(data: Json) -> impl Iterator<Item = BrokenPart> {
    DATABASES.into_iter().filter_map(move |name| {
        let status = data.get(name)?.get("status")?.text()?;
        (status != "OK").then(|| BrokenPart { name: name.to_owned(), status })
    })
}

/// Returns the block numbers that readers report.
fn reader_blocks(data: Json) -> Result<Vec<Json>, AnswerError> {
    let readers = field(data, &["postgres", "readers"]).ok();
    match readers.filter(|readers| readers.written().starts_with('[')) {
        Some(readers) => {
            let readers = list(readers, "readers")?.into_iter();
            Ok(readers.filter_map(|reader| reader.get("block_num")).collect())
        }
        None => Ok(Vec::new()),
    }
}

/// A time in milliseconds since 1970. It must be above 0.
fn head_time_ms(value: Json) -> Result<i128, AnswerError> {
    let number = whole_number(value).filter(|number| *number > 0);
    number.ok_or_else(|| wrong("time", "head_time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::{Value, json};

    use crate::services::blocks::tests::tolerance;
    use crate::services::json_answer::tests::{answer, changed};

    const FIXTURE: &str = include_str!("../../tests/fixtures/antelope/atomic_health.json");
    const HEAD: u64 = 263_148_621;
    const READER: &str = "/data/postgres/readers/0/block_num";

    fn judged(blocks: u64, lag_ms: i128, changes: &[(&str, Value)]) -> Result<bool, AnswerError> {
        let verdict = judge(&answer(changed(FIXTURE, changes)), &tolerance(blocks, lag_ms));
        verdict.map(|verdict| verdict.is_up())
    }

    #[test]
    fn the_head_block_may_differ_by_half_a_second_for_each_block() {
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
    fn a_reader_may_lag_180_blocks_or_what_the_request_allows() {
        for (blocks, lag, is_up) in
            [(10, 180, true), (10, 181, false), (200, 200, true), (200, 201, false)]
        {
            for number in [json!(HEAD - lag), json!((HEAD - lag).to_string())] {
                assert_eq!(judged(blocks, 0, &[(READER, number)]), Ok(is_up), "{blocks} {lag}");
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
    fn both_databases_must_be_ok() {
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
    fn an_error_status_is_down_whatever_the_body_holds() {
        for status in [300, 404, 500, 503] {
            let answer = JsonAnswer { status, body: Err(AskError::TooLarge) };
            assert_eq!(judge(&answer, &tolerance(10, 0)).map(|verdict| verdict.is_up()), Ok(false));
        }
    }
}
