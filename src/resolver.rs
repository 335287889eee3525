/*!
Host names to addresses: `/etc/hosts`, then the name servers of `/etc/resolv.conf`, as the `hosts:
files dns` of nsswitch.conf(5).

The C library is not asked. Linked statically, its `getaddrinfo` loads the NSS modules of the host,
which only work where the host has the very same C library, and kill the process where it has not.
*/

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use resolv_conf::Config;
use rsdns::Error;
use rsdns::clients::{ClientConfig, std::Client};
use rsdns::message::RCode;
use rsdns::records::Class;
use rsdns::records::data::{A, Aaaa, RData};

use crate::deadline::Deadline;

/// The port of a name server.
const DNS_PORT: u16 = 53;

/// The addresses of `host`, an IP address (an IPv6 one in brackets) or a name; none if the name does
/// not resolve before the deadline.
pub fn addresses(host: &str, deadline: Deadline) -> Vec<IpAddr> {
    if let Some(address) = numeric(host) {
        return vec![address];
    }
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let found = from_hosts(host, &hosts);
    if !found.is_empty() {
        return found;
    }
    if let Some(found) = special(host) {
        return found;
    }
    let text = fs::read("/etc/resolv.conf").unwrap_or_default();
    let (config, _) = Config::parse_with_errors(&text);
    let servers = config
        .get_nameservers_or_local()
        .iter()
        .map(|server| SocketAddr::new(server.into(), DNS_PORT))
        .collect();
    from_dns(host, &config, servers, deadline)
}

fn numeric(host: &str) -> Option<IpAddr> {
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match v6 {
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
fn from_hosts(host: &str, hosts: &str) -> Vec<IpAddr> {
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
    deadline: Deadline,
) -> Vec<IpAddr> {
    for name in candidates(host, config) {
        // IPv6 is asked only where there is no IPv4: half the waiting for nearly every name.
        let mut found: Vec<IpAddr> = ask::<A>(&name, &mut servers, deadline, |a| a.address.into());
        if found.is_empty() {
            found = ask::<Aaaa>(&name, &mut servers, deadline, |aaaa| aaaa.address.into());
        }
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// The absolute names to try for `host`: itself and those under the search domains, itself first if
/// it has the `ndots` dots that make it look complete.
fn candidates(host: &str, config: &Config) -> Vec<String> {
    if host.ends_with('.') {
        return vec![host.to_owned()];
    }
    let itself = format!("{host}.");
    let mut names: Vec<String> = config
        .get_last_search_or_domain()
        .filter(|domain| *domain != ".")
        .map(|domain| format!("{host}.{}.", domain.trim_end_matches('.')))
        .collect();
    let is_complete = host.matches('.').count() >= config.ndots as usize;
    let place = if is_complete { 0 } else { names.len() };
    names.insert(place, itself);
    names
}

/// Asks one server after the other until one knows the name or knows that there is none. Each gets an
/// equal share of the time that is left; one that fails is not asked again.
fn ask<D: RData>(
    name: &str,
    servers: &mut Vec<SocketAddr>,
    deadline: Deadline,
    address: impl Fn(D) -> IpAddr,
) -> Vec<IpAddr> {
    while let Some(&server) = servers.first() {
        let share = deadline.remaining() / servers.len() as u32;
        match query::<D>(name, server, share) {
            Ok(data) => return data.into_iter().map(address).collect(),
            Err(Error::BadResponseCode(RCode::NXDOMAIN) | Error::NoAnswer) => break,
            Err(_) => servers.remove(0),
        };
    }
    Vec::new()
}

/// Asks one name server, twice if the first packet is lost.
fn query<D: RData>(name: &str, server: SocketAddr, limit: Duration) -> Result<Vec<D>, Error> {
    let config = ClientConfig::with_nameserver(server)
        .set_query_lifetime(limit)
        .set_query_timeout(Some(limit / 2));
    let answer = Client::new(config)?.query_rrset::<D>(name, Class::IN)?;
    Ok(answer.rdata)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::UdpSocket;
    use std::thread;
    use std::time::Instant;

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
        assert_eq!(candidates("wcs", &config), ["wcs.a.lan.", "wcs.b.lan.", "wcs."]);
        assert_eq!(candidates("x.y.z", &config), ["x.y.z.", "x.y.z.a.lan.", "x.y.z.b.lan."]);
        assert_eq!(candidates("wcs.", &config), ["wcs."]);
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
        let deadline = Deadline::new(Instant::now(), Duration::from_secs(2));
        let servers = vec![dead.local_addr().unwrap(), alive];
        // wcs.a.lan A, wcs.a.lan AAAA, wcs.b.lan A
        let found = from_dns("wcs", &config, servers, deadline);
        assert_eq!(found, [IpAddr::from([10, 1, 2, 3])]);
        server.join().unwrap();
    }

    #[test]
    fn a_silent_name_server_is_given_up_at_the_deadline() {
        let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
        let config = Config::parse("").unwrap();
        let start = Instant::now();
        let deadline = Deadline::new(start, Duration::from_millis(200));
        let found = from_dns("wcs", &config, vec![dead.local_addr().unwrap()], deadline);
        assert!(found.is_empty());
        assert!(start.elapsed() < Duration::from_millis(700), "{:?}", start.elapsed());
    }
}
