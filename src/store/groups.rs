use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Store;
use super::records::{read_bytes, write_bytes};
use crate::model::{BlobDigest, Digest};
use crate::system::IoError;

/// First line of an index: its version.
const VERSION: &str = "imgpack groups 1";
/// Indexes that are kept, the newest: what a new layer is compared with.
const KEPT: usize = 256;
/// Bytes of a group's row: identity, length, checksum.
const ROW: usize = 32 + 8 + 32;

/// Of which groups a stored layer was put together, in their order and without gaps.
///
/// An index saves work and decides nothing: a torn one, one of another version or framing, or one whose blob is gone is
/// as good as none, and what it points to is compared with its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupIndex {
    /// Compressor, its exact version, level and framing.
    pub framing: String,
    /// The blob.
    pub blob: BlobDigest,
    /// Its groups.
    pub groups: Vec<StoredGroup>,
}

/// One group of a stored layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredGroup {
    /// Digest of what decides its bytes before compression.
    pub identity: Digest,
    /// Its length in the blob in bytes.
    pub length: u64,
    /// Digest of its bytes in the blob.
    pub checksum: Digest,
}

/// Where the compressed bytes of a group are said to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRange {
    path: PathBuf,
    offset: u64,
    length: u64,
    checksum: Digest,
}

impl GroupRange {
    /// The bytes and their digest, if they are what the index says and no more than `limit`.
    pub fn read(&self, limit: usize) -> Option<(Vec<u8>, Digest)> {
        let length = usize::try_from(self.length).ok().filter(|length| *length <= limit)?;
        let mut bytes = vec![0; length];
        File::open(&self.path).ok()?.read_exact_at(&mut bytes, self.offset).ok()?;
        (Digest::of(&bytes) == self.checksum).then_some((bytes, self.checksum))
    }
}

impl Store {
    /// Keeps an index, and drops the oldest of too many.
    pub fn put_groups(&self, index: &GroupIndex) -> Result<(), IoError> {
        write_bytes(&self.groups_path(&index.blob), &index.encode())?;
        for (_, path) in self.group_indexes().into_iter().skip(KEPT) {
            // Another process may have dropped it.
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    /// Where groups of these identities are, as the newest indexes of `framing` say.
    pub fn find_groups(&self, framing: &str, wanted: &[Digest]) -> HashMap<Digest, GroupRange> {
        let mut missing: HashSet<Digest> = wanted.iter().copied().collect();
        let mut found = HashMap::new();
        for (_, path) in self.group_indexes().into_iter().take(KEPT) {
            if missing.is_empty() {
                break;
            }
            let Some(index) = read_bytes(&path).and_then(|bytes| GroupIndex::decode(&bytes)) else {
                continue;
            };
            if index.framing != framing {
                continue;
            }
            let blob = self.blob_path(&index.blob);
            let mut offset = 0_u64;
            for group in index.groups {
                if missing.remove(&group.identity) {
                    let (length, checksum) = (group.length, group.checksum);
                    found.insert(group.identity, GroupRange { path: blob.clone(), offset, length, checksum });
                }
                offset = offset.saturating_add(group.length);
            }
        }
        found
    }

    fn groups_path(&self, blob: &BlobDigest) -> PathBuf {
        self.root().join("groups").join(blob.hex())
    }

    /// Every index, the newest first.
    fn group_indexes(&self) -> Vec<(SystemTime, PathBuf)> {
        let Ok(entries) = fs::read_dir(self.root().join("groups")) else { return Vec::new() };
        let mut found: Vec<(SystemTime, PathBuf)> = entries
            .flatten()
            .filter(|entry| is_index(&entry.path()))
            .filter_map(|entry| Some((modified(&entry).ok()?, entry.path())))
            .collect();
        found.sort_by(|a, b| b.cmp(a));
        found
    }
}

/// Whether it is whole: what is being written begins with a dot.
fn is_index(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.len() == 64)
}

fn modified(entry: &fs::DirEntry) -> io::Result<SystemTime> {
    entry.metadata()?.modified()
}

impl GroupIndex {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = format!("{VERSION}\n{}\n{}\n", self.framing, self.blob).into_bytes();
        bytes.reserve(self.groups.len() * ROW);
        for group in &self.groups {
            bytes.extend_from_slice(group.identity.as_bytes());
            bytes.extend_from_slice(&group.length.to_be_bytes());
            bytes.extend_from_slice(group.checksum.as_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut line = || {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let (line, after) = rest.split_at(end);
            rest = &after[1..];
            std::str::from_utf8(line).ok()
        };
        if line()? != VERSION {
            return None;
        }
        let framing = line()?.to_owned();
        let blob = line()?.parse().ok()?;
        let (rows, []) = rest.as_chunks::<ROW>() else { return None };
        let group = |row: &[u8; ROW]| {
            let (identity, row) = row.split_first_chunk::<32>()?;
            let (length, row) = row.split_first_chunk::<8>()?;
            Some(StoredGroup {
                identity: Digest::from_bytes(*identity),
                length: u64::from_be_bytes(*length),
                checksum: Digest::from_bytes(*row.first_chunk::<32>()?),
            })
        };
        Some(Self { framing, blob, groups: rows.iter().map(group).collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests;
