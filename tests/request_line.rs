//! The request line on standard input: from which files it is read, when it ends, and what it changes.

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::*;

const PAGE: [(&str, &str); 2] = [("streams_hls", "10"), ("streams_rtmp_in", "10")];

/// A server, a channel that says when it was asked, and a channel that lets it answer with [`PAGE`].
fn slow_server() -> (Server, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (asked, is_asked) = mpsc::channel();
    let (answer, may_answer) = mpsc::channel();
    let (asked, may_answer) = (Mutex::new(asked), Mutex::new(may_answer));
    let server = Server::start(move |stream| {
        let _ = asked.lock().unwrap().send(());
        let _ = may_answer.lock().unwrap().recv();
        let _ = stream.write_all(&response("200 OK", &text_page(&PAGE)));
    });
    (server, is_asked, answer)
}

#[test]
fn a_line_is_read_from_a_pipe_a_file_and_a_socket() {
    type Run = fn(&[u8], &[&str]) -> Outcome;
    for run in [agent_on_pipe as Run, agent_on_file, agent_on_socket] {
        for line in ["cpu 0\n", "cpu 0\r\n", "cpu 0", "cpu 0\nignored", "cpu 0\n\n", " cpu\t0 \n"] {
            run(line.as_bytes(), &["cpu", "1000000"]).expect("down\n", 1);
            run(line.as_bytes(), &["cpu 1000000", "--agent-send", "required"]).expect("down\n", 1);
            let ignored = run(line.as_bytes(), &["cpu 1000000", "--agent-send", "ignore"]);
            ignored.expect("up 100%\n", 0);
        }
        for line in ["", "\n", "\r\n", " \t \n", "\ncpu 0\n"] {
            run(line.as_bytes(), &["cpu", "1000000"]).expect("up 100%\n", 0);
            let required = run(line.as_bytes(), &["cpu", "--agent-send", "required", "-t", "300"]);
            required.expect("fail\n", 1);
        }
    }
}

#[test]
fn a_line_is_not_waited_for_on_a_socket() {
    let outcome = Connection::open(&["cpu", "1000000", "-t", "5s"]).finish();
    outcome.expect("up 100%\n", 0);
    assert!(outcome.took < Duration::from_secs(2), "{outcome:?}");
}

#[test]
fn a_required_line_is_waited_for_until_the_timeout() {
    let args = ["--agent-send", "required", "--describe", "-t", "500"];
    let outcome = Connection::open(&args).finish();
    outcome.expect("fail # no request line came\n", 1);
    assert!(outcome.took >= Duration::from_millis(490), "{outcome:?}");
    assert!(outcome.took < Duration::from_millis(500) + TOLERANCE, "{outcome:?}");

    let mut connection = Connection::open(&["--agent-send", "required", "-t", "10s"]);
    thread::sleep(Duration::from_millis(200));
    connection.send(b"cpu 0\n");
    let outcome = connection.finish();
    outcome.expect("down\n", 1);
    assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");

    // At the end of the input the agent stops waiting.
    let connection = Connection::open(&["--agent-send", "required", "-t", "10s"]);
    connection.peer.shutdown(Shutdown::Write).unwrap();
    let outcome = connection.finish();
    outcome.expect("fail\n", 1);
    assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");
}

#[test]
fn a_line_without_an_end_ends_after_50_ms_of_silence() {
    let outcome = Connection::open_after(&["cpu 1000000", "-t", "10s"], b"cpu 0").finish();
    outcome.expect("down\n", 1);
    assert!(outcome.took >= Duration::from_millis(45), "{outcome:?}");
    assert!(outcome.took < Duration::from_secs(2), "{outcome:?}");
}

#[test]
fn a_line_may_come_in_pieces() {
    let mut connection = Connection::open_after(&["cpu", "1000000", "-t", "10s"], b"c");
    for piece in [&b"p"[..], b"u", b" ", b"0", b"\r", b"\n"] {
        thread::sleep(Duration::from_millis(10));
        connection.send(piece);
    }
    connection.finish().expect("down\n", 1);
}

/// How long after its first byte a line must have ended, by the contract.
const LINE_TIME: Duration = Duration::from_millis(250);

const UNFINISHED: &str = "fail # the request line did not end in time\n";

/// Sends spaces, one every 20 ms, until nobody reads them any more. Keeps the other end open.
fn drip(mut to: impl Write + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        while to.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    })
}

/// Runs the agent with this beginning of a line on a connection, then sends slowly. Returns the reply, the exit
/// status, and how long it took.
fn agent_on_slow_socket(begin: &[u8], args: &[&str]) -> Outcome {
    let mut connection = Connection::open_after(args, begin);
    let drip = drip(connection.peer.try_clone().unwrap());
    let outcome = first_line(&mut connection);
    drip.join().unwrap();
    outcome
}

/// Reads the reply. The connection may be reset afterwards, because more bytes came.
fn first_line(connection: &mut Connection) -> Outcome {
    let mut stdout = String::new();
    BufReader::new(&connection.peer).read_line(&mut stdout).unwrap();
    let took = connection.start.elapsed();
    let exit_status = connection.agent.wait().code();
    Outcome { stdout, stderr: String::new(), exit_status, took }
}

/// The same with a pipe.
fn agent_on_slow_pipe(begin: &[u8], args: &[&str]) -> Outcome {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(begin).unwrap();
    let drip = drip(writer);
    let outcome = agent_on(OwnedFd::from(reader), args);
    drip.join().unwrap();
    outcome
}

/// The same with a Unix socket.
fn agent_on_slow_unix_socket(begin: &[u8], args: &[&str]) -> Outcome {
    let (mut peer, connection) = UnixStream::pair().unwrap();
    peer.write_all(begin).unwrap();
    let drip = drip(peer);
    let outcome = agent_on(OwnedFd::from(connection), args);
    drip.join().unwrap();
    outcome
}

#[test]
fn a_line_must_end_within_250_ms_of_its_first_byte() {
    type Run = fn(&[u8], &[&str]) -> Outcome;
    let required = ["cpu", "-t", "10s", "--agent-send", "required"];
    let optional = ["cpu", "-t", "10s"];
    for (run, args) in [
        (agent_on_slow_socket as Run, &required[..]),
        (agent_on_slow_socket, &optional),
        (agent_on_slow_unix_socket, &required),
        (agent_on_slow_unix_socket, &optional),
        (agent_on_slow_pipe, &required),
    ] {
        let outcome = run(b"cpu", args);
        outcome.expect(UNFINISHED, 2);
        assert!(outcome.took >= LINE_TIME - Duration::from_millis(10), "{outcome:?}");
        assert!(outcome.took < LINE_TIME + TOLERANCE, "{outcome:?}");
    }
}

#[test]
fn a_line_that_has_begun_does_not_outlast_a_shorter_timeout() {
    let args = ["cpu 1000000", "-t", "150", "--agent-send", "required"];
    let limit = Duration::from_millis(150) + TOLERANCE;
    for run in [agent_on_slow_socket, agent_on_slow_unix_socket] {
        let outcome = run(b"cpu 0", &args);
        outcome.expect(UNFINISHED, 2);
        assert!(outcome.took < limit, "{outcome:?}");
    }
    // On a pipe, what has arrived by the timeout is the line.
    let outcome = agent_on_slow_pipe(b"cpu 0", &args);
    outcome.expect("down\n", 1);
    assert!(outcome.took < limit, "{outcome:?}");
}

#[test]
fn a_line_that_begins_while_the_page_is_awaited_must_end_within_250_ms_too() {
    let server = Server::start(hold);
    let mut connection = Connection::open(&["-u", &server.url(), "-t", "10s", "hls"]);
    wait_until("the page is asked", || server.requests().pop());
    connection.start = Instant::now();
    let drip = drip(connection.peer.try_clone().unwrap());
    let outcome = first_line(&mut connection);
    drip.join().unwrap();
    outcome.expect(UNFINISHED, 2);
    assert!(outcome.took < LINE_TIME + TOLERANCE, "{outcome:?}");
}

#[test]
fn a_flood_of_single_bytes_does_not_hold_a_run() {
    for args in [&["cpu", "-t", "10s"][..], &["-t", "10s", "--agent-send", "required"]] {
        let mut connection = Connection::open_after(args, b"c");
        let mut peer = connection.peer.try_clone().unwrap();
        let flood = thread::spawn(move || while peer.write_all(b" ").is_ok() {});
        let outcome = first_line(&mut connection);
        flood.join().unwrap();
        // Whichever limit is reached first: the length or the time.
        assert!(outcome.stdout.starts_with("fail # the request line "), "{outcome:?}");
        assert!(outcome.took < LINE_TIME + TOLERANCE, "{outcome:?}");
    }
}

#[test]
fn a_line_that_comes_while_the_page_is_awaited_is_used() {
    for (line, reply) in [
        (&b"hls 10\n"[..], "down\n"),
        (b"hls 10", "down\n"),
        (b"publishers 11\r\n", "up 100%\n"),
        (b"publishers 10\n", "down\n"),
        (b"\n", "up 100%\n"),
    ] {
        let (server, asked, answer) = slow_server();
        let args = ["-u", &server.url(), "hls", "11", "-t", "10s"];
        let mut connection = Connection::open(&args);
        asked.recv().unwrap();
        connection.send(line);
        // The test cannot see when the agent has read the line. Some lines get time for that, others none.
        thread::sleep(Duration::from_millis(if line.len() % 2 == 0 { 0 } else { 100 }));
        answer.send(()).unwrap();
        connection.finish().expect(reply, (reply == "down\n").into());
        assert_eq!(server.requests().len(), 1, "the page is asked once");
    }
}

#[test]
fn a_line_that_is_not_understood_ends_the_wait_for_the_page() {
    let server = Server::start(hold);
    let mut connection = Connection::open(&["-u", &server.url(), "-t", "10s"]);
    wait_until("the page is asked", || server.requests().pop());
    connection.send(b"publisher 5\n");
    let outcome = connection.finish();
    assert!(outcome.stdout.starts_with("fail # 'publisher' "), "{outcome:?}");
    assert_eq!(outcome.exit_status, Some(2));
    assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");
}

#[test]
fn a_line_adds_to_the_thresholds_of_the_command_line() {
    let server = Server::fixed(text_page(&PAGE));
    let url = server.url();
    for (args, line, reply) in [
        ("hls 20", "publishers 20\n", "up 100%\n"),
        ("hls 20", "publishers 5\n", "down\n"),
        ("hls 5", "publishers 20\n", "down\n"),
        ("hls 5", "hls 20\n", "up 100%\n"),
        ("hls 20", "hls 5\n", "down\n"),
        ("hls 5", "\n", "down\n"),
    ] {
        let outcome = agent_on_socket(line.as_bytes(), &["-u", &url, args]);
        outcome.expect(reply, (reply == "down\n").into());
    }
    // If the command line has no request, the line is the whole request.
    let before = server.requests().len();
    agent_on_socket(b"cpu 1000000\n", &["-u", &url]).expect("up 100%\n", 0);
    assert_eq!(server.requests().len(), before);
    // A key that the page does not report is skipped only if there is no request.
    agent_on_socket(b"band-in\n", &["-u", &url]).expect("down\n", 1);
}

#[test]
fn a_line_of_1024_bytes_is_read_and_a_longer_one_is_fail() {
    type Run = fn(&[u8], &[&str]) -> Outcome;
    for run in [agent_on_pipe as Run, agent_on_file, agent_on_socket] {
        for end in ["\n", "\r\n", ""] {
            let line = |length: usize| format!("{}cpu 0{end}", " ".repeat(length - 5));
            run(line(1024).as_bytes(), &["cpu 1000000"]).expect("down\n", 1);
            for length in [1025, 1026, 1027, 2048, 60_000] {
                let outcome = run(line(length).as_bytes(), &["cpu 1000000"]);
                outcome.expect("fail # the request line is longer than 1024 bytes\n", 2);
            }
        }
    }
}

#[test]
fn a_line_that_is_not_understood_names_the_word() {
    for (line, word) in [
        (&b"cpu 70 foo 3\n"[..], "'foo'"),
        (b"cpu seventy\n", "'seventy'"),
        (b"hls -1\n", "'-1'"),
        (b"hls 1e3\n", "'1e3'"),
        (b"hls inf\n", "'inf'"),
        (b"hls nan\n", "'nan'"),
        (b"hls 10%\n", "'10%'"),
        (b"cpu 10%%\n", "'10%%'"),
        (b"hls 1.2.3\n", "'1.2.3'"),
        (b"hls .\n", "'.'"),
        (b"70\n", "'70'"),
        (b"stat:x\n", "'stat:x'"),
        (b"stat:x y\n", "'y'"),
        (b"stat: 5\n", "'stat:'"),
        (b"GET / HTTP/1.1\r\n\r\n", "'GET'"),
        (b"\x16\x03\x01\x02\n", "'????'"),
        (b"\xff\xfe\n", "'??'"),
        (b"--describe\n", "'--describe'"),
    ] {
        let outcome = agent_on_socket(line, &["cpu", "1000000"]);
        assert!(outcome.stdout.starts_with(&format!("fail # {word} ")), "{outcome:?}");
        assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
        assert!(outcome.stdout.bytes().all(|b| b == b'\n' || (b' '..=b'~').contains(&b)));
        assert_eq!(outcome.exit_status, Some(2));
    }
    let limit = "9".repeat(400);
    let outcome = agent_on_socket(format!("hls {limit}\n").as_bytes(), &[]);
    assert!(outcome.stdout.starts_with("fail # '9999"), "{outcome:?}");
}

#[test]
fn a_pipe_that_is_held_open_is_waited_for_100_ms_at_most() {
    let (reader, writer) = std::io::pipe().unwrap();
    let outcome = agent_on(OwnedFd::from(reader), &["cpu", "1000000", "-t", "10s"]);
    outcome.expect("up 100%\n", 0);
    assert!(outcome.took >= Duration::from_millis(95), "{outcome:?}");
    assert!(outcome.took < Duration::from_secs(2), "{outcome:?}");
    drop(writer);

    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"cpu 0").unwrap();
    agent_on(OwnedFd::from(reader), &["cpu", "1000000"]).expect("down\n", 1);
    drop(writer);

    // The bytes that have come by then are the line, with or without a line end.
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"cpu 0").unwrap();
    let drip = thread::spawn(move || {
        while writer.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    });
    let outcome = agent_on(OwnedFd::from(reader), &["cpu", "1000000", "-t", "10s"]);
    outcome.expect("down\n", 1);
    assert!(outcome.took < Duration::from_secs(2), "{outcome:?}");
    drip.join().unwrap();
}

#[test]
fn a_late_line_comes_over_a_pipe_in_time() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_millis(40));
        writer.write_all(b"cpu 0\n").unwrap();
        thread::sleep(Duration::from_millis(500));
    });
    agent_on(OwnedFd::from(reader), &["cpu", "1000000", "-t", "10s"]).expect("down\n", 1);
    late.join().unwrap();
}

#[test]
fn a_device_is_read_like_a_file() {
    let zeros = agent_on(File::open("/dev/zero").unwrap(), &["cpu"]);
    zeros.expect("fail # the request line is longer than 1024 bytes\n", 2);
    assert!(zeros.took < Duration::from_secs(1), "{zeros:?}");
    agent_on(File::open("/dev/null").unwrap(), &["cpu 1000000"]).expect("up 100%\n", 0);
}

#[test]
fn a_terminal_is_never_read() {
    for (args, reply, status) in
        [("cpu 1000000 -t 10s", "up 100%", 0), ("--agent-send required -t 10s", "fail", 1)]
    {
        // script(1) gives the agent a terminal and types what comes over the pipe.
        let command = format!("{AGENT} {args}");
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"cpu 0\n").unwrap();
        let start = Instant::now();
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
        let outcome = outcome(script.stdin(OwnedFd::from(reader)).output().unwrap(), start);
        // The terminal echoes the typed line, at any time.
        let lines: Vec<_> = outcome.stdout.lines().filter(|line| *line != "cpu 0").collect();
        assert_eq!((lines, outcome.exit_status), (vec![reply], Some(status)), "{outcome:?}");
        assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");
    }
}

#[test]
fn unread_input_does_not_reset_the_connection() {
    let server = Server::fixed(text_page(&PAGE));
    let url = server.url();
    let flood = [b"cpu 1000000\n".as_slice(), &[b'x'; 20_000]].concat();
    for args in [
        &["--agent-send", "ignore", "cpu", "1000000"][..],
        &["--agent-send", "required"],
        &["cpu", "1000000"],
        &["-u", &url, "hls", "1000"],
    ] {
        for _ in 0..20 {
            // Fails on a reset.
            agent_on_socket(&flood, args).expect("up 100%\n", 0);
        }
    }
    let outcome = agent_on_socket(&flood, &["--no-such-option"]);
    assert!(outcome.stdout.starts_with("fail # "), "{outcome:?}");
    let outcome = agent_on_socket(&[b'x'; 20_000], &["cpu"]);
    outcome.expect("fail # the request line is longer than 1024 bytes\n", 2);
}

#[test]
fn everything_that_came_over_a_pipe_has_been_read_at_the_end() {
    for args in [&["--agent-send", "ignore", "cpu", "0"][..], &["cpu", "0"], &["--bogus"]] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(&[b"\n".as_slice(), &[b'x'; 20_000]].concat()).unwrap();
        agent_on(OwnedFd::from(reader.try_clone().unwrap()), args);
        assert_eq!(rustix::io::ioctl_fionread(&reader).unwrap(), 0, "{args:?}");
    }
}

#[test]
fn input_that_comes_with_a_hanging_page_does_not_reset_the_connection() {
    let server = Server::start(hold);
    let mut connection = Connection::open(&["-u", &server.url(), "-t", "300", "cpu", "hls"]);
    wait_until("the page is asked", || server.requests().pop());
    connection.send(b"cpu 70\nmore\n");
    connection.finish().expect("down\n", 1);
}

#[test]
fn a_client_that_sends_for_ever_is_answered_in_time() {
    let mut connection = Connection::open(&["cpu", "1000000", "-t", "500"]);
    let mut peer = connection.peer.try_clone().unwrap();
    let flood = thread::spawn(move || {
        // Sends faster than the agent reads, so that there is always more to read.
        while peer.write_all(&[b'x'; 1 << 16]).is_ok() {}
    });
    let outcome = first_line(&mut connection);
    let expected = ["up 100%\n", "fail # the request line is longer than 1024 bytes\n"];
    assert!(expected.contains(&outcome.stdout.as_str()), "{outcome:?}");
    assert!(outcome.took < Duration::from_millis(500) + TOLERANCE, "{outcome:?}");
    let took = connection.start.elapsed();
    assert!(took < Duration::from_millis(500) + TOLERANCE, "{took:?}");
    flood.join().unwrap();
}

#[test]
fn runs_that_share_their_input_do_not_wait_for_each_other() {
    for _ in 0..20 {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"cpu 1000000\n").unwrap();
        let agents: Vec<_> = (0..3)
            .map(|_| {
                let mut agent = Command::new(AGENT);
                agent.args(["-t", "500", "cpu", "1000000"]).stdout(Stdio::null());
                Process(agent.stdin(OwnedFd::from(reader.try_clone().unwrap())).spawn().unwrap())
            })
            .collect();
        let start = Instant::now();
        for mut agent in agents {
            assert_eq!(agent.wait().code(), Some(0));
        }
        assert!(start.elapsed() < Duration::from_millis(500) + TOLERANCE, "{:?}", start.elapsed());
        drop(writer);
    }
}
