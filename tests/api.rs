//! API requests: the agent judges Antelope services by their answers.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::antelope::{HEAD, atomic_health, get_info, v2_health};
use common::haproxy::Haproxy;
use common::tls::Authority;
use common::*;
use serde_json::{Value, json};

/// A service that answers with this body, and its URL.
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
fn blocks_default_to_10_and_each_allows_half_a_second() {
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
fn the_host_header_names_the_host_of_the_request_or_else_of_the_url() {
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
fn the_longest_request_is_asked_and_an_answer_with_a_header_of_8000_bytes_is_read() {
    let server = Server::start(|stream| {
        let long = format!("200 OK\r\nX-Long: {}", "x".repeat(7850));
        let answer = response(&long, get_info(0.0).as_bytes());
        assert!(
            (7900..8192).contains(&answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap())
        );
        let _ = stream.write_all(&answer);
    });
    let url = format!("http://{}/", server.address);
    let path = "x".repeat(2048 - url.len());
    agent(&[&format!("v1|{url}{path}|240|{}", "h".repeat(1024))]).expect("up\n", 0);
    let head = server.requests().pop().unwrap();
    assert!(head.starts_with(&format!("GET /{path}/v1/chain/get_info HTTP/1.1\r\n")), "{head}");
    assert!(head.contains(&"h".repeat(1024)), "{head}");
}

#[test]
fn the_description_gives_the_lag_and_the_limit() {
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

/// The name of each Antelope service that is asked over HTTP, with the answer of a healthy one.
fn healthy_answers() -> [(&'static str, String); 5] {
    [
        ("v1", get_info(0.0)),
        ("v2", v2_health(0.0, HEAD)),
        ("hyperion", v2_health(0.0, HEAD)),
        ("atomic", atomic_health(0.0, "OK")),
        ("contract", atomic_health(0.0, "OK")),
    ]
}

#[test]
fn a_service_that_cannot_be_measured_is_fail_in_time_with_the_reason() {
    let page = |body: &'static [u8]| {
        Server::start(move |stream| {
            let _ = stream.write_all(&response("200 OK", body));
        })
    };
    let mut faults = faults::http_servers();
    faults.extend([
        (page(b"<html>"), "sent no JSON"),
        (page(b""), "sent no JSON"),
        (page(b"{\"data\": 1e999}"), "reports no "),
        (page(b"{}"), "reports no "),
        (page(b"[]"), "reports no "),
    ]);
    for (server, why) in &faults {
        let asked = thread::scope(|scope| {
            let ask = |name| {
                let request = format!("{name}|http://{}", server.address);
                (name, agent(&["-d", "-t", "400", &request]))
            };
            let names = healthy_answers().map(|(name, _)| name);
            names.map(|name| scope.spawn(move || ask(name))).map(|asking| asking.join().unwrap())
        });
        for (name, outcome) in asked {
            let has_bad_status = why.starts_with("answered HTTP");
            let is_atomic = matches!(name, "atomic" | "contract");
            let state = if has_bad_status && is_atomic { "down" } else { "fail" };
            assert!(outcome.stdout.starts_with(&format!("{state} # ")), "{name} {outcome:?}");
            assert!(outcome.stdout.contains(why), "{name} {why} {outcome:?}");
            assert_eq!(outcome.exit_status, Some(1));
            assert!(outcome.took < Duration::from_millis(400) + TOLERANCE, "{name} {outcome:?}");
        }
    }
    let address = free_address();
    let outcome = agent(&["-d", &format!("v1|http://{address}|15")]);
    outcome.expect(&format!("fail # http://{address}: refused the connection\n"), 1);
    agent(&[&format!("v1|http://{address}|15")]).expect("fail\n", 1);
}

/// A healthy answer in which one value is replaced, or removed if there is no other.
fn with_wrong_field(healthy: &str, pointer: &str, value: Option<Value>) -> String {
    let mut json: Value = serde_json::from_str(healthy).unwrap();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = json.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        None => parent.remove(name),
        Some(value) => parent.insert(name.to_owned(), value),
    }
    .unwrap();
    json.to_string()
}

#[test]
fn a_field_that_is_missing_or_of_the_wrong_type_is_fail() {
    let services = |name, n| format!("/health/{n}/{name}");
    let rpc = "/health/1/service_data";
    let indexer = "/health/2/service_data";
    let indexed = [format!("{rpc}/head_block_num"), format!("{indexer}/last_indexed_block")];
    for (name, healthy) in healthy_answers() {
        // Fields that hold words, and fields that hold numbers.
        let (words, numbers): (Vec<_>, Vec<_>) = match name {
            "v1" => (vec!["/head_block_time".to_owned()], vec![]),
            "v2" => (vec![], indexed.to_vec()),
            "hyperion" => {
                let mut words: Vec<_> = (0..3).map(|n| services("status", n)).collect();
                words.push(format!("{rpc}/head_block_time"));
                (words, indexed.to_vec())
            }
            _ => (
                vec!["/data/postgres/status".to_owned(), "/data/redis/status".to_owned()],
                vec!["/data/chain/head_time".to_owned(), "/data/chain/head_block".to_owned()],
            ),
        };
        let mut wrong: Vec<Option<Value>> = vec![None];
        wrong.extend([json!(null), json!(true), json!([]), json!({}), json!(0)].map(Some));
        let wrong_numbers = [json!("soon"), json!("0"), json!(-1), json!(1.5)].map(Some);
        let cases = words.iter().flat_map(|word| wrong.iter().map(move |value| (word, value)));
        let numeric = wrong.iter().chain(&wrong_numbers);
        let more =
            numbers.iter().flat_map(|number| numeric.clone().map(move |value| (number, value)));
        for (pointer, value) in cases.chain(more) {
            let (_server, url) = service(with_wrong_field(&healthy, pointer, value.clone()));
            let outcome = agent(&["-d", &format!("{name}|{url}|20")]);
            let case = format!("{name} {pointer} {value:?} {outcome:?}");
            assert!(outcome.stdout.starts_with("fail # http://"), "{case}");
            assert!(outcome.stdout.contains(" reports no "), "{case}");
            assert_eq!(outcome.exit_status, Some(1), "{case}");
        }
        for pointer in &numbers {
            let json: Value = serde_json::from_str(&healthy).unwrap();
            let text = json.pointer(pointer).unwrap().to_string();
            let (_server, url) = service(with_wrong_field(&healthy, pointer, Some(text.into())));
            agent(&[&format!("{name}|{url}|20")]).expect("up\n", 0);
        }
    }
}

#[test]
fn further_fields_of_hyperion_and_atomic_are_judged() {
    let (missing, reader) = ("/health/2/service_data/missing_blocks", "/data/postgres/readers/0");
    let chain = "/data/chain/status";
    for (name, healthy, pointer, value, reply) in [
        ("hyperion", v2_health(0.0, HEAD), missing, Some(json!(0)), "up\n"),
        ("hyperion", v2_health(0.0, HEAD), missing, Some(json!("-1")), "up\n"),
        ("hyperion", v2_health(0.0, HEAD), missing, Some(json!(1)), "down\n"),
        ("hyperion", v2_health(0.0, HEAD), missing, Some(json!(1u64 << 63)), "down\n"),
        ("hyperion", v2_health(0.0, HEAD), missing, Some(json!("some")), "fail\n"),
        ("hyperion", v2_health(0.0, HEAD), missing, Some(json!(1.5)), "fail\n"),
        ("hyperion", v2_health(0.0, HEAD), missing, Some(json!(false)), "fail\n"),
        ("hyperion", v2_health(0.0, HEAD), missing, Some(json!([])), "fail\n"),
        ("hyperion", v2_health(0.0, HEAD), missing, Some(json!({})), "fail\n"),
        // Older versions do not report it.
        ("hyperion", v2_health(0.0, HEAD), missing, Some(json!(null)), "up\n"),
        ("hyperion", v2_health(0.0, HEAD), missing, None, "up\n"),
        ("hyperion", v2_health(0.0, HEAD - 61), missing, None, "down\n"),
        ("hyperion", v2_health(40.0, HEAD), missing, None, "down\n"),
        ("hyperion", v2_health(0.0, HEAD), "/health/0/status", Some(json!("Warning")), "up\n"),
        ("hyperion", v2_health(0.0, HEAD), "/health/0/status", Some(json!("Error")), "down\n"),
        ("v2", v2_health(0.0, HEAD), "/health/0/status", Some(json!("Error")), "up\n"),
        // AtomicAssets reports an error when its head is 20 s old. The request may allow more.
        ("atomic", atomic_health(25.0, "OK"), chain, Some(json!("ERROR")), "up\n"),
        ("atomic", atomic_health(0.0, "OK"), chain, None, "up\n"),
        (
            "atomic",
            atomic_health(0.0, "OK"),
            &format!("{reader}/block_num"),
            Some(json!(HEAD - 180)),
            "up\n",
        ),
        (
            "atomic",
            atomic_health(0.0, "OK"),
            &format!("{reader}/block_num"),
            Some(json!(HEAD - 181)),
            "down\n",
        ),
        (
            "atomic",
            atomic_health(0.0, "OK"),
            &format!("{reader}/block_num"),
            Some(json!("0")),
            "fail\n",
        ),
        ("atomic", atomic_health(0.0, "OK"), &format!("{reader}/block_num"), None, "up\n"),
    ] {
        let (_server, url) = service(with_wrong_field(&healthy, pointer, value.clone()));
        let outcome = agent(&[&format!("{name}|{url}|60")]);
        assert_eq!(outcome.stdout, reply, "{name} {pointer} {value:?}");
    }
}

/// The HTTP status alone decides. The agent does not wait for the rest of the page.
#[test]
fn an_error_page_is_not_read() {
    let pages: [fn(&mut TcpStream); 3] = [
        |stream| {
            let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 99\r\n\r\n{}");
            hold(stream);
        },
        |stream| {
            let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 99\r\n\r\n{}");
        },
        |stream| {
            let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\n\r\n");
            while stream.write_all(&[b' '; 65536]).is_ok() {}
        },
    ];
    for page in pages {
        let server = Server::start(page);
        for (name, reply) in [("atomic", "down"), ("v1", "fail")] {
            let outcome = agent(&["-d", "-t", "10s", &format!("{name}|http://{}", server.address)]);
            assert!(outcome.stdout.starts_with(reply), "{outcome:?}");
            assert!(outcome.stdout.ends_with(" answered HTTP 503\n"), "{outcome:?}");
            assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");
        }
    }
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
        ("debug|#text", "''"),
        ("debug|UP", "'UP'"),
        ("debug|up 257%", "'257%'"),
        ("debug|50", "'50'"),
        ("debug|-1%", "'-1%'"),
        ("debug|1.5%", "'1.5%'"),
        ("debug|maxconn:", "'maxconn:'"),
        ("debug|maxconn:-1", "'maxconn:-1'"),
        ("debug|maxconn:4294967296", "'maxconn:4294967296'"),
        ("debug|up down", "'down'"),
        ("debug|up up", "'up'"),
        ("debug|ready up ready", "'ready'"),
        ("debug|1% 2%", "'2%'"),
        ("debug|maxconn:1 up maxconn:1", "'maxconn:1'"),
        ("debug|up 50% maxconn:1 ready x # text", "'x'"),
    ] {
        let outcome = agent(&[request]);
        assert!(outcome.stdout.starts_with("fail # "), "{outcome:?}");
        assert!(outcome.stdout.contains(word), "{word} {outcome:?}");
        assert_eq!(outcome.exit_status, Some(2), "{outcome:?}");
    }
    for request in [
        "v1|http://user:secret@127.0.0.1:1/?secret",
        "http://user:secret@127.0.0.1:1/?secret",
        "http://user:secret@127.0.0.1:1/?secret|hyperion",
        "http://user:secret@127.0.0.1:1/?secret|v1|1|2|3|4",
        "v1|http://127.0.0.1:1/?secret|1|2|3",
    ] {
        let outcome = agent(&["-d", "-e", request]);
        assert!(outcome.stdout.starts_with("fail # "), "{outcome:?}");
        assert!(!format!("{outcome:?}").contains("secret"), "{outcome:?}");
    }
}

/// Checks the reply to a `debug` request on the command line and in a request line.
fn expect_debug(options: &[&str], request: &str, reply: &str, status: i32) {
    agent(&[options, &[request]].concat()).expect(reply, status);
    let line = format!("{request}\n");
    let connection = Connection::open_after(&[options, &["hls"]].concat(), line.as_bytes());
    connection.finish().expect(reply, status);
}

#[test]
fn debug_is_answered_with_the_reply_that_it_names() {
    for (request, reply, status) in [
        ("debug|down#text", "down # text\n", 1),
        ("debug | down", "down\n", 1),
        ("debug|up", "up\n", 0),
        ("debug|up 50% # half|way", "up 50% # half|way\n", 0),
        ("debug|fail", "fail\n", 1),
        ("debug|drain", "drain\n", 1),
        ("debug|maint", "maint\n", 1),
        ("debug|stopped# a # b", "stopped # a # b\n", 1),
        // Without a state.
        ("debug|ready", "ready\n", 0),
        ("debug|50%", "50%\n", 0),
        ("debug|0%", "0%\n", 0),
        ("debug|256%#text", "256% # text\n", 0),
        ("debug|maxconn:10", "maxconn:10\n", 0),
        ("debug|maxconn:0 ready 1%", "ready 1% maxconn:0\n", 0),
        // In any order, with any spaces, and with commas as in HAProxy.
        ("debug|maxconn:4294967295 7% up ready#x", "ready up 7% maxconn:4294967295 # x\n", 0),
        ("debug|\t7%  down\tready", "ready down 7%\n", 1),
        ("debug|up,100%,maxconn:5", "up 100% maxconn:5\n", 0),
        ("debug|up#", "up\n", 0),
    ] {
        expect_debug(&[], request, reply, status);
        // --describe adds nothing.
        expect_debug(&["-d"], request, reply, status);
    }
}

#[test]
fn with_a_maintenance_option_every_debug_reply_begins_with_ready_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("maint").display().to_string();
    for (request, reply, status) in [
        ("debug|up", "ready up\n", 0),
        ("debug|ready up 5%", "ready up 5%\n", 0),
        ("debug|ready", "ready\n", 0),
        ("debug|50%", "ready 50%\n", 0),
        ("debug|maxconn:3#x", "ready maxconn:3 # x\n", 0),
        ("debug|maint", "ready maint\n", 1),
    ] {
        expect_debug(&["-m", &file], request, reply, status);
    }
    let outcome = agent(&["-m", &file, "debug|up up"]);
    assert!(outcome.stdout.starts_with("ready fail # 'up' "), "{outcome:?}");
    assert_eq!(outcome.exit_status, Some(2));
    std::fs::write(&file, "drain why").unwrap();
    expect_debug(&["-m", &file], "debug|ready up", "drain # why\n", 1);
}

#[test]
fn a_debug_reply_is_printable_and_at_most_200_bytes_long() {
    let words = "maxconn:4294967295 256% stopped ready";
    let text = format!("\u{1b}[2J\u{e9} {}", "long ".repeat(100));
    let outcome = agent(&[&format!("debug|{words}#{text}")]);
    let reply = outcome.stdout.strip_suffix('\n').unwrap();
    assert!(reply.starts_with("ready stopped 256% maxconn:4294967295 # ?[2J? long "), "{reply}");
    assert!(reply.ends_with(" long...") && reply.len() <= 200, "{reply}");
    assert!(reply.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{reply}");
    assert!(outcome.description().is_some_and(|text| text.len() <= 100), "{reply}");
}

#[test]
fn a_line_replaces_a_request_that_is_being_measured() {
    let hanging = Server::start(hold);
    let (_server, url) = service(get_info(0.0));
    let mut connection = Connection::open(&["-t", "10s", "-a", &url, "-u", &hanging.url(), "hls"]);
    wait_until("the page is asked", || hanging.requests().pop());
    connection.send(format!("v1|{url}|20").as_bytes());
    let outcome = connection.finish();
    outcome.expect("up\n", 0);
    assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");
}

#[test]
fn https_certificates_are_checked_against_the_systems_store() {
    let authority = Authority::new();
    // s_server -WWW serves files of its working folder.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("v1/chain")).unwrap();
    std::fs::write(folder.path().join("v1/chain/get_info"), get_info(0.0)).unwrap();
    let (key, certificate) = (authority.server_key(), authority.server_certificate());
    let (_server, address) = tls_server("-WWW", folder.path(), &key, &certificate);
    let ask = |file: &Path, host: &str| {
        let request = format!("v1|https://{host}:{}|60", address.port());
        finish(agent_trusting(file).args(["-d", &request]))
    };
    let trusted = ask(&authority.file(), "localhost");
    assert!(trusted.stdout.starts_with("up # head block "), "{trusted:?}");
    let other_name = ask(&authority.file(), "127.0.0.1");
    assert!(other_name.stdout.contains("no valid certificate: it is for"), "{other_name:?}");
    let other = Authority::new();
    let untrusted = ask(&other.file(), "localhost");
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
        "--describe --agent-send required --allow-url any",
    );
    let media = Server::start(hold);
    let line = |n: usize| {
        format!(
            "server s{} {} check agent-check agent-addr {} agent-port {} agent-inter 200ms \
             agent-send \"v1|http://{}|240\\n\" on-marked-down shutdown-sessions",
            n + 1,
            media.address,
            xinetd.address.ip(),
            xinetd.address.port(),
            services[n].address,
        )
    };
    let haproxy = Haproxy::start(&[line(0), line(1)]);
    haproxy.wait_for("s2", "DOWN");
    haproxy.wait_for_reason("s1", "head block behind");
    assert!(haproxy.stat("s1", "status").starts_with("UP"));
    // A session on the first server has to be cut when that server lags.
    wait_until("s2 alone is down", || haproxy.stat("s1", "status").starts_with("UP").then_some(()));
    let mut session = TcpStream::connect(haproxy.address).unwrap();
    session.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    session.write_all(b"a session").unwrap();
    wait_until("the session reaches s1", || (haproxy.stat("s1", "scur") == "1").then_some(()));
    set([600.0, 0.0]);
    haproxy.wait_for("s1", "DOWN");
    haproxy.wait_for("s2", "UP");
    assert_eq!(session.read_to_end(&mut Vec::new()).unwrap_or(0), 0, "the session is cut");
}

#[test]
fn haproxys_external_checks_follow_the_state_of_the_services() {
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
