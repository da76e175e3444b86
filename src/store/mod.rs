//! The local content-addressed store: blobs, records, and what the last build of an image was.
//!
//! ```text
//! $IMGPACK_CACHE/v1/            0700
//!   blobs/<2 hex>/<64 hex>      content by its SHA-256; appears by rename, never changes
//!   records/<2 hex>/<64 hex>    a checksum line and JSON: what a key led to
//!   groups/<64 hex>             the same form: where the groups of a layer are in the blob of this digest
//!   last/<64 hex>               the same form: what the last build of an image and platform was
//!   tmp/                        files being written; anything older than a day is rubbish
//! ```
//! The builders keep their own folders beside these (see [`crate::builder`]).
//!
//! Many processes may use one store at once. Every file appears whole or not at all. Blobs are flushed to the disk once,
//! at the end of a command; records never: they carry a checksum, and a torn one is a miss.

mod blobs;
mod groups;
mod records;

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

pub use blobs::{BlobWriter, StoreError};
pub use groups::{GroupIndex, GroupRange, StoredGroup};

use crate::model::BlobDigest;
use crate::system::IoError;

/// The store of one user on this machine.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    written: Mutex<Vec<BlobDigest>>,
}

impl Store {
    /// Opens the store below `cache` (the value of `IMGPACK_CACHE`), making it where it is missing.
    pub fn open(cache: &Path) -> Result<Self, StoreError> {
        let root = cache.join("v1");
        for directory in ["blobs", "records", "groups", "last", "tmp"] {
            let path = root.join(directory);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(|source| StoreError::Unwritable { path: cache.to_owned(), source })?;
        }
        sweep(&root.join("tmp"));
        // A directory that exists can still be one that cannot be written to.
        tempfile::tempfile_in(root.join("tmp"))
            .map_err(|source| StoreError::Unwritable { path: cache.to_owned(), source })?;
        Ok(Self { root, written: Mutex::default() })
    }

    /// The versioned folder; builders keep theirs in it.
    pub fn root(&self) -> &Path {
        &self.root
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
            let path = entry.path();
            let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
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
