/*!
Host names to addresses: `/etc/hosts`, then the name servers of `/etc/resolv.conf`, as the `hosts:
files dns` of nsswitch.conf(5).

The C library is not asked. Linked statically, its `getaddrinfo` loads the NSS modules of the host,
which only work where the host has the very same C library, and kill the process where it has not.
*/

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use resolv_conf::Config;
use rustix::event::PollFlags;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, TYPE};

use crate::net::url::in_brackets;
use crate::process::background;
use crate::process::wait::{Wait, is_obsolete};

/// The port of a name server.
const DNS_PORT: u16 = 53;

/// How often a name server is asked, since packets get lost.
const ATTEMPTS: u32 = 2;

/// Room for any answer over UDP that was not asked to be longer (RFC 1035, 4.2.1), and for servers
/// that send more all the same.
const PACKET_SIZE: usize = 4096;

/// The addresses of `host`, an IP address (an IPv6 one in brackets) or a name; none if it has none.
///
/// Fails with [`ErrorKind::TimedOut`] at the deadline, with [`ErrorKind::HostUnreachable`] if every
/// name server failed before, and with another kind if the wait is overruled.
pub fn addresses(host: &str, wait: &Wait) -> io::Result<Vec<IpAddr>> {
    if let Some(address) = numeric(host) {
        return Ok(vec![address]);
    }
    let hosts = read_aside("/etc/hosts", wait)?;
    let found = from_hosts(host, &String::from_utf8_lossy(&hosts));
    if !found.is_empty() {
        return Ok(found);
    }
    if let Some(found) = special(host) {
        return Ok(found);
    }
    let text = read_aside("/etc/resolv.conf", wait)?;
    let (config, _) = Config::parse_with_errors(&text);
    let servers = config
        .get_nameservers_or_local()
        .iter()
        .map(|server| SocketAddr::new(server.into(), DNS_PORT))
        .collect();
    from_dns(host, &config, servers, wait)
}

/// What a file holds, nothing if it cannot be read. Fails at the deadline: it may be on a file system that hangs.
fn read_aside(path: &'static str, wait: &Wait) -> io::Result<Vec<u8>> {
    let content = background::run(move || fs::read(path), wait.deadline());
    content.map(Result::unwrap_or_default).map_err(|_| ErrorKind::TimedOut.into())
}

fn numeric(host: &str) -> Option<IpAddr> {
    match in_brackets(host) {
        Some(host) => host.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

/// Names that RFC 6761 says no name server is to be asked about.
fn special(host: &str) -> Option<Vec<IpAddr>> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    match host.rsplit('.').next() {
        Some("localhost") => Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
        Some("invalid") => Some(Vec::new()),
        _ => None,
    }
}

/// Looks a name up in the text of hosts(5).
pub fn from_hosts(host: &str, hosts: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let line = line.split('#').next()?;
        let mut words = line.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    };
    hosts.lines().filter_map(address).collect()
}

/// Asks the name servers for each name that resolv.conf(5) makes of `host`, until one has addresses.
fn from_dns(
    host: &str,
    config: &Config,
    mut servers: Vec<SocketAddr>,
    wait: &Wait,
) -> io::Result<Vec<IpAddr>> {
    for name in candidates(host, config) {
        // IPv6 is asked only where there is no IPv4: half the waiting for nearly every name.
        for record in [TYPE::A, TYPE::AAAA] {
            let found = ask(&name, record, &mut servers, wait)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }
    Ok(Vec::new())
}

/// The names to try for `host`: itself and those under the search domains, itself first if it has the
/// `ndots` dots that make it look complete.
pub fn candidates(host: &str, config: &Config) -> Vec<String> {
    if let Some(absolute) = host.strip_suffix('.') {
        return vec![absolute.to_owned()];
    }
    let domains = config.get_last_search_or_domain();
    let mut names: Vec<String> = domains
        .map(|domain| domain.trim_matches('.'))
        .filter(|domain| !domain.is_empty())
        .map(|domain| format!("{host}.{domain}"))
        .collect();
    let is_complete = host.matches('.').count() >= config.ndots as usize;
    let place = if is_complete { 0 } else { names.len() };
    names.insert(place, host.to_owned());
    names
}

/// Asks one server after the other until one knows the name or knows that there is none. Each gets an
/// equal share of the time that is left; one that fails is not asked again.
fn ask(
    name: &str,
    record: TYPE,
    servers: &mut Vec<SocketAddr>,
    wait: &Wait,
) -> io::Result<Vec<IpAddr>> {
    while let Some(&server) = servers.first() {
        let share = wait.deadline().remaining() / servers.len() as u32;
        match query(name, record, server, share, wait) {
            Ok(found) => return Ok(found),
            Err(error) if is_obsolete(&error) => return Err(error),
            Err(_) => servers.remove(0),
        };
    }
    let is_late = wait.deadline().remaining().is_zero();
    Err(if is_late { ErrorKind::TimedOut } else { ErrorKind::HostUnreachable }.into())
}

/// Asks one name server for one kind of record within `share`.
fn query(
    name: &str,
    record: TYPE,
    server: SocketAddr,
    share: Duration,
    wait: &Wait,
) -> io::Result<Vec<IpAddr>> {
    let invalid = |_| io::Error::from(ErrorKind::InvalidInput);
    let any_address: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any_address, 0))?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    // Hard to guess for who wants to answer in the server's place: the standard library's hash keys
    // come from the kernel's random numbers.
    let id = RandomState::new().hash_one(name) as u16;
    let question =
        Question::new(Name::new(name).map_err(invalid)?, record.into(), CLASS::IN.into(), false);
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(question);
    let packet = packet.build_bytes_vec().map_err(invalid)?;

    let mut buffer = [0; PACKET_SIZE];
    for _ in 0..ATTEMPTS {
        let until = Instant::now() + share / ATTEMPTS;
        retry(|| socket.send(&packet))?;
        while !is_over(wait.until_ready(socket.as_fd(), PollFlags::IN, until))? {
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

/// Does `io` again if a signal interrupted it.
fn retry(mut io: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match io() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Whether a wait ended with its time.
fn is_over(wait: io::Result<()>) -> io::Result<bool> {
    match wait {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == ErrorKind::TimedOut => Ok(true),
        Err(error) => Err(error),
    }
}

/// The addresses in the answer to a question; `None` if it is the answer to another. Fails if the
/// server could not answer.
///
/// An answer that was cut to fit its packet is taken for what is left of it: no host needs all its
/// addresses. The records of a chain of CNAMEs all stand in one answer, so owners are not compared.
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
    let is_cut = packet.has_flags(PacketFlag::TRUNCATION) && addresses.is_empty();
    Some(match packet.rcode() {
        RCODE::NoError if !is_cut => Ok(addresses),
        RCODE::NameError => Ok(Vec::new()),
        _ => Err(ErrorKind::InvalidData.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::thread;

    #[test]
    fn an_ip_address_is_taken_as_it_is() {
        assert_eq!(numeric("10.0.0.5"), Some([10, 0, 0, 5].into()));
        assert_eq!(numeric("[::1]"), Some(Ipv6Addr::LOCALHOST.into()));
        for name in ["wcs", "10.0.0", "::1", "[10.0.0.5]", "[", ""] {
            assert_eq!(numeric(name), None, "{name}");
        }
    }

    #[test]
    fn hosts_are_found_by_any_of_their_names() {
        let hosts =
            "# local\n127.0.0.1 localhost\n::1\tlocalhost ip6\n10.0.0.7 WCS wcs.lan # wcs2\n";
        let v4 = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(from_hosts("localhost", hosts), [v4, Ipv6Addr::LOCALHOST.into()]);
        assert_eq!(from_hosts("wcs.LAN", hosts), [IpAddr::from([10, 0, 0, 7])]);
        assert!(from_hosts("wcs2", hosts).is_empty());
    }

    #[test]
    fn special_names_need_no_server() {
        assert!(special("localhost").is_some_and(|found| !found.is_empty()));
        assert!(special("a.LOCALHOST.").is_some_and(|found| !found.is_empty()));
        assert_eq!(special("nowhere.invalid"), Some(Vec::new()));
        assert_eq!(special("example.com"), None);
    }

    #[test]
    fn search_domains_come_before_a_short_name_and_after_a_long_one() {
        let config = Config::parse("search a.lan b.lan\noptions ndots:2").unwrap();
        assert_eq!(candidates("wcs", &config), ["wcs.a.lan", "wcs.b.lan", "wcs"]);
        assert_eq!(candidates("x.y.z", &config), ["x.y.z", "x.y.z.a.lan", "x.y.z.b.lan"]);
        assert_eq!(candidates("wcs.", &config), ["wcs"]);
    }

    #[test]
    fn an_answers_addresses_are_of_both_families_and_its_aliases_none() {
        use simple_dns::ResourceRecord;
        use simple_dns::rdata::{A, AAAA, CNAME};
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

    /// Answers `count` questions: `known` with 10.1.2.3, every other name with NXDOMAIN.
    fn name_server(known: &'static str, count: usize) -> (SocketAddr, thread::JoinHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let server = thread::spawn(move || {
            for _ in 0..count {
                let mut packet = [0; 512];
                let (length, client) = socket.recv_from(&mut packet).unwrap();
                let question_ends = packet[12..length].iter().position(|&b| b == 0).unwrap() + 17;
                let wire_name: Vec<u8> = known
                    .split('.')
                    .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
                    .collect();
                let is_a = packet[question_ends - 3] == 1;
                let is_known = is_a && packet[12..].starts_with(&wire_name);
                let mut answer = packet[..question_ends].to_vec();
                answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, is_known as u8, 0, 0, 0, 0]);
                if is_known {
                    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 2, 3]);
                } else {
                    answer[3] |= 3;
                }
                socket.send_to(&answer, client).unwrap();
            }
        });
        (address, server)
    }

    #[test]
    fn a_dead_name_server_is_passed_over() {
        let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (alive, server) = name_server("wcs.b.lan", 3);
        let config = Config::parse("search a.lan b.lan").unwrap();
        let servers = vec![dead.local_addr().unwrap(), alive];
        // wcs.a.lan A, wcs.a.lan AAAA, wcs.b.lan A
        let found = from_dns("wcs", &config, servers, &Wait::for_test(Duration::from_secs(2)));
        assert_eq!(found.unwrap(), [IpAddr::from([10, 1, 2, 3])]);
        server.join().unwrap();
    }

    #[test]
    fn a_name_that_no_server_knows_has_no_addresses() {
        let (alive, server) = name_server("wcs.lan", 2);
        let config = Config::parse("").unwrap();
        let found =
            from_dns("wcs2.lan", &config, vec![alive], &Wait::for_test(Duration::from_secs(2)));
        assert!(found.unwrap().is_empty());
        server.join().unwrap();
    }

    #[test]
    fn a_silent_name_server_is_given_up_at_the_deadline() {
        let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
        let config = Config::parse("").unwrap();
        let start = Instant::now();
        let servers = vec![dead.local_addr().unwrap()];
        let found = from_dns("wcs", &config, servers, &Wait::for_test(Duration::from_millis(200)));
        assert_eq!(found.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() < Duration::from_millis(700), "{:?}", start.elapsed());
    }

    #[test]
    fn only_the_answer_to_the_question_is_read() {
        let packet = |id, name, code, cut: bool| {
            let mut packet = Packet::new_reply(id);
            *packet.rcode_mut() = code;
            if cut {
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
