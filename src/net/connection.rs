/*!
A connection to the server of a URL: the name looked up, TCP connected, and TLS started if the scheme
asks for it. None of this takes longer than the run may wait.
*/

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use crate::net::error::AskError;
use crate::net::resolver;
use crate::net::tcp::Tcp;
use crate::net::tls::{self, Tls};
use crate::net::trust;
use crate::net::url::Origin;
use crate::process::wait::Wait;

/// The stack that an exchange with a server may take, in bytes. HTTP alone takes 48 KiB.
pub const STACK: u64 = 256 * 1024;

/// A connection that is read and written in plain text on this side.
///
/// Reads and writes block until the server is ready, but not past the deadline, and they fail early if a
/// request line makes the current request obsolete.
#[derive(Debug)]
pub enum Connection {
    /// Without encryption.
    Plain(Tcp),
    /// Encrypted.
    Tls(Box<Tls>),
}

impl Connection {
    /// Connects to a server. With TLS, the server's certificate has to be valid for its name.
    pub fn open(origin: &Origin, wait: &Wait) -> Result<Self, AskError> {
        let deadline = wait.deadline();
        // If variables name the certificates, these are read first. Then a mistake in a variable is the reason,
        // whatever the server does. The system's store is read later: that takes longer than most failures to connect.
        let is_first = origin.is_tls() && trust::is_named_by_variables();
        let named = is_first.then(|| trust::trusted_certificates(deadline)).transpose()?;
        let addresses: Vec<SocketAddr> = resolver::addresses(origin.host(), wait)?
            .into_iter()
            .map(|address| (address, origin.port()).into())
            .collect();
        let of_io = |error| AskError::from_io(&error, deadline);
        let tcp = Tcp::connect(&addresses, wait).map_err(of_io)?;
        if !origin.is_tls() {
            return Ok(Self::Plain(tcp));
        }
        let trusted = named.map_or_else(|| trust::trusted_certificates(deadline), Ok)?;
        let tls = tls::handshake(tcp, origin.bare_host(), trusted).map_err(of_io)?;
        Ok(Self::Tls(Box::new(tls)))
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
