//! `imgpack cache verify`: whether everything in the cache is what its name or record says.
//!
//! Damage is what no killed process leaves: files appear by rename, so a wrong one was changed by something else, or lost
//! with the power. What a killed process does leave is counted and harms nobody.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use super::dangling::leads_to;
use crate::builder::Caches;
use crate::model::{BlobDigest, Size};
use crate::ops::error::Error;
use crate::ops::history::LastBuild;

use crate::store::{Contents, Store};
use crate::system::{Cancel, fs, parallel};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A blob with other bytes than its name says.
    Blob(BlobDigest, PathBuf),
    /// A record whose checksum is wrong: it counts as missing.
    Record(PathBuf),
    /// A staged file with other bytes than its record says.
    Staged(PathBuf),
    /// A file of no kind that imgpack makes.
    Foreign(PathBuf),
}

impl Fault {
    /// The file.
    pub fn path(&self) -> &PathBuf {
        match self {
            Self::Blob(_, path) | Self::Record(path) | Self::Staged(path) | Self::Foreign(path) => path,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(digest, path) => write!(f, "damaged: {}: its bytes are not {digest}", path.display()),
            Self::Record(path) => write!(f, "damaged: {}: its checksum is wrong", path.display()),
            Self::Staged(path) => {
                write!(f, "damaged: {}: its bytes are not those of the source", path.display())
            }
            Self::Foreign(path) => write!(f, "foreign: {}: no part of the cache", path.display()),
        }
    }
}

/// What was looked at and found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Blobs that were hashed.
    pub blobs: usize,
    /// What they hold (bytes on the disk).
    pub size: Size,
    /// Records that were read.
    pub records: usize,
    /// Staged files that were hashed.
    pub staged: usize,
    /// What is wrong, in a fixed order.
    pub faults: Vec<Fault>,
    /// Files and directories that are being written, or that killed processes left.
    pub unfinished: usize,
    /// Records of blobs that are gone: misses.
    pub misses: usize,
}

/// Looks at everything.
pub fn verify(store: &Store, jobs: usize, cancel: &Cancel) -> Result<Verified, Error> {
    let contents = store.contents()?;
    let caches = Caches::new(store.root());
    let mut verified = Verified {
        blobs: contents.blobs.len(),
        size: contents.blobs.iter().map(|(_, stored)| Size(stored.allocated)).sum(),
        records: contents.records.len() + contents.groups.len() + contents.last.len() + contents.rows.len(),
        unfinished: contents.unfinished.len(),
        ..Verified::default()
    };
    let whole = parallel(jobs, &contents.blobs, |(digest, stored)| {
        cancel.check()?;
        Ok::<_, Error>(store.is_whole(digest, stored)?)
    });
    for ((digest, stored), whole) in contents.blobs.iter().zip(whole) {
        if !whole? {
            verified.faults.push(Fault::Blob(*digest, stored.path.clone()));
        }
    }
    records(store, &contents, &mut verified);
    let staged = caches.staged()?;
    verified.staged = staged.len();
    let right = parallel(jobs, &staged, |file| {
        cancel.check()?;
        Ok::<_, Error>(file.is_right()?)
    });
    for (file, right) in staged.into_iter().zip(right) {
        if !right? {
            verified.faults.push(Fault::Staged(file.path));
        }
    }
    verified.faults.extend(contents.foreign.into_iter().chain(caches.foreign()?).map(Fault::Foreign));
    verified.faults.sort();
    Ok(verified)
}

fn records(store: &Store, contents: &Contents, verified: &mut Verified) {
    let blobs: BTreeSet<&BlobDigest> = contents.blobs.iter().map(|(digest, _)| digest).collect();
    for (_, stored) in &contents.records {
        match store.peek(stored) {
            None => verified.faults.push(Fault::Record(stored.path.clone())),
            Some(bytes) if leads_to(&bytes).iter().any(|blob| !blobs.contains(blob)) => verified.misses += 1,
            Some(_) => {}
        }
    }
    for (digest, stored) in &contents.groups {
        match store.peek(stored) {
            None => verified.faults.push(Fault::Record(stored.path.clone())),
            Some(_) if !blobs.contains(digest) => verified.misses += 1,
            Some(_) => {}
        }
    }
    for stored in contents.rows.iter().filter(|stored| store.peek(stored).is_none()) {
        verified.faults.push(Fault::Record(stored.path.clone()));
    }
    for stored in &contents.last {
        let last = store.peek(stored).map(|bytes| serde_json::from_slice::<LastBuild>(&bytes));
        if !matches!(last, Some(Ok(_))) {
            verified.faults.push(Fault::Record(stored.path.clone()));
        }
    }
}

/// Removes what is wrong from a store that is opened alone: it is made again when it is needed.
pub fn repair(store: &Store, faults: &[Fault]) -> Result<(), Error> {
    for fault in faults {
        if let Some(moved) = store.discard(fault.path())? {
            fs::remove_all(moved)?;
        }
    }
    Ok(())
}
