//! `imgpack.lock`: who writes it, what builds take from it, and what is said where it does not fit.

use std::fs;
use std::path::PathBuf;

use insta::assert_snapshot;

use crate::builders::{GO, with_go, with_rust, with_watched_go};
use crate::env::Env;

const LOCK: &str = "imgpack.lock";

/// A Go service, and a Go that says it is 1.90.0 and writes down what it is asked; its log.
fn with_go_1_90() -> Option<(Env, PathBuf)> {
    let mut env = with_go(GO)?;
    let log = with_watched_go(&mut env);
    install(&env, "1.90.0");
    Some((env, log))
}

/// From now on the Go of this test is another.
fn install(env: &Env, version: &str) {
    let file = env.outside("go/VERSION");
    // It may be a link to the real one.
    let _ = fs::remove_file(&file);
    fs::write(file, format!("go{version}\n")).unwrap();
}

/// A lock with this Go.
fn text(version: &str) -> String {
    format!("# Written by `imgpack lock`; commit it.\nversion 1\ntoolchain go version {version}\n")
}

fn lock(env: &Env) -> String {
    fs::read_to_string(env.path(LOCK)).unwrap()
}

/// The lines of stderr that are no progress.
fn remarks(said: &str) -> String {
    let is_one = |line: &&str| {
        ["imgpack.lock", "note: imgpack.lock", "warning:", "error:", "hint:"]
            .iter()
            .any(|begin| line.starts_with(begin))
    };
    said.lines().filter(is_one).collect::<Vec<_>>().join("\n")
}

#[test]
fn only_lock_makes_the_file() {
    let Some((env, log)) = with_go_1_90() else { return };
    env.succeeds(&["build"]);
    assert!(!env.path(LOCK).exists());
    let ended = env.succeeds(&["lock"]);
    assert_eq!(ended.stdout, "");
    assert_snapshot!(ended.stderr, @"toolchain go: version 1.90.0");
    assert_eq!(lock(&env), text("1.90.0"));
    assert_snapshot!(env.succeeds(&["lock", "--toolchains"]).stderr, @"imgpack.lock: unchanged");
    // The pin is what was discovered before: nothing is built again, and nobody is asked.
    fs::remove_file(&log).unwrap();
    let built = env.succeeds(&["build", "--locked"]);
    assert_eq!(remarks(&built.stderr), "");
    assert!(!log.exists(), "go was asked for something");

    // A lock does not move by itself.
    install(&env, "1.91.0");
    assert_snapshot!(env.succeeds(&["lock"]).stderr, @r"
    note: imgpack.lock pins go 1.90.0, and go 1.91.0 is installed; `imgpack lock --toolchains` pins it
    imgpack.lock: unchanged
    ");
    assert_eq!(lock(&env), text("1.90.0"));
    assert_snapshot!(env.succeeds(&["lock", "--toolchains"]).stderr, @"toolchain go: version 1.90.0 → 1.91.0");
    assert_eq!(lock(&env), text("1.91.0"));
    for (version, name) in [("1.92.0", "go"), ("1.93.0", "all")] {
        install(&env, version);
        env.succeeds(&["lock", "--upgrade", name]);
        assert_eq!(lock(&env), text(version));
    }
    assert_eq!(env.succeeds(&["lock", "--quiet"]).stderr, "");
}

#[test]
fn a_workspace_without_builders_can_be_locked() {
    let env = Env::with_files();
    assert_snapshot!(env.fails(2, &["build", "--locked"]), @r"
    error: --locked: the workspace has no imgpack.lock
    hint: `imgpack lock` makes it
    ");
    assert_eq!(env.fails(2, &["plan", "--locked"]), env.fails(2, &["explain", "--locked"]));
    assert_snapshot!(env.succeeds(&["lock"]).stderr, @"imgpack.lock: made; there is nothing to pin");
    assert_eq!(lock(&env), "# Written by `imgpack lock`; commit it.\nversion 1\n");
    env.succeeds(&["build", "--locked"]);
}

#[test]
fn another_tool_than_the_pinned_one() {
    let Some((mut env, _)) = with_go_1_90() else { return };
    env.file(LOCK, text("1.89.0"));
    let strict = env.fails(2, &["build", "--locked", "--quiet"]);
    assert_snapshot!(strict, @r"
    error: web (linux/amd64): imgpack.lock pins go 1.89.0, and go 1.90.0 is installed
    hint: install the pinned one, or pin the installed one with `imgpack lock --toolchains`
    ");
    for value in ["true", "1"] {
        env.set("CI", value);
        assert_eq!(env.fails(2, &["build", "--quiet"]), strict);
    }
    env.set("CI", "false");
    let built = env.succeeds(&["build"]);
    assert_snapshot!(remarks(&built.stderr), @"warning: imgpack.lock pins go 1.89.0, and go 1.90.0 is installed: the installed one is used; `imgpack lock --toolchains` pins it");
    assert_eq!(lock(&env), text("1.89.0"), "a build changes no row");
    // What was made is known by the tool that made it.
    let again = env.succeeds(&["build"]);
    assert_eq!(again.stdout, built.stdout);
    assert!(!again.stderr.contains("building with go"), "{}", again.stderr);
    assert!(env.fails(2, &["build", "--locked"]).contains("imgpack.lock pins go 1.89.0"));
    env.succeeds(&["lock", "--toolchains"]);
    env.succeeds(&["build", "--locked"]);
}

#[test]
fn what_was_made_needs_no_tool() {
    let Some((mut env, log)) = with_go_1_90() else { return };
    env.succeeds(&["lock"]);
    let built = env.succeeds(&["build", "--locked"]);
    // As on a machine that has the records and nothing else.
    fs::remove_file(&log).unwrap();
    fs::remove_dir_all(env.cache().join("v1/tools")).unwrap();
    env.set("PATH", env.outside("home"));
    env.set("CI", "true");
    let command = |arguments: &[&str]| env.ended(env.command(crate::env::IMGPACK, arguments));
    assert_snapshot!(command(&["lock"]).stderr, @"imgpack.lock: unchanged");
    let again = command(&["build", "--locked"]);
    assert_eq!((again.code, &again.stdout), (0, &built.stdout), "{}", again.stderr);
    assert_eq!(command(&["explain", "--locked"]).code, 0);
    assert!(!log.exists(), "go was asked for something");
    // Other sources have to be built.
    env.file("service/main.go", "package main\n\nfunc main() { println(\"bye\") }\n");
    let ended = env.ended(env.command(crate::env::IMGPACK, &["build", "--quiet"]));
    assert_eq!(ended.code, 5);
    assert_snapshot!(ended.stderr, @r"
    error: web (linux/amd64): go is not installed
    hint: install Go from https://go.dev/dl and put it on the PATH
    ");
}

#[test]
fn a_row_that_is_missing() {
    let Some((mut env, _)) = with_go_1_90() else { return };
    let empty = "version 1\n";
    env.file(LOCK, empty);
    let strict = env.fails(2, &["build", "--locked", "--quiet"]);
    assert_snapshot!(strict, @r"
    error: web (linux/amd64): imgpack.lock has no row `toolchain go`
    hint: run `imgpack lock` where that toolchain is installed, and commit the file
    ");
    env.set("CI", "true");
    assert_eq!(env.fails(2, &["build", "--quiet"]), strict);
    assert_eq!(lock(&env), empty);
    env.unset("CI");
    env.succeeds(&["plan"]);
    assert_eq!(lock(&env), empty, "who only looks writes nothing");
    let built = env.succeeds(&["build"]);
    assert_snapshot!(remarks(&built.stderr), @"note: imgpack.lock: added toolchain go: version 1.90.0");
    assert_eq!(lock(&env), text("1.90.0"));
    env.succeeds(&["build", "--locked"]);
    // Without a lock file CI builds with what there is.
    fs::remove_file(env.path(LOCK)).unwrap();
    env.set("CI", "true");
    env.succeeds(&["build"]);
    assert!(!env.path(LOCK).exists());
}

#[test]
fn a_file_that_is_not_understood() {
    let env = Env::with_files();
    env.file(LOCK, "version 2\nsomething new\n");
    let said = env.fails(2, &["build"]);
    assert_snapshot!(said, @r"
    error: imgpack.lock:1: version 2 is newer than the newest known to this imgpack, 1
    hint: install the imgpack that wrote it, or a newer one
    ");
    assert_eq!(env.fails(2, &["lock"]), said);
    env.file(LOCK, "version 1\ntoolchain go version 1\n<<<<<<< HEAD\n");
    assert_snapshot!(env.fails(2, &["plan"]), @r"
    error: imgpack.lock:3: a merge was not finished here
    hint: keep the lines of one side, and run `imgpack lock`, which adds what is missing
    ");
}

#[test]
fn rust_is_pinned_for_each_channel_and_target() {
    let Some(env) = with_rust(crate::builders::RUST) else { return };
    env.file(LOCK, text("1.89.0"));
    env.succeeds(&["lock", "core"]);
    let text = lock(&env);
    let rows: Vec<&str> = text.lines().skip(2).collect();
    assert_eq!(rows[0], "toolchain go version 1.89.0", "rows of others stay");
    let channel = fs::read_to_string(env.path("service/rust-toolchain.toml")).unwrap();
    let channel = channel.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    let name =
        format!("toolchain rust/{channel}/{}-linux/x86_64-unknown-linux-musl ", std::env::consts::ARCH);
    assert!(rows[1..].iter().all(|row| row.starts_with(&name)), "{text}");
    let fields: Vec<&str> =
        rows[1..].iter().map(|row| row[name.len()..].split(' ').next().unwrap()).collect();
    assert_eq!(fields, ["cargo", "commit", "host", "linker", "llvm", "std", "version"]);
    assert!(!text.replace(&name, "").contains('/'), "a place of this machine: {text}");

    let std = rows.iter().find_map(|row| row.strip_prefix(&format!("{name}std "))).unwrap();
    env.file(LOCK, text.replace(std, "libstd-0.rlib"));
    let said =
        env.fails(2, &["build", "--locked", "--quiet"]).replace(channel, "[channel]").replace(std, "[std]");
    assert_snapshot!(said, @r"
    error: core (linux/amd64): imgpack.lock pins another build of rust [channel] than is installed (std libstd-0.rlib → [std])
    hint: install the pinned one, or pin the installed one with `imgpack lock --toolchains`
    ");
}
