//! What files take on the disk, and when they were used last.
//!
//! The time of last use is the modification time, brought up to date at most once a day by whoever looks at the file
//! anyway: access times are off on many machines, and a file for notes would be written to by every command.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};

/// A use is noted again when the last note is older.
pub const NOTE_EVERY: Duration = Duration::from_hours(24);

/// What a file takes on the disk (bytes): its blocks, not its length.
pub fn allocated(metadata: &Metadata) -> u64 {
    // stat(2): st_blocks counts 512 bytes, whatever the file system's own blocks are.
    metadata.blocks() * 512
}

/// What a file or a directory with all below it takes on the disk (bytes). A file with several names counts once. What
/// vanishes meanwhile or cannot be looked at counts nothing; links are not followed.
pub fn allocated_below(path: &Path) -> u64 {
    let mut seen = HashSet::new();
    let mut sum = 0;
    for entry in walkdir::WalkDir::new(path).into_iter().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let again =
            metadata.nlink() > 1 && !metadata.is_dir() && !seen.insert((metadata.dev(), metadata.ino()));
        if !again {
            sum += allocated(&metadata);
        }
    }
    sum
}

/// Notes that the file at `path` was used now, unless that was noted within a day. A note that cannot be taken is none.
pub fn note_use(path: &Path, metadata: &Metadata) {
    let old = |time: SystemTime| time.elapsed().is_ok_and(|age| age > NOTE_EVERY);
    if metadata.modified().is_ok_and(old) {
        use_now(path);
    }
}

/// Notes that the file at `path` was used now.
pub fn use_now(path: &Path) {
    let time = |nanoseconds| Timespec { tv_sec: 0, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time(UTIME_OMIT), last_modification: time(UTIME_NOW) };
    let _ = utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn a_use_is_noted_once_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = File::create(&path).unwrap();
        for (age, noted) in [(23, false), (25, true)] {
            let before = SystemTime::now() - Duration::from_hours(age);
            file.set_modified(before).unwrap();
            note_use(&path, &path.metadata().unwrap());
            let after = path.metadata().unwrap().modified().unwrap();
            assert_eq!(after.elapsed().unwrap_or_default() < Duration::from_hours(1), noted, "{age} h");
        }
        // A time in the future is no reason to write.
        file.set_modified(SystemTime::now() + Duration::from_hours(99)).unwrap();
        note_use(&path, &path.metadata().unwrap());
        assert!(path.metadata().unwrap().modified().unwrap() > SystemTime::now());
    }

    #[test]
    fn names_of_one_file_count_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("d")).unwrap();
        let file = folder.path().join("file");
        fs::write(&file, vec![1; 100_000]).unwrap();
        let one = allocated_below(folder.path());
        assert!(one >= 100_000 && one >= allocated(&file.metadata().unwrap()));
        fs::hard_link(&file, folder.path().join("d/again")).unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("d/root")).unwrap();
        assert!(allocated_below(folder.path()) < one + 50_000);
        assert_eq!(allocated_below(&folder.path().join("absent")), 0);
    }
}
