//! Running a tool: its lines live and in the log, its failure with command and last lines.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::system::process::{self, Invocation, Stream};
use crate::system::{Cancel, IoError};

use super::caches::private_directory;
use super::environment::Environment;
use super::{BuilderError, Caches, Host, Line, Source, ToolFailure};

/// How many last lines a failure carries.
const TAIL: usize = 40;
/// What the log keeps at most (bytes); a tool that writes without end does not fill the disk.
const LOG_LIMIT: u64 = 64 * 1024 * 1024;

/// One command of a tool.
pub(super) struct Command<'a> {
    pub(super) program: &'a Path,
    pub(super) args: Vec<Argument>,
    pub(super) environment: &'a Environment,
    pub(super) directory: &'a Path,
    /// Kept open by the tool as its standard input, which is empty.
    pub(super) lock: File,
    pub(super) phase: Phase,
}

/// An argument, and how it is shown.
pub(super) struct Argument {
    value: OsString,
    shown: Option<String>,
}

impl<T: Into<OsString>> From<T> for Argument {
    fn from(value: T) -> Self {
        Self { value: value.into(), shown: None }
    }
}

impl Argument {
    /// An argument that is shown in other words.
    pub(super) fn shown_as(value: impl Into<OsString>, shown: impl Into<String>) -> Self {
        Self { value: value.into(), shown: Some(shown.into()) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// With network, no foreign code.
    Fetch,
    /// Without network where the host allows it.
    Make,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Make => "make",
        }
    }
}

/// Runs the commands of one build.
pub(super) struct Runner<'a> {
    host: &'a Host,
    cancel: &'a Cancel,
    output: &'a (dyn Fn(Line) + Sync),
    log: PathBuf,
    file: BufWriter<File>,
    left: u64,
}

impl<'a> Runner<'a> {
    pub(super) fn new(
        caches: &Caches,
        id: &str,
        host: &'a Host,
        output: &'a (dyn Fn(Line) + Sync),
        cancel: &'a Cancel,
    ) -> Result<Self, BuilderError> {
        private_directory(&caches.logs())?;
        let log = caches.logs().join(format!("{id}.log"));
        let file = File::create(&log).map_err(IoError::of("create", &log))?;
        Ok(Self { host, cancel, output, log, file: BufWriter::new(file), left: LOG_LIMIT })
    }

    /// Tells the user something.
    pub(super) fn note(&self, text: impl Into<String>) {
        (self.output)(Line { source: Source::Note, text: clean(&text.into()) });
    }

    pub(super) fn cancel(&self) -> &Cancel {
        self.cancel
    }

    /// Runs a command whose standard output is for `answer`, or, without one, for the user.
    pub(super) fn run(
        &mut self,
        command: Command<'_>,
        mut answer: Option<&mut dyn FnMut(&str)>,
    ) -> Result<(), BuilderError> {
        let shown = show(&command);
        self.write(&format!("$ {shown}"));
        let fetches = command.phase == Phase::Fetch && !self.host.is_offline();
        let mut words = if fetches { Vec::new() } else { self.host.without_network(self.cancel).to_vec() };
        words.push(command.program.into());
        words.extend(command.args.into_iter().map(|argument| argument.value));
        let invocation = Invocation {
            program: words.remove(0).into(),
            args: words,
            env: command.environment.clone(),
            directory: command.directory.to_owned(),
            stdin: Some(command.lock),
        };
        let mut tail = VecDeque::new();
        let status = process::run(invocation, self.cancel, &mut |stream, line| {
            if stream == Stream::Stdout
                && let Some(answer) = &mut answer
            {
                answer(line);
                return;
            }
            let text = clean(line);
            self.write(&text);
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(text.clone());
            let source = match stream {
                Stream::Stdout => Source::Stdout,
                Stream::Stderr => Source::Stderr,
            };
            (self.output)(Line { source, text });
        })?;
        self.file.flush().map_err(IoError::of("write", &self.log))?;
        if status.success() {
            return Ok(());
        }
        let tail: Vec<String> = tail.into();
        Err(BuilderError::Failed(Box::new(ToolFailure {
            phase: command.phase.name(),
            command: shown,
            status: status.to_string(),
            hint: hint(&tail).or_else(|| {
                let kept = command.phase == Phase::Fetch && self.host.is_offline();
                kept.then(|| "run once without --offline: what is downloaded then is kept".to_owned())
            }),
            tail,
            log: self.log.clone(),
        })))
    }

    fn write(&mut self, line: &str) {
        // A log that cannot be written is found when it is flushed.
        let length = line.len() as u64 + 1;
        if length <= self.left {
            self.left -= length;
            let _ = writeln!(self.file, "{line}");
        }
    }
}

/// A command as one would type it, without environment.
fn show(command: &Command<'_>) -> String {
    let mut text = word(command.program.file_name().unwrap_or(OsStr::new("tool")).to_string_lossy().as_ref());
    for argument in &command.args {
        text.push(' ');
        match &argument.shown {
            Some(shown) => text.push_str(shown),
            None => text.push_str(&word(&argument.value.to_string_lossy())),
        }
    }
    text
}

/// A word quoted for a shell where it has to be.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A line without escape sequences and control characters.
fn clean(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                // CSI: parameters up to a final byte; anything else: one character.
                if characters.next() == Some('[') {
                    for next in characters.by_ref() {
                        if ('\u{40}'..='\u{7e}').contains(&next) {
                            break;
                        }
                    }
                }
            }
            '\t' => text.push('\t'),
            other if other.is_control() => {}
            other => text.push(other),
        }
    }
    text
}

/// A way out for failures that are well known.
fn hint(tail: &[String]) -> Option<String> {
    const STALE_LOCK: &str = "Cargo.lock is not up to date: run `cargo metadata --format-version 1 > /dev/null` and commit Cargo.lock";
    const KNOWN: [(&[&str], &str); 10] = [
        (&["lock file", "--locked was passed"], STALE_LOCK),
        (&["lock file", "--frozen was passed"], STALE_LOCK),
        // Cargo looks for what the lock file does not name among the crates that it does.
        (&["no matching package", "directory source"], STALE_LOCK),
        (&["failed to select a version", "directory source"], STALE_LOCK),
        (
            &["failed to find tool"],
            "a dependency compiles C, which imgpack cannot do for musl yet: look for a feature of it that is pure Rust",
        ),
        (
            &["linker `cc` not found"],
            "build scripts and macros need the host's C linker: install gcc or clang (Debian: `apt-get install gcc libc6-dev`)",
        ),
        (&["missing go.sum entry"], "run `go mod tidy` and commit go.mod and go.sum"),
        (&["updates to go.mod needed"], "run `go mod tidy` and commit go.mod and go.sum"),
        (&["inconsistent vendoring"], "run `go mod vendor` and commit vendor/"),
        (&["build constraints exclude all Go files"], "the package may need cgo, and cgo is off"),
    ];
    KNOWN
        .iter()
        .find(|(words, _)| words.iter().all(|word| tail.iter().any(|line| line.contains(word))))
        .map(|(_, hint)| (*hint).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn run(script: &str) -> (Result<(), BuilderError>, Vec<Line>) {
        let directory = tempfile::tempdir().unwrap();
        let caches = Caches::new(directory.path());
        let host = Host::new([]);
        let cancel = Cancel::new();
        let lines = Mutex::new(Vec::new());
        let output = |line| lines.lock().unwrap().push(line);
        let mut runner = Runner::new(&caches, "x", &host, &output, &cancel).unwrap();
        let command = Command {
            program: Path::new("/bin/sh"),
            args: vec!["-c".into(), Argument::shown_as(script, "'script …'"), "it's".into()],
            environment: &Environment::new(),
            directory: Path::new("/"),
            lock: File::open("/dev/null").unwrap(),
            phase: Phase::Fetch,
        };
        let result = runner.run(command, None);
        if let Err(BuilderError::Failed(failure)) = &result {
            assert!(
                std::fs::read_to_string(&failure.log).unwrap().starts_with("$ sh -c 'script …' 'it'\\''s'\n")
            );
        }
        drop(runner);
        (result, lines.into_inner().unwrap())
    }

    #[test]
    fn a_failure_says_command_status_and_last_lines() {
        let (result, lines) = run("i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo l$i; done; exit 9");
        let error = result.unwrap_err();
        assert_eq!(
            error.to_string(),
            r"`sh -c 'script …' 'it'\''s'` failed in the fetch phase: exit status: 9"
        );
        let failure = error.failure().unwrap();
        assert_eq!(
            (failure.tail.len(), failure.tail[0].as_str(), failure.tail[39].as_str()),
            (40, "l11", "l50")
        );
        assert_eq!((lines.len(), error.exit_code(), error.hint()), (50, 3, None));
    }

    #[test]
    fn lines_are_live_and_clean() {
        let (result, lines) = run(r"printf '\033[1;31mred\033[0m\ta\007\r\n' >&2");
        result.unwrap();
        assert_eq!(lines, [Line { source: Source::Stderr, text: "red\ta".into() }]);
    }

    #[test]
    fn well_known_failures_have_a_way_out() {
        let tail =
            ["error: cannot update the lock file /x/Cargo.lock because --frozen was passed to prevent this"];
        assert!(hint(&tail.map(str::to_owned)).unwrap().starts_with("Cargo.lock is not up to date"));
        assert_eq!(hint(&["error: no".to_owned()]), None);
    }
}
