//! `v1`: judges nodeos by the time of its head block, as `get_info` of the chain API plugin reports it.

use crate::services::antelope_api::{self, FIELDS};
use crate::services::blocks::Tolerance;
use crate::services::json_answer::{AnswerError, JsonAnswer, field, iso_time_ms};
use crate::services::service::Service;
use crate::verdict::Verdict;

pub const SERVICE: Service = Service {
    name: "v1",
    fields: FIELDS,
    allows_url_first: true,
    parse: |fields| antelope_api::parse(fields, "/v1/chain/get_info", judge),
};

pub fn judge(answer: &JsonAnswer, tolerance: &Tolerance) -> Result<Verdict, AnswerError> {
    let name = "head_block_time";
    let head_ms = iso_time_ms(field(answer.success()?, &[name])?, name)?;
    Ok(Verdict::of(vec![tolerance.time(head_ms)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::{Value, json};

    use crate::services::blocks::tests::tolerance;
    use crate::services::json_answer::tests::{answer, changed};

    const FIXTURE: &str = include_str!("../../tests/fixtures/antelope/get_info.json");

    fn is_up(blocks: u64, lag_ms: i128) -> bool {
        judge(&answer(changed(FIXTURE, &[])), &tolerance(blocks, lag_ms)).unwrap().is_up()
    }

    #[test]
    fn the_head_block_may_differ_by_half_a_second_for_each_block() {
        for (blocks, limit_ms) in [(10, 5000), (15, 7500), (1, 500), (0, 0)] {
            for sign in [1, -1] {
                assert!(is_up(blocks, sign * limit_ms), "{blocks} {sign}");
                assert!(limit_ms == 0 || is_up(blocks, sign * (limit_ms - 1)), "{blocks} {sign}");
                assert!(!is_up(blocks, sign * (limit_ms + 1)), "{blocks} {sign}");
            }
        }
        assert!(is_up(u64::MAX, 1_000_000_000_000));
    }

    #[test]
    fn an_answer_without_a_time_leads_to_no_verdict() {
        for time in [json!(null), json!(""), json!(0), json!("soon"), json!({}), json!([])] {
            let json = changed(FIXTURE, &[("/head_block_time", time.clone())]);
            assert!(judge(&answer(json), &tolerance(10, 0)).is_err(), "{time}");
        }
        let failed = JsonAnswer { status: 500, ..answer(changed(FIXTURE, &[])) };
        let error = judge(&failed, &tolerance(10, 0)).unwrap_err();
        assert_eq!(error.to_string(), "answered HTTP 500");
        assert!(judge(&answer(Value::Null), &tolerance(10, 0)).is_err());
    }
}
