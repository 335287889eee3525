/*!
A connection to the server of a URL: its name looked up, TCP, and TLS where the scheme says so, all of
it no longer than the run's wait.
*/

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::net::error::AskError;
use crate::net::resolver;
use crate::net::tcp::Tcp;
use crate::net::url::Origin;
use crate::process::background;
use crate::process::deadline::Deadline;
use crate::process::wait::Wait;

/// The stack that an exchange with a server may take, in bytes. HTTP alone takes 48 KiB.
pub const STACK: u64 = 256 * 1024;

/// What is written and read in clear on this side.
#[derive(Debug)]
pub enum Connection {
    Plain(Tcp),
    Tls(Box<StreamOwned<ClientConnection, Tcp>>),
}

impl Connection {
    /// Connects to a server; over TLS only to one with a certificate that is valid for its name.
    pub fn open(origin: &Origin, wait: &Wait) -> Result<Self, AskError> {
        let deadline = wait.deadline();
        let addresses = match resolver::addresses(origin.host(), wait) {
            Ok(found) if found.is_empty() => Err(AskError::NameNotFound),
            Ok(found) => Ok(found),
            Err(error) => Err(match error.kind() {
                ErrorKind::TimedOut => AskError::NameTimeout(deadline.budget()),
                ErrorKind::HostUnreachable => AskError::NoNameServer,
                _ => AskError::of(&error, deadline),
            }),
        }?;
        let addresses: Vec<SocketAddr> =
            addresses.into_iter().map(|address| (address, origin.port()).into()).collect();
        let tcp = Tcp::connect(&addresses, wait);
        let tcp = tcp.map_err(|error| AskError::of(&error, deadline))?;
        if !origin.is_tls() {
            return Ok(Self::Plain(tcp));
        }
        secure(tcp, origin, deadline).map_err(|error| AskError::of(&error, deadline))
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

/// Carries out the TLS handshake.
fn secure(mut tcp: Tcp, origin: &Origin, deadline: Deadline) -> io::Result<Connection> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(trusted(deadline)?)
        .with_no_client_auth();
    let name = ServerName::try_from(origin.bare_host().to_owned()).map_err(io::Error::other)?;
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut tcp)?;
    }
    Ok(Connection::Tls(Box::new(StreamOwned::new(session, tcp))))
}

/// Whose certificates are trusted: the system's store, as OpenSSL finds it with `SSL_CERT_FILE` and
/// `SSL_CERT_DIR`, or Mozilla's list where the host has none. Read aside, since those two may name what hangs.
fn trusted(deadline: Deadline) -> io::Result<RootCertStore> {
    let found = background::run(|| rustls_native_certs::load_native_certs().certs, deadline);
    let found = found.map_err(|problem| {
        io::Error::other(format!("reading the trusted certificates {problem}"))
    })?;
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found);
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(store)
}
