//! The reply, the exit status, and standard error.

mod common;

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::reply::Reply;
use common::*;

/// Wrong command lines, each with the text that the reply has to contain.
const MISUSES: [(&[&str], &str); 22] = [
    (&["foo"], "'foo'"),
    (&["cpu", "70", "hsl", "5"], "'hsl'"),
    (&["cpu", "seventy"], "'seventy'"),
    (&["cpu", "70,5"], "'70,5'"),
    (&["CPU", "70"], "'CPU'"),
    (&["cpu", "-5"], "'-5'"),
    (&["hls", "5%"], "'5%'"),
    (&["5"], "'5'"),
    (&["stat:connections"], "'stat:connections'"),
    (&["--unknown"], "'--unknown'"),
    (&["-x"], "'-x'"),
    (&["--describe=yes"], "--describe"),
    (&["--timeout"], "--timeout"),
    (&["--timeout", "0"], "'0'"),
    (&["--timeout", "soon"], "'soon'"),
    (&["-t", "-1"], "'-1'"),
    (&["--load", "7"], "'7'"),
    (&["--agent-send", "maybe"], "'maybe'"),
    (&["--stats-url", "nonsense"], "'nonsense'"),
    (&["--stats-url", "ftp://127.0.0.1/"], "'ftp://127.0.0.1/'"),
    (&["-u", "http://user:secret@127.0.0.1/", "cpu"], "user information"),
    (&["-u", "http://127.0.0.1:99999/", "cpu"], "port"),
];

#[test]
fn misuse_is_one_fail_line_and_one_line_on_standard_error_and_both_name_the_word() {
    for (args, word) in MISUSES {
        let outcome = agent(args);
        assert!(outcome.stdout.starts_with("fail # "), "{outcome:?}");
        assert!(outcome.stdout.contains(word), "{word}: {outcome:?}");
        assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
        assert_eq!(outcome.exit_status, Some(2), "{outcome:?}");
        assert!(outcome.stderr.starts_with("haproxy-agent-check: "), "{outcome:?}");
        assert!(outcome.stderr.contains(word), "{word}: {outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    }
}

#[test]
fn misuse_on_a_connection_is_one_line() {
    for (args, word) in MISUSES {
        let outcome = Connection::open(args).finish();
        assert!(outcome.stdout.starts_with("fail # "), "{outcome:?}");
        assert!(outcome.stdout.contains(word), "{word}: {outcome:?}");
        assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
        assert_eq!(outcome.exit_status, Some(2), "{outcome:?}");
    }
}

#[test]
fn words_that_are_not_text_are_named_in_printable_characters() {
    use std::os::unix::ffi::OsStrExt;
    let word = std::ffi::OsStr::from_bytes(b"h\xffls\n\x1b[31m");
    let outcome = finish(Command::new(AGENT).arg(word));
    assert!(outcome.stdout.starts_with("fail # 'h?ls"), "{outcome:?}");
    for text in [&outcome.stdout, &outcome.stderr] {
        let line = text.strip_suffix('\n').unwrap();
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{outcome:?}");
    }
}

#[test]
fn standard_error_is_written_if_it_is_not_the_connection() {
    use std::os::unix::net::UnixStream;
    // As under systemd: the connection on descriptors 0 and 1, the journal's socket on 2.
    let (mut peer, connection) = UnixStream::pair().unwrap();
    let (mut journal, stderr) = UnixStream::pair().unwrap();
    let mut agent = Command::new(AGENT)
        .arg("foo")
        .stdin(OwnedFd::from(connection.try_clone().unwrap()))
        .stdout(OwnedFd::from(connection))
        .stderr(OwnedFd::from(stderr))
        .spawn()
        .unwrap();
    let (mut reply, mut log) = (String::new(), String::new());
    peer.read_to_string(&mut reply).unwrap();
    journal.read_to_string(&mut log).unwrap();
    assert_eq!(agent.wait().unwrap().code(), Some(2));
    assert!(reply.starts_with("fail # 'foo'") && reply.lines().count() == 1, "{reply}");
    assert!(log.starts_with("haproxy-agent-check: 'foo'"), "{log}");
}

#[test]
fn nothing_is_written_to_standard_error_if_it_is_standard_output() {
    for redirection in ["2>&1", "2>&1 | cat", ">\"$1\" 2>&1; cat \"$1\""] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let script = format!("{AGENT} foo </dev/null {redirection}");
        let outcome = finish(Command::new("sh").args(["-c", &script, "sh"]).arg(file.path()));
        assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn nothing_is_written_to_standard_error_if_it_is_the_connection_on_standard_input() {
    use std::os::unix::net::UnixStream;
    let (mut peer, connection) = UnixStream::pair().unwrap();
    let connection = OwnedFd::from(connection);
    // One expression: the command, which holds descriptors of the connection, is dropped at its end.
    let agent = Command::new(AGENT)
        .args(["--explain", "foo"])
        .stdin(connection.try_clone().unwrap())
        .stdout(Stdio::piped())
        .stderr(connection)
        .spawn();
    let (mut reply, mut over_connection) = (String::new(), String::new());
    let mut agent = Process(agent.unwrap());
    agent.0.stdout.take().unwrap().read_to_string(&mut reply).unwrap();
    peer.read_to_string(&mut over_connection).unwrap();
    assert!(reply.starts_with("fail # 'foo'"), "{reply}");
    assert_eq!(over_connection, "");
}

#[test]
fn a_terminal_shows_the_reply_and_standard_error() {
    // script(1) gives the command a terminal on all three descriptors.
    let command = format!("{AGENT} foo");
    let mut script = Command::new("script");
    let outcome = finish(script.args(["--quiet", "--return", "--command", &command, "/dev/null"]));
    assert!(outcome.stdout.contains("fail # 'foo'"), "{outcome:?}");
    assert!(outcome.stdout.contains("haproxy-agent-check: 'foo'"), "{outcome:?}");
    assert_eq!(outcome.exit_status, Some(2));
}

#[test]
fn closed_and_full_descriptors_change_neither_reply_nor_exit_status() {
    let sh = |script: &str| finish(Command::new("sh").args(["-c", script, AGENT]));
    sh("\"$0\" cpu 1000000 <&-").expect("up 100%\n", 0);
    sh("\"$0\" cpu 1000000 </dev/null 2>&-").expect("up 100%\n", 0);
    sh("\"$0\" cpu 0 </dev/null >&-").expect("", 1);
    sh("\"$0\" cpu 0 <&- >&- 2>&-").expect("", 1);
    sh("\"$0\" cpu 1000000 </dev/null >/dev/full").expect("", 0);
    sh("\"$0\" foo </dev/null 2>/dev/full").exit_status.expect("the agent exits");
}

#[test]
fn a_pipe_that_nobody_reads_does_not_hold_the_run() {
    let (_reader, writer) = full_pipe();
    let start = Instant::now();
    let mut agent = Command::new(AGENT);
    agent.args(["-t", "200", "cpu", "0"]).stdin(Stdio::null()).stdout(OwnedFd::from(writer));
    assert_eq!(agent.status().unwrap().code(), Some(1));
    assert!(start.elapsed() < Duration::from_millis(200) + TOLERANCE, "{:?}", start.elapsed());
}

#[test]
fn a_slow_reader_gets_every_byte() {
    for (args, end) in [(&["--help"][..], "not understood\n"), (&["cpu", "0"], "down\n")] {
        let (mut reader, writer) = full_pipe();
        // One expression: the command, which holds an end of the pipe, is dropped at its end.
        let agent = Command::new(AGENT)
            .args(args)
            .stdin(Stdio::null())
            .stdout(OwnedFd::from(writer))
            .spawn();
        let mut agent = Process(agent.unwrap());
        // A run that did not wait for its reader would be over by now.
        thread::sleep(Duration::from_millis(300));
        let mut output = Vec::new();
        reader.read_to_end(&mut output).unwrap();
        let text: Vec<u8> = output.into_iter().filter(|byte| *byte != 0).collect();
        assert!(text.ends_with(end.as_bytes()), "{args:?} {}", String::from_utf8_lossy(&text));
        agent.wait();
    }
}

#[test]
fn standard_error_that_nobody_reads_does_not_hold_the_run() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let start = Instant::now();
    let mut agent = Command::new(AGENT);
    agent.arg("x".repeat(100_000)).stdin(Stdio::null()).stdout(Stdio::null());
    assert_eq!(agent.stderr(OwnedFd::from(writer)).status().unwrap().code(), Some(2));
    let took = start.elapsed();
    assert!(took < Duration::from_millis(1500) + TOLERANCE, "{took:?}");
}

#[test]
fn nothing_is_shown_after_a_scheme_that_no_url_follows() {
    for (request, shown) in [
        ("v1|http://user:SECRET@host", "'http://' "),
        ("v1|http://user:SEC RET@host|5", "'http://' "),
        ("v1|http://h/?token=a b SECRET", "'http://' "),
        ("SECRET://u:SEC RET@h|v1|5", "'SECRET://' "),
    ] {
        for args in [vec![request], vec!["--explain", request]] {
            let outcome = agent(&args);
            assert!(outcome.stdout.starts_with(&format!("fail # {shown}")), "{outcome:?}");
            let all = format!("{}{}", outcome.stdout, outcome.stderr).replace("SECRET://", "");
            assert!(!all.contains("SEC") && !all.contains("RET"), "{outcome:?}");
        }
    }
    let page = Server::fixed("secret=hunter2\n");
    let outcome = agent(&["--describe", "--explain", "-u", &page.url(), "stat:secret", "1"]);
    outcome.expect("down # stat:secret: the value is not a number of 0 or more\n", 1);
    assert!(!outcome.stderr.contains("hunter2"), "{outcome:?}");
}

#[test]
fn the_secrets_of_a_rejected_url_are_not_shown() {
    for url in ["http://user:secret@127.0.0.1/", "ftp://127.0.0.1/?token=secret", "secret@x?secret"]
    {
        let outcome = agent(&["--stats-url", url, "cpu"]);
        assert!(outcome.stdout.starts_with("fail # --stats-url"), "{outcome:?}");
        assert!(!format!("{outcome:?}").contains("secret"), "{outcome:?}");
    }
}

#[test]
fn a_closed_standard_output_does_not_change_the_exit_status() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut agent = Command::new(AGENT);
    agent.args(["cpu", "1000000"]).stdin(Stdio::null()).stdout(OwnedFd::from(writer));
    assert_eq!(agent.status().unwrap().code(), Some(0));
}

#[test]
fn help_and_version_go_to_standard_output() {
    for option in ["--help", "-h"] {
        let outcome = agent(&["cpu", option]);
        assert_eq!((outcome.exit_status, outcome.stderr.as_str()), (Some(0), ""));
        for line in outcome.stdout.lines() {
            assert!(line.len() <= 80, "{line}");
        }
        assert!(outcome.stdout.lines().count() <= 36);
        assert!(outcome.stdout.contains("--stats-url"));
    }
    let version = concat!("haproxy-agent-check ", env!("CARGO_PKG_VERSION"), "\n");
    agent(&["--version"]).expect(version, 0);
    agent(&["-V"]).expect(version, 0);
}

#[test]
fn manual_and_help_name_the_same_options() {
    use std::collections::BTreeSet;
    let options = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        let is_option = |word: &&str| word.starts_with('-') && !word.ends_with('-');
        words.filter(is_option).map(str::to_owned).collect()
    };
    let section = |text: &str, heading: &str, next: &str| {
        let rest = text.split(heading).nth(1).expect(heading);
        rest.split(next).next().unwrap().to_owned()
    };
    let help = agent(&["--help"]).stdout;
    let help = options(&section(&help, "\n\n  ", "\n\nExit status"));
    assert!(help.contains("--stats-url") && help.contains("-u"), "{help:?}");

    let mandoc = Command::new("mandoc").args(["-Tascii", "docs/haproxy-agent-check.8"]).output();
    let mandoc = mandoc.expect("mandoc is installed").stdout;
    // Bold and underlined characters are overstruck.
    let mut manual = String::new();
    for byte in mandoc {
        match byte {
            8 => drop(manual.pop()),
            byte => manual.push(char::from(byte)),
        }
    }
    let manual = section(&manual, "\nOPTIONS\n", "\nREPLY\n");
    let heads: Vec<_> = manual.lines().filter(|line| line.trim_start().starts_with('-')).collect();
    assert_eq!(options(&heads.join("\n")), help);
}

#[test]
fn the_manual_is_well_formed() {
    let mandoc = ["-Tlint", "-Wwarning", "docs/haproxy-agent-check.8"];
    let lint = finish(Command::new("mandoc").args(mandoc));
    assert_eq!((lint.stdout.as_str(), lint.exit_status), ("", Some(0)), "{lint:?}");
}

#[test]
fn a_long_description_is_cut_to_100_bytes() {
    let word = "x".repeat(500);
    let outcome = agent(&[&word]);
    assert_eq!(outcome.description().map(str::len), Some(100), "{outcome:?}");
    let page: String = (0..100).map(|n| format!("key_number_{n}=1\n")).collect();
    let server = Server::fixed(page);
    let request: String = (0..100).map(|n| format!("stat:key_number_{n} 9 ")).collect();
    let outcome = agent(&["-d", "-u", &server.url(), &request]);
    let description = outcome.description().unwrap();
    assert!(description.len() <= 100 && description.len() > 75, "{outcome:?}");
    assert!(description.ends_with(" 1/9...") || description.ends_with("/9..."), "{outcome:?}");
}

#[test]
fn the_content_of_the_page_cannot_break_the_line() {
    let server = Server::fixed("evil=1\u{7}\u{1b}[0m\u{202e}\r\nup=100%\n".as_bytes());
    let outcome = agent(&["-d", "-u", &server.url(), "stat:evil", "5"]);
    let line = "down # stat:evil: the value is not a number of 0 or more\n";
    outcome.expect(line, 1);
}

#[test]
fn standard_input_may_be_any_file() {
    let folder = File::open("/").unwrap();
    let output = Command::new(AGENT).args(["cpu", "1000000"]).stdin(folder).output().unwrap();
    assert_eq!(output.stdout, b"up 100%\n");
}

#[test]
fn the_parser_of_the_tests_accepts_valid_replies_only() {
    let described = |length| format!("ready down # {}\n", "x".repeat(length));
    for text in
        ["up\n", "up 100%\n", "down 0%\n", "ready up 256%\n", "maint # a # b\n", &described(100)]
    {
        assert!(Reply::parse(text).is_ok(), "{text:?}");
    }
    for text in [
        "",
        "up",
        "\n",
        "up\n\n",
        "up\r\n",
        "up\nup\n",
        " up\n",
        "up \n",
        "UP\n",
        "failed\n",
        "ready\n",
        "ready  up\n",
        "ready ready up\n",
        "up 100\n",
        "up %\n",
        "up +5%\n",
        "up -5%\n",
        "up 5.5%\n",
        "up 257%\n",
        "up 99999%\n",
        "up  5%\n",
        "up 5% 5%\n",
        "down #text\n",
        "down # \n",
        "down # t\u{e9}xt\n",
        "down # a\tb\n",
        &described(101),
    ] {
        assert!(Reply::parse(text).is_err(), "{text:?}");
    }
}
