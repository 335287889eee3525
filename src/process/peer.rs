/*!
The peer: the program at the other end of descriptor 0. It is only logged. Nothing may depend on it, because
a relay on this machine makes every sender look local.
*/

use std::fmt;
use std::net::SocketAddr;

use rustix::net::getpeername;
use rustix::stdio::stdin;

use crate::process::input::Input;

/// Where a connection comes from. Displayed as `local`, an address with its port, or `unknown`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// No socket: descriptor 0 is a terminal, a pipe or a file.
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
    fn a_peer_is_displayed_as_its_address_or_its_kind() {
        let peer = Peer::Tcp("[::1]:80".parse().unwrap());
        assert_eq!(
            [peer, Peer::Local, Peer::Unknown].map(|peer| peer.to_string()),
            ["[::1]:80", "local", "unknown"]
        );
    }
}
