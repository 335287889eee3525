//! API requests: Antelope services judged by what they answer.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::haproxy::Haproxy;
use common::*;

const HEAD: u64 = 263_148_621;

/// The time `lag` seconds ago, as Antelope writes it: UTC, without a zone.
fn iso_time(lag: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let date = Command::new("date")
        .args(["-u", "-d", &format!("@{:.3}", now - lag), "+%Y-%m-%dT%H:%M:%S.%3N"])
        .output()
        .unwrap();
    String::from_utf8(date.stdout).unwrap().trim().to_owned()
}

fn get_info(lag: f64) -> String {
    format!(r#"{{"head_block_num": {HEAD}, "head_block_time": "{}"}}"#, iso_time(lag))
}

fn v2_health(lag: f64, indexed: u64) -> String {
    let fixture = include_str!("fixtures/antelope/v2_health.json");
    let old = format!("\"last_indexed_block\": {HEAD}");
    let changed = fixture
        .replace("2022-08-17T14:16:36.000", &iso_time(lag))
        .replace(&old, &format!("\"last_indexed_block\": {indexed}"));
    assert_ne!(changed, fixture);
    changed
}

fn atomic_health(lag: f64, redis: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let head_ms = ((now - lag) * 1000.0) as u64;
    let fixture = include_str!("fixtures/antelope/atomic_health.json");
    let redis_before = "\"redis\": {\n   \"status\": \"OK\"";
    assert!(fixture.contains(redis_before));
    fixture
        .replace("\"head_time\": 1660745796000", &format!("\"head_time\": {head_ms}"))
        .replace(redis_before, &redis_before.replace("OK", redis))
}

/// A service that answers with this body.
fn service(body: impl Into<Vec<u8>>) -> (Server, String) {
    let server = Server::fixed(body);
    let url = format!("http://{}", server.address);
    (server, url)
}

#[test]
fn a_service_in_sync_is_up_and_one_that_lags_or_leads_is_down() {
    for (name, path, healthy, bad) in [
        ("v1", "/v1/chain/get_info", get_info(1.0), vec![get_info(8.0), get_info(-9.0)]),
        (
            "v2",
            "/v2/health",
            v2_health(999.0, HEAD - 10),
            vec![v2_health(0.0, HEAD - 16), v2_health(0.0, HEAD + 16)],
        ),
        (
            "hyperion",
            "/v2/health",
            v2_health(1.0, HEAD - 10),
            vec![
                v2_health(0.0, HEAD - 16),
                v2_health(8.0, HEAD),
                v2_health(0.0, HEAD).replace(
                    "\"Elasticsearch\",\n   \"status\": \"OK\"",
                    "\"Elasticsearch\",\n   \"status\": \"Error\"",
                ),
            ],
        ),
        (
            "atomic",
            "/health",
            atomic_health(1.0, "OK"),
            vec![atomic_health(8.0, "OK"), atomic_health(-9.0, "OK"), atomic_health(0.0, "ERROR")],
        ),
        ("contract", "/health", atomic_health(1.0, "OK"), vec![atomic_health(8.0, "OK")]),
    ] {
        let (server, url) = service(healthy);
        agent(&[&format!("{name}|{url}|15")]).expect("up\n", 0);
        agent(&[&format!("{name}|{url}/|15")]).expect("up\n", 0);
        let requests = server.requests();
        let start = format!("GET {path} HTTP/1.1\r\n");
        assert!(requests.iter().all(|head| head.starts_with(&start)), "{requests:?}");
        for body in bad {
            let (_server, url) = service(body);
            agent(&[&format!("{name}|{url}|15")]).expect("down\n", 1);
        }
    }
}

#[test]
fn blocks_default_to_10_and_half_blocks_count() {
    let (_server, url) = service(get_info(7.2));
    agent(&[&format!("v1|{url}|15")]).expect("up\n", 0);
    agent(&[&format!("v1|{url}|14")]).expect("down\n", 1);
    for blocks in ["", "|", "|x", "|-20", "|20.5"] {
        agent(&[&format!("v1|{url}{blocks}")]).expect("down\n", 1);
        agent(&[&format!("{url}|v1{blocks}")]).expect("down\n", 1);
    }
    agent(&[&format!("{url}|v1|20")]).expect("up\n", 0);
}

#[test]
fn the_host_header_is_the_urls_or_the_requests() {
    let (server, url) = service(get_info(0.0));
    agent(&[&format!("v1|{url}|20|api.example.com")]).expect("up\n", 0);
    agent(&[&format!("v1|{url}|20")]).expect("up\n", 0);
    let hosts: Vec<_> = server
        .requests()
        .iter()
        .map(|head| {
            let head = head.to_ascii_lowercase();
            let lines: Vec<_> = head.lines().filter(|line| line.starts_with("host:")).collect();
            lines.join("+")
        })
        .collect();
    assert_eq!(hosts, ["host: api.example.com".to_owned(), format!("host: {}", server.address)]);
}

#[test]
fn the_description_says_the_lag_and_the_limit() {
    let (_server, url) = service(get_info(20.0));
    let outcome = agent(&["-d", &format!("v1|{url}|15")]);
    let lag = outcome.stdout.strip_prefix("down # head block behind ").unwrap();
    let lag = lag.strip_suffix("/7.5s\n").unwrap_or_else(|| panic!("{outcome:?}"));
    assert!((20.0..25.0).contains(&lag.parse().unwrap()), "{outcome:?}");
    let (_server, url) = service(v2_health(0.0, HEAD - 3));
    agent(&["-d", &format!("v2|{url}")]).expect("up # indexed blocks behind 3/10\n", 0);
    let (_server, url) = service(atomic_health(0.0, "ERROR"));
    agent(&["-d", &format!("atomic|{url}")]).expect("down # redis reports ERROR\n", 1);
    let explained = agent(&["-e", &format!("atomic|{url}")]);
    assert!(explained.stderr.contains("problem  redis reports ERROR"), "{explained:?}");
}

#[test]
fn what_cannot_be_measured_is_fail_and_says_why() {
    let answer = |answer: Vec<u8>| {
        Server::start(move |stream: &mut TcpStream| {
            let _ = stream.write_all(&answer);
        })
    };
    let redirect = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n".to_vec();
    for (server, why, atomic_is_down) in [
        (answer(response("500 Oops", b"{}")), "answered HTTP 500", true),
        (answer(redirect), "answered HTTP 302; redirects are not followed", true),
        (answer(response("200 OK", b"<html>")), "sent no JSON", false),
        (answer(response("200 OK", b"{\"data\": 1e999}")), "sent no JSON", false),
        (answer(response("200 OK", b"{}")), "reports no ", false),
        (answer(Vec::new()), "closed the connection within the answer", false),
        (Server::start(hold), "gave no answer within 400 ms", false),
    ] {
        let url = format!("http://{}", server.address);
        for name in ["v1", "v2", "hyperion", "atomic"] {
            let outcome = agent(&["-d", "-t", "400", &format!("{name}|{url}")]);
            let state = if atomic_is_down && name == "atomic" { "down" } else { "fail" };
            assert!(outcome.stdout.starts_with(&format!("{state} # ")), "{name} {outcome:?}");
            assert!(outcome.stdout.contains(why), "{name} {outcome:?}");
            assert_eq!(outcome.exit_status, Some(1));
            assert!(outcome.took < Duration::from_millis(400) + LATEST, "{outcome:?}");
            let brief = agent(&["-t", "400", &format!("{name}|{url}")]);
            brief.expect(&format!("{state}\n"), 1);
        }
    }
    let address = free_address();
    let outcome = agent(&["-d", &format!("v1|http://{address}|15")]);
    outcome.expect(&format!("fail # http://{address} refused the connection\n"), 1);
}

#[test]
fn a_request_that_is_not_understood_is_fail() {
    for (request, word) in [
        ("v3|http://127.0.0.1:1/", "'v3'"),
        ("|http://127.0.0.1:1/", "''"),
        ("v1|", "''"),
        ("v1|127.0.0.1", "'127.0.0.1'"),
        ("v1|ftp://127.0.0.1/", "'ftp://127.0.0.1/'"),
        ("v1|ws://127.0.0.1/", "'ws://127.0.0.1/'"),
        ("v1|file:///etc/passwd", "'file:///etc/passwd'"),
        ("http://127.0.0.1:1/|hyperion", "'http://127.0.0.1:1/'"),
        ("v1|http://127.0.0.1:1/|1|a b", "'a b'"),
        ("v1|http://127.0.0.1:1/|1|a|b", "has more than"),
        ("debug|failed", "'failed'"),
        ("debug|", "''"),
    ] {
        let outcome = agent(&[request]);
        assert!(outcome.stdout.starts_with("fail # "), "{outcome:?}");
        assert!(outcome.stdout.contains(word), "{word} {outcome:?}");
        assert_eq!(outcome.exit_status, Some(2), "{outcome:?}");
    }
    let outcome = agent(&["v1|http://user:secret@127.0.0.1:1/?secret"]);
    assert!(outcome.stdout.starts_with("fail # "), "{outcome:?}");
    assert!(!format!("{outcome:?}").contains("secret"), "{outcome:?}");
}

#[test]
fn debug_is_answered_as_it_says() {
    for (request, reply, status) in [
        ("debug|down#text", "down # text\n", 1),
        ("debug|up", "up\n", 0),
        ("debug|up 50% # half|way", "up 50% # half|way\n", 0),
        ("debug|fail", "fail\n", 1),
        ("debug|drain", "drain\n", 1),
    ] {
        agent(&[request]).expect(reply, status);
        let line = format!("{request}\n");
        Connection::open_after(&["hls"], line.as_bytes()).finish().expect(reply, status);
    }
}

#[test]
fn a_line_replaces_a_request_that_is_being_measured() {
    let hanging = Server::start(hold);
    let (_server, url) = service(get_info(0.0));
    let mut connection = Connection::open(&["-t", "10s", "-u", &hanging.url(), "hls"]);
    wait_until("the page is asked", || hanging.requests().pop());
    connection.send(format!("v1|{url}|20").as_bytes());
    let outcome = connection.finish();
    outcome.expect("up\n", 0);
    assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");
}

/// Asks over a Unix socket, whose peer the agent cannot know.
fn ask_as_stranger(args: &[&str], line: &str) -> String {
    ask_over_unix_socket(args, line.as_bytes())
}

#[test]
fn strangers_may_only_name_allowed_urls() {
    let (server, url) = service(get_info(0.0));
    let line = format!("v1|{url}/|20\n");
    assert_eq!(ask_as_stranger(&["-d"], &line), "fail # url not allowed\n");
    assert_eq!(ask_as_stranger(&[], &line), "fail\n");
    let other = format!("http://127.0.0.1:{}", server.address.port() ^ 1);
    assert_eq!(ask_as_stranger(&["-d", "-a", &other], &line), "fail # url not allowed\n");
    let https = url.replace("http:", "https:");
    assert_eq!(ask_as_stranger(&["-d", "-a", &https], &line), "fail # url not allowed\n");
    assert!(server.requests().is_empty(), "nothing is opened");
    assert_eq!(ask_as_stranger(&["-a", "http://other", "-a", &url], &line), "up\n");
    // The command line is trusted, and so is a peer on a loopback address.
    assert_eq!(ask_as_stranger(&[&line], "\n"), "up\n");
    Connection::open_after(&["--agent-send", "required"], line.as_bytes())
        .finish()
        .expect("up\n", 0);
}

#[test]
fn https_is_trusted_by_the_systems_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let openssl = |args: &str| {
        let output = Command::new("openssl").args(args.split(' ')).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let (ca, ca_key, key) = (path("ca"), path("ca_key"), path("key"));
    let (request, certificate, extensions) = (path("request"), path("certificate"), path("ext"));
    std::fs::write(&extensions, "subjectAltName=DNS:localhost\n").unwrap();
    openssl(&format!("req -x509 -newkey rsa:2048 -nodes -subj /CN=ca -keyout {ca_key} -out {ca}"));
    openssl(&format!("req -newkey rsa:2048 -nodes -subj /CN=x -keyout {key} -out {request}"));
    openssl(&format!(
        "x509 -req -in {request} -CA {ca} -CAkey {ca_key} -CAcreateserial -extfile {extensions} \
         -out {certificate}"
    ));
    // s_server -WWW serves files of its working folder.
    std::fs::create_dir_all(folder.path().join("v1/chain")).unwrap();
    std::fs::write(folder.path().join("v1/chain/get_info"), get_info(0.0)).unwrap();
    let (_server, address) =
        tls_server("-WWW", folder.path(), Path::new(&key), Path::new(&certificate));
    let ask = |file: &str, host: &str| {
        let request = format!("v1|https://{host}:{}|60", address.port());
        finish(Command::new(AGENT).env("SSL_CERT_FILE", file).args(["-d", &request]))
    };
    let trusted = ask(&ca, "localhost");
    assert!(trusted.stdout.starts_with("up # head block "), "{trusted:?}");
    let other_name = ask(&ca, "127.0.0.1");
    assert!(other_name.stdout.contains("no valid certificate: it is for"), "{other_name:?}");
    let untrusted = ask("/nonexistent", "localhost");
    assert!(untrusted.stdout.contains("certificate: its issuer is unknown"), "{untrusted:?}");
    assert_eq!(untrusted.exit_status, Some(1));
}

#[test]
fn haproxy_judges_each_server_by_its_own_request() {
    let bodies = [0, 1].map(|_| Arc::new(Mutex::new(Vec::new())));
    let services = [0, 1].map(|n: usize| Server::page(bodies[n].clone()));
    let set = |lags: [f64; 2]| {
        for (body, lag) in bodies.iter().zip(lags) {
            *body.lock().unwrap() = get_info(lag).into_bytes();
        }
    };
    set([0.0, 600.0]);
    let xinetd = Xinetd::start_file(
        include_str!("../xinetd/antelope-agent-check"),
        "--describe --agent-send required",
    );
    let media = Server::start(hold);
    let line = |n: usize| {
        format!(
            "server s{} {} check agent-check agent-addr 127.0.0.1 agent-port {} agent-inter 200ms \
             agent-send \"v1|http://{}|240\\n\" on-marked-down shutdown-sessions",
            n + 1,
            media.address,
            xinetd.address.port(),
            services[n].address,
        )
    };
    let haproxy = Haproxy::start(&[line(0), line(1)]);
    haproxy.wait_for("s2", "DOWN");
    haproxy.wait_for_reason("s1", "head block behind");
    assert!(haproxy.stat("s1", "status").starts_with("UP"));
    // A session of the first server, which is cut when it lags.
    wait_until("s2 alone is down", || haproxy.stat("s1", "status").starts_with("UP").then_some(()));
    let mut session = TcpStream::connect(haproxy.address).unwrap();
    session.set_read_timeout(Some(PATIENCE)).unwrap();
    session.write_all(b"a session").unwrap();
    wait_until("the session reaches s1", || (haproxy.stat("s1", "scur") == "1").then_some(()));
    set([600.0, 0.0]);
    haproxy.wait_for("s1", "DOWN");
    haproxy.wait_for("s2", "UP");
    assert_eq!(session.read_to_end(&mut Vec::new()).unwrap_or(0), 0, "the session is cut");
}

#[test]
fn haproxys_external_checks_follow_the_services() {
    for (name, healthy, lagging) in [
        ("v1", get_info(-4.0), get_info(600.0)),
        ("hyperion", v2_health(-4.0, HEAD), v2_health(600.0, HEAD)),
        ("atomic", atomic_health(-4.0, "OK"), atomic_health(-4.0, "ERROR")),
    ] {
        let body = Arc::new(Mutex::new(lagging.clone().into_bytes()));
        let server = Server::page(body.clone());
        let wrapper = format!("{}/haproxy/external-check/{name}", env!("CARGO_MANIFEST_DIR"));
        let haproxy = Haproxy::start_with(
            "external-check\n  insecure-fork-wanted",
            &[
                "option external-check".to_owned(),
                format!("external-check command {wrapper}"),
                "external-check path \"${PATH}\"".to_owned(),
                format!("server s1 {} check inter 200ms fall 1 rise 1", server.address),
            ],
        );
        haproxy.wait_for("s1", "DOWN");
        *body.lock().unwrap() = healthy.into_bytes();
        haproxy.wait_for("s1", "UP");
        *body.lock().unwrap() = lagging.into_bytes();
        haproxy.wait_for("s1", "DOWN");
    }
}
