//! `--at-limit`: what replaces `down` when a server is at its limit, in the replies and in a real HAProxy.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use common::haproxy::Haproxy;
use common::*;

fn page(hls: &str) -> Server {
    Server::fixed(text_page(&[("streams_hls", hls)]))
}

#[test]
fn a_limit_that_is_reached_is_answered_with_the_state_of_the_option() {
    let (full, room) = (page("10"), page("5"));
    for (state, at_limit, below, unmeasured) in [
        ("down", "down", "up 100%", "down"),
        ("drain", "drain", "ready up 100%", "ready down"),
        ("0%", "up 0%", "up 100%", "down"),
        ("25%", "up 25%", "up 100%", "down"),
        ("99%", "up 99%", "up 100%", "down"),
    ] {
        let ask = |server: &Server, words: &[&str]| {
            agent(&[&["--at-limit", state, "-u", &server.url()], words].concat())
        };
        ask(&full, &["hls", "10"]).expect(&format!("{at_limit}\n"), 1);
        ask(&full, &["-d", "hls", "10"]).expect(&format!("{at_limit} # hls 10/10\n"), 1);
        ask(&room, &["hls", "10"]).expect(&format!("{below}\n"), 0);
        ask(&room, &["-d", "-w80", "hls", "10"]).expect(&format!("{below} # hls 5/10\n"), 0);
        // What is unavailable was not measured, even if another value has reached its limit.
        ask(&full, &["stat:absent", "5"]).expect(&format!("{unmeasured}\n"), 1);
        ask(&full, &["hls", "10", "stat:absent", "5"]).expect(&format!("{unmeasured}\n"), 1);
        let nothing = Server::fixed("other=1\n");
        ask(&nothing, &[]).expect(&format!("{unmeasured}\n"), 1);
    }
}

#[test]
fn a_service_that_is_bad_is_answered_with_the_state_of_the_option() {
    let server = Server::start(|stream| {
        let _ = stream.write_all(&response("503 Busy", b""));
    });
    let bad = format!("http|http://{}/", server.address);
    let good = format!("{bad}|503");
    let dead = format!("http|http://{}/", free_address());
    for (state, replies) in [
        ("drain", ["drain", "ready up", "ready fail"]),
        ("0%", ["up 0%", "up 100%", "fail"]),
        ("25%", ["up 25%", "up 100%", "fail"]),
    ] {
        for (request, reply) in [&bad, &good, &dead].into_iter().zip(replies) {
            let exit_status = i32::from(request != &good);
            agent(&["--at-limit", state, request]).expect(&format!("{reply}\n"), exit_status);
        }
    }
}

#[test]
fn with_drain_every_other_reply_begins_with_ready_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("maint");
    let full = page("10");
    let path = file.to_str().unwrap();
    let drain = |args: &[&str]| agent(&[&["--at-limit", "drain"], args].concat());
    drain(&["debug|up"]).expect("ready up\n", 0);
    drain(&["debug|ready up"]).expect("ready up\n", 0);
    drain(&["debug|drain"]).expect("ready drain\n", 1);
    assert!(drain(&["nonsense"]).stdout.starts_with("ready fail # 'nonsense'"));
    assert!(drain(&["--bogus"]).stdout.starts_with("ready fail # "));
    // With a maintenance option, every reply begins with it.
    drain(&["-m", path, "-u", &full.url(), "hls", "10"]).expect("ready drain\n", 1);
    fs::write(&file, "maint repair").unwrap();
    drain(&["-m", path, "-u", &full.url(), "hls", "10"]).expect("maint # repair\n", 1);
}

#[test]
fn any_other_state_is_misuse() {
    for state in ["", "up", "maint", "25", "100%", "-1%", "1.5%", "drain "] {
        let sentence =
            format!("--at-limit: '{state}' is not down, drain or a weight from 0% to 99%");
        let outcome = agent(&["--at-limit", state, "cpu", "1000000"]);
        outcome.expect(&format!("fail # {}\n", sentence.trim_end()), 2);
    }
}

/// A web server that answers with its own name, and the agent that checks it.
struct Media {
    page: Arc<Mutex<Vec<u8>>>,
    statistics: Server,
    media: Server,
    agent: Xinetd,
}

impl Media {
    fn new(name: &'static str, at_limit: &str) -> Self {
        let page = Arc::new(Mutex::new(text_page(&[("streams_hls", "1")])));
        let statistics = Server::page(page.clone());
        let args = format!("-d -u {} --at-limit {at_limit} hls 10", statistics.url());
        let agent = Xinetd::start(&args);
        Self { page, statistics, media: Server::fixed(name), agent }
    }

    fn serve(&self, page: &[u8]) {
        *self.page.lock().unwrap() = page.to_vec();
    }

    fn line(&self, name: &str) -> String {
        let agent = self.agent.address;
        format!(
            "server {name} {} cookie {name} weight 100 check agent-check agent-addr {} agent-port {} \
             agent-inter 100ms",
            self.media.address,
            agent.ip(),
            agent.port()
        )
    }
}

/// Two servers behind an HAProxy with cookies. The first one has just reached its limit.
fn farm(at_limit: &str) -> (Haproxy, [Media; 2]) {
    let servers = ["wcs1", "wcs2"].map(|name| Media::new(name, at_limit));
    let lines = [
        "balance roundrobin".to_owned(),
        "option redispatch".to_owned(),
        "cookie SERVER insert indirect nocache".to_owned(),
        servers[0].line("wcs1"),
        servers[1].line("wcs2"),
    ];
    let haproxy = Haproxy::start_http(&lines);
    for name in ["wcs1", "wcs2"] {
        haproxy.wait_for_reason(name, "hls 1/10");
    }
    servers[0].serve(&text_page(&[("streams_hls", "10")]));
    (haproxy, servers)
}

/// The server that answers a client with this cookie, or the status if none does.
fn served_by(address: SocketAddr, cookie: Option<&str>) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    let cookie = cookie.map_or(String::new(), |name| format!("Cookie: SERVER={name}\r\n"));
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{cookie}Connection: close\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if status == "200" { answer[answer.len() - 4..].to_owned() } else { status.to_owned() }
}

/// How many of 100 new clients the first server gets.
fn new_clients_of_first(haproxy: &Haproxy) -> usize {
    let served = (0..100).map(|_| served_by(haproxy.address, None));
    served.filter(|server| server == "wcs1").count()
}

#[test]
fn with_down_all_clients_move() {
    let (haproxy, _servers) = farm("down");
    haproxy.wait_for("wcs1", "DOWN");
    assert_eq!(served_by(haproxy.address, Some("wcs1")), "wcs2");
    assert_eq!(new_clients_of_first(&haproxy), 0);
}

#[test]
fn with_drain_and_0_percent_a_client_with_a_cookie_stays_and_new_clients_go_elsewhere() {
    for (at_limit, column, value) in [("drain", "status", "DRAIN (agent)"), ("0%", "weight", "0")] {
        let (haproxy, servers) = farm(at_limit);
        haproxy.wait_for_stat("wcs1", column, value);
        assert_eq!(served_by(haproxy.address, Some("wcs1")), "wcs1", "{at_limit}");
        assert_eq!(new_clients_of_first(&haproxy), 0, "{at_limit}");
        // If all servers are at their limits, new clients find no server.
        servers[1].serve(&text_page(&[("streams_hls", "10")]));
        haproxy.wait_for_stat("wcs2", column, value);
        assert_eq!(served_by(haproxy.address, None), "503", "{at_limit}");
        assert_eq!(served_by(haproxy.address, Some("wcs2")), "wcs2", "{at_limit}");
        for server in &servers {
            server.serve(&text_page(&[("streams_hls", "9")]));
        }
        for name in ["wcs1", "wcs2"] {
            haproxy.wait_for_stat(name, "status", "UP");
            haproxy.wait_for_stat(name, "weight", "100");
        }
        assert_eq!(new_clients_of_first(&haproxy), 50, "{at_limit}");
    }
}

#[test]
fn with_25_percent_a_quarter_of_the_new_clients_arrives_and_a_full_farm_serves_on() {
    let (haproxy, servers) = farm("25%");
    haproxy.wait_for_stat("wcs1", "weight", "25");
    assert_eq!(served_by(haproxy.address, Some("wcs1")), "wcs1");
    // 25 of 125, which is a quarter of what the other server gets.
    let share = new_clients_of_first(&haproxy);
    assert!((18..=22).contains(&share), "{share}");
    servers[1].serve(&text_page(&[("streams_hls", "10")]));
    haproxy.wait_for_stat("wcs2", "weight", "25");
    assert!((48..=52).contains(&new_clients_of_first(&haproxy)));
    servers[0].serve(&text_page(&[("streams_hls", "9")]));
    haproxy.wait_for_stat("wcs1", "weight", "100");
}

#[test]
fn a_server_that_could_not_be_measured_is_down_and_comes_back() {
    for (at_limit, column, value) in [("drain", "status", "DRAIN (agent)"), ("0%", "weight", "0")] {
        let (haproxy, servers) = farm(at_limit);
        haproxy.wait_for_stat("wcs1", column, value);
        servers[0].serve(b"");
        haproxy.wait_for("wcs1", "DOWN");
        servers[0].serve(&text_page(&[("streams_hls", "1")]));
        haproxy.wait_for_stat("wcs1", "status", "UP");
        haproxy.wait_for_stat("wcs1", "weight", "100");
    }
}

/// `drain` says nothing about health, so HAProxy keeps DOWN. `up 0%` says both.
#[test]
fn a_full_server_that_was_down_stays_down_with_drain_and_comes_back_with_0_percent() {
    for (at_limit, served) in [("drain", "wcs2"), ("0%", "wcs1")] {
        let (haproxy, servers) = farm(at_limit);
        servers[0].serve(b"");
        haproxy.wait_for("wcs1", "DOWN");
        servers[0].serve(&text_page(&[("streams_hls", "10")]));
        let asked = servers[0].statistics.requests().len();
        wait_until("the agent has answered some more", || {
            (servers[0].statistics.requests().len() > asked + 3).then_some(())
        });
        assert_eq!(served_by(haproxy.address, Some("wcs1")), served, "{at_limit}");
        servers[0].serve(&text_page(&[("streams_hls", "9")]));
        haproxy.wait_for_stat("wcs1", "status", "UP");
    }
}
