//! Values of the machine: its memory and its file systems. `cpu` is in thresholds.rs.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::*;

/// The agent's timeout where something hangs.
const TIMEOUT: Duration = Duration::from_millis(400);

/// Runs the agent in a mount namespace after the shell commands of `set_up`, in which `$1` is `path`.
fn agent_after(set_up: &str, path: &Path, args: &[&str]) -> Outcome {
    let script = format!("{set_up} && shift && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
    finish(command.arg(path).arg(AGENT).args(args))
}

/// Runs the agent with this text in /proc/meminfo.
fn agent_with_memory(meminfo: &str, args: &[&str]) -> Outcome {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), meminfo).unwrap();
    agent_after("mount --bind \"$1\" /proc/meminfo", file.path(), args)
}

const MEMORY: &str = "\
MemTotal:        8000000 kB
MemFree:          500000 kB
MemAvailable:    2000000 kB
Buffers:          100000 kB
Cached:          3000000 kB
";

#[test]
fn memory_is_what_is_not_available_in_percent() {
    for (args, line, status) in [
        (&["memory", "75"][..], "down\n", 1),
        (&["memory", "75.1%"], "up 100%\n", 0),
        (&["memory"], "up 100%\n", 0),
        (&["memory", "min:75"], "down\n", 1),
        (&["memory", "min:74.9%"], "up 100%\n", 0),
        (&["-d", "memory", "80"], "up 100% # memory 75/80\n", 0),
    ] {
        agent_with_memory(MEMORY, args).expect(line, status);
    }
    let full = MEMORY.replace(" 2000000", "  800000");
    agent_with_memory(&full, &["-d", "memory"]).expect("down # memory 90/90\n", 1);
}

/// Kernels before 3.14 do not report `MemAvailable`.
#[test]
fn without_an_available_memory_the_free_memory_and_the_caches_are_available() {
    let old = MEMORY.replace("MemAvailable:    2000000 kB\n", "");
    agent_with_memory(&old, &["-d", "memory"]).expect("up 100% # memory 55/90\n", 0);
}

#[test]
fn memory_that_is_unknown_is_down_with_the_reason() {
    let why = "down # memory: /proc/meminfo does not tell how much memory there is\n";
    for meminfo in ["", "nonsense", "MemTotal: many kB\n", "MemTotal: 0 kB\n"] {
        agent_with_memory(meminfo, &["-d", "memory"]).expect(why, 1);
    }
    let bad = MEMORY.replace(" 2000000", "      -1").replace("500000", "x").replace("3000000", "");
    agent_with_memory(&bad, &["memory"]).expect("down\n", 1);
}

#[test]
fn memory_is_that_of_the_machine() {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let kib = |name: &str| -> f64 {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let percent = 100.0 * (1.0 - kib("MemAvailable:") / kib("MemTotal:"));
    let outcome = agent(&["-d", "memory", "1000"]);
    let value = outcome.stdout.strip_prefix("up 100% # memory ").unwrap();
    let value: f64 = value.strip_suffix("/1000\n").unwrap().parse().unwrap();
    // Other programs use memory meanwhile.
    assert!((value - percent).abs() < 20.0, "{value} {percent}");
}

/// The value of a disk in the description.
fn disk_percent(path: &str) -> f64 {
    let outcome = agent(&["-d", &format!("disk:{path}"), "1000"]);
    let value = outcome.stdout.strip_prefix(&format!("up 100% # disk:{path} "));
    let value = value.unwrap_or_else(|| panic!("{outcome:?}"));
    value.strip_suffix("/1000\n").unwrap().parse().unwrap()
}

/// What df says of a path, in percent. It rounds up.
fn df_percent(path: &str) -> f64 {
    let output = Command::new("df").args(["--output=pcent", path]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().last().unwrap().trim().trim_end_matches('%').parse().unwrap()
}

#[test]
fn a_disk_is_as_full_as_df_says() {
    for path in ["/", "/tmp", "/dev/shm", env!("CARGO_MANIFEST_DIR")] {
        let (value, df) = (disk_percent(path), df_percent(path));
        assert!((df - 1.1..=df + 0.1).contains(&value), "{path}: {value} {df}");
    }
}

#[test]
fn a_disk_is_down_at_its_limit_and_has_a_limit_of_90_percent() {
    let folder = tempfile::tempdir().unwrap();
    // 10 of 40 MiB are free: 75 % are in use. The second file system is full to 90 %.
    let set_up = "mount -t tmpfs -o size=40m none \"$1\" && mkdir \"$1/b\" &&
        mount -t tmpfs -o size=40m none \"$1/b\" && head -c 30m /dev/zero >\"$1/file\" &&
        head -c 36m /dev/zero >\"$1/b/file\"";
    let disk = format!("disk:{}", folder.path().display());
    let full = format!("disk:{}/b/file", folder.path().display());
    let run = |args: &[&str]| agent_after(set_up, folder.path(), args);
    for (args, line, status) in [
        (&[disk.as_str(), "75"][..], "down\n", 1),
        (&[&disk, "75.1%"], "up 100%\n", 0),
        (&[&disk], "up 100%\n", 0),
        (&[&disk, "min:75%"], "down\n", 1),
        (&[&full], "down\n", 1),
        (&[&disk, &full, "91"], "up 100%\n", 0),
        (&["-w", "50", &disk, "100"], "up 50%\n", 0),
    ] {
        run(args).expect(line, status);
    }
    let both = run(&["-d", &disk, &full]);
    both.expect(&format!("down # {full} 90/90 {disk} 75/90\n"), 1);
    let table = run(&["-e", &disk, "80%"]).stderr;
    assert!(table.contains(" 75 % ") && table.contains(" file system "), "{table}");
}

#[test]
fn a_path_that_has_no_disk_is_down_with_the_reason() {
    for (path, why) in [
        ("/nothing/here", "cannot ask the file system: No such file or directory (os error 2)"),
        ("/proc/version/x", "cannot ask the file system: Not a directory (os error 20)"),
        ("/proc", "the file system has no size"),
    ] {
        let disk = format!("disk:{path}");
        agent(&["-d", &disk]).expect(&format!("down # {disk}: {why}\n"), 1);
        agent(&[&disk, "1000"]).expect("down\n", 1);
    }
}

#[test]
fn a_disk_has_an_absolute_path() {
    for (disk, why) in [
        ("disk:var", "disk:var: 'var' is not an absolute path"),
        ("disk:./", "disk:./: './' is not an absolute path"),
        ("disk:~", "disk:~: '~' is not an absolute path"),
    ] {
        agent(&[disk]).expect(&format!("fail # {why}\n"), 2);
    }
    let unknown = agent(&["disk:"]);
    assert!(unknown.stdout.starts_with("fail # 'disk:' is none of cpu, "), "{unknown:?}");
}

#[test]
fn only_the_command_line_may_ask_for_a_disk() {
    let why = "fail # 'disk:/' can be named on the command line only\n";
    for args in [&[][..], &["cpu", "1000000"], &["disk:/"]] {
        for line in ["disk:/\n", "cpu 1000000 disk:/ 50\n"] {
            Connection::open_after(args, line.as_bytes()).finish().expect(why, 2);
        }
    }
    // The line is added to what the command line asks.
    let args = ["-d", "disk:/", "min:0"];
    let outcome = Connection::open_after(&args, b"memory 1000\n").finish();
    assert!(
        outcome.stdout.contains("disk:/ ") && outcome.stdout.contains("memory "),
        "{outcome:?}"
    );
}

/// Mounts a file system whose server never answers.
const HANG: &str = "exec 5<>/dev/fuse &&
    mount -i -t fuse -o fd=5,rootmode=40000,user_id=0,group_id=0 hang \"$1\"";

#[test]
fn a_file_system_that_hangs_is_down_in_time_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let hanging = folder.path().join("d");
    fs::create_dir(&hanging).unwrap();
    let disk = format!("disk:{}", hanging.display());
    let too_long = format!("{disk}: asking the file system takes too long");
    let blocked = "asking the file system has to wait for another that takes too long";
    let silent = Server::start(hold);
    let silent_url = silent.url();
    for (args, why) in [
        (vec![disk.as_str()], vec![too_long.clone()]),
        (vec![&disk, "100", "cpu", "1000000"], vec![too_long.clone()]),
        // What is asked first has its answer.
        (vec!["disk:/", "0", &disk], vec!["disk:/ ".to_owned(), too_long.clone()]),
        // The log shows more than the reply.
        (vec!["-e", &disk, "disk:/"], vec![too_long.clone(), format!("disk:/: {blocked}")]),
        (
            vec!["-e", "-u", &silent_url, "hls", "5", &disk],
            vec![too_long.clone(), "no answer within 400 ms".to_owned()],
        ),
    ] {
        let all = [&["-d", "-t", "400"], &args[..]].concat();
        let outcome = agent_after(HANG, &hanging, &all);
        assert!(outcome.stdout.starts_with("down # "), "{outcome:?}");
        assert_eq!(outcome.exit_status, Some(1), "{outcome:?}");
        let shown = (outcome.stdout.clone() + &outcome.stderr).replace("\n         ", " ");
        for why in why {
            assert!(shown.contains(&why), "{why}: {outcome:?}");
        }
        assert!(outcome.took < TIMEOUT + TOLERANCE, "{outcome:?}");
    }
}

/// A slow statistics page takes no time from a file system.
#[test]
fn a_page_that_hangs_does_not_make_a_disk_unavailable() {
    let silent = Server::start(hold);
    let args = ["-d", "-t", "400", "-u", &silent.url(), "disk:/", "0", "hls"];
    let outcome = agent(&args);
    assert!(outcome.stdout.starts_with("down # disk:/ "), "{outcome:?}");
    assert!(outcome.took < TIMEOUT + TOLERANCE, "{outcome:?}");
}

#[test]
fn many_disks_need_one_thread() {
    let disks: Vec<String> = (0..20).map(|n| format!("disk:/{}", "./".repeat(n))).collect();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=clone,clone3", "-o"]).arg(log.path());
    let outcome = finish(command.arg(AGENT).args(disks.iter().flat_map(|disk| [disk, "1000"])));
    outcome.expect("up 100%\n", 0);
    let log = fs::read_to_string(log.path()).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn a_state_or_headers_on_a_file_system_that_hangs_leaves_a_reply_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let hanging = folder.path().join("d");
    fs::create_dir(&hanging).unwrap();
    let page = Server::fixed("a=80\n");
    let url = page.url();
    for name in ["full", "x/full"] {
        let path = hanging.join(name);
        let state = ["--recover", "80", "--state", path.to_str().unwrap()];
        let run = |args: &[&str]| {
            agent_after(HANG, &hanging, &[&["-d", "-t", "400", "-u", &url], args].concat())
        };
        for (words, reply, exit_status) in [
            (
                &["stat:a", "100"][..],
                "up 100% # stat:a 80/100; --state: using it takes too long",
                0,
            ),
            (&["stat:a", "50"], "down # stat:a 80/50; --state: using it takes too long", 1),
            (&["debug|up"], "up\n", 0),
        ] {
            let outcome = run(&[&state, words].concat());
            assert!(outcome.stdout.starts_with(reply), "{name}: {outcome:?}");
            assert_eq!(outcome.exit_status, Some(exit_status));
            assert!(outcome.took < TIMEOUT + TOLERANCE, "{outcome:?}");
        }
        let headers = run(&["--stats-headers", path.to_str().unwrap(), "stat:a", "100"]);
        let reply = "down # --stats-headers: reading it takes too long: ";
        assert!(headers.stdout.starts_with(reply), "{headers:?}");
        assert!(headers.took < TIMEOUT + TOLERANCE, "{headers:?}");
    }
}
