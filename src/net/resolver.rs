/*!
Host names to addresses: from `/etc/hosts`, then from the name servers in `/etc/resolv.conf`. This is
what `hosts: files dns` means in nsswitch.conf(5).

The C library's `getaddrinfo` is not used. In a static program it loads the host's NSS modules. They
work only if the host has the same version of the C library; otherwise the process crashes.
*/

use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use crate::net::dns::{Answer, Family, Query};
use crate::net::error::AskError;
use crate::net::hosts;
use crate::net::name_server::{ask_over_tcp, ask_over_udp};
use crate::net::resolv_conf::ResolvConf;
use crate::net::url::in_brackets;
use crate::process::background;
use crate::process::random::random_u16;
use crate::process::wait::{Wait, is_obsolete};

/// Returns the addresses of `host`, at least one. `host` is a name or an IP address; an IPv6 address is
/// in brackets.
///
/// Fails with [`AskError::NameNotFound`] if the name has no address, with [`AskError::NameTimeout`] at
/// the deadline, with [`AskError::NoNameServer`] if every name server failed before that, and with another
/// error if the wait ends early.
pub fn addresses(host: &str, wait: &Wait) -> Result<Vec<IpAddr>, AskError> {
    let found = look_up(host, wait)?;
    if found.is_empty() { Err(AskError::NameNotFound) } else { Ok(found) }
}

/// Returns the addresses of `host`; none if it does not exist. Fails like [`addresses`].
fn look_up(host: &str, wait: &Wait) -> Result<Vec<IpAddr>, AskError> {
    if let Some(address) = numeric(host) {
        return Ok(vec![address]);
    }
    let text = read_in_background("/etc/hosts", wait)?;
    let found = hosts::find(host, &String::from_utf8_lossy(&text));
    if !found.is_empty() {
        return Ok(found);
    }
    if let Some(found) = special(host) {
        return Ok(found);
    }
    let conf = ResolvConf::parse(&read_in_background("/etc/resolv.conf", wait)?);
    let mut servers = conf.servers();
    if conf.is_rotating() && !servers.is_empty() {
        // Every run is a new process, so the servers share the load only if the first is chosen at random.
        let first = usize::from(random_u16().unwrap_or_default()) % servers.len();
        servers.rotate_left(first);
    }
    from_dns(host, &conf, servers, wait)
}

/// Returns what a file holds, and nothing if it cannot be read. Fails at the deadline, because the file
/// may be on a file system that hangs.
fn read_in_background(path: &'static str, wait: &Wait) -> Result<Vec<u8>, AskError> {
    let content = background::run(move || fs::read(path), wait.deadline());
    content.map(Result::unwrap_or_default).map_err(|_| late(wait))
}

/// Returns the error for a name that was not found before the deadline.
fn late(wait: &Wait) -> AskError {
    AskError::NameTimeout(wait.deadline().budget())
}

/// Returns the address if `host` is one.
fn numeric(host: &str) -> Option<IpAddr> {
    match in_brackets(host) {
        Some(host) => host.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

/// Returns the addresses of a name that no name server may be asked for; RFC 6761, 6.3 and 6.4. Returns
/// `None` for other names.
fn special(host: &str) -> Option<Vec<IpAddr>> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    match host.rsplit('.').next() {
        Some("localhost") => Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
        Some("invalid") => Some(Vec::new()),
        _ => None,
    }
}

/// Asks the name servers for each of the names that `host` may mean, until one has addresses.
fn from_dns(
    host: &str,
    conf: &ResolvConf,
    mut servers: Vec<SocketAddr>,
    wait: &Wait,
) -> Result<Vec<IpAddr>, AskError> {
    let mut is_known = true;
    for name in conf.candidates(host) {
        // IPv6 addresses are requested only if there are no IPv4 addresses. This halves the time for
        // nearly every name.
        for family in [Family::V4, Family::V6] {
            let Some(mut query) = Query::new(&name, family) else {
                continue;
            };
            match ask(&mut query, conf, &mut servers, wait)? {
                Some(found) if found.is_empty() => {}
                Some(found) => return Ok(found),
                None => is_known = false,
            }
        }
    }
    if is_known { Ok(Vec::new()) } else { Err(AskError::NoNameServer) }
}

/// Asks one server after the other, until one gives the addresses of a name or says that it has none. A
/// server that was silent is asked again after the others, with another port and another identifier. Returns
/// `None` if no server could answer, and at least one said so.
///
/// Each attempt gets an equal share of the time that is left, but not more than resolv.conf allows. So every
/// server is asked in time. The server that answered becomes the first of `servers`, for the next question.
fn ask(
    query: &mut Query,
    conf: &ResolvConf,
    servers: &mut [SocketAddr],
    wait: &Wait,
) -> Result<Option<Vec<IpAddr>>, AskError> {
    // The servers to ask, and how often at most.
    let mut queue: VecDeque<(SocketAddr, u32)> =
        servers.iter().map(|server| (*server, conf.attempts())).collect();
    let mut has_answered = false;
    while let Some((server, attempts)) = queue.pop_front() {
        if wait.deadline().remaining().is_zero() {
            return Err(late(wait));
        }
        let all_attempts = attempts + queue.iter().map(|(_, attempts)| attempts).sum::<u32>();
        let until = || {
            let share = wait.deadline().remaining() / all_attempts;
            Instant::now() + share.min(conf.timeout())
        };
        match ask_server(query, server, conf, until, wait) {
            Ok(Answer::Addresses(found)) => {
                let place = servers.iter().position(|other| *other == server);
                servers.rotate_left(place.unwrap_or_default());
                return Ok(Some(found));
            }
            Ok(Answer::Failure | Answer::Cut) => has_answered = true,
            Err(error) if is_obsolete(&error) => {
                return Err(AskError::from_io(&error, wait.deadline()));
            }
            Err(error) if error.kind() == ErrorKind::TimedOut && attempts > 1 => {
                queue.push_back((server, attempts - 1));
            }
            Err(_) => {}
        }
    }
    if wait.deadline().remaining().is_zero() {
        return Err(late(wait));
    }
    if has_answered { Ok(None) } else { Err(AskError::NoNameServer) }
}

/// Asks one server over UDP, and over TCP if its answer was cut. `until` gives the end of what begins now.
fn ask_server(
    query: &mut Query,
    server: SocketAddr,
    conf: &ResolvConf,
    until: impl Fn() -> Instant,
    wait: &Wait,
) -> io::Result<Answer> {
    if !conf.is_over_tcp() {
        let answer = ask_over_udp(query, server, until(), wait)?;
        if answer != Answer::Cut {
            return Ok(answer);
        }
    }
    ask_over_tcp(query, server, until(), wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::UdpSocket;
    use std::thread;
    use std::time::{Duration, Instant};

    #[test]
    fn an_ip_address_is_its_own_address() {
        assert_eq!(numeric("10.0.0.5"), Some([10, 0, 0, 5].into()));
        assert_eq!(numeric("[::1]"), Some(Ipv6Addr::LOCALHOST.into()));
        for name in ["wcs", "10.0.0", "::1", "[10.0.0.5]", "[", ""] {
            assert_eq!(numeric(name), None, "{name}");
        }
    }

    #[test]
    fn special_names_need_no_name_server() {
        assert!(special("localhost").is_some_and(|found| !found.is_empty()));
        assert!(special("a.LOCALHOST.").is_some_and(|found| !found.is_empty()));
        assert_eq!(special("nowhere.invalid"), Some(Vec::new()));
        assert_eq!(special("example.com"), None);
    }

    /// Starts a name server that answers `count` questions: with 10.1.2.3 for `known`, and with NXDOMAIN
    /// for every other name.
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
    fn a_dead_name_server_is_skipped() {
        let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (alive, server) = name_server("wcs.b.lan", 3);
        let conf = ResolvConf::parse(b"search a.lan b.lan");
        let servers = vec![dead.local_addr().unwrap(), alive];
        // The three questions: wcs.a.lan A, wcs.a.lan AAAA, wcs.b.lan A.
        let found = from_dns("wcs", &conf, servers, &Wait::for_test(Duration::from_secs(2)));
        assert_eq!(found.unwrap(), [IpAddr::from([10, 1, 2, 3])]);
        server.join().unwrap();
    }

    #[test]
    fn a_name_that_no_server_knows_has_no_addresses() {
        let (alive, server) = name_server("wcs.lan", 2);
        let conf = ResolvConf::parse(b"");
        let found =
            from_dns("wcs2.lan", &conf, vec![alive], &Wait::for_test(Duration::from_secs(2)));
        assert!(found.unwrap().is_empty());
        server.join().unwrap();
    }

    #[test]
    fn a_silent_name_server_is_left_at_the_deadline() {
        let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
        let conf = ResolvConf::parse(b"");
        let start = Instant::now();
        let servers = vec![dead.local_addr().unwrap()];
        let found = from_dns("wcs", &conf, servers, &Wait::for_test(Duration::from_millis(200)));
        assert_eq!(found, Err(AskError::NameTimeout(Duration::from_millis(200))));
        assert!(start.elapsed() < Duration::from_millis(700), "{:?}", start.elapsed());
    }
}
