use std::io::Read as _;
use std::path::PathBuf;

use rayon::prelude::*;

use super::error::TreeError;
use super::source::{SourceFile, SourceKind};
use crate::model::{Content, ContentDigest, EntryKind, Hasher};
use crate::system::{Cancel, IoError, fs};

/// What the first bytes of a Git LFS pointer are (git-lfs, docs/spec.md), and how long one can be.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1";
const LFS_LIMIT: u64 = 1024;

/// Digest and length of a file as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileDigest {
    /// Digest of its content.
    pub digest: ContentDigest,
    /// Its length in bytes.
    pub size: u64,
}

/// A source whose content is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HashedFile {
    /// Path relative to the scanned directory; of a single file its name.
    pub path: String,
    /// What it is.
    pub kind: HashedKind,
    /// Where it is on this machine.
    pub absolute: PathBuf,
}

/// What a hashed source is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HashedKind {
    /// A regular file.
    File {
        /// Whether its owner may execute it.
        executable: bool,
        /// Length in bytes, as hashed.
        size: u64,
        /// Digest of its content.
        digest: ContentDigest,
    },
    /// A symbolic link.
    Symlink {
        /// The link's text.
        target: String,
    },
}

impl HashedFile {
    /// The kind of the entry that it makes in a layer.
    pub fn entry_kind(&self) -> EntryKind {
        match &self.kind {
            HashedKind::File { size, digest, .. } => EntryKind::File {
                digest: *digest,
                size: *size,
                content: Content::Path(self.absolute.clone()),
            },
            HashedKind::Symlink { target } => EntryKind::Symlink { target: target.clone() },
        }
    }

    /// The permission bits of that entry where nothing else is said: 0755 with the owner's x bit, else 0644 (design §4);
    /// 0777 for links.
    pub fn entry_mode(&self) -> u32 {
        match self.kind {
            HashedKind::File { executable: true, .. } => 0o755,
            HashedKind::File { executable: false, .. } => 0o644,
            HashedKind::Symlink { .. } => 0o777,
        }
    }
}

/// Finds the content of every file by `digest` ([`read_digest`], or a cache before it), in parallel; the order stays. Of
/// several failures the first in that order is returned.
pub fn hash(
    files: Vec<SourceFile>,
    digest: &(dyn Fn(&SourceFile) -> Result<FileDigest, TreeError> + Sync),
    cancel: &Cancel,
) -> Result<Vec<HashedFile>, TreeError> {
    let hashed: Vec<Result<HashedFile, TreeError>> = files
        .into_par_iter()
        .map(|file| {
            cancel.check()?;
            let kind = match &file.kind {
                SourceKind::File { executable, .. } => {
                    let FileDigest { digest, size } = digest(&file)?;
                    HashedKind::File { executable: *executable, size, digest }
                }
                SourceKind::Symlink { target } => HashedKind::Symlink { target: target.clone() },
            };
            Ok(HashedFile { path: file.path, kind, absolute: file.absolute })
        })
        .collect();
    hashed.into_iter().collect()
}

/// Reads a file to its end. A Git LFS pointer is an error: a file is wanted, not its name.
pub fn read_digest(file: &SourceFile) -> Result<FileDigest, TreeError> {
    let path = &file.absolute;
    let mut reader = fs::open(path)?;
    let mut head = Vec::with_capacity(LFS.len());
    let mut start = (&mut reader).take(LFS.len() as u64);
    start.read_to_end(&mut head).map_err(IoError::of("read", path))?;
    let (digest, size) =
        Hasher::read_all(head.as_slice().chain(reader)).map_err(IoError::of("read", path))?;
    if head == LFS && size < LFS_LIMIT {
        return Err(TreeError::LfsPointer { path: path.clone() });
    }
    Ok(FileDigest { digest: ContentDigest(digest), size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(directory: &std::path::Path, name: &str, content: &[u8]) -> SourceFile {
        let absolute = directory.join(name);
        std::fs::write(&absolute, content).unwrap();
        SourceFile { path: name.to_owned(), kind: SourceKind::File { executable: true, size: 0 }, absolute }
    }

    #[test]
    fn contents_are_found_in_order() {
        let temporary = tempfile::tempdir().unwrap();
        let link = SourceFile {
            path: "l".to_owned(),
            kind: SourceKind::Symlink { target: "b".to_owned() },
            absolute: temporary.path().join("l"),
        };
        let big = vec![7; 300_000];
        let files = vec![source(temporary.path(), "b", &big), source(temporary.path(), "a", b""), link];
        let hashed = hash(files, &read_digest, &Cancel::new()).unwrap();
        let file = |content: &[u8]| HashedKind::File {
            executable: true,
            size: content.len() as u64,
            digest: ContentDigest::of(content),
        };
        assert_eq!(
            hashed.iter().map(|file| (file.path.as_str(), file.kind.clone())).collect::<Vec<_>>(),
            [("b", file(&big)), ("a", file(b"")), ("l", HashedKind::Symlink { target: "b".to_owned() })]
        );
        assert_eq!(hashed.iter().map(HashedFile::entry_mode).collect::<Vec<_>>(), [0o755, 0o755, 0o777]);
    }

    #[test]
    fn pointers_of_git_lfs_are_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let text = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        let pointer = source(temporary.path(), "model.bin", text.as_bytes());
        let error = hash(vec![pointer], &read_digest, &Cancel::new()).unwrap_err();
        let path = temporary.path().join("model.bin");
        assert_eq!(
            error.to_string(),
            format!("{} is a Git LFS pointer, not the file itself", path.display())
        );
        assert_eq!(error.hint().as_deref(), Some("git lfs pull"));
        let mut page = text.to_owned();
        page.push_str(&"a page about pointers ".repeat(100));
        let page = source(temporary.path(), "page.md", page.as_bytes());
        assert!(hash(vec![page], &read_digest, &Cancel::new()).is_ok());
    }

    #[test]
    fn a_file_that_is_gone_is_named_and_cancelling_stops() {
        let temporary = tempfile::tempdir().unwrap();
        let file = source(temporary.path(), "x", b"x");
        let cancel = Cancel::new();
        cancel.cancel();
        assert_eq!(hash(vec![file.clone()], &read_digest, &cancel).unwrap_err().to_string(), "cancelled");
        std::fs::remove_file(&file.absolute).unwrap();
        let error = hash(vec![file.clone()], &read_digest, &Cancel::new()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot open {}", file.absolute.display()));
    }
}
