//! Sources that are not what a spec says: exit 2, with the place in the spec and the way out.

use std::fs;

use insta::assert_snapshot;

use crate::env::{Env, is_installed, skip};

#[test]
fn a_missing_source() {
    let env = Env::with_files();
    env.spec("web", "base: scratch\nfiles: { /etc/web: ../cnof }\n");
    assert_snapshot!(env.fails(2, &["build", "--jobs", "1"]), @r"
    1 image to build for linux/amd64, linux/arm64
    web linux/amd64: reading the base
    web linux/arm64: reading the base
    error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:2:20: `cnof` does not exist in the workspace
    hint: did you mean `conf`?
    ");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:2:20: `cnof` does not exist in the workspace
    hint: did you mean `conf`?
    ");
    // Paths are relative to the file that they stand in.
    env.spec("web", "base: scratch\nfiles: { /etc/web: conf }\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:2:20: `buildspecs/conf` does not exist in the workspace
    hint: paths are relative to the file that they are written in
    ");
    let plan = env.run(&["plan"]);
    assert_eq!(plan.code, 2);
    assert_snapshot!(format!("{}--\n{}", plan.stdout, plan.stderr), @r"
    web (linux/amd64)
      base          0 B  scratch
      layers are not known: see the error
    web (linux/arm64)
      base          0 B  scratch
      layers are not known: see the error
    --
    error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:2:20: `buildspecs/conf` does not exist in the workspace
    hint: paths are relative to the file that they are written in
    ");
}

#[test]
fn one_mistake_of_many_images_is_told_once() {
    let env = Env::with_files();
    env.spec("_files", "base: scratch\nfiles: { /etc/web: ../cnof }\n");
    for name in ["api", "authz", "blog", "mail", "web"] {
        env.spec(name, "extends: [_files]\n");
    }
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: api, authz, blog, mail and 1 more (linux/amd64, linux/arm64): buildspecs/_files.yaml:2:20: `cnof` does not exist in the workspace
    hint: did you mean `conf`?
    ");
}

#[test]
fn a_source_directory_that_is_not_there() {
    let env = Env::new();
    env.spec("web", "source: ../service\nbuild: { go: {} }\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @"error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:1:9: `service` does not exist in the workspace");
    env.file("service/readme", "");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:1:9: go.mod: there is none in `source.dir`, nor above it in the source root
    hint: run `go mod init`, or set `source.dir` to the module
    ");
    env.spec("web", "source: ../service\nbuild: { rust: {} }\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:1:9: Cargo.toml: there is no manifest in `source.dir`
    hint: set `source.dir` to the directory of the Cargo package or workspace
    ");
}

#[test]
fn two_files_with_one_target() {
    let env = Env::with_files();
    env.spec(
        "web",
        "base: scratch\nfiles:\n  - { from: ../conf, to: /etc/web }\n  - { text: hi, to: /etc/web/motd }\n",
    );
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @"error: web (linux/amd64, linux/arm64): /etc/web/motd comes from buildspecs/web.yaml:3:5 and from buildspecs/web.yaml:4:5");
}

#[test]
fn links_out_of_the_workspace() {
    let env = Env::with_files();
    env.link("up", "../..").spec("web", "base: scratch\nfiles: { /etc/web: ../up }\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @"error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:2:20: `up` is a symbolic link to `../..`, which is outside of the workspace");
    env.link("conf/passwd", "../../../../etc/passwd")
        .spec("web", "base: scratch\nfiles: { /etc/web: ../conf }\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @"error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:2:20: `conf/passwd` is a symbolic link to `../../../../etc/passwd`, which is outside of the workspace");
    fs::remove_file(env.path("conf/passwd")).unwrap();
    env.link("conf/passwd", "/etc/passwd");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:2:20: `conf/passwd` is a symbolic link to the absolute path `/etc/passwd`, which means another place on every machine
    hint: make the link relative
    ");
}

#[test]
fn a_name_that_would_remove_something() {
    let env = Env::with_files();
    env.file("conf/.wh.motd", "");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @"error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:2:20: the name of `conf/.wh.motd` begins with .wh., which marks a removal in a layer");
}

#[test]
fn a_git_lfs_pointer() {
    let env = Env::with_files();
    let pointer = "version https://git-lfs.github.com/spec/v1\n\
                   oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    env.file("conf/model.bin", pointer);
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:2:20: [ws]/conf/model.bin is a Git LFS pointer, not the file itself
    hint: git lfs pull
    ");
}

#[test]
fn a_submodule_that_is_not_checked_out() {
    if !is_installed("git") {
        return skip("git is not installed");
    }
    let env = Env::with_files();
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        let ended = env.ended(env.command("git", &[&identity[..], arguments].concat()));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    };
    git(&["init", "--quiet"]);
    env.file(
        ".gitmodules",
        "[submodule \"theme\"]\n\tpath = conf/theme\n\turl = https://example.com/theme.git\n",
    );
    fs::create_dir(env.path("conf/theme")).unwrap();
    let commit = "160000,1111111111111111111111111111111111111111,conf/theme";
    git(&["update-index", "--add", "--cacheinfo", commit]);
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:2:20: the git submodule `conf/theme` is not checked out
    hint: git submodule update --init conf/theme
    ");
}

#[test]
fn a_private_key_in_a_directory() {
    let env = Env::with_files();
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n";
    env.file("conf/notes.txt", key);
    let said = env.fails(2, &["build", "--quiet"]);
    assert!(!said.contains("MIIE"), "{said}");
    assert_snapshot!(said, @r"
    error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:2:10: [ws]/conf/notes.txt looks like it holds a private key and would become /etc/web/notes.txt
    hint: leave it out with `exclude`, or name the file by itself in `files` if it is meant
    ");
    // Named by itself it is meant.
    env.spec("web", "base: scratch\nfiles: { /etc/web/key: ../conf/notes.txt }\n");
    env.succeeds(&["build"]);
}

#[test]
fn certificates_that_are_none() {
    let env = Env::with_files();
    env.spec("web", "certificates: [../conf/motd]\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @"error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:1:16: conf/motd is not a PEM file of certificates");
    let broken = "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n";
    env.file("conf/motd", broken);
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @"error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:1:16: conf/motd is not a PEM file of certificates");
    env.file("conf/motd", "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\n-----END PRIVATE KEY-----\n");
    let said = env.fails(2, &["build", "--quiet"]);
    assert!(!said.contains("MIIE"), "{said}");
    assert_snapshot!(said, @"error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:1:16: conf/motd holds a private key, which must not get into an image");
    env.spec("web", "certificates: [../conf/ca.pem]\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @"error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:1:16: `conf/ca.pem` does not exist in the workspace");
}

#[test]
fn files_that_cannot_be_copied() {
    let env = Env::with_files();
    let ended = env.ended(env.command("mkfifo", &[env.path("conf/pipe")]));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @"error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:2:20: `conf/pipe` is a named pipe, which cannot be put into an image");
}
