use std::error::Error;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::{Engine, EngineError, LoadError};
use crate::system::{Cancel, Cancelled};

/// No more of an engine's words is kept; what is beyond is read and dropped.
const WORDS: usize = 64 * 1024;
/// How often a running engine is asked whether it ended, and the flag whether to stop.
const POLL: Duration = Duration::from_millis(20);
/// How long the last words of an engine that ended are waited for.
const GRACE: Duration = Duration::from_secs(2);

/// What an engine took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The names or image ids that it reported, in its order.
    pub images: Vec<String>,
}

/// Streams a Docker archive, as `write` makes it, into `engine`. Nothing is stored on the way.
///
/// When `write` fails or `cancel` is set the engine's program is killed before it has seen the archive's end.
pub fn load<E: Error + 'static>(
    engine: &Engine,
    cancel: &Cancel,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<Loaded, LoadError<E>> {
    cancel.check().map_err(EngineError::from)?;
    let run = |source| EngineError::Run { program: engine.program.clone(), source };
    let mut command = Command::new(&engine.program);
    if let Some(host) = &engine.host {
        command.args(["--host", host]);
    }
    command.arg("load").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Its own group, so that what it starts dies with it.
    command.process_group(0);
    let mut child = command.spawn().map_err(run)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(run(io::Error::other("its standard streams are not there")).into());
    };
    let child = Mutex::new(child);
    let (said, complained) = (Words::of(stdout), Words::of(stderr));
    let (done, ended) = mpsc::channel::<()>();

    let (written, pipe_broke, status) = thread::scope(|scope| {
        // A write to an engine that stands still blocks; only its death ends it.
        let child = &child;
        scope.spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(POLL) {
                if cancel.is_cancelled() {
                    kill(child);
                    break;
                }
            }
        });
        let mut pipe = Pipe { inner: stdin, broke: false };
        let mut writer = BufWriter::with_capacity(1 << 16, &mut pipe);
        let written = write(&mut writer);
        if written.is_ok() {
            let _ = writer.flush();
        }
        // What is still in the buffer must not follow a failure.
        let _ = writer.into_parts();
        let pipe_broke = pipe.broke;
        if written.is_err() && !pipe_broke {
            kill(child);
        }
        drop(pipe);
        let status = wait(child);
        drop(done);
        (written, pipe_broke, status)
    });
    cancel.check().map_err(EngineError::from)?;
    match written {
        Err(error) if !pipe_broke => return Err(LoadError::Archive(error)),
        _ => {}
    }
    let status = status.map_err(run)?;
    if status.success() {
        return Ok(Loaded { images: loaded(&said.take()) });
    }
    Err(failure(engine, status, &said.take(), &complained.take()).into())
}

/// The engine's standard input, which remembers that it was closed.
struct Pipe<W> {
    inner: W,
    broke: bool,
}

impl<W: Write> Write for Pipe<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes).inspect_err(|error| {
            self.broke |= error.kind() != io::ErrorKind::Interrupted;
        })
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn kill(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    // Not reaped under this lock, so its number is still its own.
    if let Ok(None) = child.try_wait() {
        let _ = rustix::process::kill_process_group(Pid::from_child(&child), Signal::KILL);
    }
}

fn wait(child: &Mutex<Child>) -> io::Result<ExitStatus> {
    loop {
        // The lock is free between the looks, for the one who kills.
        if let Some(status) = child.lock().unwrap_or_else(PoisonError::into_inner).try_wait()? {
            return Ok(status);
        }
        thread::sleep(POLL / 4);
    }
}

/// The beginning of what a child says, read to the end by a thread of its own.
struct Words {
    text: Arc<Mutex<Vec<u8>>>,
    ended: Receiver<()>,
}

impl Words {
    fn of(mut reader: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let (end, ended) = mpsc::channel();
        let kept = Arc::clone(&text);
        thread::spawn(move || {
            let _end: Sender<()> = end;
            let mut buffer = [0; 4096];
            loop {
                match reader.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => {
                        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                        let room = WORDS.saturating_sub(kept.len()).min(count);
                        kept.extend_from_slice(&buffer[..room]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        });
        Self { text, ended }
    }

    /// The text, once the child has ended. A process that it left behind with its streams is not waited for.
    fn take(&self) -> String {
        let _ = self.ended.recv_timeout(GRACE);
        String::from_utf8_lossy(&self.text.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// `Loaded image: NAME`, `Loaded image ID: sha256:…`, podman's `Loaded image(s): NAME,NAME`.
fn loaded(said: &str) -> Vec<String> {
    said.lines()
        .filter_map(|line| {
            let line = line.trim();
            ["Loaded image: ", "Loaded image ID: ", "Loaded image(s): "]
                .iter()
                .find_map(|prefix| line.strip_prefix(prefix))
        })
        .flat_map(|names| names.split(','))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

fn failure(engine: &Engine, status: ExitStatus, said: &str, complained: &str) -> EngineError {
    let program = engine.name();
    // Words of another program on our screen: lines joined, control characters out.
    let text = if complained.trim().is_empty() { said } else { complained };
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    let message = if lines.is_empty() { "it said nothing".to_owned() } else { lines.join("; ") };
    let lower = message.to_lowercase();
    let unreachable = [
        "cannot connect to the docker daemon",
        "is the docker daemon running",
        "error during connect",
        "permission denied while trying to connect",
        "cannot connect to podman",
        "unable to connect to podman",
    ];
    if unreachable.iter().any(|words| lower.contains(words)) {
        EngineError::Unreachable { program, message }
    } else {
        EngineError::Refused { program, status, message }
    }
}

impl<E: Error + 'static> From<Cancelled> for LoadError<E> {
    fn from(cancelled: Cancelled) -> Self {
        Self::Engine(cancelled.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    /// An engine's program that is the shell script `body`.
    fn engine(root: &Path, body: &str) -> Engine {
        let program = root.join("docker");
        // Written under another name: a script that is still open for writing cannot be run.
        let draft = root.join("draft");
        std::fs::write(&draft, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(draft, &program).unwrap();
        Engine { program, host: None }
    }

    fn send(bytes: &[u8]) -> impl FnOnce(&mut dyn Write) -> Result<(), io::Error> {
        |writer| writer.write_all(bytes)
    }

    #[test]
    fn the_archive_arrives_whole_and_the_names_come_back() {
        let root = tempfile::tempdir().unwrap();
        let body = format!(
            "cat > {}/seen\nprintf 'Loaded image: a:b\\nLoaded image ID: sha256:1\\n'",
            root.path().display()
        );
        let bytes = vec![7; 300_000];
        let loaded = load(&engine(root.path(), &body), &Cancel::new(), send(&bytes)).unwrap();
        assert_eq!(loaded.images, ["a:b", "sha256:1"]);
        assert_eq!(std::fs::read(root.path().join("seen")).unwrap(), bytes);
        assert_eq!(super::loaded("Loaded image(s): x:1,y:2\n"), ["x:1", "y:2"]);
    }

    #[test]
    fn the_host_goes_to_the_program() {
        let root = tempfile::tempdir().unwrap();
        let mut engine = engine(root.path(), "cat >/dev/null; echo Loaded image: \"$@\"");
        engine.host = Some("unix:///run/x.sock".into());
        let loaded = load(&engine, &Cancel::new(), send(b"x")).unwrap();
        assert_eq!(loaded.images, ["--host unix:///run/x.sock load"]);
    }

    #[test]
    fn a_failing_engine_is_heard_even_when_it_does_not_read() {
        let root = tempfile::tempdir().unwrap();
        let bytes = vec![0; 1 << 20];
        for (body, message, hint) in [
            (
                "echo 'Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?' >&2; exit 1",
                "docker cannot reach its engine: Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?",
                true,
            ),
            (
                "cat >/dev/null; printf 'bad \\033[31mlayer\\nsecond' >&2; exit 3",
                "docker load failed (exit status: 3): bad [31mlayer; second",
                false,
            ),
            ("exit 1", "docker load failed (exit status: 1): it said nothing", false),
        ] {
            let error = load(&engine(root.path(), body), &Cancel::new(), send(&bytes)).unwrap_err();
            assert_eq!(error.to_string(), message);
            let LoadError::Engine(error) = error else { panic!("not the engine's fault: {error}") };
            assert_eq!(error.hint().is_some(), hint, "{error}");
        }
    }

    #[test]
    fn an_archive_that_fails_never_ends_well() {
        let root = tempfile::tempdir().unwrap();
        let body = format!("cat >/dev/null && touch {}/loaded", root.path().display());
        let error = load(&engine(root.path(), &body), &Cancel::new(), |writer| {
            writer.write_all(b"half")?;
            Err(io::Error::other("blob is gone"))
        })
        .unwrap_err();
        assert!(
            matches!(&error, LoadError::Archive(cause) if cause.to_string() == "blob is gone"),
            "{error}"
        );
        assert!(!root.path().join("loaded").exists());
    }

    #[test]
    fn an_engine_that_stands_still_is_killed_on_cancel() {
        let root = tempfile::tempdir().unwrap();
        let cancel = Cancel::new();
        let error = load(&engine(root.path(), "exec sleep 600"), &cancel, |writer| {
            cancel.cancel();
            // More than a pipe holds: blocks until the engine's program is dead.
            writer.write_all(&vec![0; 1 << 20])
        })
        .unwrap_err();
        assert!(matches!(error, LoadError::Engine(EngineError::Cancelled(_))), "{error}");
    }

    #[test]
    fn a_daemon_left_behind_is_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        // Holds standard error until the pipe beside it is closed, which the test does at its end.
        let body = format!(
            "mkfifo {0}/end; cat >/dev/null; (cat {0}/end) & echo Loaded image: a",
            root.path().display()
        );
        let loaded = load(&engine(root.path(), &body), &Cancel::new(), send(b"x")).unwrap();
        assert_eq!(loaded.images, ["a"]);
        std::fs::OpenOptions::new().write(true).open(root.path().join("end")).unwrap();
    }

    #[test]
    fn a_program_that_cannot_be_run_is_named() {
        let root = tempfile::tempdir().unwrap();
        let engine = Engine { program: root.path().join("docker"), host: None };
        let error = load(&engine, &Cancel::new(), send(b"")).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot run {}", engine.program.display()));
    }
}
