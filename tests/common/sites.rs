//! The sites of HAProxy's shipped configurations: the services, their agents, and HAProxy in front of them.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;

use super::haproxy::{Haproxy, shipped};
use super::http2::{self, ask_http2};
use super::shipped::*;
use super::state_history::{self, Node};
use super::*;

const ANTELOPE_AGENT: &str = include_str!("../../xinetd/antelope-agent-check");
const WCS_AGENT: &str = include_str!("../../xinetd/haproxy-agent-check");

/// The agent on port 1337 that HAProxy asks about every server of a configuration.
pub fn agent_for_all(hosts: &Hosts) -> Xinetd {
    Xinetd::start_at(
        hosts.at(1, 1337),
        ANTELOPE_AGENT,
        "--describe --agent-send required --allow-url any",
    )
}

/// The variables of a configuration: the addresses of HAProxy and the agent, these hosts, and others.
pub fn variables(
    hosts: &Hosts,
    names: &[(&'static str, u8)],
    others: &[(&'static str, &str)],
) -> Vec<(&'static str, String)> {
    let numbered = [("BIND", 0), ("AGENT", 1)].into_iter().chain(names.iter().copied());
    let addresses = numbered.map(|(name, n)| (name, hosts.host(n).to_string()));
    let others = others.iter().map(|(name, value)| (*name, (*value).to_owned()));
    addresses.chain(others).collect()
}

/// What a client speaks with HAProxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 on port 80.
    Http,
    /// HTTP/1.1 over TLS on port 443.
    Https,
    /// HTTP/2 over TLS on port 443.
    Http2,
}

pub const PROTOCOLS: [Protocol; 3] = [Protocol::Http, Protocol::Https, Protocol::Http2];

/// A client of a site, with an address of its own.
pub struct Client<'a> {
    protocol: Protocol,
    pub address: Ipv4Addr,
    haproxy: Ipv4Addr,
    authority: &'a tls::Authority,
}

impl<'a> Client<'a> {
    pub fn new(hosts: &Hosts, authority: &'a tls::Authority, protocol: Protocol) -> Self {
        Self { protocol, address: hosts.host(15), haproxy: hosts.host(0), authority }
    }

    pub fn scheme(&self) -> &'static str {
        if self.protocol == Protocol::Http { "http" } else { "https" }
    }

    pub fn connect(&self) -> Box<dyn Duplex> {
        let to = |port| connect_from(self.address, (self.haproxy, port).into());
        match self.protocol {
            Protocol::Http => Box::new(to(80)),
            Protocol::Https => Box::new(self.authority.client(to(443))),
            Protocol::Http2 => Box::new(self.authority.http2_client(to(443))),
        }
    }

    /// Sends a request and reads the answer.
    pub fn ask(
        &self,
        method: &str,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> HttpAnswer {
        if self.protocol == Protocol::Http2 {
            let mut all = http2::request(method, "https", host, path);
            all.extend(headers);
            return ask_http2(self.connect(), &all);
        }
        let mut lines = vec![format!("{method} {path} HTTP/1.1"), format!("Host: {host}")];
        lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
        ask_http(self.connect(), &lines.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Opens a WebSocket. The error is the HTTP status with which it was refused.
    pub fn open(
        &self,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<ClientSession, u16> {
        match self.protocol {
            Protocol::Http => {
                ClientSession::open(self.connect(), &format!("ws://{host}{path}"), headers)
            }
            Protocol::Https => {
                ClientSession::open(self.connect(), &format!("wss://{host}{path}"), headers)
            }
            Protocol::Http2 => {
                ClientSession::open_http2(self.connect(), "https", host, path, headers)
            }
        }
    }
}

/// Two WCS servers with their agents, a web front end, and HAProxy with `wcs.cfg`.
pub struct WcsSite {
    pub wcs: [Service; 2],
    pub web: Service,
    pub haproxy: Haproxy,
    pub authority: tls::Authority,
    _agents: [(Xinetd, Server); 2],
}

impl WcsSite {
    pub fn start(others: &[(&'static str, &str)]) -> Self {
        let hosts = Hosts::new();
        let authority = tls::Authority::new();
        let wcs = [("wcs1", 2), ("wcs2", 3)]
            .map(|(name, n)| Service::start(name, hosts.at(n, 8080), |request| request.echo()));
        let web =
            Service::start("web", hosts.at(4, 8180), |request| request.respond("200 OK", "a page"));
        let agents = [0, 1].map(|n| {
            let service = wcs[n].health();
            let page = Server::start(move |stream| {
                let hls = if service.load(Ordering::SeqCst) { "1" } else { "10" };
                let page = text_page(&[("streams_hls", hls)]);
                let _ = stream.write_all(&response("200 OK", &page));
            });
            let args = format!("--describe --stats-url {} hls 10", page.url());
            (Xinetd::start_at(hosts.at(n as u8 + 2, 9707), WCS_AGENT, &args), page)
        });
        let pem = authority.server_key_and_certificate();
        let mut variables = variables(&hosts, &[("WCS1", 2), ("WCS2", 3), ("WEB", 4)], others);
        variables.push(("CERT", pem.display().to_string()));
        let haproxy = Haproxy::start_shipped("wcs.cfg", hosts.at(0, 443), &variables);
        Self { wcs, web, haproxy, authority, _agents: agents }
    }

    pub fn connect(&self) -> (impl Duplex + 'static, SocketAddr) {
        let tcp = connect(self.haproxy.address);
        let address = tcp.local_addr().unwrap();
        (self.authority.client(tcp), address)
    }

    pub fn open(&self, headers: &[(&str, &str)]) -> ClientSession {
        let (stream, _) = self.connect();
        ClientSession::open(stream, "wss://localhost/", headers).unwrap()
    }

    pub fn services(&self) -> [&Service; 2] {
        self.wcs.each_ref()
    }

    /// What a client sees that speaks HTTP/2, although `wcs.cfg` does not offer it: HAProxy recognises it by its
    /// first bytes.
    pub fn ask_http2(&self, path: &str, headers: &[(&str, &str)]) -> HttpAnswer {
        let mut all = http2::request("GET", "https", "localhost", path);
        all.extend(headers);
        ask_http2(self.connect().0, &all)
    }

    pub fn open_http2(&self, headers: &[(&str, &str)]) -> ClientSession {
        let (stream, _) = self.connect();
        ClientSession::open_http2(stream, "https", "localhost", "/", headers).unwrap()
    }
}

/// Two servers of a WebSocket application, and HAProxy with `websocket.cfg`.
pub struct WebSocketSite {
    pub hosts: Hosts,
    pub servers: [Service; 2],
    pub haproxy: Haproxy,
    pub authority: tls::Authority,
    _agent: Xinetd,
}

impl WebSocketSite {
    pub fn start(others: &[(&'static str, &str)]) -> Self {
        Self::start_file(&shipped("websocket.cfg"), others, |request| match request.is_healthy {
            true if request.is_upgrade() => request.echo(),
            true => request.respond("200 OK", "no WebSocket"),
            false => request.respond("503 Service Unavailable", "out of order"),
        })
    }

    /// The same with another configuration, and with servers that answer otherwise.
    pub fn start_file(
        file: &Path,
        others: &[(&'static str, &str)],
        answer: impl Fn(IncomingRequest) + Clone + Send + Sync + 'static,
    ) -> Self {
        let hosts = Hosts::new();
        let authority = tls::Authority::new();
        let servers = [("ws1", 2), ("ws2", 3)]
            .map(|(name, n)| Service::start(name, hosts.at(n, 8080), answer.clone()));
        let agent = agent_for_all(&hosts);
        let mut variables = variables(&hosts, &[("WS1", 2), ("WS2", 3)], &[]);
        variables.push(("STATS", hosts.at(4, 8404).to_string()));
        let pem = authority.server_key_and_certificate().display().to_string();
        variables.push(("CERT", pem));
        // Of two values of a variable, the last one counts.
        variables.extend(others.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let haproxy = Haproxy::start_file(file, hosts.at(0, 80), &variables);
        Self { hosts, servers, haproxy, authority, _agent: agent }
    }

    pub fn client(&self, protocol: Protocol) -> Client<'_> {
        Client::new(&self.hosts, &self.authority, protocol)
    }

    pub fn open(&self) -> ClientSession {
        ClientSession::open(connect(self.haproxy.address), "ws://localhost/chat", &[]).unwrap()
    }

    /// Waits until HAProxy has the agent's reply for both servers.
    pub fn wait_until_reported(&self) {
        for name in ["ws1", "ws2"] {
            self.haproxy.wait_for_reason(&format!("application/{name}"), "via agent : up");
        }
    }
}

/// The servers of an Antelope site, and HAProxy with `antelope.cfg`.
pub struct AntelopeSite {
    pub hosts: Hosts,
    pub nodeos: [Service; 3],
    pub hyperion: [Service; 2],
    pub streaming: [Service; 2],
    pub ship: [Service; 2],
    pub atomic: [Service; 2],
    pub p2p: [Service; 2],
    pub p2p_apis: [Service; 2],
    pub haproxy: Haproxy,
    pub authority: tls::Authority,
    _agent: Xinetd,
}

/// Answers get_info as nodeos does, and any other request with a page.
pub fn nodeos(request: IncomingRequest) {
    match request.path() {
        "/v1/chain/get_info" => {
            let body = antelope::get_info(if request.is_healthy { 0.0 } else { 600.0 });
            request.respond("200 OK", &body);
        }
        _ => request.respond("200 OK", "a page"),
    }
}

fn hyperion(request: IncomingRequest) {
    match request.path() {
        "/v2/health" => {
            let lag_s = if request.is_healthy { 0.0 } else { 600.0 };
            request.respond("200 OK", &antelope::v2_health(lag_s, antelope::HEAD));
        }
        _ => request.respond("200 OK", "a page"),
    }
}

fn streaming(request: IncomingRequest) {
    match request.is_healthy {
        true if request.is_upgrade() => request.echo(),
        true => request.respond("400 Bad Request", r#"{"code":0,"message":"Transport unknown"}"#),
        false => request.respond("503 Service Unavailable", "out of order"),
    }
}

/// Speaks the protocol of a state history to the agent, which connects directly. Echoes the messages of
/// clients, which connect through HAProxy.
fn ship(request: IncomingRequest) {
    if request.head.to_ascii_lowercase().contains("\r\nx-forwarded-for: ") {
        return request.echo();
    }
    let lag_s = if request.is_healthy { 0.0 } else { 600.0 };
    state_history::talk(request.stream, &Node { lag_s, ..Node::healthy() });
}

fn atomic(request: IncomingRequest) {
    match request.path() {
        "/health" => {
            let redis = if request.is_healthy { "OK" } else { "ERROR" };
            request.respond("200 OK", &antelope::atomic_health(0.0, redis));
        }
        _ => request.respond("200 OK", "a page"),
    }
}

impl AntelopeSite {
    pub fn start(others: &[(&'static str, &str)]) -> Self {
        let hosts = Hosts::new();
        let start = |name, n, port, answer: fn(IncomingRequest)| {
            Service::start(name, hosts.at(n, port), answer)
        };
        let nodeos_servers = [("api1", 2), ("api2", 3), ("api3", 4)];
        let agent = agent_for_all(&hosts);
        let authority = tls::Authority::new();
        let names = [
            ("API1", 2),
            ("API2", 3),
            ("API3", 4),
            ("HYPERION1", 5),
            ("HYPERION2", 6),
            ("SHIP1", 7),
            ("SHIP2", 8),
            ("ATOMIC1", 9),
            ("ATOMIC2", 10),
            ("P2P1", 11),
            ("P2P2", 12),
        ];
        let mut variables = variables(&hosts, &names, others);
        let pem = authority.server_key_and_certificate().display().to_string();
        variables.push(("CERT", pem));
        Self {
            nodeos: nodeos_servers.map(|(name, n)| start(name, n, 8888, nodeos)),
            hyperion: [("hyperion1", 5), ("hyperion2", 6)]
                .map(|(name, n)| start(name, n, 7000, hyperion)),
            streaming: [("streaming1", 5), ("streaming2", 6)]
                .map(|(name, n)| start(name, n, 1234, streaming)),
            ship: [("ship1", 7), ("ship2", 8)].map(|(name, n)| start(name, n, 8080, ship)),
            atomic: [("atomic1", 9), ("atomic2", 10)].map(|(name, n)| start(name, n, 9000, atomic)),
            // Real p2p is not HTTP. HAProxy does not read it, so a WebSocket server that gives its name can
            // stand in.
            p2p: [("p2p1", 11), ("p2p2", 12)]
                .map(|(name, n)| start(name, n, 9876, |request| request.echo())),
            p2p_apis: [("p2p1", 11), ("p2p2", 12)].map(|(name, n)| start(name, n, 8888, nodeos)),
            haproxy: Haproxy::start_shipped("antelope.cfg", hosts.at(0, 80), &variables),
            authority,
            hosts,
            _agent: agent,
        }
    }

    pub fn client(&self, protocol: Protocol) -> Client<'_> {
        Client::new(&self.hosts, &self.authority, protocol)
    }

    pub fn services(&self) -> impl Iterator<Item = &Service> {
        let pairs = [&self.hyperion, &self.streaming, &self.ship, &self.atomic, &self.p2p];
        self.nodeos.iter().chain(pairs.into_iter().flatten())
    }

    pub fn open(&self, url: &str) -> ClientSession {
        ClientSession::open(connect(self.haproxy.address), url, &[]).unwrap()
    }

    pub fn open_p2p(&self) -> ClientSession {
        ClientSession::open(connect(self.hosts.at(0, 9876)), "ws://p2p/", &[]).unwrap()
    }
}

/// Two nodes and two state histories, and HAProxy with `external-check.cfg`.
pub struct ExternalCheckSite {
    pub hosts: Hosts,
    pub nodes: [Service; 2],
    pub ships: [Service; 2],
    pub haproxy: Haproxy,
}

impl ExternalCheckSite {
    pub fn start() -> Self {
        let hosts = Hosts::new();
        let nodes = [("api1", 2), ("api2", 3)]
            .map(|(name, n)| Service::start(name, hosts.at(n, 8888), nodeos));
        let ships = [("ship1", 4), ("ship2", 5)].map(|(name, n)| {
            Service::start(name, hosts.at(n, 8080), |request| {
                if request.path() == "/echo" {
                    return request.echo();
                }
                let lag_s = if request.is_healthy { 0.0 } else { 600.0 };
                state_history::talk(request.stream, &Node { lag_s, ..Node::healthy() });
            })
        });
        let checks = shipped("external-check").display().to_string();
        let names = [("API1", 2), ("API2", 3), ("SHIP1", 4), ("SHIP2", 5)];
        let variables = variables(&hosts, &names, &[("CHECKS", &checks)]);
        let haproxy = Haproxy::start_shipped("external-check.cfg", hosts.at(0, 80), &variables);
        Self { hosts, nodes, ships, haproxy }
    }
}
