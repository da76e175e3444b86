use std::path::PathBuf;

use crate::system::lock::LockError;
use crate::system::process::ProcessError;
use crate::system::{Cancelled, IoError};

/// A tool that ended with a failure.
#[derive(Debug)]
pub struct ToolFailure {
    /// `fetch` or `make`.
    pub phase: &'static str,
    /// The command, fit to be shown: values of stamps and environment are left out.
    pub command: String,
    /// `exit status: 101`, `signal: 9 (SIGKILL)`.
    pub status: String,
    /// The last lines of its output.
    pub tail: Vec<String>,
    /// All of its output.
    pub log: PathBuf,
    /// A way out, where one is known.
    pub hint: Option<String>,
}

/// Why there is no artefact.
#[derive(Debug, thiserror::Error)]
pub enum BuilderError {
    /// The tool failed: exit code 3.
    #[error("`{}` failed in the {} phase: {}", .0.command, .0.phase, .0.status)]
    Failed(Box<ToolFailure>),
    /// A program is not on this machine.
    #[error("{program} is not installed")]
    MissingProgram {
        /// Its name.
        program: String,
        /// The command or the page that brings it.
        hint: String,
    },
    /// A toolchain is not on this machine.
    #[error("the Rust toolchain `{toolchain}`{} is not installed", asked_by(.file.as_ref()))]
    MissingToolchain {
        /// Its name.
        toolchain: String,
        /// The file that asks for it.
        file: Option<String>,
        /// The command that installs it.
        hint: String,
    },
    /// The toolchain has no standard library for the target.
    #[error("the Rust toolchain `{toolchain}` has no target {target}")]
    MissingTarget {
        /// The toolchain.
        toolchain: String,
        /// The target.
        target: String,
        /// The command that installs it.
        hint: String,
    },
    /// The toolchain is older than the project allows.
    #[error("{file} wants go {wanted}, and go {installed} is installed ({})", .program.display())]
    TooOld {
        /// The file that says so.
        file: String,
        /// The version it names.
        wanted: String,
        /// The version that is there.
        installed: String,
        /// The program.
        program: PathBuf,
    },
    /// The tool said something that is not understood.
    #[error("cannot make sense of the answer of `{command}`: {reason}")]
    Answer {
        /// The command.
        command: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the project is not there, or not usable.
    #[error("{path}: {reason}")]
    Project {
        /// Path in the source root.
        path: String,
        /// What is wrong with it.
        reason: String,
        /// A way out.
        hint: Option<String>,
    },
    /// A file is no longer what it was when it was hashed.
    #[error("{} changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The tool read what is no input.
    #[error("the build read {}, which is not one of its inputs", path.display())]
    ReadOutside {
        /// The file.
        path: PathBuf,
    },
    /// An own package depends on variables that no key holds.
    #[error("the package in {package} reads {}, which the spec does not declare", variables(.names))]
    Variables {
        /// Its directory in the workspace.
        package: String,
        /// The variables.
        names: Vec<String>,
    },
    /// A variable of `env` that belongs to the builder.
    #[error("the environment variable `{name}` cannot be set by `env`: the builder sets it")]
    Reserved {
        /// The variable.
        name: String,
    },
    /// A value that is not known.
    #[error("`{name}` uses `{value}`, which has no value here")]
    Value {
        /// The variable or stamp.
        name: String,
        /// The expression.
        value: String,
    },
    /// A stamp that cannot be passed to the linker.
    #[error(
        "the value of the stamp `{name}` has both kinds of quotes, which the Go linker's flags cannot carry"
    )]
    Stamp {
        /// The stamp.
        name: String,
    },
    /// A configuration that would leak into the build.
    #[error("{} would change the build of every project, and cargo cannot be told to ignore it", path.display())]
    ForeignConfiguration {
        /// The file.
        path: PathBuf,
    },
    /// What was built is not what was wanted.
    #[error("the binary `{name}` {reason}")]
    Binary {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A process could not be run.
    #[error(transparent)]
    Process(ProcessError),
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn variables(names: &[String]) -> String {
    match names {
        [name] => format!("the environment variable {name}"),
        names => format!("the environment variables {}", names.join(", ")),
    }
}

fn asked_by(file: Option<&String>) -> String {
    file.map(|file| format!(" that {file} asks for")).unwrap_or_default()
}

impl From<LockError> for BuilderError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Cancelled(cancelled) => Self::Cancelled(cancelled),
            LockError::Io(error) => error.into(),
        }
    }
}

impl From<ProcessError> for BuilderError {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::Cancelled(cancelled) => Self::Cancelled(cancelled),
            error => Self::Process(error),
        }
    }
}

impl BuilderError {
    /// A way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Failed(failure) => failure.hint.clone(),
            Self::MissingProgram { hint, .. }
            | Self::MissingToolchain { hint, .. }
            | Self::MissingTarget { hint, .. } => Some(hint.clone()),
            Self::TooOld { wanted, .. } => {
                Some(format!("install go {wanted} or later from https://go.dev/dl"))
            }
            Self::Project { hint, .. } => hint.clone(),
            Self::ReadOutside { .. } => Some(
                "name it in `source.include`, bring it into `source.dir` with `source.add`, or do not read it"
                    .to_owned(),
            ),
            Self::Variables { names, .. } => {
                let rows: Vec<String> = names.iter().map(|name| format!("{name}: \"\"")).collect();
                Some(format!(
                    "builds see no environment: give the value, empty too, in `build.rust.env: {{ {} }}`",
                    rows.join(", ")
                ))
            }
            Self::ForeignConfiguration { .. } => {
                Some("move it to the cargo home of the user it is meant for, or into the project".to_owned())
            }
            _ => None,
        }
    }

    /// The tool's failure, which is exit code 3.
    pub fn failure(&self) -> Option<&ToolFailure> {
        match self {
            Self::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// The exit code that design §10 gives it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_)
            | Self::Answer { .. }
            | Self::Binary { .. }
            | Self::ReadOutside { .. }
            | Self::Variables { .. } => 3,
            Self::Project { .. }
            | Self::Changed { .. }
            | Self::Reserved { .. }
            | Self::Value { .. }
            | Self::Stamp { .. } => 2,
            Self::MissingProgram { .. }
            | Self::MissingToolchain { .. }
            | Self::MissingTarget { .. }
            | Self::TooOld { .. }
            | Self::ForeignConfiguration { .. }
            | Self::Io(_)
            | Self::Process(_) => 5,
            Self::Cancelled(_) => 130,
        }
    }
}
