/*!
TLS on a TCP connection.
*/

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::net::tcp::Tcp;

/// A TLS session and the TCP connection that carries it.
pub type Tls = StreamOwned<ClientConnection, Tcp>;

/// Starts a TLS session on `tcp`. `host` is the name or address that the server's certificate must be
/// valid for, without brackets. One of the `trusted` authorities must have signed it.
///
/// Fails with an error around a [`rustls::Error`] if the certificate is invalid or the server does not
/// speak TLS, and with other errors if reading, writing or waiting fails.
pub fn handshake(mut tcp: Tcp, host: &str, trusted: RootCertStore) -> io::Result<Tls> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut tcp)?;
    }
    Ok(StreamOwned::new(session, tcp))
}
