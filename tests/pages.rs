//! Statistics pages in JSON and in the text format of Prometheus, the keys that name a number on them, and
//! lower limits.

mod common;

use std::fs;
use std::time::Duration;

use common::*;

fn fixture(path: &str) -> Server {
    Server::fixed(fs::read(format!("tests/fixtures/{path}")).unwrap())
}

/// Asks for a key with a limit of 1e12, and checks the value in the description. `None` means that the key is
/// not on the page, and an empty text that it is not a number.
#[track_caller]
fn expect_value(page: &Server, key: &str, value: Option<&str>) {
    let name = format!("stat:{key}");
    let outcome = agent(&["-d", "-u", &page.url(), &name, "1000000000000"]);
    let expected = match value {
        None => format!("down # {name}: no {key} on the statistics page\n"),
        Some("") => format!("down # {name}: the value is not a number of 0 or more\n"),
        Some(value) => format!("up 100% # {name} {value}/1000000000000\n"),
    };
    // A long description is cut.
    let is_cut = expected.len() > 108;
    let expected = if is_cut { &expected[..90] } else { &expected };
    assert!(outcome.stdout.starts_with(expected), "{expected} {outcome:?}");
    assert_eq!(outcome.stdout.len() > expected.len(), is_cut, "{expected} {outcome:?}");
    assert_eq!(outcome.exit_status == Some(0), expected.starts_with("up"), "{outcome:?}");
}

#[test]
fn a_name_means_a_member_of_a_json_page_at_any_depth() {
    let page = fixture("json/conference.json");
    for (key, value) in [
        ("stress_level", Some("0.3")),
        ("graceful_shutdown", Some("0")),
        ("healthy", Some("1")),
        ("bitrate-kbps", Some("5400.5")),
        ("largest.conference", Some("18")),
        ("load_5m", Some("1.7")),
        // The highest of several counts.
        ("conferences", Some("7")),
        ("participants", Some("31")),
        ("cpu_percent", Some("12.5")),
        ("free", Some("400")),
        ("version", Some("")),
        ("region", Some("")),
        ("id", Some("")),
        ("bridges", None),
        ("octo", None),
        ("nothing", None),
    ] {
        expect_value(&page, key, value);
    }
}

#[test]
fn a_path_means_one_value_of_a_json_page() {
    let page = fixture("json/conference.json");
    for (key, value) in [
        (".conferences", Some("4")),
        (".octo.conferences", Some("7")),
        (".octo[\"bitrate-kbps\"]", Some("5400.5")),
        (".\"largest.conference\"", Some("18")),
        (".data.system.load_5m", Some("1.7")),
        (".bridges[0].participants", Some("31")),
        (".bridges[-1].ports.free", Some("400")),
        (".bridges.[1][\"ports\"].free", Some("35")),
        (".healthy", Some("1")),
        (".version", Some("")),
        (".bridges", Some("")),
        (".bridges[3].participants", None),
        (".octo.participants", None),
        (".[0]", None),
    ] {
        expect_value(&page, key, value);
    }
    let list = Server::fixed(r#"[{"users": 5}, [7, "8"], true]"#);
    for (key, value) in [
        ("users", Some("5")),
        (".[0].users", Some("5")),
        (".[1][1]", Some("8")),
        (".[-2][0]", Some("7")),
        (".[2]", Some("1")),
        (".users", None),
    ] {
        expect_value(&list, key, value);
    }
    let odd = Server::fixed(r#"{"a b|c": {"d\"e": 3, "{": 4}}"#);
    for (key, value) in [(r#"."a b|c"."d\"e""#, "3"), (r#".["a b|c"]["{"]"#, "4")] {
        expect_value(&odd, key, Some(value));
    }
}

#[test]
fn a_name_means_the_sum_of_a_metric() {
    let page = fixture("prometheus/host.txt");
    for (key, value) in [
        ("node_load5", Some("0.7")),
        ("node_cpu_seconds_total", Some("186139.2")),
        ("node_cpu_seconds_total{}", Some("186139.2")),
        ("node_cpu_seconds_total{mode=user}", Some("2504.7")),
        ("node_cpu_seconds_total{mode=\"user\",cpu=\"1\"}", Some("1301.2")),
        ("node_cpu_seconds_total{mode=user,cpu=2}", None),
        ("node_cpu_seconds_total{mode=user,state=}", None),
        ("node_filesystem_avail_bytes{mountpoint=/run}", Some("419430400")),
        ("node_filesystem_avail_bytes{mountpoint=/,device_error=\"\"}", Some("20401094656")),
        ("go_gc_duration_seconds_count", Some("63")),
        ("go_gc_duration_seconds{quantile=0}", Some("0")),
        (r#"node_textfile_note{text="a \"quoted\", {braced} | piped\\path\nline"}"#, Some("12")),
        ("node_timex_offset_seconds", Some("")),
        ("process_max_fds", Some("")),
        ("probe_ratio", Some("")),
        ("node_cpu_seconds", None),
        ("# HELP", None),
        (".node_load5", None),
    ] {
        if key != "# HELP" {
            expect_value(&page, key, value);
        }
    }
}

#[test]
fn openmetrics_is_understood() {
    let page = fixture("prometheus/openmetrics.txt");
    for (key, value) in [
        ("media_sessions", Some("42")),
        ("media_sessions{kind=rtmp}", Some("2")),
        ("media_requests_total", Some("1030")),
        ("media_requests_total{code=500}", Some("3")),
        ("media_requests_created", Some("1794990000.5")),
        ("media_requests", None),
        ("media_delay_seconds_bucket{le=+Inf}", Some("30")),
        ("media_delay_seconds_sum", Some("4.2")),
        ("media_build_info{version=3.1.0}", Some("1")),
    ] {
        expect_value(&page, key, value);
    }
}

#[test]
fn the_named_thresholds_are_read_from_every_format() {
    for (path, values) in [
        ("wcs/stat.txt", "publishers 1/100 subscribers 0/100 hls 0/100"),
        ("wcs/stat.json", "publishers 1/100 subscribers 0/100 hls 0/100"),
        ("prometheus/media.txt", "subscribers 3/100 publishers 1/100 hls 0/100"),
    ] {
        let page = fixture(path);
        let args = ["-d", "-u", &page.url(), "publishers", "subscribers", "hls"];
        agent(&args).expect(&format!("up 100% # {values}\n"), 0);
        agent(&["-u", &page.url(), "publishers", "1"]).expect("down\n", 1);
        let outcome = agent(&["-d", "-u", &page.url(), "band-in"]);
        let why = "down # band-in: no global_bandwidth_in; \
                   set global_bandwidth_check_enabled=true in flashphoner.properties\n";
        outcome.expect(why, 1);
    }
}

/// The URL and the media type say nothing.
#[test]
fn a_format_is_recognised_by_the_content_of_the_page() {
    for (page, media_type) in [
        ("{\"a\": 5}", "text/plain"),
        ("a 5\n", "application/json"),
        ("a=5\n", "text/plain; version=0.0.4"),
        (" \r\n[{\"a\": 5}]", "text/html"),
        ("\u{feff}{\"a\": 5}", "text/plain"),
        ("\u{feff}# TYPE a gauge\r\na{b=\"c\"} 5\r\n", "text/html"),
        ("\u{feff}\n\na=5", "text/html"),
        ("# a comment\n\n\ta\t5", "text/html"),
        ("a{b=\"=\",} 5 1700000000000\n# EOF", "text/html"),
        ("[section]\na=5\n", "application/json"),
        ("-----Title-----\na=5\nb 6\n", "text/html"),
        ("#b=6\na=5\n", "text/html"),
        ("{\"b.c\",d=\"e\"} 6\na 5\n", "application/json"),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n");
        let length = page.len();
        let answer = format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{page}");
        let server = Server::start(move |stream| faults::send(stream, &answer));
        let url = format!("http://{}/metrics.json", server.address);
        agent(&["-d", "-u", &url, "stat:a", "6"]).expect("up 100% # stat:a 5/6\n", 0);
    }
}

#[test]
fn a_page_that_breaks_its_format_is_down_and_says_where() {
    for (page, why) in [
        (&b"{\"a\": 1,\n\"b\"}"[..], "holds no valid JSON (line 2, column 4)"),
        (b"[{\"a\": 1}", "holds no valid JSON (line 1, column 9)"),
        (b"{\"a\": 1} {}", "holds no valid JSON (line 1, column 10)"),
        (b"a 1\nb = 2\n", "holds no valid Prometheus text (line 2)"),
        (b"# HELP a b\n\n<html>\n", "holds no valid Prometheus text (line 3)"),
        (b"a{b=\"c} 1\n", "holds no valid Prometheus text (line 1)"),
        (b"a 1\na 1 2 3\n", "holds no valid Prometheus text (line 2)"),
        (b"a 1\n\xff 1\n", "holds no valid Prometheus text (line 2)"),
        (b"", "holds no statistics"),
        (b"\n\n# only\n# comments=1\n", "holds no statistics"),
        (b"# HELP a What a is.\n# TYPE a gauge\n# EOF\n", "holds no statistics"),
        (b"<!DOCTYPE html>\n<html lang=\"en\">\n<p>streams_hls=5</p>\n", "holds no statistics"),
        (b"It works!\n", "holds no statistics"),
        (b"{}", "holds no statistics"),
        (b"[[], {}]", "holds no statistics"),
    ] {
        let server = Server::fixed(page);
        for key in ["stat:a", "stat:a{b=c}", "stat:.a", "hls"] {
            let outcome = agent(&["-d", "-u", &server.url(), key, "1000"]);
            let expected = format!("down # statistics page http://{}/: {why}\n", server.address);
            outcome.expect(&expected, 1);
        }
    }
}

#[test]
fn without_a_request_garbage_that_looks_like_a_page_is_down() {
    for page in ["Error 404\n", "[1, 2, 3]", "{\"error\": 1}", "hello 5\n"] {
        let server = Server::fixed(page);
        let outcome = agent(&["-d", "-u", &server.url()]);
        let why = "the statistics page reports none of publishers, subscribers, hls, ";
        assert!(outcome.stdout.starts_with("down # "), "{outcome:?}");
        assert!(outcome.stdout.contains(why), "{outcome:?}");
        agent(&["-u", &server.url(), "hls"]).expect("down\n", 1);
    }
}

/// A sum is unavailable if a part of it is, and if it is negative.
#[test]
fn a_sample_that_is_not_finite_spoils_the_sums_that_it_belongs_to() {
    let server = Server::fixed(
        "a{b=\"1\"} NaN\na{b=\"2\"} 2\nc{d=\"1\"} -5\nc{d=\"2\"} 6\ne -1\nf{g=\"1\"} +Inf\n\
         f{g=\"2\"} -Inf\nh 1e308\nh{i=\"j\"} 1e308\nk -0\nnan nan\ninf inf\n",
    );
    for (key, value) in [
        ("a", ""),
        ("a{b=1}", ""),
        ("a{b=2}", "2"),
        ("c", "1"),
        ("c{d=1}", ""),
        ("e", ""),
        ("f", ""),
        ("h", ""),
        ("k", "0"),
        ("nan", ""),
        ("inf", ""),
    ] {
        expect_value(&server, key, Some(value));
    }
}

#[test]
fn a_wrong_key_is_not_understood_and_the_wrong_piece_is_named() {
    for (key, why) in [
        (".a[x]", "'[x]' is not an index"),
        (".", "'.' is the whole page, not a number"),
        (".a[]]", "'[]' is not an index"),
        (".a..b", "'.b' is not a plain name: write it as [\"NAME\"]"),
        (".a-b", "'a-b' is not a plain name: write it as [\"NAME\"]"),
        (".a[0]b", "'b' is not a step: write .NAME or [INDEX]"),
        (".\"\\a\"", "'\"\\a\"' is not a string in double quotes"),
        (".[0", "'[0' has no ]"),
        ("a{b}", "'b' is not LABEL=VALUE"),
        ("a{b=c\"d\"}", "'b' has a quote within its value"),
        ("a{9=c}", "'9' is not the name of a label"),
        ("a{b=\"c\"d}", "'b' has neither , nor } after its value"),
        ("a{b=c}d", "'d' stands after the metric and its labels"),
        ("{b=c}", "'{b=c}' does not begin with a metric name"),
    ] {
        let name = format!("stat:{key}");
        let expected = format!("fail # {name}: {why}\n");
        agent(&[&name, "5"]).expect(&expected, 2);
        agent(&["cpu", "90", &name]).expect(&expected, 2);
        let line = format!("{name} 5\n");
        Connection::open_after(&[], line.as_bytes()).finish().expect(&expected, 2);
    }
    for (words, why) in [
        ("stat:a{b=c 5", "stat:a{b=c 5: '{b=c 5' has no closing brace"),
        ("cpu 90 stat:a{b=\"c} 5", "stat:a{b=\"c} 5: '\"c} 5' has no closing quote"),
        ("stat:.\"a 5 hls", "stat:.\"a 5 hls: '\"a 5 hls' has no closing quote"),
    ] {
        agent(&[words]).expect(&format!("fail # {why}\n"), 2);
    }
    let long = format!("stat:{}", ".a".repeat(17));
    let outcome = agent(&[&long, "5"]);
    assert!(outcome.stderr.ends_with("' has more than 16 steps\n"), "{outcome:?}");
}

/// A request line and the words of the command line are split in the same way.
#[test]
fn a_key_may_hold_spaces_and_bars_in_quotes_and_in_braces() {
    let page = Server::fixed("jobs{name=\"a | b\",at=\"x}\"} 5\njobs{name=\"c\"} 6\n");
    let url = page.url();
    for name in [
        r#"stat:jobs{name="a | b"}"#,
        "stat:jobs{name=a | b}",
        r#"stat:jobs{ at = "x}" , name="a | b", }"#,
    ] {
        let expected = format!("up 100% # {name} 5/6\n");
        agent(&["-d", "-u", &url, name, "6"]).expect(&expected, 0);
        agent(&["-d", "-u", &url, &format!("{name} 6")]).expect(&expected, 0);
        // As systemd does with quotes: each word is an argument of its own.
        let words: Vec<&str> = name.split(' ').collect();
        agent(&[&["-d", "-u", &url], &words[..], &["6"]].concat()).expect(&expected, 0);
        let line = format!("{name} 6\n");
        let over_socket = Connection::open_after(&["-d", "-u", &url], line.as_bytes()).finish();
        over_socket.expect(&expected, 0);
        agent(&["-u", &url, name, "5", "stat:jobs{name=c}", "7"]).expect("down\n", 1);
    }
}

#[test]
fn a_lower_limit_is_reached_when_the_value_falls_to_it() {
    let pages = ["ports_media_free=80\n", "{\"ports_media_free\": 80}", "ports_media_free 80\n"];
    for page in pages.map(Server::fixed) {
        let name = "stat:ports_media_free";
        for (limit, line, status) in [
            ("min:100", "down # stat:ports_media_free 80/min:100\n", 1),
            ("min:80", "down # stat:ports_media_free 80/min:80\n", 1),
            ("min:79.9", "up 100% # stat:ports_media_free 80/min:79.9\n", 0),
            ("min:0", "up 100% # stat:ports_media_free 80/min:0\n", 0),
        ] {
            agent(&["-d", "-u", &page.url(), name, limit]).expect(line, status);
        }
        let table = agent(&["-e", "-u", &page.url(), name, "min:60"]).stderr;
        assert!(table.contains("          80      min:60   75% ######.. "), "{table}");
    }
    agent(&["cpu", "min:1000000%"]).expect("down\n", 1);
    let nothing = Server::fixed("free=0\n");
    agent(&["-d", "-u", &nothing.url(), "stat:free", "min:0"])
        .expect("down # stat:free 0/min:0\n", 1);
}

#[test]
fn the_last_limit_of_a_name_wins_with_its_kind() {
    let page = Server::fixed("free=80\n");
    let url = page.url();
    for (words, line) in [
        ("stat:free min:100 stat:free 90", "up 100% # stat:free 80/90\n"),
        ("stat:free 90 stat:free min:100", "down # stat:free 80/min:100\n"),
    ] {
        agent(&["-d", "-u", &url, words]).expect(line, i32::from(line.starts_with("down")));
    }
    let args = ["-d", "-u", &url, "stat:free", "min:100"];
    let outcome = Connection::open_after(&args, b"stat:free min:5\n").finish();
    outcome.expect("up 100% # stat:free 80/min:5\n", 0);
}

#[test]
fn with_a_lower_limit_the_lowest_value_of_a_repeated_key_counts() {
    for page in ["n=5\nn=3\nn=4\n", "{\"n\": 5, \"g\": [{\"n\": 3}, {\"n\": 4}]}"] {
        let page = Server::fixed(page);
        agent(&["-d", "-u", &page.url(), "stat:n", "min:3"]).expect("down # stat:n 3/min:3\n", 1);
        agent(&["-d", "-u", &page.url(), "stat:n", "6"]).expect("up 100% # stat:n 5/6\n", 0);
    }
    let page = Server::fixed("n{a=\"1\"} 5\nn{a=\"2\"} 3\n");
    agent(&["-d", "-u", &page.url(), "stat:n", "min:8"]).expect("down # stat:n 8/min:8\n", 1);
}

#[test]
fn lower_limits_count_for_the_order_and_the_weight() {
    let page = Server::fixed("free=200\nbusy=60\nhls=3\n");
    let request = "stat:busy 100 stat:free min:160 stat:hls 100";
    let args = ["-d", "-w", "60", "-u", &page.url(), request];
    let shown = "stat:free 200/min:160 stat:busy 60/100 stat:hls 3/100";
    agent(&args).expect(&format!("up 50% # {shown}\n"), 0);
    let request = "stat:hls 100 stat:busy 100 stat:free min:200";
    let shown = "stat:free 200/min:200 stat:busy 60/100 stat:hls 3/100";
    agent(&["-d", "-u", &page.url(), request]).expect(&format!("down # {shown}\n"), 1);
}

#[test]
fn a_wrong_lower_limit_is_named() {
    for limit in ["min:", "min:-1", "min:x", "min:1e3", "min:min:1", "max:5", "min:5%"] {
        let outcome = agent(&["stat:a", limit]);
        assert!(
            outcome.stdout.starts_with(&format!("fail # '{limit}' is no limit ")),
            "{outcome:?}"
        );
        assert_eq!(outcome.exit_status, Some(2), "{outcome:?}");
    }
}

/// Pages that take the most time or the most memory to read.
#[test]
fn hostile_pages_are_read_in_time_and_with_little_memory() {
    const SIZE: usize = 1 << 20;
    let fill = |unit: &str| unit.repeat((SIZE - 16) / unit.len());
    let deep = |open: &str, close: &str| {
        let depth = (SIZE - 10) / (open.len() + close.len());
        format!("{}1{}", open.repeat(depth), close.repeat(depth))
    };
    let paths: Vec<String> =
        (0..30).map(|n| format!("stat:{} 5", ".a".repeat(n % 15 + 1))).collect();
    let indexes: Vec<String> = (1..=16).map(|n| format!("stat:.{} 5", "[-1]".repeat(n))).collect();
    let labels = (0..50).map(|n| format!("stat:a{{b=c,l{n}=d}} 5")).collect::<Vec<_>>();
    let names = (0..100).map(|n| format!("stat:{n} 5")).collect::<Vec<_>>();
    for (page, request) in [
        (deep("{\"a\":", "}"), paths.join(" ")),
        (deep("[", "]"), indexes.join(" ")),
        (format!("[{}0]", fill("0,")), indexes.join(" ")),
        (format!("{{{}\"x\":1}}", fill("\"0\":1,")), names.join(" ")),
        (format!("{{{}\"x\":1}}", fill("\"\\u0061\":1,")), paths.join(" ")),
        (fill("a{b=\"c\"} 1\n"), labels.join(" ")),
        (fill("a 1\n"), labels.join(" ")),
        (format!("a{{{}}} 1", fill("b=\"c\",")), labels.join(" ")),
        (format!("a{{b=\"{}\"}} 1", fill("\\\\")), labels.join(" ")),
        (format!("a{{b=\"{}", fill("\\\"")), labels.join(" ")),
        (fill("a=1\n"), names.join(" ")),
        (format!("\"{}", fill("[{")), names.join(" ")),
    ] {
        let start: String = page.chars().take(20).collect();
        assert!(page.len() <= SIZE, "{start}: {}", page.len());
        let page = Server::fixed(page);
        // The page is read at most twice: as it was received, and as it is decoded.
        let memory = format!("--as={}", 24 << 20);
        let mut command = std::process::Command::new("prlimit");
        command.args([&memory, AGENT, "-d", "-u", &page.url(), &request]);
        let outcome = finish(&mut command);
        let is_reply =
            outcome.stdout.starts_with("down # ") || outcome.stdout.starts_with("up 100% # ");
        assert!(is_reply && !outcome.stdout.contains("too little memory"), "{start}: {outcome:?}");
        assert!(outcome.took < Duration::from_millis(1500), "{start}: {outcome:?}");
        // However little time is left for reading, the run ends in time.
        let outcome = agent(&["-t", "20", "-u", &page.url(), &request]);
        assert!(outcome.took < Duration::from_millis(20) + TOLERANCE, "{start}: {outcome:?}");
    }
}

/// A label may be a URL. What may be a password in it is shown nowhere.
#[test]
fn a_key_shows_no_secret() {
    let page = Server::fixed("up{instance=\"http://u:secret@h/\"} 5\n");
    for key in [r#"stat:up{instance="http://u:secret@h/"}"#, "stat:up{b=http://u:secret@h}"] {
        for limit in ["1", "9"] {
            let outcome = agent(&["-d", "-e", "-u", &page.url(), key, limit]);
            let shown = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(shown.contains("http://") && !shown.contains("secret"), "{shown}");
        }
    }
    for args in [
        &["--at-limit", "x://u:secret@h"][..],
        &["--recover", "x://u:secret@h", "--state", "/x"],
        &["--timeout", "x://u:secret@h"],
        &["--recover", "80", "--state", "x://u:secret@h/f", "cpu", "1000000"],
        &["--stats-headers", "x://u:secret@h/f", "hls", "5"],
        &["disk:/://u:secret@h"],
    ] {
        let outcome = agent(&[&["-d", "-e"], args].concat());
        let shown = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(!shown.contains("secret"), "{shown}");
    }
}
