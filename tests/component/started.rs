//! init and the commands that it runs. That it is PID 1 is for the containers of the end-to-end tests.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use imgpack::model::Platform;

use crate::program::{here, program, said};

fn init() -> Command {
    let mut init = program("imgpack-init", here()).unwrap();
    init.env("A", "1").env("EMPTY", "");
    init
}

#[test]
fn it_ends_as_its_command_ends() {
    for (words, code, text) in [
        (&["--", "sh", "-c", "echo out; exit 7"][..], 7, "out"),
        (&["--", "sh", "-c", "kill -9 $$"], 137, ""),
        (&["--", "/no/such"], 127, "imgpack-init: /no/such is not there, or its loader is not"),
        (
            &["--", "/etc/passwd"],
            126,
            "imgpack-init: /etc/passwd cannot be run: Permission denied (os error 13)",
        ),
        (&["--"], 2, "imgpack-init: there is no command: the image has no entrypoint or cmd"),
        (&["--fast", "--", "true"], 2, "imgpack-init: --fast is not known: see --help"),
        (
            &["--expand", "--", "echo", "${A}", "${B:-x y}", "${EMPTY:-e}", "$A", "$${A}"],
            0,
            "1 x y e $A ${A}",
        ),
        (&["--", "echo", "${A}"], 0, "${A}"),
        (&["--expand", "--", "echo", "${B}"], 1, "imgpack-init: ${B}: the variable B is not set"),
        (&["--before", "2", "echo", "first", "--", "echo", "second"], 0, "first\nsecond"),
        (&["--before", "3", "sh", "-c", "exit 9", "--", "echo", "no"], 9, "imgpack-init: sh ended with 9"),
        (
            &["--before", "1", "/no", "--", "x"],
            127,
            "imgpack-init: /no is not there, or its loader is not\nimgpack-init: /no ended with 127",
        ),
        // Nothing is held back from the command, and it is in a group of its own.
        (
            &["--", "sh", "-c", "grep SigBlk /proc/self/status; test $(ps -o pgid= $$) = $$"],
            0,
            "SigBlk:\t0000000000000000",
        ),
    ] {
        assert_eq!(said(init().args(words)), (code, text.to_owned()), "{words:?}");
    }
}

#[test]
fn children_are_seen_where_whoever_started_it_ignores_theirs() {
    let init = init();
    let mut ignoring = Command::new("timeout");
    ignoring.args(["--signal=KILL", "20", "env", "--ignore-signal=CHLD"]).arg(init.get_program());
    assert_eq!(said(ignoring.args(["--", "sh", "-c", "echo out; exit 7"])), (7, "out".to_owned()));
}

#[test]
fn signals_are_the_command_s() {
    let script =
        "trap 'echo got it; exit 5' TERM; trap 'echo user' USR1; echo up; while :; do sleep 0.05; done";
    let mut child = init().args(["--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    let kill = |signal: &str| {
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    };
    assert_eq!(line(), "up");
    kill("-USR1");
    assert_eq!(line(), "user");
    kill("-TERM");
    assert_eq!(line(), "got it");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn a_signal_ends_the_waiting() {
    let mut child =
        init().args(["--wait", "127.0.0.1:1", "--", "echo", "no"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "imgpack-init: waiting for 127.0.0.1:1");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

/// A command that comes first may take its time to end well, and what comes after it is not wanted any more.
#[test]
fn a_signal_ends_what_comes_first() {
    let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let mut child = init()
        .args(["--before", "3", "sh", "-c", script, "--", "echo", "no"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "up");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(lines.next().is_none());
}

#[test]
fn it_waits_for_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut there = init();
    there.env("DB", "localhost").args([
        "--wait",
        &format!("${{DB}}:{port}"),
        "--wait",
        &format!(":{port}"),
        "--",
        "echo",
        "there",
    ]);
    assert_eq!(said(&mut there), (0, "there".to_owned()));
    for (address, text) in [
        (
            "127.0.0.1:1",
            "imgpack-init: 127.0.0.1:1 was not there within 300 ms: Connection refused (os error 111)",
        ),
        ("${NO}:1", "imgpack-init: --wait ${NO}:1: the variable NO is not set"),
        ("db", "imgpack-init: --wait db: `db` is not an address like host:8000 or :8000"),
    ] {
        let mut away = init();
        away.args(["--wait", address, "--wait-timeout", "300ms", "--", "echo", "no"]);
        assert_eq!(said(&mut away), (1, text.to_owned()));
    }
}

#[test]
fn templates_become_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("in"), "${A} ${B:-b} ${host} $host $${A}\n").unwrap();
    fs::set_permissions(path("in"), fs::Permissions::from_mode(0o640)).unwrap();
    let render = |to: &str, only: &[&str]| {
        let mut init = init();
        init.args(["--render", &path("in"), to]).args(only).args(["--", "cat", to]);
        said(&mut init)
    };
    assert_eq!(render(&path("out"), &["--only", "A,B"]), (0, "1 b ${host} $host ${A}".to_owned()));
    assert_eq!(fs::metadata(path("out")).unwrap().permissions().mode() & 0o777, 0o640);
    let missing = format!("imgpack-init: {}: the variable host is not set", path("in"));
    assert_eq!(render(&path("out"), &[]), (1, missing));
    let (code, text) = render("/proc/none/out", &["--only", "A"]);
    assert_eq!(
        (code, text.as_str()),
        (1, "imgpack-init: /proc/none/out: No such file or directory (os error 2)")
    );
    assert_eq!(
        said(init().args(["--render", "/no/template", "/x", "--", "true"])),
        (1, "imgpack-init: /no/template: No such file or directory (os error 2)".to_owned())
    );
}

/// init starts itself, which an emulator without the kernel's help cannot: here is what it does of itself.
#[test]
fn it_runs_on_the_other_platform() {
    let other = Platform::ALL.into_iter().find(|platform| *platform != here()).unwrap();
    let Some(mut init) = program("imgpack-init", other) else { return };
    assert_eq!(said(init.args(["--exec", "/bin/sh", "-c", "echo became; exit 4"])), (4, "became".to_owned()));
    let mut init = program("imgpack-init", other).unwrap();
    let (code, text) = said(init.args(["--expand", "--", "${NO}"]));
    assert_eq!((code, text.as_str()), (1, "imgpack-init: ${NO}: the variable NO is not set"));
}
