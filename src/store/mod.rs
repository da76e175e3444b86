//! The local content-addressed store: blobs, records, and what the last build of an image was.
//!
//! ```text
//! $IMGPACK_CACHE/v1/            0700
//!   blobs/<2 hex>/<64 hex>      content by its SHA-256; appears by rename, never changes
//!   records/<2 hex>/<64 hex>    a checksum line and JSON: what a key led to
//!   groups/<64 hex>             the same form: where the groups of a layer are in the blob of this digest
//!   last/<64 hex>               the same form: what the last build of an image and platform was
//!   stat/<64 hex>               rows under a checksum: digests of a workspace's files by their stat data
//!   clean/<64 hex>              the same form: digests of contents of a workspace that hold no secret
//!   tmp/                        files being written, and what is being removed; anything older than a day is rubbish
//!   lock                        shared by every command that uses the store, held alone by one that removes from it
//!   pruned                      its modification time: when a build last looked whether the cache is too large
//! ```
//! The builders keep their own folders beside these (see [`crate::builder`]).
//!
//! Many processes may use one store at once. Every file appears whole or not at all. Blobs are flushed to the disk once,
//! at the end of a command; records never: they carry a checksum, and a torn one is a miss.
//!
//! A file's modification time is when it was used last, give or take a day (see [`crate::system::space`]): looking for a
//! blob or reading a record notes it. Nothing but a holder of the whole lock removes a blob or a record, so what a command
//! has seen stays until it ends.

mod blobs;
mod clean;
mod contents;
mod groups;
mod records;
mod rows;
mod stats;

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use blobs::{BlobWriter, StoreError};
pub use clean::CleanContents;
pub use contents::{Contents, Stored};
pub use groups::{GroupIndex, GroupRange, StoredGroup};
pub use stats::StatCache;

use crate::model::BlobDigest;
use crate::system::lock::{self, LockError, Share};
use crate::system::{Cancel, IoError, fs, space};

/// The store of one user on this machine.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    written: Mutex<Vec<BlobDigest>>,
    grown: AtomicBool,
    /// Held until the store is closed; `None` where the file system has no locks, and nothing can be removed.
    lock: Option<File>,
}

impl Store {
    /// Opens the store below `cache` (the value of `IMGPACK_CACHE`), making it where it is missing. Waits where another
    /// command removes things from it.
    pub fn open(cache: &Path) -> Result<Self, StoreError> {
        Self::open_for(cache, Share::Shared, &Cancel::new(), &|| {})
    }

    /// The same, shared or alone; waits for others until it is cancelled, and calls `waiting` once if it has to.
    pub fn open_for(
        cache: &Path,
        share: Share,
        cancel: &Cancel,
        waiting: &dyn Fn(),
    ) -> Result<Self, StoreError> {
        let root = made(cache)?;
        let lock = match lock::lock(&root.join(LOCK), share, cancel, waiting) {
            Ok(file) => Some(file),
            Err(LockError::Io(error)) if share == Share::Shared && has_no_locks(&error) => None,
            Err(error) => return Err(error.into()),
        };
        Self::opened(root, cache, lock)
    }

    /// Opens the store for removing from it; `None` where others use it now.
    pub fn try_open_alone(cache: &Path) -> Result<Option<Self>, StoreError> {
        let root = made(cache)?;
        match lock::try_lock(&root.join(LOCK), Share::Alone)? {
            Some(file) => Self::opened(root, cache, Some(file)).map(Some),
            None => Ok(None),
        }
    }

    fn opened(root: PathBuf, cache: &Path, lock: Option<File>) -> Result<Self, StoreError> {
        sweep(&root.join("tmp"));
        // A directory that exists can still be one that cannot be written to.
        tempfile::tempfile_in(root.join("tmp"))
            .map_err(|source| StoreError::Unwritable { path: cache.to_owned(), source })?;
        Ok(Self { root, written: Mutex::default(), grown: AtomicBool::new(false), lock })
    }

    /// Whether no build has looked within a day if the cache is too large. One `stat`.
    pub fn is_prune_due(cache: &Path) -> bool {
        let looked = std::fs::metadata(cache.join("v1").join(PRUNED)).and_then(|found| found.modified());
        looked.map_or(true, |time| time.elapsed().is_ok_and(|age| age > space::NOTE_EVERY))
    }

    /// Notes that one has looked now.
    pub fn note_prune(&self) -> Result<(), IoError> {
        fs::write_atomic(self.root.join(PRUNED), b"")
    }

    /// Lets others use the store while what was moved out of their way is removed.
    pub fn release(&mut self) {
        self.lock = None;
    }

    /// Whether a blob was written through this value.
    pub fn has_grown(&self) -> bool {
        self.grown.load(Ordering::Relaxed)
    }

    /// The versioned folder; builders keep theirs in it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where files are written before they get their names.
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Flushes every blob written through this value to the disk.
    pub fn sync(&self) -> Result<(), StoreError> {
        let written = match self.written.lock() {
            Ok(mut written) => std::mem::take(&mut *written),
            Err(_) => return Ok(()),
        };
        for digest in written {
            let path = self.blob_path(&digest);
            match File::open(&path) {
                Ok(file) => file.sync_data().map_err(IoError::of("flush", path))?,
                // Pruned by another process since.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(IoError::of("open", path)(error).into()),
            }
        }
        Ok(())
    }
}

const LOCK: &str = "lock";
const PRUNED: &str = "pruned";

/// Makes the folders of the store below `cache`; the versioned one.
fn made(cache: &Path) -> Result<PathBuf, StoreError> {
    let root = cache.join("v1");
    for directory in ["blobs", "records", "groups", "last", "stat", "clean", "tmp"] {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root.join(directory))
            .map_err(|source| StoreError::Unwritable { path: cache.to_owned(), source })?;
    }
    Ok(root)
}

/// Some network file systems.
fn has_no_locks(error: &IoError) -> bool {
    error.source.kind() == std::io::ErrorKind::Unsupported
}

/// What is older in `tmp` was left by a process that was killed.
const RUBBISH: Duration = Duration::from_hours(24);

/// Removes rubbish. What cannot be removed, or has a time in the future, stays and harms nobody.
fn sweep(tmp: &Path) {
    let Ok(entries) = std::fs::read_dir(tmp) else { return };
    for entry in entries.flatten() {
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > RUBBISH));
        if old {
            let _ = fs::remove_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn rubbish_is_swept_and_work_is_not() {
        let folder = tempfile::tempdir().unwrap();
        Store::open(folder.path()).unwrap();
        let tmp = folder.path().join("v1/tmp");
        for (name, age) in [("old", 25), ("new", 23)] {
            let file = File::create(tmp.join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_hours(age)).unwrap();
        }
        Store::open(folder.path()).unwrap();
        assert!(!tmp.join("old").exists() && tmp.join("new").exists());
    }
}
