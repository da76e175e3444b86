use std::path::{Path, PathBuf};

use super::Store;
use super::rows::Rows;
use crate::model::{ContentDigest, Digest};
use crate::system::{FileStat, IoError, Moment};

/// Digests of files by how these looked: what saves reading them. It is only ever a memory of readings: wrong, foreign
/// or lost rows cost a reading at most, since a row is believed for a file of exactly its look alone (see
/// [`FileStat::is_believed`]).
#[derive(Debug)]
pub struct StatCache {
    rows: Rows<ROW, KEY>,
    now: Moment,
}

const KEY: usize = 16;
const ROW: usize = 96;
/// Another number for another form of the rows, or where the rule of what is believed gets stricter.
const HEADING: &[u8] = b"imgpack stat cache 1\n";

impl Store {
    /// What is remembered of the files of the workspace at `root`.
    pub fn stat_cache(&self, root: &Path) -> StatCache {
        StatCache::open(self.tmp(), &self.root().join("stat"), root)
    }
}

impl StatCache {
    fn open(tmp: PathBuf, folder: &Path, root: &Path) -> Self {
        let name = Digest::of(root.as_os_str().as_encoded_bytes()).hex();
        Self { rows: Rows::open(tmp, folder.join(name), HEADING), now: Moment::now() }
    }

    /// The digest of the content of a file that looks like this, where it is known beyond doubt.
    pub fn get(&self, stat: &FileStat) -> Option<ContentDigest> {
        let row = self.rows.get(&key(stat))?;
        let read = moment(&row[52..64]);
        let same = row == self::row(stat, read, &digest(&row));
        (same && stat.is_believed(read, self.now)).then(|| digest(&row))
    }

    /// Remembers the digest of a file that looked like this before and after it was read at `read`; not that of one that
    /// could change again without a trace.
    pub fn put(&self, stat: &FileStat, read: Moment, digest: &ContentDigest) {
        if stat.is_believed(read, read) {
            self.rows.add(row(stat, read, digest));
        }
    }

    /// Writes what was added. That it cannot be written is no reason to stop: it saves time only.
    pub fn save(&self) -> Result<(), IoError> {
        self.rows.save()
    }
}

fn key(stat: &FileStat) -> [u8; KEY] {
    let mut key = [0; KEY];
    key[..8].copy_from_slice(&stat.device.to_be_bytes());
    key[8..].copy_from_slice(&stat.inode.to_be_bytes());
    key
}

fn row(stat: &FileStat, read: Moment, digest: &ContentDigest) -> [u8; ROW] {
    let mut row = [0; ROW];
    let mut rest = &mut row[..];
    let mut put = |bytes: &[u8]| {
        let (place, after) = std::mem::take(&mut rest).split_at_mut(bytes.len());
        place.copy_from_slice(bytes);
        rest = after;
    };
    put(&key(stat));
    put(&stat.size.to_be_bytes());
    put(&stat.mode.to_be_bytes());
    for moment in [stat.modified, stat.changed, read] {
        put(&moment.seconds.to_be_bytes());
        put(&moment.nanoseconds.to_be_bytes());
    }
    put(digest.0.as_bytes());
    row
}

fn moment(bytes: &[u8]) -> Moment {
    let (mut seconds, mut nanoseconds) = ([0; 8], [0; 4]);
    seconds.copy_from_slice(&bytes[..8]);
    nanoseconds.copy_from_slice(&bytes[8..12]);
    Moment { seconds: i64::from_be_bytes(seconds), nanoseconds: u32::from_be_bytes(nanoseconds) }
}

fn digest(row: &[u8; ROW]) -> ContentDigest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(&row[64..]);
    ContentDigest(Digest::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment { seconds, nanoseconds: 7 }
    }

    #[test]
    fn a_digest_is_believed_of_the_same_look_alone() {
        let folder = tempfile::tempdir().unwrap();
        let open = || StatCache::open(folder.path().to_owned(), folder.path(), Path::new("/w"));
        let stat =
            FileStat { device: 1, inode: 2, size: 3, modified: at(-4), changed: at(5), mode: 0o100_644 };
        let digest = ContentDigest::of(b"abc");
        let cache = open();
        cache.put(&stat, at(100), &digest);
        assert_eq!(cache.get(&stat), Some(digest));
        cache.save().unwrap();
        let cache = open();
        assert_eq!(cache.get(&stat), Some(digest));
        for other in [
            FileStat { device: 9, ..stat },
            FileStat { inode: 9, ..stat },
            FileStat { size: 9, ..stat },
            FileStat { modified: at(-5), ..stat },
            FileStat { changed: at(6), ..stat },
            FileStat { changed: Moment { seconds: 5, nanoseconds: 8 }, ..stat },
            FileStat { mode: 0o100_755, ..stat },
        ] {
            assert_eq!(cache.get(&other), None, "{other:?}");
        }
        assert_eq!(
            StatCache::open(folder.path().to_owned(), folder.path(), Path::new("/x")).get(&stat),
            None
        );
        // The clock was set back since.
        assert_eq!(StatCache { now: at(99), ..open() }.get(&stat), None);
    }

    #[test]
    fn what_was_just_changed_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = StatCache::open(folder.path().to_owned(), folder.path(), Path::new("/w"));
        let stat = FileStat { modified: at(99), changed: at(99), ..FileStat::default() };
        cache.put(&stat, at(100), &ContentDigest::of(b""));
        cache.save().unwrap();
        assert_eq!(cache.get(&stat), None);
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
    }
}
