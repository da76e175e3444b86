//! How a file looked, and when an answer about its content can be believed without reading it again.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// A point of time: seconds since 1970, perhaps negative, and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

impl Moment {
    /// What the clock of this machine says.
    pub fn now() -> Self {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or_else(
            // A clock before 1970 is wrong; at the epoch nothing is believed.
            |_| Self::default(),
            |since| Self {
                seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: since.subsec_nanos(),
            },
        )
    }

    /// `None` past the end of numbers.
    fn later(self, seconds: i64, nanoseconds: u32) -> Option<Self> {
        let sum = self.nanoseconds.checked_add(nanoseconds)?;
        let seconds = self.seconds.checked_add(seconds)?.checked_add(i64::from(sum / 1_000_000_000))?;
        Some(Self { seconds, nanoseconds: sum % 1_000_000_000 })
    }
}

/// Everything that changes when a file is replaced, and nearly always when it is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileStat {
    /// The device it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// When its content was last changed, or is said to have been.
    pub modified: Moment,
    /// When anything of it was last changed; programs cannot set it.
    pub changed: Moment,
    /// Kind and permission bits.
    pub mode: u32,
}

/// A file written again within the grain of its times looks the same. The coarsest times in use are those of FAT (two
/// seconds); the kernel takes times from a clock that stands still for up to 10 ms.
const MARGIN: (i64, u32) = (2, 100_000_000);

impl FileStat {
    /// What `metadata` says.
    pub fn of(metadata: &Metadata) -> Self {
        let moment = |seconds, nanoseconds: i64| Moment {
            seconds,
            nanoseconds: u32::try_from(nanoseconds).unwrap_or_default(),
        };
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: moment(metadata.mtime(), metadata.mtime_nsec()),
            changed: moment(metadata.ctime(), metadata.ctime_nsec()),
            mode: metadata.mode(),
        }
    }

    /// Whether its owner may execute it.
    pub fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    /// Whether the content that a file of this look had at `read` is the one that it has `now`, where it looks the same:
    /// it was clearly at rest when it was read, and no clock has gone back behind that reading.
    ///
    /// A file at rest whose look is the same was not written since: a write would have given it a later `changed`. That
    /// is not known of a file changed shortly before it was read (a second write may show the same time), of one whose
    /// times lie in the future (they say nothing), and of any once the clock was set back (a write may show an old time).
    pub fn is_believed(&self, read: Moment, now: Moment) -> bool {
        let last = self.modified.max(self.changed);
        last.later(MARGIN.0, MARGIN.1).is_some_and(|settled| settled < read) && read <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tenths: i64) -> Moment {
        Moment {
            seconds: tenths.div_euclid(10),
            nanoseconds: u32::try_from(tenths.rem_euclid(10)).unwrap() * 100_000_000,
        }
    }

    /// Times in tenths of a second.
    #[test]
    fn only_what_was_at_rest_is_believed() {
        for (modified, changed, read, now, believed, why) in [
            (0, 0, 100, 100, true, "long at rest"),
            (0, 0, 100, 900, true, "and so it stays"),
            (80, 80, 100, 100, false, "changed two seconds before: FAT shows the same time again"),
            (79, 79, 100, 100, false, "within the grain of the kernel's clock"),
            (78, 78, 100, 100, true, "just outside of it"),
            (0, 99, 100, 100, false, "an old time was given to it just now"),
            (99, 0, 100, 100, false, "changed just now, by a file system that does not keep `changed`"),
            (100, 100, 100, 100, false, "changed while it was read"),
            (100, 100, 100, 900, false, "which does not heal with time"),
            (500, 0, 100, 100, false, "modified in the future"),
            (0, 500, 100, 900, false, "changed in the future of the reading"),
            (0, 0, 100, 99, false, "the clock was set back behind the reading"),
            (-500, -500, 100, 100, true, "before 1970"),
        ] {
            let stat = FileStat { modified: at(modified), changed: at(changed), ..FileStat::default() };
            assert_eq!(stat.is_believed(at(read), at(now)), believed, "{why}");
        }
    }

    #[test]
    fn times_at_the_end_of_numbers_are_no_danger() {
        let end = Moment { seconds: i64::MAX, nanoseconds: 999_999_999 };
        let stat = FileStat { modified: end, changed: end, ..FileStat::default() };
        assert!(!stat.is_believed(end, end));
        assert_eq!(at(-1), Moment { seconds: -1, nanoseconds: 900_000_000 });
        assert_eq!(at(-1).later(2, 100_000_000), Some(at(20)));
    }

    #[test]
    fn a_file_is_described() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "four").unwrap();
        let before = FileStat::of(&path.metadata().unwrap());
        assert_eq!((before.size, before.is_executable()), (4, false));
        assert!(before.modified <= Moment::now());
        std::fs::write(folder.path().join("y"), "four").unwrap();
        std::fs::rename(folder.path().join("y"), &path).unwrap();
        assert_ne!(FileStat::of(&path.metadata().unwrap()), before, "replaced by another file");
    }
}
