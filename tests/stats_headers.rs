//! `--stats-headers`: headers for the request of the statistics page come from a file.

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use common::*;

/// A page that only a request with this header gets.
fn protected(header: &'static str) -> Server {
    Server::answering(move |stream, head| {
        let answer = match head.lines().any(|line| line == header) {
            true => response("200 OK", &text_page(&[("streams_hls", "5")])),
            false => response("401 Unauthorized", b"who are you?"),
        };
        let _ = stream.write_all(&answer);
    })
}

/// The agent, which asks `server` with the headers in a file with this text.
fn agent_with(server: &Server, text: &[u8]) -> Outcome {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, text).unwrap();
    agent_with_file(server, file.path())
}

fn agent_with_file(server: &Server, path: &Path) -> Outcome {
    let path = path.to_str().unwrap();
    agent(&["-d", "-t", "5s", "-u", &server.url(), "--stats-headers", path, "hls", "10"])
}

#[test]
fn the_headers_of_the_file_are_sent() {
    let server = protected("authorization: Bearer abc:def==");
    for text in [
        &b"Authorization: Bearer abc:def==\n"[..],
        b"AUTHORIZATION:Bearer abc:def==",
        b"\r\nX-First: 1\r\nAuthorization:  Bearer abc:def==  \r\n\r\n",
    ] {
        agent_with(&server, text).expect("up 100% # hls 5/10\n", 0);
    }
    let first = server.requests().remove(0);
    assert!(first.starts_with("GET /?action=stat HTTP/1.1\r\n"), "{first}");
    assert!(first.contains(&format!("\r\nhost: {}\r\n", server.address)), "{first}");
    let denied = agent(&["-d", "-u", &server.url(), "hls", "10"]);
    assert!(denied.stdout.ends_with(": answered HTTP 401\n"), "{denied:?}");
}

#[test]
fn the_file_may_set_the_host_and_repeat_a_header() {
    let server = protected("host: stats.example");
    agent_with(&server, b"Host: stats.example").expect("up 100% # hls 5/10\n", 0);
    agent_with(&server, b"Host: stats.example\nX-A: 1\nX-A: 2\n").expect("up 100% # hls 5/10\n", 0);
    let request = server.requests().remove(1);
    assert!(request.contains("\r\nx-a: 1\r\n") && request.contains("\r\nx-a: 2\r\n"), "{request}");
    assert_eq!(request.matches("host:").count(), 1, "{request}");
}

#[test]
fn a_header_of_the_file_replaces_the_one_that_the_agent_sends() {
    let server = protected("accept: application/json");
    let text = b"Accept: application/json\nUser-Agent: monitoring";
    agent_with(&server, text).expect("up 100% # hls 5/10\n", 0);
    let request = server.requests().remove(0);
    assert!(request.contains("\r\nuser-agent: monitoring\r\n"), "{request}");
    for name in ["accept", "user-agent"] {
        assert_eq!(request.matches(&format!("\n{name}:")).count(), 1, "{request}");
    }
}

#[test]
fn a_header_of_4000_bytes_is_sent() {
    let token = "t".repeat(4000 - "X-Token: ".len());
    let header: &'static str = format!("x-token: {token}").leak();
    let server = protected(header);
    let text = format!("X-Token: {token}\nX-Other: {token}");
    agent_with(&server, text.as_bytes()).expect("up 100% # hls 5/10\n", 0);
}

#[test]
fn a_file_without_valid_headers_is_down_and_shows_no_secret() {
    let server = protected("x: y");
    for (text, problem) in [
        (&b""[..], "it holds no header"),
        (b"\n\r\n", "it holds no header"),
        (b"X: secret\nsecret\n", "line 2 is not 'Name: value'"),
        (b"Authorization Bearer secret", "line 1 is not 'Name: value'"),
        (b": secret", "line 1 is not 'Name: value'"),
        (b"se cret: secret", "line 1 is not 'Name: value'"),
        (b"X: secret\0", "line 1 is not 'Name: value'"),
        (b"X: \x01secret", "line 1 is not 'Name: value'"),
        (b"X: y\nContent-Length: 5", "line 2 has a header that only the agent may send"),
        (b"Transfer-Encoding: chunked", "line 1 has a header that only the agent may send"),
        (b"Host: a\nHost: b", "line 2 has a second Host header"),
        (&[b's'; 4001], "line 1 is longer than 4000 bytes"),
        (&[b'\n'; 20_000], "it is larger than 16384 bytes"),
    ] {
        let outcome = agent_with(&server, text);
        let sentence = format!("down # --stats-headers: {problem}: /");
        assert!(outcome.stdout.starts_with(&sentence), "{outcome:?}");
        assert_eq!(outcome.exit_status, Some(1), "{outcome:?}");
        assert!(!outcome.stdout.contains("secret"), "{outcome:?}");
    }
    assert_eq!(server.requests(), [""; 0], "the page was asked");
}

#[test]
fn a_file_that_cannot_be_read_is_down_in_time() {
    let server = protected("x: y");
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, problem) in [
        (folder.path().join("absent"), "cannot read it: No such file or directory (os error 2)"),
        (folder.path().to_owned(), "it is no regular file"),
        (pipe, "it is no regular file"),
        ("/dev/zero".into(), "it is no regular file"),
    ] {
        let outcome = agent_with_file(&server, &path);
        let sentence = format!("down # --stats-headers: {problem}: ");
        assert!(outcome.stdout.starts_with(&sentence), "{outcome:?}");
    }
    assert_eq!(server.requests(), [""; 0], "the page was asked");
    agent(&["--stats-headers", "/absent", "cpu", "1000000"]).expect("up 100%\n", 0);
    let misuse = agent(&["--stats-headers", "", "cpu"]);
    misuse.expect("fail # --stats-headers: the path is empty\n", 2);
}

#[test]
fn the_headers_are_shown_and_logged_nowhere() {
    let header = "authorization: Bearer secret";
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, header).unwrap();
    let path = file.path().to_str().unwrap();
    let refusing = Server::start(|stream| {
        let _ = stream.write_all(&response("500 Bearer secret", b"Bearer secret"));
    });
    let garbage = Server::answering(|stream, head| {
        let _ = stream.write_all(head.as_bytes());
    });
    for server in [&protected(header), &refusing, &garbage] {
        for request in ["hls 1000", "hls 1", "stat:Bearer 1", "stat:authorization 1"] {
            let args = ["-d", "-e", "-u", &server.url(), "--stats-headers", path, request];
            let outcome = agent(&args);
            let shown = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
