use std::path::PathBuf;

use crate::system::FileStat;

/// A file or link of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceFile {
    /// Path relative to the scanned directory, `/` between components; of a single file its name.
    pub path: String,
    /// What it is.
    pub kind: SourceKind,
    /// Where it is on this machine.
    pub absolute: PathBuf,
}

/// What a source is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    /// A regular file.
    File {
        /// How it looked when it was found; the length that was hashed is the one that counts.
        stat: FileStat,
    },
    /// A symbolic link, relative, to something inside the workspace.
    Symlink {
        /// The link's text.
        target: String,
    },
}
