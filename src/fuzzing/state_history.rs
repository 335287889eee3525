//! Messages of a state history.

use std::cell::Cell;

use tungstenite::Bytes;

use crate::fuzzing::choices::Choices;
use crate::fuzzing::services::{HEAD_MS, check_reply, is_up};
use crate::services::blocks::Tolerance;
use crate::services::ship;

/// The bytes are a lag, BLOCKS, the length of a status message, that message, and a block message. A state
/// history is `up` exactly if the fields at their offsets are good.
pub fn state_history(data: &[u8]) {
    let mut choices = Choices(data);
    let lag_ms = i128::from(i32::from_le_bytes(choices.array()));
    let blocks = u64::from(u16::from_le_bytes(choices.array()));
    let length = u16::from_le_bytes(choices.array());
    let status = choices.taken(usize::from(length));
    let block = choices.0;

    let head_ms = head_block_ms(status, block);
    let now_ms = head_ms.unwrap_or(HEAD_MS) + lag_ms;
    let asked = Cell::new(0);
    let answer = |request: Vec<u8>| {
        let answer = if request[0] == 0 { status } else { block };
        asked.set(asked.get() + 1);
        Ok(Bytes::copy_from_slice(answer))
    };
    let verdict = ship::judge(answer, || Tolerance { blocks, now_ms });
    let is_near = lag_ms.abs() <= i128::from(blocks) * 500;
    assert_eq!(is_up(&verdict), head_ms.is_some() && is_near, "{verdict:?}");
    assert!(asked.get() <= 2);
    check_reply(verdict);
}

/// The head block's time if the logs of a `get_status_result_v0` end at it, and a
/// `get_blocks_result_v0` holds it.
fn head_block_ms(status: &[u8], block: &[u8]) -> Option<i128> {
    const POSITION: usize = 36;
    let u32_at =
        |bytes: &[u8], at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (variant, start) = varuint(status)?;
    let ends = start + 2 * POSITION;
    let head = u32_at(status, start)?;
    let [trace_end, state_end] = [u32_at(status, ends + 4)?, u32_at(status, ends + 12)?];
    let is_whole = |end: u32| end == 0 || end.checked_sub(1) == Some(head);
    let is_kept = trace_end != 0 || state_end != 0;
    if variant != 0 || head == 0 || !is_kept || !is_whole(trace_end) || !is_whole(state_end) {
        return None;
    }

    let (variant, start) = varuint(block)?;
    let this = start + 2 * POSITION;
    // Without this_block, the block's number is unknown.
    let has_this = *block.get(this)? != 0;
    let previous = if has_this { this + 1 + POSITION } else { this + 1 };
    let has_previous = *block.get(previous)? != 0;
    let has_block = if has_previous { previous + 1 + POSITION } else { previous + 1 };
    if variant != 1 || !has_this || u32_at(block, this + 1)? != head || *block.get(has_block)? == 0
    {
        return None;
    }
    let (length, width) = varuint(block.get(has_block + 1..)?)?;
    let bytes = block.get(has_block + 1 + width..)?.get(..usize::try_from(length).ok()?)?;
    Some(946_684_800_000 + i128::from(u32_at(bytes, 0)?) * 500)
}

/// A number in at most five bytes of seven bits, and how many bytes it has. `None` if it exceeds `u32`.
fn varuint(bytes: &[u8]) -> Option<(u64, usize)> {
    let width = bytes.iter().take(5).position(|byte| *byte < 0x80)? + 1;
    let number =
        bytes[..width].iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f));
    u32::try_from(number).ok().map(|_| (number, width))
}
