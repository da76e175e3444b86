//! What of the sources a program depends on, as a person meets it: what starts a tool, what is shown, what is refused.

use std::fs;

use insta::assert_snapshot;

use crate::builders::{GO, with_go, with_rust, with_watched_go};
use crate::env::Env;

/// A module with two programs that share a package.
fn with_two() -> Option<Env> {
    let env = with_go(GO)?;
    fs::remove_file(env.path("service/main.go")).unwrap();
    let program =
        "package main\n\nimport \"example.com/web/shared\"\n\nfunc main() { println(shared.Text) }\n";
    env.file("service/cmd/web/main.go", program)
        .file("service/cmd/api/main.go", program)
        .file("service/cmd/web/README.md", "one\n")
        .file("service/shared/shared.go", "package shared\n\nconst Text = \"hello\"\n")
        .file("service/docs/index.md", "one\n");
    let spec = "source: ../service\nbase: scratch\nplatforms: [linux/amd64]\nbuild: { go: { package: ./cmd/web } }\n";
    env.spec("web", spec).spec("api", &spec.replace("web", "api"));
    Some(env)
}

#[test]
fn what_is_not_imported_starts_no_tool() {
    let Some(mut env) = with_two() else { return };
    let log = with_watched_go(&mut env);
    let blobs = || {
        let folders = fs::read_dir(env.cache().join("v1/blobs")).unwrap();
        folders.map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().count()).sum::<usize>()
    };
    let builds = || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let found: Vec<String> =
            text.lines().filter(|line| line.starts_with("build ")).map(str::to_owned).collect();
        fs::write(&log, "").unwrap();
        found.iter().filter_map(|line| Some(line.rsplit_once("cmd/")?.1.to_owned())).collect::<Vec<_>>()
    };
    let first = env.succeeds(&["build"]);
    assert_eq!(builds(), ["api", "web"]);

    // Another program's package, documents, a package that nobody imports.
    fs::remove_file(&log).unwrap();
    env.file("service/docs/index.md", "two\n")
        .file("service/docs/new.md", "")
        .file("service/more/m.go", "package more\n");
    let again = env.succeeds(&["build"]);
    assert_eq!(again.stdout, first.stdout);
    assert!(!log.exists(), "go was asked for something: {}", again.stderr);
    env.file("service/cmd/api/extra.go", "package main\n\nvar extra = 1\n");
    env.succeeds(&["build"]);
    assert_eq!(builds(), ["api"]);

    // A file in the package's directory counts, and comes to nothing: one run, the same layer.
    let before = blobs();
    env.file("service/cmd/web/README.md", "two\n");
    let built = env.succeeds(&["build", "web"]);
    assert_eq!(builds(), ["web"]);
    assert!(first.stdout.contains(built.stdout.trim()), "{}\n{}", first.stdout, built.stdout);
    assert_eq!(blobs(), before);

    // What both import is built into both.
    env.file("service/shared/shared.go", "package shared\n\nconst Text = \"bye\"\n");
    assert_ne!(env.succeeds(&["build"]).stdout, first.stdout);
    assert_eq!(builds(), ["api", "web"]);
}

#[test]
fn files_that_are_not_reached_are_shown() {
    let Some(env) = with_two() else { return };
    env.spec(
        "web",
        "source: { dir: ../service/cmd/web, include: [\"**\", testdata/one] }\nbase: scratch\nplatforms: [linux/amd64]\nbuild: { go: {} }\n",
    );
    env.file("service/cmd/web/testdata/one", "").file("service/cmd/web/testdata/two", "");
    let shown = env.succeeds(&["plan", "--files", "web"]).stdout;
    let (_, files) = shown.split_once("web source ").unwrap();
    assert_snapshot!(files, @r"
    service/cmd/web
      + README.md  (include `**`)
      + main.go  (include `**`)
      + testdata/one  (named)
      - testdata/two  (not imported by the program)
    web source root service
      - cmd/api/main.go  (not imported by the program)
      - docs/index.md  (not imported by the program)
      + go.mod  (no rule against it)
      + shared/shared.go  (no rule against it)
    ");
    env.succeeds(&["build", "web"]);
    env.file("service/docs/index.md", "two\n").file("service/cmd/web/testdata/two", "2");
    assert!(env.succeeds(&["explain", "web"]).stdout.contains("  stored"));
    env.file("service/cmd/web/testdata/one", "1");
    let said = env.succeeds(&["explain", "web"]).stdout;
    assert!(said.contains("input cmd/web/testdata/one: changed"), "{said}");
}

#[test]
fn what_a_program_reads_outside_of_its_inputs_fails_the_build() {
    let Some(env) = with_rust("fn main() {\n    print!(\"{}\", include_str!(\"../fixture/text.txt\"));\n}\n")
    else {
        return;
    };
    // A package of its own, which nothing depends on.
    env.file(
        "service/fixture/Cargo.toml",
        "[package]\nname = \"fixture\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[workspace]\n",
    )
    .file("service/fixture/src/lib.rs", "")
    .file("service/fixture/text.txt", "hello");
    let said = env.fails(3, &["build", "--quiet"]);
    let hint = "hint: fixture/text.txt is no input (no part of the package, nor of what it depends on): \
                name it in `source.include`, beside \"**\", to make it one";
    assert!(said.contains(hint), "{said}");
    env.spec(
        "core",
        "source: { dir: ../service, include: [\"**\", fixture/text.txt] }\nbase: scratch\nplatforms: [linux/amd64]\nbuild: { rust: {} }\n",
    );
    env.succeeds(&["build"]);

    // Read by a macro that rustc tells of, and through a variable.
    let outside = env.outside("secret.txt");
    fs::write(&outside, "x").unwrap();
    env.file(
        "service/src/main.rs",
        format!("fn main() {{\n    print!(\"{{}}\", include_str!({outside:?}));\n}}\n"),
    );
    let error = || {
        let said = env.fails(3, &["build", "--quiet"]);
        said[said.find("error: ").unwrap()..].to_owned()
    };
    let said = error();
    assert_snapshot!(said, @r"
    error: core (linux/amd64): the build read [dir]/secret.txt, which is not one of its inputs
    hint: name it in `source.include`, bring it into `source.dir` with `source.add`, or do not read it
    ");
    // A failed check leaves no record.
    assert_eq!(error(), said);

    env.file("service/src/main.rs", "fn main() {\n    print!(\"{:?}\", option_env!(\"GREETING\"));\n}\n");
    assert_snapshot!(error(), @r#"
    error: core (linux/amd64): the package in service reads the environment variable GREETING, which the spec does not declare
    hint: builds see no environment: give the value, empty too, in `build.rust.env: { GREETING: "" }`
    "#);
    env.succeeds(&["build", "--set", "build.rust.env.GREETING="]);
}
