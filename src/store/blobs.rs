use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::Store;
use crate::model::{BlobDigest, Hasher};
use crate::system::lock::LockError;
use crate::system::{Cancelled, IoError, fs as system_fs, space};

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The cache's folder cannot be made or written to.
    #[error("cannot write to the cache {}", path.display())]
    Unwritable {
        /// The cache's folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Bytes that should have had another digest or size.
    #[error("expected {expected} ({expected_size} bytes), got {digest} ({size} bytes)")]
    Mismatch {
        /// The wanted digest.
        expected: BlobDigest,
        /// The wanted size in bytes.
        expected_size: u64,
        /// The digest that came.
        digest: BlobDigest,
        /// The size that came, in bytes.
        size: u64,
    },
    /// What a blob is made from could not be read.
    #[error("cannot read what is to be stored")]
    Source(#[source] io::Error),
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Somebody asked to stop while others used the store.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<LockError> for StoreError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Cancelled(cancelled) => cancelled.into(),
            LockError::Io(error) => error.into(),
        }
    }
}

impl StoreError {
    /// A way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unwritable { .. } => {
                Some("set IMGPACK_CACHE to a folder that this user can write to".to_owned())
            }
            _ => None,
        }
    }
}

impl Store {
    /// Where the blob is, or would be.
    pub fn blob_path(&self, digest: &BlobDigest) -> PathBuf {
        let hex = digest.hex();
        self.root.join("blobs").join(&hex[..2]).join(hex)
    }

    /// Whether the blob is there with this size in bytes; a file of another size is a damaged one and counts as missing.
    pub fn has_blob(&self, digest: &BlobDigest, size: u64) -> bool {
        self.find_blob(digest) == Some(size)
    }

    /// The size in bytes of a blob that is there. Notes its use.
    pub fn find_blob(&self, digest: &BlobDigest) -> Option<u64> {
        let path = self.blob_path(digest);
        let found = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        space::note_use(&path, &found);
        Some(found.len())
    }

    /// Opens a blob for reading. Notes its use.
    pub fn open_blob(&self, digest: &BlobDigest) -> Result<File, IoError> {
        let path = self.blob_path(digest);
        let file = system_fs::open(&path)?;
        if let Ok(metadata) = file.metadata() {
            space::note_use(&path, &metadata);
        }
        Ok(file)
    }

    /// Begins a blob of yet unknown digest.
    pub fn write_blob(&self) -> Result<BlobWriter<'_>, StoreError> {
        let file = system_fs::temporary_in(&self.tmp())?;
        Ok(BlobWriter { store: self, file, hasher: Hasher::new(), size: 0 })
    }

    /// Stores bytes held in memory.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        let digest = BlobDigest::of(bytes);
        if !self.has_blob(&digest, bytes.len() as u64) {
            let mut writer = self.write_blob()?;
            let path = writer.file.path().to_owned();
            writer.write_all(bytes).map_err(IoError::of("write", path))?;
            writer.finish()?;
        }
        Ok(digest)
    }

    /// Stores everything that `reader` gives; with `expected` (digest and size in bytes) nothing else is taken, and
    /// reading ends one byte after that size.
    pub fn put_reader(
        &self,
        reader: &mut dyn Read,
        expected: Option<(BlobDigest, u64)>,
    ) -> Result<(BlobDigest, u64), StoreError> {
        let mut writer = self.write_blob()?;
        let path = writer.file.path().to_owned();
        let mut limited = reader.take(expected.map_or(u64::MAX, |(_, size)| size.saturating_add(1)));
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match limited.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => writer.write_all(&buffer[..count]).map_err(IoError::of("write", &path))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::Source(error)),
            }
        }
        if let Some((expected, expected_size)) = expected {
            let (digest, size) = (BlobDigest(writer.hasher.clone().finish()), writer.size);
            if (digest, size) != (expected, expected_size) {
                return Err(StoreError::Mismatch { expected, expected_size, digest, size });
            }
        }
        writer.finish()
    }
}

/// A blob that is being written; dropped without [`Self::finish`] it leaves nothing.
pub struct BlobWriter<'a> {
    store: &'a Store,
    file: tempfile::NamedTempFile,
    hasher: Hasher,
    size: u64,
}

impl BlobWriter<'_> {
    /// Gives the blob its name: digest and size in bytes.
    pub fn finish(self) -> Result<(BlobDigest, u64), StoreError> {
        let digest = BlobDigest(self.hasher.finish());
        let path = self.store.blob_path(&digest);
        if let Some(parent) = path.parent() {
            system_fs::create_dir_all(parent)?;
        }
        self.file.persist(&path).map_err(|error| IoError::of("create", &path)(error.error))?;
        if let Ok(mut written) = self.store.written.lock() {
            written.push(digest);
        }
        self.store.grown.store(true, Ordering::Relaxed);
        Ok((digest, self.size))
    }
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    #[test]
    fn what_is_put_can_be_read() {
        let (_folder, store) = store();
        let digest = store.put_bytes(b"hello").unwrap();
        assert!(store.has_blob(&digest, 5));
        assert!(!store.has_blob(&digest, 6));
        let mut text = String::new();
        store.open_blob(&digest).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        store.sync().unwrap();
    }

    #[test]
    fn only_what_was_expected_is_taken() {
        let (_folder, store) = store();
        let expected = (BlobDigest::of(b"hello"), 5);
        for wrong in [&b"hell"[..], b"hullo", b"hello and much more"] {
            let error = store.put_reader(&mut &*wrong, Some(expected)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("expected {} (5 bytes), got sha256:", expected.0)), "{error}");
        }
        assert!(!store.has_blob(&expected.0, 5));
        assert_eq!(store.put_reader(&mut &b"hello"[..], Some(expected)).unwrap(), expected);
        assert_eq!(fs::read_dir(store.root.join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_cache_that_is_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        fs::write(&path, "").unwrap();
        let error = Store::open(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write to the cache {}", path.display()));
        assert!(error.hint().unwrap().contains("IMGPACK_CACHE"));
    }
}
