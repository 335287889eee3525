//! The agent under xinetd, asked by a real HAProxy. HAProxy's stats socket shows the effect of the replies.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::haproxy::Haproxy;
use common::*;

/// Two media servers, each with a statistics page and with an agent under xinetd.
struct Site {
    /// The server to which HAProxy's own health check connects, always with success.
    media: Server,
    pages: [Arc<Mutex<Vec<u8>>>; 2],
    servers: [Server; 2],
    agents: [Xinetd; 2],
}

impl Site {
    fn new(args: &str) -> Self {
        Self::with_agents(args, Xinetd::start)
    }

    /// The same, with a function that starts an agent with its arguments.
    fn with_agents(args: &str, start: impl Fn(&str) -> Xinetd) -> Self {
        let pages = [0, 1].map(|_| Arc::new(Mutex::new(Vec::new())));
        let servers = [0, 1].map(|n: usize| Server::page(pages[n].clone()));
        let agents = [0, 1]
            .map(|n: usize| start(&format!("--describe --stats-url {} {args}", servers[n].url())));
        let site = Self { media: Server::start(hold), pages, servers, agents };
        site.serve(0, "1");
        site.serve(1, "1");
        site
    }

    /// Sets the value of `hls` on a media server's page.
    fn serve(&self, server: usize, hls: &str) {
        self.serve_values(server, &[("streams_hls", hls)]);
    }

    /// Sets the values of these keys on a media server's page.
    fn serve_values(&self, server: usize, values: &[(&str, &str)]) {
        *self.pages[server].lock().unwrap() = text_page(values);
    }

    fn server_line(&self, server: usize, options: &str) -> String {
        let agent = self.agents[server].address;
        format!(
            "server wcs{} {} check agent-check agent-addr {} agent-port {} agent-inter 200ms {options}",
            server + 1,
            self.media.address,
            agent.ip(),
            agent.port(),
        )
    }
}

#[test]
fn a_server_is_down_while_a_count_reaches_its_limit() {
    let site = Site::new("hls 10");
    let haproxy = Haproxy::start(&[site.server_line(0, ""), site.server_line(1, "")]);
    haproxy.wait_for_reason("wcs1", "hls 1/10");
    assert!(haproxy.stat("wcs1", "status").starts_with("UP"));
    site.serve(0, "10");
    haproxy.wait_for("wcs1", "DOWN");
    assert!(haproxy.stat("wcs1", "last_agt").contains("hls 10/10"));
    assert!(haproxy.stat("wcs2", "status").starts_with("UP"));
    site.serve(0, "9");
    haproxy.wait_for("wcs1", "UP");
    assert_eq!(haproxy.stat("wcs1", "weight"), "1");
    assert!(haproxy.stat("wcs1", "last_agt").contains("hls 9/10"));
}

#[test]
fn each_threshold_on_the_page_takes_a_server_down_and_brings_it_up() {
    // A key of each threshold, with its limit.
    let thresholds = [
        ("publishers", "streams_webrtc_in", "20"),
        ("subscribers", "streams_rtmp_out", "30"),
        ("hls", "streams_hls", "10"),
        ("band-in", "global_bandwidth_in", "40"),
        ("band-out", "global_bandwidth_out", "50"),
    ];
    let site = Site::new(&thresholds.map(|(name, _, limit)| format!("{name} {limit}")).join(" "));
    let serve = |changed: &str, value| {
        let value_of = |key| if key == changed { value } else { "1" };
        let values = thresholds.map(|(_, key, _)| (key, value_of(key)));
        site.serve_values(0, &values);
    };
    serve("", "");
    let haproxy = Haproxy::start(&[site.server_line(0, "")]);
    haproxy.wait_for_reason("wcs1", "hls 1/10 ");
    assert!(haproxy.stat("wcs1", "status").starts_with("UP"));
    for (name, key, limit) in thresholds {
        serve(key, limit);
        haproxy.wait_for("wcs1", "DOWN");
        haproxy.wait_for_reason("wcs1", &format!("{name} {limit}/{limit}"));
        serve(key, "9.5");
        haproxy.wait_for("wcs1", "UP");
        haproxy.wait_for_reason("wcs1", &format!("{name} 9.5/{limit}"));
    }
}

/// The file that replaces /proc/loadavg for an agent.
struct LoadAverage(tempfile::NamedTempFile);

impl LoadAverage {
    /// A file that the agent, which runs as another user, can read.
    fn new() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).unwrap();
        Self(file)
    }

    /// Sets the load averages of 1, 5 and 15 minutes, relative to the number of online processors.
    fn set(&self, loads: [f64; 3]) {
        let online = Command::new("getconf").arg("_NPROCESSORS_ONLN").output().unwrap();
        let online: f64 = String::from_utf8(online.stdout).unwrap().trim().parse().unwrap();
        let [one, five, fifteen] = loads.map(|load| format!("{:08.2}", load * online));
        let line = format!("{one} {five} {fifteen} 1/100 1234\n");
        // One write of the same length: an agent never reads a part of it.
        self.0.as_file().write_all_at(line.as_bytes(), 0).unwrap();
    }
}

#[test]
fn cpu_takes_a_server_down_and_brings_it_up() {
    let load = LoadAverage::new();
    // The average of 5 minutes counts.
    let (busy, idle) = ([0.1, 0.9, 0.1], [2.0, 0.5, 2.0]);
    load.set(idle);
    let site = Site::with_agents("cpu 90", |args| {
        let mut mount = Command::new("unshare");
        let script = "mount --bind \"$1\" /proc/loadavg && shift && exec \"$@\"";
        mount.args(["--mount", "sh", "-c", script, "sh"]).arg(load.0.path());
        Xinetd::start_under(mount, args)
    });
    let haproxy = Haproxy::start(&[site.server_line(0, "")]);
    haproxy.wait_for_reason("wcs1", "cpu 50/90");
    assert!(haproxy.stat("wcs1", "status").starts_with("UP"));
    for _ in 0..2 {
        load.set(busy);
        haproxy.wait_for("wcs1", "DOWN");
        haproxy.wait_for_reason("wcs1", "cpu 90/90");
        load.set(idle);
        haproxy.wait_for("wcs1", "UP");
        haproxy.wait_for_reason("wcs1", "cpu 50/90");
    }
    assert!(site.servers[0].requests().is_empty(), "the page is not asked");
}

#[test]
fn debug_replies_change_state_weight_and_maxconn_and_take_maintenance_back() {
    let site = Site::new("--agent-send required hls 10");
    let line = |send| site.server_line(0, &format!("weight 100 maxconn 9 agent-send \"{send}\""));
    let haproxy = Haproxy::start(&[line("debug|maxconn:7 50%\\n")]);
    let expect = |reply: &str, expected: [&str; 3]| {
        let what = format!("{reply} leads to {expected:?}");
        wait_until(&what, || {
            let columns = ["status", "weight", "slim"].map(|column| haproxy.stat("wcs1", column));
            let [status, weight, maxconn] = &columns;
            let word = status.split(' ').next().unwrap();
            ([word, weight, maxconn] == expected).then_some(())
        });
    };
    let send = |reply: &str| {
        let reply = reply.replace(' ', "\\ ");
        haproxy.command(&format!("set server media/wcs1 agent-send debug|{reply}"));
    };
    expect("the first reply", ["UP", "50", "7"]);
    // HAProxy keeps what a reply does not mention. A maxconn of 0 is no limit, and shown as nothing.
    for (reply, expected) in [
        ("maxconn:3", ["UP", "50", "3"]),
        ("75%", ["UP", "75", "3"]),
        ("200% maxconn:0", ["UP", "200", ""]),
        ("down 1% maxconn:12 # why", ["DOWN", "1", "12"]),
        ("up", ["UP", "1", "12"]),
        ("fail", ["DOWN", "1", "12"]),
        ("up 100%", ["UP", "100", "12"]),
        ("stopped", ["DOWN", "100", "12"]),
        ("up", ["UP", "100", "12"]),
        ("maint", ["MAINT", "100", "12"]),
        ("ready", ["UP", "100", "12"]),
        ("drain", ["DRAIN", "100", "12"]),
        ("ready", ["UP", "100", "12"]),
        ("0%", ["UP", "0", "12"]),
        ("60%,maxconn:5", ["UP", "60", "5"]),
        ("5% drain maxconn:6", ["DRAIN", "5", "6"]),
        ("maxconn:8 100% up ready", ["UP", "100", "8"]),
    ] {
        send(reply);
        expect(reply, expected);
        if reply.contains('#') {
            haproxy.wait_for_reason("wcs1", "why");
        }
    }
    // Only `ready` takes an administrator's maintenance back.
    haproxy.command("set server media/wcs1 state maint");
    send("up 40% # not ready");
    haproxy.wait_for_reason("wcs1", "not ready");
    assert!(haproxy.stat("wcs1", "status").starts_with("MAINT"));
    send("ready 50%");
    expect("ready 50%", ["UP", "50", "8"]);
    assert!(site.servers[0].requests().is_empty(), "nothing is measured");
}

#[test]
fn a_server_is_down_in_time_when_its_page_dies_or_hangs() {
    for hangs in [false, true] {
        let mut site = Site::new("--timeout 700ms hls 10");
        let haproxy = Haproxy::start(&[site.server_line(0, "")]);
        haproxy.wait_for_reason("wcs1", "hls 1/10");
        let address = site.servers[0].address;
        // Without a listener, connections are refused. With one that never accepts, they hang.
        let dead = Server::start(hold);
        drop(std::mem::replace(&mut site.servers[0], dead));
        let hanging = hangs
            .then(|| wait_until("the port is free", || std::net::TcpListener::bind(address).ok()));
        let start = Instant::now();
        haproxy.wait_for("wcs1", "DOWN");
        let limit = Duration::from_millis(700 + 200) + TOLERANCE;
        assert!(start.elapsed() < limit, "{:?}", start.elapsed());
        let reason = if hangs { "no answer within 700 ms" } else { "refused the connection" };
        assert!(haproxy.stat("wcs1", "last_agt").contains(reason));
        drop(hanging);
    }
}

#[test]
fn agent_send_sets_a_servers_own_limits() {
    let site = Site::new("hls 10");
    site.serve(0, "5");
    site.serve(1, "5");
    for (send, reached) in [("\"hls 5\\n\"", "hls 5/5"), ("\"hls 5\"", "hls 5/5")] {
        let haproxy = Haproxy::start(&[
            site.server_line(0, &format!("agent-send {send}")),
            site.server_line(1, "agent-send \"cpu 1000000\\n\""),
        ]);
        haproxy.wait_for("wcs1", "DOWN");
        assert!(haproxy.stat("wcs1", "last_agt").contains(reached));
        haproxy.wait_for_reason("wcs2", "hls 5/10");
        assert!(haproxy.stat("wcs2", "last_agt").contains("cpu "));
        assert!(haproxy.stat("wcs2", "status").starts_with("UP"));
        site.serve(0, "4");
        haproxy.wait_for("wcs1", "UP");
        site.serve(0, "5");
    }
}

#[test]
fn a_request_that_is_not_understood_takes_the_server_down_and_is_shown() {
    let site = Site::new("hls 10");
    let haproxy = Haproxy::start(&[site.server_line(0, "agent-send \"hsl 5\\n\"")]);
    haproxy.wait_for("wcs1", "DOWN");
    assert!(haproxy.stat("wcs1", "last_agt").contains("'hsl' is none of cpu, publishers"));
}

#[test]
fn the_weight_follows_the_statistics_page() {
    let site = Site::new("--weight-from 60 hls 100");
    let haproxy = Haproxy::start(&[site.server_line(0, "weight 200")]);
    for (hls, weight) in [("1", "200"), ("80", "100"), ("99", "2"), ("90", "50"), ("10", "200")] {
        site.serve(0, hls);
        haproxy.wait_for_stat("wcs1", "weight", weight);
        assert!(haproxy.stat("wcs1", "status").starts_with("UP"));
    }
}

#[test]
fn a_server_gets_the_share_of_connections_that_its_weight_says() {
    let site = Site::new("--weight-from 60 hls 100");
    let media = [Server::fixed("media"), Server::fixed("media")];
    let line = |n: usize| {
        let agent = site.agents[n].address;
        format!(
            "server wcs{} {} check weight 200 agent-check agent-addr {} agent-port {} agent-inter 200ms",
            n + 1,
            media[n].address,
            agent.ip(),
            agent.port(),
        )
    };
    // Weights of 200 and 50.
    site.serve(1, "90");
    let haproxy = Haproxy::start(&["balance roundrobin".to_owned(), line(0), line(1)]);
    haproxy.wait_for_stat("wcs2", "weight", "50");
    for _ in 0..100 {
        let mut client = TcpStream::connect(haproxy.address).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("media"), "{answer}");
    }
    let shares = media.each_ref().map(|server| server.requests().len());
    assert_eq!(shares[0] + shares[1], 100);
    assert!((18..=22).contains(&shares[1]), "{shares:?}");
}

/// A folder that the agents, which run as another user, can read.
fn readable_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn a_maintenance_file_takes_a_server_out_and_its_removal_brings_it_back() {
    let folder = readable_folder();
    let file = folder.path().join("maint");
    let site = Site::new(&format!("--maint-file {} hls 10", file.display()));
    let haproxy = Haproxy::start(&[site.server_line(0, "")]);
    haproxy.wait_for_reason("wcs1", "hls 1/10");
    for (content, status) in [
        ("", "MAINT"),
        ("drain deploying 4.2\n", "DRAIN"),
        ("down for repair\n", "DOWN"),
        ("stopped\n", "DOWN"),
        ("something else\n", "MAINT"),
    ] {
        fs::write(&file, content).unwrap();
        haproxy.wait_for("wcs1", status);
        if status == "DOWN" {
            // HAProxy keeps the description of replies with a health word, so not of maint and drain.
            let reason = content.trim().split_once(' ').map_or("stopped", |(_, reason)| reason);
            haproxy.wait_for_reason("wcs1", reason);
        }
        fs::remove_file(&file).unwrap();
        haproxy.wait_for("wcs1", "UP");
        haproxy.wait_for_reason("wcs1", "hls 1/10");
    }
}

#[test]
fn only_an_agent_with_the_maintenance_option_undoes_an_administrators_maintenance() {
    let folder = readable_folder();
    let file = folder.path().join("maint");
    let site = Site::new("hls 10");
    let other = Site::new(&format!("--maint-file {} hls 10", file.display()));
    let haproxy = Haproxy::start(&[site.server_line(0, ""), other.server_line(1, "")]);
    haproxy.wait_for_reason("wcs1", "hls 1/10");
    haproxy.wait_for_reason("wcs2", "hls 1/10");
    haproxy.command("set server media/wcs1 state maint");
    haproxy.command("set server media/wcs2 state maint");
    let asked = site.servers[0].requests().len();
    haproxy.wait_for("wcs2", "UP");
    wait_until("the agent has answered some more", || {
        (site.servers[0].requests().len() > asked + 3).then_some(())
    });
    assert!(haproxy.stat("wcs1", "status").starts_with("MAINT"));
}

#[test]
fn an_external_check_follows_the_exit_status() {
    // The wrapper asks WCS's usual port. The test's server has another.
    let wrapper = concat!(env!("CARGO_MANIFEST_DIR"), "/haproxy/external-check/wcs");
    let script = fs::read_to_string(wrapper).unwrap();
    let page = Arc::new(Mutex::new(text_page(&[("streams_hls", "1"), ("streams_rtmp_in", "1")])));
    let server = Server::page(page.clone());
    let folder = readable_folder();
    let check = folder.path().join("check");
    let moved = script.replace(":8081/", &format!(":{}/", server.address.port()));
    assert_ne!(moved, script);
    fs::write(&check, moved).unwrap();
    fs::set_permissions(&check, fs::metadata(wrapper).unwrap().permissions()).unwrap();
    let haproxy = Haproxy::start_with(
        "external-check\n  insecure-fork-wanted",
        &[
            "option external-check".to_owned(),
            format!("external-check command {}", check.display()),
            "external-check path \"${PATH}\"".to_owned(),
            format!("server wcs1 {} check inter 200ms fall 1 rise 1", server.address),
        ],
    );
    wait_until("the page is asked", || server.requests().pop());
    haproxy.wait_for("wcs1", "UP");
    *page.lock().unwrap() = text_page(&[("streams_hls", "100"), ("streams_rtmp_in", "1")]);
    haproxy.wait_for("wcs1", "DOWN");
    *page.lock().unwrap() = text_page(&[("streams_hls", "99"), ("streams_rtmp_in", "1")]);
    haproxy.wait_for("wcs1", "UP");
}
