use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::system::lock::Share;
use crate::system::{self, Cancel, IoError};

use super::BuilderError;

/// Where builders keep what they can use again: `$IMGPACK_CACHE/v1`. The layout is in the documentation of this module.
#[derive(Debug, Clone)]
pub struct Caches {
    root: PathBuf,
}

impl Caches {
    /// Caches below a directory, which is made when it is needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The same caches by the name that tools find when they ask where they are: absolute, without links.
    pub(super) fn resolved(&self) -> Result<Self, IoError> {
        private_directory(&self.root)?;
        let root = self.root.canonicalize().map_err(IoError::of("resolve", &self.root))?;
        Ok(Self { root })
    }

    /// Writes a file of these caches: it appears whole.
    pub(super) fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), IoError> {
        system::fs::write_by_way_of(&self.root.join("tmp"), path, bytes)
    }

    pub(super) fn stage(&self) -> PathBuf {
        self.root.join("stage")
    }
    pub(super) fn target(&self) -> PathBuf {
        self.root.join("target")
    }
    pub(super) fn vendor(&self) -> PathBuf {
        self.root.join("vendor")
    }
    pub(super) fn go(&self) -> PathBuf {
        self.root.join("go")
    }
    pub(super) fn tools(&self) -> PathBuf {
        self.root.join("tools")
    }
    pub(super) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }
    pub(super) fn scratch(&self, id: &str) -> PathBuf {
        self.root.join("scratch").join(id)
    }
}

/// Makes a directory that only this user can enter, and those above it.
pub(super) fn private_directory(path: &Path) -> Result<(), IoError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(IoError::of("create the directory", path))
}

/// Takes the lock at `path` alone; `waiting` is called once if that takes time.
pub(super) fn lock(path: &Path, cancel: &Cancel, waiting: &dyn Fn()) -> Result<File, BuilderError> {
    if let Some(directory) = path.parent() {
        private_directory(directory)?;
    }
    Ok(system::lock::lock(path, Share::Alone, cancel, waiting)?)
}
