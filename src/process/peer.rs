/*!
The peer: the program at the other end of descriptor 0.
*/

use std::fmt;
use std::net::SocketAddr;

use rustix::net::getpeername;
use rustix::stdio::stdin;

use crate::process::input::Input;

/// Where a request comes from. Displayed as `local`, an address with its port, or `unknown`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The user who started the process: descriptor 0 is a terminal, a pipe or a file.
    Local,
    /// A TCP connection from this address.
    Tcp(SocketAddr),
    /// A socket that is not a TCP connection, or whose peer has already gone.
    Unknown,
}

impl Peer {
    /// Returns the peer of this process, whose descriptor 0 is of the kind `input`.
    pub fn of(input: Input) -> Self {
        if input != Input::Socket {
            return Self::Local;
        }
        let address = getpeername(stdin()).ok().flatten();
        address
            .and_then(|address| SocketAddr::try_from(address).ok())
            .map_or(Self::Unknown, Self::Tcp)
    }

    /// Returns whether the peer is certainly on this machine. Such a peer may have any URL opened.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Local => true,
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unknown => false,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Tcp(address) => address.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tcp_peer_is_local_only_on_loopback() {
        for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(Peer::Tcp(address.parse().unwrap()).is_local(), "{address}");
        }
        for address in ["10.0.0.1:1", "0.0.0.0:1", "[::ffff:10.0.0.1]:1", "[fe80::1]:1", "[::]:1"] {
            assert!(!Peer::Tcp(address.parse().unwrap()).is_local(), "{address}");
        }
        assert!(Peer::Local.is_local());
        assert!(!Peer::Unknown.is_local());
    }

    #[test]
    fn a_peer_is_displayed_as_its_address_or_its_kind() {
        let peer = Peer::Tcp("[::1]:80".parse().unwrap());
        assert_eq!(
            [peer, Peer::Local, Peer::Unknown].map(|peer| peer.to_string()),
            ["[::1]:80", "local", "unknown"]
        );
    }
}
