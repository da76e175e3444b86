//! `--offline`: nothing is asked, everything that was kept does, and what is missing is told at once. Where the tests may
//! do that, imgpack runs without any network.

use std::process::Command;

use insta::assert_snapshot;

use crate::builders::{GO, with_go, with_rust};
use crate::env::{Ended, Env, IMGPACK, skip};
use crate::pinning::Bases;

/// Runs imgpack in a network namespace in which nothing can be reached, not even this machine.
fn cut_off(env: &Env, arguments: &[&str]) -> Option<Ended> {
    let may = Command::new("unshare").args(["--net", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        skip("no network namespace can be made");
        return None;
    }
    let words = [&["--net", "timeout", "--kill-after=10", "60", IMGPACK], arguments].concat();
    Some(env.ended(env.command("unshare", &words)))
}

#[test]
fn a_locked_workspace_is_built_without_a_network() {
    let bases = Bases::start();
    let env = bases.workspace();
    env.succeeds(&["lock"]);
    let built = env.succeeds(&["build", "--output", "oci:out"]);
    for arguments in [&["build", "--offline"][..], &["build"], &["build", "--offline", "--no-cache"]] {
        let Some(ended) = cut_off(&env, arguments) else { return };
        assert_eq!((ended.code, &ended.stdout), (0, &built.stdout), "{}", ended.stderr);
    }
    // Another image on the same base.
    env.file("conf/motd", "changed\n");
    let ended = cut_off(&env, &["build", "--offline", "--output", "oci:out"]).unwrap();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_ne!(ended.stdout, built.stdout);
    for arguments in [["plan", "--offline"], ["explain", "--offline"], ["lock", "--offline"]] {
        let ended = cut_off(&env, &arguments).unwrap();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    let ended = cut_off(&env, &["outdated"]).unwrap();
    assert_eq!(ended.code, 4, "{}", ended.stderr);
}

#[test]
fn what_is_missing_is_told_at_once() {
    let bases = Bases::start();
    let env = bases.workspace();
    let asked = bases.server.lines().len();
    let said = |ended: Ended| {
        assert_eq!(ended.code, 4, "{}", ended.stderr);
        bases.said(&ended.stderr)
    };
    // No lock: only the registry knows what the tag is.
    assert_snapshot!(said(env.run(&["build", "--offline", "--quiet"])), @r"
    error: web (linux/amd64, linux/arm64): the digest of [registry]/acme/base:1 is not known here, and --offline lets no request leave
    hint: run `imgpack lock` without --offline: what is pinned needs no question
    ");
    assert_snapshot!(said(env.run(&["lock", "--offline"])), @r"
    error: web (linux/amd64, linux/arm64): the digest of [registry]/acme/base:1 is not known here, and --offline lets no request leave
    hint: run `imgpack lock` without --offline: what is pinned needs no question
    ");
    // Pinned, and never brought.
    env.file("imgpack.lock", bases.lock(&bases.one));
    assert_snapshot!(said(env.run(&["build", "--offline", "--quiet"])), @r"
    error: web (linux/amd64, linux/arm64): the manifest [registry]/acme/base@[one] is not known here, and --offline lets no request leave
    hint: run once without --offline: what it brings is kept
    ");
    assert_eq!(bases.server.lines().len(), asked);
    assert!(
        env.fails(2, &["build", "--offline", "--push"]).contains("'--offline' cannot be used with '--push'")
    );
}

#[test]
fn builders_fetch_nothing() {
    let Some(env) = with_go(GO) else { return };
    let built = env.succeeds(&["build"]).stdout;
    if let Some(ended) = cut_off(&env, &["build", "--offline", "--no-cache"]) {
        assert_eq!((ended.code, ended.stdout), (0, built), "{}", ended.stderr);
    }
    env.file("service/go.mod", "module example.com/web\n\ngo 1.22\n\nrequire example.invalid/x v1.0.0\n");
    let sum = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    env.file(
        "service/go.sum",
        format!("example.invalid/x v1.0.0 {sum}\nexample.invalid/x v1.0.0/go.mod {sum}\n"),
    );
    env.file("service/main.go", "package main\n\nimport _ \"example.invalid/x\"\n\nfunc main() {}\n");
    assert_snapshot!(env.fails(3, &["build", "--offline", "--quiet"]), @r"
    web linux/amd64: | go: example.invalid/x@v1.0.0: module lookup disabled by GOPROXY=off
    error: web (linux/amd64): `go mod download` failed in the fetch phase: exit status: 1
    hint: run once without --offline: what is downloaded then is kept
    ");
}

#[test]
fn crates_come_from_where_cargo_keeps_them() {
    let Some(env) = with_rust(crate::builders::RUST) else { return };
    // A crate of this repository, which cargo has therefore.
    let own = include_str!("../../Cargo.lock");
    let itoa = own.split("\n\n").find(|part| part.contains("name = \"itoa\"")).unwrap();
    let version = itoa.split("version = ").nth(1).unwrap().split('"').nth(1).unwrap();
    let with = |name: &str, row: &str| {
        let manifest = format!(
            "[package]\nname = \"core\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[dependencies]\n{name} = \"1\"\n"
        );
        let lock = format!(
            "version = 4\n\n[[package]]\nname = \"core\"\nversion = \"1.0.0\"\ndependencies = [\n \"{name}\",\n]\n\n{row}\n"
        );
        env.file("service/Cargo.toml", manifest).file("service/Cargo.lock", lock);
    };
    with("itoa", itoa);
    if let Some(ended) = cut_off(&env, &["build", "--offline"]) {
        assert_eq!(ended.code, 0, "itoa {version}: {}", ended.stderr);
    }
    with("no-such", &itoa.replace("itoa", "no-such"));
    let said = env.fails(3, &["build", "--offline", "--quiet"]);
    assert!(said.contains("no matching package named `no-such` found"), "{said}");
    assert!(said.ends_with("hint: run once without --offline: what is downloaded then is kept\n"), "{said}");
}
