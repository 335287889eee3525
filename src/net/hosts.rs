/*!
The table of host names in `/etc/hosts`; hosts(5).
*/

use std::net::IpAddr;

/// Returns the addresses of `host` in the text of `/etc/hosts`, in its order. Lines that cannot be
/// parsed are skipped.
pub fn find(host: &str, hosts: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let line = line.split('#').next()?;
        let mut words = line.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    };
    hosts.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::Ipv6Addr;

    #[test]
    fn a_host_is_found_by_each_of_its_names() {
        let hosts =
            "# local\n127.0.0.1 localhost\n::1\tlocalhost ip6\n10.0.0.7 WCS wcs.lan # wcs2\n";
        let v4 = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(find("localhost", hosts), [v4, Ipv6Addr::LOCALHOST.into()]);
        assert_eq!(find("wcs.LAN", hosts), [IpAddr::from([10, 0, 0, 7])]);
        assert!(find("wcs2", hosts).is_empty());
    }
}
