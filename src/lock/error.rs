use super::{Kind, LOCK_FILE};

/// Why the text of a lock file was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// There is no version where the file begins.
    #[error("{LOCK_FILE}:{line}: does not begin with `version 1`")]
    Version {
        /// The line, from 1.
        line: usize,
    },
    /// A version of later.
    #[error("{LOCK_FILE}:{line}: version {said} is newer than the newest known to this imgpack, {known}")]
    Newer {
        /// The line, from 1.
        line: usize,
        /// The file's version.
        said: u32,
        /// The newest known version.
        known: u32,
    },
    /// A row of a kind that this version of the file does not have.
    #[error("{LOCK_FILE}:{line}: `{word}` is no kind of row of version {version}")]
    Kind {
        /// The line, from 1.
        line: usize,
        /// What stands there.
        word: String,
        /// The newest known version.
        version: u32,
    },
    /// A row without all its parts.
    #[error("{LOCK_FILE}:{line}: not a row: `{kind} NAME FIELD VALUE`")]
    Row {
        /// The line, from 1.
        line: usize,
        /// What the row is about.
        kind: Kind,
    },
    /// A digest that is none.
    #[error("{LOCK_FILE}:{line}: the value of `{what}` is not a digest, `sha256:` and 64 hex digits")]
    Digest {
        /// The line, from 1.
        line: usize,
        /// Kind, name and field.
        what: String,
    },
    /// Two lines that contradict each other.
    #[error("{LOCK_FILE}:{line}: another value for `{what}` than in line {first}")]
    Twice {
        /// The line, from 1.
        line: usize,
        /// The line of the first value.
        first: usize,
        /// Kind, name and field.
        what: String,
    },
    /// A mark that git left.
    #[error("{LOCK_FILE}:{line}: a merge was not finished here")]
    Unmerged {
        /// The line, from 1.
        line: usize,
    },
}

impl LockError {
    /// A way out.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Newer { .. } | Self::Kind { .. } => "install the imgpack that wrote it, or a newer one",
            Self::Unmerged { .. } | Self::Twice { .. } => {
                "keep the lines of one side, and run `imgpack lock`, which adds what is missing"
            }
            Self::Version { .. } | Self::Row { .. } | Self::Digest { .. } => {
                "take the committed file back, or remove it and run `imgpack lock`"
            }
        }
    }
}
