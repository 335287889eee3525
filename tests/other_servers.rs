//! Every line of docs/other-servers.md: against a page in the format of the server that it is for, and where the
//! server can be installed, against the real one.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use common::haproxy::Haproxy;
use common::namespace::OwnNetwork;
use common::*;

/// The file with headers that the lines of the page name.
const HEADERS_FILE: &str = "/etc/haproxy-agent-check.headers";

/// The headers that the page shows for OvenMediaEngine, Ant Media Server and Wowza.
const OME: &str = "Authorization: Basic b21lLWFjY2Vzcy10b2tlbg==";
const ANT_MEDIA: &str = "ProxyAuthorization: eyJhbGciOiJIUzI1NiJ9...";
const WOWZA: &str = "Accept: application/json";

const WOWZA_APPLICATION: &str =
    "/v2/servers/_defaultServer_/vhosts/_defaultVHost_/applications/live/monitoring/current";
const NODE_EXPORTER: &str =
    "/metrics?collect%5B%5D=loadavg&collect%5B%5D=meminfo&collect%5B%5D=netstat";

/// A server's page: its port and path, the header that it demands or "", and the fixture in its format.
const PAGES: [(u16, &str, &str, &str); 15] = [
    (9998, "/metrics?type=paths", "", "mediamtx-paths.prom"),
    (9998, "/metrics", "", "mediamtx.prom"),
    (6789, "/metrics", "", "livekit.prom"),
    (8080, "/colibri/stats", "", "jitsi.json"),
    (9972, "/metrics", "", "srs.prom"),
    (1985, "/api/v1/summaries", "", "srs.json"),
    (8081, "/v1/stats/current", OME, "ovenmediaengine.json"),
    (5080, "/rest/v2/system-resources", ANT_MEDIA, "ant-media.json"),
    (
        5080,
        "/LiveApp/rest/v2/broadcasts/total-broadcast-statistics",
        "",
        "ant-media-application.json",
    ),
    (8087, "/v2/machine/monitoring/current", WOWZA, "wowza-machine.json"),
    (8087, WOWZA_APPLICATION, WOWZA, "wowza-application.json"),
    (8080, "/status/format/prometheus", "", "nginx-vts.prom"),
    (8405, "/metrics?scope=global&scope=backend", "", "haproxy.prom"),
    (9100, NODE_EXPORTER, "", "node-exporter.prom"),
    (9100, "/metrics?collect%5B%5D=filesystem", "", "node-exporter.prom"),
];

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/servers").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The commands of the page: the lines of its blocks with the tag `tests`.
fn lines() -> Vec<&'static str> {
    let page = include_str!("../docs/other-servers.md");
    let blocks = page.split("\n```tests\n").skip(1);
    let lines: Vec<&str> = blocks.flat_map(|block| block.split("\n```").next()).collect();
    assert!(lines.iter().all(|line| line.starts_with("haproxy-agent-check ")), "{lines:?}");
    lines
}

/// Serves every page of this port.
fn serve(port: u16) -> Server {
    Server::answering_at(SocketAddr::from(([127, 0, 0, 1], port)), move |stream, head| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let page = PAGES.iter().find(|page| (page.0, page.1) == (port, path));
        let answer = match page {
            None => response("404 Not Found", b""),
            Some((_, _, header, _)) if !sends(head, header) => response("401 Unauthorized", b""),
            Some((_, _, _, name)) => response("200 OK", fixture(name).as_bytes()),
        };
        let _ = stream.write_all(&answer);
    })
}

/// Whether a request has this header; the case of its name does not matter.
fn sends(head: &str, header: &str) -> bool {
    let Some((name, value)) = header.split_once(':') else {
        return true;
    };
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    headers.any(|sent| sent.0.eq_ignore_ascii_case(name) && sent.1 == value)
}

/// Runs a line of the page in a shell, with these headers in the file that it names, and with --explain.
fn run(line: &str, headers: &str) -> Outcome {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, headers).unwrap();
    let line = line.replace(HEADERS_FILE, file.path().to_str().unwrap());
    let folder = Path::new(AGENT).parent().unwrap().display();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    finish(Command::new("sh").args(["-c", &format!("{line} --explain")]).env("PATH", path))
}

#[test]
fn every_line_reads_the_page_of_its_server() {
    let network = OwnNetwork::new(&[]);
    network.run(|| {
        let ports: BTreeSet<u16> = PAGES.iter().map(|page| page.0).collect();
        let servers: Vec<Server> = ports.into_iter().map(serve).collect();
        let headers = [OME, ANT_MEDIA, WOWZA].join("\n");
        let mut asked = 0;
        for line in lines() {
            let outcome = run(line, &headers);
            assert!(outcome.stdout.starts_with("up 100% # "), "{line}: {outcome:?}");
            assert_eq!(outcome.exit_status, Some(0));
            asked += 1;
            // Without the right headers, the page is not shown.
            if line.contains("--stats-headers") {
                let denied = run(line, "X: y");
                assert!(denied.stdout.ends_with(": answered HTTP 401\n"), "{line}: {denied:?}");
                asked += 1;
            }
        }
        let requests: usize = servers.iter().map(|server| server.requests().len()).sum();
        assert_eq!(requests, asked);
        // Every page of the table is one of a line.
        for (port, path, ..) in PAGES {
            let url = format!("http://127.0.0.1:{port}{path}");
            let is_line = |line: &&str| line.split([' ', '\'']).any(|word| word == url);
            assert!(lines().iter().any(is_line), "{url}");
        }
    });
}

#[test]
fn the_values_are_those_of_the_page() {
    for (name, values) in [
        ("mediamtx-paths.prom", &[("paths{state=ready}", 3.0)][..]),
        ("jitsi.json", &[("graceful_shutdown", 0.0)]),
        ("srs.json", &[(".data.self.cpu_percent", 0.31), ("cpu_percent", 0.31)]),
        ("nginx-vts.prom", &[("nginx_vts_main_connections{status=\"active\"}", 911.0)]),
    ] {
        let server = Server::fixed(fixture(name));
        for (key, value) in values {
            let described = |limit: String| {
                agent(&["-d", "-u", &server.url(), &format!("stat:{key}"), &limit]).stdout
            };
            assert!(described(format!("{value}")).starts_with("down # stat:"), "{name} {key}");
            assert!(described(format!("{}", value + 0.001)).starts_with("up 100% # "), "{name}");
        }
    }
}

/// An idle MediaMTX has no series with labels, but the sums without labels are there.
#[test]
fn an_idle_mediamtx_is_up_by_sums_and_down_by_labels() {
    let server = Server::fixed(fixture("mediamtx-idle.prom"));
    let ask = |words: &str| agent(&["-u", &server.url(), words]);
    ask("stat:paths 200 stat:paths_readers 1500").expect("up 100%\n", 0);
    ask("stat:paths{state=ready} 200").expect("down\n", 1);
}

/// A page over HTTP/1.1, without its head.
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn the_line_for_haproxy_reads_a_real_haproxy() {
    let network = OwnNetwork::new(&[]);
    network.run(|| {
        let server = Server::fixed("www");
        let exporter = "frontend prometheus
    mode http
    bind 127.0.0.1:8405
    http-request use-service prometheus-exporter if { path /metrics }
backend www
    mode http";
        let check = format!("server www1 {} check inter 100ms", server.address);
        let haproxy = Haproxy::start(&[exporter.to_owned(), check]);
        haproxy.wait_for("www/www1", "UP");
        let line = lines().into_iter().find(|line| line.contains(":8405/")).unwrap();
        let up = run(line, "");
        assert!(up.stdout.starts_with("up 100% # "), "{up:?}");
        drop(server);
        haproxy.wait_for("www/www1", "DOWN");
        let down = run(line, "");
        let reason = "stat:haproxy_backend_active_servers{proxy=www} 0/min:0";
        assert!(down.stdout.starts_with(&format!("down # {reason}")), "{down:?}");
    });
}

/// The real exporter of Debian. What it reports depends on the machine, so the values are compared with its page.
#[test]
fn the_lines_for_node_exporter_read_a_real_one() {
    let network = OwnNetwork::new(&[]);
    network.run(|| {
        let address: SocketAddr = "127.0.0.1:9100".parse().unwrap();
        let exporter = Command::new("prometheus-node-exporter")
            .args(["--web.listen-address=127.0.0.1:9100", "--log.level=error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let _exporter = Process(exporter.expect("prometheus-node-exporter is installed"));
        wait_for_listener(address);
        let lines: Vec<&str> = lines().into_iter().filter(|line| line.contains(":9100/")).collect();
        assert_eq!(lines.len(), 2);
        for line in lines {
            let url = line.split('\'').find(|word| word.starts_with("http://")).unwrap();
            let page = get(address, url.strip_prefix("http://127.0.0.1:9100").unwrap());
            let outcome = run(line, "");
            let keys = line.split(['\'', ' ']).filter_map(|word| word.strip_prefix("stat:"));
            for key in keys {
                // The page writes labels as {name="value"}.
                let (name, label) = key.split_once('{').unwrap_or((key, ""));
                let label = label.replace('=', "=\"").replace('}', "\"");
                let is_sample = |line: &&str| line.starts_with(name) && line.contains(&label);
                let has_sample = page.lines().any(|line| is_sample(&line));
                let is_missing = outcome.stderr.contains(&format!("stat:{key}: no "));
                assert_eq!(has_sample, !is_missing, "{key}: {outcome:?}");
            }
        }
    });
}
