//! A certificate authority for a test, and TLS servers with a certificate that it has signed.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};

use super::Server;

/// A client's TLS session.
pub type TlsClient = StreamOwned<ClientConnection, TcpStream>;

/// A certificate authority, and a certificate for `localhost` that it has signed.
pub struct Authority {
    folder: tempfile::TempDir,
}

fn openssl(args: &str) {
    let output = Command::new("openssl").args(args.split(' ')).output();
    let output = output.expect("openssl is installed");
    assert!(output.status.success(), "{output:?}");
}

impl Authority {
    pub fn new() -> Self {
        let authority = Self { folder: tempfile::tempdir().unwrap() };
        // Every user may read the authority's certificate. Openssl makes the keys readable for their owner
        // only.
        fs::set_permissions(authority.folder.path(), Permissions::from_mode(0o755)).unwrap();
        let path = |name| authority.path(name).display().to_string();
        let (ca, ca_key, key) = (path("ca"), path("ca_key"), path("key"));
        let (request, certificate) = (path("request"), path("certificate"));
        let extensions = path("extensions");
        std::fs::write(&extensions, "subjectAltName=DNS:localhost\n").unwrap();
        openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -subj {} -keyout {ca_key} -out {ca}",
            authority.subject()
        ));
        openssl(&format!("req -newkey rsa:2048 -nodes -subj /CN=x -keyout {key} -out {request}"));
        openssl(&format!(
            "x509 -req -in {request} -CA {ca} -CAkey {ca_key} -set_serial 1 \
             -extfile {extensions} -out {certificate}"
        ));
        authority
    }

    /// A name that no other authority has.
    fn subject(&self) -> String {
        format!("/CN={}", self.folder.path().file_name().unwrap().display())
    }

    /// Makes another certificate of the authority, for the same name and the same key. Returns its file. The
    /// times are written like `20200131235959Z`.
    pub fn file_valid(&self, from: &str, until: &str) -> PathBuf {
        let folder = self.folder.path().display();
        let (request, config) = (self.path("ca_request"), self.path("ca_config"));
        let file = self.path(&format!("ca_{from}_{until}"));
        let settings = format!(
            "[ca]\ndefault_ca=a\n[a]\ndatabase={folder}/ca_database\nnew_certs_dir={folder}\n\
             rand_serial=yes\nunique_subject=no\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n\
             [p]\ncommonName=supplied\n[e]\nbasicConstraints=critical,CA:TRUE\n"
        );
        fs::write(&config, settings).unwrap();
        fs::write(self.path("ca_database"), "").unwrap();
        let key = self.path("ca_key");
        let [key, request, config] = [&key, &request, &config].map(|path| path.display());
        openssl(&format!("req -new -key {key} -subj {} -out {request}", self.subject()));
        openssl(&format!(
            "ca -selfsign -batch -notext -config {config} -keyfile {key} -in {request} \
             -startdate {from} -enddate {until} -out {}",
            file.display()
        ));
        file
    }

    /// Makes another certificate of the authority, without a version, as older programs do. Returns its file.
    pub fn file_of_version_1(&self) -> PathBuf {
        let file = self.path("ca_version_1");
        let request = self.path("ca_version_1_request");
        let key = self.path("ca_key");
        let [file_name, request, key] = [&file, &request, &key].map(|path| path.display());
        openssl(&format!("req -new -key {key} -subj {} -out {request}", self.subject()));
        openssl(&format!("x509 -req -in {request} -signkey {key} -out {file_name}"));
        file
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The file with the authority's own certificate, for clients that trust it.
    pub fn file(&self) -> PathBuf {
        self.path("ca")
    }

    /// The file with the server's key.
    pub fn server_key(&self) -> PathBuf {
        self.path("key")
    }

    /// The file with the server's certificate.
    pub fn server_certificate(&self) -> PathBuf {
        self.path("certificate")
    }

    /// One file with the server's key and certificate, as HAProxy needs it.
    pub fn server_key_and_certificate(&self) -> PathBuf {
        let both =
            [self.server_key(), self.server_certificate()].map(|file| fs::read(file).unwrap());
        let file = self.path("both");
        fs::write(&file, both.concat()).unwrap();
        file
    }

    /// A client's TLS session over this connection. It trusts the authority alone.
    pub fn client(&self, tcp: TcpStream) -> TlsClient {
        self.client_of(rustls::DEFAULT_VERSIONS, &[], tcp)
    }

    /// The same, but the client offers HTTP/2 and HTTP/1.1, as browsers do. Fails if the server does not choose
    /// HTTP/2.
    pub fn http2_client(&self, tcp: TcpStream) -> TlsClient {
        let mut client = self.client_of(rustls::DEFAULT_VERSIONS, &["h2", "http/1.1"], tcp);
        client.conn.complete_io(&mut client.sock).expect("the server speaks TLS");
        assert_eq!(client.conn.alpn_protocol(), Some(b"h2".as_slice()));
        client
    }

    /// The same, with these versions of TLS and these application protocols.
    pub fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
        tcp: TcpStream,
    ) -> TlsClient {
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_file(self.file()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(trusted)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = "localhost".try_into().unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(session, tcp)
    }

    /// Starts a TLS server on a free port. It hands each connection, decrypted, to `talk`.
    pub fn server(
        &self,
        talk: impl Fn(rustls::Stream<'_, ServerConnection, TcpStream>) + Send + Sync + 'static,
    ) -> Server {
        let config = self.server_config();
        Server::accepting(move |tcp| {
            let mut session = ServerConnection::new(config.clone()).unwrap();
            talk(rustls::Stream::new(&mut session, tcp));
        })
    }

    /// Starts a server on a free port. It hands each connection to `talk` after the client's hello, with
    /// the bytes that a TLS server has to send next.
    pub fn server_after_hello(
        &self,
        talk: impl Fn(&mut TcpStream, &[u8]) + Send + Sync + 'static,
    ) -> Server {
        let config = self.server_config();
        Server::accepting(move |tcp| {
            let mut session = ServerConnection::new(config.clone()).unwrap();
            while !session.wants_write() {
                if !matches!(session.read_tls(tcp), Ok(1..)) {
                    return;
                }
                session.process_new_packets().expect("the agent speaks TLS");
            }
            let mut hello = Vec::new();
            while session.wants_write() {
                session.write_tls(&mut hello).unwrap();
            }
            talk(tcp, &hello);
        })
    }

    fn server_config(&self) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_file(self.server_certificate()).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.server_key()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Arc::new(config)
    }
}
