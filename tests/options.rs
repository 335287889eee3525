//! The options for weight, maintenance, explanation, syslog and allowed URLs.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::*;

fn page(hls: &str) -> Server {
    Server::fixed(text_page(&[("streams_hls", hls), ("streams_rtmp_in", "0")]))
}

#[test]
fn the_weight_falls_with_the_tightest_threshold() {
    for (from, hls, reply) in [
        ("80", "79", "up 100%\n"),
        ("80", "80", "up 100%\n"),
        ("80", "81", "up 95%\n"),
        ("80", "90", "up 50%\n"),
        ("80%", "99", "up 5%\n"),
        ("99", "99.9", "up 10%\n"),
        ("0", "0", "up 100%\n"),
        ("0", "33", "up 65%\n"),
        ("0", "99.5", "up 1%\n"),
        ("0", "100", "down\n"),
    ] {
        let page = page(hls);
        let args = ["--weight-from", from, "-u", &page.url(), "publishers", "50", "hls", "100"];
        agent(&args).expect(reply, (reply == "down\n").into());
    }
    let page = page("90");
    let described = agent(&["-w80", "-d", "-u", &page.url(), "hls", "100", "publishers"]);
    described.expect("up 50% # hls 90/100 publishers 0/100\n", 0);
}

#[test]
fn a_percentage_out_of_range_is_misuse() {
    for percent in ["100", "-1", "99.1", "abc", ""] {
        let outcome = agent(&["--weight-from", percent, "cpu", "1000000"]);
        assert!(outcome.stdout.starts_with("fail # --weight-from: "), "{outcome:?}");
        assert_eq!(outcome.exit_status, Some(2));
    }
}

/// Runs the agent with a maintenance file and a statistics page. The page must not be asked if the file
/// exists.
fn maintained(file: &Path, args: &[&str]) -> Outcome {
    let page = page("5");
    let url = page.url();
    let file = file.to_str().unwrap();
    let outcome = agent(&[&["--maint-file", file, "-u", &url, "hls", "10"], args].concat());
    let is_measured = outcome.stdout.starts_with("ready ");
    assert_eq!(page.requests().len(), usize::from(is_measured), "{outcome:?}");
    outcome
}

#[test]
fn the_content_of_a_maintenance_file_is_the_reply() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("maint");
    for (content, reply) in [
        (&b""[..], "maint\n"),
        (b"\n", "maint\n"),
        (b"maint\n", "maint\n"),
        (b"maint new disk\n", "maint # new disk\n"),
        (b"drain deploying 4.2\nsecond line\n", "drain # deploying 4.2\n"),
        (b"drain", "drain\n"),
        (b"down\r\n", "down\n"),
        (b"stopped  for good", "stopped # for good\n"),
        (b"up\n", "maint # up\n"),
        (b"ready 100%\n", "maint # ready 100%\n"),
        (b"MAINT\n", "maint # MAINT\n"),
        (b"\x7fELF\x02\x01\xff\n", "maint # ?ELF???\n"),
    ] {
        fs::write(&file, content).unwrap();
        maintained(&file, &[]).expect(reply, 1);
        maintained(&file, &["--describe"]).expect(reply, 1);
    }
    fs::write(&file, "drain ".to_owned() + &"word ".repeat(100_000)).unwrap();
    let outcome = maintained(&file, &[]);
    assert!(outcome.stdout.starts_with("drain # word word "), "{outcome:?}");
    assert!(outcome.stdout.len() <= "drain # ".len() + 101, "{outcome:?}");
}

#[test]
fn a_maintenance_file_that_is_not_a_regular_file_is_maintenance() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("folder")).unwrap();
    symlink("nowhere", path("link")).unwrap();
    assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
    let _socket = UnixDatagram::bind(path("socket")).unwrap();
    for name in ["folder", "link", "fifo", "socket"] {
        let outcome = maintained(&path(name), &["-t", "500"]);
        assert!(outcome.stdout.starts_with("maint # maintenance file: "), "{outcome:?}");
        assert_eq!(outcome.exit_status, Some(1));
        assert!(outcome.took < Duration::from_millis(500) + TOLERANCE, "{outcome:?}");
    }
    for device in ["/dev/null", "/dev/zero"] {
        let outcome = maintained(Path::new(device), &[]);
        assert!(outcome.stdout.contains(": it is no regular file: /dev/"), "{outcome:?}");
    }
    let through_link = path("link2");
    fs::write(path("file"), "drain by link").unwrap();
    symlink(path("file"), &through_link).unwrap();
    maintained(&through_link, &[]).expect("drain # by link\n", 1);
}

#[test]
fn a_maintenance_file_without_read_permission_is_maintenance() {
    let folder = tempfile::tempdir().unwrap();
    let program = shared_copy_of_agent(folder.path());
    let file = folder.path().join("maint");
    fs::write(&file, "drain").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read any file, so the agent runs without root's privileges.
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set=-all", "--reuid=65534", "--clear-groups"]);
    let is_root = user_name() == "root";
    let mut command = if is_root { command } else { Command::new("env") };
    command.arg(&program).args(["cpu", "1000000", "--maint-file"]).arg(&file);
    let outcome = finish(&mut command);
    assert!(outcome.stdout.starts_with("maint # maintenance file: "), "{outcome:?}");
    assert!(outcome.stdout.contains("Permission denied"), "{outcome:?}");
}

#[test]
fn without_the_maintenance_file_every_reply_is_ready() {
    let none = Path::new("/nonexistent/maint");
    maintained(none, &[]).expect("ready up 100%\n", 0);
    maintained(none, &["-d"]).expect("ready up 100% # hls 5/10\n", 0);
    maintained(none, &["hls", "5"]).expect("ready down\n", 1);
    let args = ["-m", "/nonexistent", "--agent-send", "required"];
    agent(&args).expect("ready fail\n", 1);
    let outcome = agent(&["-m", "/nonexistent", "hsl"]);
    assert!(outcome.stdout.starts_with("ready fail # 'hsl' "), "{outcome:?}");
    let outcome = Connection::open_after(&["-m", "/nonexistent"], b"hsl 5\n").finish();
    assert!(outcome.stdout.starts_with("ready fail # 'hsl' "), "{outcome:?}");
    let outcome = Connection::open_after(&["-m", "/nonexistent"], &[b'x'; 3000]).finish();
    assert!(outcome.stdout.starts_with("ready fail # the request line is "), "{outcome:?}");
    let outcome = agent(&["-m", "/nonexistent", "--bogus", "cpu"]);
    assert!(outcome.stdout.starts_with("ready fail # invalid option '--bogus'"), "{outcome:?}");
    let outcome = agent(&["--maint-file", "", "cpu", "1000000"]);
    assert!(outcome.stdout.starts_with("fail # --maint-file: "), "{outcome:?}");
    // Without the option, no reply is ready.
    agent(&["cpu", "1000000"]).expect("up 100%\n", 0);
}

#[test]
fn a_maintenance_file_has_precedence_over_every_request() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for (args, sent) in [
        (&["-m", path, "hsl"][..], &b""[..]),
        (&["--bogus", "-m", path, "hsl"], b""),
        (&["-m", path, "--agent-send", "required", "-t", "5s"], b""),
        (&["-m", path], b"hsl 5\n"),
        (&["-m", path], &[b'x'; 20_000]),
    ] {
        let outcome = Connection::open_after(args, sent).finish();
        outcome.expect("maint\n", 1);
        assert!(outcome.took < Duration::from_secs(2), "{outcome:?}");
    }
}

#[test]
fn the_explanation_goes_to_standard_error_alone() {
    let page = page("5");
    let outcome = agent(&["--explain", "-d", "-u", &page.url(), "hls", "10", "stat:x", "1"]);
    let reply = "down # stat:x: no x on the statistics page";
    outcome.expect(&format!("{reply}\n"), 1);
    let rows: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(rows[0], "request  hls 10 stat:x 1");
    assert!(rows[1].starts_with("check "), "{outcome:?}");
    assert!(
        rows[2].starts_with("hls ") && rows[2].contains(" 5 ") && rows[2].contains(" 50% ####")
    );
    assert!(rows[3].starts_with("stat:x ") && rows[3].contains(" none "), "{outcome:?}");
    assert_eq!(rows[4], "problem  stat:x: no x on the statistics page");
    assert_eq!(rows[5], format!("reply    {reply}"));
    assert!(rows[6].starts_with("time     ") && rows[6].ends_with(" ms"), "{outcome:?}");
    assert!(!outcome.stderr.contains('\x1b'), "{outcome:?}");
}

#[test]
fn every_kind_of_reply_is_explained() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "drain deploying 4.2").unwrap();
    for (args, sentence) in [
        (&["-e", "-u", "http://127.0.0.1:1/", "hls"][..], "refused the connection"),
        (&["-e", "hsl"], "problem  'hsl' is none of"),
        (&["-e", "--agent-send", "required"], "problem  no request line came"),
        (&["-e", "-m", file.path().to_str().unwrap()], "problem  a maintenance file is there"),
        (&["-e", "-m", file.path().to_str().unwrap(), "cpu", "70"], "request  cpu 70"),
        (&["-e", "cpu", "1000000"], "load average"),
    ] {
        let outcome = agent(args);
        assert!(outcome.stderr.contains(sentence), "{outcome:?}");
        assert!(outcome.stderr.contains("reply    "), "{outcome:?}");
        assert!(
            outcome.stderr.lines().filter(|l| !l.starts_with("haproxy-")).all(|l| l.len() <= 80)
        );
    }
}

#[test]
fn the_explanation_is_not_written_to_the_connection() {
    let outcome = Connection::open(&["--explain", "cpu", "1000000"]).finish();
    outcome.expect("up 100%\n", 0);
}

#[test]
fn skipped_thresholds_are_explained() {
    let page = page("5");
    let outcome = agent(&["-e", "-u", &page.url()]);
    assert!(outcome.stderr.starts_with("request  none, so the defaults\n"), "{outcome:?}");
    assert!(outcome.stderr.contains("\nskipped  subscribers, band-in, band-out: "), "{outcome:?}");
}

#[test]
fn a_full_standard_error_does_not_leave_input_unread() {
    let (_reader, writer) = full_pipe();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let accepted = std::os::fd::OwnedFd::from(accepted);
    // One expression: the command, which holds descriptors of the connection, is dropped at its end.
    let agent = Command::new(AGENT)
        .args(["-e", "-t", "600", "cpu", "1000000"])
        .stdin(accepted.try_clone().unwrap())
        .stdout(accepted)
        .stderr(std::os::fd::OwnedFd::from(writer))
        .spawn();
    let mut agent = Process(agent.unwrap());
    peer.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    let mut reply = [0; 8];
    std::io::Read::read_exact(&mut peer, &mut reply).unwrap();
    // Input that comes at once is read before the explanation is written. This input has to come during it.
    std::thread::sleep(Duration::from_millis(200));
    std::io::Write::write_all(&mut peer, &[b'x'; 50_000]).unwrap();
    assert_eq!(agent.wait().code(), Some(0));
    let rest = std::io::Read::read_to_end(&mut peer, &mut Vec::new());
    assert_eq!(rest.expect("the connection is closed, not reset"), 0);
}

#[test]
fn the_explanation_is_coloured_on_a_terminal_unless_no_color_is_set() {
    let shown = |variable: &str| {
        let command = format!("env {variable} {AGENT} --explain cpu 1000000");
        let mut script = Command::new("script");
        script.env_remove("NO_COLOR").args(["--quiet", "--command", &command, "/dev/null"]);
        finish(&mut script).stdout
    };
    assert!(shown("A=1").contains("\x1b[32mcpu"));
    assert!(shown("NO_COLOR=").contains("\x1b[32mcpu"));
    assert!(!shown("NO_COLOR=1").contains('\x1b'));
}

fn with_log(socket: Option<&Path>, args: &[&str]) -> Outcome {
    let dev = tempfile::tempdir().unwrap();
    finish(agent_with_log(dev.path(), socket).args(args))
}

fn log_socket(folder: &Path) -> (UnixDatagram, std::path::PathBuf) {
    let path = folder.join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    (socket, path)
}

fn received(socket: &UnixDatagram) -> String {
    let mut line = [0; 2048];
    let length = socket.recv(&mut line).expect("a line is logged");
    String::from_utf8(line[..length].to_vec()).unwrap()
}

#[test]
fn every_reply_that_is_not_up_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, path) = log_socket(folder.path());
    with_log(Some(&path), &["--syslog", "cpu", "1000000"]).expect("up 100%\n", 0);
    with_log(Some(&path), &["-l", "stat:x", "5", "-u", "http://127.0.0.1:1/"]);
    let line = received(&socket);
    // Facility daemon (3), severity warning (4).
    assert!(line.starts_with("<28>"), "{line}");
    assert!(line.contains(" haproxy-agent-check["), "{line}");
    let end = "]: peer=local request=\"stat:x 5\" reply: \
               down # statistics page http://127.0.0.1:1/: refused the connection";
    assert!(line.ends_with(end), "{line}");
    with_log(Some(&path), &["-l", "hsl\n5"]);
    assert!(received(&socket).contains("request=\"hsl?5\" reply: fail # 'hsl' "));
    with_log(Some(&path), &["-l", "x\" reply: up 100% peer=1"]);
    assert!(received(&socket).contains("request=\"x' reply: up 100% peer=1\" reply: fail # "));
    with_log(Some(&path), &["--bogus", "-l"]);
    assert!(received(&socket).contains("reply: fail # invalid option '--bogus'"));
    // Without a state the reply is not up.
    with_log(Some(&path), &["-l", "debug|maxconn:5 50%"]).expect("50% maxconn:5\n", 0);
    assert!(received(&socket).ends_with("request=\"debug|50% maxconn:5\" reply: 50% maxconn:5"));
    with_log(Some(&path), &["cpu", "0"]).expect("down\n", 1);
    socket.set_nonblocking(true).unwrap();
    assert!(
        socket.recv(&mut [0]).is_err(),
        "one line for each reply, none for up, none without the option"
    );
}

#[test]
fn a_log_that_is_missing_or_full_changes_no_reply() {
    with_log(None, &["--syslog", "cpu", "0"]).expect("down\n", 1);
    let folder = tempfile::tempdir().unwrap();
    let (socket, path) = log_socket(folder.path());
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"full", &path).is_ok() {}
    let outcome = with_log(Some(&path), &["--syslog", "-t", "10s", "cpu", "0"]);
    outcome.expect("down\n", 1);
    assert!(outcome.took < Duration::from_secs(2), "{outcome:?}");
    drop(socket);
}

#[test]
fn the_log_names_the_peer() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, path) = log_socket(folder.path());
    let dev = tempfile::tempdir().unwrap();
    let mut command = agent_with_log(dev.path(), Some(&path));
    command.args(["--syslog", "cpu", "0"]);
    let connection = Connection::open_to(&mut command, b"cpu 0\n");
    let peer = connection.peer.local_addr().unwrap();
    connection.finish().expect("down\n", 1);
    assert!(received(&socket).contains(&format!("peer={peer} request=\"cpu 0\" reply: down")));
}

#[test]
fn an_origin_is_a_scheme_a_host_and_a_port() {
    for origin in ["http://10.0.0.5:8888", "wss://ship.example.com", "https://[::1]:7000/"] {
        agent(&["--allow-url", origin, "-a", origin, "cpu", "1000000"]).expect("up 100%\n", 0);
    }
    for origin in [
        "10.0.0.5:8888",
        "ftp://a",
        "http://a/path",
        "http://a?b",
        "http://u:p@a",
        "http://*.a",
        "",
    ] {
        let outcome = agent(&["--allow-url", origin, "cpu", "1000000"]);
        assert!(outcome.stdout.starts_with("fail # --allow-url"), "{outcome:?}");
        assert_eq!(outcome.exit_status, Some(2));
    }
}

#[test]
fn the_documented_keepalived_example_is_valid() {
    let page = fs::read_to_string("docs/operation.md").unwrap();
    let example =
        page.split("```text\nvrrp_script").nth(1).and_then(|rest| rest.split("```").next());
    let folder = tempfile::tempdir().unwrap();
    let program = shared_copy_of_agent(folder.path());
    let example =
        example.unwrap().replace("/usr/bin/haproxy-agent-check", program.to_str().unwrap());
    let file = folder.path().join("keepalived.conf");
    let global = "global_defs {\n    script_user root\n    enable_script_security\n}\n";
    fs::write(&file, format!("{global}vrrp_script{example}")).unwrap();
    let mut keepalived = Command::new("/usr/sbin/keepalived");
    keepalived.arg("--config-test").arg("--use-file").arg(&file);
    let output = keepalived.stdin(Stdio::null()).output().expect("keepalived is installed");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_documented_nagios_example_is_critical_when_down() {
    let page = fs::read_to_string("docs/operation.md").unwrap();
    let example = page
        .lines()
        .find(|line| line.starts_with("haproxy-agent-check --describe") && line.contains("exit 2"))
        .unwrap();
    let folder = Path::new(AGENT).parent().unwrap().display();
    let run = |request: &str| {
        let command = example.replace("cpu 90", request);
        assert_ne!(command, *example);
        let path = format!("{folder}:/usr/bin:/bin");
        finish(Command::new("sh").args(["-c", &command]).env("PATH", path))
    };
    assert_eq!(run("cpu 1000000").exit_status, Some(0));
    let down = run("cpu 0");
    assert_eq!(down.exit_status, Some(2));
    assert!(down.stdout.starts_with("down # cpu "), "{down:?}");
}
