//! Mistakes in specs: all of them at once, each with its place; exit 2 and nothing built. The wording of every single
//! mistake is tested with the language (`tests/spec`); here it is what reaches a person.

use insta::assert_snapshot;

use crate::env::Env;

/// What every command about specs says of a buildspec.
fn said_of(text: &str) -> String {
    let env = Env::new();
    env.spec("web", text);
    let said = env.fails(2, &["build"]);
    for verb in [&["check"][..], &["plan"], &["explain", "--quiet"]] {
        assert_eq!(env.fails(2, verb), said);
    }
    assert!(!env.cache().exists(), "mistakes in specs are told before anything is done");
    assert!(said.lines().all(|line| line.chars().count() <= 96), "{said}");
    said
}

#[test]
fn broken_yaml() {
    assert_snapshot!(said_of("base: scratch\nimage: { env: { A: b }\nfiles: []\n"), @r"
    buildspecs/web.yaml:3:1: not YAML: invalid indentation in flow construct
      3 | files: []
        | ^
    hint: a `[`, a `{` or a quote above may be left open
    ");
}

#[test]
fn a_wrong_type() {
    assert_snapshot!(said_of("base: scratch\nplatforms: linux/amd64, linux/arm64\nstamp: yes\n"), @r#"
    buildspecs/web.yaml:2:12: `platforms` wants a list, each item a platform, found text
      2 | platforms: linux/amd64, linux/arm64
        |            ^^^^^^^^^^^^^^^^^^^^^^^^
    hint: write it as a list: [ONE, "AND ANOTHER"]

    buildspecs/web.yaml:3:8: `stamp` wants true or false, found text
      3 | stamp: yes
        |        ^^^
    hint: `yes` is text in YAML 1.2: write true

    2 mistakes in 1 file
    "#);
}

#[test]
fn an_unknown_field() {
    assert_snapshot!(said_of("base: scratch\nimage:\n  port: { http: 80 }\nimgae: {}\n"), @r"
    buildspecs/web.yaml:3:3: unknown field `port` in image
      3 |   port: { http: 80 }
        |   ^^^^
    hint: did you mean `ports`?

    buildspecs/web.yaml:4:1: unknown field `imgae` in a service
      4 | imgae: {}
        | ^^^^^
    hint: did you mean `image`?

    2 mistakes in 1 file
    ");
}

#[test]
fn a_wrong_unit() {
    let text = "base: scratch\nimage:\n  healthcheck: { command: [/x], interval: 10 seconds, timeout: 2h }\n";
    assert_snapshot!(said_of(text), @r"
    buildspecs/web.yaml:3:43: `10 seconds` is not a duration
      3 |   healthcheck: { command: [/x], interval: 10 seconds, timeout: 2h }
        |                                           ^^^^^^^^^^
    hint: write it like 10s, 1m30s or 500ms
    ");
}

#[test]
fn a_circle_of_extends() {
    let env = Env::new();
    env.spec("_a", "extends: [_b]\n").spec("_b", "extends: [_a]\n").spec("web", "extends: [_a]\n");
    assert_snapshot!(env.fails(2, &["build"]), @r"
    buildspecs/_b.yaml:1:11: `extends` goes in a circle: _a → _b → _a
      1 | extends: [_a]
        |           ^^
    ");
}

#[test]
fn every_mistake_of_every_file_at_once() {
    let env = Env::new();
    env.spec("api", "bases: scratch\n").spec("web", "base: scratch\nfiles: { etc: ../conf }\n");
    assert_snapshot!(env.fails(2, &["build", "web"]), @r"
    buildspecs/api.yaml:1:1: unknown field `bases` in a service
      1 | bases: scratch
        | ^^^^^
    hint: did you mean `base`?

    buildspecs/web.yaml:2:10: `etc` is not absolute: a place in the image begins with /
      2 | files: { etc: ../conf }
        |          ^^^
    hint: the short form of `files` is target: source

    2 mistakes in 2 files
    ");
}

#[test]
fn a_mistake_of_the_workspace() {
    let env = Env::new();
    env.file("imgpack.yaml", "apiVersion: imgpack/v2\nregistry: https://ghcr.io/acme\n");
    assert_snapshot!(env.fails(2, &["build"]), @r"
    imgpack.yaml:1:13: `imgpack/v2` is not known here
      1 | apiVersion: imgpack/v2
        |             ^^^^^^^^^^
    hint: did you mean `imgpack/v1`?

    imgpack.yaml:2:11: `https://ghcr.io/acme` is an address
      2 | registry: https://ghcr.io/acme
        |           ^^^^^^^^^^^^^^^^^^^^
    hint: write ghcr.io/acme

    2 mistakes in 1 file
    ");
    env.file("imgpack.yaml", "apiVersion: imgpack/v1\nrequires: \">=99\"\nnews: true\n");
    assert_snapshot!(env.fails(2, &["build"]), @r#"
    imgpack.yaml:2:11: this workspace requires imgpack >=99, and this is imgpack 0.1.0
      2 | requires: ">=99"
        |           ^^^^^^
    hint: install a version that it can be read with
    "#);
}

#[test]
fn what_a_later_version_brings() {
    assert_snapshot!(said_of("build: { python: {} }\nsteps: []\n"), @r"
    buildspecs/web.yaml:1:10: `python` (the Python builder) is not in this version of imgpack yet
      1 | build: { python: {} }
        |          ^^^^^^
    hint: remove it; it is never ignored

    buildspecs/web.yaml:2:1: `steps` (steps before the builder) is not in this version of imgpack
      yet
      2 | steps: []
        | ^^^^^
    hint: remove it; it is never ignored

    2 mistakes in 1 file
    ");
}

#[test]
fn paths_out_of_the_workspace() {
    assert_snapshot!(said_of("base: scratch\nfiles: { /etc/passwd: ../../../etc/passwd }\n"), @r"
    buildspecs/web.yaml:2:23: `../../../etc/passwd` leads out of the workspace
      2 | files: { /etc/passwd: ../../../etc/passwd }
        |                       ^^^^^^^^^^^^^^^^^^^
    hint: nothing outside of the directory of imgpack.yaml can be used
    ");
    assert_snapshot!(said_of("base: scratch\nfiles: { /etc/passwd: /etc/passwd }\n"), @r"
    buildspecs/web.yaml:2:23: `/etc/passwd` is absolute
      2 | files: { /etc/passwd: /etc/passwd }
        |                       ^^^^^^^^^^^
    hint: paths are relative to the file they are written in, and stay inside of the workspace
    ");
    assert_snapshot!(said_of("base: scratch\nfiles: { /../etc/passwd: ../conf }\n"), @r"
    buildspecs/web.yaml:2:10: `/../etc/passwd` has a .. component
      2 | files: { /../etc/passwd: ../conf }
        |          ^^^^^^^^^^^^^^
    ");
}

#[test]
fn names_that_would_remove_something() {
    assert_snapshot!(said_of("base: scratch\nfiles: { /etc/.wh.passwd: ../conf }\n"), @r"
    buildspecs/web.yaml:2:10: `/etc/.wh.passwd` has a name that begins with .wh., which marks a
      removal in a layer
      2 | files: { /etc/.wh.passwd: ../conf }
        |          ^^^^^^^^^^^^^^^
    ");
}

#[test]
fn one_place_twice() {
    let text = "base: scratch\nfiles:\n  - { text: a, to: /etc/motd }\n  - { text: b, to: /etc/motd }\n";
    assert_snapshot!(said_of(text), @r"
    buildspecs/web.yaml:4:5: two rows of `files` have one place, `/etc/motd`: this one and
      buildspecs/web.yaml:3:5
      4 |   - { text: b, to: /etc/motd }
        |     ^^
    hint: remove one
    ");
}
