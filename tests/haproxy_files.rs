//! The HAProxy configurations that the repository ships, with real traffic through a real HAProxy.
//!
//! They listen on ports below 1024, which needs root.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::haproxy::{HAPROXY, Haproxy, haproxy, shipped};
use common::shipped::*;
use common::sites::*;
use common::*;

const FILES: [&str; 4] = ["wcs.cfg", "antelope.cfg", "websocket.cfg", "external-check.cfg"];

/// The configurations that serve TLS. For `wcs.cfg`, CERT has to name a file.
const FILES_WITH_TLS: [&str; 3] = ["wcs.cfg", "antelope.cfg", "websocket.cfg"];

#[test]
fn each_file_is_valid_without_a_warning_with_and_without_a_certificate() {
    let authority = tls::Authority::new();
    let pem = authority.server_key_and_certificate().display().to_string();
    for name in FILES {
        for cert in [None, Some(""), Some(pem.as_str())] {
            if name == "wcs.cfg" && cert != Some(&pem) {
                continue;
            }
            let mut command = haproxy();
            command.env_clear().arg("-c").arg("-f").arg(shipped(name));
            command.envs(cert.map(|cert| ("CERT", cert)));
            let outcome = finish(&mut command);
            assert_eq!(outcome.exit_status, Some(0), "{name} {cert:?}: {outcome:?}");
            let output = (outcome.stdout + &outcome.stderr).to_ascii_lowercase();
            assert!(!output.contains("warning"), "{name} {cert:?}: {output}");
        }
    }
}

#[test]
fn haproxy_does_not_start_if_cert_names_no_certificate() {
    let authority = tls::Authority::new();
    let hosts = Hosts::new();
    for name in FILES_WITH_TLS {
        for (cert, reason) in [
            (authority.file().with_file_name("missing"), "No such file or directory"),
            // The certificate without its key.
            (authority.server_certificate(), "private key"),
        ] {
            let process = haproxy()
                .envs([("CERT", cert.as_os_str()), ("BIND", hosts.host(0).to_string().as_ref())])
                .env("STATS", hosts.at(1, 8404).to_string())
                .args(["-db", "-f"])
                .arg(shipped(name))
                .stderr(Stdio::piped())
                .spawn();
            let mut process = Process(process.unwrap());
            assert_eq!(process.wait().code(), Some(1), "{name} {cert:?}");
            let mut errors = String::new();
            process.0.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            assert!(errors.contains(cert.to_str().unwrap()), "{name}: {errors}");
            assert!(errors.to_ascii_lowercase().contains(&reason.to_ascii_lowercase()), "{errors}");
        }
    }
}

#[test]
fn without_a_certificate_only_port_80_is_open() {
    for others in [&[][..], &[("CERT", "")]] {
        let hosts = Hosts::new();
        for name in ["antelope.cfg", "websocket.cfg"] {
            let mut variables = variables(&hosts, &[], others);
            variables.push(("STATS", hosts.at(1, 8404).to_string()));
            let _haproxy = Haproxy::start_shipped(name, hosts.at(0, 80), &variables);
            TcpStream::connect(hosts.at(0, 80)).expect("port 80 is open");
            let error = TcpStream::connect(hosts.at(0, 443)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{name}");
        }
    }
}

/// A configuration of OpenSSL that allows every version of TLS.
const EVERY_TLS: &str = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n\
                         MinProtocol = None\nCipherString = DEFAULT@SECLEVEL=0\n";

#[test]
fn tls_is_version_1_2_or_newer() {
    let authority = tls::Authority::new();
    let pem = authority.server_key_and_certificate().display().to_string();
    let folder = tempfile::tempdir().unwrap();
    let openssl_conf = folder.path().join("openssl.cnf");
    fs::write(&openssl_conf, EVERY_TLS).unwrap();
    for name in FILES_WITH_TLS {
        // A copy that allows TLS 1.1 shows that the client speaks it.
        let older = folder.path().join(name);
        let text = fs::read_to_string(shipped(name)).unwrap();
        let changed = text.replace("ssl-min-ver TLSv1.2", "ssl-min-ver TLSv1.1");
        assert_ne!(changed, text);
        fs::write(&older, changed).unwrap();
        for (file, takes_older) in [(shipped(name), false), (older, true)] {
            let hosts = Hosts::new();
            let mut variables = variables(&hosts, &[], &[("CERT", &pem)]);
            variables.push(("STATS", hosts.at(1, 8404).to_string()));
            variables.push(("OPENSSL_CONF", openssl_conf.display().to_string()));
            let haproxy = Haproxy::start_file(&file, hosts.at(0, 443), &variables);
            for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
                let mut client = authority.client_of(&[version], &[], connect(haproxy.address));
                client.conn.complete_io(&mut client.sock).expect("HAProxy takes this version");
            }
            let outcome = finish(
                Command::new("openssl")
                    .args(["s_client", "-tls1_1", "-connect", &haproxy.address.to_string()])
                    .env("OPENSSL_CONF", &openssl_conf),
            );
            assert_eq!(outcome.exit_status == Some(0), takes_older, "{file:?}: {outcome:?}");
        }
    }
}

/// Checks that a time is `seconds`, or up to three more on a busy machine.
#[track_caller]
fn check_duration(time: Duration, seconds: u32) {
    let seconds = f64::from(seconds);
    assert!((seconds - 0.3..seconds + 3.0).contains(&time.as_secs_f64()), "{time:?}");
}

/// Connects to HAProxy, and allows it a minute to answer.
fn connect_patiently(address: SocketAddr) -> TcpStream {
    let stream = connect(address);
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Sends these bytes and reads the head of the answer. Checks that its status is one of these, and how long it took.
#[track_caller]
fn check_answer_after(mut stream: impl Duplex, sent: &str, statuses: &[u16], seconds: u32) {
    let start = Instant::now();
    stream.write_all(sent.as_bytes()).unwrap();
    stream.flush().unwrap();
    let head = read_head(&mut stream);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    assert!(statuses.contains(&status), "{sent}: {head} after {:?}", start.elapsed());
    check_duration(start.elapsed(), seconds);
}

#[test]
fn a_client_or_server_that_is_silent_during_a_request_is_given_up() {
    let wcs = WcsSite::start(&[]);
    let antelope = AntelopeSite::start(&[]);
    let websocket = WebSocketSite::start(&[]);
    let external = ExternalCheckSite::start();
    let patient = |address| Box::new(connect_patiently(address)) as Box<dyn Duplex>;
    let to_wcs = || {
        let tcp = connect_patiently(wcs.haproxy.address);
        Box::new(wcs.authority.client(tcp)) as Box<dyn Duplex>
    };
    let to_antelope = || patient(antelope.haproxy.address);
    let to_websocket = || patient(websocket.haproxy.address);
    let to_nodes = || patient(external.haproxy.address);
    let to_ships = || patient(external.hosts.at(0, 8080));
    // A host whose requests go to a service, and one whose upgrades do.
    let ways: [(&(dyn Fn() -> Box<dyn Duplex> + Sync), _, _); 5] = [
        (&to_wcs, "a", "a"),
        (&to_antelope, "atomic.example.com", "ws-wax.example.com"),
        (&to_websocket, "a", "a"),
        (&to_nodes, "a", "a"),
        (&to_ships, "a", "a"),
    ];
    let upgrade = UPGRADE.join("\r\n");
    thread::scope(|scope| {
        for (connect, host, upgrade_host) in ways {
            let head = format!("GET /silent HTTP/1.1\r\nHost: {host}\r\n");
            let post = format!("POST /silent HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n");
            let upgrade =
                format!("GET /silent HTTP/1.1\r\nHost: {upgrade_host}\r\n{upgrade}\r\n\r\n");
            // timeout http-request, for the request and for the upgrade. Then timeout server, for both, and for a
            // request whose body does not arrive. While HAProxy could still read from the client, newer versions
            // take the timeout of the client, which is as long.
            let of_both = &[400, 408, 504][..];
            for (sent, statuses, seconds) in [
                (head.clone(), &[408][..], 10),
                (upgrade.trim_end().to_owned(), &[408], 10),
                (format!("{head}\r\n"), &[504], 30),
                (upgrade, of_both, 30),
                (format!("{post}\r\nbody"), of_both, 30),
            ] {
                scope.spawn(move || check_answer_after(connect(), &sent, statuses, seconds));
            }
        }
        // timeout client: a client that does not begin TLS.
        for host in [wcs.haproxy.address, antelope.haproxy.address, websocket.haproxy.address] {
            let mut client = connect_patiently((host.ip(), 443).into());
            scope.spawn(move || {
                let start = Instant::now();
                let _ = client.read_to_end(&mut Vec::new());
                check_duration(start.elapsed(), 30);
            });
        }
        // timeout http-keep-alive.
        scope.spawn(|| {
            let mut client = to_websocket();
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            assert!(read_head(&mut client).starts_with("HTTP/1.1 200"));
            let start = Instant::now();
            let _ = client.read_to_end(&mut Vec::new());
            check_duration(start.elapsed(), 10);
        });
    });
}

#[test]
fn a_server_that_does_not_accept_a_connection_is_given_up() {
    let site = WebSocketSite::start(&[]);
    // Otherwise HAProxy's check would find the server DOWN first.
    for command in ["disable health application/ws1", "set server application/ws2 state maint"] {
        site.haproxy.command(command);
    }
    site.servers[0].kill();
    let _full = faults::FullListener::at(site.servers[0].address);
    // HAProxy tries four times.
    let client = connect_patiently(site.haproxy.address);
    check_answer_after(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[503], 4 * 5);
}

#[test]
fn a_p2p_session_that_only_one_side_has_closed_is_given_up() {
    let site = AntelopeSite::start(&[]);
    site.haproxy.command("set server p2p/p2p2 state maint");
    site.p2p[0].kill();
    let server = TcpListener::bind(site.p2p[0].address).unwrap();
    for client_is_first in [true, false] {
        let mut client = connect(site.hosts.at(0, 9876));
        client.write_all(b"hello").unwrap();
        // HAProxy's own check connects too, and sends nothing.
        let session = server
            .incoming()
            .map(Result::unwrap)
            .find(|stream| stream.peek(&mut [0; 5]).is_ok_and(|count| count > 0));
        let session = session.unwrap();
        let start = Instant::now();
        let first = if client_is_first { &client } else { &session };
        first.shutdown(Shutdown::Write).unwrap();
        site.haproxy.wait_for_stat("p2p/FRONTEND", "scur", "0");
        check_duration(start.elapsed(), 10);
    }
}

/// Headers in which a client makes claims about itself. Each value contains `6.6.6.6`.
const CLAIMS: [(&str, &str); 14] = [
    ("x-forwarded-for", "6.6.6.6"),
    ("x-forwarded-for", "10.0.0.1, 6.6.6.6"),
    ("x-real-ip", "6.6.6.6"),
    ("x-forwarded-host", "6.6.6.6"),
    ("x-forwarded-proto", "6.6.6.6"),
    ("x-forwarded-port", "6.6.6.6"),
    ("forwarded", "for=6.6.6.6;host=6.6.6.6"),
    ("forwarded", "for=\"[::ffff:6.6.6.6]\""),
    ("x-client-ip", "6.6.6.6:666"),
    ("x-forwarded", "6.6.6.6"),
    ("x_forwarded_for", "6.6.6.6"),
    ("x-forwarded_host", "6.6.6.6"),
    ("x_real_ip", "6.6.6.6"),
    ("x_client-ip", "6.6.6.6"),
];

/// Checks that these services got the request `mark` with the header `x-other`, and without a claim.
#[track_caller]
fn check_that_no_claim_arrived<'a>(services: impl IntoIterator<Item = &'a Service>, mark: &str) {
    let heads = services.into_iter().flat_map(Service::client_heads);
    let heads: Vec<_> = heads.filter(|head| header_values(head, "x-mark") == [mark]).collect();
    assert_eq!(heads.len(), 1, "{mark}");
    assert_eq!(header_values(&heads[0], "x-other"), ["5.5.5.5"], "{mark}");
    assert!(!heads[0].contains("6.6.6.6"), "{mark}: {}", heads[0]);
}

/// The claims, a header that passes, and a mark that tells this request from the others.
fn claims(mark: &str) -> Vec<(&str, &str)> {
    let mut headers = CLAIMS.to_vec();
    headers.extend([("x-other", "5.5.5.5"), ("x-mark", mark)]);
    headers
}

#[test]
fn tunnels_and_claims_about_hop_by_hop_headers_are_denied() {
    let wcs = WcsSite::start(&[]);
    let (antelope, websocket) = (AntelopeSite::start(&[]), WebSocketSite::start(&[]));
    let external = ExternalCheckSite::start();
    let ask_each = |lines: &[&str], status: u16| {
        let answers = [
            ask_http(connect(antelope.haproxy.address), lines),
            ask_http(connect(websocket.haproxy.address), lines),
            ask_http(connect(external.haproxy.address), lines),
            ask_http(connect(external.hosts.at(0, 8080)), lines),
            ask_http(wcs.connect().0, lines),
        ];
        for answer in answers {
            assert_eq!(answer.status, status, "{lines:?}: {answer:?}");
        }
    };
    let host = "Host: atomic.example.com";
    ask_each(&["CONNECT atomic.example.com:80 HTTP/1.1", "Host: atomic.example.com:80"], 403);
    for named in ["X-Forwarded-For", "close, x-forwarded-proto", "X-Client-IP", "Forwarded"] {
        let connection = format!("Connection: {named}");
        ask_each(&["GET / HTTP/1.1", host, &connection], 403);
    }
    let other = ["GET / HTTP/1.1", host, "Connection: close, X-Other"];
    assert_eq!(ask_http(connect(antelope.haproxy.address), &other).status, 200);
}

#[test]
fn no_claim_of_a_client_about_itself_reaches_a_server() {
    let antelope = AntelopeSite::start(&[]);
    let (api, atomic) = ("wax.example.com", "atomic.example.com");
    for protocol in PROTOCOLS {
        let client = antelope.client(protocol);
        for (host, path) in [(api, "/v1/chain/x"), (api, "/v2/x"), (api, "/stream/"), (atomic, "/")]
        {
            let mark = format!("{protocol:?} {host}{path}");
            client.ask("GET", host, path, &claims(&mark));
            check_that_no_claim_arrived(antelope.services(), &mark);
        }
        for (host, path) in [(api, "/stream/"), (api, "/"), ("ws-wax.example.com", "/")] {
            let mark = format!("{protocol:?} {host}{path}, as an upgrade");
            client.open(host, path, &claims(&mark)).unwrap();
            check_that_no_claim_arrived(antelope.services(), &mark);
        }
    }

    let websocket = WebSocketSite::start(&[]);
    for protocol in PROTOCOLS {
        let client = websocket.client(protocol);
        let mark = format!("{protocol:?}");
        client.ask("GET", "localhost", "/", &claims(&mark));
        check_that_no_claim_arrived(&websocket.servers, &mark);
        let mark = format!("{protocol:?}, as an upgrade");
        client.open("localhost", "/", &claims(&mark)).unwrap();
        check_that_no_claim_arrived(&websocket.servers, &mark);
    }

    let wcs = WcsSite::start(&[]);
    wcs.open(&claims("HTTP/1.1"));
    check_that_no_claim_arrived(wcs.services(), "HTTP/1.1");
    wcs.open_http2(&claims("HTTP/2"));
    check_that_no_claim_arrived(wcs.services(), "HTTP/2");
    wcs.ask_http2("/", &claims("page"));
    check_that_no_claim_arrived([&wcs.web], "page");

    let external = ExternalCheckSite::start();
    let mut lines = vec!["GET /v1/chain/x HTTP/1.1".to_owned(), "Host: a".to_owned()];
    lines.extend(claims("api").iter().map(|(name, value)| format!("{name}: {value}")));
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    ask_http(connect(external.haproxy.address), &lines);
    check_that_no_claim_arrived(&external.nodes, "api");
    let ship = connect(external.hosts.at(0, 8080));
    ClientSession::open(ship, "ws://localhost/echo", &claims("ship")).unwrap();
    check_that_no_claim_arrived(&external.ships, "ship");
}

#[test]
fn an_incomplete_upgrade_gets_an_answer() {
    let [connection, upgrade, version, key] = UPGRADE;
    let ask = |stream: Box<dyn Duplex>, host: &str, lines: &[&str]| {
        let host = format!("Host: {host}");
        let start = Instant::now();
        let answer = ask_http(stream, &[&["GET / HTTP/1.1", &host], lines].concat());
        assert!(start.elapsed() < Duration::from_secs(5), "{lines:?}: {:?}", start.elapsed());
        (answer.status, answer.server())
    };
    let wcs = WcsSite::start(&[]);
    let antelope = AntelopeSite::start(&[]);
    let websocket = WebSocketSite::start(&[]);
    // The last three columns: what wcs.cfg, antelope.cfg and websocket.cfg answer. HAProxy itself refuses an upgrade
    // that lacks only the key. One that lacks only the version is refused by the server. 0 stands for 200 or 400:
    // HAProxy 2.6 passes Upgrade on without Connection, and newer versions do not.
    for (lines, of_wcs, of_antelope, of_websocket) in [
        (&[key][..], (200, "web"), 404, 200),
        (&[version, key], (200, "web"), 404, 200),
        (&[connection, version, key], (200, "web"), 404, 200),
        (&[upgrade, version, key], (200, "web"), 404, 0),
        (&[connection], (200, "web"), 404, 200),
        (&[upgrade], (200, "web"), 404, 0),
        (&[connection, upgrade, version], (400, ""), 400, 400),
        (&[connection, upgrade], (400, ""), 400, 400),
        (&[connection, upgrade, key], (400, "wcs"), 400, 400),
    ] {
        for protocol in [Protocol::Http, Protocol::Https] {
            let (status, _) = ask(antelope.client(protocol).connect(), "wax.example.com", lines);
            assert_eq!(status, of_antelope, "antelope.cfg, {protocol:?}: {lines:?}");
            let (status, _) = ask(websocket.client(protocol).connect(), "localhost", lines);
            let is_right = match of_websocket {
                0 => [200, 400].contains(&status),
                _ => status == of_websocket,
            };
            assert!(is_right, "websocket.cfg, {protocol:?}: {lines:?}: {status}");
        }
        let (status, server) = ask(Box::new(wcs.connect().0), "localhost", lines);
        assert_eq!((status, server.trim_end_matches(['1', '2'])), of_wcs, "wcs.cfg: {lines:?}");
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
fn a_dead_web_front_end_of_wcs_is_down_and_its_clients_are_told_at_once() {
    let site = WcsSite::start(&[]);
    let page = || ask_http(site.connect().0, &["GET / HTTP/1.1", "Host: localhost"]);
    assert_eq!(page().server(), "web");
    assert_eq!(site.haproxy.stat("web/web", "slim"), "100");
    site.web.kill();
    site.haproxy.wait_for("web/web", "DOWN");
    let start = Instant::now();
    assert_eq!(page().status, 503);
    // A server that is not known to be dead would be tried again, after a second.
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
    assert!(site.open(&[]).is_alive(), "WebSockets do not need the web front end");
    site.web.restart();
    site.haproxy.wait_for("web/web", "UP");
    assert_eq!(page().server(), "web");
}

#[test]
fn a_full_wcs_gets_no_more_websockets_and_none_is_lost() {
    let site = WcsSite::start(&[]);
    for name in ["wcs1", "wcs2"] {
        site.haproxy.wait_for_reason(&format!("wcs_back/{name}"), "via agent : up");
    }
    let on =
        |sessions: &[ClientSession], name| sessions.iter().filter(|s| s.server == name).count();
    let mut sessions: Vec<_> = (0..200).map(|_| site.open(&[])).collect();
    assert_eq!((on(&sessions, "wcs1"), on(&sessions, "wcs2")), (100, 100));

    // Where one server is full, the next WebSockets go to the other.
    let mut closed = 0;
    sessions.retain(|session| {
        let stays = session.server == "wcs1" || closed == 10;
        closed += usize::from(!stays);
        stays
    });
    site.haproxy.wait_for_stat("wcs_back/wcs2", "scur", "90");
    for _ in 0..10 {
        sessions.push(site.open(&[]));
        assert_eq!(sessions.last().unwrap().server, "wcs2");
    }

    // Where both are full, the next one waits until a session ends.
    thread::scope(|scope| {
        let waiting = scope.spawn(|| site.open(&[]));
        site.haproxy.wait_for_stat("wcs_back/BACKEND", "qcur", "1");
        let page = ask_http(site.connect().0, &["GET / HTTP/1.1", "Host: localhost"]);
        assert_eq!(page.server(), "web", "only WebSockets wait");
        let first = sessions.iter().position(|session| session.server == "wcs1").unwrap();
        drop(sessions.remove(first));
        let waited = waiting.join().unwrap();
        assert_eq!(waited.server, "wcs1");
        sessions.push(waited);
    });

    // If none ends in time, it is refused. That is `timeout queue`.
    let start = Instant::now();
    let refused = ClientSession::open(site.connect().0, "wss://localhost/", &[]);
    assert_eq!(refused.err(), Some(503));
    check_duration(start.elapsed(), 10);

    assert_eq!(sessions.len(), 200);
    for session in &mut sessions {
        assert!(session.is_alive(), "a session on {} is lost", session.server);
    }
}

#[test]
fn a_client_of_a_full_wcs_waits_for_it_if_it_has_its_cookie() {
    let site = WcsSite::start(&[("WCS_BACKEND", "wcs_back_sticky")]);
    let first = site.open(&[]);
    let cookie = first.cookie.clone().unwrap();
    let mut sessions: Vec<_> = (0..99).map(|_| site.open(&[("Cookie", &cookie)])).collect();
    assert!(sessions.iter().all(|session| session.server == first.server));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| site.open(&[("Cookie", &cookie)]));
        let server = format!("wcs_back_sticky/{}", first.server);
        site.haproxy.wait_for_stat(&server, "qcur", "1");
        assert_ne!(site.open(&[]).server, first.server, "a client without the cookie");
        sessions.pop();
        assert_eq!(waiting.join().unwrap().server, first.server);
    });
    assert!(sessions.iter_mut().all(ClientSession::is_alive));
}

#[test]
fn a_websocket_of_wcs_over_http2_is_a_websocket() {
    let site = WcsSite::start(&[]);
    let mut session = site.open_http2(&[("x-client-ip", "6.6.6.6:666")]);
    assert!(session.server.starts_with("wcs"), "{}", session.server);
    assert!(session.is_alive());
    assert_eq!(site.ask_http2("/", &[]).server(), "web");
    // HAProxy does not offer HTTP/2 itself.
    let tcp = connect(site.haproxy.address);
    let offered = ["h2", "http/1.1"];
    let mut client = site.authority.client_of(rustls::DEFAULT_VERSIONS, &offered, tcp);
    client.conn.complete_io(&mut client.sock).unwrap();
    assert_eq!(client.conn.alpn_protocol(), Some(b"http/1.1".as_slice()));
}

#[test]
fn a_silent_session_of_wcs_is_cut() {
    let site = WcsSite::start(&[("TUNNEL_TIMEOUT", "2s")]);
    check_that_only_a_silent_session_is_cut(|| site.open(&[]));
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
    assert_eq!(header_values(head, "X-Forwarded-For"), [site.hosts.host(9).to_string()]);

    let page = ask_http(connect(site.hosts.at(4, 8404)), &["GET /stats HTTP/1.1", "Host: a"]);
    assert_eq!(page.status, 200);
    assert!(page.text.contains("application") && page.text.contains("ws2"), "{page:?}");
}

#[test]
fn ws_and_wss_reach_any_websocket_application() {
    let site = WebSocketSite::start(&[]);
    for protocol in PROTOCOLS {
        let client = site.client(protocol);
        let mark = format!("{protocol:?}");
        let mut session = client.open("localhost", "/chat", &[("x-mark", &mark)]).unwrap();
        assert!(session.is_alive(), "{protocol:?}");
        let heads = site.servers.iter().flat_map(Service::client_heads);
        let head = heads
            .into_iter()
            .find(|head| header_values(head, "x-mark") == [mark.as_str()])
            .unwrap();
        assert_eq!(header_values(&head, "X-Forwarded-For"), [client.address.to_string()]);
        assert_eq!(header_values(&head, "X-Forwarded-Proto"), [client.scheme()]);
        assert_eq!(client.ask("GET", "localhost", "/page", &[]).status, 200, "{protocol:?}");
    }
}

#[test]
fn the_statistics_page_hides_haproxys_version() {
    let site = WebSocketSite::start(&[]);
    let version = finish(haproxy().arg("-v")).stdout;
    let version = version.split(' ').nth(2).unwrap();
    assert!(site.haproxy.command("show info").contains(version), "{version}");
    let page = ask_http(connect(site.hosts.at(4, 8404)), &["GET /stats HTTP/1.1", "Host: a"]);
    assert!(page.text.contains("Statistics Report"), "{page:?}");
    assert!(!page.text.contains(version), "{page:?}");
    // It is on its own address only.
    let page = ask_http(connect(site.haproxy.address), &["GET /stats HTTP/1.1", "Host: a"]);
    assert!(page.server().starts_with("ws"), "{page:?}");
}

#[test]
fn the_statistics_page_is_on_a_loopback_address_unless_it_is_changed() {
    // In a network of its own, because another program may use the address.
    let mut command = Command::new("unshare");
    let script = "ip link set lo up && exec \"$0\" \"$@\"";
    command.args(["--net", "sh", "-c", script, HAPROXY]).env_remove("CERT").env_remove("STATS");
    let haproxy = Haproxy::start_file_by(
        &mut command,
        &shipped("websocket.cfg"),
        SocketAddr::from(([127, 0, 0, 1], 80)),
        &[],
    );
    let sockets = format!("/proc/{}/net/tcp", haproxy.process_id());
    let sockets = fs::read_to_string(sockets).unwrap();
    // Addresses in hexadecimal, as the kernel holds them. State 0A is LISTEN.
    let rows = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening: BTreeSet<_> =
        rows.filter(|row| row[3] == "0A").map(|row| row[1].to_owned()).collect();
    assert_eq!(listening, BTreeSet::from(["00000000:0050", "0100007F:20D4"].map(str::to_owned)));
}

#[test]
fn the_connection_to_a_websocket_server_ends_after_each_response() {
    let ends: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let seen = ends.clone();
    // A server that would keep the connection open.
    let answer = move |request: IncomingRequest| {
        if request.is_upgrade() {
            return request.echo();
        }
        let mut head = vec![0; request.head.len()];
        request.stream.read_exact(&mut head).unwrap();
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";
        request.stream.write_all(answer.as_bytes()).unwrap();
        let mut more = Vec::new();
        // HAProxy may reset the connection.
        let _ = request.stream.read_to_end(&mut more);
        seen.lock().unwrap().push(more);
    };
    let site = WebSocketSite::start_file(&shipped("websocket.cfg"), &[], answer);
    let mut client = connect(site.haproxy.address);
    for n in 1..=3 {
        // The same connection of the client serves every request.
        client.write_all(b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let head = read_head(&mut client);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        client.read_exact(&mut [0; 2]).unwrap();
        wait_until("HAProxy closes the connection to the server", || {
            (ends.lock().unwrap().len() == n).then_some(())
        });
    }
    assert_eq!(*ends.lock().unwrap(), [b""; 3], "each connection has one request");
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
        ("GET", "wax.example.com.", "/v1/chain/x", false, "api"),
        ("GET", api, "/v1/chain", false, "api"),
        ("GET", api, "/v1/chain/", false, "api"),
        ("GET", api, "/v1/chain?x=1", false, "api"),
        ("GET", api, "/v1/node/get_supported_apis", false, "api"),
        ("GET", api, "/v2/history/get_actions", false, "hyperion"),
        ("GET", "wax.example.com:8080", "/v2/", false, "hyperion"),
        ("GET", api, "/stream/?EIO=4&transport=polling", false, "streaming"),
        ("POST", api, "/stream/?EIO=4&transport=polling", false, "streaming"),
        ("GET", api, "/stream/?EIO=4&transport=websocket", true, "streaming"),
        ("GET", api, "/stream/x", true, "streaming"),
        ("GET", api, "/", true, "ship"),
        ("GET", api, "/anything", true, "ship"),
        ("GET", api, "/stream", true, "ship"),
        ("GET", api, "/v1/chain/x", true, "ship"),
        ("GET", api, "/v2/x", true, "ship"),
        ("GET", "WAX.example.com:443", "/", true, "ship"),
        ("GET", "ws-wax.example.com", "/", true, "ship"),
        ("GET", "WS-wax.example.com:80", "/x", true, "ship"),
        ("GET", "ws-wax.example.com", "/stream/", true, "ship"),
        ("GET", "atomic.example.com", "/", false, "atomic"),
        ("POST", "ATOMIC.example.com:80", "/atomicassets/v1/assets", false, "atomic"),
        ("GET", "atomic.example.com", "/v1/chain/get_info/x", false, "atomic"),
        ("GET", api, "/", false, ""),
        ("GET", api, "/v1/chains", false, ""),
        ("GET", api, "/v1", false, ""),
        ("GET", api, "/x/v1/chain/x", false, ""),
        ("GET", api, "/v1/history/get_actions", false, ""),
        ("GET", api, "/v1/node/get_supported_apis/x", false, ""),
        ("GET", api, "/v2", false, ""),
        ("GET", api, "/stream", false, ""),
        ("GET", api, "/V1/chain/x", false, ""),
        ("HEAD", api, "/", true, ""),
        ("POST", api, "/", true, ""),
        ("GET", "ws-wax.example.com", "/", false, ""),
        ("GET", "ws-wax.example.com", "/v1/chain/x", false, ""),
        ("GET", "ws-wax.example.com", "/stream/", false, ""),
        ("HEAD", "ws-wax.example.com", "/", true, ""),
        ("GET", "example.com", "/v1/chain/x", false, ""),
        ("GET", "xwax.example.com", "/v1/chain/x", false, ""),
        ("GET", "wax.example.com.evil.example", "/v2/x", false, ""),
        ("GET", "127.0.0.1", "/", true, ""),
    ] {
        for protocol in PROTOCOLS {
            // HTTP/2 knows no upgrade by another method.
            if protocol == Protocol::Http2 && is_upgrade && method != "GET" {
                continue;
            }
            case += 1;
            let client = site.client(protocol);
            let asked = format!("{protocol:?} {method} {host} {path} {is_upgrade}");
            // HAProxy passes header names on in lower case.
            let (number, mark) = (format!("{case}!"), format!("x-case: {case}!\r\n"));
            let mut headers = vec![("x-case", number.as_str())];
            let (status, server) = if is_upgrade && method == "GET" {
                match client.open(host, path, &headers) {
                    Ok(mut session) => {
                        assert!(session.is_alive(), "{asked}");
                        (101, session.server)
                    }
                    Err(status) => (status, String::new()),
                }
            } else {
                if is_upgrade {
                    headers.extend(UPGRADE.map(|line| line.split_once(": ").unwrap()));
                }
                let answer = client.ask(method, host, path, &headers);
                (answer.status, answer.server())
            };
            let has_seen =
                |service: &&Service| service.client_heads().iter().any(|head| head.contains(&mark));
            let names: Vec<_> =
                site.services().filter(has_seen).map(|service| service.name).collect();
            if reached.is_empty() {
                assert_eq!((status, names.len()), (404, 0), "{asked}");
                continue;
            }
            assert_eq!(names, [server.as_str()], "{asked}: {status}");
            assert!(server.starts_with(reached), "{asked}: {server}");
            let heads = site.services().flat_map(Service::client_heads);
            let head = heads.into_iter().find(|head| head.contains(&mark)).unwrap();
            let address = client.address.to_string();
            assert_eq!(header_values(&head, "X-Forwarded-For"), [address], "{asked}");
            assert_eq!(header_values(&head, "X-Forwarded-Proto"), [client.scheme()], "{asked}");
        }
    }
    // The Connection header has to contain the word Upgrade.
    let [_, upgrade, version, key] = UPGRADE;
    for connection in ["Connection: close", "Connection: keep-alive"] {
        let lines = ["GET / HTTP/1.1", "Host: wax.example.com", connection, upgrade, version, key];
        assert_eq!(ask_http(connect(site.haproxy.address), &lines).status, 404, "{connection}");
    }
}

#[test]
fn a_path_that_leads_upwards_is_denied_however_it_is_encoded() {
    let site = AntelopeSite::start(&[]);
    let (api, ship, atomic) = ("wax.example.com", "ws-wax.example.com", "atomic.example.com");
    let mut denied = 0;
    for (host, path) in [
        (api, "/.."),
        (api, "/../"),
        (api, "/v1/chain/.."),
        (api, "/v1/chain/../node/x"),
        (api, "/v1/chain/..?x=1"),
        (api, "/v1/chain/..;/x"),
        (api, "/v1/chain/...."),
        (api, "/v1/chain//..//x"),
        (api, "/v1/chain/%2e%2e/x"),
        (api, "/v1/chain/%2E%2e/x"),
        (api, "/v1/chain/.%2e/x"),
        (api, "/v1/chain/%2E./x"),
        (api, "/v1/chain%2f../x"),
        (api, "/v1/chain/x%2F%2e%2E%2Fx"),
        (api, "/v1/chain/x%2f.%2e"),
        (api, "/v1/chain/%252e%252e/x"),
        (api, "/v1/chain/%25252E./x"),
        (api, "/v1/chain%252f..%252fx"),
        // A server that decodes twice, or leniently, reads /.. in these.
        (api, "/v1/chain/%25%32%65%25%32%65/x"),
        (api, "/v1/chain/%2%65%2%65/x"),
        (api, "/v1/chain/%%32e%%32e/x"),
        (api, "/v1/chain/x%5c..%5cy"),
        (api, "/v1/chain/%"),
        (api, "/v1/chain/%2"),
        // Invalid percent-encoding elsewhere in the path.
        (api, "/v1/chain/%zz/%2e%2e/x"),
        (api, "/v1/chain/%2e%2e/%"),
        (api, "/v1/chain/%00/%2e%2e/x"),
        (api, "/v2/%2e%2e/x"),
        (api, "/stream/%2e%2e/x"),
        (ship, "/%2e%2e/x"),
        (atomic, "/%2e%2e/x"),
        ("example.com", "/.%2E"),
    ] {
        for protocol in PROTOCOLS {
            let client = site.client(protocol);
            let asked = format!("{protocol:?} {host} {path}");
            assert_eq!(client.ask("GET", host, path, &[]).status, 403, "{asked}");
            assert_eq!(client.open(host, path, &[]).err(), Some(403), "{asked}, as an upgrade");
            denied += 2;
        }
    }
    // A proxy's form of a request, with the whole URL.
    let lines = ["GET http://wax.example.com/v1/chain/%2e%2e/x HTTP/1.1", "Host: wax.example.com"];
    assert_eq!(ask_http(connect(site.haproxy.address), &lines).status, 403);
    let seen: usize = site.services().map(|service| service.client_heads().len()).sum();
    assert_eq!(seen, 0, "none of {denied} requests reaches a server");
    for (path, reached) in [
        ("/v1/chain/x?path=/../x", "api"),
        ("/v1/chain/x?path=%2f%2e%2e", "api"),
        ("/v1/chain/.x", "api"),
        ("/v1/chain/x..", "api"),
        ("/v1/chain/x..y/%2e", "api"),
        ("/v2/%2e/x%2e%2e", "hyperion"),
        ("/v2/a%20b%2F.x", "hyperion"),
    ] {
        for protocol in PROTOCOLS {
            let answer = site.client(protocol).ask("GET", api, path, &[]);
            assert!(answer.server().starts_with(reached), "{protocol:?} {path}: {answer:?}");
        }
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
fn a_client_of_a_full_streaming_server_waits_for_it() {
    let site = AntelopeSite::start(&[]);
    let client = site.client(Protocol::Http);
    let open = || client.open("wax.example.com", "/stream/", &[]);
    let mut sessions: Vec<_> = (0..200).map(|_| open().unwrap()).collect();
    let server = sessions[0].server.clone();
    assert!(sessions.iter().all(|session| session.server == server));
    thread::scope(|scope| {
        let waiting = scope.spawn(open);
        site.haproxy.wait_for_stat(&format!("streaming/{server}"), "qcur", "1");
        drop(sessions.pop());
        sessions.push(waiting.join().unwrap().unwrap());
    });
    let start = Instant::now();
    assert_eq!(open().err(), Some(503));
    check_duration(start.elapsed(), 10);
    assert!(sessions.iter_mut().all(ClientSession::is_alive));
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
    let ExternalCheckSite { hosts, nodes, ships, haproxy } = &ExternalCheckSite::start();
    let ask =
        || ask_http(connect(haproxy.address), &["GET /v1/chain/x HTTP/1.1", "Host: a"]).server();
    // The whole protocol passes through HAProxy: here the agent asks the state history by HAProxy's
    // address.
    let judge = format!("ship|ws://{}", hosts.at(0, 8080));
    agent(&[&judge]).expect("up\n", 0);
    assert_eq!(BTreeSet::from([ask(), ask()]).len(), 2);
    thread::scope(|scope| {
        for (services, backend) in [(nodes, "nodeos"), (ships, "state_history")] {
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
    for service in ships {
        service.set_healthy(false);
        haproxy.wait_for(&format!("state_history/{}", service.name), "DOWN");
    }
    agent(&["-d", &judge]).expect(
        &format!("fail # ws://{}: answered HTTP 503, no WebSocket upgrade\n", hosts.at(0, 8080)),
        1,
    );
}
