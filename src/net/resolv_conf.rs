/*!
Which name servers are asked, in which order, and for how long: `/etc/resolv.conf`; resolv.conf(5).
*/

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use resolv_conf::Config;
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// The port of name servers; RFC 1035, 4.2.
const DNS_PORT: u16 = 53;

/// The limits that resolv.conf(5) sets to the number of servers, to `attempts` and to `timeout`.
const MAX_SERVERS: usize = 3;
const MAX_ATTEMPTS: u32 = 5;
const MAX_TIMEOUT: u32 = 30;

/// What `/etc/resolv.conf` says.
#[derive(Debug)]
pub struct ResolvConf {
    config: Config,
    servers: Vec<NameServer>,
}

/// A `nameserver` line. A link-local address is the address of a host only together with a scope: the name
/// or the index of the network interface, as in `fe80::1%eth0`.
#[derive(Debug, PartialEq)]
struct NameServer {
    address: IpAddr,
    scope: Option<String>,
}

impl ResolvConf {
    /// Reads the text of the file. Lines that cannot be parsed are skipped. Without a `nameserver` line, the
    /// name server of this machine is asked.
    pub fn parse(text: &[u8]) -> Self {
        let (config, _) = Config::parse_with_errors(text);
        let mut servers = name_servers(&String::from_utf8_lossy(text));
        if servers.is_empty() {
            let local = config.get_nameservers_or_local();
            servers.extend(local.iter().map(|ip| NameServer { address: ip.into(), scope: None }));
        }
        Self { config, servers }
    }

    /// Returns the addresses of the first three name servers. One whose scope does not exist is skipped.
    pub fn servers(&self) -> Vec<SocketAddr> {
        self.servers.iter().filter_map(NameServer::socket_address).take(MAX_SERVERS).collect()
    }

    /// Returns how long to wait for one server before the next one is asked.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.config.timeout.clamp(1, MAX_TIMEOUT).into())
    }

    /// Returns how often each server is asked, because packets get lost.
    pub fn attempts(&self) -> u32 {
        self.config.attempts.clamp(1, MAX_ATTEMPTS)
    }

    /// Returns whether any of the servers may be asked first. Otherwise it is the first in the file.
    pub fn is_rotating(&self) -> bool {
        self.config.rotate
    }

    /// Returns whether only TCP is used.
    pub fn is_over_tcp(&self) -> bool {
        self.config.use_vc
    }

    /// Returns the names to try for `host`: `host` itself and `host` in each search domain. `host` itself comes
    /// first if it has at least `ndots` dots, and last otherwise.
    pub fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(absolute) = host.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let domains = self.config.get_last_search_or_domain();
        let mut names: Vec<String> = domains
            .map(|domain| domain.trim_matches('.'))
            .filter(|domain| !domain.is_empty())
            .map(|domain| format!("{host}.{domain}"))
            .collect();
        let is_complete = host.matches('.').count() >= self.config.ndots as usize;
        let place = if is_complete { 0 } else { names.len() };
        names.insert(place, host.to_owned());
        names
    }
}

/// Reads the `nameserver` lines. resolv-conf does not accept every name of an interface: it rejects
/// `fe80::1%br-lan`.
fn name_servers(text: &str) -> Vec<NameServer> {
    let parse = |line: &str| {
        let mut words = line.split([';', '#']).next()?.split_ascii_whitespace();
        let server = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        Some(match server.split_once('%') {
            None => NameServer { address: server.parse().ok()?, scope: None },
            Some((address, scope)) => NameServer {
                address: address.parse::<Ipv6Addr>().ok()?.into(),
                scope: Some(scope.to_owned()),
            },
        })
    };
    text.lines().filter_map(parse).collect()
}

impl NameServer {
    /// Returns `None` if its scope does not exist.
    fn socket_address(&self) -> Option<SocketAddr> {
        match (self.address, &self.scope) {
            (IpAddr::V6(address), Some(scope)) => {
                Some(SocketAddrV6::new(address, DNS_PORT, 0, interface_index(scope)?).into())
            }
            (address, _) => Some(SocketAddr::new(address, DNS_PORT)),
        }
    }
}

/// Returns the index of a network interface. `scope` is its name or its index; RFC 4007, 11.2.
fn interface_index(scope: &str) -> Option<u32> {
    let by_name = || {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, flags, None).ok()?;
        name_to_index(&socket, scope).ok()
    };
    by_name().or_else(|| scope.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ResolvConf {
        ResolvConf::parse(text.as_bytes())
    }

    #[test]
    fn search_domains_come_before_a_short_name_and_after_a_long_one() {
        let conf = parse("search a.lan b.lan\noptions ndots:2");
        assert_eq!(conf.candidates("wcs"), ["wcs.a.lan", "wcs.b.lan", "wcs"]);
        assert_eq!(conf.candidates("x.y.z"), ["x.y.z", "x.y.z.a.lan", "x.y.z.b.lan"]);
        assert_eq!(conf.candidates("wcs."), ["wcs"]);
    }

    #[test]
    fn a_scope_is_the_name_or_the_index_of_an_interface() {
        let scoped = |scope: u32| SocketAddrV6::new("fe80::1".parse().unwrap(), 53, 0, scope);
        let text = "nameserver fe80::1%lo # local\nnameserver fe80::1%7\nnameserver\tfe80::1\n";
        assert_eq!(parse(text).servers(), [1, 7, 0].map(|scope| scoped(scope).into()));
    }

    #[test]
    fn a_server_with_an_unknown_scope_is_skipped() {
        let text = "nameserver fe80::1%no-such.0\nnameserver 10.0.0.1%lo\nnameserver 10.0.0.2";
        assert_eq!(parse(text).servers(), [SocketAddr::from(([10, 0, 0, 2], 53))]);
        assert!(parse("nameserver fe80::1%no-such.0").servers().is_empty());
        let servers = [("fe80::1", "br-lan"), ("fe80::2", "eth0.7")].map(|(address, scope)| {
            NameServer { address: address.parse().unwrap(), scope: Some(scope.to_owned()) }
        });
        assert_eq!(name_servers("nameserver fe80::1%br-lan\nnameserver fe80::2%eth0.7"), servers);
    }

    #[test]
    fn without_servers_this_machine_is_asked_and_of_many_the_first_three() {
        let hosts = |text| parse(text).servers().iter().map(SocketAddr::ip).collect::<Vec<_>>();
        assert!(
            hosts("; nameserver 10.0.0.1\n#nameserver 10.0.0.1").iter().all(IpAddr::is_loopback)
        );
        assert!(!hosts("").is_empty());
        let four = (1..=4).map(|n| format!("nameserver 10.0.0.{n}\n")).collect::<String>();
        assert_eq!(hosts(&four), [1, 2, 3].map(|n| IpAddr::from([10, 0, 0, n])));
    }

    #[test]
    fn timeout_and_attempts_stay_within_their_limits() {
        let read = |text| {
            let conf = parse(text);
            (conf.timeout().as_secs(), conf.attempts())
        };
        assert_eq!(read(""), (5, 2));
        assert_eq!(read("options timeout:1 attempts:3"), (1, 3));
        assert_eq!(read("options timeout:0 attempts:0"), (1, 1));
        assert_eq!(read("options timeout:99 attempts:99"), (30, 5));
        assert!(parse("options rotate").is_rotating() && !parse("").is_rotating());
        assert!(parse("options use-vc").is_over_tcp() && !parse("").is_over_tcp());
    }
}
