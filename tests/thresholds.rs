//! Thresholds: the agent compares values of the statistics page and of the machine with limits.

mod common;

use std::io::Write;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::namespace::OwnNetwork;
use common::*;

/// Each threshold on the page, with the keys whose values it adds up.
const METRICS: [(&str, &[&str]); 6] = [
    ("publishers", &["streams_webrtc_in", "streams_rtmp_in", "streams_rtsp_in"]),
    ("subscribers", &["streams_webrtc_out", "streams_rtmp_out", "streams_rtsp_out"]),
    ("hls", &["streams_hls"]),
    ("band-in", &["global_bandwidth_in"]),
    ("band-out", &["global_bandwidth_out"]),
    ("stat:ports_media_busy", &["ports_media_busy"]),
];

/// A page on which the sum of `keys` is `total`.
fn values_with_sum<'a>(keys: &[&'a str], total: &'a str) -> Vec<(&'a str, &'a str)> {
    let (first, rest) = keys.split_first().unwrap();
    let rest = rest.iter().map(|key| (*key, "0"));
    let others = [("streams_viewers", "test/0"), ("connections", "999")];
    [(*first, total)].into_iter().chain(rest).chain(others).collect()
}

#[test]
fn each_threshold_is_down_at_its_limit_and_above_in_both_formats() {
    for (name, keys) in METRICS {
        for page in [text_page, json_page] {
            for (value, line, status) in
                [("41", "up 100%\n", 0), ("42", "down\n", 1), ("43", "down\n", 1)]
            {
                let server = Server::fixed(page(&values_with_sum(keys, value)));
                agent(&["-u", &server.url(), name, "42"]).expect(line, status);
                assert_eq!(server.requests().len(), 1, "{name}");
            }
        }
    }
}

#[test]
fn each_threshold_has_its_default_limit() {
    for (name, keys) in &METRICS[..5] {
        for (value, line, status) in [("99", "up 100%\n", 0), ("100", "down\n", 1)] {
            let server = Server::fixed(text_page(&values_with_sum(keys, value)));
            agent(&["-u", &server.url(), name]).expect(line, status);
        }
    }
}

#[test]
fn a_sum_adds_all_its_keys_and_ignores_missing_ones() {
    for (name, keys) in &METRICS[..2] {
        let all: Vec<_> = keys.iter().map(|key| (*key, "2")).collect();
        let server = Server::fixed(text_page(&all));
        agent(&["-u", &server.url(), name, "6"]).expect("down\n", 1);
        agent(&["-u", &server.url(), name, "6.5"]).expect("up 100%\n", 0);
        for key in *keys {
            let server = Server::fixed(json_page(&[(key, "2")]));
            agent(&["-u", &server.url(), name, "2"]).expect("down\n", 1);
            agent(&["-u", &server.url(), name, "2.01"]).expect("up 100%\n", 0);
        }
    }
}

#[test]
fn json_values_may_be_numbers_in_groups_of_any_name() {
    let page = r#"{"stream": {"streams_hls": 7}, "x": {"y": {"global_bandwidth_in": 80.5}}}"#;
    let server = Server::fixed(page);
    let url = server.url();
    agent(&["-u", &url, "hls", "8", "band-in", "80.6"]).expect("up 100%\n", 0);
    agent(&["-u", &url, "hls", "7", "band-in", "80.6"]).expect("down\n", 1);
    agent(&["-u", &url, "hls", "8", "band-in", "80.5"]).expect("down\n", 1);
}

/// Runs the agent with these load averages in /proc/loadavg.
fn agent_under_load(loads: &str, args: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("loadavg");
    std::fs::write(&file, format!("{loads} 1/100 1234\n")).unwrap();
    let script = "mount --bind \"$1\" /proc/loadavg && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    finish(command.arg(&file).arg(AGENT).args(args))
}

#[test]
fn cpu_is_the_chosen_load_average_divided_by_the_online_processors() {
    let online = Command::new("getconf").arg("_NPROCESSORS_ONLN").output().unwrap();
    let online: f64 = String::from_utf8(online.stdout).unwrap().trim().parse().unwrap();
    // 10, 50 and 200 percent.
    let loads = format!("{:.2} {:.2} {:.2}", online * 0.1, online * 0.5, online * 2.0);
    for (args, line, status) in [
        (&["cpu", "49"][..], "down\n", 1),
        (&["cpu", "50"], "down\n", 1),
        (&["cpu", "50%"], "down\n", 1),
        (&["cpu", "51"], "up 100%\n", 0),
        (&["cpu"], "up 100%\n", 0),
        (&["--load", "5", "cpu", "50"], "down\n", 1),
        (&["--load", "1", "cpu", "10.1"], "up 100%\n", 0),
        (&["--load", "1", "cpu", "10"], "down\n", 1),
        (&["--load", "15", "cpu", "200"], "down\n", 1),
        (&["--load=15", "cpu", "200.1%"], "up 100%\n", 0),
    ] {
        agent_under_load(&loads, args).expect(line, status);
    }
}

#[test]
fn cpu_does_not_depend_on_the_affinity_of_the_process() {
    let args = ["-c", "0", AGENT, "--describe", "cpu", "1000000"];
    let pinned = finish(Command::new("taskset").args(args));
    let free = agent(&["--describe", "cpu", "1000000"]);
    // The load average may change a little between the runs. A wrong number of processors changes it by a
    // factor.
    let percent = |outcome: &Outcome| -> f64 {
        let value = outcome.stdout.strip_prefix("up 100% # cpu ").unwrap();
        value.strip_suffix("/1000000\n").unwrap().parse().unwrap()
    };
    assert!((percent(&pinned) - percent(&free)).abs() < 20.0, "{pinned:?} {free:?}");
}

#[test]
fn without_sys_processors_are_counted_in_proc_stat() {
    let no_sys = |stat: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), stat).unwrap();
        let loads = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(loads.path(), "0.00 3.00 0.00 1/100 1234\n").unwrap();
        let script = "mount -t tmpfs none /sys && mount --bind \"$1\" /proc/stat &&
            mount --bind \"$2\" /proc/loadavg && shift 2 && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command.arg(file.path()).arg(loads.path()).arg(AGENT);
        finish(command.args(["--describe", "cpu", "1000"]))
    };
    let line = |name: &str| format!("{name} 1 0 1 9 0 0 0 0 0 0\n");
    let four = ["cpu", "cpu0", "cpu1", "cpu2", "cpu3"].map(line).concat();
    no_sys(&four).expect("up 100% # cpu 75/1000\n", 0);
    let why = "down # cpu: cannot count the processors in /sys or /proc/stat\n";
    no_sys("").expect(why, 1);
}

#[test]
fn a_load_average_that_cannot_be_understood_is_down() {
    for loads in ["", "x x x", "0.00 nan 0.00", "0.00"] {
        let outcome = agent_under_load(loads, &["--describe", "cpu"]);
        outcome.expect("down # cpu: cannot understand /proc/loadavg\n", 1);
    }
}

#[test]
fn cpu_alone_contacts_nothing() {
    let server = Server::fixed("");
    agent(&["-u", &server.url(), "cpu", "1000000"]).expect("up 100%\n", 0);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn without_a_request_keys_that_are_not_reported_are_skipped() {
    let server = Server::fixed(text_page(&[("streams_hls", "99"), ("connections", "1")]));
    let outcome = agent_under_load("0.00 0.00 0.00", &["-u", &server.url()]);
    outcome.expect("up 100%\n", 0);
    let server = Server::fixed(text_page(&[("streams_hls", "100")]));
    agent_under_load("0.00 0.00 0.00", &["-u", &server.url()]).expect("down\n", 1);
    let server = Server::fixed(text_page(&[("streams_hls", "99")]));
    let url = server.url();
    agent_under_load("1000000 1000000 1000000", &["-u", &url]).expect("down\n", 1);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn without_a_request_a_page_that_reports_none_of_the_keys_is_down() {
    let why = "the statistics page reports none of publishers, subscribers, hls, band-in, band-out";
    let (idle, busy) = ("0.00 0.00 0.00", "1000000 1000000 1000000");
    for page in
        [&b"error=500"[..], b"connections=1\n", b"{\"error\": 500}", b"{\"a\": {\"b\": \"c\"}}"]
    {
        let server = Server::fixed(page);
        agent_under_load(idle, &["-u", &server.url()]).expect("down\n", 1);
        let outcome = agent_under_load(idle, &["-d", "-u", &server.url()]);
        outcome.expect(&format!("down # {why}\n"), 1);
        let outcome = agent_under_load(idle, &["-e", "-u", &server.url()]);
        let problem = format!("problem  {why}").split(' ').take(9).collect::<Vec<_>>().join(" ");
        assert!(outcome.stderr.contains(&problem), "{outcome:?}");
        assert!(!outcome.stderr.contains("skipped"), "{outcome:?}");
        let outcome = agent_under_load(busy, &["-d", "-u", &server.url()]);
        assert!(outcome.stdout.starts_with("down # cpu "), "{outcome:?}");
        assert!(
            outcome.stdout.contains("/90; the statistics page reports none of "),
            "{outcome:?}"
        );
    }
}

#[test]
fn without_a_request_a_page_with_one_of_the_keys_is_judged() {
    for (_, keys) in &METRICS[..5] {
        for key in *keys {
            for page in [text_page, json_page] {
                for (value, reply, status) in [("99", "up 100%\n", 0), ("100", "down\n", 1)] {
                    let server = Server::fixed(page(&[("error", "500"), (key, value)]));
                    let outcome = agent_under_load("0.00 0.00 0.00", &["-u", &server.url()]);
                    outcome.expect(reply, status);
                }
            }
        }
    }
    let server = Server::fixed("error=500\nstreams_hls=many\n");
    let outcome = agent_under_load("0.00 0.00 0.00", &["-d", "-u", &server.url()]);
    outcome.expect("down # hls: the value is not a number of 0 or more\n", 1);
}

#[test]
fn thresholds_of_a_line_are_not_the_default_request() {
    let server = Server::fixed("error=500");
    let url = server.url();
    let ask = |line: &str| Connection::open_after(&["-d", "-u", &url], line.as_bytes()).finish();
    let outcome = ask("cpu 1000000\n");
    assert!(outcome.stdout.starts_with("up 100% # cpu "), "{outcome:?}");
    assert!(server.requests().is_empty(), "only the named values are measured");
    ask("hls 5\n").expect("down # hls: no streams_hls on the statistics page\n", 1);
    // An empty line is no request.
    assert!(ask("\n").stdout.contains("the statistics page reports none of "));
}

#[test]
fn without_a_stats_url_the_agent_asks_port_8081_of_this_machine() {
    OwnNetwork::new(&[]).run(|| {
        let why = "down # statistics page http://127.0.0.1:8081/: refused the connection\n";
        agent(&["-d", "hls"]).expect(why, 1);
        let page = text_page(&[("streams_hls", "5")]);
        let server = Server::page_at(([127, 0, 0, 1], 8081).into(), Arc::new(Mutex::new(page)));
        agent(&["-d", "hls"]).expect("up 100% # hls 5/100\n", 0);
        agent_under_load("0.00 0.00 0.00", &["-d"]).expect("up 100% # hls 5/100 cpu 0/90\n", 0);
        for request in server.requests() {
            assert!(request.starts_with("GET /?action=stat HTTP/1.1\r\n"), "{request}");
            assert!(request.to_ascii_lowercase().contains("\r\nhost: 127.0.0.1:8081\r\n"));
        }
        assert_eq!(server.requests().len(), 2);
    });
}

#[test]
fn without_a_request_the_fixtures_are_up() {
    for page in ["stat.txt", "stat.json"] {
        let page = std::fs::read(format!("tests/fixtures/wcs/{page}")).unwrap();
        let server = Server::fixed(page);
        agent_under_load("0.00 0.00 0.00", &["-u", &server.url()]).expect("up 100%\n", 0);
    }
}

#[test]
fn a_named_key_that_is_not_reported_is_down_and_says_what_to_change() {
    let server = Server::fixed(text_page(&[("connections", "1")]));
    for (name, _) in METRICS {
        agent(&["-u", &server.url(), name, "1000"]).expect("down\n", 1);
    }
    let describe = |name| agent(&["-d", "-u", &server.url(), name, "1000"]).stdout;
    assert_eq!(
        describe("band-in"),
        "down # band-in: no global_bandwidth_in; \
         set global_bandwidth_check_enabled=true in flashphoner.properties\n"
    );
    assert_eq!(describe("stat:abc"), "down # stat:abc: no abc on the statistics page\n");
    assert!(describe("publishers").contains("streams_webrtc_in"));
}

#[test]
fn a_value_that_is_not_a_number_is_down_only_if_it_is_asked_for() {
    let page = [("streams_viewers", "test/0"), ("streams_hls", "1"), ("x", "-1"), ("y", "NaN")];
    for format in [text_page, json_page] {
        let server = Server::fixed(format(&page));
        agent(&["-u", &server.url(), "hls", "2"]).expect("up 100%\n", 0);
        for key in ["stat:streams_viewers", "stat:x", "stat:y"] {
            agent(&["-u", &server.url(), key, "1000"]).expect("down\n", 1);
        }
        let outcome = agent(&["-d", "-u", &server.url(), "stat:streams_viewers", "5"]);
        let why = "stat:streams_viewers: the value is not a number of 0 or more";
        assert_eq!(outcome.description(), Some(why));
    }
}

#[test]
fn a_sum_that_overflows_is_down() {
    let page = [("streams_rtmp_in", "1e308"), ("streams_rtsp_in", "1e308")];
    let server = Server::fixed(text_page(&page));
    let limit = "9".repeat(308);
    let outcome = agent(&["-d", "-u", &server.url(), "publishers", &limit]);
    outcome.expect("down # publishers: the value is not a number of 0 or more\n", 1);
}

#[test]
fn of_a_repeated_threshold_the_last_limit_wins() {
    let server = Server::fixed(text_page(&[("streams_hls", "10")]));
    let url = server.url();
    agent(&["-u", &url, "hls", "5", "hls", "20"]).expect("up 100%\n", 0);
    agent(&["-u", &url, "hls", "20", "hls", "5"]).expect("down\n", 1);
    agent(&["-u", &url, "hls 20 hls 5"]).expect("down\n", 1);
}

#[test]
fn a_limit_of_zero_is_always_reached() {
    let server = Server::fixed(text_page(&[("streams_hls", "0")]));
    agent(&["-u", &server.url(), "hls", "0"]).expect("down\n", 1);
    agent(&["cpu", "0"]).expect("down\n", 1);
}

#[test]
fn an_unavailable_page_is_down_in_time_with_the_reason() {
    let page = |body: &'static [u8]| {
        Server::start(move |stream| {
            let _ = stream.write_all(&response("200 OK", body));
        })
    };
    let mut faults = faults::http_servers();
    faults.extend([
        (page(b"<html lang=\"en\">"), "holds no statistics"),
        (page(b""), "holds no statistics"),
        (page(b"{\"a\": {\"streams_hls\": 1}"), "holds no valid JSON"),
    ]);
    for (server, why) in faults {
        let args = ["-d", "-t", "400", "-u", &server.url(), "hls", "1000"];
        let outcome = agent(&args);
        let expected = format!("down # statistics page http://{}/: {why}", server.address);
        assert!(outcome.stdout.starts_with(&expected), "{why}: {outcome:?}");
        assert!(outcome.stdout.ends_with('\n') && outcome.stdout.len() <= 108, "{outcome:?}");
        assert_eq!(outcome.exit_status, Some(1));
        assert!(outcome.took < Duration::from_millis(400) + TOLERANCE, "{why}: {outcome:?}");
        agent(&["-t", "400", "-u", &server.url()]).expect("down\n", 1);
    }
}

#[test]
fn a_page_of_exactly_one_mebibyte_is_read() {
    let mut page = text_page(&[("streams_hls", "1")]);
    page.resize((1 << 20) - 16, b'\n');
    page.extend(b"streams_late=12\n");
    assert_eq!(page.len(), 1 << 20);
    let server = Server::fixed(page);
    agent(&["-u", &server.url(), "hls", "2", "stat:streams_late", "12"]).expect("down\n", 1);
    agent(&["-u", &server.url(), "hls", "2", "stat:streams_late", "13"]).expect("up 100%\n", 0);
}

#[test]
fn a_server_that_does_not_listen_or_resolve_is_down() {
    let address = free_address();
    let url = format!("http://{address}/?action=stat");
    let why = format!("down # statistics page http://{address}/: refused the connection\n");
    agent(&["-d", "-u", &url, "hls"]).expect(&why, 1);
    let why = "down # statistics page http://wcs.invalid/: has a host name that does not resolve\n";
    agent(&["-d", "-u", "http://wcs.invalid/", "hls"]).expect(why, 1);
    agent(&["-u", "http://wcs.invalid/"]).expect("down\n", 1);
}

#[test]
fn a_host_name_is_resolved() {
    let server = Server::fixed(text_page(&[("streams_hls", "1")]));
    let url = format!("http://localhost:{}/", server.address.port());
    agent(&["-u", &url, "hls", "2"]).expect("up 100%\n", 0);
    let request = server.requests().pop().unwrap().to_ascii_lowercase();
    assert!(request.contains(&format!("host: localhost:{}\r\n", server.address.port())));
}

#[test]
fn proxies_in_the_environment_are_ignored() {
    let server = Server::fixed(text_page(&[("streams_hls", "1")]));
    let proxy = format!("http://{}/", free_address());
    let mut command = Command::new(AGENT);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"] {
        command.env(name, &proxy);
    }
    finish(command.args(["-u", &server.url(), "hls", "2"])).expect("up 100%\n", 0);
}

#[test]
fn the_tightest_values_are_described_first() {
    let page = [("streams_hls", "3"), ("global_bandwidth_in", "40.25"), ("streams_rtmp_in", "0")];
    let server = Server::fixed(text_page(&page));
    let args = ["-d", "-u", &server.url(), "publishers", "9", "hls", "30", "band-in", "50"];
    agent(&args).expect("up 100% # band-in 40.2/50Mbps hls 3/30 publishers 0/9\n", 0);
    let args = ["-d", "-u", &server.url(), "publishers", "9", "hls", "3", "band-in", "50"];
    agent(&args).expect("down # hls 3/3 band-in 40.2/50Mbps publishers 0/9\n", 1);
    let args = ["-d", "-u", &server.url(), "hls", "3", "stat:gone", "9", "band-in", "50"];
    agent(&args).expect("down # hls 3/3; stat:gone: no gone on the statistics page\n", 1);
}

#[test]
fn a_long_url_leaves_room_for_the_reason() {
    let long = "quite/long/".repeat(20);
    let url = format!("http://{}/{long}", free_address());
    let outcome = agent(&["-d", "-u", &url, "hls"]);
    assert!(outcome.stdout.ends_with("...: refused the connection\n"), "{outcome:?}");
    let url = format!("http://{}invalid/", "media-server-01.compute.internal.".repeat(4));
    let outcome = agent(&["-d", "-u", &url, "hls"]);
    assert!(
        outcome.stdout.ends_with("...: has a host name that does not resolve\n"),
        "{outcome:?}"
    );
}

/// A command that runs the agent in a network namespace, after the shell commands of `set_up`.
/// `resolv_conf` is the content of /etc/resolv.conf there.
fn agent_in_namespace(set_up: &str, resolv_conf: &str) -> (Command, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, resolv_conf).unwrap();
    let script = format!(
        "ip link set lo up && mount --bind \"$1\" /etc/resolv.conf || exit\nshift\n{set_up} exec \"$@\""
    );
    let mut command = Command::new("unshare");
    // A process namespace too: when its first process, the agent, ends, so do all others.
    command.args(["--map-root-user", "--mount", "--net", "--pid", "--fork", "--kill-child"]);
    command.args(["sh", "-c", &script, "sh"]);
    command.arg(file.path()).arg(AGENT);
    (command, file)
}

#[test]
fn a_silent_name_server_delays_neither_the_reply_nor_a_request_line() {
    let silent = "socat -u UDP4-RECV:53,bind=127.0.0.9 /dev/null </dev/null >/dev/null 2>&1 &
                  until grep -q :0035 /proc/net/udp; do :; done; ";
    let args = ["-d", "-t", "600", "-u", "http://wcs.example/", "hls", "9"];
    let (mut command, _file) = agent_in_namespace(silent, "nameserver 127.0.0.9\n");
    let outcome = Connection::open_to(command.args(args), b"").finish();
    let why = "down # statistics page http://wcs.example/: \
               has a host name that did not resolve within 600 ms\n";
    outcome.expect(why, 1);
    assert!(outcome.took < Duration::from_millis(600) + TOLERANCE, "{outcome:?}");

    // With two name servers, the line comes while the agent waits for the first. It then asks neither any
    // more.
    for servers in ["nameserver 127.0.0.9\n", "nameserver 127.0.0.9\nnameserver 127.0.0.9\n"] {
        let args = ["-t", "10s", "-u", "http://wcs.example/"];
        let (mut command, _file) = agent_in_namespace(silent, servers);
        let mut connection = Connection::open_to(command.args(args), b"");
        thread::sleep(Duration::from_millis(300));
        connection.send(b"cpu 1000000");
        let outcome = connection.finish();
        outcome.expect("up 100%\n", 0);
        assert!(outcome.took < Duration::from_secs(4), "{outcome:?}");
    }
}

/// A listener whose queue is full, so that connecting to it does not end, and the connections in the queue.
fn full_listener() -> (std::net::TcpListener, Vec<std::net::TcpStream>) {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&listener, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listen(&listener, 0).unwrap();
    let listener = std::net::TcpListener::from(listener);
    let address = listener.local_addr().unwrap();
    let briefly = Duration::from_millis(100);
    let connect = || std::net::TcpStream::connect_timeout(&address, briefly).ok();
    let queue = std::iter::from_fn(connect).collect();
    (listener, queue)
}

#[test]
fn a_line_ends_the_wait_for_every_address_of_a_host() {
    let (listener, _queue) = full_listener();
    let hosts = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(hosts.path(), "127.0.0.1 twice.example\n".repeat(2)).unwrap();
    let url = format!("http://twice.example:{}/", listener.local_addr().unwrap().port());
    let script = "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    command.arg(hosts.path()).args([AGENT, "-t", "10s", "-u", &url]);
    let mut connection = Connection::open_to(&mut command, b"");
    thread::sleep(Duration::from_millis(300));
    connection.send(b"cpu 1000000\n");
    let outcome = connection.finish();
    outcome.expect("up 100%\n", 0);
    assert!(outcome.took < Duration::from_secs(4), "{outcome:?}");
}

#[test]
fn a_name_server_that_does_not_listen_is_not_waited_for() {
    let (mut command, _file) = agent_in_namespace("", "nameserver 127.0.0.9\n");
    let outcome = finish(command.args(["-d", "-t", "10s", "-u", "http://wcs.example/", "hls"]));
    let why = "down # statistics page http://wcs.example/: \
               has a host name that no name server could look up\n";
    outcome.expect(why, 1);
    assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");
}

#[test]
fn without_ipv6_the_reason_given_is_that_of_the_ipv4_address() {
    let no_ipv6 = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 && ";
    let (mut command, _file) = agent_in_namespace(no_ipv6, "");
    let outcome = finish(command.args(["-d", "-u", "http://localhost:1/", "hls"]));
    outcome.expect("down # statistics page http://localhost:1/: refused the connection\n", 1);
}

/// A TLS server with a self-signed certificate.
fn self_signed_server(folder: &std::path::Path) -> (Process, std::net::SocketAddr) {
    let (key, certificate) = (folder.join("key"), folder.join("certificate"));
    let openssl = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    assert!(openssl.expect("openssl is installed").status.success());
    tls_server("-www", folder, &key, &certificate)
}

#[test]
fn a_page_over_https_needs_a_valid_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, address) = self_signed_server(folder.path());
    let url = format!("https://localhost:{}/", address.port());
    let outcome = agent(&["-d", "-u", &url, "hls"]);
    let why = format!("down # statistics page {url}: has no valid certificate: it is self-signed");
    assert!(outcome.stdout.starts_with(&why), "{outcome:?}");
}

#[test]
fn a_server_that_does_not_speak_tls_is_down_in_time() {
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    let answer = thread::spawn(move || {
        let (mut stream, _) = plain.accept().unwrap();
        stream.write_all(&response("400 Bad Request", b"")).unwrap();
        hold(&mut stream);
    });
    let silent = Server::start(hold);
    for (address, why) in [(address, "speaks no TLS"), (silent.address, "no answer within 400 ms")]
    {
        let url = format!("https://{address}/");
        let outcome = agent(&["-d", "-t", "400", "-u", &url, "hls"]);
        outcome.expect(&format!("down # statistics page {url}: {why}\n"), 1);
        assert!(outcome.took < Duration::from_millis(400) + TOLERANCE, "{outcome:?}");
    }
    answer.join().unwrap();
}
