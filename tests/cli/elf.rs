//! Programs that would not start in their image are mistakes of the spec, told before anything is packed.

use std::fs;

use insta::assert_snapshot;

use crate::elf_file::ElfFile;
use crate::env::{Env, skip};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

fn program<'a>(needed: &'a [&'a str]) -> ElfFile<'a> {
    ElfFile { interpreter: Some(LOADER), needed, ..ElfFile::default() }
}

/// The tar of a root file system.
fn rootfs(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A workspace with the program `conf/x`, and a base that is Debian as far as a loader can tell.
fn workspace(x: &[u8]) -> Env {
    let env = Env::new();
    let library = |soname, versions| ElfFile { soname: Some(soname), versions, ..ElfFile::default() }.bytes();
    let base = rootfs(&[
        ("etc/os-release", b"ID=debian\nVERSION_CODENAME=bookworm\n"),
        ("lib64/ld-linux-x86-64.so.2", &library("ld-linux-x86-64.so.2", &[])),
        ("lib/x86_64-linux-gnu/libc.so.6", &library("libc.so.6", &["GLIBC_2.2.5", "GLIBC_2.36"])),
        ("usr/bin/env", &program(&["libc.so.6"]).bytes()),
    ]);
    env.file("debian.tar", base).file("conf/x", x);
    env
}

fn spec(env: &Env, base: &str, more: &str) {
    let base = if base == "debian" { "{ rootfs: { linux/amd64: ../debian.tar } }" } else { base };
    let image = "image: { entrypoint: [/app/x] }\nplatforms: [linux/amd64]\n";
    let files = "files: [{ from: ../conf/x, to: /app/x, mode: \"0755\" }]\n";
    env.spec("web", &format!("base: {base}\n{files}{image}{more}"));
}

#[test]
fn what_would_not_start_is_told() {
    let versions = [("libc.so.6", &["GLIBC_2.34", "GLIBC_2.38"][..])];
    let env =
        workspace(&ElfFile { versions_needed: &versions, ..program(&["libc.so.6", "libpq.so.5"]) }.bytes());
    spec(&env, "static", "");
    assert_snapshot!(env.fails(2, &["build"]), @r"
    1 image to build for linux/amd64
    web linux/amd64: reading the base
    error: web (linux/amd64): /app/x from buildspecs/web.yaml:2:9 asks for the loader /lib64/ld-linux-x86-64.so.2, which the image does not have: it is linked against glibc, and the image has no C library (the entrypoint)
    hint: link it static, or take a base with glibc: `packages: { debian: { suite: trixie, install: [libc6] } }` has it
    ");
    let planned = env.run(&["plan"]);
    assert!(planned.code == 2 && planned.stderr.contains("asks for the loader"), "{planned:?}");
    spec(&env, "debian", "");
    assert_snapshot!(env.fails(2, &["build"]), @r"
    1 image to build for linux/amd64
    web linux/amd64: reading the base
    error: web (linux/amd64): /app/x from buildspecs/web.yaml:2:9 needs libpq.so.5, which the loader does not find in the image (the entrypoint)
    hint: `packages: { debian: { suite: bookworm, install: [libpq5] } }` brings it; `elf: { allow: [libpq.so.5] }` lets it pass
    error: web (linux/amd64): /app/x from buildspecs/web.yaml:2:9 needs GLIBC_2.38, and the image's /lib/x86_64-linux-gnu/libc.so.6 has GLIBC_2.36 at most (the entrypoint)
    hint: build x on the base's distribution or an older one, or take a newer base, or let it pass with `elf: { ignore: [/app/x] }`
    ");

    env.file("conf/x", "#!/usr/bin/env python3\n");
    assert_snapshot!(env.fails(2, &["build"]), @r"
    1 image to build for linux/amd64
    web linux/amd64: reading the base
    error: web (linux/amd64): /app/x from buildspecs/web.yaml:2:9 is a script for python3 (`#!/usr/bin/env python3`), which is not in the image (the entrypoint)
    hint: put python3 into the image, or start the script's program without it
    ");

    env.file("conf/x", ElfFile::default().bytes());
    spec(&env, "static", "");
    env.succeeds(&["build"]);
    let text = fs::read_to_string(env.path("buildspecs/web.yaml")).unwrap();
    env.spec("web", &text.replace("linux/amd64]", "linux/amd64, linux/arm64]"));
    assert_snapshot!(env.fails(2, &["build"]), @r"
    1 image to build for linux/amd64, linux/arm64
    web linux/amd64: reading the base
    web linux/arm64: reading the base
    error: web (linux/arm64): /app/x from buildspecs/web.yaml:2:9 is made for x86_64, and the image is for aarch64 (the entrypoint)
    hint: take what is made for aarch64, or let it pass with `elf: { ignore: [/app/x] }`
    ");
}

#[test]
fn programs_that_are_not_there_are_told() {
    let env = workspace(&ElfFile::default().bytes());
    let image = |rest: &str| {
        env.spec(
            "web",
            &format!("base: static\nfiles: {{ /app/x: ../conf/x }}\nplatforms: [linux/amd64]\n{rest}"),
        );
    };
    image("image: { entrypoint: [/app/y], cmd: [z], healthcheck: { command: [check] } }\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: web (linux/amd64): /app/y is in neither the base nor the image (the entrypoint)
    hint: put it there; where it is mounted at run time `elf: { ignore: [/app/y] }` says so
    error: web (linux/amd64): check is in none of the folders of PATH (/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin) (the health check)
    hint: put it into one of them, or say its place in full
    ");
    image("image: { entrypoint: [/app/x] }\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r#"
    error: web (linux/amd64): /app/x from buildspecs/web.yaml:2:10 is not executable (mode 0644) (the entrypoint)
    hint: give its file the execute bits, or its row in `files` `mode: "0755"`
    "#);
    // Under init too, whose own program is there.
    image("init: true\nimage: { entrypoint: [/app/y] }\n");
    let said = env.fails(2, &["build", "--quiet"]);
    assert!(said.contains("/app/y is in neither") && said.matches("error: ").count() == 1, "{said}");
    for (rest, entrypoint) in [("elf: { ignore: [/app/*] }\n", "/app/y"), ("", "/data/y")] {
        image(&format!("{rest}image: {{ entrypoint: [{entrypoint}], volumes: [/data] }}\n"));
        env.succeeds(&["build", "--quiet"]);
    }
}

#[test]
fn what_comes_at_run_time_is_let_pass() {
    let env = workspace(&program(&["libc.so.6", "libcuda.so.1"]).bytes());
    spec(&env, "debian", "");
    assert_snapshot!(env.fails(2, &["build"]), @r#"
    1 image to build for linux/amd64
    web linux/amd64: reading the base
    error: web (linux/amd64): /app/x from buildspecs/web.yaml:2:9 needs libcuda.so.1, which the loader does not find in the image (the entrypoint)
    hint: it comes with the host's driver at run time: `elf: { allow: ["libcuda.so.*"] }` says so
    "#);
    spec(&env, "debian", "elf: { allow: [libcuda.so.*] }\n");
    env.succeeds(&["build"]);
    spec(&env, "debian", "elf: { ignore: [/app/*] }\n");
    env.succeeds(&["build"]);
}

#[test]
fn a_program_for_glibc_does_not_start_on_alpine() {
    let name = "alpine-minirootfs-3.20.3-x86_64.tar.gz";
    let Ok(base) = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bases/").to_owned() + name) else {
        return skip("fixtures/bases.sh has not brought Alpine's root file systems");
    };
    let env = workspace(&program(&["libc.so.6"]).bytes());
    env.file("alpine.tar.gz", base);
    let base = "{ rootfs: { linux/amd64: ../alpine.tar.gz } }";
    spec(&env, base, "");
    assert_snapshot!(env.fails(2, &["build"]), @r"
    1 image to build for linux/amd64
    web linux/amd64: reading the base
    error: web (linux/amd64): /app/x from buildspecs/web.yaml:2:9 asks for the loader /lib64/ld-linux-x86-64.so.2, which the image does not have: it is linked against glibc, and the image has musl (the entrypoint)
    hint: build it for the base's C library, or take a base with glibc
    ");
    let musl =
        ElfFile { interpreter: Some("/lib/ld-musl-x86_64.so.1"), ..program(&["libssl.so.3", "libc.so"]) };
    env.file("conf/x", musl.bytes());
    env.succeeds(&["build"]);
    env.file("conf/x", ElfFile { needed: &["libpq.so.5", "libc.so"], ..musl }.bytes());
    assert_snapshot!(env.fails(2, &["build"]), @r"
    1 image to build for linux/amd64
    web linux/amd64: reading the base
    error: web (linux/amd64): /app/x from buildspecs/web.yaml:2:9 needs libpq.so.5, which the loader does not find in the image (the entrypoint)
    hint: `packages: { apk: { install: [so:libpq.so.5] } }` brings it; `elf: { allow: [libpq.so.5] }` lets it pass
    ");
}

#[test]
fn files_for_other_platforms_are_a_line_of_the_report() {
    let env = workspace(&program(&["libc.so.6"]).bytes());
    let addon = |machine| ElfFile { machine, needed: &["libc.so.6"], ..ElfFile::default() }.bytes();
    let prebuilds = "conf/node_modules/bcrypt/prebuilds";
    env.file(&format!("{prebuilds}/linux-x64/bcrypt.glibc.node"), addon(62))
        .file(&format!("{prebuilds}/linux-arm64/bcrypt.glibc.node"), addon(183))
        .file(&format!("{prebuilds}/darwin-arm64/bcrypt.node"), vec![1; 3_000_000]);
    spec(&env, "debian", "");
    let text = fs::read_to_string(env.path("buildspecs/web.yaml")).unwrap();
    env.spec(
        "web",
        &text.replace("files: [", "files: [{ from: ../conf/node_modules, to: /app/node_modules }, "),
    );
    let foreign = |text: &str| text.lines().find(|line| line.contains("other platforms")).map(str::to_owned);
    let first = env.succeeds(&["build"]);
    assert_snapshot!(foreign(&first.stderr).unwrap(), @"  for other platforms: 2 files, 3.0 MB: /app/node_modules/b…in-arm64/bcrypt.node");
    let again = env.succeeds(&["build"]);
    assert_eq!(foreign(&again.stderr), foreign(&first.stderr), "an image that was there already");
    // The same addon where its own platform's is missing is no other one.
    fs::remove_dir_all(env.path(prebuilds)).unwrap();
    env.file("conf/node_modules/bcrypt/build/bcrypt.node", addon(183));
    assert_snapshot!(env.fails(2, &["build"]), @r"
    1 image to build for linux/amd64
    web linux/amd64: reading the base
    error: web (linux/amd64): /app/node_modules/bcrypt/build/bcrypt.node from buildspecs/web.yaml:2:9 is made for aarch64, and the image is for x86_64 (a Node addon)
    hint: take what is made for x86_64, or let it pass with `elf: { ignore: [/app/node_modules/bcrypt/build/bcrypt.node] }`
    ");
}
