//! Ctrl-C and SIGTERM in the middle of a compile: no child is left, nothing is half-written, the next build works.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::builders::{GO, RUST, with_go, with_rust};
use crate::env::{Ended, Env, IMGPACK};

/// Programs of processes whose environment names a path.
fn processes_of(path: &Path) -> Vec<String> {
    let needle = path.as_os_str().as_bytes();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        if read("environ").windows(needle.len()).any(|window| window == needle) {
            let words = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
            found.push(words);
        }
    }
    found
}

/// Starts a build in a process group of its own, and waits until one of its children is `program`.
pub(crate) fn started(env: &Env, program: &str) -> Child {
    let mut child = env.command(IMGPACK, &["build", "--output", "oci:out"]).process_group(0).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        let found = processes_of(&env.cache());
        if found.iter().any(|words| words.split(' ').next().is_some_and(|first| first.ends_with(program))) {
            return child;
        }
        let ended = child.try_wait().unwrap();
        assert!(
            ended.is_none() && Instant::now() < deadline,
            "{program} was never started: {ended:?}\n{found:#?}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

fn ended(env: &Env, child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    let left = processes_of(&env.cache());
    assert!(left.is_empty(), "still running: {left:#?}");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().expect("it ends by itself, with an exit code");
    Ended { code, stdout: said(&output.stdout), stderr: said(&output.stderr) }
}

/// What is left after a signal: nothing.
fn is_stopped(env: &Env, ended: &Ended, code: i32) {
    assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().last(), Some("error: interrupted"), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("error").count(), 1, "{}", ended.stderr);
    assert!(!env.path("out").exists());
    env.is_tidy();
}

/// A program that takes a while to compile: the standard library comes with it.
const SLOW_GO: &str = "package main\n\nimport _ \"net/http\"\n\nfunc main() {}\n";
/// A build script that never ends.
const ENDLESS: &str =
    "fn main() {\n    loop {\n        std::thread::sleep(std::time::Duration::from_secs(1));\n    }\n}\n";

#[test]
fn ctrl_c_while_go_compiles() {
    let Some(env) = with_go(SLOW_GO) else { return };
    let child = started(&env, "/compile");
    // What a terminal does: everybody in the group gets it.
    kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
    is_stopped(&env, &ended(&env, child), 130);
    env.file("service/main.go", GO);
    env.succeeds(&["build", "--output", "oci:out"]);
}

#[test]
fn ctrl_c_while_rust_compiles() {
    let Some(env) = with_rust(RUST) else { return };
    env.file("service/build.rs", ENDLESS);
    let child = started(&env, "/build-script-build");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    is_stopped(&env, &ended(&env, child), 130);

    let child = started(&env, "/build-script-build");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let said = ended(&env, child);
    is_stopped(&env, &said, 143);

    fs::remove_file(env.path("service/build.rs")).unwrap();
    env.succeeds(&["build", "--output", "oci:out"]);
}

#[test]
fn the_second_signal_is_not_politer() {
    let Some(env) = with_rust(RUST) else { return };
    env.file("service/build.rs", ENDLESS);
    let child = started(&env, "/build-script-build");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).unwrap();
    // It may be gone by now.
    let _ = kill_process(pid, Signal::INT);
    assert_eq!(ended(&env, child).code, 130);
}
