//! `--allow-url`: what a request line may name, whoever sends it and however it comes.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::antelope::get_info;
use common::namespace::OwnNetwork;
use common::requests::{form, services};
use common::tls::Authority;
use common::*;

const NOT_ALLOWED: &str = "fail # url not allowed\n";

/// A server that counts its connections.
struct CountingServer {
    server: Server,
    opened: Arc<AtomicUsize>,
}

impl CountingServer {
    fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    fn start_at(address: SocketAddr) -> Self {
        let opened = Arc::new(AtomicUsize::new(0));
        let count = opened.clone();
        let server = Server::accepting_at(address, move |stream| {
            count.fetch_add(1, Ordering::SeqCst);
            read_head(stream);
            let _ = stream.write_all(&response("200 OK", get_info(0.0).as_bytes()));
        });
        Self { server, opened }
    }

    fn port(&self) -> u16 {
        self.server.address.port()
    }

    fn origin(&self) -> String {
        format!("http://{}", self.server.address)
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

/// Every service that a request can name, with the fields of its requests and the scheme of its URLs.
fn forms() -> Vec<(String, Vec<String>, &'static str)> {
    let form = |name: String| {
        let fields = form(&name).split('|').skip(1).map(str::to_owned).collect();
        // Nothing listens on port 1.
        let refusal = agent(&[&format!("{name}|ws://127.0.0.1:1")]).stderr;
        (name, fields, if refusal.contains("than http or https") { "http" } else { "ws" })
    };
    services().into_iter().map(form).collect()
}

/// A request with these fields.
fn request(name: &str, fields: &[String], url: &str, host: &str) -> String {
    let values = fields.iter().map(|field| match field.as_str() {
        "URL" => url,
        "HOST" => host,
        _ => "",
    });
    [name].into_iter().chain(values).collect::<Vec<_>>().join("|")
}

#[test]
fn a_line_may_only_name_allowed_urls_on_a_socket_a_pipe_a_file_and_a_unix_socket() {
    type Run = fn(&[u8], &[&str]) -> Outcome;
    let server = CountingServer::start();
    let line = format!("v1|{}/|20\n", server.origin());
    let mut allowed = 0;
    for run in [agent_on_pipe as Run, agent_on_file, agent_on_socket, agent_on_unix_socket] {
        let ask = |args: &[&str]| run(line.as_bytes(), args);
        ask(&["-d"]).expect(NOT_ALLOWED, 1);
        ask(&[]).expect("fail\n", 1);
        ask(&["-d", "--agent-send", "required"]).expect(NOT_ALLOWED, 1);
        // What the command line says about the same server makes no difference.
        ask(&["-d", &line]).expect(NOT_ALLOWED, 1);
        ask(&["-d", "-u", &server.origin(), "hls"]).expect(NOT_ALLOWED, 1);
        for other in [
            server.origin().replace("http:", "https:"),
            server.origin().replace("http:", "ws:"),
            server.origin().replace("127.0.0.1", "127.0.0.2"),
            server.origin().replace("127.0.0.1", "localhost"),
            format!("http://127.0.0.1:{}", server.port() ^ 1),
            "http://127.0.0.1".to_owned(),
        ] {
            ask(&["-d", "-a", &other, "-a", "http://other"]).expect(NOT_ALLOWED, 1);
        }
        assert_eq!(server.opened(), allowed, "a server was asked that is not allowed");
        for origins in [
            &["-a", &server.origin()][..],
            &["-a", "http://other", "--allow-url", &server.origin()],
            &["--allow-url", "any"],
            &["-a", "any", "-a", "http://other"],
            &["-a", "http://other", "-a", "any"],
        ] {
            ask(origins).expect("up\n", 0);
            allowed += 1;
        }
        assert_eq!(server.opened(), allowed);
    }
}

#[test]
fn the_command_line_may_name_any_url_and_any_host() {
    let server = Server::fixed(get_info(0.0));
    let request = format!("v1|http://{}|20|other.example:1", server.address);
    agent(&[&request]).expect("up\n", 0);
    agent(&["-a", "http://other", &request]).expect("up\n", 0);
    for line in [&b""[..], b"\n"] {
        Connection::open_after(&[&request], line).finish().expect("up\n", 0);
    }
    assert!(server.requests().iter().all(|head| head.contains("ost: other.example:1\r\n")));
}

#[test]
fn every_service_is_asked_only_if_its_url_is_allowed() {
    let server = CountingServer::start();
    for (name, fields, scheme) in forms() {
        let origin = format!("{scheme}://{}", server.server.address);
        let line = request(&name, &fields, &format!("{origin}/path?query"), "");
        let before = server.opened();
        agent_on_pipe(line.as_bytes(), &["-d"]).expect(NOT_ALLOWED, 1);
        assert_eq!(server.opened(), before, "{line}");
        let asked = agent_on_pipe(line.as_bytes(), &["-d", "-a", &origin]);
        assert_ne!(asked.stdout, NOT_ALLOWED, "{line}");
        assert_eq!(server.opened(), before + 1, "{line}");
    }
}

#[test]
fn the_deprecated_order_of_a_request_is_not_a_way_around_the_rule() {
    let server = CountingServer::start();
    for name in ["v1", "v2", "atomic", "contract"] {
        for host in ["", "|5|other.example"] {
            let line = format!("{}|{name}{host}\n", server.origin());
            agent_on_socket(line.as_bytes(), &["-d"]).expect(NOT_ALLOWED, 1);
        }
        let line = format!("{}|{name}|5|other.example\n", server.origin());
        agent_on_socket(line.as_bytes(), &["-d", "-a", &server.origin()]).expect(NOT_ALLOWED, 1);
    }
    assert_eq!(server.opened(), 0);
}

#[test]
fn a_host_must_be_that_of_the_url_or_of_an_allowed_origin() {
    let server = Server::answering(|stream, _| drop(stream.write_all(&response("404 No", b""))));
    let (port, other_port) = (server.address.port(), server.address.port() ^ 1);
    let own = format!("127.0.0.1:{port}");
    let forms = forms();
    let with_host: Vec<_> =
        forms.into_iter().filter(|(_, fields, _)| fields.contains(&"HOST".to_owned())).collect();
    assert!(with_host.len() >= 5, "{with_host:?}");
    for (name, fields, scheme) in with_host {
        let url = format!("{scheme}://{own}");
        let origins = ["-d", "-a", &url, "-a", "https://Api.Example", "-a", "ws://[::1]:7000"];
        let ask = |args: &[&str], host: &str| {
            agent_on_pipe(request(&name, &fields, &url, host).as_bytes(), args)
        };
        for host in ["127.0.0.1", &own, "api.example", "API.example:443", "[::1]", "[0:0::1]:7000"]
        {
            assert_ne!(ask(&origins, host).stdout, NOT_ALLOWED, "{name} {host}");
            let head = server.requests().pop().unwrap();
            assert!(
                head.to_ascii_lowercase()
                    .contains(&format!("\nhost: {}\r", host.to_ascii_lowercase())),
                "{head}"
            );
        }
        let before = server.requests().len();
        for host in [
            "other.example",
            "127.0.0.1:80",
            &format!("127.0.0.1:{other_port}"),
            "127.0.0.2",
            "localhost",
            "api.example:80",
            &format!("api.example:{port}"),
            "api.example.",
            "www.api.example",
            "api.example.other",
            "[::1]:443",
            "::1",
            "[::1",
            "[::1]x:7000",
            "user@api.example",
            "api.example:",
            "api.example:+443",
            "api.example:443:443",
            "api.example/",
            "api.example,other.example",
            "https://api.example",
            "*",
        ] {
            ask(&origins, host).expect(NOT_ALLOWED, 1);
            ask(&["-d"], host).expect(NOT_ALLOWED, 1);
        }
        assert_eq!(server.requests().len(), before, "{name}");
        // Without the option, not even the URL's own host is allowed, and with `any` every host is.
        ask(&["-d"], &own).expect(NOT_ALLOWED, 1);
        assert_ne!(ask(&["-d", "-a", "any"], "other.example").stdout, NOT_ALLOWED);
        assert!(server.requests().pop().unwrap().contains("ost: other.example\r\n"));
    }
}

#[test]
fn origins_and_hosts_are_compared_with_their_default_ports() {
    // Nothing listens there, so this is the answer to a line that is allowed.
    const ASKED: &str = "refused the connection";
    let host = own_address().ip();
    for (origin, line, answer) in [
        ("http://X", "v1|http://X:80/a?b", ASKED),
        ("http://X:80", "v1|HTTP://X|1|X:80", ASKED),
        ("http://X:80", "v1|http://X|1|X", ASKED),
        ("ws://X/", "ship|ws://X:80", ASKED),
        ("wss://X", "ws|wss://X:443|X:443", ASKED),
        ("https://X:443", "v1|https://X|1|X:443", ASKED),
        ("https://X", "v1|https://X|1|X:80", "url not allowed"),
        ("http://X", "v1|http://X|1|X:443", "url not allowed"),
        ("http://X", "v1|http://X:8080", "url not allowed"),
        ("http://X", "v1|https://X:80", "url not allowed"),
        ("ws://X", "v1|http://X", "url not allowed"),
        ("http://X", "ws|ws://X", "url not allowed"),
        ("http://X", "v1|http://X.example", "url not allowed"),
        ("http://X", "v1|http://X:80@other.example", "user information"),
    ] {
        let text = |text: &str| text.replace('X', &host.to_string());
        let outcome = agent_on_pipe(text(line).as_bytes(), &["-d", "-a", &text(origin)]);
        assert!(outcome.stdout.contains(answer), "{origin} {line}: {outcome:?}");
    }
}

#[test]
fn any_is_written_in_lower_case() {
    for word in ["ANY", "Any", "*", "all", "any "] {
        let outcome = agent(&["--allow-url", word, "cpu", "1000000"]);
        assert!(outcome.stdout.starts_with("fail # --allow-url: "), "{outcome:?}");
        assert_eq!(outcome.exit_status, Some(2));
    }
}

#[test]
fn thresholds_and_debug_need_no_allowed_url() {
    agent_on_socket(b"cpu 1000000\n", &["--agent-send", "required"]).expect("up 100%\n", 0);
    let debug = agent_on_socket(b"debug|up # http://a\n", &["--agent-send", "required"]);
    debug.expect("up # http://a\n", 0);
}

#[test]
fn a_line_that_is_not_allowed_opens_no_socket_and_looks_up_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let calls_of = |is_socket: bool, line: &str, allowed: &[&str]| {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", "trace=socket,connect,sendto,sendmsg,open,openat", "-o"]);
        strace.arg(&log).args([AGENT, "-d", "-t", "400", "--agent-send", "required"]);
        let reply = match is_socket {
            true => Connection::open_to(strace.args(allowed), line.as_bytes()).finish().stdout,
            false => {
                let (reader, mut writer) = std::io::pipe().unwrap();
                writer.write_all(line.as_bytes()).unwrap();
                drop(writer);
                outcome(strace.args(allowed).stdin(reader).output().unwrap(), Instant::now()).stdout
            }
        };
        // The program opens files of the kernel whatever the request is.
        let is_telling = |call: &&str| !call.contains("open") || call.contains("/etc/");
        let calls = fs::read_to_string(&log).unwrap();
        (reply, calls.lines().filter(is_telling).collect::<Vec<_>>().join("\n"))
    };
    for line in [
        "v1|http://node.invalid:8888|15\n",
        "v1|https://node.invalid|15|127.0.0.1\n",
        "ws|wss://node.invalid/ws\n",
        "ship|ws://127.0.0.1:9\n",
        "v1|http://127.0.0.1:9|15|node.invalid\n",
    ] {
        for allowed in [&[][..], &["-a", "http://127.0.0.1:9"]] {
            // The first origin is not enough for the last line: it names another host.
            for is_socket in [false, true] {
                let refused = (NOT_ALLOWED.to_owned(), String::new());
                assert_eq!(calls_of(is_socket, line, allowed), refused, "{line}");
            }
        }
    }
    // The trace would show it.
    let (reply, calls) = calls_of(true, "v1|http://127.0.0.1:9\n", &["-a", "http://127.0.0.1:9"]);
    assert!(reply.contains("refused the connection") && calls.contains("connect("), "{calls}");
    let (_, calls) = calls_of(true, "v1|http://node.invalid\n", &["-a", "any"]);
    assert!(calls.contains("\"/etc/hosts\""), "{calls}");
}

#[test]
fn a_line_that_is_not_allowed_ends_the_evaluation_of_the_command_line_at_once() {
    let page = Server::start(hold);
    let mut connection = Connection::open(&["-d", "-u", &page.url(), "-t", "10s", "hls"]);
    wait_until("the page is asked", || page.requests().pop());
    let server = CountingServer::start();
    connection.send(format!("v1|{}|20\n", server.origin()).as_bytes());
    let outcome = connection.finish();
    outcome.expect(NOT_ALLOWED, 1);
    assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");
    assert_eq!(server.opened(), 0);
}

/// An address of the test's network that is not a loopback address.
const REMOTE: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

/// A way from a client to an agent: supervisors and relays, each as the words of a command, and the client's
/// end in socat's notation. `SERVICE` is a program that runs the agent, and `FOLDER` a folder for files.
struct Way {
    name: &'static str,
    servers: &'static [&'static str],
    client: &'static str,
}

/// The agent under socat, on every address.
const SOCAT: &str = "socat TCP4-LISTEN:1337,reuseaddr,fork EXEC:SERVICE,nofork";
const SOCAT_ON_IPV6: &str = "socat TCP6-LISTEN:1337,ipv6only=0,reuseaddr,fork EXEC:SERVICE,nofork";
const SOCAT_ON_UNIX: &str = "socat UNIX-LISTEN:FOLDER/agent,fork EXEC:SERVICE,nofork";

const WAYS: &[Way] = &[
    Way { name: "IPv4", servers: &[SOCAT], client: "TCP4:127.0.0.1:1337" },
    Way { name: "another IPv4 loopback", servers: &[SOCAT], client: "TCP4:127.9.9.9:1337" },
    Way { name: "IPv4 from outside", servers: &[SOCAT], client: "TCP4:10.9.9.9:1337" },
    Way { name: "IPv6", servers: &[SOCAT_ON_IPV6], client: "TCP6:[::1]:1337" },
    Way { name: "mapped IPv4", servers: &[SOCAT_ON_IPV6], client: "TCP4:127.0.0.1:1337" },
    Way { name: "mapped from outside", servers: &[SOCAT_ON_IPV6], client: "TCP4:10.9.9.9:1337" },
    Way { name: "Unix socket", servers: &[SOCAT_ON_UNIX], client: "UNIX-CONNECT:FOLDER/agent" },
    Way {
        name: "a relay to a Unix socket",
        servers: &[
            SOCAT_ON_UNIX,
            "socat TCP4-LISTEN:1338,reuseaddr,fork UNIX-CONNECT:FOLDER/agent",
        ],
        client: "TCP4:10.9.9.9:1338",
    },
    Way {
        name: "pipes",
        servers: &["socat TCP4-LISTEN:1337,reuseaddr,fork EXEC:SERVICE,pipes"],
        client: "TCP4:10.9.9.9:1337",
    },
    Way {
        name: "a relay from a loopback address",
        servers: &[SOCAT, "socat TCP4-LISTEN:1338,reuseaddr,fork TCP4:127.0.0.1:1337"],
        client: "TCP4:10.9.9.9:1338",
    },
    Way {
        name: "TLS that ends on a loopback address",
        servers: &[SOCAT, "stunnel FOLDER/stunnel.conf"],
        client: "OPENSSL:10.9.9.9:1338,verify=0",
    },
    Way {
        name: "tcpserver",
        servers: &["tcpserver -q -H -R -l 0 10.9.9.9 1337 SERVICE"],
        client: "TCP4:10.9.9.9:1337",
    },
];

/// The folder with the program that a way's servers run, and the files that they need.
fn folder_for(args: &str, authority: &Authority) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let service = folder.path().join("service");
    // socat discards the reply of a program whose exit status is not 0.
    fs::write(&service, format!("#!/bin/sh\n{AGENT} -d --agent-send required {args}\nexit 0\n"))
        .unwrap();
    fs::set_permissions(&service, fs::Permissions::from_mode(0o755)).unwrap();
    let (key, certificate) = (authority.server_key(), authority.server_certificate());
    let stunnel = format!(
        "foreground = yes\npid =\nsyslog = no\noutput = /dev/null\n[agent]\naccept = {REMOTE}:1338\n\
         connect = 127.0.0.1:1337\nkey = {}\ncert = {}\n",
        key.display(),
        certificate.display()
    );
    fs::write(folder.path().join("stunnel.conf"), stunnel).unwrap();
    (folder, service)
}

/// What a client reads that sends a line this way.
fn ask_over(way: &Way, args: &str, line: &str, authority: &Authority) -> String {
    let (folder, service) = folder_for(args, authority);
    let fill = |text: &str| {
        text.replace("SERVICE", service.to_str().unwrap())
            .replace("FOLDER", folder.path().to_str().unwrap())
    };
    let start = |server: &&str| {
        let words = fill(server);
        let mut words = words.split(' ');
        let mut command = Command::new(words.next().unwrap());
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Process(command.spawn().unwrap_or_else(|error| panic!("{server}: {error}")))
    };
    let _servers: Vec<Process> = way.servers.iter().map(start).collect();
    wait_for_servers(way, folder.path());
    let mut client = Command::new("socat");
    client.args(["-t", "10", "-", &fill(way.client)]);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    client.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap()
}

/// Waits until every server of a way listens. Sends nothing, so that no agent gets a line.
fn wait_for_servers(way: &Way, folder: &Path) {
    let listens = |port: u16| {
        let tables = ["tcp", "tcp6"].map(|table| {
            fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default()
        });
        // 0A is the state LISTEN.
        let is_listener =
            |line: &str| line.contains(&format!(":{port:04X} ")) && line.contains(" 0A ");
        tables.iter().any(|table| table.lines().any(is_listener))
    };
    for server in way.servers {
        wait_until(server, || {
            let is_ready = match server {
                _ if server.contains("UNIX-LISTEN") => folder.join("agent").exists(),
                _ if server.contains("1338") || server.contains("stunnel") => listens(1338),
                _ => listens(1337),
            };
            is_ready.then_some(())
        });
    }
}

#[test]
fn no_address_and_no_relay_lets_a_line_name_a_url_that_is_not_allowed() {
    let authority = Authority::new();
    OwnNetwork::new(&[REMOTE]).run(|| {
        let server = CountingServer::start_at((Ipv4Addr::LOCALHOST, 8888).into());
        let line = format!("v1|{}|20\n", server.origin());
        let (mut opened, allowed) = (0, format!("--allow-url {}", server.origin()));
        for way in WAYS {
            let ask = |args: &str| ask_over(way, args, &line, &authority);
            assert_eq!(ask(""), NOT_ALLOWED, "{}", way.name);
            assert_eq!(ask("--allow-url http://127.0.0.1:8889"), NOT_ALLOWED, "{}", way.name);
            assert_eq!(server.opened(), opened, "{}", way.name);
            for args in [&allowed, "--allow-url any"] {
                assert!(ask(args).starts_with("up # head block "), "{} {args}", way.name);
                opened += 1;
            }
            assert_eq!(server.opened(), opened, "{}", way.name);
        }
    });
}

/// The service files, which the tests of the supervisors run unchanged.
#[test]
fn the_shipped_services_for_api_requests_allow_any_and_that_of_a_media_server_nothing() {
    let command = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap();
        let line = text.lines().find(|line| line.trim_start().starts_with(key));
        line.unwrap_or_else(|| panic!("{file}: no {key}")).to_owned()
    };
    for (key, folder, end) in
        [("ExecStart=", "systemd", "@.service"), ("server_args ", "xinetd", "")]
    {
        let file = |name: &str| format!("{folder}/{name}{end}");
        assert!(command(&file("antelope-agent-check"), key).contains(" --allow-url any"));
        assert!(!command(&file("haproxy-agent-check"), key).contains("allow-url"));
    }
    assert!(
        fs::read_to_string("systemd/antelope-agent-check.socket")
            .unwrap()
            .contains("\nListenStream=127.0.0.1:1337\n")
    );
    let xinetd = fs::read_to_string("xinetd/antelope-agent-check").unwrap();
    assert!(xinetd.lines().any(|line| line.split_whitespace().eq(["bind", "=", "127.0.0.1"])));
    assert!(!fs::read_to_string("packaging/default").unwrap().contains("\nARGS=\"--allow-url"));
}

#[test]
fn a_line_from_another_network_namespace_may_only_name_allowed_urls() {
    // The agent and its client are in different networks, as with a container. The connection between them is
    // a socket that the client's side has handed over.
    let server = CountingServer::start();
    let line = format!("v1|{}|20\n", server.origin());
    let network = OwnNetwork::new(&[REMOTE]);
    let connect = || {
        network.run(|| {
            let listener = std::net::TcpListener::bind((REMOTE, 0)).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (client, listener.accept().unwrap().0)
        })
    };
    for (args, reply) in
        [(&["-d"][..], NOT_ALLOWED), (&["-a", &server.origin()], "up\n"), (&["-a", "any"], "up\n")]
    {
        let (mut client, accepted) = connect();
        client.write_all(line.as_bytes()).unwrap();
        let accepted = std::os::fd::OwnedFd::from(accepted);
        let mut command = Command::new(AGENT);
        command.args(["--agent-send", "required"]).args(args).stdin(accepted.try_clone().unwrap());
        let agent = command.stdout(accepted).spawn().unwrap();
        drop(command);
        let mut seen = String::new();
        client.read_to_string(&mut seen).unwrap();
        Process(agent).wait();
        assert_eq!(seen, reply, "{args:?}");
    }
    assert_eq!(server.opened(), 2);
}
