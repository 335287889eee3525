/*!
TLS on a TCP connection, with the certificates that the system trusts.
*/

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::net::tcp::Tcp;
use crate::process::background;
use crate::process::deadline::Deadline;

/// A TLS session and the TCP connection that carries it.
pub type Tls = StreamOwned<ClientConnection, Tcp>;

/// Starts a TLS session on `tcp`. `host` is the name or address that the server's certificate must be
/// valid for, without brackets.
///
/// Fails with an error around a [`rustls::Error`] if the certificate is invalid or the server does not
/// speak TLS, and with other errors if reading, writing or waiting fails.
pub fn handshake(mut tcp: Tcp, host: &str, deadline: Deadline) -> io::Result<Tls> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(trusted_certificates(deadline)?)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut tcp)?;
    }
    Ok(StreamOwned::new(session, tcp))
}

/// Returns the system's trusted certificates, or Mozilla's list if the host has none. The system's are
/// where OpenSSL would find them; `SSL_CERT_FILE` and `SSL_CERT_DIR` override that.
///
/// Reads them in the background, since both variables may name a file system that hangs.
fn trusted_certificates(deadline: Deadline) -> io::Result<RootCertStore> {
    let found = background::run(|| rustls_native_certs::load_native_certs().certs, deadline);
    let found = found
        .map_err(|error| io::Error::other(format!("reading the trusted certificates {error}")))?;
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found);
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(store)
}
