use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::system::Cancelled;

/// Why an engine took no image.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Its program is not installed.
    #[error("no container engine: {program} is not {}", if program.contains('/') { "a program" } else { "in PATH" })]
    Missing {
        /// What was looked for.
        program: String,
    },
    /// Its program cannot be started or spoken to.
    #[error("cannot run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program runs, but the engine behind it does not answer.
    #[error("{program} cannot reach its engine: {message}")]
    Unreachable {
        /// The program.
        program: String,
        /// Its words.
        message: String,
    },
    /// The engine refused the image.
    #[error("{program} load failed ({status}): {message}")]
    Refused {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// Its words.
        message: String,
    },
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl EngineError {
    /// The way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some(
                "install Docker or podman, name one with --engine, or write a docker-archive: output".into(),
            ),
            Self::Unreachable { program, .. } => Some(format!(
                "start the engine, or name its host with --engine; `{program} info` shows what is asked"
            )),
            _ => None,
        }
    }
}

/// Why [`super::load`] failed: the engine, or the one who writes the archive.
#[derive(Debug, thiserror::Error)]
pub enum LoadError<E: Error + 'static> {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The writer of the archive.
    #[error(transparent)]
    Archive(E),
}
