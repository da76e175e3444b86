//! The text of `imgpack.lock`: what builds use beside the sources, by names that say what is asked for.
//!
//! ```text
//! # Written by `imgpack lock`; commit it.
//! version 1
//! builtin static version 1
//! image docker.io/library/alpine:3.20 digest sha256:0a4eaa0eecf5f8c050e5bba433f58c052be7587ee8af3e8b3910ef9ab5fbe9f5
//! toolchain go version 1.24.4
//! ```
//! One fact a line, `KIND NAME FIELD VALUE`, sorted; the value is the rest of the line. A line stands for itself, so
//! that lines of two branches merge without a thought. A new kind of row is a new version of the file.

mod change;
mod error;

use std::collections::BTreeMap;
use std::fmt;

pub use change::{Change, differences, short};
pub use error::LockError;

use crate::model::BlobDigest;

/// The file's name, at the root of the workspace.
pub const LOCK_FILE: &str = "imgpack.lock";

/// The newest version that is understood, and the one that is written.
pub const VERSION: u32 = 1;

/// The field of what an image or file is.
pub const DIGEST: &str = "digest";

/// The beginning of a field for the facts of a base: `facts2/linux/amd64`. The number is that of their meaning: what an
/// older imgpack read of a base says nothing of what this one reads.
pub const FACTS: &str = "facts2/";

/// Fields of an older meaning, which are passed over.
const OLD_FACTS: &str = "facts/";

/// The field of the packages of an installation: `name=version`, with blanks between them.
pub const INSTALL: &str = "install";

/// The beginning of a field for the date of a repository: `release/bookworm-security`.
pub const RELEASE: &str = "release/";

/// The field of what a data set or toolchain is.
pub const VERSION_FIELD: &str = "version";

const HEAD: &str = "# Written by `imgpack lock`; commit it.";

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A data set that imgpack carries; the field `version`.
    BuiltIn,
    /// A file of the network, by its address; the field `digest`.
    File,
    /// An image of a registry, by the reference that the spec says: the field `digest` of its index or manifest, and
    /// where it is a base `facts2/PLATFORM`.
    Image,
    /// A package of a distribution, `debian/bookworm/amd64/libssl3=3.0.17-1~deb12u2`: `digest` and `size` of its file, and
    /// where that is.
    Package,
    /// Packages that an image gets, `debian/bookworm/amd64/1a2b3c4d5e6f` by what was asked for: [`INSTALL`], `request`, and
    /// the dates of the repositories.
    Packages,
    /// The tools of a builder.
    Toolchain,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::BuiltIn, Self::File, Self::Image, Self::Package, Self::Packages, Self::Toolchain];

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether its rows say digests.
    fn has_digests(self) -> bool {
        matches!(self, Self::File | Self::Image | Self::Package)
    }

    /// The word that its rows begin with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "builtin",
            Self::File => "file",
            Self::Image => "image",
            Self::Package => "package",
            Self::Packages => "packages",
            Self::Toolchain => "toolchain",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The facts of one thing, `field → value`.
pub type Row = BTreeMap<String, String>;

/// Everything that is pinned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    rows: BTreeMap<(Kind, String), Row>,
}

impl Lock {
    /// Reads a lock file.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let mut lock = Self::default();
        let mut said: BTreeMap<(Kind, &str, &str), usize> = BTreeMap::new();
        let mut begun = false;
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if ["<<<<<<<", "|||||||", "=======", ">>>>>>>"].iter().any(|mark| line.starts_with(mark)) {
                return Err(LockError::Unmerged { line: number });
            }
            if !begun {
                version(line, number)?;
                begun = true;
                continue;
            }
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let kind = Kind::of(word).ok_or_else(|| LockError::Kind {
                line: number,
                word: word.to_owned(),
                version: VERSION,
            })?;
            let mut words = rest.splitn(3, ' ');
            let (Some(name), Some(field), Some(value)) = (words.next(), words.next(), words.next()) else {
                return Err(LockError::Row { line: number, kind });
            };
            let value = value.trim();
            if name.is_empty() || field.is_empty() || value.is_empty() {
                return Err(LockError::Row { line: number, kind });
            }
            if kind == Kind::Image && field.starts_with(OLD_FACTS) {
                continue;
            }
            let is_digest = kind.has_digests() && (field == DIGEST || field.starts_with(FACTS));
            if is_digest && value.parse::<BlobDigest>().is_err() {
                return Err(LockError::Digest { line: number, what: format!("{kind} {name} {field}") });
            }
            let first = *said.entry((kind, name, field)).or_insert(number);
            let row = lock.rows.entry((kind, name.to_owned())).or_default();
            let known = row.entry(field.to_owned()).or_insert_with(|| value.to_owned());
            // The same line twice is what a merge makes of two branches that added it.
            if known != value {
                return Err(LockError::Twice { line: number, first, what: format!("{kind} {name} {field}") });
            }
        }
        if begun { Ok(lock) } else { Err(LockError::Version { line: 1 }) }
    }

    /// The row of a name.
    pub fn row(&self, kind: Kind, name: &str) -> Option<&Row> {
        self.rows.get(&(kind, name.to_owned()))
    }

    /// All rows, in their order in the file.
    pub fn rows(&self) -> impl Iterator<Item = (Kind, &str, &Row)> {
        self.rows.iter().map(|((kind, name), row)| (*kind, name.as_str(), row))
    }

    /// Pins facts under a name, in place of those that are there; what that changed.
    ///
    /// Names and fields are words without blanks, values single lines that are not empty.
    pub fn pin(&mut self, kind: Kind, name: &str, row: Row) -> Option<Change> {
        let before = self.rows.insert((kind, name.to_owned()), row.clone());
        (before.as_ref() != Some(&row)).then(|| Change::new(kind, name, before, Some(row)))
    }

    /// Adds what is not there: a row, or further fields of one that contradicts none of them. `None` also where the row
    /// says otherwise, and stays.
    pub fn add(&mut self, kind: Kind, name: &str, row: Row) -> Option<Change> {
        let mut whole = row;
        if let Some(known) = self.row(kind, name) {
            if known.iter().any(|(field, value)| whole.get(field).is_some_and(|other| other != value)) {
                return None;
            }
            whole.extend(known.clone());
        }
        self.pin(kind, name, whole)
    }

    /// Takes a row out; what that changed.
    pub fn drop_row(&mut self, kind: Kind, name: &str) -> Option<Change> {
        let before = self.rows.remove(&(kind, name.to_owned()))?;
        Some(Change::new(kind, name, Some(before), None))
    }
}

/// The first line that says something.
fn version(line: &str, number: usize) -> Result<(), LockError> {
    let said = line.strip_prefix("version ").and_then(|text| text.trim().parse::<u32>().ok());
    match said {
        Some(said) if said > VERSION => Err(LockError::Newer { line: number, said, known: VERSION }),
        Some(1..) => Ok(()),
        _ => Err(LockError::Version { line: number }),
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}\nversion {VERSION}")?;
        for ((kind, name), row) in &self.rows {
            for (field, value) in row {
                writeln!(f, "{kind} {name} {field} {value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(facts: &[(&str, &str)]) -> Row {
        facts.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let mut lock = Lock::default();
        assert_eq!(lock.to_string(), "# Written by `imgpack lock`; commit it.\nversion 1\n");
        assert_eq!(Lock::parse(&lock.to_string()).unwrap(), lock);
        let rust = row(&[("version", "1.95.0"), ("cargo", "cargo 1.95.0 (abc 2026-01-01)")]);
        let added = lock.pin(Kind::Toolchain, "rust/default", rust.clone()).unwrap();
        assert_eq!(added.to_string(), "toolchain rust/default: version 1.95.0");
        lock.pin(Kind::Toolchain, "go", row(&[("version", "1.24.4")])).unwrap();
        assert_eq!(lock.pin(Kind::Toolchain, "go", row(&[("version", "1.24.4")])), None);
        let text = "# Written by `imgpack lock`; commit it.\nversion 1\ntoolchain go version 1.24.4\n\
            toolchain rust/default cargo cargo 1.95.0 (abc 2026-01-01)\ntoolchain rust/default version 1.95.0\n";
        assert_eq!(lock.to_string(), text);
        assert_eq!(Lock::parse(text).unwrap(), lock);
        assert_eq!(lock.row(Kind::Toolchain, "rust/default"), Some(&rust));
        let changed = lock.pin(Kind::Toolchain, "go", row(&[("abi", "x"), ("version", "1.25.0")])).unwrap();
        assert_eq!(changed.to_string(), "toolchain go: version 1.24.4 → 1.25.0, abi none → x");
    }

    #[test]
    fn what_is_added_never_changes_what_is_there() {
        let digest = |n: u8| BlobDigest::of(&[n]).to_string();
        let mut lock = Lock::default();
        let mut add = |facts: &[(&str, &str)]| {
            lock.add(Kind::Image, "x:1", row(facts)).map(|change| change.to_string())
        };
        let (one, two) = (digest(1), digest(2));
        assert_eq!(add(&[(DIGEST, &one)]).unwrap(), "image x:1: sha256:4bf5122f3445…");
        assert_eq!(add(&[(DIGEST, &one)]), None);
        let facts = [(DIGEST, &*one), ("facts2/linux/amd64", &*two)];
        assert_eq!(add(&facts).unwrap(), "image x:1: facts2/linux/amd64 added");
        assert_eq!(add(&[(DIGEST, &two)]), None, "another digest");
        assert_eq!(add(&[(DIGEST, &two), ("facts2/linux/arm64", &one)]), None, "facts of another image");
        assert_eq!(lock.row(Kind::Image, "x:1"), Some(&row(&facts)));
        let changed = lock.pin(Kind::Image, "x:1", row(&[(DIGEST, &two)])).unwrap();
        assert_eq!(changed.to_string(), "image x:1: sha256:4bf5122f3445… → sha256:dbc1b4c900ff…");
        let dropped = lock.drop_row(Kind::Image, "x:1").unwrap();
        assert_eq!(dropped.to_string(), "image x:1: dropped, nothing asks for it");
        assert_eq!(lock.drop_row(Kind::Image, "x:1"), None);
        assert_eq!(lock, Lock::default());
    }

    #[test]
    fn facts_of_an_older_meaning_are_passed_over() {
        let digest = BlobDigest::of(b"x");
        let (new, old) =
            (format!("image x:1 facts2/linux/amd64 {digest}\n"), "image x:1 facts/linux/amd64 y\n");
        let lock = Lock::parse(&format!("version 1\nimage x:1 digest {digest}\n{old}{new}")).unwrap();
        let text = format!("{HEAD}\nversion 1\nimage x:1 digest {digest}\n{new}");
        assert_eq!(lock.to_string(), text);
    }

    #[test]
    fn packages_are_told_by_what_became_of_them() {
        let mut lock = Lock::default();
        let install =
            |text: &str| row(&[("install", text), ("request", "curl libpq5"), ("release/bookworm", "1")]);
        let mut pin = |row| lock.pin(Kind::Packages, "debian/bookworm/amd64/1a2b", row).unwrap().to_string();
        let name = "packages debian/bookworm/amd64/1a2b";
        assert_eq!(pin(install("a=1 b=2 c=3")), format!("{name}: 3 packages for curl libpq5"));
        assert_eq!(pin(install("d=1 b=2.1 a=1")), format!("{name}: b 2 → 2.1, c dropped, d added"));
        let mut later = install("d=1 b=2.1 a=1");
        later.insert("release/bookworm".to_owned(), "2".to_owned());
        assert_eq!(pin(later), format!("{name}: the same packages, of newer repositories"));
        let many: Vec<String> = (0..12).map(|n| format!("p{n:02}=1")).collect();
        assert!(pin(install(&many.join(" "))).ends_with("p04 added, 7 more"));
    }

    #[test]
    fn order_blanks_comments_and_repeated_lines_mean_nothing() {
        let text =
            "\r\n# mine\nversion 1\n\n toolchain b v  2 3 \r\ntoolchain a v 1\n# end\ntoolchain b v 2 3\n";
        let lock = Lock::parse(text).unwrap();
        assert_eq!(lock.row(Kind::Toolchain, "b"), Some(&row(&[("v", "2 3")])));
        assert_eq!(
            lock.to_string().lines().skip(2).collect::<Vec<_>>(),
            ["toolchain a v 1", "toolchain b v 2 3"]
        );
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, said) in [
            ("", "imgpack.lock:1: does not begin with `version 1`"),
            ("# c\nversion one\n", "imgpack.lock:2: does not begin with `version 1`"),
            ("version 0", "imgpack.lock:1: does not begin with `version 1`"),
            ("toolchain go version 1", "imgpack.lock:1: does not begin with `version 1`"),
            (
                "version 2\nbase x",
                "imgpack.lock:1: version 2 is newer than the newest known to this imgpack, 1",
            ),
            ("version 1\nbase x y z", "imgpack.lock:2: `base` is no kind of row of version 1"),
            ("version 1\ntoolchain go version", "imgpack.lock:2: not a row: `toolchain NAME FIELD VALUE`"),
            ("version 1\ntoolchain  version 1", "imgpack.lock:2: not a row: `toolchain NAME FIELD VALUE`"),
            (
                "version 1\nimage x:1 digest sha256:00",
                "imgpack.lock:2: the value of `image x:1 digest` is not a digest, `sha256:` and 64 hex digits",
            ),
            (
                "version 1\nimage x:1 facts2/linux/amd64 1",
                "imgpack.lock:2: the value of `image x:1 facts2/linux/amd64` is not a digest, `sha256:` and 64 hex digits",
            ),
            ("version 1\ntoolchain", "imgpack.lock:2: not a row: `toolchain NAME FIELD VALUE`"),
            ("version 1\n<<<<<<< HEAD\n", "imgpack.lock:2: a merge was not finished here"),
            (
                "version 1\ntoolchain go version 1\n\ntoolchain go version 2",
                "imgpack.lock:4: another value for `toolchain go version` than in line 2",
            ),
        ] {
            let error = Lock::parse(text).unwrap_err();
            assert_eq!(error.to_string(), said, "{text}");
            assert!(!error.hint().is_empty());
        }
    }
}
