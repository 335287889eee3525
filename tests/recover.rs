//! `--recover` and `--state`: a server that has reached a limit comes back only when it has room.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::haproxy::Haproxy;
use common::*;

/// A statistics page whose value the test changes, and a state file.
struct Media {
    page: Arc<Mutex<Vec<u8>>>,
    statistics: Server,
    folder: tempfile::TempDir,
}

impl Media {
    fn new() -> Self {
        let page = Arc::new(Mutex::new(Vec::new()));
        let statistics = Server::page(page.clone());
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let media = Self { page, statistics, folder };
        media.serve("0");
        media
    }

    fn serve(&self, hls: &str) {
        *self.page.lock().unwrap() = text_page(&[("streams_hls", hls), ("ports_free", "110")]);
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("full")
    }

    fn is_held(&self) -> bool {
        self.state().exists()
    }

    /// Runs the agent with the state file and these options and words.
    fn agent(&self, args: &[&str]) -> Outcome {
        self.agent_with_state(&self.state(), args)
    }

    fn agent_with_state(&self, state: &Path, args: &[&str]) -> Outcome {
        let (url, state) = (self.statistics.url(), state.to_str().unwrap());
        agent(&[&["-u", &url, "--recover", "80", "--state", state], args].concat())
    }
}

#[test]
fn a_server_is_held_from_its_limit_until_every_value_is_below_the_percentage() {
    let media = Media::new();
    for (hls, reply, is_held) in [
        ("99", "up 100% # hls 99/100 publishers 0/50", false),
        ("100", "down # hls 100/100 publishers 0/50", true),
        ("99.9", "down # held: hls 99.9/100, up again below 80", true),
        ("80", "down # held: hls 80/100, up again below 80", true),
        ("79.9", "up 100% # hls 79.9/100 publishers 0/50", false),
        ("95", "up 100% # hls 95/100 publishers 0/50", false),
        ("120", "down # hls 120/100 publishers 0/50", true),
        ("120", "down # hls 120/100 publishers 0/50", true),
        ("0", "up 100% # hls 0/100 publishers 0/50", false),
    ] {
        *media.page.lock().unwrap() = text_page(&[("streams_hls", hls), ("streams_rtmp_in", "0")]);
        let outcome = media.agent(&["-d", "hls", "100", "publishers", "50"]);
        outcome.expect(&format!("{reply}\n"), reply.starts_with("down").into());
        assert_eq!(media.is_held(), is_held, "{hls}");
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn a_lower_limit_is_left_when_the_value_is_high_enough() {
    let media = Media::new();
    for (hls, reply) in [
        ("101", "up 100% # hls 101/min:100"),
        ("100", "down # hls 100/min:100"),
        ("110", "down # held: hls 110/min:100, up again above 125"),
        ("125", "down # held: hls 125/min:100, up again above 125"),
        ("126", "up 100% # hls 126/min:100"),
        ("101", "up 100% # hls 101/min:100"),
    ] {
        media.serve(hls);
        let outcome = media.agent(&["-d", "hls", "min:100"]);
        outcome.expect(&format!("{reply}\n"), reply.starts_with("down").into());
    }
}

#[test]
fn the_reply_of_a_held_server_is_that_of_a_reached_limit() {
    let media = Media::new();
    media.serve("90");
    for (state, reply) in [("down", "down"), ("drain", "drain"), ("25%", "up 25%")] {
        fs::write(media.state(), "").unwrap();
        let args = ["--at-limit", state, "-w", "50", "hls", "100"];
        media.agent(&args).expect(&format!("{reply}\n"), 1);
    }
    // Only thresholds are held.
    media.agent(&["debug|up"]).expect("up\n", 0);
    assert!(media.is_held());
}

#[test]
fn values_that_are_unavailable_leave_the_state_as_it_is() {
    let media = Media::new();
    for is_held in [false, true] {
        for (hls, words) in [("1", "hls 100 stat:absent 5"), ("x", "hls 100"), ("90", "stat:x 5")] {
            media.serve(hls);
            let outcome = media.agent(&["-d", words]);
            assert!(outcome.stdout.starts_with("down # "), "{outcome:?}");
            assert!(!outcome.stdout.contains("held"), "{outcome:?}");
            assert_eq!(media.is_held(), is_held, "{words}");
        }
        fs::write(media.state(), "").unwrap();
    }
}

#[test]
fn a_state_that_cannot_be_used_is_reported_and_changes_no_reply() {
    let media = Media::new();
    let path = |name: &str| media.folder.path().join(name);
    fs::create_dir(path("folder")).unwrap();
    symlink("nowhere", path("link")).unwrap();
    symlink(media.folder.path(), path("link-to-folder")).unwrap();
    fs::write(path("file"), "").unwrap();
    assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    let not_a_file = "it is no regular file";
    for (name, problem) in [
        ("folder", not_a_file),
        ("link", not_a_file),
        ("link-to-folder", not_a_file),
        ("pipe", not_a_file),
        ("folder/", "the path names no file"),
        ("missing/full", "cannot open its folder: No such file or directory (os error 2)"),
        ("file/full", "cannot open its folder: Not a directory (os error 20)"),
    ] {
        for (hls, state, exit_status) in
            [("1", "up 100%", 0), ("90", "up 100%", 0), ("100", "down", 1)]
        {
            media.serve(hls);
            let run = |args: &[&str]| media.agent_with_state(&path(name), args);
            run(&["hls", "100"]).expect(&format!("{state}\n"), exit_status);
            let outcome = run(&["-d", "hls", "100"]);
            let begin = format!("{state} # hls {hls}/100; --state: {problem}: /");
            let begin = &begin[..begin.len().min(75)];
            assert!(outcome.stdout.starts_with(begin), "{outcome:?} {begin}");
            assert_eq!(outcome.exit_status, Some(exit_status));
            let sentence = format!("--state: {problem}: {}", path(name).display());
            assert_eq!(outcome.stderr, format!("haproxy-agent-check: {sentence}\n"));
        }
    }
    assert!(!media.is_held());
}

#[test]
fn a_state_that_cannot_be_created_or_removed_is_reported() {
    let media = Media::new();
    let (url, state) = (media.statistics.url(), media.state());
    let agent = shared_copy_of_agent(media.folder.path());
    let as_nobody = |hls: &str| {
        media.serve(hls);
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&agent);
        command.args(["-d", "-u", &url, "--recover", "80", "--state"]).arg(&state);
        finish(command.args(["hls", "100"]))
    };
    fs::set_permissions(media.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let denied = |what: &str| format!("--state: cannot {what} it: Permission denied (os error 13)");
    let outcome = as_nobody("100");
    let reply = format!("down # hls 100/100; {}", denied("create"));
    assert!(outcome.stdout.starts_with(&reply), "{outcome:?}");
    fs::write(&state, "").unwrap();
    let outcome = as_nobody("1");
    let reply = format!("up 100% # hls 1/100; {}", denied("remove"));
    assert!(outcome.stdout.starts_with(&reply), "{outcome:?}");
    assert_eq!(outcome.exit_status, Some(0));
    // Its existence can be seen all the same.
    as_nobody("90").expect("down # held: hls 90/100, up again below 80\n", 1);
}

#[test]
fn a_problem_with_the_state_is_logged_even_if_the_server_is_up() {
    let media = Media::new();
    let dev = tempfile::tempdir().unwrap();
    let socket = dev.path().join("socket");
    let log = UnixDatagram::bind(&socket).unwrap();
    log.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut command = agent_with_log(dev.path(), Some(&socket));
    command.args(["-l", "-u", &media.statistics.url(), "--recover", "80", "--state"]);
    finish(command.args(["/nowhere/full", "hls", "100"])).expect("up 100%\n", 0);
    let mut line = [0; 4096];
    let length = log.recv(&mut line).expect("a line is logged");
    let line = String::from_utf8_lossy(&line[..length]).into_owned();
    assert!(
        line.contains("reply: up 100% # hls 0/100; --state: cannot open its folder: No such"),
        "{line}"
    );
}

#[test]
fn each_option_needs_the_other() {
    for (args, sentence) in [
        (&["--recover", "80"][..], "--recover needs --state"),
        (&["--state", "/run/full"], "--state needs --recover"),
        (&["--state", ""], "--state: the path is empty"),
        (&["--recover", "0", "--state", "/run/x"], "--recover: '0' is no percentage from 1 to 99"),
        (&["--recover", "100", "--state", "/run/x"], "--recover: '100' is no percentage from 1"),
        (&["--recover", "x", "--state", "/run/x"], "--recover: 'x' is no percentage from 1"),
    ] {
        let outcome = agent(&[args, &["cpu", "1000000"]].concat());
        assert!(outcome.stdout.starts_with(&format!("fail # {sentence}")), "{outcome:?}");
        assert_eq!(outcome.exit_status, Some(2));
    }
}

/// Values around both limits, in an order that repeats itself after 100 steps.
fn swinging_values() -> impl Iterator<Item = u32> {
    (0..100)
        .map(|step: u32| [90, 99, 100, 101, 99, 85, 80, 79, 80, 101, 60][(step * 7 % 11) as usize])
}

/// The state after a value, if the limit is 100 and the server comes back below 80.
fn is_full(was_full: bool, value: u32) -> bool {
    value >= 100 || (was_full && value >= 80)
}

#[test]
fn in_a_thousand_overlapping_runs_the_state_changes_only_at_the_two_limits() {
    let media = Media::new();
    let (mut was_full, mut changes) = (false, 0);
    for value in swinging_values() {
        media.serve(&value.to_string());
        let full = is_full(was_full, value);
        let expected = if full { "down\n" } else { "up 100%\n" };
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| media.agent(&["hls", "100"]).expect(expected, full.into()));
            }
        });
        assert_eq!(media.is_held(), full, "{value}");
        changes += u32::from(full != was_full);
        was_full = full;
    }
    assert!(changes > 10, "{changes}");
}

#[test]
fn two_haproxys_agree_on_the_state() {
    let media = Media::new();
    let options =
        format!("-u {} --recover 80 --state {}", media.statistics.url(), media.state().display());
    let xinetd = Xinetd::start(&format!("-d {options} hls 100"));
    let service = Server::start(hold);
    let (agent, address) = (xinetd.address, service.address);
    let line = format!(
        "server wcs1 {address} check agent-check agent-addr {} agent-port {} agent-inter 20ms",
        agent.ip(),
        agent.port(),
    );
    let haproxys = [0, 1].map(|_| Haproxy::start(std::slice::from_ref(&line)));
    let mut was_full = false;
    for value in swinging_values() {
        media.serve(&value.to_string());
        let asked = media.statistics.requests().len();
        wait_until("both have asked five times", || {
            (media.statistics.requests().len() >= asked + 10).then_some(())
        });
        let full = is_full(was_full, value);
        for haproxy in &haproxys {
            haproxy.wait_for("wcs1", if full { "DOWN" } else { "UP" });
        }
        assert_eq!(media.is_held(), full, "{value}");
        was_full = full;
    }
    assert!(media.statistics.requests().len() >= 1000);
}

#[test]
fn a_held_server_is_explained() {
    let media = Media::new();
    fs::write(media.state(), "").unwrap();
    media.serve("90");
    let outcome = media.agent(&["-e", "hls", "100"]);
    assert!(outcome.stderr.contains("\nheld     a limit was reached before"), "{outcome:?}");
}

#[test]
fn a_reached_limit_is_recorded_even_if_measuring_takes_all_the_time() {
    let media = Media::new();
    let silent = Server::start(hold);
    let (url, state) = (silent.url(), media.state());
    let ask = |words: &[&str]| {
        let options = ["-d", "-t", "300", "-u", &url, "--recover", "80", "--state"];
        agent(&[&options, &[state.to_str().unwrap()][..], words].concat())
    };
    let unmeasured = ask(&["hls", "5"]);
    assert!(unmeasured.stdout.ends_with("no answer within 300 ms\n"), "{unmeasured:?}");
    assert_eq!((unmeasured.stderr.as_str(), media.is_held()), ("", false));
    let reached = ask(&["cpu", "0", "hls", "5"]);
    assert!(reached.stdout.contains("no answer within 300 ms"), "{reached:?}");
    assert!(!reached.stdout.contains("--state"), "{reached:?}");
    assert!(media.is_held());
}

#[test]
fn a_long_name_leaves_room_for_what_holds_the_server() {
    let media = Media::new();
    let name = "n".repeat(150);
    *media.page.lock().unwrap() = text_page(&[(&name, "90")]);
    fs::write(media.state(), "").unwrap();
    let outcome = media.agent(&["-d", &format!("stat:{name}"), "100"]);
    assert!(
        outcome.stdout.starts_with("down # held: stat:nnnnnnnnnnnnnnnnnnnnnnnnn"),
        "{outcome:?}"
    );
}
