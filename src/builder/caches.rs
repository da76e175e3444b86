use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::system::{Cancel, IoError};

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

/// Opens a lock file and waits for the lock; `waiting` is called once if that takes time.
pub(super) fn lock(path: &Path, cancel: &Cancel, waiting: &dyn Fn()) -> Result<File, BuilderError> {
    if let Some(directory) = path.parent() {
        private_directory(directory)?;
    }
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(IoError::of("open", path))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                cancel.check()?;
                if !told {
                    waiting();
                    told = true;
                }
                thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::Error(error)) => return Err(IoError::of("lock", path)(error).into()),
        }
    }
}
