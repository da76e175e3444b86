//! Where Debian packages come from, how they are pinned, and what is said where they cannot be had.

use std::fs;

use insta::assert_snapshot;

use crate::env::{Env, without_digests};
use crate::fake::Reply;
use crate::mirror::{DAY, DEBIAN, Deb, Mirror, SECURITY, SigningKey, tar};

const LOCK: &str = "imgpack.lock";

fn tool() -> Vec<Deb> {
    vec![
        Deb::new("tool", "1.0-1").depends("libtool (>= 1), data").program("/usr/bin/tool", "tool 1.0"),
        Deb::new("libtool", "1:1.2-3").file("/usr/lib/libtool.so.1", "library"),
        Deb::new("data", "7").of("all").file("/usr/share/data/table", "table"),
        Deb::new("other", "3").file("/usr/share/other", "other"),
    ]
}

/// A workspace with the service `app`, which has the package `tool` on an empty base, and the mirror that has it.
fn with_tool() -> (Env, Mirror) {
    let mut env = Env::new();
    let mut mirror = Mirror::start(&mut env);
    mirror.publish("bookworm", &tool());
    app(&env, "install: [tool]");
    (env, mirror)
}

fn app(env: &Env, packages: &str) {
    env.spec("app", &format!("base: scratch\npackages: {{ debian: {{ suite: bookworm, {packages} }} }}\n"));
}

/// The text without digests and sizes, and without the lines that count what comes.
fn said(text: &str) -> String {
    let lines = without_digests(text).lines().fold(String::new(), |clean, line| {
        let counts = line.contains(": receiving ") || line.contains(": received ");
        let line = line.split_once(" size ").map_or(line.to_owned(), |(head, _)| format!("{head} size …"));
        if counts { clean } else { clean + &line + "\n" }
    });
    let mut clean = String::new();
    for (index, part) in lines.split("64/").enumerate() {
        let hex = part.chars().take_while(char::is_ascii_hexdigit).count();
        let part = if index > 0 && hex == 12 { format!("[request]{}", &part[12..]) } else { part.to_owned() };
        clean += &(if index > 0 { "64/".to_owned() } else { String::new() } + &part);
    }
    clean
}

fn lock_of(env: &Env) -> String {
    fs::read_to_string(env.path(LOCK)).unwrap()
}

#[test]
fn packages_are_pinned_by_what_was_asked_for() {
    let (env, mirror) = with_tool();
    let told = env.succeeds(&["lock", "--platform", "linux/amd64"]).stderr;
    assert_eq!(said(&told), "packages debian/bookworm/amd64/[request]: 3 packages for tool\n");
    assert_snapshot!(said(&lock_of(&env)), @r"
    # Written by `imgpack lock`; commit it.
    version 1
    package debian/bookworm/all/data=7 archive debian 20261001T120000Z
    package debian/bookworm/all/data=7 digest sha256:…
    package debian/bookworm/all/data=7 path pool/main/data/data_7_all.deb
    package debian/bookworm/all/data=7 size …
    package debian/bookworm/amd64/libtool=1:1.2-3 archive debian 20261001T120000Z
    package debian/bookworm/amd64/libtool=1:1.2-3 digest sha256:…
    package debian/bookworm/amd64/libtool=1:1.2-3 path pool/main/libtool/libtool_1.2-3_amd64.deb
    package debian/bookworm/amd64/libtool=1:1.2-3 size …
    package debian/bookworm/amd64/tool=1.0-1 archive debian 20261001T120000Z
    package debian/bookworm/amd64/tool=1.0-1 digest sha256:…
    package debian/bookworm/amd64/tool=1.0-1 path pool/main/tool/tool_1.0-1_amd64.deb
    package debian/bookworm/amd64/tool=1.0-1 size …
    packages debian/bookworm/amd64/[request] install data=7 libtool=1:1.2-3 tool=1.0-1
    packages debian/bookworm/amd64/[request] release/bookworm 20261001T120000Z
    packages debian/bookworm/amd64/[request] release/bookworm-security 20261001T120000Z
    packages debian/bookworm/amd64/[request] release/bookworm-updates 20261001T120000Z
    packages debian/bookworm/amd64/[request] request tool
    ");
    let asked = mirror.asked();
    assert!(!asked.iter().any(|address| address.contains("/pool/")), "{asked:#?}");
    // What is pinned is asked of nobody; the other platform has packages of its own, but for those of all.
    env.succeeds(&["lock", "--platform", "linux/amd64"]);
    assert_eq!(mirror.asked(), asked);
    let told = env.succeeds(&["lock"]).stderr;
    assert_eq!(said(&told), "packages debian/bookworm/arm64/[request]: 3 packages for tool\n");
    assert_eq!(lock_of(&env).matches("data=7 digest").count(), 1);
}

#[test]
fn a_locked_build_needs_the_store_alone() {
    let (mut env, mirror) = with_tool();
    env.succeeds(&["lock"]);
    let built = env.succeeds(&["build", "--locked"]);
    let asked = mirror.asked();
    let debs = asked.iter().filter(|address| address.contains("/pool/")).count();
    assert_eq!(debs, 5, "{asked:#?}");
    // With another order of words it is the same; a plan is made anew.
    app(&env, "install: [tool, libtool], exclude: []");
    app(&env, "install: [tool], exclude: []");
    for arguments in
        [&["build", "--locked"][..], &["build", "--offline"], &["build", "--offline", "--no-cache"]]
    {
        assert_eq!(env.succeeds(arguments).stdout, built.stdout);
    }
    assert_eq!(mirror.asked(), asked);
    // Another machine without a network.
    env.set("IMGPACK_CACHE", env.outside("other"));
    assert_snapshot!(env.fails(4, &["build", "--offline", "--quiet", "--platform", "linux/amd64", "--jobs", "1"]), @r"
    error: app (linux/amd64): cannot fetch the package data 7 (all)
      because: the file http://deb.debian.org/debian/pool/main/data/data_7_all.deb is not known here, and --offline lets no request leave
    hint: run once without --offline: what it brings is kept
    ");
    assert_eq!(env.succeeds(&["build"]).stdout, built.stdout);
}

#[test]
fn without_a_lock_the_newest_is_taken_and_said() {
    let (env, mut mirror) = with_tool();
    let said = env.succeeds(&["build"]).stderr;
    assert_eq!(
        said.matches("note: bookworm is as of 2026-10-01 now (there is no lock)").count(),
        1,
        "{said}"
    );
    assert!(!env.path(LOCK).exists());
    // The state of the repositories is asked each time, the indexes only where it is another.
    let before = mirror.asked().len();
    env.succeeds(&["build"]);
    let asked = mirror.asked()[before..].to_vec();
    assert_eq!(asked.len(), 3, "{asked:#?}");
    assert!(asked.iter().all(|address| address.ends_with("/InRelease")), "{asked:#?}");
    mirror.publish("bookworm-security", &[Deb::new("libtool", "1:1.2-3+deb12u1")]);
    env.succeeds(&["build"]);
    let asked = mirror.asked();
    assert!(asked.iter().any(|address| address.ends_with("libtool_1.2-3+deb12u1_amd64.deb")), "{asked:#?}");
    assert_snapshot!(env.fails(4, &["build", "--offline", "--quiet"]), @r"
    error: app (linux/amd64, linux/arm64): buildspecs/app.yaml:2:21: which packages bookworm has now is not known here, and --offline lets no request leave
    hint: run `imgpack lock` without --offline: what is pinned needs no question
    ");
}

#[test]
fn a_lock_does_not_move_by_itself() {
    let (env, mut mirror) = with_tool();
    env.succeeds(&["lock"]);
    let locked = lock_of(&env);
    assert_eq!(env.succeeds(&["outdated"]).stderr.lines().last(), Some("imgpack.lock: nothing is outdated"));
    mirror.date = "Fri, 20 Nov 2026 00:00:00 UTC".to_owned();
    mirror.publish("bookworm-updates", &[Deb::new("data", "8").of("all")]);
    mirror.publish("bookworm-security", &[Deb::new("libtool", "1:1.2-3+deb12u1")]);
    env.succeeds(&["lock"]);
    assert_eq!(lock_of(&env), locked);
    let ended = env.run(&["outdated"]);
    assert_eq!(ended.code, 1, "{ended:#?}");
    assert_snapshot!(ended.stdout, @r"
    NAME                                   PINNED   NOW
    package debian/bookworm/amd64/data     7        8
    package debian/bookworm/amd64/libtool  1:1.2-3  1:1.2-3+deb12u1
    package debian/bookworm/arm64/data     7        8
    package debian/bookworm/arm64/libtool  1:1.2-3  1:1.2-3+deb12u1
    ");
    // Another image of the suite takes what there is now, and leaves the first one's as it was.
    env.spec("second", "base: scratch\npackages: { debian: { suite: bookworm, install: [tool, other] } }\nplatforms: [linux/amd64]\n");
    let told = env.succeeds(&["lock"]).stderr;
    assert_eq!(said(&told), "packages debian/bookworm/amd64/[request]: 4 packages for other tool\n");
    let both = lock_of(&env);
    assert!(locked.lines().all(|line| both.contains(line)), "{both}");
    assert!(both.contains("install data=8 libtool=1:1.2-3+deb12u1 other=3 tool=1.0-1"), "{both}");
    env.succeeds(&["build", "--locked"]);
    // Upgrading names a suite, an architecture, a request, a package, or all.
    let told = env.succeeds(&["lock", "--upgrade", "arm64"]).stderr;
    assert_snapshot!(said(&told), @r"
    packages debian/bookworm/arm64/[request]: data 7 → 8, libtool 1:1.2-3 → 1:1.2-3+deb12u1
    ");
    let told = env.succeeds(&["lock", "--upgrade", "bookworm"]).stderr;
    assert_snapshot!(said(&told), @r"
    packages debian/bookworm/amd64/[request]: data 7 → 8, libtool 1:1.2-3 → 1:1.2-3+deb12u1
    ");
    assert!(!lock_of(&env).contains("data=7"), "rows that nobody asks for go");
    assert_eq!(env.succeeds(&["outdated"]).stderr.lines().last(), Some("imgpack.lock: nothing is outdated"));
    assert_snapshot!(said(&env.fails(2, &["lock", "--upgrade", "trixie"])), @r"
    error: --upgrade trixie: no image is built with that
    hint: known are all, debian/bookworm/amd64/[request], debian/bookworm/amd64/[request], debian/bookworm/arm64/[request]
    ");
}

#[test]
fn what_a_lock_does_not_have() {
    let (env, _mirror) = with_tool();
    env.succeeds(&["lock"]);
    let locked = lock_of(&env);
    app(&env, "install: [tool, other]");
    assert_snapshot!(said(&env.fails(2, &["build", "--locked", "--quiet"])), @r"
    error: app (linux/amd64): buildspecs/app.yaml:2:21: imgpack.lock has no row `packages debian/bookworm/amd64/[request]`
    hint: run `imgpack lock`, and commit the file
    error: app (linux/arm64): buildspecs/app.yaml:2:21: imgpack.lock has no row `packages debian/bookworm/arm64/[request]`
    hint: run `imgpack lock`, and commit the file
    ");
    // A build adds it, and says so.
    let told = env.succeeds(&["build"]).stderr;
    assert_eq!(told.matches("note: imgpack.lock: added packages debian/bookworm/").count(), 2, "{told}");
    assert!(!told.contains("added package debian"), "{told}");
    app(&env, "install: [tool]");
    let holes: Vec<&str> = locked.lines().filter(|line| !line.contains("amd64/libtool=1:1.2-3 ")).collect();
    env.file(LOCK, holes.join("\n"));
    assert_snapshot!(said(&env.fails(2, &["build", "--locked", "--quiet"])), @r"
    error: app (linux/amd64): buildspecs/app.yaml:2:21: imgpack.lock: `packages debian/bookworm/amd64/[request]` names libtool=1:1.2-3, of which there is no row that can be used
    hint: `imgpack lock --upgrade f098afd109b7` finds them anew
    ");
}

#[test]
fn holes_in_a_lock_are_filled_as_the_hint_says() {
    let (env, _mirror) = with_tool();
    env.succeeds(&["lock"]);
    let locked = lock_of(&env);
    let holes: Vec<&str> = locked.lines().filter(|line| !line.contains("amd64/libtool=1:1.2-3 ")).collect();
    env.file(LOCK, holes.join("\n"));
    let hint = env.fails(2, &["lock", "--quiet"]);
    let request = hint.split("--upgrade ").nth(1).unwrap().split('`').next().unwrap();
    env.succeeds(&["lock", "--upgrade", request]);
    assert_eq!(lock_of(&env), locked);
}

#[test]
fn an_archive_without_addresses_by_digest() {
    let mut env = Env::new();
    let mut mirror = Mirror::start(&mut env).without_by_hash();
    mirror.publish("bookworm", &tool());
    app(&env, "install: [tool]");
    env.succeeds(&["lock"]);
    let asked = mirror.asked();
    assert!(asked.contains(&format!("{DEBIAN}/dists/bookworm/main/binary-arm64/Packages.xz")), "{asked:#?}");
}

#[test]
fn what_the_base_has_is_not_installed_again() {
    let (env, _mirror) = with_tool();
    let row =
        |version: &str| format!("Package: libtool\nVersion: {version}\nArchitecture: amd64\n").into_bytes();
    let base = |path: &str, content: Vec<u8>| {
        env.file("base.tar", tar(&[(path.to_owned(), content, 0o644)]));
        env.spec(
            "app",
            "base: { rootfs: { linux/amd64: ../base.tar } }\nplatforms: [linux/amd64]\n\
             packages: { debian: { suite: bookworm, install: [tool] } }\n",
        );
    };
    base("./var/lib/dpkg/status.d/libtool", row("1:1.2-1"));
    let told = env.succeeds(&["lock"]).stderr;
    assert!(told.contains(": 2 packages for tool, on a base with 1 package ("), "{told}");
    let first = lock_of(&env);
    assert!(first.contains("install data=7 tool=1.0-1\n"), "{first}");
    let built = env.succeeds(&["build", "--locked"]).stdout;
    assert_eq!(env.succeeds(&["build", "--locked", "--offline"]).stdout, built);
    // A base with others is another request.
    base("./var/lib/dpkg/status", [row("1:1.2-2"), b"Status: install ok installed\n".to_vec()].concat());
    let said = env.fails(2, &["build", "--locked", "--quiet"]);
    assert!(said.contains("imgpack.lock has no row `packages debian/bookworm/amd64/"), "{said}");
    env.succeeds(&["lock"]);
    assert_ne!(lock_of(&env), first);
}

/// What is said of a build for one platform, in a fresh cache and without a lock.
fn fails(env: &mut Env, code: i32, name: &str) -> String {
    env.set("IMGPACK_CACHE", env.outside(name));
    let _ = fs::remove_file(env.path(LOCK));
    said(&env.fails(code, &["build", "--quiet", "--platform", "linux/amd64", "--jobs", "1"]))
}

#[test]
fn a_repository_that_is_not_to_be_trusted() {
    let (mut env, mut mirror) = with_tool();
    let address = format!("{DEBIAN}/dists/bookworm/InRelease");
    let release = |date: &str, suite: &str| {
        format!("Suite: x\nCodename: {suite}\nDate: {date}\nSHA256:\n {} 0 x\n", "0".repeat(64))
    };
    let day = "Thu, 01 Oct 2026 12:00:00 UTC";
    let good = mirror.key.sign(&release(day, "bookworm"));
    let mut text = String::new();
    for (index, content) in [
        "Suite: x\n".to_owned(),
        good.replace("Codename", "codename"),
        SigningKey::new(7).sign(&release(day, "bookworm")),
        format!("Codename: x\n{good}"),
        mirror.key.sign(&release(day, "trixie")),
        mirror.key.sign(&release("today", "bookworm")),
        good.clone(),
        mirror.key.sign(&(release(day, "bookworm") + "Valid-Until: Fri, 02 Oct 2026 12:00:00 UTC\n")),
    ]
    .into_iter()
    .enumerate()
    {
        mirror.put(&address, Reply::body(content));
        // A component that is not there may be misspelt.
        let code = if index == 6 { 2 } else { 4 };
        text += &fails(&mut env, code, &format!("cache{index}"));
    }
    assert_snapshot!(text, @r"
    error: app (linux/amd64): buildspecs/app.yaml:2:21: http://deb.debian.org/debian/dists/bookworm/InRelease is not to be trusted
      because: it is not signed
    hint: something on the way may have answered in the mirror's place: name another mirror
    error: app (linux/amd64): buildspecs/app.yaml:2:21: http://deb.debian.org/debian/dists/bookworm/InRelease is not to be trusted
      because: the signature by D79B37E54899F609 does not fit it: it was changed after it was signed
    hint: something on the way may have answered in the mirror's place: name another mirror
    error: app (linux/amd64): buildspecs/app.yaml:2:21: http://deb.debian.org/debian/dists/bookworm/InRelease is not to be trusted
      because: it is signed by 3E8BBABC1AAF2304, and known are B7C5D7D6350947F8, 6ED0E7B82643E131, 254CF3B5AEC0A8F0, BDE6D2B9216EC7A8 and 7 more
    hint: a repository of others is believed by its own `key`
    error: app (linux/amd64): buildspecs/app.yaml:2:21: http://deb.debian.org/debian/dists/bookworm/InRelease is not to be trusted
      because: it has text outside of the part that is signed
    hint: something on the way may have answered in the mirror's place: name another mirror
    error: app (linux/amd64): buildspecs/app.yaml:2:21: http://deb.debian.org/debian/dists/bookworm/InRelease is of the suite trixie, not of bookworm
    error: app (linux/amd64): buildspecs/app.yaml:2:21: http://deb.debian.org/debian/dists/bookworm/InRelease cannot be read
      because: its Date `today` is no time
    error: app (linux/amd64): buildspecs/app.yaml:2:21: http://deb.debian.org/debian/dists/bookworm/InRelease has no packages of main for amd64
    error: app (linux/amd64): buildspecs/app.yaml:2:21: http://deb.debian.org/debian/dists/bookworm/InRelease was valid until 2026-10-02T12:00:00Z
    hint: the mirror is behind, or this machine's clock is wrong: name another mirror
    ");
    // An older state than the lock's.
    mirror.publish("bookworm", &tool());
    env.succeeds(&["lock"]);
    mirror.date = "Wed, 30 Sep 2026 12:00:00 UTC".to_owned();
    mirror.publish("bookworm", &tool());
    app(&env, "install: [tool, other]");
    assert_snapshot!(said(&env.fails(4, &["lock", "--quiet", "--platform", "linux/amd64"])), @r"
    error: app (linux/amd64): buildspecs/app.yaml:2:21: http://deb.debian.org/debian/dists/bookworm/InRelease is of 2026-09-30T12:00:00Z, and imgpack.lock was made of 2026-10-01T12:00:00Z
    hint: the mirror is behind: name another mirror, or wait
    ");
}

#[test]
fn files_that_are_others_than_they_should_be() {
    let (mut env, mirror) = with_tool();
    let deb = format!("{DEBIAN}/pool/main/libtool/libtool_1.2-3_amd64.deb");
    let good = Deb::new("libtool", "1:1.2-3").file("/usr/lib/libtool.so.1", "library").bytes("amd64");
    let mut other = good.clone();
    other[100] ^= 1;
    let mut text = String::new();
    for (index, reply) in [
        Reply::body(other),
        Reply::body([good.clone(), vec![0]].concat()),
        Reply::body(&good[..good.len() - 1]),
        Reply::status(403),
    ]
    .into_iter()
    .enumerate()
    {
        mirror.put(&deb, reply);
        text += &fails(&mut env, 4, &format!("deb{index}"));
    }
    mirror.put(&deb, Reply::body(good.clone()).cut_after(100));
    let broken = fails(&mut env, 4, "cut");
    assert!(broken.contains("the connection broke while") || broken.contains("ended after"), "{broken}");
    // One that goes on where it broke.
    mirror.put(&deb, Reply::body(good.clone()));
    env.succeeds(&["build", "--platform", "linux/amd64"]);
    assert_snapshot!(text, @r"
    error: app (linux/amd64): the package libtool 1:1.2-3 (amd64) is another file at http://deb.debian.org/debian/pool/main/libtool/libtool_1.2-3_amd64.deb: expected sha256:…, found sha256:…
    hint: the mirror is damaged, or something on the way changes files: try again, or name another mirror
    error: app (linux/amd64): the package libtool 1:1.2-3 (amd64) at http://deb.debian.org/debian/pool/main/libtool/libtool_1.2-3_amd64.deb has not the 748 bytes that are expected
    hint: the mirror is damaged, or something on the way changes files: try again, or name another mirror
    error: app (linux/amd64): the package libtool 1:1.2-3 (amd64) is another file at http://deb.debian.org/debian/pool/main/libtool/libtool_1.2-3_amd64.deb: expected sha256:…, found sha256:…
    hint: the mirror is damaged, or something on the way changes files: try again, or name another mirror
    error: app (linux/amd64): cannot fetch the package libtool 1:1.2-3 (amd64)
      because: http://deb.debian.org/debian/pool/main/libtool/libtool_1.2-3_amd64.deb was answered with 403
    hint: `mirrors: { debian: […] }` in imgpack.yaml names another mirror
    ");
    mirror.remove("/by-hash/");
    assert_snapshot!(fails(&mut env, 4, "index"), @r"
    error: app (linux/amd64): buildspecs/app.yaml:2:21: cannot fetch the index main/binary-amd64/Packages.xz of bookworm
      because: http://deb.debian.org/debian/dists/bookworm/main/binary-amd64/Packages.xz was answered with 404
    hint: `mirrors: { debian: […] }` in imgpack.yaml names another mirror
    ");
}

#[test]
fn what_is_gone_comes_from_the_dated_archive() {
    let (mut env, mut mirror) = with_tool();
    env.succeeds(&["lock"]);
    let asked = mirror.asked().len();
    mirror.remove("/pool/");
    // It took up what is new only a day later.
    let pool = |day: &str| format!("http://snapshot.debian.org/archive/debian/{day}/pool/main");
    let next = DAY.replace("01T", "02T");
    mirror.publish("bookworm", &tool());
    mirror.rename(&format!("{DEBIAN}/pool/main/tool"), &format!("{}/tool", pool(DAY)));
    mirror.rename(&format!("{DEBIAN}/pool/main/libtool"), &format!("{}/libtool", pool(&next)));
    let told = env.succeeds(&["build", "--locked", "--platform", "linux/amd64"]).stderr;
    let note = "note: packages that mirrors no longer have come from snapshot.debian.org";
    assert_eq!(told.matches(note).count(), 1, "{told}");
    let asked: Vec<String> = mirror.asked().split_off(asked);
    assert!(asked.contains(&format!("{}/libtool/libtool_1.2-3_amd64.deb", pool(DAY))), "{asked:#?}");
    mirror.remove("snapshot");
    env.set("IMGPACK_CACHE", env.outside("other"));
    assert_snapshot!(said(&env.fails(4, &["build", "--locked", "--quiet", "--platform", "linux/amd64", "--jobs", "1"])), @r"
    error: app (linux/amd64): cannot fetch the package libtool 1:1.2-3 (amd64)
      because: http://deb.debian.org/debian/pool/main/libtool/libtool_1.2-3_amd64.deb was answered with 404
    hint: `mirrors: { debian: […] }` in imgpack.yaml names another mirror
    ");
}

#[test]
fn mirrors_come_before_the_hosts_and_debians_own() {
    let (mut env, mirror) = with_tool();
    mirror.rename(&format!("{SECURITY}/"), "http://security.example/debian-security/");
    mirror.rename(&format!("{DEBIAN}/"), "http://first.example/debian/");
    env.file(
        "imgpack.yaml",
        "apiVersion: imgpack/v1\nregistry: registry.example/acme\nmirrors:\n  debian: [http://none.example/debian, \
         http://127.0.0.1:1/debian, http://first.example/debian/, http://security.example/debian-security]\n",
    );
    let told = env.succeeds(&["lock"]).stderr;
    assert_eq!(
        told.matches("note: the mirror http://127.0.0.1:1/debian does not answer (").count(),
        1,
        "{told}"
    );
    let lock = lock_of(&env);
    assert!(!lock.contains("example") && !lock.contains("127.0.0.1"), "{lock}");
    let asked = mirror.asked();
    assert!(asked.contains(&"http://none.example/debian/dists/bookworm/InRelease".to_owned()), "{asked:#?}");
    assert!(!asked.iter().any(|address| address.contains("debian.org")), "{asked:#?}");
    // This machine's word comes before the workspace's.
    mirror.rename("http://first.example/debian/", "http://mine.example/debian/");
    env.set("IMGPACK_MIRRORS", "docker.io=hub.example debian=http://mine.example/debian/ debian=http://security.example/debian-security");
    env.succeeds(&["build", "--locked"]);
    env.unset("IMGPACK_MIRRORS");
    // Those of the host's apt are used where nothing is said; its proxy too.
    env.file("imgpack.yaml", "apiVersion: imgpack/v1\nregistry: registry.example/acme\n");
    let apt = env.outside("apt");
    fs::create_dir_all(apt.join("sources.list.d")).unwrap();
    fs::write(apt.join("sources.list"), "deb http://mine.example/debian bookworm main\n").unwrap();
    fs::write(
        apt.join("sources.list.d/security.sources"),
        "Types: deb\nURIs: http://security.example/debian-security\nSuites: bookworm-security\nComponents: main\n",
    )
    .unwrap();
    env.succeeds(&["lock", "--upgrade", "all"]);
    let proxy = format!("http://{}", mirror.proxy());
    fs::write(apt.join("apt.conf"), format!("Acquire::http::Proxy \"{proxy}\";\n")).unwrap();
    env.set("http_proxy", "http://127.0.0.1:1");
    env.succeeds(&["lock", "--upgrade", "all"]);
}

#[test]
fn repositories_of_others_are_believed_by_their_keys() {
    let (mut env, mut mirror) = with_tool();
    let key = SigningKey::new(9);
    let url = "http://apt.example.org/deb";
    let extra = |version: &str| vec![Deb::new("extra", version).depends("tool").file("/opt/extra", "extra")];
    mirror.publish_at(url, "stable", "main", &extra("1"), &key);
    mirror.publish_at(url, "stable", "contrib", &extra("2"), &key);
    mirror.publish_at("http://flat.example.org", "./", "", &[Deb::new("flat", "1").of("all")], &key);
    env.file("keys/extra.pgp", key.public());
    let row = |components: &str| {
        format!(
            "install: [extra, flat], repositories: [{{ url: '{url}', suite: stable, components: [{components}], \
             key: ../keys/extra.pgp }}, {{ url: 'http://flat.example.org', suite: ./, key: ../keys/extra.pgp }}]"
        )
    };
    app(&env, &row("main"));
    env.succeeds(&["lock"]);
    assert!(lock_of(&env).contains("extra=1 "), "{}", lock_of(&env));
    app(&env, &row("main, contrib"));
    env.succeeds(&["lock"]);
    let lock = lock_of(&env);
    assert!(
        lock.contains("package debian/bookworm/amd64/extra=2 archive http://apt.example.org/deb\n"),
        "{lock}"
    );
    assert!(lock.contains("release/http://apt.example.org/deb,stable 20261001T120000Z\n"), "{lock}");
    assert!(lock.contains("package debian/bookworm/all/flat=1 path flat_1_all.deb\n"), "{lock}");
    env.succeeds(&["build", "--locked"]);
    // The same name and version, and another file.
    let other = vec![Deb::new("extra", "2").depends("tool").file("/opt/extra", "other")];
    mirror.publish_at(url, "stable", "contrib", &other, &key);
    app(&env, &row("main, contrib").replace("flat]", "flat, other]"));
    let mut text = said(&env.fails(2, &["lock", "--quiet", "--platform", "linux/amd64"]));
    // Nobody else's key is believed, nor is theirs for Debian's suites.
    env.file("keys/extra.pgp", SigningKey::new(8).public());
    text += &fails(&mut env, 4, "key");
    env.file("keys/extra.pgp", "no key");
    text += &fails(&mut env, 2, "nokey");
    env.file("keys/extra.pgp", key.public());
    env.unset("IMGPACK_DEBIAN_KEYS");
    text += &fails(&mut env, 4, "debian");
    let text = [SigningKey::new(1), SigningKey::new(8), SigningKey::new(9)]
        .iter()
        .zip(["[1]", "[8]", "[9]"])
        .fold(text, |text, (key, name)| text.replace(&key.id(), name));
    assert_snapshot!(text, @r"
    error: app (linux/amd64): buildspecs/app.yaml:2:21: imgpack.lock pins debian/bookworm/amd64/extra=2 to sha256:…, and the repositories have sha256:…
    hint: `imgpack lock --upgrade debian/bookworm/amd64/extra=2` takes what there is
    error: app (linux/amd64): buildspecs/app.yaml:2:21: http://apt.example.org/deb/dists/stable/InRelease is not to be trusted
      because: it is signed by [9], and known are [8]
    hint: a repository of others is believed by its own `key`
    error: app (linux/amd64): buildspecs/app.yaml:2:172: keys/extra.pgp cannot be used as the key of a repository
      because: it is no file of OpenPGP keys: it ends in the middle of a packet
      because: it ends in the middle of a packet
    error: app (linux/amd64): buildspecs/app.yaml:2:21: http://deb.debian.org/debian/dists/bookworm/InRelease is not to be trusted
      because: it is signed by [1], and known are B7C5D7D6350947F8, 6ED0E7B82643E131, 254CF3B5AEC0A8F0, BDE6D2B9216EC7A8 and 6 more
    hint: a repository of others is believed by its own `key`
    ");
}

#[test]
fn packages_that_do_not_go_together_are_told_at_their_place() {
    let (mut env, mut mirror) = with_tool();
    app(&env, "install: [nothing]");
    let mut text = fails(&mut env, 2, "nothing");
    mirror.publish(
        "bookworm",
        &[
            Deb::new("tool", "1.0-1").depends("libtool (>= 2)"),
            Deb::new("libtool", "1:1.2-3").field("Breaks", "other (<< 4)"),
            Deb::new("other", "3"),
        ],
    );
    app(&env, "install: [tool, other]");
    text += &fails(&mut env, 2, "conflict");
    app(&env, "install: [tool=2, other]");
    text += &fails(&mut env, 2, "version");
    mirror.remove("trixie-updates");
    env.spec("app", "base: scratch\npackages: { debian: { suite: trixie, install: [tool] } }\n");
    text += &fails(&mut env, 4, "updates");
    assert_snapshot!(text, @r"
    error: app (linux/amd64): buildspecs/app.yaml:2:21: cannot choose packages of bookworm for amd64
      because: no repository has a package nothing
    error: app (linux/amd64): buildspecs/app.yaml:2:21: cannot choose packages of bookworm for amd64
      because: other and tool cannot be installed together
      because: tool 1.0-1 needs libtool (>= 2)
      because: libtool 1:1.2-3 breaks other (<< 4)
    hint: choose others, or leave out with `exclude` what the image can do without
    error: app (linux/amd64): buildspecs/app.yaml:2:21: cannot choose packages of bookworm for amd64
      because: no repository has tool in version 2
    hint: there is 1.0-1
    error: app (linux/amd64): buildspecs/app.yaml:2:21: cannot fetch the state of trixie-updates
      because: http://deb.debian.org/debian/dists/trixie-updates/InRelease was answered with 404
    hint: `mirrors: { debian: […] }` in imgpack.yaml names another mirror
    ");
}

#[test]
fn what_the_base_has_is_kept_unless_it_is_too_old() {
    let (env, _mirror) = with_tool();
    let status = "Package: libtool\\nStatus: install ok installed\\nArchitecture: amd64\\nVersion: 1:1.0-1\\n\\n\
        Package: data\\nStatus: install ok installed\\nArchitecture: all\\nVersion: 6\\n";
    env.spec(
        "base",
        &format!("base: scratch\nfiles: [{{ to: /var/lib/dpkg/status, text: \"{status}\" }}]\n"),
    );
    env.succeeds(&["build", "base", "--platform", "linux/amd64", "--output", "oci:base-image"]);
    let on_base = |install: &str| {
        let packages = format!(
            "packages: {{ debian: {{ suite: bookworm, install: [{install}] }} }}\nplatforms: [linux/amd64]\n"
        );
        env.spec("app", &format!("base: oci:../base-image\n{packages}"));
        env.succeeds(&["build", "app"]).stderr
    };
    let said = on_base("tool");
    assert!(!said.contains("takes the place"), "{said}");
    let said = on_base("tool, data=7");
    assert!(said.contains("note: data 7 takes the place of the base's 6\n"), "{said}");
}

#[test]
fn what_is_left_out_although_others_need_it_is_told() {
    let (env, _mirror) = with_tool();
    app(&env, "install: [tool], exclude: [libtool]");
    let told = env.succeeds(&["lock"]).stderr;
    assert!(told.contains("note: tool depends on libtool, which is left out as `exclude` says\n"), "{told}");
    // Each index is one of the bytes that come for an architecture.
    assert_eq!(told.matches("indexes of bookworm for amd64: receiving ").count(), 1, "{told}");
}

#[test]
fn a_lock_leads_nowhere_that_the_spec_does_not_say() {
    let (env, mirror) = with_tool();
    env.succeeds(&["lock"]);
    let locked = lock_of(&env);
    let asked = mirror.asked().len();
    for (field, value) in [
        ("path", "../../../secret"),
        ("path", "/pool/x.deb"),
        ("path", "pool//x.deb"),
        ("path", "http://evil.example/x.deb"),
        ("archive", "http://evil.example/debian"),
        ("archive", "debian ../../../evil"),
        ("size", "-1"),
    ] {
        let row = |line: &str| {
            let (name, _) = line.split_once(&format!(" {field} "))?;
            name.contains("amd64/tool=").then(|| format!("{name} {field} {value}"))
        };
        let lines: Vec<String> =
            locked.lines().map(|line| row(line).unwrap_or_else(|| line.to_owned())).collect();
        assert_ne!(lines.join("\n"), locked.trim_end());
        env.file(LOCK, lines.join("\n"));
        let said = env.fails(2, &["build", "--locked", "--quiet"]);
        assert!(said.contains("of which there is no row that can be used"), "{field} {value}: {said}");
    }
    assert_eq!(mirror.asked().len(), asked, "{:#?}", mirror.asked());
}

#[test]
fn a_base_of_something_else_is_told() {
    let (env, _mirror) = with_tool();
    let on_base = |release: &str| {
        env.file("base.tar", tar(&[("./etc/os-release".to_owned(), release.as_bytes().to_vec(), 0o644)]));
        env.spec(
            "app",
            "base: { rootfs: { linux/amd64: ../base.tar } }\nplatforms: [linux/amd64]\n\
             packages: { debian: { suite: bookworm, install: [tool] } }\n",
        );
        env.run(&["plan"])
    };
    let said = on_base("ID=debian\nVERSION_CODENAME=bookworm\n").stderr;
    assert!(!said.contains("on a base of"), "{said}");
    let ended = on_base("ID=debian\nVERSION_CODENAME=trixie\n");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.stderr.contains("warning: app: packages of bookworm on a base of trixie\n"),
        "{}",
        ended.stderr
    );
    let ended = on_base("ID=alpine\n");
    assert_eq!(ended.code, 2, "{ended:?}");
    let told = "error: app (linux/amd64): buildspecs/app.yaml:3:21: packages.debian wants a base of Debian or an empty one, and this \
        one is Alpine\nhint: take a base of Debian, or say `packages.apk`\n";
    assert!(ended.stderr.ends_with(told), "{}", ended.stderr);
}
