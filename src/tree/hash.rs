use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::error::TreeError;
use super::source::{SourceFile, SourceKind};
use crate::model::{Content, ContentDigest, EntryKind, Hasher};
use crate::system::{Cancel, FileStat, IoError, Moment, fs, parallel};

/// What the first bytes of a Git LFS pointer are (git-lfs, docs/spec.md), and how long one can be.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1";
const LFS_LIMIT: u64 = 1024;
/// Fewer files are not worth a thread.
const FEW: usize = 16;

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

/// What is known of files by how they look, without reading them.
pub trait KnownDigests: Sync {
    /// The digest of the content of a file that looks like this.
    fn known(&self, stat: &FileStat) -> Option<ContentDigest>;

    /// Remembers it: the file looked so before and after it was read, which began at `read`.
    fn remember(&self, stat: &FileStat, read: Moment, digest: &ContentDigest);
}

/// Knows nothing and keeps nothing: everything is read.
impl KnownDigests for () {
    fn known(&self, _: &FileStat) -> Option<ContentDigest> {
        None
    }
    fn remember(&self, _: &FileStat, _: Moment, _: &ContentDigest) {}
}

/// Finds the content of every file; the order stays. What `known` does not know is read, by `jobs` threads. Of several
/// failures the first in that order is returned.
pub fn hash(
    files: Vec<SourceFile>,
    known: &dyn KnownDigests,
    jobs: usize,
    cancel: &Cancel,
) -> Result<Vec<HashedFile>, TreeError> {
    let mut unknown = Vec::new();
    let mut hashed: Vec<HashedFile> = Vec::with_capacity(files.len());
    for file in files {
        let kind = match file.kind {
            SourceKind::File { stat } => {
                let digest = known.known(&stat).unwrap_or_else(|| {
                    unknown.push((hashed.len(), stat));
                    ContentDigest::of(b"")
                });
                HashedKind::File { executable: stat.is_executable(), size: stat.size, digest }
            }
            SourceKind::Symlink { target } => HashedKind::Symlink { target },
        };
        hashed.push(HashedFile { path: file.path, kind, absolute: file.absolute });
    }
    let digest = |(index, stat): &(usize, FileStat)| {
        cancel.check()?;
        read_digest(&hashed[*index].absolute, stat, known)
    };
    // A second thread is not worth a few files, as after an edit.
    let jobs = jobs.min(unknown.len().div_ceil(FEW));
    let read = parallel(jobs, &unknown, digest);
    for ((index, _), read) in unknown.into_iter().zip(read) {
        let read = read?;
        if let HashedKind::File { size, digest, .. } = &mut hashed[index].kind {
            (*size, *digest) = (read.size, read.digest);
        }
    }
    Ok(hashed)
}

/// Reads the file at `path`, which looked like `stat` when it was found, to its end. A Git LFS pointer is an error: a file
/// is wanted, not its name.
pub fn read_digest(path: &Path, stat: &FileStat, known: &dyn KnownDigests) -> Result<FileDigest, TreeError> {
    let begin = Moment::now();
    let mut reader = fs::open(path)?;
    let looks = |reader: &File| reader.metadata().map(|metadata| FileStat::of(&metadata));
    let before = looks(&reader).map_err(IoError::of("look at", path))?;
    let mut head = Vec::with_capacity(LFS.len());
    let mut start = (&mut reader).take(LFS.len() as u64);
    start.read_to_end(&mut head).map_err(IoError::of("read", path))?;
    let (digest, size) =
        Hasher::read_all(head.as_slice().chain(&mut reader)).map_err(IoError::of("read", path))?;
    if head == LFS && size < LFS_LIMIT {
        return Err(TreeError::LfsPointer { path: path.to_owned() });
    }
    let digest = ContentDigest(digest);
    // What changed since it was found, or while it was read, is not remembered.
    let after = looks(&reader).map_err(IoError::of("look at", path))?;
    if before == *stat && after == *stat && size == stat.size {
        known.remember(stat, begin, &digest);
    }
    Ok(FileDigest { digest, size })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Mutex;

    use super::*;

    fn source(directory: &std::path::Path, name: &str, content: &[u8]) -> SourceFile {
        let absolute = directory.join(name);
        std::fs::write(&absolute, content).unwrap();
        std::fs::set_permissions(&absolute, std::fs::Permissions::from_mode(0o755)).unwrap();
        let stat = FileStat::of(&absolute.metadata().unwrap());
        SourceFile { path: name.to_owned(), kind: SourceKind::File { stat }, absolute }
    }

    /// Knows every file as `.0`, and keeps what it is told.
    #[derive(Default)]
    struct Memory(Option<ContentDigest>, Mutex<Vec<(FileStat, ContentDigest)>>);

    impl KnownDigests for Memory {
        fn known(&self, _: &FileStat) -> Option<ContentDigest> {
            self.0
        }
        fn remember(&self, stat: &FileStat, _: Moment, digest: &ContentDigest) {
            self.1.lock().unwrap().push((*stat, *digest));
        }
    }

    #[test]
    fn what_is_known_is_not_read_and_what_is_read_is_remembered() {
        let temporary = tempfile::tempdir().unwrap();
        let file = source(temporary.path(), "x", b"x");
        let SourceKind::File { stat } = file.kind else { panic!("not a file") };
        let memory = Memory::default();
        hash(vec![file.clone()], &memory, 2, &Cancel::new()).unwrap();
        assert_eq!(*memory.1.lock().unwrap(), [(stat, ContentDigest::of(b"x"))]);

        std::fs::remove_file(&file.absolute).unwrap();
        let known = ContentDigest::of(b"known");
        let hashed = hash(vec![file], &Memory(Some(known), Mutex::default()), 2, &Cancel::new()).unwrap();
        assert_eq!(hashed[0].kind, HashedKind::File { executable: true, size: 1, digest: known });
    }

    #[test]
    fn what_changed_since_it_was_found_is_read_and_not_remembered() {
        let temporary = tempfile::tempdir().unwrap();
        let file = source(temporary.path(), "x", b"old");
        std::fs::write(&file.absolute, "longer").unwrap();
        let memory = Memory::default();
        let hashed = hash(vec![file], &memory, 2, &Cancel::new()).unwrap();
        let digest = ContentDigest::of(b"longer");
        assert_eq!(hashed[0].kind, HashedKind::File { executable: true, size: 6, digest });
        assert!(memory.1.lock().unwrap().is_empty());
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
        let hashed = hash(files, &Memory::default(), 2, &Cancel::new()).unwrap();
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
        let error = hash(vec![pointer], &Memory::default(), 2, &Cancel::new()).unwrap_err();
        let path = temporary.path().join("model.bin");
        assert_eq!(
            error.to_string(),
            format!("{} is a Git LFS pointer, not the file itself", path.display())
        );
        assert_eq!(error.hint().as_deref(), Some("git lfs pull"));
        let mut page = text.to_owned();
        page.push_str(&"a page about pointers ".repeat(100));
        let page = source(temporary.path(), "page.md", page.as_bytes());
        assert!(hash(vec![page], &Memory::default(), 2, &Cancel::new()).is_ok());
    }

    #[test]
    fn a_file_that_is_gone_is_named_and_cancelling_stops() {
        let temporary = tempfile::tempdir().unwrap();
        let file = source(temporary.path(), "x", b"x");
        let cancel = Cancel::new();
        cancel.cancel();
        assert_eq!(
            hash(vec![file.clone()], &Memory::default(), 2, &cancel).unwrap_err().to_string(),
            "cancelled"
        );
        std::fs::remove_file(&file.absolute).unwrap();
        let error = hash(vec![file.clone()], &Memory::default(), 2, &Cancel::new()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot open {}", file.absolute.display()));
    }
}
