//! The requests `ship`, `stream` and `ws`, which ask services with a WebSocket.

mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use common::faults::{NO_ANSWER, send};
use common::haproxy::{HAPROXY, Haproxy};
use common::state_history::*;
use common::tls::Authority;
use common::websocket::*;
use common::*;

const HEAD_BLOCK: u32 = Node::healthy().head;

/// A state history that does not change.
fn state_history_of(node: Node) -> Server {
    state_history_server(Arc::new(Mutex::new(node)))
}

#[test]
fn a_state_history_may_lag_half_a_second_for_each_block() {
    for (lag_s, blocks, reply) in [
        (0.0, "", "up\n"),
        (3.0, "", "up\n"),
        (-3.0, "", "up\n"),
        (6.0, "", "down\n"),
        (-7.0, "", "down\n"),
        (3.0, "|x", "up\n"),
        (6.0, "|-20", "down\n"),
        (6.0, "|15", "up\n"),
        (9.0, "|15", "down\n"),
        (-9.0, "|15", "down\n"),
        (1000.0, "|3000", "up\n"),
    ] {
        let server = state_history_of(Node { lag_s, ..Node::healthy() });
        let outcome = agent(&[&format!("ship|ws://{}{blocks}", server.address)]);
        outcome.expect(reply, i32::from(reply != "up\n"));
    }
}

#[test]
fn each_log_that_a_state_history_keeps_has_to_end_at_the_head_block() {
    let traces_short = "down # traces to block 263148620, head is 263148621\n";
    let chain_state_long = "down # chain state to block 263148622, head is 263148621\n";
    for (head, ends, reply) in [
        (HEAD_BLOCK, [HEAD_BLOCK + 1, HEAD_BLOCK + 1], "up # head block behind "),
        (HEAD_BLOCK, [HEAD_BLOCK + 1, 0], "up # head block behind "),
        (HEAD_BLOCK, [0, HEAD_BLOCK + 1], "up # head block behind "),
        (1, [2, 2], "up # head block behind "),
        (HEAD_BLOCK, [0, 0], "down # keeps neither traces nor chain state\n"),
        (HEAD_BLOCK, [HEAD_BLOCK, HEAD_BLOCK + 1], traces_short),
        (HEAD_BLOCK, [HEAD_BLOCK, 0], traces_short),
        (HEAD_BLOCK, [HEAD_BLOCK + 1, HEAD_BLOCK + 2], chain_state_long),
        (HEAD_BLOCK, [0, HEAD_BLOCK + 2], chain_state_long),
        (
            HEAD_BLOCK,
            [HEAD_BLOCK + 1, HEAD_BLOCK],
            "down # chain state to block 263148620, head is 263148621\n",
        ),
        (
            HEAD_BLOCK,
            [HEAD_BLOCK + 2, HEAD_BLOCK + 1],
            "down # traces to block 263148622, head is 263148621\n",
        ),
        (HEAD_BLOCK, [1, u32::MAX], "down # traces to block 0, head is 263148621; chain state to "),
        (0, [1, 1], "fail # ws://"),
        (0, [0, 0], "fail # ws://"),
    ] {
        let server = state_history_of(Node { head, ends, ..Node::healthy() });
        let outcome = agent(&["-d", &format!("ship|ws://{}", server.address)]);
        assert!(outcome.stdout.starts_with(reply), "{head} {ends:?} {outcome:?}");
        assert_eq!(outcome.exit_status, Some(i32::from(!reply.starts_with("up"))));
        assert_eq!(head == 0, outcome.stdout.ends_with(" reports no head block\n"), "{outcome:?}");
    }
}

#[test]
fn a_state_history_is_explained_and_described() {
    let server = state_history_of(Node { lag_s: 20.0, ..Node::healthy() });
    let request = format!("ship|ws://{}|15", server.address);
    let outcome = agent(&["-d", &request]);
    let lag = outcome.stdout.strip_prefix("down # head block behind ").unwrap();
    let lag = lag.strip_suffix("/7.5s\n").unwrap_or_else(|| panic!("{outcome:?}"));
    assert!((20.0..25.0).contains(&lag.parse().unwrap()), "{outcome:?}");
    let explained = agent(&["-e", &request]);
    explained.expect("down\n", 1);
    let asked = format!("request  ship|ws://{}/|15\n", server.address);
    for part in [&asked, "\nhead block behind ", " 7.5 s ", " API ", "\nreply    down\n"] {
        assert!(explained.stderr.contains(part), "{part} {explained:?}");
    }
    let corrupt = state_history_of(Node { ends: [9, HEAD_BLOCK + 1], ..Node::healthy() });
    let explained = agent(&["-e", &format!("ship|ws://{}", corrupt.address)]);
    let problem = "\nproblem  traces to block 8, head is 263148621\n";
    assert!(explained.stderr.contains(problem), "{explained:?}");
}

#[test]
fn the_session_of_an_old_state_history_and_one_sent_byte_by_byte_are_read() {
    let old = Server::answering(|stream, head| {
        let mut session = session(head, &Node::healthy());
        let status = Node::healthy().status();
        session[2] = frame(BINARY, &status[..status.len() - 32]);
        send_parts(stream, &session);
        hold(stream);
    });
    let dribbling = Server::answering(|stream, head| {
        stream.set_nodelay(true).unwrap();
        for (n, part) in session(head, &Node::healthy()).iter().enumerate() {
            wait_until_due(stream, n);
            part.chunks(1).for_each(|byte| send(stream, byte));
        }
        hold(stream);
    });
    for server in [old, dribbling] {
        agent(&["-t", "10s", &format!("ship|ws://{}", server.address)]).expect("up\n", 0);
    }
}

/// A server that accepts an upgrade, with a part of the answer replaced, and then sends nothing.
fn accepting_with(from: &'static str, to: &'static str) -> Server {
    Server::answering(move |stream, head| {
        let answer = acceptance(head);
        let changed = answer.replace(from, to);
        assert_ne!(answer, changed);
        send(stream, changed);
        hold(stream);
    })
}

#[test]
fn an_upgrade_is_accepted_in_every_form_that_the_standard_allows() {
    for (from, to) in [
        ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        ("Connection: Upgrade", "connection: Keep-Alive\r\nCONNECTION:UPGRADE"),
        ("Upgrade: websocket", "upgrade: WebSocket"),
        ("Sec-WebSocket-Accept: ", "sec-websocket-accept:\t"),
        ("Switching Protocols", "Web Socket Protocol Handshake"),
        ("\r\n\r\n", "\r\nServer: any\r\nSec-WebSocket-Extensions:\r\n\r\n"),
        ("HTTP/1.1 101", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 101"),
        // The server sends a first byte of a frame together with its answer.
        ("\r\n\r\n", "\r\n\r\n\u{1}\u{0}"),
    ] {
        let server = accepting_with(from, to);
        agent(&["-d", &format!("ws|ws://{}", server.address)]).expect("up\n", 0);
    }
    let dribbling = Server::answering(|stream, head| {
        stream.set_nodelay(true).unwrap();
        acceptance(head).as_bytes().chunks(1).for_each(|byte| send(stream, byte));
        hold(stream);
    });
    agent(&["-t", "10s", &format!("ws|ws://{}", dribbling.address)]).expect("up\n", 0);
}

#[test]
fn a_header_of_8_kib_and_a_message_of_2_mib_are_read() {
    let server = Server::answering(|stream, head| {
        let mut session = session(head, &Node::healthy());
        let padding = 8192 - session[0].len() - "X: \r\n".len();
        let padded = format!("\r\nX: {}\r\n\r\n", "x".repeat(padding));
        session[0] = acceptance(head).replace("\r\n\r\n", &padded).into_bytes();
        assert_eq!(session[0].len(), 8192);
        let mut block = Node::healthy().block();
        block.resize(2 << 20, 0);
        session[3] = frame(BINARY, &block);
        send_parts(stream, &session);
        hold(stream);
    });
    agent(&["-t", "10s", &format!("ship|ws://{}|600", server.address)]).expect("up\n", 0);
}

/// The request line of an upgrade, its header lines without the key's, and the key.
fn parse_upgrade(head: &str) -> (String, Vec<&str>, &str) {
    let mut lines = head.trim_end().split("\r\n");
    let request_line = lines.next().unwrap().to_owned();
    let is_key = |line: &&str| line.starts_with("Sec-WebSocket-Key: ");
    let (keys, mut others): (Vec<_>, Vec<_>) = lines.partition(is_key);
    others.sort_unstable();
    let [key] = keys[..] else { panic!("{head}") };
    (request_line, others, key.split_once(": ").unwrap().1)
}

#[test]
fn the_request_for_an_upgrade_follows_the_standard() {
    let (frames, sent) = mpsc::channel();
    let server = Server::answering(move |stream, head| {
        send(stream, acceptance(head));
        let frame = read_frame(stream);
        let is_end = read_frame(stream).is_none();
        frames.send((frame, is_end)).unwrap();
    });
    let own_host = format!("Host: {}", server.address);
    for (path, host, asked, expected_host) in [
        ("", "", "/", own_host.as_str()),
        ("/", "", "/", &own_host),
        ("/a/b?c=d&e=/?f", "", "/a/b?c=d&e=/?f", &own_host),
        ("?c=d", "", "/?c=d", &own_host),
        ("/a#fragment", "", "/a", &own_host),
        ("/a", "|Media.Example.com", "/a", "Host: Media.Example.com"),
        ("/a", "|[::1]:8080", "/a", "Host: [::1]:8080"),
    ] {
        let request = format!("ws|ws://{}{path}{host}", server.address);
        agent(&["-w", "50", &request]).expect("up\n", 0);
        let (frame, is_end) = sent.recv_timeout(WAIT_LIMIT).unwrap();
        assert_eq!(frame, Some((CLOSE, vec![])), "{request}");
        assert!(is_end, "nothing comes after the close frame");
        let head = server.requests().pop().unwrap();
        let (request_line, others, _) = parse_upgrade(&head);
        assert_eq!(request_line, format!("GET {asked} HTTP/1.1"));
        let [connection, upgrade, version] =
            ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
        assert_eq!(others, [connection, expected_host, version, upgrade]);
    }
    let requests = server.requests();
    let mut keys: Vec<_> = requests.iter().map(|head| parse_upgrade(head).2).collect();
    for key in &keys {
        // 16 bytes in base64.
        let (digits, padding) = key.split_at(22);
        let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
        assert!(padding == "==" && digits.chars().all(is_digit), "{key}");
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), requests.len(), "every run has a key of its own");
}

#[test]
fn a_state_history_that_has_answered_gets_a_close_frame() {
    let (frames, sent) = mpsc::channel();
    let server = Server::answering(move |stream, head| {
        send_parts(stream, &session(head, &Node::healthy()));
        frames.send(read_frame(stream)).unwrap();
    });
    agent(&[&format!("ship|ws://{}", server.address)]).expect("up\n", 0);
    assert_eq!(sent.recv_timeout(WAIT_LIMIT).unwrap(), Some((CLOSE, vec![])));
}

#[test]
fn wss_certificates_are_checked_against_the_systems_store() {
    let authority = Authority::new();
    let server = authority.server(|stream| talk(stream, &Node::healthy()));
    let by_http = Server::accepting(|stream| {
        send(stream, response("400 Bad Request", b""));
        hold(stream);
    });
    let silent = Server::accepting(hold);
    let trusting = authority.file();
    let other_authority = Authority::new();
    let other = other_authority.file();
    let (trusting, other) = (trusting.as_path(), other.as_path());
    let ask = |store: &Path, scheme: &str, host: &str, address: SocketAddr, why: &str| {
        for name in ["ship", "ws"] {
            let request = format!("{name}|{scheme}://{host}:{}/", address.port());
            let outcome = finish(agent_trusting(store).args(["-d", "-t", "400", &request]));
            let case = format!("{request} {outcome:?}");
            assert!(outcome.stdout.contains(why), "{why} {case}");
            assert_eq!(outcome.stdout.starts_with("up"), why == "up", "{case}");
            assert_eq!(outcome.stdout.starts_with("fail # wss"), scheme != "ws" && why != "up");
            assert!(outcome.took < Duration::from_millis(400) + TOLERANCE, "{case}");
        }
    };
    ask(trusting, "wss", "localhost", server.address, "up");
    ask(trusting, "wss", "127.0.0.1", server.address, "no valid certificate: it is for another");
    ask(other, "wss", "localhost", server.address, "no valid certificate: its issuer is unknown");
    ask(trusting, "wss", "localhost", by_http.address, "speaks no TLS");
    ask(trusting, "wss", "localhost", silent.address, NO_ANSWER);
    ask(trusting, "ws", "localhost", server.address, "sent no valid HTTP");
}

const UNKNOWN_TRANSPORT: &str = r#"{"code":0,"message":"Transport unknown"}"#;

#[test]
fn streaming_is_up_if_a_socket_io_engine_answers_and_fail_otherwise() {
    let no_engine = "sent no answer of a Socket.IO engine";
    for (status, body, why) in [
        ("400 Bad Request", UNKNOWN_TRANSPORT, None),
        ("200 OK", UNKNOWN_TRANSPORT, None),
        ("200 OK", "{ \"message\": \"Transport unknown\", \"code\": 0 }\n", None),
        ("200 OK", r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"]}"#, None),
        ("200 OK", r#"97:0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":[]}2:40"#, None),
        ("200 OK", "\u{0}\u{9}\u{7}0{\"sid\":\"lv_VI97HAXpY6yYWAAAC\"}", None),
        ("200 OK", "<html>It works!</html>", Some(no_engine)),
        ("200 OK", "", Some(no_engine)),
        ("200 OK", "{}", Some(no_engine)),
        ("200 OK", "0", Some(no_engine)),
        ("200 OK", "0{", Some(no_engine)),
        ("200 OK", r#"{"sid":"lv_VI97HAXpY6yYWAAAC"}"#, Some(no_engine)),
        ("200 OK", r#"4{"sid":"lv_VI97HAXpY6yYWAAAC"}"#, Some(no_engine)),
        ("200 OK", r#"0{"upgrades":["websocket"]}"#, Some(no_engine)),
        ("200 OK", r#"0{"sid":5}"#, Some(no_engine)),
        ("200 OK", r#"{"code":1,"message":"Session ID unknown"}"#, Some(no_engine)),
        ("200 OK", r#"{"code":1,"message":"Transport unknown"}"#, Some(no_engine)),
        ("200 OK", r#"{"code":0,"message":"Session ID unknown"}"#, Some(no_engine)),
        ("400 Bad Request", r#"{"code":3,"message":"Bad request"}"#, Some("answered HTTP 400")),
        ("400 Bad Request", "<html>Bad Request</html>", Some("answered HTTP 400")),
        ("400 Bad Request", r#"0{"sid":"lv_VI97HAXpY6yYWAAAC"}"#, Some("answered HTTP 400")),
        ("404 Not Found", UNKNOWN_TRANSPORT, Some("answered HTTP 404")),
        ("500 Error", UNKNOWN_TRANSPORT, Some("answered HTTP 500")),
        ("302 Found", UNKNOWN_TRANSPORT, Some("answered HTTP 302; redirects are not followed")),
    ] {
        let answer = response(status, body.as_bytes());
        let server = Server::start(move |stream| send(stream, &answer));
        let url = format!("http://{}", server.address);
        let outcome = agent(&["-d", "-w", "50", &format!("stream|{url}")]);
        match why {
            None => outcome.expect("up\n", 0),
            Some(why) => outcome.expect(&format!("fail # {url}: {why}\n"), 1),
        }
    }
}

#[test]
fn streaming_is_asked_at_its_path_with_one_slash() {
    let server =
        Server::start(|stream| send(stream, response("200 OK", UNKNOWN_TRANSPORT.as_bytes())));
    for (path, asked) in
        [("", "/stream/"), ("/", "/stream/"), ("/a/", "/a/stream/"), ("?b", "/stream/?b")]
    {
        agent(&[&format!("stream|http://{}{path}", server.address)]).expect("up\n", 0);
        let head = server.requests().pop().unwrap();
        assert!(head.starts_with(&format!("GET {asked} HTTP/1.1\r\n")), "{head}");
        assert!(head.to_lowercase().contains(&format!("\r\nhost: {}\r\n", server.address)));
    }
}

#[test]
fn a_request_to_a_websocket_that_is_not_understood_is_fail() {
    for (request, word) in [
        ("ship|http://127.0.0.1:1/", "'http://127.0.0.1:1/' has another scheme than ws or wss"),
        ("ship|https://127.0.0.1:1/", "than ws or wss"),
        ("ship|127.0.0.1:1", "'127.0.0.1:1' is no URL"),
        ("ship|", "'' is no URL"),
        ("ship|ws://127.0.0.1:1/|10|host", "has more than ship|URL|BLOCKS"),
        ("ws://127.0.0.1:1/|ship", "'ws://127.0.0.1:1/' is none of "),
        ("stream|ws://127.0.0.1:1/", "'ws://127.0.0.1:1/' has another scheme than http or https"),
        ("stream|http://127.0.0.1:1/|10", "has more than stream|URL"),
        ("http://127.0.0.1:1/|stream", "'http://127.0.0.1:1/' is none of "),
        ("ws|http://127.0.0.1:1/", "'http://127.0.0.1:1/' has another scheme than ws or wss"),
        ("ws|ftp://127.0.0.1:1/", "has another scheme than http, https, ws or wss"),
        ("ws|ws://127.0.0.1:1/|a b", "'a b' is no host"),
        ("ws|ws://127.0.0.1:1/|a|b", "has more than ws|URL|HOST"),
        ("ws|ws://127.0.0.1:0/", "has no port from 1 to 65535"),
    ] {
        let outcome = agent(&["-d", request]);
        assert!(outcome.stdout.starts_with("fail # "), "{outcome:?}");
        assert!(outcome.stdout.contains(word), "{word} {outcome:?}");
        assert_eq!(outcome.exit_status, Some(2), "{outcome:?}");
    }
    let [problem, url] = ["holds user information", "secret:secret@127.0.0.1:1/?secret"];
    for (request, problem) in [
        (format!("ship|ws://{url}"), problem),
        (format!("stream|http://{url}"), problem),
        (format!("ws|wss://{url}"), problem),
        (format!("ws://{url}|ship"), "is none of"),
        (format!("ws://{url}"), "is none of"),
        ("ws|ws://127.0.0.1:1/?secret|a|b".to_owned(), "has more than ws|URL|HOST"),
    ] {
        for outcome in [
            agent(&["-d", "-e", &request]),
            Connection::open_after(&["-d"], request.as_bytes()).finish(),
        ] {
            assert!(outcome.stdout.starts_with("fail # '"), "{outcome:?}");
            assert!(outcome.stdout.contains(problem), "{problem} {outcome:?}");
            assert_eq!(outcome.exit_status, Some(2), "{outcome:?}");
            assert!(!format!("{outcome:?}").contains("secret"), "{outcome:?}");
        }
    }
}

/// For each request, a healthy server and the text of the request.
fn healthy_services() -> [(Server, String); 3] {
    [("ship", "ws"), ("ws", "ws"), ("stream", "http")].map(|(name, scheme)| {
        let server = match name {
            "stream" => Server::start(|stream| {
                send(stream, response("400 Bad Request", UNKNOWN_TRANSPORT.as_bytes()));
            }),
            _ => Server::answering(|stream, head| {
                send_parts(stream, &session(head, &Node::healthy()));
                hold(stream);
            }),
        };
        let request = format!("{name}|{scheme}://{}", server.address);
        (server, request)
    })
}

#[test]
fn a_line_may_only_name_allowed_servers() {
    for (server, request) in healthy_services() {
        let ask = |args: &[&str]| ask_over_unix_socket(args, format!("{request}\n").as_bytes());
        let (address, port) = (server.address, server.address.port());
        let origin = request.split_once('|').unwrap().1;
        let not_allowed = "fail # url not allowed\n";
        assert_eq!(ask(&["-d"]), not_allowed);
        for other in [
            format!("wss://{address}"),
            format!("https://{address}"),
            if origin.starts_with("ws") { "http" } else { "ws" }.to_owned()
                + &format!("://{address}"),
            origin.replace(&port.to_string(), &(port ^ 1).to_string()),
        ] {
            assert_eq!(ask(&["-d", "-a", &other]), not_allowed, "{other}");
        }
        assert!(server.requests().is_empty(), "no connection is opened");
        assert_eq!(ask(&["-w", "50", "-a", "ws://other", "-a", origin]), "up\n");
        assert_eq!(ask(&["-w", "50", "-a", "any"]), "up\n");
        // The command line may name any URL.
        assert_eq!(ask_over_unix_socket(&[&request], b"\n"), "up\n");
    }
}

#[test]
fn a_line_replaces_a_websocket_request_that_hangs() {
    let [(_server, healthy), _, (_streaming, streaming)] = healthy_services();
    let lines = [healthy.as_str(), &streaming, "debug|up"];
    for (part, line) in (0..4).flat_map(|part| lines.map(|line| (part, line))) {
        let hangs = Arc::new(AtomicBool::new(false));
        let now_hangs = hangs.clone();
        let hanging = Server::answering(move |stream, head| {
            send_parts_before(stream, &session(head, &Node::healthy()), part);
            now_hangs.store(true, Ordering::SeqCst);
            hold(stream);
        });
        let request = format!("ship|ws://{}", hanging.address);
        let mut connection = Connection::open(&["-t", "10s", "-a", "any", &request]);
        wait_until("the server hangs", || hangs.load(Ordering::SeqCst).then_some(()));
        connection.send(format!("{line}\n").as_bytes());
        let outcome = connection.finish();
        outcome.expect("up\n", 0);
        assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");
    }
}

const WRAPPER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/haproxy/external-check/ship");

/// A command that runs a program in a mount namespace in which the agent is installed in /usr/local/bin.
fn with_agent_installed(folder: &Path, program: &str) -> Command {
    shared_copy_of_agent(folder);
    let script = "mount --bind \"$1\" /usr/local/bin || exit; shift; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(folder).arg(program);
    command
}

#[test]
fn haproxys_external_check_follows_a_state_history() {
    let folder = tempfile::tempdir().unwrap();
    let lines = |server: &Server, path: &str| {
        vec![
            "option external-check".to_owned(),
            format!("external-check command {WRAPPER}"),
            path.to_owned(),
            format!("server s1 {} check inter 200ms fall 1 rise 1", server.address),
        ]
    };
    for has_path in [true, false] {
        let healthy = Node { lag_s: -4.0, ..Node::healthy() };
        let node = Arc::new(Mutex::new(Node { lag_s: 600.0, ..healthy }));
        let server = state_history_server(node.clone());
        let global = "external-check\n  insecure-fork-wanted";
        let haproxy = if has_path {
            Haproxy::start_with(global, &lines(&server, "external-check path \"${PATH}\""))
        } else {
            let mut command = with_agent_installed(folder.path(), HAPROXY);
            Haproxy::start_by(&mut command, global, &lines(&server, ""))
        };
        haproxy.wait_for("s1", "DOWN");
        *node.lock().unwrap() = healthy;
        haproxy.wait_for("s1", "UP");
        *node.lock().unwrap() = Node { ends: [HEAD_BLOCK, HEAD_BLOCK + 1], ..healthy };
        haproxy.wait_for("s1", "DOWN");
    }
}

#[test]
fn the_external_check_finds_an_installed_agent_without_a_search_path() {
    let folder = tempfile::tempdir().unwrap();
    for (lag_s, status) in [(0.0, 0), (600.0, 1)] {
        let server = state_history_of(Node { lag_s, ..Node::healthy() });
        let [host, port] = [server.address.ip().to_string(), server.address.port().to_string()];
        for path in [&[][..], &["PATH="]] {
            let mut command = with_agent_installed(folder.path(), "/usr/bin/env");
            command.arg("-i").args(path);
            command.arg(format!("HAPROXY_SERVER_ADDR={host}"));
            command.arg(format!("HAPROXY_SERVER_PORT={port}"));
            // The four arguments that HAProxy gives to an external check.
            command.arg(WRAPPER).args(["NOT_USED", "NOT_USED", &host, &port]);
            finish(&mut command).expect("", status);
        }
    }
}
