//! demo/run, started without a terminal: HAProxy has to see every change of the load, and no process and no
//! file may be left.
//!
//! HAProxy listens on port 443 of a loopback address, which needs root.

mod common;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};

use common::*;

/// A demonstration with short pauses.
struct Demo {
    process: Process,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    folder: tempfile::TempDir,
}

/// What HAProxy reports about a server.
#[derive(Debug)]
struct Seen {
    state: String,
    weight: u32,
    reason: String,
}

impl Demo {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The user nobody, who runs the agents, needs access.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/demo/run"));
        remove_cargo_variables(&mut command);
        let process = command
            .env("CARGO_TARGET_DIR", target)
            .env("TMPDIR", folder.path())
            .env("DEMO_PAUSE_S", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut process = Process(process.expect("demo/run starts"));
        let lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
        Self { process, lines, folder }
    }

    /// The next report on wcs1 for which `is_meant` holds. There is no time limit here: the demonstration
    /// has one.
    fn wait_for(&mut self, what: &str, is_meant: impl Fn(&Seen) -> bool) -> Seen {
        let mut passed = String::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if let Some(seen) = seen(&line)
                && is_meant(&seen)
            {
                return seen;
            }
            passed += &(line + "\n");
        }
        panic!("{what} is not seen, but:\n{passed}");
    }

    /// The ids of all running processes that descend from the demonstration.
    fn descendants(&self) -> Vec<u32> {
        let mut all = vec![self.process.0.id()];
        let mut next = 0;
        while let Some(&id) = all.get(next) {
            // The file is missing if the process has ended meanwhile.
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
            let children = children.unwrap_or_default();
            all.extend(children.split_ascii_whitespace().map(|id| id.parse::<u32>().unwrap()));
            next += 1;
        }
        all.split_off(1)
    }

    fn signal(&self, name: &str) {
        let id = self.process.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits for the end of the demonstration. Fails if a file or one of these processes is left.
    fn expect_nothing_left(mut self, exit_status: i32, descendants: &[u32]) {
        // Reads the rest of the output, since a full pipe would block the demonstration.
        self.lines.by_ref().for_each(drop);
        assert_eq!(self.process.wait().code(), Some(exit_status));
        // An agent that has just been started ends by itself.
        wait_until("no process is left", || {
            let is_left = |id: &&u32| Path::new(&format!("/proc/{id}")).exists();
            descendants.iter().find(is_left).is_none().then_some(())
        });
        let files: Vec<_> = fs::read_dir(self.folder.path()).unwrap().collect();
        assert!(files.is_empty(), "{files:?}");
    }
}

/// Parses a line such as `0:16  wcs1   DOWN (agent)      25  via agent : down (...)`.
fn seen(line: &str) -> Option<Seen> {
    let (_, rest) = line.split_once("  wcs1 ")?;
    let (known, reason) = rest.split_once("  via agent : ")?;
    let (state, weight) = known.trim().rsplit_once(' ')?;
    let state = state.trim().to_owned();
    Some(Seen { state, weight: weight.parse().unwrap(), reason: reason.to_owned() })
}

#[test]
fn a_server_fills_goes_down_and_comes_back_and_ctrl_c_leaves_nothing() {
    let mut demo = Demo::start();
    let up = demo.wait_for("a server that is up", |seen| seen.state == "UP");
    assert_eq!(up.weight, 100, "{up:?}");
    assert!(up.reason.starts_with("up (publishers 40/100 "), "{up:?}");

    let near = demo.wait_for("a falling weight", |seen| seen.weight < 100);
    let nearer = demo.wait_for("a weight that falls on", |seen| seen.weight < near.weight);
    assert_eq!([&near.state, &nearer.state], ["UP", "UP"]);

    let down = demo.wait_for("a server that is down", |seen| seen.state != "UP");
    assert_eq!(down.state, "DOWN (agent)");
    assert!(down.reason.starts_with("down (publishers 100/100 "), "{down:?}");

    let back = demo.wait_for("a server that is back", |seen| seen.state == "UP");
    assert!(back.reason.starts_with("up (publishers 90/100 "), "{back:?}");
    assert_eq!(back.weight, 50);

    // Two media servers, xinetd and HAProxy at least.
    let descendants = demo.descendants();
    assert!(descendants.len() >= 4, "{descendants:?}");
    demo.signal("INT");
    demo.expect_nothing_left(130, &descendants);
}

#[test]
fn the_demonstration_ends_by_itself_and_leaves_nothing() {
    let mut demo = Demo::start();
    demo.wait_for("a server that is down", |seen| seen.state.starts_with("DOWN"));
    let descendants = demo.descendants();
    demo.wait_for("a server that is back", |seen| seen.weight == 100);
    demo.expect_nothing_left(0, &descendants);
}
