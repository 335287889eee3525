//! The release binary: a small, static file that needs no other file than those of /proc.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::remove_cargo_variables;

/// Builds the release binary, so that the tests never look at an old one.
fn release_binary() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    remove_cargo_variables(&mut build);
    build.args(["build", "--release", "--quiet", "--target-dir"]).arg(target);
    assert!(build.status().unwrap().success());
    target.join("release/haproxy-agent-check")
}

#[test]
fn the_binary_is_stripped_static_and_at_most_4_mb() {
    let binary = release_binary();
    assert!(fs::metadata(&binary).unwrap().len() <= 4_000_000);
    let headers = Command::new("readelf").arg("-lS").arg(&binary).output().unwrap();
    let headers = String::from_utf8(headers.stdout).unwrap();
    assert!(headers.contains(".text") && headers.contains("LOAD"), "{headers}");
    for absent in ["INTERP", ".symtab", ".debug_info"] {
        assert!(!headers.contains(absent), "{absent}");
    }
}

/// Runs a copy of the binary as /agent in a root folder that is otherwise empty.
fn in_empty_root(with_proc: bool, args: &[&str]) -> String {
    let root = tempfile::tempdir().unwrap();
    fs::copy(release_binary(), root.path().join("agent")).unwrap();
    fs::create_dir(root.path().join("proc")).unwrap();
    let mount = if with_proc { "mount -t proc proc \"$0/proc\" && " } else { "" };
    let script = format!("{mount}exec chroot \"$0\" /agent \"$@\"");
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "--pid", "--fork", "sh", "-c", &script])
        .arg(Path::new(root.path()))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_binary_answers_in_an_empty_root_folder_with_proc() {
    assert_eq!(in_empty_root(true, &["cpu", "1000000"]), "up 100%\n");
    assert_eq!(in_empty_root(true, &["cpu", "0"]), "down\n");
}

#[test]
fn without_proc_the_machine_does_not_count_as_idle() {
    let reply = in_empty_root(false, &["--describe", "cpu", "1000000"]);
    assert!(reply.starts_with("down # cpu: cannot read /proc/loadavg"), "{reply}");
}
