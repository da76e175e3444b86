use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use super::records::{read_bytes, write_bytes};
use crate::system::IoError;

/// A flat file of rows of `ROW` bytes, sorted by their first `KEY` bytes, no key twice: read at once, searched as it is.
///
/// It stands under a checksum and a heading that names its form; what is torn or of another form is empty. Two processes
/// may write at once: each takes what is there, adds its own and puts the file in place whole. What one of them so
/// loses is found out again.
#[derive(Debug)]
pub(super) struct Rows<const ROW: usize, const KEY: usize> {
    /// Where it is written before it gets its name.
    tmp: PathBuf,
    path: PathBuf,
    heading: &'static [u8],
    /// As found at the start.
    known: Vec<u8>,
    added: Mutex<BTreeMap<[u8; KEY], [u8; ROW]>>,
}

/// Most rows of a file: for 96 bytes each, 38 MB. Of more, those that were added last stay.
const LIMIT: usize = 400_000;

impl<const ROW: usize, const KEY: usize> Rows<ROW, KEY> {
    pub(super) fn open(tmp: PathBuf, path: PathBuf, heading: &'static [u8]) -> Self {
        let known = Self::read(&path, heading).unwrap_or_default();
        Self { tmp, path, heading, known, added: Mutex::default() }
    }

    fn read(path: &std::path::Path, heading: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = read_bytes(path)?;
        let rows = bytes.strip_prefix(heading)?.len();
        bytes.drain(..heading.len());
        (rows % ROW == 0).then_some(bytes)
    }

    /// The row of a key, as it was when the file was read or as it was added since.
    pub(super) fn get(&self, key: &[u8; KEY]) -> Option<[u8; ROW]> {
        if let Some(row) = find::<ROW, KEY>(&self.known, key) {
            return Some(row);
        }
        self.added.lock().ok()?.get(key).copied()
    }

    /// Adds a row, in place of one of the same key.
    pub(super) fn add(&self, row: [u8; ROW]) {
        if let Ok(mut added) = self.added.lock() {
            added.insert(key_of(&row), row);
        }
    }

    /// Writes the file where a row was added.
    pub(super) fn save(&self) -> Result<(), IoError> {
        let Ok(mut added) = self.added.lock() else { return Ok(()) };
        if added.is_empty() {
            return Ok(());
        }
        let mut rows = std::mem::take(&mut *added);
        drop(added);
        // What another process wrote meanwhile is kept.
        let known = Self::read(&self.path, self.heading).unwrap_or_default();
        for row in known.as_chunks::<ROW>().0 {
            if rows.len() >= LIMIT {
                break;
            }
            rows.entry(key_of(row)).or_insert(*row);
        }
        let mut bytes = Vec::with_capacity(self.heading.len() + rows.len() * ROW);
        bytes.extend_from_slice(self.heading);
        rows.values().for_each(|row| bytes.extend_from_slice(row));
        write_bytes(&self.tmp, &self.path, &bytes)
    }
}

fn key_of<const ROW: usize, const KEY: usize>(row: &[u8; ROW]) -> [u8; KEY] {
    let mut key = [0; KEY];
    key.copy_from_slice(&row[..KEY]);
    key
}

/// Of rows that are not in order some are not found, and none is found wrongly.
fn find<const ROW: usize, const KEY: usize>(rows: &[u8], key: &[u8; KEY]) -> Option<[u8; ROW]> {
    let (rows, _) = rows.as_chunks::<ROW>();
    let index = rows.binary_search_by(|row| row[..KEY].cmp(key)).ok()?;
    Some(rows[index])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    type Small = Rows<4, 2>;
    const HEADING: &[u8] = b"test 1\n";

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows/file");
        (folder, path)
    }

    #[test]
    fn rows_are_found_again() {
        let (folder, path) = file();
        let rows = Small::open(folder.path().to_owned(), path.clone(), HEADING);
        assert_eq!(rows.get(b"ab"), None);
        for row in [b"cd34", b"ab12", b"xy56"] {
            rows.add(*row);
        }
        assert_eq!(rows.get(b"ab"), Some(*b"ab12"), "before it is written");
        rows.save().unwrap();
        let rows = Small::open(folder.path().to_owned(), path.clone(), HEADING);
        for row in [b"ab12", b"cd34", b"xy56"] {
            assert_eq!(rows.get(&[row[0], row[1]]), Some(*row));
        }
        assert_eq!(rows.get(b"zz"), None);
        rows.add(*b"ab99");
        rows.save().unwrap();
        assert_eq!(Small::open(folder.path().to_owned(), path.clone(), HEADING).get(b"ab"), Some(*b"ab99"));
        // Nothing to add, nothing written.
        fs::remove_file(&path).unwrap();
        rows.save().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_torn_or_foreign_file_is_empty() {
        let (folder, path) = file();
        let rows = Small::open(folder.path().to_owned(), path.clone(), HEADING);
        rows.add(*b"ab12");
        rows.add(*b"cd34");
        rows.save().unwrap();
        let whole = fs::read(&path).unwrap();
        let is_empty = || Small::open(folder.path().to_owned(), path.clone(), HEADING).known.is_empty();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(is_empty(), "the first {length} bytes");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert!(is_empty(), "byte {at} is another");
        }
        fs::write(&path, &whole).unwrap();
        assert!(!is_empty());
        assert!(
            Small::open(folder.path().to_owned(), path.clone(), b"test 2\n").known.is_empty(),
            "of another version"
        );
        write_bytes(folder.path(), &path, b"test 1\nab12c").unwrap();
        assert!(is_empty(), "half a row");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(is_empty());
    }

    #[test]
    fn two_processes_keep_what_the_other_wrote() {
        let (folder, path) = file();
        let folder = &folder;
        let (one, other) = (
            Small::open(folder.path().to_owned(), path.clone(), HEADING),
            Small::open(folder.path().to_owned(), path.clone(), HEADING),
        );
        one.add(*b"ab12");
        other.add(*b"cd34");
        one.save().unwrap();
        other.save().unwrap();
        let both = Small::open(folder.path().to_owned(), path.clone(), HEADING);
        assert_eq!((both.get(b"ab"), both.get(b"cd")), (Some(*b"ab12"), Some(*b"cd34")));
        // At the very same moment one of them may lose its rows; the file is whole at any time.
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let path = path.clone();
                scope.spawn(move || {
                    for round in 0..50_u8 {
                        let rows = Small::open(folder.path().to_owned(), path.clone(), HEADING);
                        assert!(!rows.known.is_empty());
                        rows.add([thread, round, thread, round]);
                        rows.save().unwrap();
                    }
                });
            }
        });
        let last = Small::open(folder.path().to_owned(), path, HEADING);
        assert_eq!(last.get(b"ab"), Some(*b"ab12"));
        assert!(
            last.known
                .as_chunks::<4>()
                .0
                .iter()
                .all(|row| row == b"ab12" || row == b"cd34" || (row[0], row[1]) == (row[2], row[3]))
        );
    }
}
