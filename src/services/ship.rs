/*!
State history (SHIP): its logs against the head block, and the head block's own timestamp, which tells
the lag without another node; `state_history_plugin`'s protocol over a WebSocket.

The server's first message is its ABI, as text. Everything behind it is binary, in the ABI's terms: a
variant's index as varuint32, then the fields in order, integers little-endian.
*/

use tungstenite::{Bytes, Message};

use super::{Api, Field, Limit};
use crate::net::error::AskError;
use crate::net::url::Protocol;
use crate::net::websocket::WebSocket;
use crate::verdict::Verdict;

pub const API: Api = Api {
    name: "ship",
    protocol: Protocol::WebSocket,
    fields: &[Field::Blocks],
    ask: |service| {
        let mut socket = service.open_websocket()?;
        judge(|request| ask(&mut socket, request), || service.limit())
    },
};

/// Asks for the status and the head block with `ask`, and judges them; the limit is asked for behind
/// both.
pub fn judge(
    mut ask: impl FnMut(Vec<u8>) -> Result<Bytes, String>,
    limit: impl FnOnce() -> Limit,
) -> Result<Verdict, String> {
    let status = ask(vec![GET_STATUS_REQUEST_V0])?;
    let status = Status::parse(&status)?;
    let faults = status.faults();
    if !faults.is_empty() {
        return Ok(Verdict::broken(faults));
    }
    let block = ask(get_block_request(status.head))?;
    let head_ms = block_time_ms(&block, status.head)?;
    Ok(Verdict::of(vec![limit().time(head_ms)]))
}

const GET_STATUS_REQUEST_V0: u8 = 0;
const GET_BLOCKS_REQUEST_V0: u8 = 1;

const GET_STATUS_RESULT_V0: u32 = 0;
const GET_BLOCKS_RESULT_V0: u32 = 1;

/// The size of a block's identifier, in bytes.
const ID_SIZE: usize = 32;

/// 2000-01-01T00:00:00Z in milliseconds since 1970: Antelope's `block_timestamp_type` counts its slots
/// from there.
const BLOCK_TIMESTAMP_EPOCH_MS: i128 = 946_684_800_000;

/// How long one slot of a `block_timestamp_type` is.
const SLOT_MS: i128 = 500;

/// Sends a request and returns the next binary message. Text is the ABI, which is not needed.
fn ask(socket: &mut WebSocket, request: Vec<u8>) -> Result<Bytes, String> {
    let answer = || -> Result<Bytes, AskError> {
        socket.send(request)?;
        loop {
            if let Message::Binary(answer) = socket.receive()? {
                return Ok(answer);
            }
        }
    };
    answer().map_err(|error| error.to_string())
}

/// What a state history says of itself; `get_status_result_v0`.
#[derive(Debug, PartialEq)]
struct Status {
    head: u32,
    /// One past the last block of each log; 0 if the node does not keep it.
    trace_end: u32,
    chain_state_end: u32,
}

impl Status {
    /// Fails with a sentence on what is no status, or one without a head block.
    fn parse(message: &[u8]) -> Result<Self, String> {
        let mut decoder = Decoder(message);
        if decoder.varuint32()? != GET_STATUS_RESULT_V0 {
            return Err("sent something else than a status".to_owned());
        }
        let head = decoder.block_position()?;
        let _last_irreversible = decoder.block_position()?;
        let [_trace_begin, trace_end] = [decoder.u32()?, decoder.u32()?];
        let [_chain_state_begin, chain_state_end] = [decoder.u32()?, decoder.u32()?];
        match head {
            0 => Err("reports no head block".to_owned()),
            head => Ok(Self { head, trace_end, chain_state_end }),
        }
    }

    /// Sentences on logs that do not end at the head block, or on there being none.
    fn faults(&self) -> Vec<String> {
        let logs = [("traces", self.trace_end), ("chain state", self.chain_state_end)];
        let kept: Vec<_> = logs.into_iter().filter(|(_, end)| *end != 0).collect();
        if kept.is_empty() {
            return vec!["keeps neither traces nor chain state".to_owned()];
        }
        let (head, last) = (self.head, |end: u32| end - 1);
        kept.into_iter()
            .filter(|(_, end)| last(*end) != head)
            .map(|(log, end)| format!("{log} to block {}, head is {head}", last(end)))
            .collect()
    }
}

/// `get_blocks_request_v0` for one block alone, without its traces and deltas.
fn get_block_request(block: u32) -> Vec<u8> {
    let max_messages_in_flight = 1;
    let mut request = vec![GET_BLOCKS_REQUEST_V0];
    for field in [block, block.saturating_add(1), max_messages_in_flight] {
        request.extend(field.to_le_bytes());
    }
    let have_positions = 0;
    let [irreversible_only, fetch_block, fetch_traces, fetch_deltas] = [0, 1, 0, 0];
    request.extend([have_positions, irreversible_only, fetch_block, fetch_traces, fetch_deltas]);
    request
}

/// When `block` was made, in milliseconds since 1970, from a `get_blocks_result_v0`. Fails with a
/// sentence if that holds another block, or none.
fn block_time_ms(message: &[u8], block: u32) -> Result<i128, String> {
    let mut decoder = Decoder(message);
    if decoder.varuint32()? != GET_BLOCKS_RESULT_V0 {
        return Err("sent something else than a block".to_owned());
    }
    let _head = decoder.block_position()?;
    let _last_irreversible = decoder.block_position()?;
    let this_block = decoder.optional(Decoder::block_position)?;
    let _prev_block = decoder.optional(Decoder::block_position)?;
    match decoder.optional(Decoder::bytes)? {
        Some(bytes) if this_block == Some(block) => {
            // A signed_block begins with its timestamp.
            let slot = Decoder(bytes).u32()?;
            Ok(BLOCK_TIMESTAMP_EPOCH_MS + i128::from(slot) * SLOT_MS)
        }
        _ => Err(format!("sent no block {block}, its head")),
    }
}

/// Reads a message from its front.
struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(ends_early)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, String> {
        self.array().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    /// Seven bits a byte, the lowest first.
    fn varuint32(&mut self) -> Result<u32, String> {
        let mut value = 0;
        for shift in (0..32).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| too_long());
            }
        }
        Err(too_long())
    }

    /// A block's number; its identifier is passed over.
    fn block_position(&mut self) -> Result<u32, String> {
        let block = self.u32()?;
        let _identifier: [u8; ID_SIZE] = self.array()?;
        Ok(block)
    }

    fn bytes(&mut self) -> Result<&'a [u8], String> {
        let size = self.varuint32()? as usize;
        let (taken, rest) = self.0.split_at_checked(size).ok_or_else(ends_early)?;
        self.0 = rest;
        Ok(taken)
    }

    fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        match self.u8()? {
            0 => Ok(None),
            _ => read(self).map(Some),
        }
    }
}

fn too_long() -> String {
    "sent a number of more than 32 bits".to_owned()
}

fn ends_early() -> String {
    "sent a message that ends early".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(block: u32) -> Vec<u8> {
        [&block.to_le_bytes()[..], &[7; ID_SIZE]].concat()
    }

    fn status(head: u32, ends: [u32; 2]) -> Vec<u8> {
        let logs = ends.map(|end| [2_u32.to_le_bytes(), end.to_le_bytes()].concat());
        [vec![0], position(head), position(head - 1), logs.concat(), vec![9; 32]].concat()
    }

    fn block(number: u32, slot: u32) -> Vec<u8> {
        let block = [&slot.to_le_bytes()[..], &[1; 300]].concat();
        let this = [vec![1], position(number)].concat();
        let length = vec![1, 0xb0, 0x02];
        [vec![1], position(9), position(8), this.clone(), this, length, block, vec![0, 0]].concat()
    }

    #[test]
    fn each_log_that_is_kept_has_to_end_at_the_head() {
        let faults = |ends| Status::parse(&status(100, ends)).unwrap().faults();
        for ends in [[101, 101], [101, 0], [0, 101]] {
            assert_eq!(faults(ends), Vec::<String>::new(), "{ends:?}");
        }
        assert_eq!(faults([0, 0]), ["keeps neither traces nor chain state"]);
        assert_eq!(faults([100, 101]), ["traces to block 99, head is 100"]);
        assert_eq!(faults([101, 102]), ["chain state to block 101, head is 100"]);
        assert_eq!(faults([0, 1]), ["chain state to block 0, head is 100"]);
        assert_eq!(faults([u32::MAX, 1]).len(), 2);
        let last = Status { head: u32::MAX, trace_end: u32::MAX, chain_state_end: 0 };
        assert_eq!(last.faults().len(), 1);
    }

    #[test]
    fn a_status_needs_no_chain_id_and_a_head() {
        let whole = status(100, [101, 101]);
        let old = &whole[..whole.len() - 32];
        assert_eq!(Status::parse(old), Status::parse(&whole));
        for length in 0..old.len() {
            assert!(Status::parse(&old[..length]).is_err(), "{length}");
        }
        assert!(Status::parse(&block(100, 5)).is_err());
        let headless = [vec![0], vec![0; 88]].concat();
        assert_eq!(Status::parse(&headless), Err("reports no head block".to_owned()));
    }

    #[test]
    fn a_blocks_time_counts_half_seconds_since_2000() {
        assert_eq!(block_time_ms(&block(100, 0), 100), Ok(946_684_800_000));
        // 2022-08-17T14:16:36.5Z
        let slot = (1_660_745_796 - 946_684_800) * 2 + 1;
        assert_eq!(block_time_ms(&block(100, slot), 100), Ok(1_660_745_796_500));
        assert!(block_time_ms(&block(101, slot), 100).is_err());
        assert!(block_time_ms(&status(100, [101, 101]), 100).is_err());
        let whole = block(100, slot);
        for length in 0..whole.len() - 2 {
            assert!(block_time_ms(&whole[..length], 100).is_err(), "{length}");
        }
        let none = [vec![1], position(100), position(99), vec![0; 5]].concat();
        assert_eq!(block_time_ms(&none, 100), Err("sent no block 100, its head".to_owned()));
    }

    #[test]
    fn one_block_is_requested() {
        let request = [1, 100, 0, 0, 0, 101, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0];
        assert_eq!(get_block_request(100), request);
    }

    #[test]
    fn a_number_has_an_end_within_32_bits() {
        let largest = [0xff, 0xff, 0xff, 0xff, 0x0f];
        for (bytes, number) in [(&[0x05][..], 5), (&[0x80, 0x01], 128), (&largest, u32::MAX)] {
            assert_eq!(Decoder(bytes).varuint32(), Ok(number));
        }
        for bytes in [&[0xff; 9][..], &[0x80, 0x80, 0x80, 0x80, 0x70], &[0xff; 4], &[]] {
            assert!(Decoder(bytes).varuint32().is_err(), "{bytes:?}");
        }
    }
}
