use std::fmt;
use std::io::{self, BufRead, Read};
use std::ops::Range;

use super::relation::relations;
use crate::model::Digest;

/// Bytes of one line, and of one field. The longest of Debian's have some twenty thousand.
const LINE: u64 = 1 << 18;
/// Bytes that are kept of an index. Debian's largest come to 21 MB.
const TEXT: usize = 64 << 20;
/// Packages of an index. Debian's largest have some 69,000.
const PACKAGES: usize = 300_000;
/// Names that an index's packages provide. Debian's largest have some 100,000.
const PROVIDED: usize = 1_000_000;

/// The packages of one repository for one architecture: a `Packages` file, of which only those fields are kept that solving
/// and fetching need.
#[derive(Default)]
pub struct Index {
    /// The kept fields' values, one behind the other.
    text: String,
    packages: Vec<Row>,
    /// In the order of the names that are provided.
    provided: Vec<Provided>,
}

/// What is wrong with a `Packages` file.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It cannot be read to its end.
    #[error("the index cannot be read")]
    Read(#[source] io::Error),
    /// A line is no field, or no text.
    #[error("line {0} of the index is neither a field nor the continuation of one")]
    Line(u64),
    /// A line that no index has.
    #[error("line {0} of the index is longer than 256 KiB")]
    Long(u64),
    /// A package without something that it must have.
    #[error("the index has no usable {field} for the package that ends at line {line}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// The line behind the package, from 1.
        line: u64,
    },
    /// It is larger than any that is known.
    #[error("the index has more packages than imgpack reads")]
    Large,
}

/// A place in [`Index::text`], which is below 4 GiB.
#[derive(Debug, Clone, Copy, Default)]
struct Span(u32, u32);

#[derive(Debug, Clone, Default)]
struct Row {
    name: Span,
    version: Span,
    architecture: Span,
    pre_depends: Span,
    depends: Span,
    provides: Span,
    conflicts: Span,
    breaks: Span,
    path: Span,
    digest: Option<Digest>,
    size: Option<u64>,
    /// `required` is 1, `extra` 5, none 0, which is apt's order.
    priority: u8,
    essential: bool,
    /// `Multi-Arch: allowed`
    allowed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Provided {
    name: Span,
    /// Empty for none.
    version: Span,
    package: u32,
}

/// A package of an index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Package<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) architecture: &'a str,
    /// `Pre-Depends` and `Depends`
    pub(super) depends: [&'a str; 2],
    /// `Conflicts` and `Breaks`
    pub(super) conflicts: [&'a str; 2],
    #[cfg(test)]
    pub(super) provides: &'a str,
    pub(super) path: &'a str,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) priority: u8,
    pub(super) essential: bool,
    pub(super) allowed: bool,
}

impl Index {
    /// Reads a `Packages` file, not compressed.
    pub fn read(text: &mut dyn BufRead) -> Result<Self, IndexError> {
        Self::of_at_most(PACKAGES, text)
    }

    fn of_at_most(packages: usize, text: &mut dyn BufRead) -> Result<Self, IndexError> {
        let mut index = Self::default();
        let mut line = Vec::new();
        let mut row = Row::default();
        let (mut number, mut field) = (0, Field::None);
        loop {
            number += 1;
            line.clear();
            (&mut *text).take(LINE).read_until(b'\n', &mut line).map_err(IndexError::Read)?;
            let ended = line.is_empty();
            if !ended && !line.ends_with(b"\n") && line.len() as u64 == LINE {
                return Err(IndexError::Long(number));
            }
            let trimmed = line.trim_ascii_end();
            match trimmed.first() {
                None => {
                    if row.name.1 > row.name.0 {
                        index.finish(std::mem::take(&mut row), number)?;
                        if index.packages.len() > packages {
                            return Err(IndexError::Large);
                        }
                    }
                    field = Field::None;
                    if ended {
                        break;
                    }
                }
                Some(b' ' | b'\t') => {
                    if let Some(span) = field.of(&mut row) {
                        index.append(span, trimmed, number)?;
                    }
                }
                Some(b'#') => {}
                Some(_) => {
                    let colon =
                        trimmed.iter().position(|byte| *byte == b':').ok_or(IndexError::Line(number))?;
                    let value = trimmed[colon + 1..].trim_ascii_start();
                    field = Field::named(&trimmed[..colon]);
                    match field {
                        Field::None => {}
                        Field::Size => {
                            let size = std::str::from_utf8(value).ok();
                            row.size = size.and_then(|size| size.parse().ok());
                        }
                        Field::Digest => {
                            let hex = std::str::from_utf8(value).ok();
                            row.digest = hex.and_then(|hex| Digest::from_hex(hex).ok());
                        }
                        Field::Priority => {
                            let known: [&[u8]; 5] =
                                [b"required", b"important", b"standard", b"optional", b"extra"];
                            row.priority = known
                                .iter()
                                .zip(1..)
                                .find(|(known, _)| **known == value)
                                .map_or(5, |(_, rank)| rank);
                        }
                        Field::Essential => row.essential = value == b"yes",
                        Field::MultiArch => row.allowed = value == b"allowed",
                        _ => {
                            let start = index.end()?;
                            if let Some(span) = field.of(&mut row) {
                                *span = Span(start, start);
                                index.append(span, value, number)?;
                            }
                        }
                    }
                }
            }
        }
        index.text.shrink_to_fit();
        index.packages.shrink_to_fit();
        let Self { text, packages, provided } = &mut index;
        packages.sort_by(|a, b| a.name.of(text).cmp(b.name.of(text)));
        for (number, row) in (0..).zip(packages.iter()) {
            // A list that is none provides nothing.
            for relation in relations(row.provides.of(text), "").into_iter().flatten().flatten() {
                let version =
                    relation.version.map_or(Span::default(), |(_, version)| Span::within(text, version));
                provided.push(Provided { name: Span::within(text, relation.name), version, package: number });
            }
            if provided.len() > PROVIDED {
                return Err(IndexError::Large);
            }
        }
        provided.sort_by(|a, b| a.name.of(text).cmp(b.name.of(text)));
        provided.shrink_to_fit();
        Ok(index)
    }

    fn end(&self) -> Result<u32, IndexError> {
        if self.text.len() > TEXT {
            return Err(IndexError::Large);
        }
        u32::try_from(self.text.len()).map_err(|_| IndexError::Large)
    }

    /// Adds to the field that was begun last.
    fn append(&mut self, span: &mut Span, value: &[u8], line: u64) -> Result<(), IndexError> {
        self.text.push_str(std::str::from_utf8(value).map_err(|_| IndexError::Line(line))?);
        span.1 = self.end()?;
        if u64::from(span.1 - span.0) > LINE {
            return Err(IndexError::Long(line));
        }
        Ok(())
    }

    fn finish(&mut self, row: Row, line: u64) -> Result<(), IndexError> {
        let word = |span: Span| {
            let text = span.of(&self.text);
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let path = row.path.of(&self.text);
        let inside = word(row.path) && !path.starts_with('/') && !path.split('/').any(|part| part == "..");
        for (usable, field) in [
            (word(row.name), "Package"),
            (word(row.version), "Version"),
            (word(row.architecture), "Architecture"),
            (inside, "Filename"),
            (row.size.is_some(), "Size"),
            (row.digest.is_some(), "SHA256"),
        ] {
            if !usable {
                return Err(IndexError::Field { field, line });
            }
        }
        self.packages.push(row);
        Ok(())
    }

    /// How many packages it has.
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    /// The names of its packages, in their order; one that is there in several versions comes several times.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().map(|row| row.name.of(&self.text))
    }

    /// The numbers of the packages of this name.
    pub(super) fn named(&self, name: &str) -> Range<usize> {
        let first = self.packages.partition_point(|row| row.name.of(&self.text) < name);
        let count = self.packages[first..].partition_point(|row| row.name.of(&self.text) == name);
        first..first + count
    }

    /// Who provides a name: the numbers of the packages, and the version that they say of it.
    pub(super) fn provided(&self, name: &str) -> impl Iterator<Item = (usize, Option<&str>)> {
        let first = self.provided.partition_point(|row| row.name.of(&self.text) < name);
        let count = self.provided[first..].partition_point(|row| row.name.of(&self.text) == name);
        self.provided[first..first + count].iter().map(|row| {
            let version = row.version.of(&self.text);
            (row.package as usize, (!version.is_empty()).then_some(version))
        })
    }

    pub(super) fn package(&self, number: usize) -> Package<'_> {
        let row = &self.packages[number];
        let text = |span: Span| span.of(&self.text);
        Package {
            name: text(row.name),
            version: text(row.version),
            architecture: text(row.architecture),
            depends: [text(row.pre_depends), text(row.depends)],
            conflicts: [text(row.conflicts), text(row.breaks)],
            #[cfg(test)]
            provides: text(row.provides),
            path: text(row.path),
            digest: row.digest.unwrap_or(Digest::from_bytes([0; 32])),
            size: row.size.unwrap_or(0),
            priority: row.priority,
            essential: row.essential,
            allowed: row.allowed,
        }
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Index({} packages)", self.len())
    }
}

impl Span {
    fn of(self, text: &str) -> &str {
        text.get(self.0 as usize..self.1 as usize).unwrap_or_default()
    }

    /// The place of a part of `text`, which is below 4 GiB.
    fn within(text: &str, part: &str) -> Self {
        let start = part.as_ptr() as usize - text.as_ptr() as usize;
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self(place(start), place(start + part.len()))
    }
}

/// A field that is kept.
#[derive(Clone, Copy)]
enum Field {
    None,
    Name,
    Version,
    Architecture,
    PreDepends,
    Depends,
    Provides,
    Conflicts,
    Breaks,
    Path,
    Digest,
    Size,
    Priority,
    Essential,
    MultiArch,
}

impl Field {
    fn named(name: &[u8]) -> Self {
        let known: [(&[u8], Self); 14] = [
            (b"Package", Self::Name),
            (b"Version", Self::Version),
            (b"Architecture", Self::Architecture),
            (b"Pre-Depends", Self::PreDepends),
            (b"Depends", Self::Depends),
            (b"Provides", Self::Provides),
            (b"Conflicts", Self::Conflicts),
            (b"Breaks", Self::Breaks),
            (b"Filename", Self::Path),
            (b"SHA256", Self::Digest),
            (b"Size", Self::Size),
            (b"Priority", Self::Priority),
            (b"Essential", Self::Essential),
            (b"Multi-Arch", Self::MultiArch),
        ];
        known
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or(Self::None, |(_, field)| *field)
    }

    /// Where its text is, for those that are kept as texts.
    fn of(self, row: &mut Row) -> Option<&mut Span> {
        match self {
            Self::Name => Some(&mut row.name),
            Self::Version => Some(&mut row.version),
            Self::Architecture => Some(&mut row.architecture),
            Self::PreDepends => Some(&mut row.pre_depends),
            Self::Depends => Some(&mut row.depends),
            Self::Provides => Some(&mut row.provides),
            Self::Conflicts => Some(&mut row.conflicts),
            Self::Breaks => Some(&mut row.breaks),
            Self::Path => Some(&mut row.path),
            Self::None | Self::Digest | Self::Size | Self::Priority | Self::Essential | Self::MultiArch => {
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGE: &str = "Package: a\nVersion: 1\nArchitecture: all\nFilename: pool/a.deb\nSize: 7\nSHA256: \
        0000000000000000000000000000000000000000000000000000000000000001\n";

    fn read(text: &str) -> Result<Index, String> {
        Index::read(&mut text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_fields_of_packages() {
        let text = format!(
            "\n\n# said\nPackage: b\nPriority: important\nEssential: yes\nMulti-Arch: allowed\nDepends: x,\n y (>= 1)\n\
             Description: long\n and longer\nversion:2\nPre-Depends:  p \nConflicts: c\nBreaks: d\nProvides: v (= 3), w\n\
             Architecture: amd64\nFilename: pool/b.deb\nSize: 8\nSHA256: {}\n   \n\n{PACKAGE}",
            "f".repeat(64)
        );
        let index = read(&text).unwrap();
        assert_eq!(index.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(
            (index.len(), index.is_empty(), format!("{index:?}")),
            (2, false, "Index(2 packages)".to_owned())
        );
        assert_eq!((index.named("a"), index.named("b"), index.named("c")), (0..1, 1..2, 2..2));
        assert_eq!(index.provided("v").collect::<Vec<_>>(), [(1, Some("3"))]);
        assert_eq!(index.provided("w").collect::<Vec<_>>(), [(1, None)]);
        let package = index.package(1);
        assert_eq!((package.name, package.version, package.architecture), ("b", "2", "amd64"));
        assert_eq!((package.depends, package.conflicts), (["p", "x, y (>= 1)"], ["c", "d"]));
        assert_eq!((package.path, package.size, package.digest.hex()), ("pool/b.deb", 8, "f".repeat(64)));
        assert_eq!((package.priority, package.essential, package.allowed), (2, true, true));
        let package = index.package(0);
        assert_eq!(
            (package.priority, package.essential, package.allowed, package.depends),
            (0, false, false, [""; 2])
        );
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_index() {
        let without = |field: &str| {
            PACKAGE.lines().filter(|line| !line.starts_with(field)).collect::<Vec<_>>().join("\n")
        };
        let field = |field| format!("the index has no usable {field} for the package that ends at line 6");
        for name in ["Version", "Architecture", "Filename", "Size", "SHA256"] {
            assert_eq!(read(&without(name)).unwrap_err(), field(name));
        }
        for (was, is, name) in [
            ("pool/", "/pool/", "Filename"),
            ("pool/", "pool/../../", "Filename"),
            (": 7", ": -7", "Size"),
            (": 7", ": 99999999999999999999", "Size"),
            ("0001\n", "001\n", "SHA256"),
            ("Version: 1", "Version: 1 2", "Version"),
            ("Package: a", "Package: a\u{7}", "Package"),
        ] {
            let said = read(&PACKAGE.replace(was, is)).unwrap_err();
            assert_eq!(said, format!("the index has no usable {name} for the package that ends at line 7"));
        }
        assert_eq!(
            read("Package: a\n<html>\n").unwrap_err(),
            "line 2 of the index is neither a field nor the continuation of one"
        );
        let no_text = Index::read(&mut &b"Package: \xff\n"[..]).unwrap_err();
        assert_eq!(no_text.to_string(), "line 1 of the index is neither a field nor the continuation of one");
        let long = "line 2 of the index is longer than 256 KiB";
        assert_eq!(read(&format!("Package: a\nDescription: {}\n", "x".repeat(1 << 18))).unwrap_err(), long);
        let folded = format!("Package: a\nDepends: {}\n", "x,\n ".repeat(1 << 17));
        assert!(read(&folded).unwrap_err().ends_with("is longer than 256 KiB"));
        let endless = &mut io::BufReader::new(io::repeat(b'x'));
        assert_eq!(
            Index::read(endless).unwrap_err().to_string(),
            "line 1 of the index is longer than 256 KiB"
        );
        let broken = &mut io::BufReader::new(PACKAGE.as_bytes().chain(Broken));
        assert_eq!(Index::read(broken).unwrap_err().to_string(), "the index cannot be read");
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }

    #[test]
    fn an_index_without_end_is_refused() {
        let text = format!("{PACKAGE}\n").repeat(3);
        assert_eq!(Index::of_at_most(3, &mut text.as_bytes()).unwrap().len(), 3);
        let error = Index::of_at_most(2, &mut text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "the index has more packages than imgpack reads");
        let provides = |_| format!("{PACKAGE}Provides: {}\n\n", "v,".repeat(100_000));
        assert_eq!(
            read(&(0..11).map(provides).collect::<String>()).unwrap_err(),
            "the index has more packages than imgpack reads"
        );
    }
}
