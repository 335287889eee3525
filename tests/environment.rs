//! Faults of the machine, of the kernel and of the program that starts the agent. Wherever a line can still
//! be written, the agent writes one in time, and never a wrong `up`.

mod common;

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Pid, Signal, kill_process};

use common::name_server::NameServer;
use common::reply::Reply;
use common::tls::Authority;
use common::*;

/// How many runs of a long series go on at the same time.
const PARALLEL_RUNS: usize = 4;

/// The agent's timeout where a run may last that long.
const TIMEOUT: Duration = Duration::from_millis(400);

/// Checks every case, a few at the same time.
fn in_parallel<T: Send>(cases: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    let cases = Mutex::new(cases.into_iter().collect::<Vec<_>>().into_iter());
    thread::scope(|scope| {
        for _ in 0..PARALLEL_RUNS {
            scope.spawn(|| {
                while let Some(case) = next(&cases) {
                    check(case);
                }
            });
        }
    });
}

fn next<T>(cases: &Mutex<std::vec::IntoIter<T>>) -> Option<T> {
    cases.lock().unwrap().next()
}

/// A statistics page on which `hls` is 5.
fn page() -> Server {
    Server::fixed(text_page(&[("streams_hls", "5")]))
}

/// A command that runs the agent through another program, such as `prlimit`, with the timeout of these
/// tests.
fn agent_under(program: &[&str], args: &[&str]) -> Command {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg(AGENT).args(["-t", "400"]).args(args);
    // It would change the messages of Rust's standard library.
    command.env_remove("RUST_BACKTRACE");
    command
}

/// Runs a command and waits for its end, which may be a signal. Returns its standard output and standard
/// error.
fn output_texts(command: &mut Command) -> (String, String) {
    let output = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Everything that arrives over a connection until it is closed or reset.
fn read_to_end_or_reset(connection: &mut Connection) -> String {
    let mut bytes = Vec::new();
    let _ = connection.peer.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Checks that a reply is the right one, or a cautious one: down, fail or maint. `expected` is the right
/// one, without its description.
#[track_caller]
fn check_right_or_cautious(reply: &str, expected: &str, what: &dyn std::fmt::Debug) {
    let parsed = Reply::parse(reply).unwrap_or_else(|why| panic!("{what:?}: {why}: {reply:?}"));
    let state = reply.split(" # ").next().unwrap().trim_end();
    let is_cautious = ["down", "fail", "maint"].contains(&parsed.state);
    assert!(state == expected || is_cautious, "{what:?}: {reply:?}, not {expected:?}");
}

/// Checks that HAProxy finds no state and no weight in the first line that arrived over a connection. The C
/// library and Rust's runtime may write messages to standard error before the agent starts, and standard
/// error is the connection.
#[track_caller]
fn check_meaningless(text: &str, what: &dyn std::fmt::Debug) {
    const WORDS: [&str; 7] = ["up", "down", "fail", "maint", "drain", "stopped", "ready"];
    let line = text.lines().next().unwrap_or_default();
    for word in line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '%')) {
        let word = word.to_ascii_lowercase();
        assert!(!WORDS.contains(&word.as_str()) && !word.ends_with('%'), "{what:?}: {text:?}");
    }
}

// Files and folders

/// Runs a script and then the agent in a mount namespace of their own. `$0` of the script is an empty
/// folder.
fn agent_after_script(script: &str, args: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("{script} && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", &script]).arg(folder.path());
    finish(command.arg(AGENT).args(args))
}

#[test]
fn without_proc_or_sys_only_requests_that_need_them_are_down() {
    let page = page();
    let url = page.url();
    let no_proc = "mount --bind \"$0\" /proc";
    let no_sys = "mount --bind \"$0\" /sys";
    let neither = "mount --bind \"$0\" /proc && mount --bind \"$0\" /sys";
    let no_count = "mount --bind /proc/version /proc/stat && mount --bind \"$0\" /sys";
    for (script, args, line, status) in [
        (no_proc, &["cpu", "1000000"][..], "down\n", 1),
        (no_sys, &["cpu", "1000000"], "up 100%\n", 0),
        (no_sys, &["cpu", "0"], "down\n", 1),
        (neither, &["cpu", "1000000"], "down\n", 1),
        (no_count, &["cpu", "1000000"], "down\n", 1),
        (neither, &["-u", &url, "hls", "6"], "up 100%\n", 0),
        (neither, &["-u", &url, "hls", "5"], "down\n", 1),
        (neither, &["-u", &url, "hls", "6", "cpu", "1000000"], "down\n", 1),
        (neither, &["-m", "/none", "-u", &url, "hls", "6"], "ready up 100%\n", 0),
        (neither, &["-l", "-e", "-m", "/etc/passwd", "cpu", "1"], "maint", 1),
        (neither, &["v1|http://127.0.0.1:1"], "fail\n", 1),
    ] {
        let outcome = agent_after_script(script, args);
        assert!(outcome.stdout.starts_with(line), "{script} {args:?}: {outcome:?}");
        assert!(Reply::parse(&outcome.stdout).is_ok(), "{script} {args:?}: {outcome:?}");
        assert_eq!(outcome.exit_status, Some(status), "{script} {args:?}: {outcome:?}");
    }
}

#[test]
fn a_read_only_root_changes_no_reply() {
    let page = page();
    let read_only = "mount --rbind / \"$0\" && mount -o remount,bind,ro \"$0\" &&
        ! touch \"$0/etc/$$\" 2>/dev/null && set -- chroot \"$0\" \"$@\"";
    for (args, line, status) in [
        (&["cpu", "1000000"][..], "up 100%\n", 0),
        (&["-u", &page.url(), "hls", "5"], "down\n", 1),
        (&["--syslog", "-m", "/none", "cpu", "0"], "ready down\n", 1),
    ] {
        agent_after_script(read_only, args).expect(line, status);
    }
}

/// A file of a FUSE file system can hang, for example one of lxcfs in a container.
#[test]
fn a_file_that_hangs_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let named = "v1|http://some.example:8080";
    let load = "down # cpu: reading the load average takes too long\n";
    let memory = "down # memory: reading /proc/meminfo takes too long\n";
    let name =
        "fail # http://some.example:8080: has a host name that did not resolve within 400 ms\n";
    for (file, request, line) in [
        ("/proc/loadavg", "cpu", load),
        ("/sys/devices/system/cpu/online", "cpu", load),
        ("/proc/meminfo", "memory", memory),
        ("/proc/stat", "memory", memory),
        ("/etc/hosts", named, name),
        ("/etc/resolv.conf", named, name),
    ] {
        let mount = format!("mount --bind \"$0\" {file} && exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", &mount]).arg(&fifo);
        let outcome = finish(command.args([AGENT, "-d", "-t", "400", request]));
        outcome.expect(line, 1);
        assert!(outcome.took < TIMEOUT + TOLERANCE, "{file}: {outcome:?}");
    }
}

#[test]
fn a_log_that_is_not_a_datagram_socket_changes_no_reply() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let _stream = UnixListener::bind(path("stream")).unwrap();
    drop(UnixDatagram::bind(path("dead")).unwrap());
    drop(UnixListener::bind(path("dead stream")).unwrap());
    fs::write(path("file"), "").unwrap();
    assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
    for log in ["stream", "dead", "dead stream", "file", "fifo"] {
        let dev = tempfile::tempdir().unwrap();
        let log = path(log);
        let mut command = agent_with_log(dev.path(), Some(&log));
        let outcome = finish(command.args(["--syslog", "-t", "10s", "cpu", "0"]));
        outcome.expect("down\n", 1);
        assert!(outcome.took < Duration::from_secs(2), "{log:?}: {outcome:?}");
    }
}

// Descriptors

#[test]
fn no_combination_of_closed_descriptors_changes_a_reply() {
    let page = page();
    let url = page.url();
    for closed in 0..8 {
        let close = |bit: usize, word: &'static str| if closed & bit > 0 { word } else { "" };
        let input = if closed & 1 > 0 { "<&-" } else { "</dev/null" };
        let script = format!("exec \"$0\" \"$@\" {input} {} {}", close(2, ">&-"), close(4, "2>&-"));
        for (args, line, status) in [
            (&["cpu", "1000000"][..], "up 100%\n", 0),
            (&["cpu", "0"], "down\n", 1),
            (&["-u", &url, "hls", "6"], "up 100%\n", 0),
            (&["-e", "-m", "/none", "-u", &url, "hls", "5"], "ready down\n", 1),
            (&["-l", "v1|http://127.0.0.1:1"], "fail\n", 1),
        ] {
            let mut command = Command::new("sh");
            let outcome = finish(command.args(["-c", &script, AGENT]).args(args));
            let line = if closed & 2 > 0 { "" } else { line };
            outcome.expect(line, status);
        }
    }
}

/// Rust's runtime opens /dev/null in the place of a closed descriptor. If it cannot, it ends the process
/// before the agent starts.
#[test]
fn without_dev_null_and_with_closed_descriptors_the_output_is_empty_or_right() {
    for closed in 0..8 {
        let script = ["<&-", ">&-", "2>&-"].iter().enumerate().filter(|(n, _)| closed & 1 << n > 0);
        let script: String = script.map(|(_, word)| format!(" {word}")).collect();
        let script = format!("mount --bind \"$0\" /dev && exec \"$@\"{script}");
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", &script]).arg(folder.path());
        let (stdout, _) = output_texts(command.arg(AGENT).args(["cpu", "0"]));
        let lines: &[&str] = if closed == 0 { &["down\n"] } else { &["", "down\n"] };
        assert!(lines.contains(&stdout.as_str()), "{closed:b}: {stdout:?}");
    }
}

#[test]
fn with_few_descriptors_the_reply_is_right_or_cautious() {
    let page = page();
    let url = page.url();
    for limit in 0..=8 {
        let limited = ["prlimit", &format!("--nofile={limit}")];
        for (args, expected) in [
            (&["debug|up"][..], "up"),
            (&["-d", "cpu", "1000000"], "up 100%"),
            (&["-d", "cpu", "0"], "down"),
            (&["-d", "-u", &url, "hls", "6"], "up 100%"),
            (&["-d", "-u", &url, "hls", "5"], "down"),
            (&["-m", "/none", "cpu", "1000000"], "ready up 100%"),
            (&["-d", "v1|http://127.0.0.1:1"], "fail"),
            (&["-l", "-e", "stat:a", "5"], "down"),
        ] {
            let what = (limit, args);
            let start = Instant::now();
            let (reply, _) = output_texts(&mut agent_under(&limited, args));
            check_right_or_cautious(&reply, expected, &what);
            assert!(start.elapsed() < TIMEOUT + TOLERANCE, "{what:?}: {:?}", start.elapsed());
            // The three standard descriptors and one more are enough.
            if limit >= 4 || args == ["debug|up"] {
                assert_eq!(reply.split(" # ").next().unwrap().trim_end(), expected, "{what:?}");
            }
            let line: &[u8] = b"cpu 0\n";
            let outcome = Connection::open_to(&mut agent_under(&limited, args), line).finish();
            assert!(Reply::parse(&outcome.stdout).is_ok(), "{what:?}: {outcome:?}");
            assert!(!outcome.stdout.contains("up"), "{what:?}: {outcome:?}");
            assert!(outcome.took < TIMEOUT + TOLERANCE, "{what:?}: {outcome:?}");
        }
    }
}

#[test]
fn a_full_socket_does_not_hold_the_run() {
    let fill = |socket: &OwnedFd| {
        rustix::io::ioctl_fionbio(socket, true).unwrap();
        while rustix::io::write(socket, &[0; 4096]).is_ok() {}
        while rustix::io::write(socket, &[0]).is_ok() {}
        rustix::io::ioctl_fionbio(socket, false).unwrap();
    };
    let (_unix_peer, unix) = UnixStream::pair().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _tcp_peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (tcp, _) = listener.accept().unwrap();
    for socket in [OwnedFd::from(unix), OwnedFd::from(tcp)] {
        fill(&socket);
        for (args, status) in [(["cpu", "0"], 1), (["cpu", "1000000"], 0)] {
            let start = Instant::now();
            let mut agent = agent_under(&["env"], &args);
            agent.stdin(socket.try_clone().unwrap()).stdout(socket.try_clone().unwrap());
            assert_eq!(agent.status().unwrap().code(), Some(status));
            assert!(start.elapsed() < TIMEOUT + TOLERANCE, "{:?}", start.elapsed());
        }
    }
}

#[test]
fn a_pipe_that_is_read_late_receives_the_whole_line() {
    let (mut reader, writer) = full_pipe();
    let mut agent = Command::new(AGENT);
    agent.args(["-t", "20s", "cpu", "0"]).stdin(Stdio::null()).stdout(writer);
    let mut process = Process(agent.spawn().unwrap());
    drop(agent);
    wait_until_it_waits(process.0.id());
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all.split(|&byte| byte == 0).next_back().unwrap(), b"down\n");
    assert_eq!(process.wait().code(), Some(1));
}

/// Waits until a process sleeps in poll(2).
fn wait_until_it_waits(id: u32) {
    wait_until("the agent waits", || {
        let place = fs::read_to_string(format!("/proc/{id}/wchan")).ok()?;
        place.contains("poll").then_some(())
    });
}

#[test]
fn broken_output_does_not_change_the_exit_status_for_any_action_of_sigpipe() {
    for signal in ["--default-signal=PIPE", "--ignore-signal=PIPE", "--block-signal=PIPE"] {
        for (args, status) in
            [(&["-e", "cpu", "0"][..], 1), (&["cpu", "1000000"], 0), (&["-l", "hsl"], 2)]
        {
            let (reader, pipe) = std::io::pipe().unwrap();
            drop(reader);
            let (peer, unix) = UnixStream::pair().unwrap();
            drop(peer);
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (reset, _) = listener.accept().unwrap();
            set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
            drop(peer);
            for output in [OwnedFd::from(pipe), OwnedFd::from(unix), OwnedFd::from(reset)] {
                let mut agent = agent_under(&["env", signal], args);
                agent.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
                let ended = agent.status().unwrap();
                assert_eq!(ended.code(), Some(status), "{signal} {args:?}: {ended:?}");
            }
        }
    }
}

// Limits

/// The requests for runs with little memory: the agent's arguments, and the expected state.
fn requests_under_limits<'a>(page: &'a str, tls: &'a str) -> Vec<(Vec<&'a str>, &'static str)> {
    vec![
        (vec!["cpu", "1000000"], "up 100%"),
        (vec!["-d", "-l", "-e", "cpu", "0"], "down"),
        (vec!["-d", "-u", page, "hls", "6"], "up 100%"),
        (vec!["-d", "-u", page, "hls", "5"], "down"),
        (vec!["-d", "-u", tls, "hls", "6"], "down"),
        (vec!["-m", "/none", "cpu", "1000000"], "ready up 100%"),
        (vec!["-m", "/etc/passwd", "cpu", "1000000"], "maint"),
        (vec!["-d", "hsl"], "fail"),
    ]
}

/// Runs the agent under limits of a resource, in KiB. Returns the lowest limit under which `debug|up`,
/// which measures nothing, is answered. From there on every request must be answered. Below it, the kernel,
/// the C library or Rust's runtime end the process before the agent starts.
fn check_limits(option: &str, coarse: &[usize], margin_kib: usize) -> usize {
    let page = page();
    let url = page.url();
    // The agent reads all certificates and begins a TLS session, which the server does not answer.
    let tls = url.replace("http:", "https:");
    let answers = |kib: usize, args: &[&str]| {
        let limit = format!("--{option}={}", kib * 1024);
        output_texts(&mut agent_under(&["prlimit", &limit], args)).0
    };
    let enough = coarse.iter().copied().find(|&kib| answers(kib, &["debug|up"]) == "up\n");
    let above = enough.expect("one of the limits is enough");
    let below = coarse.iter().copied().rfind(|&kib| kib < above).unwrap_or(0);
    let lowest = (below..=above).step_by(4).find(|&kib| answers(kib, &["debug|up"]) == "up\n");
    let lowest = lowest.unwrap();
    let near = (lowest.saturating_sub(64)..lowest + margin_kib).step_by(4);
    let limits: Vec<usize> = near.chain(coarse.iter().copied()).collect();
    let requests = requests_under_limits(&url, &tls);
    let cases = limits.iter().flat_map(|kib| requests.iter().map(move |case| (*kib, case)));
    in_parallel(cases, |(kib, (args, expected))| {
        let reply = answers(kib, args);
        // A few pages more: the kernel places the stack and the heap differently in each run.
        if kib >= lowest + 16 || !reply.is_empty() {
            check_right_or_cautious(&reply, expected, &(option, kib, args));
        }
        if kib == *coarse.last().unwrap() {
            assert_eq!(reply.split(" # ").next().unwrap().trim_end(), *expected, "{args:?}");
        }
    });
    // Over a connection, where the messages of the runtimes arrive too.
    let near = (lowest.saturating_sub(64)..lowest + 64).step_by(8);
    in_parallel(near, |kib| {
        let limit = format!("--{option}={}", kib * 1024);
        let mut agent = agent_under(&["prlimit", &limit], &["cpu", "1000000"]);
        let received = read_to_end_or_reset(&mut Connection::open_to(&mut agent, b"cpu 0\n"));
        if Reply::parse(&received).is_ok() {
            check_right_or_cautious(&received, "down", &(option, kib));
        } else {
            check_meaningless(&received, &(option, kib));
        }
    });
    report(&format!("--{option}: answers with {lowest} KiB or more"));
    lowest
}

/// Writes to the output of the test program, also when the test passes.
fn report(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[test]
fn the_agent_replies_under_every_limit_on_address_space_with_which_it_starts() {
    let coarse: Vec<usize> = (0..=16 * 1024).step_by(256).chain([100 * 1024]).collect();
    let lowest = check_limits("as", &coarse, 512);
    assert!(lowest < 8 * 1024, "{lowest} KiB");
}

#[test]
fn the_agent_replies_under_every_limit_on_data_with_which_it_starts() {
    let coarse: Vec<usize> = (0..=8 * 1024).step_by(256).chain([100 * 1024]).collect();
    let lowest = check_limits("data", &coarse, 512);
    assert!(lowest < 1024, "{lowest} KiB");
}

#[test]
fn the_agent_replies_under_every_limit_on_the_stack_with_which_it_starts() {
    let coarse: Vec<usize> = (0..512).step_by(32).chain([8 * 1024]).collect();
    let lowest = check_limits("stack", &coarse, 256);
    assert!(lowest < 128, "{lowest} KiB");
}

#[test]
fn the_agent_replies_when_an_answer_needs_more_memory_than_it_may_use() {
    let json = Server::fixed(faults::nested_maps(1 << 20));
    let text = Server::fixed([0xff; 1 << 20]);
    let json_request = format!("v1|http://{}", json.address);
    let text_url = text.url();
    // With less than 6 MiB the program itself might not fit.
    let cases = (6..=40).flat_map(|mib| [mib * 1024, mib * 1024 + 500]).flat_map(|kib| {
        [(kib, vec!["-d", &json_request]), (kib, vec!["-d", "-u", &text_url, "hls", "5"])]
    });
    in_parallel(cases, |(kib, args)| {
        let limit = format!("--as={}", kib * 1024);
        let (reply, stderr) = output_texts(&mut agent_under(&["prlimit", &limit], &args));
        let expected = if args.len() == 2 { "fail" } else { "down" };
        check_right_or_cautious(&reply, expected, &(kib, &args, stderr));
    });
}

#[test]
fn the_maintenance_file_is_read_even_if_no_thread_can_be_started() {
    let folder = tempfile::tempdir().unwrap();
    let program = shared_copy_of_agent(folder.path());
    let (file, log) = (folder.path().join("maint"), folder.path().join("log"));
    fs::write(&file, "drain by hand\n").unwrap();
    let missing = folder.path().join("missing");
    for (file, line, status) in [(&file, "drain # by hand\n", 1), (&missing, "ready up 100%\n", 0)]
    {
        // The limit does not apply to root.
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", "trace=clone,clone3", "-o"]).arg(&log);
        if user_name() == "root" {
            let nobody = ["--inh-caps=-all", "--bounding-set=-all", "--reuid=65534"];
            command.arg("setpriv").args(nobody).arg("--clear-groups");
        }
        command.args(["prlimit", "--nproc=0"]).arg(&program);
        let outcome = finish(command.args(["cpu", "1000000", "-m"]).arg(file));
        outcome.expect(line, status);
        let log = fs::read_to_string(&log).unwrap();
        assert!(log.contains("EAGAIN"), "starting a thread fails: {log}");
    }
}

#[test]
fn limits_on_files_and_processor_time_change_no_reply() {
    let page = page();
    let hanging = Server::start(|stream| {
        faults::send_for_ever(stream, "HTTP/1.1 102 Processing\r\n\r\n");
    });
    for limit in ["--fsize=0", "--cpu=1", "--core=0", "--memlock=0", "--sigpending=0"] {
        for (args, line) in [
            (&["cpu", "1000000"][..], "up 100%\n"),
            (&["cpu", "0"], "down\n"),
            (&["-u", &page.url(), "hls", "6"], "up 100%\n"),
            (&["-u", &hanging.url(), "hls", "6"], "down\n"),
            (&["-m", "/none", "cpu", "0"], "ready down\n"),
        ] {
            let start = Instant::now();
            let (reply, _) = output_texts(&mut agent_under(&["prlimit", limit], args));
            assert_eq!(reply, line, "{limit} {args:?}");
            assert!(
                start.elapsed() < TIMEOUT + TOLERANCE,
                "{limit} {args:?}: {:?}",
                start.elapsed()
            );
        }
    }
    // If standard output is a file that may not grow, nothing can be written.
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut agent = agent_under(&["prlimit", "--fsize=0"], &["cpu", "0"]);
    agent.stdin(Stdio::null()).stdout(file.reopen().unwrap()).status().unwrap();
    assert_eq!(fs::read(file.path()).unwrap(), b"");
}

// Signals

#[test]
fn signals_that_are_blocked_or_ignored_at_the_start_change_no_reply() {
    let page = page();
    let silent = Server::start(hold);
    for signals in ["--block-signal", "--ignore-signal", "--default-signal"] {
        for (args, line, status) in [
            (&["cpu", "1000000"][..], "up 100%\n", 0),
            (&["-u", &page.url(), "hls", "5"], "down\n", 1),
            (&["-u", &silent.url(), "hls", "6"], "down\n", 1),
            (&["-m", "/none", "cpu", "0"], "ready down\n", 1),
            (&["--agent-send", "required"], "fail\n", 1),
        ] {
            let outcome = finish(&mut agent_under(&["env", signals], args));
            outcome.expect(line, status);
            assert!(outcome.took < TIMEOUT + TOLERANCE, "{signals} {args:?}: {outcome:?}");
        }
    }
}

/// Starts a run and waits until it has asked a page that does not answer.
fn run_that_waits(program: &[&str]) -> (Connection, Server) {
    let (send, receive) = mpsc::channel();
    let send = Mutex::new(send);
    let server = Server::start(move |stream| {
        let _ = send.lock().unwrap().send(());
        hold(stream);
    });
    let args = ["-u", &server.url(), "hls", "6"];
    let connection = Connection::open_to(&mut agent_under(program, &args), b"");
    receive.recv_timeout(WAIT_LIMIT).expect("the page is asked");
    wait_until_it_waits(connection.agent.0.id());
    (connection, server)
}

fn pid(connection: &Connection) -> Pid {
    Pid::from_raw(connection.agent.0.id() as i32).unwrap()
}

/// Signals that end a program by default.
const SIGNALS: [Signal; 8] = [
    Signal::ALARM,
    Signal::VTALARM,
    Signal::PROF,
    Signal::PIPE,
    Signal::TERM,
    Signal::HUP,
    Signal::USR1,
    Signal::INT,
];

/// Those that the agent ignores. They are not meant to end a run.
const SURVIVED: [Signal; 4] = [Signal::ALARM, Signal::VTALARM, Signal::PROF, Signal::PIPE];

#[test]
fn a_signal_during_the_run_either_ends_it_or_changes_nothing() {
    in_parallel(SIGNALS, |signal| {
        let (mut connection, _server) = run_that_waits(&["env", "--default-signal"]);
        kill_process(pid(&connection), signal).unwrap();
        let received = read_to_end_or_reset(&mut connection);
        let ended = connection.agent.wait();
        let end = (received.as_str(), ended.signal().is_some());
        let is_outlived = SURVIVED.contains(&signal);
        assert_eq!(end, if is_outlived { ("down\n", false) } else { ("", true) }, "{signal:?}");
    });
    let held_off =
        SIGNALS.into_iter().flat_map(|signal| ["--ignore", "--block"].map(|how| (signal, how)));
    in_parallel(held_off, |(signal, how)| expect_run_goes_on(&format!("{how}-signal"), signal));
}

#[test]
fn signals_that_do_nothing_by_default_do_nothing() {
    in_parallel([Signal::CHILD, Signal::URG, Signal::WINCH, Signal::CONT], |signal| {
        expect_run_goes_on("--default-signal", signal);
    });
}

/// Expects that a run goes on whatever signal comes, if env(1) starts it with this disposition of signals.
fn expect_run_goes_on(disposition: &str, signal: Signal) {
    let (connection, _server) = run_that_waits(&["env", disposition]);
    for _ in 0..20 {
        kill_process(pid(&connection), signal).unwrap();
    }
    let outcome = connection.finish();
    outcome.expect("down\n", 1);
    assert!(outcome.took < TIMEOUT + TOLERANCE, "{signal:?} {disposition}: {outcome:?}");
}

#[test]
fn a_run_that_was_stopped_past_its_deadline_still_answers() {
    let (connection, _server) = run_that_waits(&["env"]);
    let (pid, start) = (pid(&connection), connection.start);
    kill_process(pid, Signal::STOP).unwrap();
    wait_until("the deadline is past", || (start.elapsed() > TIMEOUT + TOLERANCE).then_some(()));
    let again = Instant::now();
    kill_process(pid, Signal::CONT).unwrap();
    connection.finish().expect("down\n", 1);
    // After SIGCONT, the kernel continues the wait that was interrupted.
    assert!(again.elapsed() < TIMEOUT + TOLERANCE, "{:?}", again.elapsed());
}

// Errors of system calls

/// A request that runs under strace, and the expected reply.
struct TracedRequest {
    /// The words to put before the command.
    start: Vec<String>,
    args: Vec<String>,
    input: TracedInput,
    expected: &'static str,
}

/// The standard input of a traced run.
enum TracedInput {
    Nothing,
    /// A pipe that holds this line and stays open.
    Pipe(&'static str),
    /// A connection with this line, which is standard output and standard error too.
    Connection(String),
}

impl TracedRequest {
    fn new(args: &[&str], expected: &'static str) -> Self {
        let args = args.iter().map(|arg| arg.to_string()).collect();
        Self { start: Vec::new(), args, input: TracedInput::Nothing, expected }
    }

    /// Runs the request under strace with these options. Returns the reply and strace's log. Fails if three
    /// runs all take too long. One or two may, because the machine is busy with the other runs.
    #[track_caller]
    fn run(&self, options: &[&str], folder: &Path) -> (String, String) {
        let mut took = Duration::ZERO;
        for _ in 0..3 {
            let (received, log);
            (received, took, log) = self.run_once(options, folder);
            if took < TIMEOUT + TOLERANCE {
                return (received, log);
            }
        }
        panic!("{:?} {options:?}: {took:?}", self.args);
    }

    fn run_once(&self, options: &[&str], folder: &Path) -> (String, Duration, String) {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let log = folder.join(RUNS.fetch_add(1, Ordering::Relaxed).to_string());
        let strace = ["strace", "-qq", "-o", log.to_str().unwrap()];
        let [begin, args] = [&self.start, &self.args]
            .map(|words| words.iter().map(String::as_str).collect::<Vec<_>>());
        let mut command = agent_under(&[&begin[..], &strace, options].concat(), &args);
        let start = Instant::now();
        let received = match &self.input {
            TracedInput::Nothing => output_texts(&mut command).0,
            TracedInput::Pipe(line) => {
                let (reader, mut writer) = std::io::pipe().unwrap();
                writer.write_all(line.as_bytes()).unwrap();
                output_texts(command.stdin(reader)).0
            }
            TracedInput::Connection(line) => {
                let mut connection = Connection::open_to(&mut command, line.as_bytes());
                let received = read_to_end_or_reset(&mut connection);
                connection.agent.wait();
                received
            }
        };
        let took = start.elapsed();
        let text = fs::read_to_string(&log).expect("strace writes its log");
        fs::remove_file(&log).unwrap();
        (received, took, text)
    }
}

/// One system call of a run.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    /// Its place among the calls with its name, counted from 1.
    nth: usize,
    /// Whether the agent's own code has started; before, the C library and Rust's runtime make the calls.
    is_made_by_agent: bool,
    /// Whether it writes the reply.
    writes_reply: bool,
    is_after_reply: bool,
}

/// The system calls of a run, from strace's log. With its option `-f`, those of all threads.
fn calls(log: &str) -> Vec<Call> {
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    let (mut is_made_by_agent, mut is_after_reply) = (false, false);
    let mut calls = Vec::new();
    for line in log.lines() {
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (thread, line) = match line.split_once(' ') {
            Some((thread, line)) if is_number(thread) => (thread, line.trim_start()),
            _ => ("", line),
        };
        let Some((name, args)) = line.split_once('(') else {
            continue;
        };
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let count = counts.entry((thread, name)).or_default();
        *count += 1;
        // The agent's first call is an ioctl: it asks whether a descriptor is a terminal.
        is_made_by_agent |= name == "ioctl";
        let writes_reply = name == "write" && args.starts_with("1, ");
        // An error cannot be injected into brk: it reports one by returning the old end of the heap.
        if !["execve", "brk"].contains(&name) {
            let name = name.to_owned();
            calls.push(Call { name, nth: *count, is_made_by_agent, writes_reply, is_after_reply });
        }
        is_after_reply |= writes_reply;
    }
    calls
}

const ERRORS: [&str; 5] = ["EINTR", "EAGAIN", "ENOMEM", "EIO", "EMFILE"];

/// The calls that a signal can interrupt.
const INTERRUPTIBLE: [&str; 9] =
    ["openat", "read", "preadv2", "write", "ppoll", "connect", "recvfrom", "sendto", "close"];

/// The requests whose system calls fail, and the servers that they ask. Where an error could lead to either
/// `up` or `down`, there is one request for each.
struct TracedRequests {
    requests: Vec<TracedRequest>,
    _servers: Vec<Server>,
    _authority: Authority,
    _name_server: NameServer,
}

impl TracedRequests {
    fn new() -> Self {
        let page = page();
        let [fresh, stale] = [0.0, 3600.0].map(|lag| Server::fixed(antelope::get_info(lag)));
        let v1 = |server: &Server, expected| TracedRequest {
            input: TracedInput::Connection(format!("v1|http://{}|1000\n", server.address)),
            // The command line gives the opposite reply: ignoring the line would be noticed.
            ..TracedRequest::new(
                if expected == "up" {
                    &["-a", "any", "cpu", "0"]
                } else {
                    &["-a", "any", "cpu", "1000000"]
                },
                expected,
            )
        };
        let over_pipe = |args: &[&str], line, expected| TracedRequest {
            input: TracedInput::Pipe(line),
            ..TracedRequest::new(args, expected)
        };
        let node = Arc::new(Mutex::new(state_history::Node::healthy()));
        let ship = websocket::state_history_server(node);
        let authority = Authority::new();
        let over_tls = authority.server(|mut stream| {
            read_head(&mut stream);
            faults::send(&mut stream, response("200 OK", &text_page(&[("streams_hls", "5")])));
        });
        let tls_url = format!("https://localhost:{}/", over_tls.address.port());
        let trusting = format!("SSL_CERT_FILE={}", authority.file().display());
        let name_server = NameServer::new();
        let named_url = format!("http://wcs.example:{}/", page.address.port());
        let requests = vec![
            TracedRequest::new(&["cpu", "1000000"], "up 100%"),
            TracedRequest::new(&["cpu", "0"], "down"),
            TracedRequest::new(&["memory", "1000"], "up 100%"),
            TracedRequest::new(&["disk:/", "1000"], "up 100%"),
            TracedRequest::new(&["-u", &page.url(), "hls", "6"], "up 100%"),
            TracedRequest::new(&["-u", &page.url(), "hls", "5"], "down"),
            TracedRequest {
                start: name_server.command_prefix(),
                ..TracedRequest::new(&["-u", &named_url, "hls", "6"], "up 100%")
            },
            TracedRequest {
                start: ["env", "-u", "SSL_CERT_DIR", &trusting].map(str::to_owned).to_vec(),
                ..TracedRequest::new(&["-u", &tls_url, "hls", "6"], "up 100%")
            },
            TracedRequest::new(&[&format!("ship|ws://{}|1000", ship.address)], "up"),
            over_pipe(&["cpu", "0"], "cpu 1000000\n", "up 100%"),
            over_pipe(&["cpu", "1000000"], "cpu 0\n", "down"),
            TracedRequest::new(&["--syslog", "--explain", "cpu", "0"], "down"),
            v1(&fresh, "up"),
            v1(&stale, "down"),
        ];
        let servers = vec![page, fresh, stale, ship, over_tls];
        Self { requests, _servers: servers, _authority: authority, _name_server: name_server }
    }
}

#[test]
fn after_an_error_of_any_system_call_the_reply_is_right_or_cautious() {
    let folder = tempfile::tempdir().unwrap();
    let traced = TracedRequests::new();
    let requests = &traced.requests;
    let injected = AtomicUsize::new(0);
    let runs = requests.iter().enumerate().flat_map(|(number, request)| {
        let (received, log) = request.run(&[], folder.path());
        assert_eq!(received.trim_end(), request.expected, "{:?}", request.args);
        let mut calls = calls(&log);
        assert!(calls.iter().any(|call| call.is_after_reply), "{log}");
        // Every run starts with the same calls. It is enough to try them twice: without and with a
        // connection.
        let is_first_or_last = number == 0 || number + 1 == requests.len();
        calls.retain(|call| call.is_made_by_agent || is_first_or_last);
        let cases = calls.into_iter().flat_map(|call| ERRORS.map(|error| (call.clone(), error)));
        cases.map(move |(call, error)| (request, call, error)).collect::<Vec<_>>()
    });
    in_parallel(runs, |(request, call, error)| {
        let what = (&request.args, &call, error);
        let trace = format!("trace={}", call.name);
        let inject = format!("inject={}:error={error}:when={}", call.name, call.nth);
        let (received, log) = request.run(&["-e", &trace, "-e", &inject], folder.path());
        let is_injected = log.contains("INJECTED");
        injected.fetch_add(is_injected.into(), Ordering::Relaxed);
        let is_interruption = error == "EINTR" && INTERRUPTIBLE.contains(&call.name.as_str());
        if !call.is_made_by_agent && Reply::parse(&received).is_err() {
            check_meaningless(&received, &what);
        } else if call.writes_reply && ["EIO", "EMFILE"].contains(&error) {
            assert_eq!(received, "", "{what:?}");
        } else if call.is_after_reply || (call.is_made_by_agent && is_interruption) {
            assert_eq!(received, format!("{}\n", request.expected), "{what:?}");
        } else {
            check_right_or_cautious(&received, request.expected, &what);
        }
    });
    let injected = injected.into_inner();
    report(&format!("{injected} system calls failed one by one"));
    assert!(injected > 2000, "{injected}");
}

#[test]
fn if_a_system_call_always_fails_the_reply_is_right_or_cautious() {
    let folder = tempfile::tempdir().unwrap();
    let traced = TracedRequests::new();
    let requests = &traced.requests;
    let always = ["ppoll", "fstat", "getpeername", "recvfrom", "socket", "connect", "getsockopt"];
    let always = always.into_iter().chain(["statx", "setsockopt", "sendto", "ioctl", "openat"]);
    let errors = ["EAGAIN", "ENOMEM", "EPERM", "EINVAL", "ENOSYS"];
    let cases = always.flat_map(|name| errors.map(|error| (name, error)));
    let cases = cases.chain([("ppoll", "EINTR")]);
    let runs = cases.flat_map(|case| requests.iter().map(move |request| (case, request)));
    in_parallel(runs, |((name, error), request)| {
        let what = (&request.args, name, error);
        let (trace, inject) = (format!("trace={name}"), format!("inject={name}:error={error}"));
        let (received, _) = request.run(&["-e", &trace, "-e", &inject], folder.path());
        check_right_or_cautious(&received, request.expected, &what);
        if name == "ppoll" && error != "EINTR" {
            assert_eq!(received, format!("{}\n", request.expected), "{what:?}");
        }
    });
}

#[test]
fn an_error_while_reading_the_maintenance_file_does_not_put_the_server_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("maint");
    fs::write(&file, "drain").unwrap();
    let request = TracedRequest::new(&["cpu", "1000000", "-m", file.to_str().unwrap()], "drain");
    let (received, log) = request.run(&["-f"], folder.path());
    assert_eq!(received, "drain\n");
    let mut calls = calls(&log);
    calls.retain(|call| call.is_made_by_agent && !call.is_after_reply);
    assert!(calls.iter().any(|call| call.name == "clone3"), "{log}");
    let injected = AtomicUsize::new(0);
    in_parallel(
        calls.iter().flat_map(|call| ERRORS.map(|error| (call, error))),
        |(call, error)| {
            let what = (call, error);
            let trace = format!("trace={}", call.name);
            let inject = format!("inject={}:error={error}:when={}", call.name, call.nth);
            let options = ["-f", "-e", &trace, "-e", &inject];
            let (received, log) = request.run(&options, folder.path());
            injected.fetch_add(log.matches("INJECTED").count(), Ordering::Relaxed);
            // Rust's runtime ends the process when a thread gets no stack for its signals.
            let makes_thread = ["mmap", "mprotect", "sigaltstack"].contains(&call.name.as_str());
            let is_lost = call.writes_reply && ["EIO", "EMFILE"].contains(&error);
            if !received.is_empty() || !(makes_thread || is_lost) {
                check_right_or_cautious(&received, "drain", &what);
            }
        },
    );
    report(&format!("{} system calls of two threads failed", injected.into_inner()));
}

// The clock

/// Compiles step_clock.c into a folder.
fn step_clock(folder: &Path) -> String {
    let program = folder.join("step_clock");
    let mut cc = Command::new("cc");
    cc.args(["-Wall", "-Werror", "-o"]).arg(&program).arg("tests/common/step_clock.c");
    assert!(cc.status().expect("cc is installed").success());
    program.to_str().unwrap().to_owned()
}

#[test]
fn setting_the_wall_clock_during_a_run_changes_only_the_ages_of_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let program = step_clock(folder.path());
    let (page, silent) = (page(), Server::start(hold));
    let fresh = Server::fixed(antelope::get_info(0.0));
    let v1 = format!("v1|http://{}|1000", fresh.address);
    for step in ["0", "3600", "-3600", "1000000000", "-4000000000", "9000000000000000000"] {
        for (args, line, reads_of_wall_clock) in [
            (&["cpu", "0"][..], "down\n", 0),
            (&["cpu", "1000000"], "up 100%\n", 0),
            (&["-u", &page.url(), "hls", "6"], "up 100%\n", 0),
            (&["-u", &silent.url(), "hls", "6"], "down\n", 0),
            (&["-m", "/etc/passwd", "cpu", "1000000"], "maint", 0),
            (&[&v1], if step == "0" { "up\n" } else { "down\n" }, 1),
        ] {
            let start = Instant::now();
            let (reply, readings) = output_texts(&mut agent_under(&[&program, step], args));
            let took = start.elapsed();
            assert!(
                Reply::parse(&reply).is_ok() && reply.starts_with(line),
                "{step} {args:?}: {reply:?}"
            );
            assert!(took < TIMEOUT + TOLERANCE, "{step} {args:?}: {took:?}");
            // The age of a block needs the wall clock, and nothing else does. That the monotonic clock was
            // read shows that step_clock sees the readings.
            let (wall, monotonic) = readings.split_once(" monotonic ").unwrap();
            let wall_expected = format!("wall clock {reads_of_wall_clock}");
            assert_eq!(wall, wall_expected, "{step} {args:?}: {readings}");
            assert_ne!(monotonic.trim(), "0", "{step} {args:?}: {readings}");
        }
    }
}

#[test]
fn a_monotonic_clock_of_any_value_changes_no_reply() {
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let uptime: u64 = uptime.split('.').next().unwrap().parse().unwrap();
    let (page, silent) = (page(), Server::start(hold));
    // A machine that has just started, and one that has run for 100 years.
    for offset in [format!("-{}", uptime - 1), "3153600000".to_owned()] {
        for (args, line, status) in [
            (&["cpu", "1000000"][..], "up 100%\n", 0),
            (&["-u", &page.url(), "hls", "5"], "down\n", 1),
            (&["-u", &silent.url(), "hls", "6"], "down\n", 1),
            (&["--agent-send", "required"], "fail\n", 1),
        ] {
            let offsets = ["--monotonic", &offset, "--boottime", &offset];
            let unshare = ["unshare", "--map-root-user", "--time", "--fork"];
            let outcome = finish(&mut agent_under(&[&unshare[..], &offsets].concat(), args));
            outcome.expect(line, status);
            assert!(outcome.took < TIMEOUT + TOLERANCE, "{offset} {args:?}: {outcome:?}");
        }
    }
}
