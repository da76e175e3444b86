//! What lies in the store, for those who count, remove and check it.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Store;
use super::records::checked;
use crate::model::{BlobDigest, Digest, Hasher, KeyDigest};
use crate::system::{IoError, fs as system_fs, space};

/// A file or directory of the store as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where.
    pub path: PathBuf,
    /// What it takes on the disk (bytes).
    pub allocated: u64,
    /// When it was used last, give or take a day.
    pub used: SystemTime,
}

/// Everything in the store but what the builders keep.
#[derive(Debug, Default)]
pub struct Contents {
    /// Blobs by the digest that their names say.
    pub blobs: Vec<(BlobDigest, Stored)>,
    /// Records by the key that their names say.
    pub records: Vec<(KeyDigest, Stored)>,
    /// Where the groups of layers are, by the blobs that they are of.
    pub groups: Vec<(BlobDigest, Stored)>,
    /// What the last builds were.
    pub last: Vec<Stored>,
    /// What is known of files of workspaces.
    pub rows: Vec<Stored>,
    /// What stands in `tmp`: being written now, or left by a process that was killed.
    pub unfinished: Vec<Stored>,
    /// What is no part of the store.
    pub foreign: Vec<PathBuf>,
}

impl Store {
    /// Looks at everything; blobs and records are in the order of their names.
    pub fn contents(&self) -> Result<Contents, IoError> {
        let mut contents = Contents::default();
        let mut foreign = Vec::new();
        self.named("blobs", &mut foreign, |digest, stored| {
            contents.blobs.push((BlobDigest(digest), stored));
        })?;
        self.named("records", &mut foreign, |digest, stored| {
            contents.records.push((KeyDigest(digest), stored));
        })?;
        for entry in list(&self.root.join("groups"))? {
            match name(&entry).zip(stored(&entry)) {
                Some((digest, stored)) => contents.groups.push((BlobDigest(digest), stored)),
                None => foreign.push(entry.path()),
            }
        }
        for entry in list(&self.root.join("last"))? {
            match name(&entry).zip(stored(&entry)) {
                Some((_, stored)) => contents.last.push(stored),
                None => foreign.push(entry.path()),
            }
        }
        for folder in ["stat", "clean"] {
            for entry in list(&self.root.join(folder))? {
                match name(&entry).zip(stored(&entry)) {
                    Some((_, stored)) => contents.rows.push(stored),
                    None => foreign.push(entry.path()),
                }
            }
        }
        for entry in list(&self.tmp())? {
            let path = entry.path();
            let used = entry.metadata().and_then(|metadata| metadata.modified());
            // What has just got its name is gone from here.
            if let Ok(used) = used {
                contents.unfinished.push(Stored { allocated: space::allocated_below(&path), path, used });
            }
        }
        contents.foreign = foreign;
        Ok(contents)
    }

    /// Walks `directory/<2 hex>/<64 hex>`.
    fn named(
        &self,
        directory: &str,
        foreign: &mut Vec<PathBuf>,
        mut found: impl FnMut(Digest, Stored),
    ) -> Result<(), IoError> {
        for shelf in list(&self.root.join(directory))? {
            let path = shelf.path();
            if !shelf.file_type().is_ok_and(|kind| kind.is_dir()) {
                foreign.push(path);
                continue;
            }
            for entry in list(&path)? {
                match name(&entry).filter(|digest| shelf.file_name() == digest.hex()[..2]).zip(stored(&entry))
                {
                    Some((digest, stored)) => found(digest, stored),
                    None => foreign.push(entry.path()),
                }
            }
        }
        Ok(())
    }

    /// The bytes of a record that lies at `stored`, without noting a use; `None` where its checksum is not right.
    pub fn peek(&self, stored: &Stored) -> Option<Vec<u8>> {
        checked(fs::read(&stored.path).ok()?)
    }

    /// Whether a blob's bytes are those that its name says.
    pub fn is_whole(&self, digest: &BlobDigest, stored: &Stored) -> Result<bool, IoError> {
        let file = system_fs::open(&stored.path)?;
        let (found, _) = Hasher::read_all(file).map_err(IoError::of("read", &stored.path))?;
        Ok(found == digest.0)
    }

    /// Removes a file of the cache, or moves a directory out of everybody's way, so that nobody ever sees half of it. The
    /// place where it is then, for the caller to remove.
    pub fn discard(&self, path: &Path) -> Result<Option<PathBuf>, IoError> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Ok(found) if !found.is_dir() => {
                return fs::remove_file(path).map(|()| None).map_err(IoError::of("remove", path));
            }
            _ => {}
        }
        let folder = self.tmp();
        let place = tempfile::Builder::new()
            .prefix("removed-")
            .tempdir_in(&folder)
            .map_err(IoError::of("create a directory in", &folder))?
            .keep();
        fs::rename(path, place.join("it")).map_err(IoError::of("move", path))?;
        Ok(Some(place))
    }
}

fn list(directory: &Path) -> Result<Vec<DirEntry>, IoError> {
    let entries = fs::read_dir(directory).map_err(IoError::of("list", directory))?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(IoError::of("list", directory))?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn name(entry: &DirEntry) -> Option<Digest> {
    Digest::from_hex(entry.file_name().to_str()?).ok()
}

/// `None` where it is no file.
fn stored(entry: &DirEntry) -> Option<Stored> {
    let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
    let used = metadata.modified().ok()?;
    Some(Stored { path: entry.path(), allocated: space::allocated(&metadata), used })
}
