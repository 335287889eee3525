//! `v2`: judges Hyperion by the distance between Elasticsearch's last block and nodeos's head block.

use crate::services::antelope_api::{self, FIELDS};
use crate::services::blocks::Tolerance;
use crate::services::broken_part::BrokenPart;
use crate::services::hyperion_health::{ELASTICSEARCH, HyperionHealth, NODEOS, PATH};
use crate::services::json_answer::{AnswerError, JsonAnswer};
use crate::services::service::Service;
use crate::verdict::Verdict;
use crate::verdict::fault::Fault;

pub const SERVICE: Service = Service {
    name: "v2",
    fields: FIELDS,
    allows_url_first: true,
    parse: |fields| antelope_api::parse(fields, PATH, judge),
};

pub fn judge(answer: &JsonAnswer, tolerance: &Tolerance) -> Result<Verdict, AnswerError> {
    let health = HyperionHealth::of(answer.success()?)?;
    let distance = || {
        let head = health.block_number(NODEOS, "head_block_num")?;
        let indexed = health.block_number(ELASTICSEARCH, "last_indexed_block")?;
        Ok(tolerance.distance("indexed", indexed, head))
    };
    let is_compared = |part: &BrokenPart| [NODEOS, ELASTICSEARCH].contains(&part.name.as_str());
    let error = match distance() {
        Ok(distance) => return Ok(Verdict::of(vec![distance])),
        Err(error) => error,
    };
    // A part that reports itself as broken was measured, and it is bad.
    let broken = health.broken_parts().into_iter().filter(is_compared);
    let faults: Vec<Fault> = broken.map(Into::into).collect();
    if faults.is_empty() { Err(error) } else { Ok(Verdict::broken(faults)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::{Value, json};

    use crate::services::blocks::tests::tolerance;
    use crate::services::json_answer::tests::{answer, changed};

    const FIXTURE: &str = include_str!("../../tests/fixtures/antelope/v2_health.json");
    const HEAD: u64 = 263_148_621;
    const HEAD_POINTER: &str = "/health/1/service_data/head_block_num";
    const INDEXED_POINTER: &str = "/health/2/service_data/last_indexed_block";

    fn judged(blocks: u64, changes: &[(&str, Value)]) -> Result<bool, AnswerError> {
        let verdict = judge(&answer(changed(FIXTURE, changes)), &tolerance(blocks, 999_999_999));
        verdict.map(|verdict| verdict.is_up())
    }

    #[test]
    fn the_index_may_differ_by_blocks_in_either_direction() {
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
    fn an_answer_without_both_block_numbers_leads_to_no_verdict() {
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
    fn a_broken_part_that_reports_no_block_is_down() {
        let broken = [("/health/2/status", json!("Error")), (INDEXED_POINTER, json!(null))];
        assert_eq!(judged(10, &broken), Ok(false));
        assert_eq!(judged(10, &broken[..1]), Ok(true));
        let verdict = judge(&answer(changed(FIXTURE, &broken)), &tolerance(10, 0)).unwrap();
        assert_eq!(verdict.sentences(), ["Elasticsearch reports Error"]);
    }
}
