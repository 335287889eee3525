//! nodeos: the head block's time; the chain API plugin's `get_info`.

use super::{Answer, Api, BLOCKS_AND_HOST, Limit, field, iso_time_ms};
use crate::net::url::Protocol;
use crate::verdict::Verdict;

pub const API: Api = Api {
    name: "v1",
    protocol: Protocol::Http,
    fields: BLOCKS_AND_HOST,
    ask: |service| judge(&service.get_json("/v1/chain/get_info")?, &service.limit()),
};

pub fn judge(answer: &Answer, limit: &Limit) -> Result<Verdict, String> {
    let name = "head_block_time";
    let head_ms = iso_time_ms(field(answer.success()?, &[name])?, name)?;
    Ok(Verdict::of(vec![limit.time(head_ms)]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, changed, limit};
    use super::*;

    use serde_json::{Value, json};

    const FIXTURE: &str = include_str!("../../tests/fixtures/antelope/get_info.json");

    fn is_up(blocks: u64, lag_ms: i128) -> bool {
        judge(&answer(changed(FIXTURE, &[])), &limit(blocks, lag_ms)).unwrap().is_up()
    }

    #[test]
    fn the_head_block_is_within_half_a_second_a_block() {
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
    fn without_a_time_there_is_no_verdict() {
        for time in [json!(null), json!(""), json!(0), json!("soon"), json!({}), json!([])] {
            let json = changed(FIXTURE, &[("/head_block_time", time.clone())]);
            assert!(judge(&answer(json), &limit(10, 0)).is_err(), "{time}");
        }
        let failed = Answer { status: 500, ..answer(changed(FIXTURE, &[])) };
        assert_eq!(judge(&failed, &limit(10, 0)), Err("answered HTTP 500".to_owned()));
        assert!(judge(&answer(Value::Null), &limit(10, 0)).is_err());
    }
}
