//! Disks that are full or cannot be written to: exit 5, nothing half-written.

use std::fs;

use insta::assert_snapshot;

use crate::env::{Ended, Env, IMGPACK, skip};

/// Runs imgpack where `[dir]/disk` is a disk of its own, mounted for this command alone with these options. Afterwards
/// standard output has what is left on it. `None` where this machine does not allow mounts.
fn on_disk(env: &Env, options: &str, before: &str, arguments: &[&str]) -> Option<Ended> {
    let disk = env.outside("disk");
    fs::create_dir_all(&disk).unwrap();
    let disk = disk.to_str().unwrap();
    let script = format!(
        "mount -t tmpfs -o {options} none '{disk}' || exit 99\n{before}\n\"$@\"\ncode=$?\nfind '{disk}' -mindepth 1 \
         | sort\nexit $code\n"
    );
    for way in [&["--mount"][..], &["--user", "--map-root-user", "--mount"]] {
        let words = [way, &["sh", "-c", &script, "sh", IMGPACK], arguments].concat();
        let ended = env.ended(env.command("unshare", &words));
        if ended.code != 99 && !ended.stderr.contains("unshare failed") {
            return Some(ended);
        }
    }
    skip("this machine does not let tests mount a disk");
    None
}

/// A workspace whose image is larger than the disk.
fn with_noise() -> Env {
    let env = Env::with_files();
    // xorshift64: bytes that gzip cannot make smaller.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise: Vec<u8> = (0..64 * 1024)
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .collect();
    env.file("conf/noise", noise);
    env
}

/// A name of a temporary file as `[temporary]`.
fn without_names(text: &str) -> String {
    let mut clean = String::new();
    for line in text.lines() {
        let line = match line.split_once(".imgpack-") {
            Some((before, after)) => format!("{before}[temporary]{}", &after[6..]),
            None => line.to_owned(),
        };
        clean = format!("{clean}{line}\n");
    }
    clean
}

#[test]
fn a_full_disk_under_the_cache() {
    let mut env = with_noise();
    env.set("IMGPACK_CACHE", env.outside("disk/cache"));
    let Some(ended) = on_disk(&env, "size=256k", "", &["build", "--quiet"]) else { return };
    assert_eq!(ended.code, 5);
    assert_snapshot!(without_names(&ended.stderr), @r#"
    error: web (linux/amd64): cannot write the layer
      because: No space left on device (os error 28) at path "[dir]/disk/cache/v1/tmp/[temporary]"
    hint: free some space on that disk, or set IMGPACK_CACHE to a folder on another
    "#);
    let left: Vec<&str> = ended.stdout.lines().filter(|line| line.contains("/v1/tmp/")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!ended.stdout.contains("sha256:"), "{}", ended.stdout);
}

#[test]
fn a_full_disk_under_the_output() {
    let env = with_noise();
    env.succeeds(&["build"]);
    let disk = env.outside("disk");
    for form in ["oci", "oci-archive", "docker-archive"] {
        let output = format!("{form}:{}/out", disk.display());
        let arguments = ["build", "--quiet", "--platform", "linux/amd64", "--output", &output];
        let Some(ended) = on_disk(&env, "size=256k", "", &arguments) else { return };
        assert_eq!((ended.code, ended.stdout.as_str()), (5, ""), "{form}: something is left");
        let first = ended.stderr.lines().next().unwrap();
        assert!(first.starts_with("error: cannot write [dir]/disk/out"), "{first}");
        let rest: Vec<&str> = ended.stderr.lines().skip(1).collect();
        assert_eq!(
            rest,
            [
                "  because: No space left on device (os error 28)",
                "hint: free some space, or write to another disk"
            ]
        );
    }
    env.is_tidy();
}

#[test]
fn a_full_disk_under_the_result() {
    let env = Env::with_files();
    let result = env.outside("disk/result.json");
    let fill = format!("head -c 262144 /dev/zero > '{}'", env.outside("disk/fill").display());
    let mut said = Vec::new();
    for flag in ["--result", "--report"] {
        let arguments = ["build", "--quiet", flag, result.to_str().unwrap()];
        let Some(ended) = on_disk(&env, "size=256k", &fill, &arguments) else { return };
        assert_eq!((ended.code, ended.stdout.as_str()), (5, "[dir]/disk/fill\n"));
        said.push(without_names(&ended.stderr));
    }
    assert_eq!(said[0], said[1]);
    assert_snapshot!(said[0], @r#"
    error: cannot write [dir]/disk/result.json
      because: No space left on device (os error 28) at path "[dir]/disk/[temporary]"
    hint: free some space on that disk, or write to another
    "#);
}

#[test]
fn a_cache_that_cannot_be_written_to() {
    let mut env = Env::with_files();
    env.file("a-file", "");
    env.set("IMGPACK_CACHE", env.path("a-file"));
    assert_snapshot!(env.fails(5, &["build"]), @r"
    error: cannot write to the cache [ws]/a-file
      because: Not a directory (os error 20)
    hint: set IMGPACK_CACHE to a folder that this user can write to
    ");
    assert_eq!(fs::read(env.path("a-file")).unwrap(), b"");
    env.set("IMGPACK_CACHE", env.outside("disk/cache"));
    if let Some(ended) = on_disk(&env, "ro", "", &["build"]) {
        assert_eq!((ended.code, ended.stdout.as_str()), (5, ""));
        assert_snapshot!(ended.stderr, @r"
        error: cannot write to the cache [dir]/disk/cache
          because: Read-only file system (os error 30)
        hint: set IMGPACK_CACHE to a folder that this user can write to
        ");
    }
    env.unset("IMGPACK_CACHE");
    env.unset("HOME");
    assert_snapshot!(env.fails(2, &["build"]), @r"
    error: there is no place for the cache: neither IMGPACK_CACHE nor XDG_CACHE_HOME nor HOME is set
    hint: set IMGPACK_CACHE to a folder that this user can write to
    ");
    // Without a cache there are still mistakes to be told.
    env.succeeds(&["check"]);
}

#[test]
fn an_output_that_cannot_be_written_to() {
    let env = Env::with_files();
    env.file("web.tar/keep", "").file("notes/keep", "");
    assert_snapshot!(env.fails(2, &["build", "--quiet", "--output", "oci-archive:web.tar"]), @"error: web.tar exists and is not a regular file");
    assert_snapshot!(env.fails(2, &["build", "--quiet", "--output", "oci:notes"]), @r"
    error: notes is not empty and not an OCI image layout
    hint: name a new directory, an empty one, or an existing layout
    ");
    assert_eq!(crate::env::files_below(&env.path("notes")), [env.path("notes/keep")]);
    assert_snapshot!(env.fails(2, &["build", "--quiet", "--output", "oci:conf/motd"]), @"error: conf/motd exists and is not a directory");
    if let Some(ended) = on_disk(&env, "ro", "", &["build", "--quiet", "--output", "oci:../disk/out"]) {
        assert_eq!((ended.code, ended.stdout.as_str()), (5, ""));
        assert_snapshot!(ended.stderr, @r"
        error: cannot create the directory ../disk/out
          because: Read-only file system (os error 30)
        ");
    }
}

#[test]
fn a_full_disk_under_a_copy() {
    let env = with_noise();
    let (from, disk) = (env.outside("from"), env.outside("disk"));
    env.succeeds(&["build", "--output", &format!("oci:{}", from.display())]);
    let from = format!("oci:{}", from.display());
    for form in ["oci", "oci-archive"] {
        let to = format!("{form}:{}/copy", disk.display());
        let Some(ended) = on_disk(&env, "size=256k", "", &["copy", "--quiet", &from, &to]) else { return };
        assert_eq!((ended.code, ended.stdout.as_str()), (5, ""), "{}", ended.stderr);
        let said = without_names(&ended.stderr);
        assert!(said.starts_with("error: cannot write [dir]/disk/copy"), "{said}");
        assert!(said.contains("because: No space left on device (os error 28)"), "{said}");
        assert!(said.contains("hint: free some space, or write to another disk"), "{said}");
    }
}
