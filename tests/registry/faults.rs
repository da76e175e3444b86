use std::path::Path;

/// Every function of the sources below a folder, as `FILE::NAME`.
fn functions(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let names =
                text.split("#[test]\n").skip(1).filter_map(|rest| rest.trim_start().strip_prefix("fn "));
            found.extend(names.map(|name| format!("{file}::{}", name.split('(').next().unwrap())));
        }
    }
}

#[test]
fn every_fault_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = Vec::new();
    for folder in ["src", "tests"] {
        functions(&root.join(folder), &mut tests);
    }
    let rows =
        include_str!("faults.md").lines().filter(|line| line.starts_with("| ") && !line.contains("| test |"));
    let mut wrong = Vec::new();
    for row in rows {
        let named = row.split(" | ").nth(1).unwrap().trim_end_matches(" |");
        for name in named.split(", ").map(|name| name.trim_matches('`')) {
            let there = match name.contains('/') {
                true => root.join(name).exists(),
                // Without a file: whatever file it is in.
                false => tests.iter().any(|test| test == name || test.ends_with(&format!("::{name}"))),
            };
            if !there {
                wrong.push(format!("{name}, of {row}"));
            }
        }
    }
    assert!(wrong.is_empty(), "tests of tests/registry/faults.md that are not there:\n{}", wrong.join("\n"));
}
