//! The house rules that no compiler checks: direction of dependencies, names, sizes of files, one changelog.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Module and the modules that it may name. A module may always name itself and `model`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("tar", &["elf"]),
    ("elf", &[]),
    ("debian", &["elf", "tar"]),
    ("apk", &["elf", "tar"]),
    ("component", &[]),
    ("key", &[]),
    ("lock", &[]),
    ("spec", &[]),
    ("plan", &["component", "key", "spec"]),
    ("image", &["plan"]),
    ("report", &[]),
    ("system", &["tar"]),
    ("archive", &["image", "system"]),
    ("base", &["elf", "system", "tar"]),
    ("builder", &["system", "spec"]),
    ("engine", &["system"]),
    ("registry", &["system"]),
    ("store", &["system"]),
    ("tree", &["lock", "system"]),
    (
        "ops",
        &[
            "apk",
            "archive",
            "base",
            "builder",
            "component",
            "debian",
            "elf",
            "engine",
            "image",
            "key",
            "lock",
            "plan",
            "registry",
            "report",
            "spec",
            "store",
            "system",
            "tar",
            "tree",
        ],
    ),
    // It gives every error below its words and its exit code.
    (
        "cli",
        &[
            "apk", "archive", "base", "builder", "debian", "elf", "engine", "lock", "ops", "plan",
            "registry", "report", "spec", "store", "system", "tar", "tree",
        ],
    ),
];

/// Names that say nothing of what a file knows.
const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "core", "manager"];

/// Lines of a source file, tests included. A fuller file wants a new noun beside it.
const CEILING: usize = 700;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code of a file without its comments and without its inline tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every `x` of `crate::x` and of `crate::{x::…, y}`.
fn named_modules(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => drop(found.insert(word(rest))),
            Some(list) => {
                let (mut depth, mut start) = (0, true);
                for (index, character) in list.char_indices() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        _ if start && !character.is_whitespace() => {
                            found.insert(word(&list[index..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

#[test]
fn the_reader_of_imports_sees_them() {
    let names = named_modules("use crate::a::B; use crate::{b::{C, D}, c, \n d::E}; crate::f()");
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d", "f"]);
}

/// Whether a source below `src` belongs to a program that images carry: `build.rs` makes these, and they are no modules of
/// the library.
fn is_program(relative: &Path) -> bool {
    PROGRAMS.iter().any(|program| relative.starts_with(program))
}

const PROGRAMS: &[&str] = &["component/probe", "component/init", "component/dial.rs", "component/expand.rs"];

#[test]
fn programs_know_nothing_of_the_library() {
    for program in PROGRAMS {
        let path = root().join("src").join(program);
        for path in if path.is_dir() { sources(&path) } else { vec![path] } {
            let code = code(&path);
            for word in ["imgpack::", "crate::model", "extern crate"] {
                assert!(!code.contains(word), "{}: {word}", path.display());
            }
        }
    }
}

#[test]
fn dependencies_point_one_way() {
    let src = root().join("src");
    let mut wrong = Vec::new();
    for path in sources(&src) {
        let relative = path.strip_prefix(&src).unwrap();
        let module = relative.components().next().unwrap().as_os_str().to_str().unwrap();
        if relative.components().count() == 1 || is_program(relative) {
            continue;
        }
        let allowed = MAY_USE.iter().find(|(name, _)| *name == module);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{module} has no row in MAY_USE"));
        for named in named_modules(&code(&path)) {
            if named != module && named != "model" && !allowed.contains(&named.as_str()) {
                wrong.push(format!("{}: {module} must not name {named}", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_pure_core_opens_nothing() {
    let doors = [
        "std::fs",
        "std::env",
        "std::process",
        "net::Tcp",
        "net::Udp",
        "ToSocketAddrs",
        "SystemTime",
        "Instant::now",
        "File::open",
    ];
    let mut wrong = Vec::new();
    for module in ["model", "spec", "plan", "key", "lock", "tar", "image", "report"] {
        for path in sources(&root().join("src").join(module)) {
            let code = code(&path);
            wrong.extend(
                doors
                    .iter()
                    .filter(|door| code.contains(**door))
                    .map(|door| format!("{}: {door}", path.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_one_place_is_asynchronous() {
    for path in sources(&root().join("src")) {
        if !path.starts_with(root().join("src/registry")) {
            let code = code(&path);
            for word in ["async fn", "async move", ".await", "tokio::", "reqwest::", "oci_client::"] {
                assert!(!code.contains(word), "{}: {word}", path.display());
            }
        }
    }
}

#[test]
fn files_are_small_and_named_by_what_they_know() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches"] {
        let folder = root().join(folder);
        for path in if folder.is_dir() { sources(&folder) } else { Vec::new() } {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            if lines > CEILING {
                wrong.push(format!("{}: {lines} lines", path.display()));
            }
            for component in path.strip_prefix(root()).unwrap().components() {
                let name = component.as_os_str().to_str().unwrap().trim_end_matches(".rs");
                if EMPTY_NAMES.contains(&name) {
                    wrong.push(format!("{}: the name says nothing", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_changelog_knows_this_version() {
    let text = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let heading = format!("## {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(text.lines().filter(|line| line.starts_with(&heading)).count(), 1);
}
