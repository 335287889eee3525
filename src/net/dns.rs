/*!
Questions to name servers, and their answers; RFC 1035.

Whoever can send packets to this host decides what is in an answer. So it is used only if it repeats the
question, and only as far as its records belong to the question. Reading an answer allocates no memory for
what it announces, only for the addresses that it holds.
*/

use std::net::IpAddr;
use std::str::FromStr;

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::message::RecordSection;
use domain::base::{Message, MessageBuilder, Name, ParsedName, ParsedRecord};
use domain::dep::octseq::Array;
use domain::rdata::{A, Aaaa, Cname};

/// The length of the header; RFC 1035, 4.1.1.
const HEADER: usize = 12;

/// The length of a name (RFC 1035, 3.1), and of the type and class after it.
const LONGEST_NAME: usize = 255;
const TYPE_AND_CLASS: usize = 4;

/// The length of the shortest question and of the shortest record: those of the root, without data.
const SHORTEST_QUESTION: usize = 1 + TYPE_AND_CLASS;
const SHORTEST_RECORD: usize = 11;

/// How many records of an answer are read. It is far more than a host needs. It keeps the time short that an
/// answer can take: 64 KiB hold thousands of records.
const MAX_RECORDS: usize = 256;

/// How many aliases lead from the name to its addresses, at most. Unbound, a name server, follows 11.
const MAX_ALIASES: usize = 16;

/// The kind of address that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// In records of the type `A`.
    V4,
    /// In records of the type `AAAA`; RFC 3596.
    V6,
}

impl Family {
    fn record_type(self) -> Rtype {
        match self {
            Self::V4 => Rtype::A,
            Self::V6 => Rtype::AAAA,
        }
    }

    /// Returns the address in a record of this type. Returns `None` if its data is malformed.
    fn address(self, record: &ParsedRecord<'_, [u8]>) -> Option<IpAddr> {
        match self {
            Self::V4 => Some(record.to_record::<A>().ok()??.data().addr().into()),
            Self::V6 => Some(record.to_record::<Aaaa>().ok()??.data().addr().into()),
        }
    }
}

/// A question for the addresses of a name.
pub struct Query {
    message: Message<Array<{ HEADER + LONGEST_NAME + TYPE_AND_CLASS }>>,
    family: Family,
}

/// The answer to a question.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// The addresses of the name. Empty if the name does not exist or has no address of this family.
    Addresses(Vec<IpAddr>),
    /// The answer did not fit into the packet, and no address is in it.
    Cut,
    /// The server cannot answer, or what it answers is malformed.
    Failure,
}

impl Query {
    /// Returns the question for the addresses of `name`. Returns `None` if no host can have this name.
    pub fn new(name: &str, family: Family) -> Option<Self> {
        let name = Name::<Array<LONGEST_NAME>>::from_str(name).ok()?;
        let mut question = MessageBuilder::from_target(Array::default()).ok()?.question();
        question.header_mut().set_rd(true);
        question.push((name, family.record_type(), Class::IN)).ok()?;
        Some(Self { message: question.into_message(), family })
    }

    /// Sets the identifier, by which an answer to this question is recognised.
    pub fn set_id(&mut self, id: u16) {
        self.message.header_mut().set_id(id);
    }

    /// Returns the packet that asks the question.
    pub fn as_bytes(&self) -> &[u8] {
        self.message.as_slice()
    }

    /// Returns what a packet answers. Returns `None` if it is not an answer to this question: it may be late or
    /// forged, and the right one may still come.
    ///
    /// If an answer is cut but holds addresses, these are used: no host needs all its addresses.
    pub fn read_answer(&self, packet: &[u8]) -> Option<Answer> {
        let message = Message::from_slice(packet).ok()?;
        let header = message.header();
        // Compares the identifier, the response bit, and the number, name, type and class of the questions.
        if !message.is_answer(&self.message) || header.opcode() != Opcode::QUERY {
            return None;
        }
        // A middlebox that cuts an answer may leave the counts as they were.
        if !header.tc() && !has_plausible_counts(message) {
            return None;
        }
        let found = match header.rcode() {
            Rcode::NOERROR => self.addresses(message),
            Rcode::NXDOMAIN => return Some(Answer::Addresses(Vec::new())),
            _ => return Some(Answer::Failure),
        };
        Some(match found {
            Ok(found) if !found.is_empty() || !header.tc() => Answer::Addresses(found),
            _ if header.tc() => Answer::Cut,
            _ => Answer::Failure,
        })
    }

    /// Returns the addresses of the name in the question, or of the name to which its aliases lead. Fails if
    /// a record is malformed and no address was found.
    fn addresses(&self, message: &Message<[u8]>) -> Result<Vec<IpAddr>, Malformed> {
        let records = message.answer().map_err(|_| Malformed)?;
        let mut name = message.sole_question().map_err(|_| Malformed)?.into_qname();
        // The first round is for the name itself. In a loop of aliases, the rounds run out.
        for _ in 0..=MAX_ALIASES {
            match self.look_up(name, records) {
                Found::Addresses(found) => return Ok(found),
                Found::Alias(of) => name = of,
                Found::Nothing => break,
                Found::Malformed => return Err(Malformed),
            }
        }
        Ok(Vec::new())
    }

    /// Returns what the records say about one name. Their order does not matter.
    fn look_up<'a>(
        &self,
        name: ParsedName<&'a [u8]>,
        records: RecordSection<'a, [u8]>,
    ) -> Found<'a> {
        let mut found = Vec::new();
        let mut alias = None;
        let mut is_malformed = false;
        for record in records.take(MAX_RECORDS) {
            let Ok(record) = record else {
                is_malformed = true;
                break;
            };
            if record.class() != Class::IN || record.owner() != name {
                continue;
            }
            if record.rtype() == self.family.record_type() {
                match self.family.address(&record) {
                    Some(address) => found.push(address),
                    None => is_malformed = true,
                }
            } else if record.rtype() == Rtype::CNAME {
                match record.to_record::<Cname<_>>() {
                    Ok(Some(record)) => alias = Some(record.into_data().into_cname()),
                    _ => is_malformed = true,
                }
            }
        }
        match alias {
            _ if !found.is_empty() => Found::Addresses(found),
            Some(name) => Found::Alias(name),
            None if is_malformed => Found::Malformed,
            None => Found::Nothing,
        }
    }
}

/// What an answer says about one name.
enum Found<'a> {
    Addresses(Vec<IpAddr>),
    /// It is an alias of this name.
    Alias(ParsedName<&'a [u8]>),
    Nothing,
    Malformed,
}

/// A record cannot be read.
struct Malformed;

/// Returns whether a packet is long enough for all records that its header announces.
fn has_plausible_counts(message: &Message<[u8]>) -> bool {
    let counts = message.header_counts();
    let records = [counts.ancount(), counts.nscount(), counts.arcount()].map(usize::from);
    let shortest = HEADER + SHORTEST_QUESTION + records.iter().sum::<usize>() * SHORTEST_RECORD;
    shortest <= message.as_slice().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::Ipv4Addr;
    use std::slice::from_ref;

    const A: u16 = 1;
    const CNAME: u16 = 5;
    const IN: u16 = 1;

    /// The flags of an answer (RFC 1035, 4.1.1), of one that is cut, and of one whose name does not exist.
    const ANSWER: u16 = 0x8180;
    const CUT: u16 = 0x8380;
    const NO_SUCH_NAME: u16 = 0x8183;

    fn query(family: Family) -> Query {
        let mut query = Query::new("wcs.lan", family).unwrap();
        query.set_id(7);
        query
    }

    /// Returns a name as packets hold it.
    fn name(name: &str) -> Vec<u8> {
        let labels = name.split('.').filter(|label| !label.is_empty());
        let mut bytes: Vec<u8> =
            labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
        bytes.push(0);
        bytes
    }

    fn record(owner: &str, kind: u16, class: u16, data: &[u8]) -> Vec<u8> {
        let head = [kind, class, 0, 60, data.len() as u16].map(u16::to_be_bytes).concat();
        [&name(owner), &head, data].concat()
    }

    fn alias(owner: &str, of: &str) -> Vec<u8> {
        record(owner, CNAME, IN, &name(of))
    }

    fn address(owner: &str, last: u8) -> Vec<u8> {
        record(owner, A, IN, &[10, 0, 0, last])
    }

    /// Returns an answer to the question for IPv4 addresses.
    fn answer(flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
        let counts = [7, flags, 1, records.len() as u16, 0, 0].map(u16::to_be_bytes).concat();
        let question = [name("wcs.lan"), vec![0, 1, 0, 1]].concat();
        [counts, question, records.concat()].concat()
    }

    fn read(flags: u16, records: &[Vec<u8>]) -> Answer {
        query(Family::V4).read_answer(&answer(flags, records)).expect("it is the answer")
    }

    fn found(last: &[u8]) -> Answer {
        Answer::Addresses(last.iter().map(|&last| Ipv4Addr::new(10, 0, 0, last).into()).collect())
    }

    #[test]
    fn a_question_asks_for_one_name() {
        let expected =
            [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], &name("wcs.lan")[..], &[0, 28, 0, 1]];
        assert_eq!(query(Family::V6).as_bytes(), expected.concat());
        let long = "a.".repeat(126) + "a";
        assert_eq!(long.len() + 2, LONGEST_NAME);
        let sixty_four = "a".repeat(64);
        assert!(Query::new(&long, Family::V4).is_some());
        for name in ["", "a..b", &sixty_four, &(long + ".b")] {
            assert!(Query::new(name, Family::V4).is_none(), "{name}");
        }
    }

    #[test]
    fn only_the_answer_to_the_question_is_read() {
        let right = answer(ANSWER, &[address("WCS.lan", 1)]);
        let read = |packet: &[u8]| query(Family::V4).read_answer(packet);
        assert_eq!(read(&right), Some(found(&[1])));
        for (place, byte, what) in [
            (1, 8, "another identifier"),
            (2, 0x01, "a question"),
            (2, 0x89, "another opcode"),
            (5, 0, "no question"),
            (5, 2, "two questions"),
            (6, 1, "more records than fit"),
            (9, 2, "more authorities than fit"),
            (11, 2, "more additional records than fit"),
            (13, b'v', "another name"),
            (22, 28, "another type"),
            (24, 3, "another class"),
        ] {
            let mut wrong = right.clone();
            assert_ne!(wrong[place], byte);
            wrong[place] = byte;
            assert_eq!(read(&wrong), None, "{what}");
        }
        for length in 0..25 {
            assert_eq!(read(&right[..length]), None, "{length} bytes");
        }
        assert_eq!(query(Family::V6).read_answer(&right), None);
    }

    #[test]
    fn aliases_are_followed_in_any_order_of_the_records() {
        let chain = [alias("wcs.lan", "A.lan"), alias("a.lan", "b.lan"), address("b.LAN", 1)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            assert_eq!(read(ANSWER, &order.map(|place| chain[place].clone())), found(&[1]));
        }
        let chain = |length: usize| -> Vec<_> {
            let next = |n: usize| if n == 0 { "wcs.lan".to_owned() } else { format!("a{n}.lan") };
            let aliases = (0..length).map(|n| alias(&next(n), &next(n + 1)));
            aliases.chain([address(&next(length), 1)]).collect()
        };
        assert_eq!(read(ANSWER, &chain(MAX_ALIASES)), found(&[1]));
        assert_eq!(read(ANSWER, &chain(MAX_ALIASES + 1)), found(&[]));
    }

    #[test]
    fn a_loop_of_aliases_has_no_address() {
        let two = [alias("wcs.lan", "a.lan"), alias("a.lan", "wcs.lan"), address("b.lan", 1)];
        assert_eq!(read(ANSWER, &two), found(&[]));
        assert_eq!(read(ANSWER, &[alias("wcs.lan", "wcs.lan")]), found(&[]));
    }

    #[test]
    fn records_of_other_owners_types_and_classes_are_not_used() {
        let records = [
            address("wcs2.lan", 1),
            address("lan", 2),
            record("wcs.lan", 28, IN, &[0; 16]),
            record("wcs.lan", A, 3, &[10, 0, 0, 3]),
            record("wcs.lan", CNAME, 3, &name("wcs2.lan")),
            address("wcs.lan", 4),
            address("wcs.lan", 5),
        ];
        assert_eq!(read(ANSWER, &records), found(&[4, 5]));
        assert_eq!(read(ANSWER, &records[..5]), found(&[]));
        let mut elsewhere = answer(ANSWER, &[address("wcs.lan", 1)]);
        elsewhere.swap(7, 9);
        assert_eq!(query(Family::V4).read_answer(&elsewhere), Some(found(&[])), "authority");
        elsewhere.swap(9, 11);
        assert_eq!(query(Family::V4).read_answer(&elsewhere), Some(found(&[])), "additional");
    }

    #[test]
    fn only_so_many_records_are_read() {
        let mut records = vec![address("wcs2.lan", 1); MAX_RECORDS - 1];
        records.extend([2, 3].map(|last| address("wcs.lan", last)));
        assert_eq!(read(ANSWER, &records), found(&[2]));
    }

    #[test]
    fn a_cut_answer_is_used_only_if_it_holds_an_address() {
        assert_eq!(read(CUT, &[address("wcs.lan", 1)]), found(&[1]));
        assert_eq!(read(CUT, &[]), Answer::Cut);
        assert_eq!(read(CUT, &[alias("wcs.lan", "a.lan")]), Answer::Cut);
        let whole = answer(CUT, &[alias("wcs.lan", "a.lan"), address("a.lan", 1)]);
        // The counts are those of the whole answer.
        for length in 25..whole.len() {
            assert_eq!(query(Family::V4).read_answer(&whole[..length]), Some(Answer::Cut));
        }
    }

    #[test]
    fn a_name_without_addresses_is_not_a_failure() {
        assert_eq!(read(ANSWER, &[]), found(&[]));
        assert_eq!(read(NO_SUCH_NAME, &[]), found(&[]));
        assert_eq!(read(NO_SUCH_NAME, &[address("wcs.lan", 1)]), found(&[]));
        for code in [1, 2, 4, 5, 15] {
            assert_eq!(read(ANSWER | code, &[address("wcs.lan", 1)]), Answer::Failure, "{code}");
        }
    }

    #[test]
    fn a_malformed_record_is_a_failure_unless_there_are_addresses() {
        let short = record("wcs.lan", A, IN, &[10, 0, 0]);
        assert_eq!(read(ANSWER, from_ref(&short)), Answer::Failure);
        assert_eq!(read(ANSWER, &[short, address("wcs.lan", 1)]), found(&[1]));
        assert_eq!(read(ANSWER, &[record("wcs.lan", CNAME, IN, &[63])]), Answer::Failure);
        // An owner that refers to itself, and one beyond the packet.
        for place in [25, 250] {
            let owner = [vec![0xc0, place], record("", A, IN, &[10, 0, 0, 1])[1..].to_vec()];
            assert_eq!(read(ANSWER, &[owner.concat()]), Answer::Failure, "{place}");
        }
    }
}
