//! What stands on a base: places that it has already, platforms that it has not.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;

use crate::env::Env;

/// An OCI layout in the workspace for these platforms, made by imgpack itself: a file below `/etc`.
fn with_base(platforms: &str) -> Env {
    let env = Env::with_files();
    env.succeeds(&["build", "web", "--platform", platforms, "--output", "oci:base"]);
    env
}

#[test]
fn a_file_over_a_directory_of_the_base() {
    let env = with_base("linux/amd64,linux/arm64");
    env.spec("web", "base: oci:../base\nfiles: { /etc/web: ../conf/motd }\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: web (linux/amd64, linux/arm64): /etc/web from buildspecs/web.yaml:2:10 is a file, but the base has a directory there
    hint: say `replace: true` at the files entry if it is meant to take its place
    ");
    env.spec("web", "base: oci:../base\nfiles:\n  - { from: ../conf/motd, to: /etc/web, replace: true }\n");
    env.succeeds(&["build"]);
    // The other way round: below a file of the base there is no place.
    env.spec("web", "base: oci:../base\nfiles: { /etc/web/motd/x: ../conf/motd }\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @"error: web (linux/amd64, linux/arm64): /etc/web/motd/x from buildspecs/web.yaml:2:10 cannot be reached: the base has no directory on the way to it");
    env.spec("web", "base: oci:../base\nremove: [/etc/none]\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @"error: web (linux/amd64, linux/arm64): remove: /etc/none is not in the base");
}

#[test]
fn a_base_without_the_wanted_platform() {
    let env = with_base("linux/amd64");
    env.spec("web", "base: oci:../base\n");
    assert_snapshot!(env.fails(2, &["build", "--jobs", "1"]), @r"
    1 image to build for linux/amd64, linux/arm64
    web linux/amd64: reading the base
    web linux/arm64: reading the base
    error: web (linux/arm64): the base oci:base is not there for linux/arm64, only for linux/amd64
    hint: leave linux/arm64 out of `platforms`, or choose another base than oci:base
    ");
    assert_snapshot!(env.fails(2, &["build", "--quiet", "--platform", "linux/arm64"]), @r"
    error: web (linux/arm64): the base oci:base is not there for linux/arm64, only for linux/amd64
    hint: leave linux/arm64 out of `platforms`, or choose another base than oci:base
    ");
    env.succeeds(&["build", "--platform", "linux/amd64"]);
    // What can be built of it is built, nothing is written.
    assert_snapshot!(env.fails(2, &["build", "--keep-going", "--quiet", "--output", "oci:out"]), @r"
    error: web (linux/arm64): the base oci:base is not there for linux/arm64, only for linux/amd64
    hint: leave linux/arm64 out of `platforms`, or choose another base than oci:base
    ");
    assert!(!env.path("out").exists());
}

#[test]
fn a_base_that_is_not_there() {
    let env = Env::with_files();
    env.spec("web", "base: oci:../base\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @"error: web (linux/amd64, linux/arm64): buildspecs/web.yaml:1:7: `base` does not exist in the workspace");
    fs::create_dir(env.path("base")).unwrap();
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @"error: web (linux/amd64, linux/arm64): oci:base has no `oci-layout`");
    env.spec("web", "base: oci-archive:../conf/motd\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: web (linux/amd64, linux/arm64): cannot read the archive oci-archive:conf/motd
      because: it is not a tar archive
    ");
    env.spec("web", "base: docker-archive:../conf/motd\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: web (linux/amd64, linux/arm64): cannot read the archive docker-archive:conf/motd
      because: it is not a tar archive
    ");
    env.spec("web", "base: { rootfs: { linux/amd64: ../conf/motd, linux/arm64: ../conf/motd } }\n");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: web (linux/amd64, linux/arm64): the layer sha256:bc501ac0af6a39cb2d6a9285787a221f08b2bf8ed495d1ea4c9595ad6c030982 of rootfs:conf/motd,conf/motd cannot be read as a layer
      because: it is not a tar archive
    ");
}

#[test]
fn a_damaged_base() {
    let env = with_base("linux/amd64");
    env.spec("web", "base: oci:../base\n");
    let layer = |path: &Path| fs::read(path).is_ok_and(|bytes| bytes.starts_with(&[0x1f, 0x8b]));
    let blobs = crate::env::files_below(&env.path("base/blobs"));
    let layer = blobs.iter().find(|path| path.is_file() && layer(path)).unwrap();
    let mut bytes = fs::read(layer).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(layer, &bytes).unwrap();
    // Not from the store, where the good one is.
    fs::remove_dir_all(env.cache()).unwrap();
    let said = env.fails(2, &["build", "--quiet", "--platform", "linux/amd64"]);
    assert_snapshot!(crate::env::without_digests(&said), @"error: web (linux/amd64): the blob sha256:… of oci:base is damaged: it is sha256:…");
    fs::remove_file(layer).unwrap();
    let said = env.fails(2, &["build", "--quiet", "--platform", "linux/amd64"]);
    let name = layer.file_name().unwrap().to_str().unwrap();
    assert_snapshot!(crate::env::without_digests(&said).replace(name, "[hex]"), @r"
    error: web (linux/amd64): cannot get the blob sha256:… of oci:base
      because: there is no `blobs/sha256/[hex]`
    ");
}
