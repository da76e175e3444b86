//! The component `init`: PID 1 of a container, and what people keep a shell for.
//!
//! Signals are never handled but waited for: all are held back, and one loop takes them one by one. A child inherits what is
//! held back, so init runs a command by way of itself (`--exec`), which lets signals through before it becomes the command:
//! whatever came meanwhile is then the command's. What waits for an address is such a child, too (`--reach`): looking up a
//! name takes as long as it takes, and threads would cost 50 kB.

#![deny(unsafe_code)]

#[path = "../dial.rs"]
mod dial;
#[path = "../expand.rs"]
mod expand;
mod kernel;
mod options;
mod render;
mod wait;

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use expand::Forms;
use kernel::{Exit, SIGCHLD, SIGTTIN, SIGTTOU, Signals};

/// The first word of init where it is about to become a command.
const EXEC: &str = "--exec";

/// A failure of init's own.
const FAILED: Exit = 1;
/// The exit codes of shells for a command that cannot be run, and for one that is not there.
const NOT_RUN: Exit = 126;
const NOT_FOUND: Exit = 127;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let own = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    match words.split_first() {
        Some((first, words)) if first == EXEC => return ExitCode::from(become_command(words)),
        Some((first, words)) if first == wait::REACH => return ExitCode::from(wait::reach(words)),
        _ => {}
    }
    let options = match options::parse(words.into_iter()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            let _ = std::io::stdout().write_all(options::USAGE.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            say(&error);
            return ExitCode::from(2);
        }
    };
    // Without /proc the name it was called by has to do.
    let own = std::env::current_exe().map_or(own, OsString::from);
    let init = Init { own, signals: Signals::hold() };
    ExitCode::from(init.run(&options).unwrap_or_else(|exit| exit))
}

struct Init {
    own: OsString,
    signals: Signals,
}

impl Init {
    /// How the command ended; an error where it was not run.
    fn run(&self, options: &options::Options) -> Result<Exit, Exit> {
        let failed = |error: String| {
            say(&error);
            FAILED
        };
        for render in &options.render {
            render::render(render).map_err(failed)?;
        }
        wait::wait(&options.wait, options.wait_timeout, &self.own, &self.signals)?;
        for command in &options.before {
            let words = words(command, options.expand).map_err(failed)?;
            let (exit, asked_to_end) = self.supervise(&words)?;
            if exit != 0 {
                say(&format!("{} ended with {exit}", words[0].display()));
                return Err(exit);
            }
            if let Some(signal) = asked_to_end {
                return Err(signal_exit(signal));
            }
        }
        let (exit, _) = self.supervise(&words(&options.command, options.expand).map_err(failed)?)?;
        Ok(exit)
    }

    /// Runs a command to its end: how it ended, and the signal that asked it to, if one did.
    fn supervise(&self, words: &[OsString]) -> Result<(Exit, Option<i32>), Exit> {
        let child = start(&self.own, EXEC, words)?;
        let mut asked_to_end = None;
        loop {
            match self.signals.next() {
                SIGCHLD => {
                    let mut ended = None;
                    while let Some((process, exit)) = kernel::reap() {
                        if process == child {
                            ended = Some(exit);
                        }
                    }
                    if let Some(exit) = ended {
                        return Ok((exit, asked_to_end));
                    }
                }
                // A terminal that belongs to the command's group says so; that is nothing for the command.
                SIGTTIN | SIGTTOU => {}
                signal => {
                    if kernel::ends(signal) {
                        asked_to_end = Some(signal);
                    }
                    kernel::kill(child, signal);
                }
            }
        }
    }
}

/// How a program ends that a signal ended.
fn signal_exit(signal: i32) -> Exit {
    128 + Exit::try_from(signal).unwrap_or_default()
}

/// Starts init itself for another work; the child's number.
fn start(own: &OsString, work: &str, words: &[OsString]) -> Result<i32, Exit> {
    let child = Command::new(own).arg(work).args(words).spawn();
    child.map(|child| i32::try_from(child.id()).unwrap_or(i32::MAX)).map_err(|error| {
        say(&format!("no process can be started: {error}"));
        NOT_RUN
    })
}

/// In the child: lets signals through, and becomes the command.
fn become_command(words: &[OsString]) -> Exit {
    let Some((program, arguments)) = words.split_first() else { return NOT_FOUND };
    kernel::lead_group(std::io::stdin().is_terminal());
    kernel::release_signals();
    let error = Command::new(program).args(arguments).exec();
    if error.kind() == ErrorKind::NotFound {
        say(&format!("{} is not there, or its loader is not", program.display()));
        return NOT_FOUND;
    }
    say(&format!("{} cannot be run: {error}", program.display()));
    NOT_RUN
}

/// The words of a command, with variables replaced where that is wanted.
fn words(command: &[OsString], expanded: bool) -> Result<Vec<OsString>, String> {
    let expanded_word = |word: &OsString| match word.to_str().filter(|_| expanded) {
        None => Ok(word.clone()),
        Some(text) => variables(text, &[]).map(OsString::from).map_err(|error| format!("{text}: {error}")),
    };
    command.iter().map(expanded_word).collect()
}

/// The text with its variables replaced.
fn variables(text: &str, only: &[String]) -> Result<String, String> {
    let forms = Forms { bare: false, only };
    expand::expand(text, forms, &expand::environment)
        .map_err(|name| format!("the variable {name} is not set"))
}

/// Says what went wrong.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(format!("imgpack-init: {text}\n").as_bytes());
}
