//! The layers of `src`: what a file may use, so that a reader can go from the bottom to the top. Also the
//! actions that the workflows use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The layers, from the bottom to the top. A file uses only files of its own layer and of those before it.
const LAYERS: [&str; 11] = [
    "text", "process", "net", "verdict", "reply", "values", "services", "request", "cli", "lib",
    "main",
];

/// The modules of the program, such as `net::url`, with the modules that each uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Reads every file of `src` except the fuzzers' properties, which are not part of the program.
fn uses() -> Uses {
    let mut sources = BTreeMap::new();
    collect(Path::new("src"), &mut sources);
    sources.retain(|module, _| !module.starts_with("fuzzing"));
    parse(&sources)
}

/// Collects the text of every source file below `folder`, by module.
fn collect(folder: &Path, sources: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
            continue;
        }
        let module = path.strip_prefix("src").unwrap().with_extension("");
        let module = module.to_str().unwrap().replace('/', "::");
        let module = module.strip_suffix("::mod").unwrap_or(&module).to_owned();
        sources.insert(module, fs::read_to_string(&path).unwrap());
    }
}

/// Finds the modules that each source uses. Its tests do not count.
fn parse(sources: &BTreeMap<String, String>) -> Uses {
    let used = |(module, text): (&String, &String)| {
        let program = text.split("#[cfg(test)]\n").next().unwrap();
        // The head of a module is a comment of several lines.
        let program = program.split_once("*/").map_or(program, |(_, program)| program);
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let code: Vec<&str> = program.lines().filter(is_code).collect();
        let code = code.join("\n");
        let mut used = BTreeSet::new();
        let mut rest = String::new();
        for statement in code.split_inclusive(';') {
            match statement.trim().strip_prefix("use crate::") {
                Some(paths) => {
                    for path in expand(paths.trim_end_matches(';')) {
                        used.insert(module_of(&path, sources));
                    }
                }
                None => rest.push_str(statement),
            }
        }
        // A parent also uses a child that it names without `crate`, for instance in a table of its children.
        let children = sources.keys().filter_map(|child| {
            let name = child.strip_prefix(&format!("{module}::"))?;
            (!name.contains("::") && rest.contains(&format!("{name}::"))).then(|| child.clone())
        });
        used.extend(children);
        assert!(!rest.contains("crate::"), "{module}: write paths in `use` lines");
        assert!(!rest.contains("super::"), "{module}: write paths from `crate`");
        used.remove(module);
        (module.clone(), used)
    };
    sources.iter().map(used).collect()
}

/// The paths in a `use` line: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(path: &str) -> Vec<String> {
    let Some((prefix, list)) = path.split_once('{') else {
        return vec![path.split_whitespace().next().unwrap_or_default().to_owned()];
    };
    let list = list.trim_end().strip_suffix('}').expect("a list ends in a brace");
    assert!(!list.contains('{'), "nested lists are not used: {path}");
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let path = |name: &str| match name.split_whitespace().next().unwrap() {
        "self" => prefix.trim_end_matches("::").to_owned(),
        name => format!("{prefix}{name}"),
    };
    names.map(path).collect()
}

/// The module that holds the item at `path`: the longest beginning that is a file.
fn module_of(path: &str, sources: &BTreeMap<String, String>) -> String {
    let mut module = path;
    while !sources.contains_key(module) {
        module = module.rsplit_once("::").unwrap_or_else(|| panic!("{path} is in no file")).0;
    }
    module.to_owned()
}

/// The number of the layer that a module belongs to.
fn layer(module: &str) -> usize {
    let folder = module.split("::").next().unwrap();
    let layer = LAYERS.iter().position(|layer| *layer == folder);
    layer.unwrap_or_else(|| panic!("{module} belongs to no layer: add it to LAYERS"))
}

/// A way from a module over the modules that it uses back to itself, if there is one.
fn circle(uses: &Uses) -> Option<Vec<String>> {
    let mut rest = uses.clone();
    // Modules that use nothing more cannot be part of a circle.
    while let Some(module) = rest.iter().find(|(_, used)| used.is_empty()) {
        let module = module.0.clone();
        rest.remove(&module);
        for used in rest.values_mut() {
            used.remove(&module);
        }
    }
    let mut way: Vec<String> = rest.keys().take(1).cloned().collect();
    while let Some(next) = way.last().map(|module| rest[module].first().unwrap().clone()) {
        if let Some(begin) = way.iter().position(|module| *module == next) {
            return Some(way.split_off(begin));
        }
        way.push(next);
    }
    None
}

#[test]
fn a_layer_uses_only_the_layers_below_it() {
    for (module, used) in uses() {
        for used in used {
            assert!(layer(&used) <= layer(&module), "{module} uses {used}, which is above it");
        }
    }
}

#[test]
fn no_two_modules_depend_on_each_other() {
    let uses = uses();
    assert!(uses.len() > 50 && uses["lib"].len() > 10, "{uses:?}");
    assert_eq!(circle(&uses), None);
}

#[test]
fn a_circle_is_found() {
    let source = |text: &str| text.to_owned();
    let mut sources = BTreeMap::from([
        ("text".to_owned(), source("pub mod a;\npub mod b;\nuse crate::text::a::A;\n")),
        ("text::a".to_owned(), source("use std::fmt;\nuse crate::text::b::{self, B};\n")),
        ("text::b".to_owned(), source("#[cfg(test)]\nmod tests { use crate::text::a::A; }\n")),
    ]);
    assert_eq!(circle(&parse(&sources)), None);
    sources.insert("text::b".to_owned(), source("use crate::text::TABLE;\n"));
    assert_eq!(circle(&parse(&sources)).map(|circle| circle.len()), Some(3));
    let table =
        source("pub mod a;\nuse crate::text::row::Row;\nconst TABLE: &[&Row] = &[&a::ROW];\n");
    let row = source("use crate::text::TABLE;\n");
    let with_table = BTreeMap::from([
        ("text".to_owned(), table),
        ("text::a".to_owned(), row),
        ("text::row".to_owned(), String::new()),
    ]);
    assert_eq!(circle(&parse(&with_table)).map(|circle| circle.len()), Some(2));
    sources.insert("text::b".to_owned(), source("use crate::text::{\n    a::A,\n};\n"));
    assert_eq!(circle(&parse(&sources)).map(|circle| circle.len()), Some(2));
}

#[test]
fn the_workflows_name_every_action_by_its_commit() {
    let mut actions = 0;
    for entry in fs::read_dir(".github/workflows").unwrap() {
        let path = entry.unwrap().path();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let Some((_, action)) = line.split_once("uses:") else { continue };
            actions += 1;
            let (action, version) = action.split_once(" # ").unwrap_or((action, ""));
            let commit = action.trim().split_once('@').map_or("", |(_, commit)| commit);
            let is_commit = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(is_commit && version.starts_with('v'), "{}: {line}", path.display());
        }
    }
    assert!(actions > 0, "no workflow uses an action");
}
