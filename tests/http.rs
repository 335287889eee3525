//! `http|URL[|STATUS[|HOST]]`: any HTTP service is judged by the status of its answer.

mod common;

use std::io::Write;
use std::time::Duration;

use common::*;

/// A server that answers every request with this status, and a URL on it.
fn service(status: &'static str) -> (Server, String) {
    let server = Server::start(move |stream| {
        let _ = stream.write_all(&response(status, b"a body"));
    });
    let url = format!("http://{}/health", server.address);
    (server, url)
}

#[test]
fn a_status_from_200_to_399_is_up_and_any_other_is_down() {
    for (status, is_up) in [
        ("200 OK", true),
        ("204 No Content", true),
        ("302 Found", true),
        ("399 Odd", true),
        ("199 Odd", false),
        ("400 Bad Request", false),
        ("404 Not Found", false),
        ("503 Service Unavailable", false),
    ] {
        let (_server, url) = service(status);
        let (reply, exit_status) = if is_up { ("up\n", 0) } else { ("down\n", 1) };
        if status.starts_with('1') {
            // Such an answer announces another one, which never comes.
            assert_eq!(agent(&[&format!("http|{url}")]).stdout, "fail\n");
            continue;
        }
        agent(&[&format!("http|{url}")]).expect(reply, exit_status);
        agent(&[&format!("http|{url}|")]).expect(reply, exit_status);
        agent(&[&format!("http|{url}|200-399")]).expect(reply, exit_status);
    }
}

#[test]
fn the_request_names_the_statuses_that_are_good() {
    let (_server, url) = service("401 Unauthorized");
    for (statuses, reply, exit_status) in [
        ("401", "up\n", 0),
        ("400-401", "up\n", 0),
        ("401-401", "up\n", 0),
        ("100-999", "up\n", 0),
        ("200", "down # answered HTTP 401, not 200\n", 1),
        ("200-400", "down # answered HTTP 401, not 200-400\n", 1),
        ("402-499", "down # answered HTTP 401, not 402-499\n", 1),
    ] {
        let args = ["-d", &format!("http|{url}|{statuses}")];
        agent(&args).expect(reply, exit_status);
    }
}

#[test]
fn a_wrong_status_is_not_understood() {
    for status in ["x", "0", "20", "2000", "200-", "-200", "300-200", "2xx", "200,204"] {
        let outcome = agent(&[&format!("http|http://127.0.0.1:1|{status}")]);
        let sentence = format!("fail # '{status}' is no HTTP status: a number such as 200 or a ");
        assert!(outcome.stdout.starts_with(&sentence), "{outcome:?}");
        assert_eq!(outcome.exit_status, Some(2));
    }
    let outcome = agent(&["http|ws://127.0.0.1:1"]);
    assert!(outcome.stdout.starts_with("fail # 'ws://127.0.0.1:1' has another scheme than http"));
    let outcome = agent(&["http|http://127.0.0.1:1|200|a|b"]);
    assert!(outcome.stdout.contains("has more than http|URL|STATUS|HOST"), "{outcome:?}");
    let outcome = agent(&["http://127.0.0.1:1|http"]);
    assert_eq!(outcome.exit_status, Some(2), "{outcome:?}");
}

#[test]
fn the_url_is_asked_unchanged_and_host_is_sent_verbatim() {
    let (server, url) = service("200 OK");
    agent(&[&format!("http|{url}/a%20b//c/?x=1&y=//z|200|api.Example:99")]).expect("up\n", 0);
    let origin = url.strip_suffix("/health").unwrap();
    agent(&[&format!("http|{origin}?x")]).expect("up\n", 0);
    agent(&[&format!("http|{origin}")]).expect("up\n", 0);
    let requests = server.requests();
    assert!(
        requests[0].starts_with("GET /health/a%20b//c/?x=1&y=//z HTTP/1.1\r\n"),
        "{requests:?}"
    );
    assert!(requests[0].to_ascii_lowercase().contains("\r\nhost: api.example:99\r\n"));
    assert!(requests[0].contains("api.Example:99"));
    assert!(requests[1].starts_with("GET /?x HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[2].starts_with("GET / HTTP/1.1\r\n"), "{requests:?}");
}

#[test]
fn the_status_counts_before_the_body_has_come() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbeginning",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
    ] {
        let server = Server::start(move |stream| {
            let _ = stream.write_all(head.as_bytes());
            hold(stream);
        });
        let outcome = agent(&["-t", "20s", &format!("http|http://{}/", server.address)]);
        outcome.expect("up\n", 0);
        assert!(outcome.took < Duration::from_secs(10), "{outcome:?}");
    }
}

#[test]
fn a_service_that_gives_no_status_is_fail_with_the_reason() {
    let silent = Server::start(hold);
    let garbage = Server::start(|stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
    });
    let cut = Server::start(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200");
    });
    let dead = free_address();
    for (address, reason) in [
        (silent.address, "no answer within 300 ms"),
        (garbage.address, "sent no valid HTTP"),
        (cut.address, "closed the connection within the answer"),
        (dead, "refused the connection"),
    ] {
        let request = format!("http|http://{address}/");
        let outcome = agent(&["-d", "-t", "300", &request]);
        outcome.expect(&format!("fail # http://{address}: {reason}\n"), 1);
    }
}
