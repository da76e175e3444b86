//! Programs run to their good end, and what a test needs before it can begin.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::{env, fs, io, thread};

/// Runs `command` to its good end and gives its standard output.
pub(crate) fn text(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{}", told(command, &output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `command` to an end with this exit code and gives its standard error.
pub(crate) fn failure(command: &mut Command, code: i32) -> String {
    let output = run(command);
    assert_eq!(output.status.code(), Some(code), "{}", told(command, &output));
    String::from_utf8(output.stderr).unwrap()
}

/// Runs a program with these arguments to its good end and gives its standard output.
pub(crate) fn call(program: &str, arguments: &[&str]) -> String {
    text(Command::new(program).args(arguments))
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn told(command: &Command, output: &Output) -> String {
    let mut told = format!("{command:?}: {}\n", output.status);
    let _ = write!(told, "{}", String::from_utf8_lossy(&output.stdout));
    let _ = write!(told, "{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// Whether all these programs are on the path; where one is not, the test is skipped aloud.
pub(crate) fn installed(programs: &[&str]) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let here = |program: &&&str| env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing: Vec<&str> = programs.iter().filter(|program| !here(program)).copied().collect();
    if !missing.is_empty() {
        skip(&format!("missing programs: {}", missing.join(", ")));
    }
    missing.is_empty()
}

/// Alpine's root file system for a machine (`x86_64`, `aarch64`), which `fixtures/bases.sh` brings; where it is not
/// there the test is skipped aloud.
pub(crate) fn alpine(machine: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join(format!("fixtures/bases/alpine-minirootfs-3.20.3-{machine}.tar.gz"));
    if path.is_file() {
        return Some(path);
    }
    skip("missing the root file systems that fixtures/bases.sh brings");
    None
}

/// A real file of apk that `fixtures/bases.sh` brings; where it is not there the test is skipped aloud.
pub(crate) fn apk_file(name: &str) -> Option<Vec<u8>> {
    let found =
        fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/bases/apk").join(name)).ok();
    if found.is_none() {
        skip("missing the files of apk that fixtures/bases.sh brings");
    }
    found
}

/// Says that the running test, or a part of it, is skipped, where `tests/run` counts it; fails instead in CI.
pub(crate) fn skip(reason: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "nothing may be skipped in CI: {reason}");
    let current = thread::current();
    let line = format!("{}: {reason}\n", current.name().unwrap_or("a test"));
    // Not `eprint`, which is swallowed for tests that pass.
    let _ = write!(io::stderr(), "skipped: {line}");
    if let Some(path) = env::var_os("IMGPACK_TEST_SKIPS") {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}
