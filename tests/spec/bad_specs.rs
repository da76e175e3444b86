use std::fs;
use std::path::Path;

use crate::memory::Memory;

const UPDATE: &str = "UPDATE";

/// Each entry of `fixtures/bad-specs` is one mistake — a buildspec, or a folder that is a workspace — with the message
/// beside it. `UPDATE=1` writes the messages.
#[test]
fn every_mistake_has_its_message() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bad-specs");
    let mut entries: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let mut differ = Vec::new();
    let mut seen = 0;
    for entry in
        entries.iter().filter(|entry| entry.is_dir() || entry.extension().is_some_and(|e| e == "yaml"))
    {
        let name = entry.file_stem().unwrap().to_str().unwrap();
        let memory = if entry.is_dir() {
            workspace(entry)
        } else {
            Memory::new(&[(&format!("buildspecs/{name}.yaml"), &fs::read_to_string(entry).unwrap())])
        };
        let Err(problems) = memory.load() else { panic!("{name} was taken") };
        let shown = format!("{problems}\n");
        assert!(shown.lines().all(|line| line.chars().count() <= 96), "{name}: too wide\n{shown}");
        let expected = root.join(format!("{name}.txt"));
        if std::env::var_os(UPDATE).is_some() {
            fs::write(&expected, &shown).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != shown {
            differ.push(format!("{name}:\n{shown}"));
        }
        seen += 1;
    }
    assert!(seen > 40, "only {seen} cases were found");
    assert!(differ.is_empty(), "messages changed (UPDATE=1 writes them):\n{}", differ.join("\n"));
}

fn workspace(root: &Path) -> Memory {
    let mut memory = Memory::default();
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                memory.0.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    memory
}
