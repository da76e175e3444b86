use std::time::Instant;

use proptest::prelude::*;

use crate::docs;
use crate::memory::Memory;

/// Loads, and shows what is wrong; nothing may panic, and messages keep to their width.
fn survive(memory: &Memory) {
    match memory.load() {
        Ok(workspace) => drop(workspace.select(&[], None)),
        Err(problems) => {
            let shown = problems.to_string();
            assert!(problems.iter().len() > 0 && !shown.is_empty());
            assert!(!shown.contains('\u{1b}'));
        }
    }
}

fn pieces() -> Vec<String> {
    let words = [
        ": ",
        "- ",
        "\n",
        "\n  ",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "!!str ",
        "? ",
        "| \n",
        "> \n",
        "'",
        "\"",
        "${",
        "${arg.A}",
        "$${",
        "null",
        "~",
        "true",
        "0644",
        "3.10",
        "-",
        "..",
        "../../..",
        "/",
        "\t",
        "\0",
        "\u{feff}",
        "\u{85}",
        "\u{2028}",
        "é",
        "日本",
        "#",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "+",
        "<<",
        ",",
        "18446744073709551616",
        "\r\n",
        "\r",
        "build",
        "extends",
        "variants",
        "image",
    ];
    words.map(str::to_owned).to_vec()
}

/// A right example with some pieces put in, doubled or taken out.
fn mutated() -> impl Strategy<Value = Memory> {
    let examples: Vec<Memory> = docs::examples().into_iter().map(|example| example.memory).collect();
    let edits = prop::collection::vec(
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4u8, prop::sample::select(pieces())),
        1..6,
    );
    (prop::sample::select(examples), edits).prop_map(|(mut memory, edits)| {
        for (file, place, edit, piece) in edits {
            let name = memory.0.keys().nth(file.index(memory.0.len())).unwrap().clone();
            let text = memory.0.get_mut(&name).unwrap();
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let at = places[place.index(places.len())];
            match edit {
                0 | 1 => text.insert_str(at, &piece),
                2 => {
                    let end =
                        (at + 7..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
                    text.replace_range(at..end, &piece);
                }
                _ => {
                    let copy = text[at..].lines().next().unwrap_or_default().to_owned();
                    text.insert_str(at, &copy);
                }
            }
        }
        memory
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_a_spec_is_a_panic(memory in mutated()) {
        survive(&memory);
    }

    #[test]
    fn no_text_is_a_panic(text in "\\PC{0,60}", noise in prop::collection::vec(prop::sample::select(pieces()), 0..30)) {
        survive(&Memory::new(&[("buildspecs/app.yaml", &text), ("buildspecs/noise.yaml", &noise.concat())]));
        survive(&Memory::new(&[("imgpack.yaml", &format!("apiVersion: imgpack/v1\n{}", noise.concat()))]));
    }

    #[test]
    fn no_set_is_a_panic(path in "[a-z.+]{1,20}", value in "\\PC{0,20}") {
        let memory = Memory::new(&[("buildspecs/app.yaml", "args: { A: b }\n")]);
        for set in [format!("{path}={value}"), format!("image.env.A={value}"), format!("tags={value}"), format!("image.user={value}")] {
            if set.parse::<imgpack::spec::SetArg>().is_ok() && let Ok(workspace) = memory.load_with(&[&set]) {
                let _ = workspace.select(&[], None);
            }
        }
    }
}

#[test]
fn hostile_files_end_soon() {
    let laughs = (1..30).fold("x-0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, at| {
        let uses = vec![format!("*a{}", at - 1); 10].join(",");
        format!("{text}x-{at}: &a{at} [{uses}]\n")
    });
    let many_keys =
        (0..60_000).fold("image:\n  env:\n".to_owned(), |text, at| text + &format!("    K{at}: v\n"));
    let one_line = format!("{{{}}}", (0..60_000).map(|at| format!("k{at}: v, ")).collect::<String>());
    let many_images = (0..5_000).fold("images:\n".to_owned(), |text, at| text + &format!("  i{at}: {{}}\n"));
    let many_mistakes = (0..60_000).fold(String::new(), |text, at| text + &format!("k{at}: v\n"));
    for text in [
        &laughs,
        &"[".repeat(1_000_000),
        &"{a: ".repeat(100_000),
        &"- ".repeat(200_000),
        &many_keys,
        &many_mistakes,
        &one_line,
        &many_images,
        &format!("{many_images}variants: {{ a: {{}}, b: {{}} }}"),
        &format!("\"{}\": 1", "x".repeat(3 << 20)),
        &format!("image: {{ workdir: \"{}\" }}", "x".repeat(3 << 20)),
        &format!("args: {{ A: b }}\nbase: \"${{arg.{}}}\"", "x".repeat(3 << 20)),
        &format!("extends: [{}]", "app, ".repeat(60_000)),
        &format!("a: {}", "x".repeat(5 << 20)),
        &format!("image: {{ cmd: [\"{}\"] }}", "${arg.A}".repeat(20_000)),
    ] {
        let start = Instant::now();
        survive(&Memory::new(&[("buildspecs/app.yaml", text)]));
        // Seconds, where quadratic work would be minutes.
        assert!(start.elapsed().as_secs() < 20, "{} bytes took {:?}", text.len(), start.elapsed());
    }
}

#[test]
fn a_thousand_services() {
    let service = "extends: [_go]\nsource: ../src\nargs: { REGION: eu }\nbuild: { go: { package: ./cmd/x } }\n\
                   files: [{ from: a.toml, to: /etc/a.toml, mode: \"0644\" }]\nimage: { ports: { http: 80 }, env: { A: '${arg.REGION}' } }\n\
                   variants: { alpine: { base: docker.io/library/alpine:3.20 } }\n";
    let mut memory =
        Memory::new(&[("buildspecs/_go.yaml", "image: { user: { name: app, uid: 7 }, labels: { a: b } }\n")]);
    for at in 0..1000 {
        memory.0.insert(format!("buildspecs/s{at}.yaml"), service.to_owned());
    }
    let start = Instant::now();
    let workspace = memory.load().unwrap();
    let took = start.elapsed();
    println!("1,000 services, 2,000 images: {took:?}");
    assert_eq!(workspace.services.len(), 1000);
    assert!(took.as_secs() < 10, "{took:?}");
}
