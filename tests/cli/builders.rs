//! Builders as a person meets them: their failures, and builds in which they have nothing to do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use insta::assert_snapshot;

use crate::env::{Env, is_installed, skip};

/// A workspace with a Go service `web`; `None` where there is no Go.
pub(crate) fn with_go(main: &str) -> Option<Env> {
    if !is_installed("go") {
        skip("go is not installed");
        return None;
    }
    let env = Env::new();
    env.file("service/go.mod", "module example.com/web\n\ngo 1.22\n").file("service/main.go", main);
    env.spec("web", "source: ../service\nbase: scratch\nplatforms: [linux/amd64]\nbuild: { go: {} }\n");
    Some(env)
}

/// A workspace with a Rust service `core`; `None` where there is no Rust.
pub(crate) fn with_rust(main: &str) -> Option<Env> {
    if !is_installed("cargo") {
        skip("cargo is not installed");
        return None;
    }
    let env = Env::new();
    let package = "[package]\nname = \"core\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";
    let lock = "version = 4\n\n[[package]]\nname = \"core\"\nversion = \"1.0.0\"\n";
    env.file("service/Cargo.toml", package)
        .file("service/Cargo.lock", lock)
        .file("service/src/main.rs", main);
    let toolchain = Path::new(env!("CARGO_MANIFEST_DIR")).join("rust-toolchain.toml");
    env.file("service/rust-toolchain.toml", fs::read(toolchain).unwrap());
    env.spec("core", "source: ../service\nbase: scratch\nplatforms: [linux/amd64]\nbuild: { rust: {} }\n");
    Some(env)
}

pub(crate) const GO: &str = "package main\n\nfunc main() { println(\"hello\") }\n";
pub(crate) const RUST: &str = "fn main() {\n    println!(\"hello\");\n}\n";

/// The text with what differs between machines and releases of a toolchain replaced.
fn without_machine(text: &str) -> String {
    let mut clean = Vec::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        for (before, end) in
            [("-p=", ' '), ("--jobs ", ' '), ("/v1/stage/rust-", '/'), ("/v1/target/rust-", ' ')]
        {
            if let Some(at) = line.find(before) {
                let from = at + before.len();
                let length = line[from..].find([end, ')']).unwrap_or(line.len() - from);
                line.replace_range(from..from + length, "…");
            }
        }
        clean.push(line + "\n");
    }
    clean.concat()
}

#[test]
fn a_go_program_that_does_not_compile() {
    let Some(env) = with_go("package main\n\nfunc main() {\n\tundefinedName()\n}\n") else { return };
    let said = env.fails(3, &["build", "--output", "oci:out"]);
    assert_eq!(said.matches("undefinedName").count(), 1, "{said}");
    assert_snapshot!(without_machine(&said), @r"
    1 image to build for linux/amd64
    web linux/amd64: reading the base
    web linux/amd64: hashing the sources
    web linux/amd64: waiting for a builder
    web linux/amd64: building with go
    web linux/amd64: | go: no module dependencies to download
    web linux/amd64: | # example.com/web
    web linux/amd64: | ./main.go:4:2: undefined: undefinedName
    web linux/amd64: failed
    error: web (linux/amd64): `go build -trimpath -buildvcs=false -p=… '-ldflags=-s -w' -o web -- .` failed in the make phase: exit status: 1
    ");
    let said = env.fails(3, &["build", "--quiet"]);
    assert_snapshot!(without_machine(&said), @r"
    web linux/amd64: | # example.com/web
    web linux/amd64: | ./main.go:4:2: undefined: undefinedName
    error: web (linux/amd64): `go build -trimpath -buildvcs=false -p=… '-ldflags=-s -w' -o web -- .` failed in the make phase: exit status: 1
    ");
    assert!(!env.path("out").exists());
    // Both platforms fail, each with its own command, after everything else was tried.
    env.spec("web", "source: ../service\nbase: scratch\nbuild: { go: {} }\n");
    env.spec("site", "base: scratch\nfiles: { /etc/go.mod: ../service/go.mod }\n");
    let said = env.fails(3, &["build", "--keep-going", "--output", "oci:out"]);
    assert!(!env.path("out").exists());
    let (_, errors) = said.split_once("error: ").unwrap();
    assert_snapshot!(without_machine(errors), @r"
    web (linux/amd64, linux/arm64): `go build -trimpath -buildvcs=false -p=… '-ldflags=-s -w' -o web -- .` failed in the make phase: exit status: 1
      | # example.com/web
      | ./main.go:4:2: undefined: undefinedName
    ");
    // It is not remembered as built.
    env.file("service/main.go", GO);
    env.succeeds(&["build"]);
}

#[test]
fn a_rust_program_that_does_not_compile() {
    let Some(env) = with_rust("fn main() {\n    let port: u16 = \"80\";\n}\n") else { return };
    let said = env.fails(3, &["build", "--output", "oci:out"]);
    assert_eq!(said.matches("mismatched types").count(), 1, "{said}");
    assert_snapshot!(without_machine(&said), @r#"
    1 image to build for linux/amd64
    core linux/amd64: reading the base
    core linux/amd64: hashing the sources
    core linux/amd64: waiting for a builder
    core linux/amd64: building with rust
    note: `core` uses musl's slow allocator: consider another, like mimalloc
    core linux/amd64: |    Compiling core v1.0.0 ([dir]/cache/v1/stage/rust-…)
    core linux/amd64: | error[E0308]: mismatched types
    core linux/amd64: |  --> src/main.rs:2:21
    core linux/amd64: |   |
    core linux/amd64: | 2 |     let port: u16 = "80";
    core linux/amd64: |   |               ---   ^^^^ expected `u16`, found `&str`
    core linux/amd64: |   |               |
    core linux/amd64: |   |               expected due to this
    core linux/amd64: | 
    core linux/amd64: | For more information about this error, try `rustc --explain E0308`.
    core linux/amd64: | error: could not compile `core` (bin "core") due to 1 previous error
    core linux/amd64: failed
    error: core (linux/amd64): `cargo build --frozen --message-format=json-render-diagnostics --manifest-path [dir]/cache/v1/stage/rust-…/Cargo.toml --target-dir [dir]/cache/v1/target/rust-… --jobs … --target x86_64-unknown-linux-musl --profile release --bin core` failed in the make phase: exit status: 101
    "#);
    let said = env.fails(3, &["build", "--quiet"]);
    assert_snapshot!(without_machine(&said), @r#"
    core linux/amd64: |    Compiling core v1.0.0 ([dir]/cache/v1/stage/rust-…)
    core linux/amd64: | error[E0308]: mismatched types
    core linux/amd64: |  --> src/main.rs:2:21
    core linux/amd64: |   |
    core linux/amd64: | 2 |     let port: u16 = "80";
    core linux/amd64: |   |               ---   ^^^^ expected `u16`, found `&str`
    core linux/amd64: |   |               |
    core linux/amd64: |   |               expected due to this
    core linux/amd64: | 
    core linux/amd64: | For more information about this error, try `rustc --explain E0308`.
    core linux/amd64: | error: could not compile `core` (bin "core") due to 1 previous error
    error: core (linux/amd64): `cargo build --frozen --message-format=json-render-diagnostics --manifest-path [dir]/cache/v1/stage/rust-…/Cargo.toml --target-dir [dir]/cache/v1/target/rust-… --jobs … --target x86_64-unknown-linux-musl --profile release --bin core` failed in the make phase: exit status: 101
    "#);
    assert!(!env.path("out").exists());
    env.file("service/src/main.rs", RUST);
    env.succeeds(&["build"]);
}

#[test]
fn a_program_that_is_not_installed() {
    let Some(mut env) = with_go(GO) else { return };
    env.file("service/Cargo.toml", "[package]\nname = \"core\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
    env.file("service/Cargo.lock", "version = 4\n\n[[package]]\nname = \"core\"\nversion = \"1.0.0\"\n");
    env.file("service/src/main.rs", RUST);
    env.spec("core", "source: ../service\nbase: scratch\nbuild: { rust: {} }\n");
    let nowhere = env.outside("home").into_os_string();
    env.set("PATH", nowhere.clone());
    env.set("CARGO_HOME", nowhere.clone());
    env.set("RUSTUP_HOME", nowhere);
    for (service, tool) in [("web", "go"), ("core", "rust")] {
        let ended = env.ended(env.command(crate::env::IMGPACK, &["build", "--quiet", service]));
        assert_eq!((ended.code, ended.stdout.as_str()), (5, ""), "{}", ended.stderr);
        match tool {
            "go" => assert_snapshot!(ended.stderr, @r"
            error: web (linux/amd64): go is not installed
            hint: install Go from https://go.dev/dl and put it on the PATH
            "),
            _ => assert_snapshot!(ended.stderr, @r"
            error: core (linux/amd64, linux/arm64): rustc is not installed
            hint: install rustup from https://rustup.rs
            "),
        }
    }
}

/// A Go installation like the machine's, whose `go` writes down what it is asked, and says the version of its VERSION;
/// its log.
pub(crate) fn with_watched_go(env: &mut Env) -> PathBuf {
    let root = env.ended(env.command("go", &["env", "GOROOT"])).stdout;
    let (root, copy, log) = (Path::new(root.trim()), env.outside("go"), env.outside("go.log"));
    fs::create_dir_all(copy.join("bin")).unwrap();
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        if entry.file_name() != "bin" {
            std::os::unix::fs::symlink(entry.path(), copy.join(entry.file_name())).unwrap();
        }
    }
    let (copied, program) = (copy.display(), root.join("bin/go"));
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> '{}'\nif [ \"$*\" = 'env -json GOROOT GOVERSION' ]; then\n\
         read -r version < '{copied}/VERSION'\n\
         echo \"{{\\\"GOROOT\\\":\\\"{copied}\\\",\\\"GOVERSION\\\":\\\"$version\\\"}}\"\nexit\nfi\n\
         GOROOT='{copied}' exec '{}' \"$@\"\n",
        log.display(),
        program.display()
    );
    fs::write(copy.join("bin/go"), script).unwrap();
    fs::set_permissions(copy.join("bin/go"), fs::Permissions::from_mode(0o755)).unwrap();
    env.set("PATH", format!("{}/bin:/usr/local/bin:/usr/bin:/bin", copy.display()));
    log
}

#[test]
fn nothing_changed_nothing_compiled() {
    let Some(mut env) = with_go(GO) else { return };
    let log = with_watched_go(&mut env);
    let builds = || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines().filter(|line| line.starts_with("build ")).count()
    };
    let first = env.succeeds(&["build"]);
    assert_eq!(builds(), 1, "{}", first.stderr);
    fs::remove_file(&log).unwrap();

    let second = env.succeeds(&["build"]);
    assert_eq!(second.stdout, first.stdout);
    assert!(!second.stderr.contains("building with go"), "{}", second.stderr);
    assert!(!log.exists(), "go was asked for something");
    // Reports, outputs, other tags and another config need no builder either.
    env.succeeds(&["build", "--output", "oci:out", "--tag", "v2", "--set", "image.env.A=b"]);
    assert!(!log.exists(), "go was asked for something");

    env.succeeds(&["build", "--set", "build.go.ldflags=-s"]);
    assert_eq!(builds(), 1);
    env.file("service/main.go", "package main\n\nfunc main() { println(\"bye\") }\n");
    assert_ne!(env.succeeds(&["build"]).stdout, first.stdout);
    assert_eq!(builds(), 2);
    // Back to the first sources: they are known.
    env.file("service/main.go", GO);
    assert_eq!(env.succeeds(&["build"]).stdout, first.stdout);
    assert_eq!(builds(), 2);
}
