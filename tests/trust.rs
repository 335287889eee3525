//! Which certificates the agent trusts for https and wss, and what it says if a store of certificates is broken.

mod common;

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::antelope::get_info;
use common::faults::send;
use common::tls::Authority;
use common::websocket::acceptance;
use common::*;

const FILE: &str = "SSL_CERT_FILE";
const DIR: &str = "SSL_CERT_DIR";

/// Why a server is refused whose authority is not trusted.
const UNKNOWN: &str = "has no valid certificate: its issuer is unknown";

/// An authority, and a server with its certificate. The server answers as a statistics page, as nodeos and as a
/// WebSocket server.
struct Site {
    authority: Authority,
    server: Server,
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let authority = Authority::new();
        let server = authority.server(|mut stream| {
            let head = read_head(&mut stream);
            if head.contains("Upgrade: websocket") {
                send(&mut stream, acceptance(&head));
                hold(&mut stream);
            } else if head.contains("/v1/chain/get_info") {
                send(&mut stream, response("200 OK", get_info(0.0).as_bytes()));
            } else {
                send(&mut stream, response("200 OK", b"streams_hls=5\n"));
            }
        });
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        Self { authority, server, folder }
    }

    /// The URL of the server, and the arguments with which the agent asks it, for each kind of server.
    fn requests(&self) -> [(String, Vec<String>); 3] {
        let place = format!("localhost:{}", self.server.address.port());
        let (https, wss) = (format!("https://{place}"), format!("wss://{place}"));
        let page = format!("statistics page {https}/");
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        [
            (page, words(&["-u", &format!("{https}/"), "hls", "6"])),
            (https.clone(), words(&[&format!("v1|{https}|1000000")])),
            (wss.clone(), words(&[&format!("ws|{wss}")])),
        ]
    }

    /// Asks the server as each kind of server, with these variables. `start` is a program that executes the
    /// agent. Expects that the server is trusted, or the reason.
    #[track_caller]
    fn expect_through(
        &self,
        start: &[&OsStr],
        variables: &[(&str, &OsStr)],
        reason: Result<(), &str>,
    ) {
        for (server, args) in self.requests() {
            let mut words = start.iter().copied().chain(args.iter().map(OsStr::new));
            let mut command = Command::new(words.next().unwrap());
            command.env_remove(FILE).env_remove(DIR).envs(variables.iter().copied());
            let outcome = finish(command.args(words).args(["-d", "-t", "5s"]));
            let description = outcome.description().unwrap_or_default();
            let state = outcome.stdout.split(['\n', '#']).next().unwrap().trim();
            let is_page = server.starts_with("statistics page");
            match reason {
                Ok(()) => {
                    let expected = if is_page { "up 100%" } else { "up" };
                    assert_eq!(state, expected, "{variables:?}: {outcome:?}");
                    assert_eq!(outcome.exit_status, Some(0));
                }
                Err(reason) => {
                    let expected = if is_page { "down" } else { "fail" };
                    assert_eq!(state, expected, "{variables:?}: {outcome:?}");
                    assert_eq!(outcome.exit_status, Some(1));
                    // Only a long description is cut.
                    let whole = format!("{server}: {reason}");
                    let shown = match description.strip_suffix("...") {
                        Some(start) if whole.len() > 100 => start,
                        _ => description,
                    };
                    assert!(whole.starts_with(shown), "{whole} {variables:?}: {outcome:?}");
                    let is_whole = shown == whole || shown.len() > 50;
                    assert!(is_whole, "{whole} {variables:?}: {outcome:?}");
                }
            }
        }
    }

    #[track_caller]
    fn expect(&self, variables: &[(&str, &OsStr)], reason: Result<(), &str>) {
        self.expect_through(&[OsStr::new(AGENT)], variables, reason);
    }

    /// Expects that the server is trusted if a variable has this value.
    #[track_caller]
    fn expect_trust(&self, variable: &str, value: impl AsRef<OsStr>) {
        self.expect(&[(variable, value.as_ref())], Ok(()));
    }

    /// Expects that no server is asked if a variable has this value, because of this problem. Its path is
    /// `place`.
    #[track_caller]
    fn expect_problem(
        &self,
        variable: &str,
        value: impl AsRef<OsStr>,
        problem: &str,
        place: &Path,
    ) {
        let reason = format!("{variable} {problem}: {}", place.display());
        self.expect(&[(variable, value.as_ref())], Err(&reason));
    }

    /// Makes a file.
    fn file(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Makes a folder with copies of these files.
    fn folder(&self, name: &str, files: &[&Path]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir(&path).unwrap();
        for (number, file) in files.iter().enumerate() {
            fs::copy(file, path.join(format!("{number}.pem"))).unwrap();
        }
        path
    }

    /// Makes a named pipe.
    fn fifo(&self, path: &Path) -> PathBuf {
        let path = self.folder.path().join(path);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    /// The authority's certificate in PEM format.
    fn pem(&self) -> String {
        fs::read_to_string(self.authority.file()).unwrap()
    }

    /// A certificate of the authority that has expired.
    fn expired(&self) -> PathBuf {
        self.authority.file_valid("20100101000000Z", "20200101000000Z")
    }

    /// A certificate of the authority that is not valid yet.
    fn early(&self) -> PathBuf {
        self.authority.file_valid("20600101000000Z", "20700101000000Z")
    }
}

/// A program that runs the agent as a user for whom permissions count.
fn as_nobody(program: &Path) -> Vec<&OsStr> {
    let mut words: Vec<&OsStr> = Vec::new();
    if user_name() == "root" {
        let nobody = ["--inh-caps=-all", "--bounding-set=-all", "--reuid=65534", "--clear-groups"];
        words.push(OsStr::new("setpriv"));
        words.extend(nobody.map(OsStr::new));
    }
    words.push(program.as_os_str());
    words
}

#[test]
fn a_file_that_is_named_and_broken_is_reported_and_nothing_else_is_trusted() {
    let site = Site::new();
    let none = "holds no certificate";
    let missing = site.folder.path().join("missing");
    site.expect_problem(FILE, &missing, "does not exist", &missing);
    site.expect_problem(
        FILE,
        site.folder.path(),
        "cannot be read (Is a directory)",
        site.folder.path(),
    );
    let below = site.file("a", "").join("b");
    site.expect_problem(FILE, &below, "cannot be read (Not a directory)", &below);
    let invalid = Path::new(OsStr::from_bytes(b"/nonexistent/\xff\x1b\n"));
    let shown = Path::new("/nonexistent/???");
    site.expect_problem(FILE, invalid, "does not exist", shown);

    let key = fs::read(site.authority.server_key()).unwrap();
    let damaged = site.pem().replace('A', "*");
    let no_end = site.pem().replace("END", "FIN");
    let no_certificate = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let other_label = site.pem().replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    let pem = site.pem();
    let lines: Vec<&str> = pem.lines().collect();
    let half = [&lines[..lines.len() / 2], &lines[lines.len() - 1..]].concat().join("\n");
    for (name, content) in [
        ("empty", Vec::new()),
        ("text", b"no certificate".to_vec()),
        ("zeros", vec![0; 100_000]),
        ("binary", (0..=255).collect::<Vec<u8>>().repeat(100)),
        ("key", key),
        ("damaged", damaged.into_bytes()),
        ("half", half.into_bytes()),
        ("no_end", no_end.into_bytes()),
        ("no_certificate", no_certificate.into()),
        ("empty_block", no_certificate.replace("aGVsbG8=\n", "").into_bytes()),
        ("other_label", other_label.into_bytes()),
    ] {
        let file = site.file(name, content);
        site.expect_problem(FILE, &file, none, &file);
    }
    for file in [site.expired(), site.early()] {
        site.expect_problem(FILE, &file, "holds no certificate that is valid now", &file);
    }
    assert!(site.server.requests().is_empty(), "no server is asked");
}

#[test]
fn a_folder_that_is_named_and_broken_is_reported_and_nothing_else_is_trusted() {
    let site = Site::new();
    let none = "holds no certificate";
    let missing = site.folder.path().join("missing");
    let good = site.folder("good", &[&site.authority.file()]);
    site.expect_problem(DIR, &missing, "does not exist", &missing);
    let file = site.authority.file();
    site.expect_problem(DIR, &file, "cannot be read (Not a directory)", &file);
    let with_missing = [good.as_os_str(), missing.as_os_str()].join(OsStr::new(":"));
    site.expect_problem(DIR, with_missing, "does not exist", &missing);
    site.expect_problem(DIR, ":", none, Path::new(":"));

    let key = site.authority.server_key();
    let empty = site.folder("empty", &[]);
    site.expect_problem(DIR, &empty, none, &empty);
    let no_certificates = site.folder("no_certificates", &[&site.file("text", "text"), &key]);
    site.fifo(&no_certificates.join("fifo"));
    symlink("nowhere", no_certificates.join("dangling")).unwrap();
    symlink("/dev/zero", no_certificates.join("device")).unwrap();
    // Folders in the folder do not count.
    symlink(&good, no_certificates.join("folder")).unwrap();
    site.expect_problem(DIR, &no_certificates, none, &no_certificates);
    let both = [empty.as_os_str(), no_certificates.as_os_str()].join(OsStr::new(":"));
    site.expect_problem(DIR, &both, none, Path::new(&both));
    let old = site.folder("old", &[&site.expired(), &site.early()]);
    site.expect_problem(DIR, &old, "holds no certificate that is valid now", &old);
    assert!(site.server.requests().is_empty(), "no server is asked");
}

#[test]
fn each_variable_that_is_set_must_name_something_readable() {
    let site = Site::new();
    let file = site.authority.file();
    let folder = site.folder("good", &[&file]);
    let missing = site.folder.path().join("missing");
    let (empty_file, empty_folder) = (site.file("empty", ""), site.folder("empty_folder", &[]));
    let other = Authority::new();
    let expect = |file: &Path, folder: &Path, reason: Result<(), &str>| {
        site.expect(&[(FILE, file.as_os_str()), (DIR, folder.as_os_str())], reason);
    };
    let problem = |variable: &str, problem: &str, path: &Path| {
        format!("{variable} {problem}: {}", path.display())
    };
    expect(&file, &folder, Ok(()));
    expect(&file, &empty_folder, Ok(()));
    expect(&empty_file, &folder, Ok(()));
    expect(&other.file(), &folder, Ok(()));
    expect(&file, &missing, Err(&problem(DIR, "does not exist", &missing)));
    expect(&missing, &folder, Err(&problem(FILE, "does not exist", &missing)));
    let none = problem(FILE, "holds no certificate", &empty_file);
    expect(&empty_file, &empty_folder, Err(&none));
    expect(&other.file(), &empty_folder, Err(UNKNOWN));
    // An empty variable is as good as none.
    expect(&file, Path::new(""), Ok(()));
    expect(Path::new(""), &folder, Ok(()));
    expect(&missing, Path::new(""), Err(&problem(FILE, "does not exist", &missing)));
}

#[test]
fn every_certificate_of_a_store_is_trusted_whatever_else_the_store_holds() {
    let site = Site::new();
    let pem = site.pem();
    let other = fs::read_to_string(Authority::new().file()).unwrap();
    let damaged = other.replace('A', "*");
    let key = fs::read_to_string(site.authority.server_key()).unwrap();
    for (name, content) in [
        ("after_others", format!("{other}{other}{pem}")),
        ("with_text", format!("Subject: CN=ca\n{other}\n# mine\n{pem}# end\n")),
        ("after_damage", format!("{damaged}{other}{pem}{damaged}")),
        ("after_key", format!("{key}{pem}")),
        ("windows", pem.replace('\n', "\r\n")),
        ("no_last_newline", pem.trim_end().to_owned()),
        ("twice", format!("{pem}{pem}")),
    ] {
        site.expect_trust(FILE, site.file(name, content));
    }
    site.expect_trust(FILE, site.authority.file_of_version_1());
    let invalid_name = site.file(OsStr::from_bytes(b"\xff.pem"), &pem);
    site.expect_trust(FILE, invalid_name);
    let link = site.folder.path().join("link");
    symlink(site.authority.file(), &link).unwrap();
    site.expect_trust(FILE, link);

    let [text, fragment] = [site.file("text", "text"), site.file("fragment", damaged)];
    let folder =
        site.folder("folder", &[&text, &fragment, &site.authority.file(), &site.expired()]);
    symlink("2.pem", folder.join("0a1b2c3d.0")).unwrap();
    symlink("nowhere", folder.join("dangling")).unwrap();
    site.fifo(&folder.join("fifo"));
    site.expect_trust(DIR, &folder);
    let empty = site.folder("empty", &[]);
    let several = [OsStr::new(""), empty.as_os_str(), folder.as_os_str(), OsStr::new("")];
    site.expect_trust(DIR, several.join(OsStr::new(":")));
}

#[test]
fn an_authority_is_trusted_only_while_its_certificate_is_valid() {
    let site = Site::new();
    let other = fs::read_to_string(Authority::new().file()).unwrap();
    for file in [site.expired(), site.early()] {
        let content = fs::read_to_string(&file).unwrap();
        let among_others = site.file("among_others", format!("{content}{other}"));
        site.expect(&[(FILE, among_others.as_os_str())], Err(UNKNOWN));
        let renewed = site.file("renewed", content + &site.pem());
        site.expect_trust(FILE, renewed);
    }
    site.expect_trust(FILE, site.authority.file_valid("19700101000000Z", "99991231235959Z"));
}

#[test]
fn the_certificate_of_a_server_does_not_make_the_server_trusted() {
    let site = Site::new();
    let certificate = site.authority.server_certificate();
    site.expect(&[(FILE, certificate.as_os_str())], Err(UNKNOWN));
}

#[test]
fn a_store_without_read_permission_is_reported() {
    let site = Site::new();
    let folder = tempfile::tempdir().unwrap();
    let program = shared_copy_of_agent(folder.path());
    let good = site.authority.file();
    let secret = site.folder("secret", &[&good]);
    let some = site.folder("some", &[&good, &good]);
    let only = site.folder("only", &[&good]);
    let [file, only_file] = [some.join("0.pem"), only.join("0.pem")];
    for path in [&secret, &file, &only_file] {
        fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
    }
    let expect = |variable, path: &Path, reason: Result<(), &str>| {
        site.expect_through(&as_nobody(&program), &[(variable, path.as_os_str())], reason);
    };
    let problem = |variable: &str, path: &Path| {
        format!("{variable} cannot be read (Permission denied): {}", path.display())
    };
    expect(FILE, &file, Err(&problem(FILE, &file)));
    let below = secret.join("0.pem");
    expect(FILE, &below, Err(&problem(FILE, &below)));
    expect(DIR, &secret, Err(&problem(DIR, &secret)));
    expect(DIR, &only, Err(&problem(DIR, &only_file)));
    expect(DIR, &some, Ok(()));
    fs::set_permissions(&secret, Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_store_that_hangs_is_not_waited_for() {
    let site = Site::new();
    // Opening a named pipe blocks until another process opens it for writing.
    let fifo = site.fifo(Path::new("fifo"));
    for (server, args) in site.requests() {
        let mut command = agent_trusting(&fifo);
        let outcome = finish(command.args(args).args(["-d", "-t", "400"]));
        let reason = format!("{server}: SSL_CERT_FILE takes too long to read: ");
        assert!(outcome.description().is_some_and(|text| text.starts_with(&reason)), "{outcome:?}");
        assert!(outcome.took < Duration::from_millis(400) + TOLERANCE, "{outcome:?}");
    }
}

/// Certificates of a little less than 4 MiB, in PEM format.
fn large(site: &Site) -> String {
    let pem = site.pem();
    pem.repeat((4 << 20) / pem.len())
}

#[test]
fn a_store_of_any_size_is_answered_within_64_mib_of_memory() {
    let site = Site::new();
    let limited: Vec<&OsStr> = ["prlimit", "--as=67108864", AGENT].iter().map(OsStr::new).collect();
    let expect = |variable, path: &Path, reason: Result<(), &str>| {
        site.expect_through(&limited, &[(variable, path.as_os_str())], reason);
    };
    let problem = |variable: &str, problem: &str, path: &Path| {
        format!("{variable} {problem}: {}", path.display())
    };
    let large = large(&site);
    let (fits, too_large) =
        (site.file("fits", &large), site.file("larger", large.clone() + &large));
    let size = "holds more than 4 MiB";
    expect(FILE, &fits, Ok(()));
    expect(FILE, &too_large, Err(&problem(FILE, size, &too_large)));
    let zero = Path::new("/dev/zero");
    expect(FILE, zero, Err(&problem(FILE, size, zero)));
    let folder = site.folder("folder", &[&fits]);
    expect(DIR, &folder, Ok(()));
    fs::copy(&fits, folder.join("again")).unwrap();
    expect(DIR, &folder, Err(&problem(DIR, size, &folder)));
    let many = site.folder("many", &[&site.authority.file()]);
    for number in 0..4095 {
        fs::write(many.join(number.to_string()), "").unwrap();
    }
    expect(DIR, &many, Ok(()));
    fs::write(many.join("one more"), "").unwrap();
    expect(DIR, &many, Err(&problem(DIR, "holds more than 4096 files", &many)));
}

#[test]
fn a_large_store_is_answered_with_any_amount_of_memory() {
    let site = Site::new();
    let file = site.file("large", large(&site));
    // With less than 6 MiB the program itself might not fit.
    for mib in 6..40 {
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={}", mib << 20)).arg(AGENT).args(["-t", "5s", "-d"]);
        command.args(&site.requests()[0].1).env(FILE, &file).env_remove(DIR);
        let outcome = finish(&mut command);
        let is_up = outcome.stdout == "up 100% # hls 5/6\n";
        let is_short =
            outcome.stdout.starts_with("down # ") && outcome.stdout.contains("too little");
        assert!(is_up || is_short, "{mib} MiB: {outcome:?}");
        assert!(is_up || mib < 32, "{mib} MiB: {outcome:?}");
    }
}

// The system's store

/// Runs the agent in a mount namespace in which the places of the system's store are empty, after a script.
/// `$1` of the script is the authority's certificate.
fn with_system_store(site: &Site, script: &str, reason: Result<(), &str>) {
    // The places stay as they are for everybody else.
    let clear = "for place in /etc/ssl /etc/pki /etc/security /opt; do
            [ ! -d $place ] || mount -t tmpfs none $place || exit
        done\n";
    let script = OsString::from(format!("{clear}{script}\nshift; exec \"$@\""));
    let authority = site.authority.file();
    let unshare = ["unshare", "--map-root-user", "--mount", "sh", "-e", "-c"].map(OsStr::new);
    let mut words = unshare.to_vec();
    words.extend([&script, OsStr::new("sh"), authority.as_os_str(), OsStr::new(AGENT)]);
    site.expect_through(&words, &[], reason);
    // An empty variable is as good as none.
    let empty = [(FILE, OsStr::new("")), (DIR, OsStr::new(""))];
    site.expect_through(&words, &empty, reason);
}

#[test]
fn without_a_variable_the_systems_store_is_trusted() {
    let site = Site::new();
    for script in [
        "mkdir /etc/ssl/certs; cp $1 /etc/ssl/certs/ca-certificates.crt",
        "mkdir /etc/ssl/certs; cp $1 /etc/ssl/certs/0a1b2c3d.0",
        "mkdir /etc/ssl/certs; cp $1 /etc/ssl/certs/mine; >/etc/ssl/certs/ca-certificates.crt",
        "mkdir /etc/ssl/certs; ln -s $1 /etc/ssl/certs/; mkdir /etc/ssl/certs/ca-certificates.crt",
        "cp $1 /etc/ssl/cert.pem",
        "cp $1 /etc/ssl/ca-bundle.pem",
    ] {
        with_system_store(&site, script, Ok(()));
    }
}

#[test]
fn a_broken_store_of_the_system_is_reported_and_the_built_in_list_is_not_used() {
    let site = Site::new();
    let (folder, file) = ("/etc/ssl/certs", "/etc/ssl/certs/ca-certificates.crt");
    let many_links = "cannot be read (Too many levels of symbolic links)";
    for (script, problem, place) in [
        ("mkdir /etc/ssl/certs", "holds no certificate", folder),
        ("mkdir /etc/ssl/certs; >/etc/ssl/certs/ca-certificates.crt", "holds no certificate", file),
        ("mkdir /etc/ssl/certs; ln -s nowhere /etc/ssl/certs/a", "holds no certificate", folder),
        ("ln -s certs /etc/ssl/certs", many_links, file),
        ("echo >/etc/ssl/cert.pem", "holds no certificate", "/etc/ssl/cert.pem"),
        ("ln -s cert.pem /etc/ssl/cert.pem", many_links, "/etc/ssl/cert.pem"),
        ("mkdir /etc/ssl/cert.pem", "cannot be read (Is a directory)", "/etc/ssl/cert.pem"),
    ] {
        let reason = format!("the system's store {problem}: {place}");
        with_system_store(&site, script, Err(&reason));
    }
    let expired = site.expired();
    let script = format!("cp {} /etc/ssl/cert.pem", expired.display());
    let now = "holds no certificate that is valid now: /etc/ssl/cert.pem";
    with_system_store(&site, &script, Err(&format!("the system's store {now}")));
}

#[test]
fn the_built_in_list_is_trusted_on_a_system_without_a_store() {
    let site = Site::new();
    with_system_store(&site, "", Err(UNKNOWN));
}

#[test]
fn a_broken_store_is_the_reason_even_if_nothing_listens() {
    for (scheme, service) in [("https", "v1"), ("wss", "ws")] {
        let url = format!("{scheme}://{}", free_address());
        let mut command = agent_trusting("/nowhere");
        let outcome = finish(command.args(["-d", &format!("{service}|{url}")]));
        outcome.expect(&format!("fail # {url}: SSL_CERT_FILE does not exist: /nowhere\n"), 1);
    }
}
