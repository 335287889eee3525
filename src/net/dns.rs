/*!
One question to one name server over UDP; RFC 1035.
*/

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, TYPE};

use crate::process::wait::Wait;

/// How often a name server is asked, since packets get lost.
const ATTEMPTS: u32 = 2;

/// Room for an answer, in bytes. RFC 1035, 4.2.1, allows 512 over UDP; some servers send more.
const PACKET_SIZE: usize = 4096;

/// Asks the name server `server` for the addresses of `name` in records of the type `record`, `A` or
/// `AAAA`. Returns no addresses if the name does not exist or has no such record.
///
/// Fails if the server does not answer within `share`, if it cannot answer, and if the wait ends.
pub fn query(
    name: &str,
    record: TYPE,
    server: SocketAddr,
    share: Duration,
    wait: &Wait,
) -> io::Result<Vec<IpAddr>> {
    let any_address: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any_address, 0))?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    // The identifier has to be hard to guess for an attacker who forges answers. The keys of the
    // standard library's hash come from the kernel's random numbers.
    let id = RandomState::new().hash_one(name) as u16;
    let packet = question(id, name, record)?;

    let mut buffer = [0; PACKET_SIZE];
    for _ in 0..ATTEMPTS {
        let until = Instant::now() + share / ATTEMPTS;
        retry(|| socket.send(&packet))?;
        while is_ready(wait.until_ready(socket.as_fd(), PollFlags::IN, until))? {
            let length = match retry(|| socket.recv(&mut buffer)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                length => length?,
            };
            let answer = buffer.get(..length).unwrap_or_default();
            if let Some(found) = read_answer(answer, id, name, record) {
                return found;
            }
        }
    }
    Err(ErrorKind::TimedOut.into())
}

/// Returns the packet that asks for records of the type `record`. Fails if `name` is not a valid name.
fn question(id: u16, name: &str, record: TYPE) -> io::Result<Vec<u8>> {
    let invalid = |_| io::Error::from(ErrorKind::InvalidInput);
    let name = Name::new(name).map_err(invalid)?;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(name, record.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().map_err(invalid)
}

/// Calls `io` again as long as a signal interrupts it.
fn retry(mut io: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match io() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Returns whether a wait ended with readiness, and not because its time was up. Fails if it ended for
/// another reason.
fn is_ready(wait: io::Result<()>) -> io::Result<bool> {
    match wait {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::TimedOut => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the addresses in a packet that answers the question with this identifier, name and record
/// type. Returns `None` if the packet answers another question. Fails if the server could not answer.
///
/// From a truncated answer, the addresses that fitted are used: no host needs all its addresses. The
/// owners of records are not compared, because the records of a chain of CNAMEs have different owners.
pub fn read_answer(
    packet: &[u8],
    id: u16,
    name: &str,
    record: TYPE,
) -> Option<io::Result<Vec<IpAddr>>> {
    let packet = Packet::parse(packet).ok()?;
    let is_asked = |question: &Question| {
        question.qname.to_string().eq_ignore_ascii_case(name)
            && question.qtype == QTYPE::TYPE(record)
    };
    if packet.id() != id
        || !packet.has_flags(PacketFlag::RESPONSE)
        || !packet.questions.iter().all(is_asked)
    {
        return None;
    }
    let addresses = packet.answers.iter().filter_map(|answer| match &answer.rdata {
        RData::A(a) => Some(Ipv4Addr::from(a.address).into()),
        RData::AAAA(aaaa) => Some(Ipv6Addr::from(aaaa.address).into()),
        _ => None,
    });
    let addresses: Vec<IpAddr> = addresses.collect();
    let is_truncated = packet.has_flags(PacketFlag::TRUNCATION) && addresses.is_empty();
    Some(match packet.rcode() {
        RCODE::NoError if !is_truncated => Ok(addresses),
        RCODE::NameError => Ok(Vec::new()),
        _ => Err(ErrorKind::InvalidData.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, AAAA, CNAME};

    #[test]
    fn an_answer_may_hold_addresses_of_both_families_and_aliases() {
        let [name, alias] = ["wcs.lan", "alias.lan"].map(Name::new_unchecked);
        let mut packet = Packet::new_reply(7);
        packet.questions.push(Question::new(
            name.clone(),
            TYPE::AAAA.into(),
            CLASS::IN.into(),
            false,
        ));
        let [v4, v6] = [Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::LOCALHOST];
        let v6 = v6.to_ipv6_mapped();
        packet.answers = [
            RData::CNAME(CNAME(alias)),
            RData::AAAA(AAAA { address: v6.into() }),
            RData::A(A { address: v4.into() }),
        ]
        .map(|data| ResourceRecord::new(name.clone(), CLASS::IN, 60, data))
        .into();
        let packet = packet.build_bytes_vec().unwrap();
        let found = read_answer(&packet, 7, "wcs.lan", TYPE::AAAA).unwrap().unwrap();
        assert_eq!(found, [IpAddr::from(v6), IpAddr::from(v4)]);
    }

    #[test]
    fn only_the_answer_to_the_question_is_read() {
        let packet = |id, name, code, is_truncated: bool| {
            let mut packet = Packet::new_reply(id);
            *packet.rcode_mut() = code;
            if is_truncated {
                packet.set_flags(PacketFlag::TRUNCATION);
            }
            let name = Name::new_unchecked(name);
            packet.questions.push(Question::new(name, TYPE::A.into(), CLASS::IN.into(), false));
            packet.build_bytes_vec().unwrap()
        };
        let read = |packet: &[u8]| read_answer(packet, 7, "wcs.lan", TYPE::A);
        assert!(read(b"").is_none() && read(&[0; 12]).is_none());
        assert!(read(&packet(8, "wcs.lan", RCODE::NoError, false)).is_none());
        assert!(read(&packet(7, "wcs2.lan", RCODE::NoError, false)).is_none());
        assert!(read(&packet(7, "WCS.lan", RCODE::NoError, false)).unwrap().unwrap().is_empty());
        assert!(read(&packet(7, "wcs.lan", RCODE::NameError, false)).unwrap().unwrap().is_empty());
        assert!(read(&packet(7, "wcs.lan", RCODE::NoError, true)).unwrap().is_err());
        assert!(read(&packet(7, "wcs.lan", RCODE::ServerFailure, false)).unwrap().is_err());
    }
}
