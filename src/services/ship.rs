/*!
`ship`: judges state history (SHIP) by its logs and its head block. The protocol is that of nodeos's
`state_history_plugin`, over a WebSocket.

The head block contains its time. So its age is known without another node.

The server's first message is its ABI, as text. Later messages are binary. They begin with a number
(varuint32) that says what they are. Then come the fields. Integers are little-endian.
*/

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tungstenite::{Bytes, Message};

use crate::net::error::AskError;
use crate::net::target::Target;
use crate::net::url::Protocol;
use crate::net::websocket::WebSocket;
use crate::process::wait::Wait;
use crate::services::blocks::{Blocks, Tolerance};
use crate::services::service::{Check, Service, is_same, write_fields};
use crate::verdict::Verdict;
use crate::verdict::fault::Fault;

pub const SERVICE: Service = Service {
    name: "ship",
    fields: &["URL", "BLOCKS"],
    allows_url_first: false,
    parse: |fields| {
        let (url, blocks) = (fields.url(Protocol::WebSocket)?, fields.parse()?);
        Ok(Arc::new(StateHistory { target: url.into(), blocks }))
    },
};

#[derive(Debug, PartialEq)]
struct StateHistory {
    target: Target,
    blocks: Blocks,
}

impl Check for StateHistory {
    fn target(&self) -> &Target {
        &self.target
    }

    fn ask(&self, wait: &Wait) -> Result<Verdict, Fault> {
        let mut socket = WebSocket::open(&self.target, wait)?;
        Ok(judge(|request| exchange(&mut socket, request), || self.blocks.around_now())?)
    }

    fn equals(&self, other: &dyn Check) -> bool {
        is_same(self, other)
    }
}

impl fmt::Display for StateHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_fields(f, &[self.target.url.uri(), &self.blocks])
    }
}

/// Why a state history cannot be judged.
#[derive(Debug, PartialEq)]
pub enum ShipError {
    Ask(AskError),
    /// The message is not a result of this kind.
    NotA(&'static str),
    NoHead,
    /// The answer does not hold this block.
    NoBlock(u32),
    Incomplete,
    LongNumber,
}

impl Error for ShipError {}

impl fmt::Display for ShipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(error) => error.fmt(f),
            Self::NotA(result) => write!(f, "sent something else than a {result}"),
            Self::NoHead => f.write_str("reports no head block"),
            Self::NoBlock(block) => write!(f, "sent no block {block}, its head"),
            Self::Incomplete => f.write_str("sent a message that ends early"),
            Self::LongNumber => f.write_str("sent a number of more than 32 bits"),
        }
    }
}

impl From<AskError> for ShipError {
    fn from(error: AskError) -> Self {
        Self::Ask(error)
    }
}

/// Asks for the status and the head block, and judges them. `tolerance` reads the clock. It is called after
/// both requests, so the time that they take counts as lag.
pub fn judge(
    mut ask: impl FnMut(Vec<u8>) -> Result<Bytes, ShipError>,
    tolerance: impl FnOnce() -> Tolerance,
) -> Result<Verdict, ShipError> {
    let status = ask(vec![GET_STATUS_REQUEST_V0])?;
    let status = Status::parse(&status)?;
    let faults = status.faults();
    if !faults.is_empty() {
        return Ok(Verdict::broken(faults.into_iter().map(Into::into).collect()));
    }
    let block = ask(get_block_request(status.head))?;
    let head_ms = block_time_ms(&block, status.head)?;
    Ok(Verdict::of(vec![tolerance().time(head_ms)]))
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

/// The length of one slot of a `block_timestamp_type`, in milliseconds.
const SLOT_MS: i128 = 500;

/// Sends a request and returns the next binary message. Skips the ABI, which is text.
fn exchange(socket: &mut WebSocket, request: Vec<u8>) -> Result<Bytes, ShipError> {
    socket.send(request)?;
    loop {
        if let Message::Binary(answer) = socket.receive()? {
            return Ok(answer);
        }
    }
}

/// What a state history reports about itself; `get_status_result_v0`.
#[derive(Debug, PartialEq)]
struct Status {
    head: u32,
    /// The number after the last block in the log of traces. 0 if the node does not keep this log.
    trace_end: u32,
    /// The number after the last block in the log of the chain state. 0 if the node does not keep this log.
    chain_state_end: u32,
}

impl Status {
    /// Fails if the message is not a status, or reports no head block.
    fn parse(message: &[u8]) -> Result<Self, ShipError> {
        let mut decoder = Decoder(message);
        if decoder.varuint32()? != GET_STATUS_RESULT_V0 {
            return Err(ShipError::NotA("status"));
        }
        let head = decoder.block_position()?;
        let _last_irreversible = decoder.block_position()?;
        let [_trace_begin, trace_end] = [decoder.u32()?, decoder.u32()?];
        let [_chain_state_begin, chain_state_end] = [decoder.u32()?, decoder.u32()?];
        match head {
            0 => Err(ShipError::NoHead),
            head => Ok(Self { head, trace_end, chain_state_end }),
        }
    }

    /// Returns the logs that do not end at the head block. A node that keeps no log at all is a fault too.
    fn faults(&self) -> Vec<LogFault> {
        let logs = [("traces", self.trace_end), ("chain state", self.chain_state_end)];
        let kept: Vec<_> = logs.into_iter().filter(|(_, end)| *end != 0).collect();
        if kept.is_empty() {
            return vec![LogFault::NoLog];
        }
        let head = self.head;
        let last_blocks = kept.into_iter().map(|(log, end)| (log, end - 1));
        last_blocks
            .filter(|(_, last)| *last != head)
            .map(|(log, last)| LogFault::WrongEnd { log, last, head })
            .collect()
    }
}

/// What is wrong with the logs of a state history.
#[derive(Debug)]
enum LogFault {
    NoLog,
    WrongEnd { log: &'static str, last: u32, head: u32 },
}

impl Error for LogFault {}

impl fmt::Display for LogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLog => f.write_str("keeps neither traces nor chain state"),
            Self::WrongEnd { log, last, head } => {
                write!(f, "{log} to block {last}, head is {head}")
            }
        }
    }
}

/// A `get_blocks_request_v0` for one block, without its traces and deltas.
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

/// The time of `block` in a `get_blocks_result_v0`, in milliseconds since 1970. Fails if the result does
/// not hold that block.
fn block_time_ms(message: &[u8], block: u32) -> Result<i128, ShipError> {
    let mut decoder = Decoder(message);
    if decoder.varuint32()? != GET_BLOCKS_RESULT_V0 {
        return Err(ShipError::NotA("block"));
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
        _ => Err(ShipError::NoBlock(block)),
    }
}

/// Reads the fields of a message one after the other.
struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ShipError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(ShipError::Incomplete)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, ShipError> {
        self.array().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, ShipError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Reads seven bits from each byte, the lowest first.
    fn varuint32(&mut self) -> Result<u32, ShipError> {
        let mut value = 0;
        for shift in (0..32).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| ShipError::LongNumber);
            }
        }
        Err(ShipError::LongNumber)
    }

    /// Reads a block's number and skips its identifier.
    fn block_position(&mut self) -> Result<u32, ShipError> {
        let block = self.u32()?;
        let _identifier: [u8; ID_SIZE] = self.array()?;
        Ok(block)
    }

    fn bytes(&mut self) -> Result<&'a [u8], ShipError> {
        let size = self.varuint32()? as usize;
        let (taken, rest) = self.0.split_at_checked(size).ok_or(ShipError::Incomplete)?;
        self.0 = rest;
        Ok(taken)
    }

    fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, ShipError>,
    ) -> Result<Option<T>, ShipError> {
        match self.u8()? {
            0 => Ok(None),
            _ => read(self).map(Some),
        }
    }
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
    fn every_kept_log_must_end_at_the_head() {
        let faults = |ends| {
            let faults = Status::parse(&status(100, ends)).unwrap().faults();
            faults.iter().map(LogFault::to_string).collect::<Vec<_>>()
        };
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
    fn a_status_needs_a_head_but_no_chain_id() {
        let whole = status(100, [101, 101]);
        let old = &whole[..whole.len() - 32];
        assert_eq!(Status::parse(old), Status::parse(&whole));
        for length in 0..old.len() {
            assert!(Status::parse(&old[..length]).is_err(), "{length}");
        }
        assert!(Status::parse(&block(100, 5)).is_err());
        let without_head = [vec![0], vec![0; 88]].concat();
        assert_eq!(Status::parse(&without_head), Err(ShipError::NoHead));
    }

    #[test]
    fn a_block_time_counts_half_seconds_since_2000() {
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
        assert_eq!(block_time_ms(&none, 100), Err(ShipError::NoBlock(100)));
    }

    #[test]
    fn a_request_names_one_block() {
        let request = [1, 100, 0, 0, 0, 101, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0];
        assert_eq!(get_block_request(100), request);
    }

    #[test]
    fn a_number_has_at_most_32_bits() {
        let largest = [0xff, 0xff, 0xff, 0xff, 0x0f];
        for (bytes, number) in [(&[0x05][..], 5), (&[0x80, 0x01], 128), (&largest, u32::MAX)] {
            assert_eq!(Decoder(bytes).varuint32(), Ok(number));
        }
        for bytes in [&[0xff; 9][..], &[0x80, 0x80, 0x80, 0x80, 0x70], &[0xff; 4], &[]] {
            assert!(Decoder(bytes).varuint32().is_err(), "{bytes:?}");
        }
    }
}
