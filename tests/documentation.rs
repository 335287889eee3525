//! Every document names every request that the program understands, in the same form, and no other.

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::agent;
use common::requests::{form, services, thresholds};

/// The forms of requests without the brackets around optional fields, such as `v1|URL|BLOCKS|HOST`.
type Forms = BTreeSet<String>;

/// The form of each service's requests, as the program tells it.
fn program() -> Forms {
    let mut forms: Forms = services().iter().map(|name| form(name)).collect();
    forms.insert("debug|REPLY".to_owned());
    forms
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn without_brackets(form: &str) -> String {
    form.replace(['[', ']'], "")
}

/// The first cells of the table with this heading in a Markdown page.
fn table(page: &str, heading: &str) -> BTreeSet<String> {
    let page = read(page);
    let rows = page.lines().skip_while(|line| !line.starts_with(&format!("| {heading} |")));
    let rows = rows.skip(2).take_while(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('`').nth(1).unwrap().replace("\\|", "|"));
    cells.collect()
}

fn requests(page: &str) -> Forms {
    table(page, "request").iter().map(|form| without_brackets(form)).collect()
}

/// The items of the manual page that begin with a literal text.
fn manual_items() -> Vec<String> {
    let manual = read("docs/haproxy-agent-check.8");
    let items = manual.lines().filter_map(|line| line.strip_prefix(".It Li "));
    items.map(|item| item.replace("\\-", "-").replace("\\& Ns Ar ", "")).collect()
}

#[test]
fn the_readme_names_every_request_and_no_other() {
    assert_eq!(requests("README.md"), program());
    assert_eq!(table("README.md", "threshold"), thresholds().into_iter().collect());
}

#[test]
fn the_pages_name_every_request_and_no_other() {
    let pages = ["docs/antelope.md", "docs/websocket.md", "docs/other-servers.md"];
    let documented: Forms = pages.iter().flat_map(|page| requests(page)).collect();
    assert_eq!(documented, program());
    assert_eq!(table("docs/wcs.md", "threshold"), thresholds().into_iter().collect());
}

#[test]
fn the_manual_names_every_request_and_no_other() {
    let items = manual_items();
    let requests = items.iter().filter(|item| item.contains('|'));
    let requests: Forms = requests.map(|form| without_brackets(form)).collect();
    assert_eq!(requests, program());
    let values = items.iter().filter_map(|item| item.split_once(" Ta "));
    let values: BTreeSet<String> = values.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(values, thresholds().into_iter().collect());
}

#[test]
fn help_names_every_request_and_no_other() {
    let help = agent(&["--help"]).stdout;
    let request = help.split("\n  -").next().unwrap();
    let names = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| c.is_whitespace() || ",;().".contains(c));
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let [values, services_help] = request.split("\nOr: ").collect::<Vec<_>>()[..] else {
        panic!("help does not tell thresholds from services: {request}");
    };
    // `limit; cpu (percent, 90), publishers, ... stat:KEY (any key). Without a request: ...`
    let list = values.split_once(';').unwrap().1.split_once(". ").unwrap().0;
    let without_remarks: String =
        list.split('(').map(|part| part.rsplit(')').next().unwrap()).collect();
    assert_eq!(names(&without_remarks), thresholds().into_iter().collect());
    let mut listed: BTreeSet<String> = BTreeSet::new();
    for word in names(services_help) {
        let name = word.split('|').next().unwrap().to_owned();
        if !["TYPE", "with"].contains(&name.as_str()) {
            listed.insert(name);
        }
    }
    let known: BTreeSet<String> = services().into_iter().chain(["debug".to_owned()]).collect();
    assert_eq!(listed, known);
    let stated: Forms = names(services_help).iter().map(|form| without_brackets(form)).collect();
    for form in program().iter().filter(|form| !form.ends_with("|URL|BLOCKS|HOST")) {
        assert!(stated.contains(form), "{form} is missing: {stated:?}");
    }
    assert!(stated.contains("TYPE|URL|BLOCKS|HOST"), "{stated:?}");
}
