use std::fs;
use std::path::Path;

use crate::memory::Memory;

/// One ```yaml block of the page, and the ```text block that follows it.
pub(crate) struct Example {
    line: usize,
    fails: bool,
    pub(crate) memory: Memory,
    message: Option<String>,
}

/// Every example of `docs/buildspec.md`. A comment line that is a path begins a file; without one it is
/// `buildspecs/app.yaml`.
pub(crate) fn examples() -> Vec<Example> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/buildspec.md")).unwrap();
    let mut examples: Vec<Example> = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```").filter(|language| !language.is_empty()) else {
            continue;
        };
        let body: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| !line.starts_with("```")).collect();
        match language {
            "yaml" | "yaml error" => examples.push(Example {
                line: at + 1,
                fails: language.ends_with("error"),
                memory: files(&body),
                message: None,
            }),
            "text" => examples.last_mut().unwrap().message = Some(body.join("\n")),
            other => panic!("line {}: no test reads ```{other}", at + 1),
        }
    }
    examples
}

fn files(body: &[&str]) -> Memory {
    let mut path = "buildspecs/app.yaml".to_owned();
    let mut files: Vec<(String, String)> = Vec::new();
    for line in body {
        match line.strip_prefix("# ").filter(|path| path.ends_with(".yaml") && !path.contains(' ')) {
            Some(name) => name.clone_into(&mut path),
            None => match files.last_mut().filter(|(name, _)| *name == path) {
                Some((_, text)) => *text += &format!("{line}\n"),
                None => files.push((path.clone(), format!("{line}\n"))),
            },
        }
    }
    Memory::new(&files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>())
}

#[test]
fn every_example_is_right() {
    let examples = examples();
    assert!(examples.len() > 12, "only {} examples were found", examples.len());
    for example in &examples {
        let result = example.memory.load();
        match (result, example.fails) {
            (Ok(workspace), false) => assert!(!workspace.services.is_empty(), "line {}", example.line),
            (Ok(_), true) => panic!("line {}: was taken", example.line),
            (Err(problems), false) => panic!("line {}:\n{problems}", example.line),
            (Err(problems), true) => {
                assert_eq!(Some(problems.to_string()), example.message, "line {}", example.line);
            }
        }
    }
}

#[test]
fn every_field_is_described() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/buildspec.md")).unwrap();
    let schema = imgpack::spec::schema();
    let mut missing = Vec::new();
    for (record, part) in schema["$defs"].as_object().unwrap() {
        for field in part["properties"].as_object().unwrap().keys() {
            let field = field.trim_end_matches('+');
            if !page.contains(&format!("`{field}`")) && !page.contains(&format!("{{ {field}, ")) {
                missing.push(format!("{record}.{field}"));
            }
        }
    }
    assert!(missing.is_empty(), "not in docs/buildspec.md: {missing:?}");
}
