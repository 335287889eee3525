//! The HAProxy configurations that the repository ships, with real traffic through a real HAProxy.
//!
//! They listen on ports below 1024, which needs root.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use common::haproxy::{Haproxy, haproxy, shipped};
use common::shipped::*;
use common::state_history::{self, Node};
use common::*;

const ANTELOPE_AGENT: &str = include_str!("../xinetd/antelope-agent-check");
const WCS_AGENT: &str = include_str!("../xinetd/haproxy-agent-check");

/// The agent on port 1337 that HAProxy asks about every server of a configuration.
fn agent_for_all(hosts: &Hosts) -> Xinetd {
    Xinetd::start_at(hosts.at(1, 1337), ANTELOPE_AGENT, "--describe --agent-send required")
}

/// The variables of a configuration: the addresses of HAProxy and the agent, these hosts, and others.
fn variables(
    hosts: &Hosts,
    names: &[(&'static str, u8)],
    others: &[(&'static str, &str)],
) -> Vec<(&'static str, String)> {
    let numbered = [("BIND", 0), ("AGENT", 1)].into_iter().chain(names.iter().copied());
    let addresses = numbered.map(|(name, n)| (name, hosts.host(n).to_string()));
    let others = others.iter().map(|(name, value)| (*name, (*value).to_owned()));
    addresses.chain(others).collect()
}

#[test]
fn each_file_is_valid_without_a_warning_and_without_variables() {
    let authority = tls::Authority::new();
    for name in ["wcs.cfg", "antelope.cfg", "websocket.cfg", "external-check.cfg"] {
        let mut command = haproxy();
        command.env_clear().arg("-c").arg("-f").arg(shipped(name));
        if name == "wcs.cfg" {
            command.env("CERT", authority.server_key_and_certificate());
        }
        let outcome = finish(&mut command);
        assert_eq!(outcome.exit_status, Some(0), "{name}: {outcome:?}");
        assert!(!outcome.stderr.contains("WARNING"), "{name}: {}", outcome.stderr);
        assert!(!outcome.stdout.contains("Warning"), "{name}: {}", outcome.stdout);
    }
}

/// Takes a server of a back end down and up again. While it is down, its sessions live on and it gets no
/// new one. Afterwards it gets new ones again. `open` opens a session.
fn check_that_a_down_server_only_keeps_its_sessions(
    haproxy: &Haproxy,
    backend: &str,
    services: [&Service; 2],
    open: impl Fn() -> ClientSession,
) {
    let [falling, staying] = services;
    let server = format!("{backend}/{}", falling.name);
    for service in services {
        haproxy.wait_for_reason(&format!("{backend}/{}", service.name), "via agent : up");
    }
    let mut sessions: Vec<_> = (0..6).map(|_| open()).collect();
    let names: BTreeSet<_> = sessions.iter().map(|session| session.server.as_str()).collect();
    assert_eq!(names, BTreeSet::from([falling.name, staying.name]));

    falling.set_healthy(false);
    haproxy.wait_for(&server, "DOWN");
    for _ in 0..4 {
        assert_eq!(open().server, staying.name);
    }
    for session in &mut sessions {
        assert!(session.is_alive(), "{}", session.server);
    }

    falling.set_healthy(true);
    haproxy.wait_for(&server, "UP");
    let is_back = (0..8).any(|_| open().server == falling.name);
    assert!(is_back, "{} gets sessions again", falling.name);
    assert!(sessions.iter_mut().all(ClientSession::is_alive));
}

/// Checks, with a tunnel timeout of 2 s, that a silent session is cut after that time and a busy one is
/// not.
fn check_that_only_a_silent_session_is_cut(open: impl Fn() -> ClientSession) {
    let (mut silent, mut busy) = (open(), open());
    assert!(silent.is_alive());
    let silent_since = Instant::now();
    let silent = thread::spawn(move || {
        assert!(silent.socket.read().is_err(), "the session ends without a message");
        silent_since.elapsed()
    });
    while silent_since.elapsed() < Duration::from_secs(4) {
        assert!(busy.is_alive());
        thread::sleep(Duration::from_millis(100));
    }
    let cut_after = silent.join().unwrap();
    assert!((1.9..4.0).contains(&cut_after.as_secs_f64()), "{cut_after:?}");
}

/// Two WCS servers with their agents, a web front end, and HAProxy with `wcs.cfg`.
struct WcsSite {
    wcs: [Service; 2],
    web: Service,
    haproxy: Haproxy,
    authority: tls::Authority,
    _agents: [(Xinetd, Server); 2],
}

impl WcsSite {
    fn start(others: &[(&'static str, &str)]) -> Self {
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

    fn connect(&self) -> (impl Duplex + 'static, SocketAddr) {
        let tcp = connect(self.haproxy.address);
        let address = tcp.local_addr().unwrap();
        (self.authority.client(tcp), address)
    }

    fn open(&self, headers: &[(&str, &str)]) -> ClientSession {
        let (stream, _) = self.connect();
        ClientSession::open(stream, "wss://localhost/", headers).unwrap()
    }

    fn services(&self) -> [&Service; 2] {
        self.wcs.each_ref()
    }
}

#[test]
fn wcs_gets_the_websockets_and_the_web_front_end_gets_the_rest() {
    let site = WcsSite::start(&[]);
    let (stream, client) = site.connect();
    let mut session =
        ClientSession::open(stream, "wss://localhost/", &[("X-Client-IP", "6.6.6.6:666")]).unwrap();
    assert!(session.is_alive());
    let heads = site.wcs.iter().flat_map(Service::client_heads).collect::<Vec<_>>();
    let told: Vec<_> = heads[0]
        .lines()
        .filter(|line| line.to_ascii_lowercase().starts_with("x-client-ip:"))
        .collect();
    assert_eq!(told.len(), 1, "{heads:?}");
    assert!(told[0].ends_with(&format!(" {client}")), "{told:?}");

    let both = "Connection: keep-alive, Upgrade";
    let asked = [
        ("GET", both, "Upgrade: WebSocket", 101, "wcs"),
        ("GET", "Connection: upgrade", "Upgrade: WEBSOCKET", 101, "wcs"),
        ("GET", both, "Upgrade: h2c", 200, "web"),
        ("GET", both, "X: y", 200, "web"),
        ("GET", "Connection: close", "Upgrade: WebSocket", 200, "web"),
        ("HEAD", both, "Upgrade: WebSocket", 200, "web"),
        ("POST", both, "Upgrade: WebSocket", 200, "web"),
    ];
    for (method, connection, upgrade, status, server) in asked {
        let [_, _, version, key] = UPGRADE;
        let first = format!("{method} /x HTTP/1.1");
        let lines = [first.as_str(), "Host: localhost", connection, upgrade, version, key];
        let answer = ask_http(site.connect().0, &lines);
        assert_eq!(answer.status, status, "{upgrade} {answer:?}");
        assert!(answer.server().starts_with(server), "{upgrade} {answer:?}");
    }
    assert_eq!(site.web.client_heads().len(), 5);
    for server in ["wcs_back/wcs1", "wcs_back_sticky/wcs2", "wcs_back_leastconn/wcs1"] {
        assert_eq!(site.haproxy.stat(server, "slim"), "100", "{server}");
    }
}

#[test]
fn a_wcs_that_is_down_only_keeps_its_sessions() {
    let site = WcsSite::start(&[]);
    let open = || site.open(&[]);
    check_that_a_down_server_only_keeps_its_sessions(
        &site.haproxy,
        "wcs_back",
        site.services(),
        open,
    );
}

#[test]
fn a_cookie_keeps_a_client_on_its_wcs_until_that_is_down() {
    let site = WcsSite::start(&[("WCS_BACKEND", "wcs_back_sticky")]);
    for name in ["wcs1", "wcs2"] {
        site.haproxy.wait_for_reason(&format!("wcs_back_sticky/{name}"), "via agent : up");
    }
    let first = site.open(&[]);
    let cookie = first.cookie.clone().expect("a new client gets a cookie");
    for _ in 0..5 {
        let next = site.open(&[("Cookie", &cookie)]);
        assert_eq!((next.server, next.cookie), (first.server.clone(), None));
    }
    // Clients without a cookie are spread over both servers.
    let names: BTreeSet<_> = (0..4).map(|_| site.open(&[]).server).collect();
    assert_eq!(names.len(), 2);
    for service in site.services() {
        assert!(service.client_heads().iter().all(|head| !head.contains("WCSSERVER")));
    }

    let [own, other] = match site.services() {
        [own, other] if own.name == first.server => [own, other],
        [other, own] => [own, other],
    };
    own.set_healthy(false);
    site.haproxy.wait_for(&format!("wcs_back_sticky/{}", own.name), "DOWN");
    let moved = site.open(&[("Cookie", &cookie)]);
    assert_eq!(moved.server, other.name);
    let new_cookie = moved.cookie.expect("the client is told of its new server");
    assert_ne!(new_cookie, cookie);
    own.set_healthy(true);
    site.haproxy.wait_for(&format!("wcs_back_sticky/{}", own.name), "UP");
    for _ in 0..3 {
        assert_eq!(site.open(&[("Cookie", &new_cookie)]).server, other.name);
    }
}

#[test]
fn least_connections_spread_long_connections() {
    let site = WcsSite::start(&[("WCS_BACKEND", "wcs_back_leastconn")]);
    let open = || site.open(&[]);
    let mut sessions: Vec<_> = (0..10).map(|_| open()).collect();
    let on =
        |sessions: &[ClientSession], name| sessions.iter().filter(|s| s.server == name).count();
    assert_eq!((on(&sessions, "wcs1"), on(&sessions, "wcs2")), (5, 5));
    // The clients of one server leave, so that new clients go there.
    sessions.retain(|session| session.server == "wcs2");
    site.haproxy.wait_for_stat("wcs_back_leastconn/wcs1", "scur", "0");
    let new: Vec<_> = (0..5).map(|_| open()).collect();
    assert_eq!(on(&new, "wcs1"), 5);
    drop((sessions, new));
    check_that_a_down_server_only_keeps_its_sessions(
        &site.haproxy,
        "wcs_back_leastconn",
        site.services(),
        open,
    );
}

#[test]
fn a_silent_session_of_wcs_is_cut() {
    let site = WcsSite::start(&[("TUNNEL_TIMEOUT", "2s")]);
    check_that_only_a_silent_session_is_cut(|| site.open(&[]));
}

/// Two servers of a WebSocket application, and HAProxy with `websocket.cfg`.
struct WebSocketSite {
    hosts: Hosts,
    servers: [Service; 2],
    haproxy: Haproxy,
    _agent: Xinetd,
}

impl WebSocketSite {
    fn start(others: &[(&'static str, &str)]) -> Self {
        let hosts = Hosts::new();
        let servers = [0, 1].map(|n| Self::server(&hosts, n));
        let agent = agent_for_all(&hosts);
        let mut variables = variables(&hosts, &[("WS1", 2), ("WS2", 3)], others);
        variables.push(("STATS", hosts.at(4, 8404).to_string()));
        let haproxy = Haproxy::start_shipped("websocket.cfg", hosts.at(0, 80), &variables);
        Self { hosts, servers, haproxy, _agent: agent }
    }

    fn server(hosts: &Hosts, n: u8) -> Service {
        let name = ["ws1", "ws2"][usize::from(n)];
        Service::start(name, hosts.at(n + 2, 8080), |request| match request.is_healthy {
            true if request.is_upgrade() => request.echo(),
            true => request.respond("200 OK", "no WebSocket"),
            false => request.respond("503 Service Unavailable", "out of order"),
        })
    }

    fn open(&self) -> ClientSession {
        ClientSession::open(connect(self.haproxy.address), "ws://localhost/chat", &[]).unwrap()
    }

    /// Waits until HAProxy has the agent's reply for both servers.
    fn wait_until_reported(&self) {
        for name in ["ws1", "ws2"] {
            self.haproxy.wait_for_reason(&format!("application/{name}"), "via agent : up");
        }
    }
}

#[test]
fn any_websocket_application_is_balanced_and_learns_its_clients_addresses() {
    let site = WebSocketSite::start(&[]);
    site.wait_until_reported();
    let names: Vec<_> = (0..6).map(|_| site.open().server).collect();
    assert!(names.windows(2).all(|two| two[0] != two[1]), "round robin: {names:?}");

    let lines = ["GET /page HTTP/1.1", "Host: localhost", "X-Forwarded-For: 6.6.6.6"];
    let answer = ask_http(connect_from(site.hosts.host(9), site.haproxy.address), &lines);
    assert_eq!(answer.status, 200, "{answer:?}");
    let heads = site.servers.iter().flat_map(Service::client_heads).collect::<Vec<_>>();
    let head = heads.iter().find(|head| head.starts_with("GET /page ")).unwrap();
    assert_eq!(forwarded_for(head), [site.hosts.host(9).to_string()]);

    let page = ask_http(connect(site.hosts.at(4, 8404)), &["GET /stats HTTP/1.1", "Host: a"]);
    assert_eq!(page.status, 200);
    assert!(page.text.contains("application") && page.text.contains("ws2"), "{page:?}");
}

/// The values of the X-Forwarded-For headers in the head of a request.
fn forwarded_for(head: &str) -> Vec<String> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let told = lines.filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"));
    told.map(|(_, client)| client.to_owned()).collect()
}

#[test]
fn a_websocket_server_that_is_down_only_keeps_its_sessions() {
    let site = WebSocketSite::start(&[]);
    let services = site.servers.each_ref();
    let open = || site.open();
    check_that_a_down_server_only_keeps_its_sessions(&site.haproxy, "application", services, open);
}

#[test]
fn a_silent_session_of_any_websocket_is_cut() {
    let site = WebSocketSite::start(&[("TUNNEL_TIMEOUT", "2s")]);
    check_that_only_a_silent_session_is_cut(|| site.open());
}

/// Prints how many messages were echoed.
#[test]
fn five_hundred_sessions_live_on_while_servers_go_down_and_up() {
    let site = WebSocketSite::start(&[]);
    site.wait_until_reported();
    let mut sessions: Vec<_> = (0..500).map(|_| site.open()).collect();
    let mut echoed = 0;
    let mut echo = |sessions: &mut Vec<ClientSession>| {
        for session in sessions {
            assert!(session.is_alive(), "a session on {} is lost", session.server);
            echoed += 1;
        }
    };
    let mut echo_until =
        |haproxy: &Haproxy, sessions: &mut Vec<ClientSession>, server: &str, status: &str| {
            wait_until(status, || {
                echo(sessions);
                haproxy.stat(server, "status").starts_with(status).then_some(())
            });
        };
    // The agent reports each server down and up again. No session may be lost.
    for n in [0, 1] {
        let server = format!("application/{}", site.servers[n].name);
        site.servers[n].set_healthy(false);
        echo_until(&site.haproxy, &mut sessions, &server, "DOWN");
        site.servers[n].set_healthy(true);
        echo_until(&site.haproxy, &mut sessions, &server, "UP");
    }
    // Each server crashes and is started again. Only its own sessions may be lost.
    for n in [0, 1] {
        let name = site.servers[n].name;
        let server = format!("application/{name}");
        site.servers[n].kill();
        sessions.retain(|session| session.server != name);
        assert!(sessions.len() >= 100, "{}", sessions.len());
        echo_until(&site.haproxy, &mut sessions, &server, "DOWN");
        site.servers[n].restart();
        echo_until(&site.haproxy, &mut sessions, &server, "UP");
        while sessions.len() < 500 {
            sessions.push(site.open());
        }
    }
    echo(&mut sessions);
    println!("{} sessions, {echoed} messages echoed, none lost", sessions.len());
}

/// The servers of an Antelope site, and HAProxy with `antelope.cfg`.
struct AntelopeSite {
    hosts: Hosts,
    nodeos: [Service; 3],
    hyperion: [Service; 2],
    streaming: [Service; 2],
    ship: [Service; 2],
    atomic: [Service; 2],
    p2p: [Service; 2],
    p2p_apis: [Service; 2],
    haproxy: Haproxy,
    _agent: Xinetd,
}

/// Answers get_info as nodeos does, and any other request with a page.
fn nodeos(request: IncomingRequest) {
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
    fn start(others: &[(&'static str, &str)]) -> Self {
        let hosts = Hosts::new();
        let start = |name, n, port, answer: fn(IncomingRequest)| {
            Service::start(name, hosts.at(n, port), answer)
        };
        let nodeos_servers = [("api1", 2), ("api2", 3), ("api3", 4)];
        let agent = agent_for_all(&hosts);
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
            haproxy: Haproxy::start_shipped(
                "antelope.cfg",
                hosts.at(0, 80),
                &variables(&hosts, &names, others),
            ),
            hosts,
            _agent: agent,
        }
    }

    fn services(&self) -> impl Iterator<Item = &Service> {
        let pairs = [&self.hyperion, &self.streaming, &self.ship, &self.atomic, &self.p2p];
        self.nodeos.iter().chain(pairs.into_iter().flatten())
    }

    fn open(&self, url: &str) -> ClientSession {
        ClientSession::open(connect(self.haproxy.address), url, &[]).unwrap()
    }

    fn open_p2p(&self) -> ClientSession {
        ClientSession::open(connect(self.hosts.at(0, 9876)), "ws://p2p/", &[]).unwrap()
    }
}

#[test]
fn every_route_of_an_antelope_site_reaches_its_back_end_and_no_other() {
    let site = AntelopeSite::start(&[("API_HOST", "wax.Example.com")]);
    let api = "wax.example.com";
    let mut case = 0;
    for (method, host, path, is_upgrade, reached) in [
        ("GET", api, "/v1/chain/get_block?x=1", false, "api"),
        ("POST", api, "/v1/chain/push_transaction", false, "api"),
        ("GET", "WAX.example.COM", "/v1/chain/get_info/x", false, "api"),
        ("GET", "wax.example.com:80", "/v1/chain/x", false, "api"),
        ("GET", api, "/v1/node/get_supported_apis", false, "api"),
        ("GET", api, "/v1/chain/x", true, "api"),
        ("GET", api, "/v2/history/get_actions", false, "hyperion"),
        ("GET", "wax.example.com:8080", "/v2/", false, "hyperion"),
        ("GET", api, "/stream/?EIO=4&transport=polling", false, "streaming"),
        ("POST", api, "/stream/?EIO=4&transport=polling", false, "streaming"),
        ("GET", api, "/stream/?EIO=4&transport=websocket", true, "streaming"),
        ("GET", api, "/", true, "streaming"),
        ("GET", api, "/anything", true, "streaming"),
        ("GET", "ws-wax.example.com", "/", true, "ship"),
        ("GET", "WS-wax.example.com:80", "/x", true, "ship"),
        ("GET", "atomic.example.com", "/", false, "atomic"),
        ("POST", "ATOMIC.example.com:80", "/atomicassets/v1/assets", false, "atomic"),
        ("GET", "atomic.example.com", "/v1/chain/get_info/x", false, "atomic"),
        ("GET", api, "/", false, ""),
        ("GET", api, "/v1/chain", false, ""),
        ("GET", api, "/v1/history/get_actions", false, ""),
        ("GET", api, "/v1/node/get_supported_apis/x", false, ""),
        ("GET", api, "/v2", false, ""),
        ("GET", api, "/stream", false, ""),
        ("GET", api, "/V1/chain/x", false, ""),
        ("HEAD", api, "/", true, ""),
        ("POST", api, "/", true, ""),
        ("GET", "ws-wax.example.com", "/", false, ""),
        ("GET", "ws-wax.example.com", "/v1/chain/x", false, ""),
        ("HEAD", "ws-wax.example.com", "/", true, ""),
        ("GET", "example.com", "/v1/chain/x", false, ""),
        ("GET", "xwax.example.com", "/v1/chain/x", false, ""),
        ("GET", "wax.example.com.evil.example", "/v2/x", false, ""),
        ("GET", "127.0.0.1", "/", true, ""),
    ] {
        case += 1;
        let first = format!("{method} {path} HTTP/1.1");
        // HAProxy passes header names on in lower case.
        let (host, mark) = (format!("Host: {host}"), format!("x-case: {case}!"));
        let mut lines = vec![first.as_str(), &host, &mark, "X-Forwarded-For: 6.6.6.6"];
        if is_upgrade {
            lines.extend(UPGRADE);
        }
        let answer = ask_http(connect_from(site.hosts.host(14), site.haproxy.address), &lines);
        let has_seen =
            |service: &&Service| service.client_heads().iter().any(|head| head.contains(&mark));
        let names: Vec<_> = site.services().filter(has_seen).map(|service| service.name).collect();
        if reached.is_empty() {
            assert_eq!((answer.status, names.len()), (404, 0), "{lines:?} {answer:?}");
            continue;
        }
        assert_eq!(names, [answer.server()], "{lines:?} {answer:?}");
        assert!(answer.server().starts_with(reached), "{lines:?} {answer:?}");
        let heads = site.services().flat_map(Service::client_heads);
        let head = heads.into_iter().find(|head| head.contains(&mark)).unwrap();
        assert_eq!(forwarded_for(&head), [site.hosts.host(14).to_string()], "{lines:?}");
    }
    // The Connection header has to contain the word Upgrade.
    let [_, upgrade, version, key] = UPGRADE;
    for connection in ["Connection: close", "Connection: keep-alive"] {
        let lines = ["GET / HTTP/1.1", "Host: wax.example.com", connection, upgrade, version, key];
        assert_eq!(ask_http(connect(site.haproxy.address), &lines).status, 404, "{connection}");
    }
}

#[test]
fn the_servers_of_an_antelope_site_have_their_weights_and_limits() {
    let site = AntelopeSite::start(&[]);
    let mut shares = BTreeMap::new();
    for _ in 0..12 {
        let lines = ["GET /v1/chain/x HTTP/1.1", "Host: wax.example.com"];
        let answer = ask_http(connect(site.haproxy.address), &lines);
        *shares.entry(answer.server()).or_insert(0) += 1;
    }
    let expected = [("api1", 2), ("api2", 2), ("api3", 8)].map(|(name, n)| (name.to_owned(), n));
    assert_eq!(shares, BTreeMap::from(expected));
    for (server, most) in [
        ("nodeos/api3", "10000"),
        ("streaming/streaming1", "200"),
        ("state_history/ship2", "200"),
        ("hyperion/hyperion1", ""),
        ("p2p/p2p1", ""),
    ] {
        assert_eq!(site.haproxy.stat(server, "slim"), most, "{server}");
    }
}

#[test]
fn a_client_of_streaming_stays_on_its_server_without_a_cookie() {
    let site = AntelopeSite::start(&[]);
    let url = "ws://wax.example.com/stream/?EIO=4&transport=websocket";
    let servers_for = |n: u8| {
        let connect = || connect_from(site.hosts.host(n), site.haproxy.address);
        let poll = |_| {
            let lines = ["GET /stream/?EIO=4 HTTP/1.1", "Host: wax.example.com"];
            ask_http(connect(), &lines).server()
        };
        let mut names: BTreeSet<_> = (0..5).map(poll).collect();
        let session = ClientSession::open(connect(), url, &[]).unwrap();
        names.insert(session.server.clone());
        (names, session)
    };
    let (one, session) = servers_for(13);
    assert_eq!(one.len(), 1, "{one:?}");
    // The next client goes to the server that has no session.
    let (other, _) = servers_for(14);
    assert_eq!(other.len(), 1, "{other:?}");
    assert_ne!(one, other);
    drop(session);
    assert_eq!(servers_for(13).0, one);
}

#[test]
fn an_antelope_server_that_is_down_only_keeps_its_sessions() {
    let site = AntelopeSite::start(&[]);
    let ship = || site.open("ws://ws-wax.example.com/");
    thread::scope(|scope| {
        let haproxy = &site.haproxy;
        scope.spawn(|| {
            let services = site.ship.each_ref();
            check_that_a_down_server_only_keeps_its_sessions(
                haproxy,
                "state_history",
                services,
                ship,
            );
        });
        // Back ends with requests only, and no sessions.
        for (backend, services, request) in [
            ("hyperion", &site.hyperion, ["GET /v2/x HTTP/1.1", "Host: wax.example.com"]),
            ("atomic", &site.atomic, ["GET / HTTP/1.1", "Host: atomic.example.com"]),
        ] {
            scope.spawn(move || {
                let [falling, staying] = services;
                let server = format!("{backend}/{}", falling.name);
                let answers = || -> BTreeSet<_> {
                    (0..4).map(|_| ask_http(connect(haproxy.address), &request).server()).collect()
                };
                haproxy.wait_for_reason(&server, "via agent : up");
                assert_eq!(answers().len(), 2, "{backend}");
                falling.set_healthy(false);
                haproxy.wait_for(&server, "DOWN");
                assert_eq!(answers(), BTreeSet::from([staying.name.to_owned()]), "{backend}");
                falling.set_healthy(true);
                haproxy.wait_for(&server, "UP");
                assert_eq!(answers().len(), 2, "{backend}");
            });
        }
    });
}

#[test]
fn p2p_sessions_of_a_lagging_node_are_cut() {
    let site = AntelopeSite::start(&[]);
    for name in ["p2p1", "p2p2"] {
        site.haproxy.wait_for_reason(&format!("p2p/{name}"), "via agent : up");
    }
    let mut sessions: Vec<_> = (0..6).map(|_| site.open_p2p()).collect();
    site.p2p_apis[0].set_healthy(false);
    site.haproxy.wait_for("p2p/p2p1", "DOWN");
    for session in &mut sessions {
        assert_eq!(session.is_alive(), session.server == "p2p2", "{}", session.server);
    }
    assert_eq!(sessions.iter().filter(|session| session.server == "p2p1").count(), 3);
    assert_eq!(site.open_p2p().server, "p2p2");
    site.p2p_apis[0].set_healthy(true);
    site.haproxy.wait_for("p2p/p2p1", "UP");
    assert_eq!(site.open_p2p().server, "p2p1");
}

#[test]
fn silent_sessions_of_an_antelope_site_are_cut() {
    let site = AntelopeSite::start(&[("TUNNEL_TIMEOUT", "2s")]);
    thread::scope(|scope| {
        for url in ["ws://ws-wax.example.com/", "ws://wax.example.com/stream/"] {
            scope.spawn(|| check_that_only_a_silent_session_is_cut(|| site.open(url)));
        }
        scope.spawn(|| check_that_only_a_silent_session_is_cut(|| site.open_p2p()));
    });
}

#[test]
fn without_an_agent_port_external_checks_judge_nodeos_and_state_history() {
    let hosts = Hosts::new();
    let nodes =
        [("api1", 2), ("api2", 3)].map(|(name, n)| Service::start(name, hosts.at(n, 8888), nodeos));
    let ships = [("ship1", 4), ("ship2", 5)].map(|(name, n)| {
        Service::start(name, hosts.at(n, 8080), |request| {
            let lag_s = if request.is_healthy { 0.0 } else { 600.0 };
            state_history::talk(request.stream, &Node { lag_s, ..Node::healthy() });
        })
    });
    let checks = shipped("external-check").display().to_string();
    let names = [("API1", 2), ("API2", 3), ("SHIP1", 4), ("SHIP2", 5)];
    let variables = variables(&hosts, &names, &[("CHECKS", &checks)]);
    let haproxy = Haproxy::start_shipped("external-check.cfg", hosts.at(0, 80), &variables);
    let ask =
        || ask_http(connect(haproxy.address), &["GET /v1/chain/x HTTP/1.1", "Host: a"]).server();
    // The whole protocol passes through HAProxy: here the agent asks the state history by HAProxy's
    // address.
    let judge = format!("ship|ws://{}", hosts.at(0, 8080));
    agent(&[&judge]).expect("up\n", 0);
    assert_eq!(BTreeSet::from([ask(), ask()]).len(), 2);
    thread::scope(|scope| {
        for (services, backend) in [(&nodes, "nodeos"), (&ships, "state_history")] {
            let haproxy = &haproxy;
            scope.spawn(move || {
                let server = format!("{backend}/{}", services[0].name);
                services[0].set_healthy(false);
                haproxy.wait_for(&server, "DOWN");
                if backend == "nodeos" {
                    assert_eq!([ask(), ask()], ["api2"; 2]);
                }
                services[0].set_healthy(true);
                haproxy.wait_for(&server, "UP");
            });
        }
    });
    for service in &ships {
        service.set_healthy(false);
        haproxy.wait_for(&format!("state_history/{}", service.name), "DOWN");
    }
    agent(&["-d", &judge]).expect(
        &format!("fail # ws://{}: answered HTTP 503, no WebSocket upgrade\n", hosts.at(0, 8080)),
        1,
    );
}
