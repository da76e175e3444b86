//! Other programs: run to their end within a deadline, their words kept for the message when they fail.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use std::{env, fmt};

/// What a program said at its end.
pub(crate) struct Ended {
    line: String,
    output: Output,
}

/// Runs `command` to its end; after `deadline` it is killed.
pub(crate) fn run(command: &Command, deadline: Duration) -> Ended {
    let mut limited = Command::new("timeout");
    // In the foreground: Ctrl-C reaches it too.
    limited.args(["--foreground", "--kill-after=10", &deadline.as_secs().to_string()]);
    limited.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        limited.current_dir(directory);
    }
    let line = words(command);
    let output = limited.output().unwrap_or_else(|error| panic!("{line}: {error}"));
    Ended { line, output }
}

/// A command line of a program with these arguments.
pub(crate) fn command<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Runs a program that needs at most a few minutes.
pub(crate) fn call<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Ended {
    run(&command(program, arguments), Duration::from_mins(5))
}

impl Ended {
    /// Its standard output without the last line end; panics with all it said unless it succeeded.
    pub(crate) fn text(&self) -> String {
        assert!(self.output.status.success(), "{self}");
        String::from_utf8_lossy(&self.output.stdout).trim_end().to_owned()
    }

    /// Its exit code; panics where a signal ended it.
    pub(crate) fn code(&self) -> i32 {
        self.output.status.code().unwrap_or_else(|| panic!("{self}"))
    }

    /// Standard output and standard error, one after the other.
    pub(crate) fn said(&self) -> String {
        let Output { stdout, stderr, .. } = &self.output;
        format!("{}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.line, self.output.status)?;
        f.write_str(&self.said())
    }
}

fn words(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Whether a program is on the path.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
