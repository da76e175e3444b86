//! What would be done, and why: `plan`, `explain`, `check`, `schema`.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;

use crate::builders::{GO, with_go};
use crate::env::Env;

/// Standard output, which is all that is said; keys as `[key]`.
fn said(env: &Env, arguments: &[&str]) -> String {
    let ended = env.succeeds(arguments);
    assert_eq!(ended.stderr, "");
    let is_key = |word: &str| word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let line = |line: &str| {
        line.split(' ').map(|word| if is_key(word) { "[key]" } else { word }).collect::<Vec<_>>().join(" ")
    };
    ended.stdout.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn plans() {
    let env = Env::with_files();
    env.spec(
        "web",
        "base: scratch\nplatforms: [linux/amd64]\nfiles:\n  - { from: ../conf, to: /etc/web, class: config }\n  - \
         { text: hi, to: /srv/index.html }\n  - { to: /var/cache/web, dir: true }\nimage: { user: { name: app, uid: 1001 } }\n",
    );
    assert_snapshot!(said(&env, &["plan"]), @r"
    web (linux/amd64)
      base          0 B  scratch
      system    to make  user and group
      app       to make  /srv/index.html
      config    to make  2 files in /etc/web
      config    to make  directories
    ");
    env.succeeds(&["build"]);
    assert_snapshot!(said(&env, &["plan", "web"]), @r"
    web (linux/amd64)
      base          0 B  scratch
      system      194 B  user and group
      app         124 B  /srv/index.html
      config      177 B  2 files in /etc/web
      config      118 B  directories
    ");
    env.spec("base", "base: static\nplatforms: [linux/amd64]\n");
    assert_snapshot!(said(&env, &["plan", "base"]), @r"
    base (linux/amd64)
      base     212.6 kB  static
    ");
    assert_snapshot!(said(&env, &["explain", "base"]), @r"
    base (linux/amd64)
      no layers but the base's
    ");
}

#[test]
fn which_rule_takes_a_file() {
    let env = Env::with_files();
    env.file("conf/.env", "")
        .file("conf/id_rsa", "")
        .file("conf/pages/a.html", "")
        .file("conf/pages/a.md", "");
    env.file("conf/.git/HEAD", "").file(".imgpackignore", "*.bak\n").file("conf/motd.bak", "");
    env.spec(
        "web",
        "base: scratch\nplatforms: [linux/amd64]\nfiles:\n  - { from: ../conf, to: /etc/web, exclude: [\"**/*.md\"] }\n",
    );
    let ended = env.succeeds(&["plan", "--files"]);
    assert_snapshot!(ended.stdout, @r"
    web (linux/amd64)
      base          0 B  scratch
      app       to make  3 files in /etc/web
    web files conf
      - .env  (secret file)
      - .git/  (`.git`)
      + app.toml  (no rule against it)
      - id_rsa  (secret file)
      + motd  (no rule against it)
      - motd.bak  (.imgpackignore:1 `*.bak`)
      + pages/a.html  (no rule against it)
      - pages/a.md  (exclude `**/*.md`)
    ");
    assert_snapshot!(ended.stderr, @"");
}

#[test]
fn why_a_layer_is_made_again() {
    let env = Env::with_files();
    let one = ["explain", "--platform", "linux/amd64"];
    assert_snapshot!(said(&env, &one), @r"
    web (linux/amd64)
      app     [key]  to make: no build before this one  2 files in /etc/web
    ");
    env.succeeds(&["build"]);
    assert_snapshot!(said(&env, &one), @r"
    web (linux/amd64)
      app     [key]  stored  2 files in /etc/web
    ");
    env.file("conf/motd", "good day\n");
    assert_snapshot!(said(&env, &one), @r"
    web (linux/amd64)
      app     [key]  to make, since  2 files in /etc/web
                entry /etc/web/motd: changed
    ");
    env.file("conf/new", "").file("conf/motd", "hello\n");
    assert_snapshot!(said(&env, &one), @r"
    web (linux/amd64)
      app     [key]  to make, since  3 files in /etc/web
                entry /etc/web/new: added
    ");
    fs::remove_file(env.path("conf/new")).unwrap();
    fs::remove_file(env.path("conf/motd")).unwrap();
    assert_snapshot!(said(&env, &one), @r"
    web (linux/amd64)
      app     [key]  to make, since  /etc/web/app.toml
                entry /etc/web/motd: removed
    ");
    env.file("conf/motd", "hello\n");
    fs::remove_dir_all(env.cache().join("v1/blobs")).unwrap();
    assert_snapshot!(said(&env, &one), @r"
    web (linux/amd64)
      app     [key]  to make: what it made before is gone  2 files in /etc/web
    ");
}

#[test]
fn why_a_program_is_built_again() {
    let Some(env) = with_go(GO) else { return };
    assert_snapshot!(said(&env, &["explain"]), @r"
    web (linux/amd64)
      build   [key]  to run: no build before this one
      app                   known when the builder has run  /app/web
    ");
    assert_snapshot!(said(&env, &["plan"]), @r"
    web (linux/amd64)
      base          0 B  scratch
      app      to build  /app/web
    ");
    env.succeeds(&["build"]);
    assert_snapshot!(said(&env, &["explain"]), @r"
    web (linux/amd64)
      build   [key]  stored
      app     [key]  stored  /app/web
    ");
    env.file("service/main.go", "package main\n\nfunc main() {}\n");
    assert_snapshot!(said(&env, &["explain"]), @r"
    web (linux/amd64)
      build   [key]  to run, since
                input main.go: changed
      app                   known when the builder has run  /app/web
    ");
    env.file("service/main.go", GO);
    assert_snapshot!(said(&env, &["explain", "--set", "build.go.ldflags=-w", "--set", "build.go.tags=[x]"]), @r"
    web (linux/amd64)
      build   [key]  to run, since
                ldflags: `-s -w` → `-w`
                tags: `` → `x`
      app                   known when the builder has run  /app/web
    ");
}

#[test]
fn specs_are_checked() {
    let env = Env::with_files();
    env.spec("api", "base: scratch\nimages: { server: {}, worker: {} }\n");
    let ended = env.succeeds(&["check"]);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", "3 images in 2 services: no mistakes\n"));
    let ended = env.succeeds(&["check", "--quiet"]);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    assert_snapshot!(env.fails(2, &["check", "--set", "platforms=[linux/386]"]), @r"
    --set:1:12: `linux/386` is not a platform that imgpack builds for: linux/amd64 or linux/arm64
      1 | platforms=[linux/386]
        |            ^^^^^^^^^
    ");
    assert!(!env.cache().exists(), "a check needs no cache");
}

#[test]
fn the_schema_is_the_committed_one() {
    let committed =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/buildspec.schema.json"));
    // It needs no workspace.
    assert_eq!(Env::bare().succeeds(&["schema"]).stdout, committed.unwrap());
}
