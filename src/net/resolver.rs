/*!
Host names to addresses: from `/etc/hosts`, then from the name servers in `/etc/resolv.conf`. This is
what `hosts: files dns` means in nsswitch.conf(5).

The C library's `getaddrinfo` is not used. In a static program it loads the host's NSS modules. They
work only if the host has the same version of the C library; otherwise the process crashes.
*/

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use resolv_conf::Config;
use simple_dns::TYPE;

use crate::net::dns;
use crate::net::error::AskError;
use crate::net::hosts;
use crate::net::url::in_brackets;
use crate::process::background;
use crate::process::wait::{Wait, is_obsolete};

/// The UDP port of name servers; RFC 1035, 4.2.1.
const DNS_PORT: u16 = 53;

/// Returns the addresses of `host`, at least one. `host` is a name or an IP address; an IPv6 address is
/// in brackets.
///
/// Fails with [`AskError::NameNotFound`] if the name has no address, with [`AskError::NameTimeout`] at
/// the deadline, and with [`AskError::NoNameServer`] if every name server failed before that.
pub fn addresses(host: &str, wait: &Wait) -> Result<Vec<IpAddr>, AskError> {
    match look_up(host, wait) {
        Ok(found) if found.is_empty() => Err(AskError::NameNotFound),
        Ok(found) => Ok(found),
        Err(error) => Err(match error.kind() {
            ErrorKind::TimedOut => AskError::NameTimeout(wait.deadline().budget()),
            ErrorKind::HostUnreachable => AskError::NoNameServer,
            _ => AskError::from_io(&error, wait.deadline()),
        }),
    }
}

/// Returns the addresses of `host`; none if it does not exist.
///
/// Fails with [`ErrorKind::TimedOut`] at the deadline, with [`ErrorKind::HostUnreachable`] if every name
/// server failed before that, and with another kind if the wait ends early.
fn look_up(host: &str, wait: &Wait) -> io::Result<Vec<IpAddr>> {
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
    let text = read_in_background("/etc/resolv.conf", wait)?;
    let (config, _) = Config::parse_with_errors(&text);
    let servers = config
        .get_nameservers_or_local()
        .iter()
        .map(|server| SocketAddr::new(server.into(), DNS_PORT))
        .collect();
    from_dns(host, &config, servers, wait)
}

/// Returns what a file holds, and nothing if it cannot be read. Fails at the deadline, because the file
/// may be on a file system that hangs.
fn read_in_background(path: &'static str, wait: &Wait) -> io::Result<Vec<u8>> {
    let content = background::run(move || fs::read(path), wait.deadline());
    content.map(Result::unwrap_or_default).map_err(|_| ErrorKind::TimedOut.into())
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

/// Asks the name servers for each of the [`candidates`] until one has addresses.
fn from_dns(
    host: &str,
    config: &Config,
    mut servers: Vec<SocketAddr>,
    wait: &Wait,
) -> io::Result<Vec<IpAddr>> {
    for name in candidates(host, config) {
        // IPv6 addresses are requested only if there are no IPv4 addresses. This halves the time for
        // nearly every name.
        for record in [TYPE::A, TYPE::AAAA] {
            let found = ask(&name, record, &mut servers, wait)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }
    Ok(Vec::new())
}

/// Returns the names to try for `host`, as resolv.conf(5) describes: `host` itself and `host` in each
/// search domain. `host` itself comes first if it has at least `ndots` dots, and last otherwise.
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

/// Asks one server after the other, until one gives the addresses of `name` or says that it has none.
///
/// Each server gets an equal share of the time that is left. A server that fails is removed from
/// `servers`.
fn ask(
    name: &str,
    record: TYPE,
    servers: &mut Vec<SocketAddr>,
    wait: &Wait,
) -> io::Result<Vec<IpAddr>> {
    while let Some(&server) = servers.first() {
        let share = wait.deadline().remaining() / servers.len() as u32;
        match dns::query(name, record, server, share, wait) {
            Ok(found) => return Ok(found),
            Err(error) if is_obsolete(&error) => return Err(error),
            Err(_) => servers.remove(0),
        };
    }
    let is_late = wait.deadline().remaining().is_zero();
    Err(if is_late { ErrorKind::TimedOut } else { ErrorKind::HostUnreachable }.into())
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

    #[test]
    fn search_domains_come_before_a_short_name_and_after_a_long_one() {
        let config = Config::parse("search a.lan b.lan\noptions ndots:2").unwrap();
        assert_eq!(candidates("wcs", &config), ["wcs.a.lan", "wcs.b.lan", "wcs"]);
        assert_eq!(candidates("x.y.z", &config), ["x.y.z", "x.y.z.a.lan", "x.y.z.b.lan"]);
        assert_eq!(candidates("wcs.", &config), ["wcs"]);
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
        let config = Config::parse("search a.lan b.lan").unwrap();
        let servers = vec![dead.local_addr().unwrap(), alive];
        // The three questions: wcs.a.lan A, wcs.a.lan AAAA, wcs.b.lan A.
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
    fn a_silent_name_server_is_left_at_the_deadline() {
        let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
        let config = Config::parse("").unwrap();
        let start = Instant::now();
        let servers = vec![dead.local_addr().unwrap()];
        let found = from_dns("wcs", &config, servers, &Wait::for_test(Duration::from_millis(200)));
        assert_eq!(found.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() < Duration::from_millis(700), "{:?}", start.elapsed());
    }
}
