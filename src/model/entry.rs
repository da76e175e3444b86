use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::digest::ContentDigest;
use super::image_path::ImagePath;
use super::package::Contents;

/// Where the bytes of a file are. Two contents are the same content when their digests are.
#[derive(Debug, Clone)]
pub enum Content {
    /// A file of this machine; what is read from it is checked against the digest while it is packed.
    Path(PathBuf),
    /// Bytes in memory, for small composed files.
    Bytes(Arc<[u8]>),
    /// A part of a package's contents; what is read from it is checked like a file of this machine.
    Packed {
        /// The package's contents.
        contents: Arc<dyn Contents>,
        /// Where the file begins in them, in bytes.
        offset: u64,
        /// Its length in bytes.
        length: u64,
    },
}

/// Numeric owner of an entry.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
pub struct Owner {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
}

/// What an entry is.
#[derive(Debug, Clone)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Digest of its content.
        digest: ContentDigest,
        /// Its length in bytes.
        size: u64,
        /// Where its content is.
        content: Content,
    },
    /// A symbolic link; the target is kept as written.
    Symlink {
        /// The link's text.
        target: String,
    },
    /// A hard link to another entry of the same layer.
    Hardlink {
        /// The entry it is another name of.
        target: ImagePath,
    },
    /// Removes the path from the layers below (image-spec, layer.md, "Whiteouts").
    Whiteout,
}

impl PartialEq for EntryKind {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Directory, Self::Directory) | (Self::Whiteout, Self::Whiteout) => true,
            (Self::File { digest: a, size: b, .. }, Self::File { digest: c, size: d, .. }) => {
                a == c && b == d
            }
            (Self::Symlink { target: a }, Self::Symlink { target: b }) => a == b,
            (Self::Hardlink { target: a }, Self::Hardlink { target: b }) => a == b,
            _ => false,
        }
    }
}

impl EntryKind {
    /// A file of bytes in memory.
    pub fn bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self::File {
            digest: ContentDigest::of(&bytes),
            size: bytes.len() as u64,
            content: Content::Bytes(bytes),
        }
    }

    /// The word for it in messages.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File { .. } => "file",
            Self::Symlink { .. } => "symbolic link",
            Self::Hardlink { .. } => "hard link",
            Self::Whiteout => "removal",
        }
    }
}

/// One entry of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its place in the image.
    pub path: ImagePath,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// Numeric owner.
    pub owner: Owner,
    /// What brought it, for messages that name both sides (`files[2]`, `build.go`, `component tzdata`).
    pub origin: Arc<str>,
}

/// What fills a layer: entries with unique paths, in bytewise order of their paths.
///
/// Everything that fills a layer yields this one thing, and everything after it knows nothing of where they came from.
#[derive(Debug, Clone, Default)]
pub struct Entries(BTreeMap<ImagePath, Entry>);

/// Two sources want one path.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EntriesError {
    /// The same path twice.
    #[error("{path} comes from {first} and from {second}")]
    Duplicate {
        /// The path.
        path: ImagePath,
        /// Who brought it first.
        first: Arc<str>,
        /// Who brought it again.
        second: Arc<str>,
    },
    /// One source's file is another's directory.
    #[error("{path} is a {noun} from {first}, but {second} puts {below} below it")]
    NotDirectory {
        /// The file or link.
        path: ImagePath,
        /// What it is.
        noun: &'static str,
        /// Who brought it.
        first: Arc<str>,
        /// Who brought the entry below.
        second: Arc<str>,
        /// The entry below.
        below: ImagePath,
    },
    /// Two paths that some file systems take for one.
    #[error(
        "{first} (from {first_origin}) and {second} (from {second_origin}) are the same name in Unicode form C"
    )]
    SameName {
        /// One path.
        first: ImagePath,
        /// Who brought it.
        first_origin: Arc<str>,
        /// The other.
        second: ImagePath,
        /// Who brought the other.
        second_origin: Arc<str>,
    },
}

impl Entries {
    /// No entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `entry`. The same path twice is an error, but for two equal directories.
    pub fn insert(&mut self, entry: Entry) -> Result<(), EntriesError> {
        if let Some(known) = self.0.get(&entry.path) {
            if known.kind == EntryKind::Directory
                && entry.kind == EntryKind::Directory
                && known.mode == entry.mode
                && known.owner == entry.owner
            {
                return Ok(());
            }
            return Err(EntriesError::Duplicate {
                path: entry.path,
                first: Arc::clone(&known.origin),
                second: entry.origin,
            });
        }
        self.0.insert(entry.path.clone(), entry);
        Ok(())
    }

    /// Adds every entry of `other` by the rule of [`Self::insert`].
    pub fn extend(&mut self, other: Self) -> Result<(), EntriesError> {
        other.0.into_values().try_for_each(|entry| self.insert(entry))
    }

    /// Adds `entry`, in place of what has its path.
    pub fn replace(&mut self, entry: Entry) {
        self.0.insert(entry.path.clone(), entry);
    }

    /// Every conflict inside this set: paths below a file, and paths equal in Unicode form C.
    pub fn conflicts(&self) -> Vec<EntriesError> {
        let mut found = Vec::new();
        let mut names: BTreeMap<String, &Entry> = BTreeMap::new();
        let mut sound = None;
        for entry in self.0.values() {
            // Files of one directory have the same directories above them.
            let parent = entry.path.parent();
            let ancestors = (sound.as_ref() != Some(&parent)).then(|| entry.path.ancestors());
            let before = found.len();
            for above in ancestors.into_iter().flatten() {
                if let Some(above) = self.0.get(&above)
                    && above.kind != EntryKind::Directory
                {
                    found.push(EntriesError::NotDirectory {
                        path: above.path.clone(),
                        noun: above.kind.noun(),
                        first: Arc::clone(&above.origin),
                        second: Arc::clone(&entry.origin),
                        below: entry.path.clone(),
                    });
                }
            }
            sound = (found.len() == before).then_some(parent);
            if let Some(same) = names.insert(entry.path.nfc(), entry) {
                found.push(EntriesError::SameName {
                    first: same.path.clone(),
                    first_origin: Arc::clone(&same.origin),
                    second: entry.path.clone(),
                    second_origin: Arc::clone(&entry.origin),
                });
            }
        }
        found
    }

    /// The entry at `path`.
    pub fn get(&self, path: &ImagePath) -> Option<&Entry> {
        self.0.get(path)
    }

    /// The entries in bytewise order of their paths.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.0.values()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Entries {
    type Item = Entry;
    type IntoIter = std::collections::btree_map::IntoValues<ImagePath, Entry>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_values()
    }
}
