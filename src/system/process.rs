//! Child processes: an environment of their own, output line by line, and no orphan when they are cancelled.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group, test_kill_process_group, waitid,
};

use super::{Cancel, Cancelled};

/// How long a process has between the request to end and its end.
const GRACE: Duration = Duration::from_secs(3);
/// How long output is still read from what escaped the process group and holds the pipes open.
const DRAIN: Duration = Duration::from_secs(1);
/// How often the flag and the child are looked at while nothing is written.
const TICK: Duration = Duration::from_millis(25);
/// A longer line is handed on in pieces, so that memory is bounded (bytes).
const LINE_LIMIT: u64 = 4 * 1024 * 1024;

static STARTING: Mutex<()> = Mutex::new(());

/// What to run. Nothing is inherited but what stands here.
#[derive(Debug)]
pub struct Invocation {
    /// The program, as a path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: BTreeMap<OsString, OsString>,
    /// Its working directory.
    pub directory: PathBuf,
    /// Its standard input, which every process that it starts has open too, whatever they read; `None`: empty. A lock
    /// is held until the last of them has ended.
    pub stdin: Option<File>,
}

/// Where a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A process that did not come to an end of its own.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot run {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It could not be waited for.
    #[error("cannot wait for {}", program.display())]
    Wait {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was ended because the work was.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Runs a process in a group of its own and hands on its lines as they come, in this thread. However it ends, the whole
/// group has ended when this returns: by SIGTERM and, after a moment of grace, SIGKILL where it was cancelled.
pub fn run(
    invocation: Invocation,
    cancel: &Cancel,
    line: &mut dyn FnMut(Stream, &str),
) -> Result<ExitStatus, ProcessError> {
    cancel.check()?;
    let program = invocation.program.clone();
    let start = |source| ProcessError::Start { program: program.clone(), source };
    // Nobody else starts a process meanwhile, which would have the file open too.
    let alone = STARTING.lock();
    if let Some(file) = &invocation.stdin {
        fcntl_setfd(file, FdFlags::empty()).map_err(|error| start(error.into()))?;
    }
    let mut child = std::process::Command::new(&invocation.program)
        .args(&invocation.args)
        .env_clear()
        .envs(&invocation.env)
        .current_dir(&invocation.directory)
        .stdin(invocation.stdin.map_or_else(Stdio::null, Stdio::from))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(start)?;
    drop(alone);
    let group = Group(Pid::from_child(&child));
    let (sender, lines) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        read_lines(stdout, Stream::Stdout, sender.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        read_lines(stderr, Stream::Stderr, sender.clone());
    }
    drop(sender);

    let mut open = true;
    let mut ending: Option<Instant> = None;
    let mut ended: Option<Instant> = None;
    loop {
        if open {
            match lines.recv_timeout(TICK) {
                Ok((stream, text)) => line(stream, &text),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
        } else if ended.is_none() {
            thread::sleep(Duration::from_millis(2));
        }
        if ended.is_none() && group.leader_ended() {
            // The leader is not reaped yet, so its number still names this group and nothing else.
            group.signal(Signal::KILL);
            ended = Some(Instant::now());
        }
        match ended {
            Some(_) if !open => break,
            Some(at) if at.elapsed() > DRAIN => break,
            Some(_) => continue,
            None => {}
        }
        if cancel.is_cancelled() {
            match ending {
                None => {
                    group.signal(Signal::TERM);
                    ending = Some(Instant::now());
                }
                Some(at) if at.elapsed() > GRACE || cancel.is_urgent() => group.signal(Signal::KILL),
                Some(_) => {}
            }
        }
    }
    let status = child.wait().map_err(|source| ProcessError::Wait { program, source })?;
    group.wait_until_empty();
    if ending.is_some() {
        return Err(Cancelled.into());
    }
    Ok(status)
}

/// Runs a short program and gives its standard output and standard error (each read as UTF-8, wrong bytes replaced).
pub fn output(invocation: Invocation, cancel: &Cancel) -> Result<(ExitStatus, String, String), ProcessError> {
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let status = run(invocation, cancel, &mut |stream, line| {
        let text = match stream {
            Stream::Stdout => &mut stdout,
            Stream::Stderr => &mut stderr,
        };
        text.push_str(line);
        text.push('\n');
    })?;
    Ok((status, stdout, stderr))
}

/// The program `name`, looked up in `path` as a shell would; only absolute directories count.
pub fn find_program(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let runs = |file: &Path| {
        file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|file| runs(file));
    }
    std::env::split_paths(path?)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|file| runs(file))
}

/// The process group that the child leads.
struct Group(Pid);

impl Group {
    /// Sends a signal; a group that is gone is no error.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.0, signal);
    }

    /// Waits for what was killed to be gone. Only asks: the number may be another's once the group is empty. Bounded: in
    /// a container whose first process reaps nothing, dead processes stay.
    fn wait_until_empty(&self) {
        let begin = Instant::now();
        while test_kill_process_group(self.0).is_ok() && begin.elapsed() < DRAIN {
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether the leader has ended; it stays unreaped.
    fn leader_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(self.0), options) {
            Ok(status) => status.is_some(),
            Err(error) => error != rustix::io::Errno::INTR,
        }
    }
}

fn read_lines(pipe: impl Read + Send + 'static, stream: Stream, sender: Sender<(Stream, String)>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match reader.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            while matches!(bytes.last(), Some(b'\n' | b'\r')) {
                bytes.pop();
            }
            if sender.send((stream, String::from_utf8_lossy(&bytes).into_owned())).is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Invocation {
        Invocation {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
            directory: "/".into(),
            stdin: None,
        }
    }

    #[test]
    fn lines_status_and_environment() {
        let mut lines = Vec::new();
        let status =
            run(shell("echo a; echo b >&2; printf c; exit 7"), &Cancel::new(), &mut |stream, line| {
                lines.push((stream, line.to_owned()));
            })
            .unwrap();
        assert_eq!(status.code(), Some(7));
        lines.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
        let expected = [(Stream::Stdout, "a"), (Stream::Stdout, "c"), (Stream::Stderr, "b")];
        assert_eq!(lines, expected.map(|(stream, text)| (stream, text.to_owned())));

        let (_, stdout, _) =
            output(shell("env | cut -d= -f1 | sort | tr '\\n' ' '"), &Cancel::new()).unwrap();
        assert_eq!(stdout.trim(), "PATH PWD");
    }

    #[test]
    fn whatever_a_process_starts_holds_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("the.lock");
        let mut invocation = shell("sh -c 'ls -l /proc/self/fd' < /dev/null");
        invocation.stdin = Some(File::create(&path).unwrap());
        let (_, stdout, stderr) = output(invocation, &Cancel::new()).unwrap();
        assert!(stdout.contains("the.lock"), "{stdout}{stderr}");
        // And nobody else does.
        let (_, stdout, _) = output(shell("ls -l /proc/self/fd"), &Cancel::new()).unwrap();
        assert!(!stdout.contains("the.lock"), "{stdout}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let mut invocation = shell("");
        invocation.program = "/nowhere/tool".into();
        let error = output(invocation, &Cancel::new()).unwrap_err();
        assert_eq!(error.to_string(), "cannot run /nowhere/tool");
    }

    #[test]
    fn cancelling_ends_the_whole_group() {
        let cancel = Cancel::new();
        let mut child = None;
        // The grandchild ignores the polite signal.
        let script = "sh -c 'trap \"\" TERM; echo $$; while :; do read -r x < /dev/zero; done' & wait";
        let error = run(shell(script), &cancel, &mut |_, line| {
            child = line.parse::<i32>().ok();
            cancel.cancel();
        })
        .unwrap_err();
        assert!(matches!(error, ProcessError::Cancelled(_)));
        let pid = Pid::from_raw(child.unwrap()).unwrap();
        let state =
            std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z") || state.contains(") X"), "{state}");
    }

    #[test]
    fn urgent_work_is_not_given_time() {
        let cancel = Cancel::new();
        let mut begin = None;
        let error = run(
            shell("trap '' TERM; echo; while :; do read -r x < /dev/zero; done"),
            &cancel,
            &mut |_, _| {
                cancel.cancel_at_once();
                begin = Some(Instant::now());
            },
        );
        assert!(matches!(error, Err(ProcessError::Cancelled(_))));
        assert!(begin.unwrap().elapsed() < GRACE);
    }

    #[test]
    fn what_a_process_leaves_behind_is_ended_and_not_waited_for() {
        let started = Instant::now();
        let (status, stdout, _) = output(shell("sleep 60 & echo done"), &Cancel::new()).unwrap();
        assert!(status.success());
        assert_eq!(stdout, "done\n");
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
