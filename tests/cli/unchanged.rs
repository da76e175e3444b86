//! A build in which nothing changed: counted, not timed. What it opens and starts is listed here, whole.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::builders::{GO, with_go};
use crate::env::{Env, files_below, is_installed, skip};

/// A self-signed certificate of nobody, valid long ago.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

/// System calls by name, with their arguments, of one run of imgpack.
struct Trace {
    lines: Vec<String>,
}

/// What may be asked of the kernel on this path is what is not in this list, and what the test takes out of it.
const WATCHED: &str = "trace=execve,execveat,clone,clone3,socket,connect,openat,openat2,fsync,fdatasync,\
                       ?open,?creat,?fork,?vfork,?rename,?renameat,renameat2,?unlink,unlinkat,?link,linkat";

impl Trace {
    /// `None` where no process may be traced here.
    fn of(env: &Env, arguments: &[&str]) -> Option<Self> {
        let can = || Command::new("strace").args(["-o", "/dev/null", "true"]).status();
        if !is_installed("strace") || !can().is_ok_and(|status| status.success()) {
            skip("strace cannot trace here");
            return None;
        }
        let file = env.outside("trace");
        let words = ["-f", "-qq", "-e", WATCHED, "-e", "signal=none", "-o", file.to_str().unwrap()];
        let words = [&words[..], &[crate::env::IMGPACK], arguments].concat();
        let ended = env.ended(env.command("strace", &words));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        // Each line begins with the number of the thread.
        let lines = env.said(&fs::read(&file).unwrap());
        let call = |line: &str| line.split_once(' ').map(|(_, call)| call.trim_start().to_owned());
        Some(Self { lines: lines.lines().filter_map(call).collect() })
    }

    fn calls(&self, names: &[&str]) -> Vec<&str> {
        let called = |line: &&str| names.iter().any(|name| line.starts_with(&format!("{name}(")));
        self.lines.iter().map(String::as_str).filter(called).collect()
    }

    /// What was opened, each once, with the way it was opened where that is not for reading a file.
    fn opened(&self) -> BTreeSet<String> {
        let opened = self.calls(&["openat", "openat2", "open", "creat"]);
        let found = opened.into_iter().filter(|call| !call.contains("ENOENT")).map(|call| {
            let path = call.split('"').nth(1).unwrap_or(call);
            let how = |flag| call.contains(flag);
            let mark = match () {
                () if how("O_TMPFILE") => " (nameless)",
                () if how("O_CREAT") || how("O_WRONLY") || how("O_RDWR") => " (written)",
                () if how("O_DIRECTORY") => "/",
                () => "",
            };
            format!("{path}{mark}")
        });
        // Two digits and a digest are a place in the store.
        let place = |path: String| match path.split_once("/v1/") {
            Some((_, place)) if !place.contains('(') => {
                format!("store: {}", place.split('/').next().unwrap_or_default())
            }
            _ => path,
        };
        found.map(place).filter(|path| !belongs_to_the_loader(path)).collect()
    }

    /// The parts that every build without work has in common.
    #[track_caller]
    fn starts_and_writes_nothing(&self) {
        assert_eq!(self.calls(&["execve", "execveat"]).len(), 1, "{:#?}", self.lines);
        // The one that waits for a second Ctrl-C.
        assert_eq!(self.calls(&["clone", "clone3", "fork", "vfork"]).len(), 1, "{:#?}", self.lines);
        let else_done = ["socket", "connect", "fsync", "fdatasync", "creat", "rename", "renameat"];
        let removed = ["renameat2", "unlink", "unlinkat", "link", "linkat"];
        assert_eq!(self.calls(&[&else_done[..], &removed[..]].concat()), Vec::<&str>::new());
    }
}

/// Libraries of the system, and what Rust's runtime asks: where its stack is, how many cores it may use.
fn belongs_to_the_loader(path: &str) -> bool {
    ["/etc/ld.so", "/lib/", "/lib64/", "/usr/lib/", "/proc/self/", "/sys/fs/cgroup"]
        .iter()
        .any(|start| path.starts_with(start))
}

/// Waits until every file of the workspace is so old that a digest of it is believed.
fn wait_until_at_rest(env: &Env) {
    let changed =
        files_below(&env.path("")).iter().map(|path| fs::symlink_metadata(path).unwrap().ctime()).max();
    let old = UNIX_EPOCH + Duration::from_secs(changed.unwrap_or_default().unsigned_abs() + 4);
    while SystemTime::now() < old {
        thread::sleep(Duration::from_millis(20));
    }
}

/// The third build: the first makes everything, the second hashes what was too young to be believed.
fn third_build(env: &Env) -> Option<(String, Trace)> {
    let first = env.succeeds(&["build", "--quiet"]);
    wait_until_at_rest(env);
    assert_eq!(env.succeeds(&["build", "--quiet"]).stdout, first.stdout);
    Some((first.stdout, Trace::of(env, &["build", "--quiet"])?))
}

#[test]
fn files_certificates_and_a_base_in_a_file() {
    let env = Env::with_files();
    env.succeeds(&["build", "--platform", "linux/amd64", "--output", "oci-archive:base.tar", "--quiet"]);
    env.file("site/index.html", "<html>")
        .file("site/a/b/c.txt", "deep")
        .file("site/.gitignore", "*.log\n")
        .file("site/x.log", "left out")
        .file("site/.env", "TOKEN=left-out")
        .file("ca/one.pem", CERTIFICATE);
    env.spec(
        "web",
        "base: oci-archive:../base.tar\nplatforms: [linux/amd64]\ncertificates: [../ca/one.pem]\n\
         components: [ca-certificates]\nfiles:\n  - { from: ../site, to: /srv }\n  - { from: ../conf/motd, to: /etc/motd }\n",
    );
    let Some((_, trace)) = third_build(&env) else { return };
    trace.starts_and_writes_nothing();
    let opened: Vec<String> = trace.opened().into_iter().collect();
    let expected = [
        // To be locked: nothing is in it.
        "[dir]/cache/v1/lock (written)",
        "[dir]/cache/v1/tmp (nameless)",
        "[ws]/buildspecs/",
        "[ws]/buildspecs/web.yaml",
        "[ws]/imgpack.yaml",
        "[ws]/site/",
        "[ws]/site/.gitignore",
        "[ws]/site/a/",
        "[ws]/site/a/b/",
        "store: last",
        "store: records",
        "store: stat",
        "store: tmp",
    ];
    assert_eq!(opened, expected, "{:#?}", trace.lines);
}

#[test]
fn a_go_service() {
    let Some(env) = with_go(GO) else { return };
    let Some((_, trace)) = third_build(&env) else { return };
    trace.starts_and_writes_nothing();
    let sources: Vec<String> =
        trace.opened().into_iter().filter(|path| path.starts_with("[ws]/service")).collect();
    // The module's own text says which Go it wants.
    assert_eq!(sources, ["[ws]/service/", "[ws]/service/go.mod"], "{:#?}", trace.lines);
}

#[test]
fn what_changed_without_a_trace_in_its_times_is_seen() {
    let env = Env::with_files();
    let build = || env.succeeds(&["build", "--quiet"]).stdout;
    let first = build();
    wait_until_at_rest(&env);
    assert_eq!(build(), first);
    assert_eq!(build(), first);
    // The same length, the same times: only `ctime` and the inode tell.
    let path = env.path("conf/motd");
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "HELLO\n").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
    let second = build();
    assert_ne!(second, first);
    // And back at once, while it is too young to be believed.
    fs::write(&path, "hello\n").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
    assert_eq!(build(), first);
    // A cache of another tree, and one that is torn, change nothing.
    let caches = files_below(&env.cache().join("v1/stat"));
    assert_eq!(caches.len(), 1);
    for wrong in [&b""[..], b"torn", &fs::read(&caches[0]).unwrap()[..100]] {
        fs::write(&caches[0], wrong).unwrap();
        assert_eq!(build(), first);
    }
}

#[test]
fn an_image_is_recalled_only_when_all_of_it_is_there() {
    let env = Env::with_files();
    let first = env.succeeds(&["build", "--quiet"]);
    // A layer is gone: it is made again.
    let blobs = env.cache().join("v1/blobs");
    for blob in files_below(&blobs).iter().filter(|path| path.is_file()) {
        fs::remove_file(blob).unwrap();
    }
    assert_eq!(env.succeeds(&["build", "--quiet", "--output", "oci:out"]).stdout, first.stdout);
    // Everything that is in no layer counts too.
    for (name, arguments) in [
        ("env", &["--set", "image.env.A=b"][..]),
        ("media types", &["--set", "mediaTypes=docker"]),
        ("label", &["--set", "image.labels.a=b"]),
    ] {
        let other = env.succeeds(&[&["build", "--quiet"], arguments].concat());
        assert_ne!(other.stdout, first.stdout, "{name}");
    }
    let mut dated = env;
    dated.set("SOURCE_DATE_EPOCH", "1700000000");
    assert_ne!(dated.succeeds(&["build", "--quiet"]).stdout, first.stdout);
    dated.unset("SOURCE_DATE_EPOCH");
    assert_eq!(dated.succeeds(&["build", "--quiet"]).stdout, first.stdout);
}

#[test]
fn volatile_values_are_asked_each_time() {
    let mut env = Env::with_files();
    env.spec(
        "web",
        "base: scratch\nstamp: true\nplatforms: [linux/amd64]\nfiles: { /etc/web: ../conf }\n\
         image: { labels: { by: \"${env:WHO}\" } }\n",
    );
    env.set("WHO", "one");
    let one = env.succeeds(&["build", "--quiet"]).stdout;
    env.set("WHO", "two");
    assert_ne!(env.succeeds(&["build", "--quiet"]).stdout, one);
    env.set("WHO", "one");
    assert_eq!(env.succeeds(&["build", "--quiet"]).stdout, one);
}
