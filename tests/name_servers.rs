//! Name servers: hostile, broken and slow ones, and what `/etc/resolv.conf` says about them.

mod common;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::name_server::*;
use common::namespace::OwnNetwork;
use common::*;

/// The agent's timeout, unless a test says another.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// The last byte of an address on which nothing listens.
const FORGED: u8 = 66;

/// The reason when no name server answers, or none can.
const NO_SERVER: &str = "has a host name that no name server could look up";

/// The reason when a name server says that there is no such name.
const NO_NAME: &str = "has a host name that does not resolve";

/// A statistics page on 127.0.0.1, and a URL that names its host.
struct Page {
    server: Server,
    url: String,
}

impl Page {
    fn new() -> Self {
        let server = Server::fixed(text_page(&[("streams_hls", "5")]));
        let url = format!("http://wcs.example:{}/", server.address.port());
        Self { server, url }
    }

    /// Runs the agent with this text in /etc/resolv.conf.
    fn ask(&self, resolv_conf: &str, timeout: &str) -> Outcome {
        let prefix = command_prefix(resolv_conf);
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).args([AGENT, "-d", "-t", timeout, "-u", &self.url, "hls", "6"]);
        finish(&mut command)
    }

    /// Expects that the agent finds the page.
    #[track_caller]
    fn expect_found(&self, resolv_conf: &str) -> Outcome {
        let outcome = self.ask(resolv_conf, "1500");
        outcome.expect("up 100% # hls 5/6\n", 0);
        outcome
    }

    /// Expects that the agent does not find the page, for this reason.
    #[track_caller]
    fn expect_lost(&self, resolv_conf: &str, timeout: &str, reason: &str) -> Outcome {
        let outcome = self.ask(resolv_conf, timeout);
        // A message shows only the beginning of a long URL.
        let is_right = outcome.stdout.starts_with("down # statistics page http://wcs.example:")
            && outcome.stdout.ends_with(&format!(": {reason}\n"));
        assert!(is_right && outcome.exit_status == Some(1), "{outcome:?}");
        outcome
    }
}

fn resolv_conf(servers: &[&NameServer], options: &str) -> String {
    let lines = servers.iter().map(|server| format!("nameserver {}\n", server.address.ip()));
    lines.collect::<String>() + options
}

/// A name server that never answers.
fn silent() -> NameServer {
    NameServer::start(|_, _| {})
}

#[test]
fn packets_that_do_not_answer_the_question_are_ignored() {
    type Forge = fn(&Question) -> Vec<u8>;
    fn change(question: &Question, place: usize, value: u16) -> Vec<u8> {
        let mut packet = question.address(FORGED);
        set(&mut packet, place, value);
        packet
    }
    let forged: [(&str, Forge); 16] = [
        ("another identifier", |question| change(question, 0, question.id().wrapping_add(1))),
        ("no response bit", |question| change(question, 2, 0x0180)),
        ("another opcode", |question| change(question, 2, 0x9180)),
        ("no question", |question| change(question, 4, 0)),
        ("two questions", |question| change(question, 4, 2)),
        ("65,535 records", |question| change(question, 6, u16::MAX)),
        ("65,535 authorities", |question| change(question, 8, u16::MAX)),
        ("65,535 additional records", |question| change(question, 10, u16::MAX)),
        ("another name", |question| change(question, 13, u16::from_be_bytes(*b"vc"))),
        ("a longer name", |question| {
            let records = [address(&question.name(), FORGED)];
            let packet = question.answer(&records);
            [&packet[..12], b"\x01a", &packet[12..]].concat()
        }),
        ("another type", |question| change(question, 25, 28)),
        ("another class", |question| change(question, 27, 3)),
        ("no bytes", |_| Vec::new()),
        ("a part of the header", |question| question.address(FORGED)[..11].to_vec()),
        ("the header alone", |question| question.address(FORGED)[..12].to_vec()),
        ("the question itself", |question| change(question, 2, 0x0100)),
    ];
    let page = Page::new();
    for (what, forge) in forged {
        let server = NameServer::start(move |question, send| {
            send(&forge(question));
            send(&question.address(1));
        });
        let outcome = page.expect_found(&resolv_conf(&[&server], ""));
        assert_eq!(server.questions().len(), 1, "{what}: {outcome:?}");
    }
    assert_eq!(page.server.requests().len(), forged.len());
}

#[test]
fn only_records_of_the_name_and_its_aliases_are_used() {
    type Records = fn(&str) -> Vec<Vec<u8>>;
    let records: [(&str, Records); 6] = [
        ("a chain of aliases", |name| {
            vec![alias(name, "a.example"), alias("a.example", "B.example"), address("b.example", 1)]
        }),
        ("a chain in another order", |name| {
            vec![address("b.example", 1), alias("a.example", "b.example"), alias(name, "a.EXAMPLE")]
        }),
        ("an address of another name", |name| vec![address("b.example", FORGED), address(name, 1)]),
        ("an address in another class", |name| {
            vec![record(name, A, 3, &[127, 0, 0, FORGED]), address(name, 1)]
        }),
        ("an alias in another class", |name| {
            let alias = record(name, CNAME, 3, &common::name_server::name("a.example"));
            vec![alias, address("a.example", FORGED), address(name, 1)]
        }),
        ("an IPv6 address", |name| vec![record(name, 28, IN, &[0; 16]), address(name, 1)]),
    ];
    let page = Page::new();
    for (what, records) in records {
        let server = NameServer::start(move |question, send| {
            send(&question.answer(&records(&question.name())))
        });
        let outcome = page.expect_found(&resolv_conf(&[&server], ""));
        assert_eq!(server.questions().len(), 1, "{what}: {outcome:?}");
    }
}

#[test]
fn a_name_has_no_address_if_none_of_its_records_leads_to_one() {
    type Records = fn(&str) -> Vec<Vec<u8>>;
    let records: [Records; 4] = [
        |_| vec![],
        |_| vec![address("b.example", FORGED)],
        |name| vec![alias(name, "a.example"), alias("a.example", name), address("b.example", 1)],
        |name| vec![alias(name, name)],
    ];
    let page = Page::new();
    for records in records {
        let server = NameServer::start(move |question, send| {
            send(&question.answer(&records(&question.name())))
        });
        page.expect_lost(&resolv_conf(&[&server], ""), "10s", NO_NAME);
        let types: Vec<u16> = server.questions().iter().map(Question::record_type).collect();
        assert_eq!(types, [A, 28]);
    }
}

#[test]
fn a_cut_answer_without_an_address_is_asked_for_again_over_tcp() {
    let page = Page::new();
    let server = NameServer::start(|question, send| send(&question.cut(&[])))
        .with_tcp(|question, stream| send_over_tcp(&stream, &question.address(1)));
    page.expect_found(&resolv_conf(&[&server], ""));
    let questions = server.questions();
    let ways: Vec<bool> = questions.iter().map(|question| question.is_over_tcp).collect();
    assert_eq!(ways, [false, true]);

    // Byte by byte, and the addresses are the last of many.
    let server = NameServer::start(|question, send| {
        send(&question.cut(&[alias(&question.name(), "a.example")]));
    })
    .with_tcp(|question, mut stream| {
        let mut records = vec![record(&question.name(), 16, IN, &[7; 200]); 100];
        records.push(address(&question.name(), 1));
        let answer = question.answer(&records);
        let (length, rest) = answer.split_at(1);
        stream.write_all(&(answer.len() as u16).to_be_bytes()[..1]).unwrap();
        thread::sleep(Duration::from_millis(50));
        stream.write_all(&(answer.len() as u16).to_be_bytes()[1..]).unwrap();
        stream.write_all(length).unwrap();
        thread::sleep(Duration::from_millis(50));
        stream.write_all(rest).unwrap();
    });
    page.expect_found(&resolv_conf(&[&server], ""));
}

#[test]
fn a_cut_answer_with_an_address_is_used() {
    let server = NameServer::start(|question, send| {
        send(&question.cut(&[address(&question.name(), 1)]));
    });
    Page::new().expect_found(&resolv_conf(&[&server], ""));
}

#[test]
fn after_a_broken_answer_over_tcp_the_next_server_is_asked() {
    type Break = fn(&Question, TcpStream);
    let cases: [(&str, Break); 8] = [
        ("closes", |_, _| {}),
        ("hangs", |_, mut stream| hold(&mut stream)),
        ("sends garbage", |_, mut stream| _ = stream.write_all(&[0xff; 70_000])),
        ("sends nothing but a length", |_, stream| send_over_tcp(&stream, &[])),
        ("closes within the length", |_, mut stream| _ = stream.write_all(&[0])),
        ("closes within the answer", |question, mut stream| {
            let answer = question.address(1);
            let length = (answer.len() as u16).to_be_bytes();
            let _ = stream.write_all(&[&length, &answer[..answer.len() - 1]].concat());
        }),
        ("answers another question", |question, stream| {
            let mut answer = question.address(FORGED);
            set(&mut answer, 0, question.id().wrapping_add(1));
            send_over_tcp(&stream, &answer);
        }),
        ("is cut again", |question, stream| send_over_tcp(&stream, &question.cut(&[]))),
    ];
    let page = Page::new();
    let good = NameServer::new();
    let cut = |question: &Question, send: &dyn Fn(&[u8])| send(&question.cut(&[]));
    for (what, answer) in cases {
        let broken = NameServer::start(cut).with_tcp(answer);
        let outcome = page.expect_found(&resolv_conf(&[&broken, &good], ""));
        assert_eq!(broken.questions().len(), 2, "{what}: {outcome:?}");
        let reason = if what == "hangs" {
            "has a host name that did not resolve within 600 ms"
        } else {
            NO_SERVER
        };
        let alone = page.expect_lost(&resolv_conf(&[&broken], ""), "600", reason);
        assert!(alone.took < Duration::from_millis(600) + TOLERANCE, "{what}: {alone:?}");
    }
    let refusing = NameServer::start(cut);
    page.expect_found(&resolv_conf(&[&refusing, &good], ""));
    assert_eq!(refusing.questions().len(), 1);
}

#[test]
fn each_attempt_has_another_identifier_and_another_port() {
    let page = Page::new();
    for (options, answered) in [("", 2), ("options timeout:1 attempts:5\n", 5)] {
        let count = Arc::new(AtomicUsize::new(0));
        let server = NameServer::start(move |question, send| {
            if count.fetch_add(1, Ordering::Relaxed) + 1 == answered {
                send(&question.address(1));
            }
        });
        page.expect_found(&resolv_conf(&[&server], options));
        let questions = server.questions();
        assert_eq!(questions.len(), answered);
        let ids: HashSet<u16> = questions.iter().map(Question::id).collect();
        let ports: HashSet<u16> = questions.iter().map(|asked| asked.client.port()).collect();
        // They are random. Two may be the same by chance.
        assert!(ids.len() + 1 >= answered && ports.len() + 1 >= answered, "{questions:?}");
    }
}

#[test]
fn a_late_answer_to_an_earlier_attempt_is_not_used() {
    let first = Arc::new(Mutex::new(None::<Question>));
    let server = NameServer::start(move |question, send| {
        let mut first = first.lock().unwrap();
        match &*first {
            None => *first = Some(question.clone()),
            Some(first) => {
                send(&first.address(FORGED));
                send(&question.address(1));
            }
        }
    });
    Page::new().expect_found(&resolv_conf(&[&server], ""));
}

#[test]
fn each_attempt_ends_after_the_timeout_of_resolv_conf() {
    let page = Page::new();
    let server = silent();
    let options = "options timeout:1 attempts:2\n";
    let outcome = page.expect_lost(&resolv_conf(&[&server], options), "20s", NO_SERVER);
    assert_eq!(server.questions().len(), 2);
    assert!(outcome.took >= Duration::from_secs(2), "{outcome:?}");
    assert!(outcome.took < Duration::from_secs(15), "{outcome:?}");
}

#[test]
fn a_dead_first_server_leaves_time_for_the_others() {
    let page = Page::new();
    let (dead, dead_too, good) = (silent(), silent(), NameServer::new());
    let conf = resolv_conf(&[&dead, &dead_too, &good], "options timeout:30 attempts:5\n");
    let outcome = page.expect_found(&conf);
    assert!(outcome.took < TIMEOUT, "{outcome:?}");
    // Later questions go to the server that has answered.
    let good = NameServer::start(|question, send| match question.name().as_str() {
        "wcs.example.b.lan" => send(&question.address(1)),
        _ => send(&question.error(3)),
    });
    let conf = resolv_conf(&[&dead, &good], "search a.lan b.lan\noptions ndots:2\n");
    let before = dead.questions().len();
    page.expect_found(&conf);
    assert_eq!(dead.questions().len(), before + 1);
    assert_eq!(good.questions().len(), 3);
}

#[test]
fn a_server_that_cannot_answer_is_not_believed() {
    let page = Page::new();
    // Format error, server failure, not implemented, refused.
    for code in [1, 2, 4, 5] {
        let failing = NameServer::start(move |question, send| send(&question.error(code)));
        page.expect_found(&resolv_conf(&[&failing, &NameServer::new()], ""));
        assert_eq!(failing.questions().len(), 1, "{code}");
        let outcome = page.expect_lost(&resolv_conf(&[&failing], ""), "20s", NO_SERVER);
        assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");
    }
    // A name that does not exist, on the other hand, does not exist anywhere.
    let (denying, good) =
        (NameServer::start(|question, send| send(&question.error(3))), NameServer::new());
    page.expect_lost(&resolv_conf(&[&denying, &good], ""), "20s", NO_NAME);
    assert!(good.questions().is_empty());
}

#[test]
fn a_search_domain_that_fails_does_not_hide_the_other_names() {
    let server = NameServer::start(|question, send| match question.name().as_str() {
        "wcs.example" => send(&question.address(1)),
        _ => send(&question.error(2)),
    });
    let conf = resolv_conf(&[&server], "search broken.lan\noptions ndots:2\n");
    Page::new().expect_found(&conf);
}

#[test]
fn rotate_chooses_any_server_first() {
    let page = Page::new();
    let servers = [NameServer::new(), NameServer::new()];
    let conf = resolv_conf(&[&servers[0], &servers[1]], "");
    for _ in 0..10 {
        page.expect_found(&conf);
    }
    assert_eq!(servers[1].questions().len(), 0);
    // The second is never the first in one of a million series.
    for _ in 0..20 {
        page.expect_found(&format!("{conf}options rotate\n"));
    }
    let counts = servers.map(|server| server.questions().len());
    assert_eq!(counts[0] + counts[1], 30);
    assert!(counts[0] > 10 && counts[1] > 0, "{counts:?}");
}

#[test]
fn with_use_vc_only_tcp_is_used() {
    let server =
        NameServer::new().with_tcp(|question, stream| send_over_tcp(&stream, &question.address(1)));
    Page::new().expect_found(&resolv_conf(&[&server], "options use-vc\n"));
    assert!(server.questions().iter().all(|question| question.is_over_tcp));
}

#[test]
fn the_scope_of_a_link_local_server_is_kept() {
    // The loopback interface is the only one that every kernel can create. Its index is 1.
    for interface in ["lo", "br-lan.7"] {
        let network = OwnNetwork::new(&[]);
        network.run(|| {
            let set_up = "ip link set lo down && ip link set lo name \"$0\" &&
                ip link set \"$0\" up && ip -6 address add fe80::1/64 dev \"$0\" nodad";
            let set_up = Command::new("sh").args(["-c", set_up, interface]).status();
            assert!(set_up.expect("sh is installed").success(), "{interface}");
            let address: Ipv6Addr = "fe80::1".parse().unwrap();
            let address = SocketAddr::from(SocketAddrV6::new(address, 53, 0, 1));
            let server = NameServer::start_at(address, |question, send| send(&question.cut(&[])))
                .with_tcp(|question, stream| send_over_tcp(&stream, &question.address(1)));
            let page = Page::new();
            for scope in [interface, "1"] {
                let before = server.questions().len();
                page.expect_found(&format!("nameserver fe80::1%{scope}\n"));
                assert_eq!(server.questions().len(), before + 2, "{scope}");
            }
            for scope in ["", "%no-such.7", "%99"] {
                let conf = format!("nameserver fe80::1{scope}\n");
                page.expect_lost(&conf, "20s", NO_SERVER);
                page.expect_found(&format!("{conf}nameserver fe80::1%{interface}\n"));
            }
        });
    }
}

#[test]
fn a_flood_of_wrong_packets_neither_hides_the_answer_nor_delays_the_reply() {
    /// Sends wrong packets until `is_over`, and from an instant on the right answer among them. The pauses leave
    /// the processors to the agent. Without them, the kernel might not start it in time.
    fn flood(
        question: &Question,
        send: &dyn Fn(&[u8]),
        answer_after: Duration,
        is_over: &AtomicBool,
    ) {
        let mut forged = question.address(FORGED);
        set(&mut forged, 0, question.id() ^ 1);
        let start = Instant::now();
        while !is_over.load(Ordering::Relaxed) {
            (0..64).for_each(|_| send(&forged));
            if start.elapsed() > answer_after {
                send(&question.address(1));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
    let page = Page::new();
    let start = |answer_after| {
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        let server =
            NameServer::start(move |question, send| flood(question, send, answer_after, &flag));
        (server, is_over)
    };
    let (hiding, is_over) = start(Duration::from_millis(200));
    page.expect_found(&resolv_conf(&[&hiding], ""));
    is_over.store(true, Ordering::Relaxed);
    let (endless, is_over) = start(Duration::MAX);
    let reason = "has a host name that did not resolve within 600 ms";
    let outcome = page.expect_lost(&resolv_conf(&[&endless], ""), "600", reason);
    is_over.store(true, Ordering::Relaxed);
    assert!(outcome.took < Duration::from_millis(600) + TOLERANCE, "{outcome:?}");
}

#[test]
fn a_request_line_ends_a_question_over_tcp() {
    let server = NameServer::start(|question, send| send(&question.cut(&[])))
        .with_tcp(|_, mut stream| _ = stream.read(&mut [0]));
    let prefix = command_prefix(&resolv_conf(&[&server], ""));
    let mut command = Command::new(&prefix[0]);
    command.args(&prefix[1..]).args([AGENT, "-t", "20s", "-u", "http://wcs.example/"]);
    let mut connection = Connection::open_to(&mut command, b"");
    wait_until("the question comes over TCP", || (server.questions().len() == 2).then_some(()));
    connection.send(b"cpu 1000000\n");
    let outcome = connection.finish();
    outcome.expect("up 100%\n", 0);
    assert!(outcome.took < Duration::from_secs(10), "{outcome:?}");
}
