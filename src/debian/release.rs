//! What a repository says of itself (Release files; <https://wiki.debian.org/DebianRepository/Format>).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::paragraph::{Paragraph, ParagraphError, paragraphs};
use crate::model::BlobDigest;

/// A Release file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `stable`, `bookworm-security`.
    pub suite: Option<String>,
    /// `trixie`.
    pub codename: Option<String>,
    /// When it was made.
    pub date: Timestamp,
    /// Until when it may be used.
    pub valid_until: Option<Timestamp>,
    /// Whether its files can be had by their digests, which no later Release takes away at once.
    pub by_hash: bool,
    /// Whether packages for all architectures stand in an index of their own, and in no other.
    pub separate_all: bool,
    /// Its files: digest and size in bytes, by their paths.
    pub files: BTreeMap<String, (BlobDigest, u64)>,
}

/// What is wrong with a Release file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// A line that is no field.
    #[error(transparent)]
    Paragraph(#[from] ParagraphError),
    /// Something else than one paragraph.
    #[error("it is no Release file")]
    Form,
    /// A field that is missing.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// A time that is none.
    #[error("its {field} `{text}` is no time")]
    Time {
        /// The field.
        field: &'static str,
        /// What stands there.
        text: String,
    },
    /// A line of the list of files.
    #[error("a line of its list of files cannot be read: `{0}`")]
    File(String),
}

impl Release {
    /// Reads the text of a Release file, whose signature was checked.
    pub fn parse(text: &str) -> Result<Self, ReleaseError> {
        let [paragraph] = &paragraphs(text)?[..] else { return Err(ReleaseError::Form) };
        let said = |name: &str| paragraph.get(name).map(str::to_owned);
        let mut files = BTreeMap::new();
        let list = paragraph.get("SHA256").ok_or(ReleaseError::Missing("list of SHA-256 digests"))?;
        for line in list.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let file = || {
                let mut words = line.split_whitespace();
                let digest = format!("sha256:{}", words.next()?).parse().ok()?;
                let size = words.next()?.parse().ok()?;
                let path = words.next()?;
                (words.next().is_none() && is_below(path)).then(|| (path.to_owned(), (digest, size)))
            };
            let (path, what) = file().ok_or_else(|| ReleaseError::File(line.to_owned()))?;
            files.insert(path, what);
        }
        Ok(Self {
            suite: said("Suite"),
            codename: said("Codename"),
            date: time(paragraph, "Date")?.ok_or(ReleaseError::Missing("Date"))?,
            valid_until: time(paragraph, "Valid-Until")?,
            by_hash: paragraph.get("Acquire-By-Hash").is_some_and(|text| text.eq_ignore_ascii_case("yes")),
            separate_all: paragraph
                .get("Architectures")
                .is_some_and(|list| list.split_whitespace().any(|word| word == "all"))
                && paragraph
                    .get("No-Support-for-Architecture-all")
                    .is_none_or(|list| !list.split_whitespace().any(|word| word == "Packages")),
            files,
        })
    }

    /// Whether it is of the suite that was asked for, by one of its names.
    pub fn is_of(&self, suite: &str) -> bool {
        [&self.codename, &self.suite].into_iter().flatten().any(|name| name == suite)
    }
}

/// `Sat, 11 Jul 2026 10:16:37 UTC`
fn time(paragraph: &Paragraph, field: &'static str) -> Result<Option<Timestamp>, ReleaseError> {
    let Some(text) = paragraph.get(field) else { return Ok(None) };
    let numeric = text.trim().replace(" UTC", " +0000").replace(" Z", " +0000");
    match jiff::fmt::rfc2822::parse(&numeric) {
        Ok(time) => Ok(Some(time.timestamp())),
        Err(_) => Err(ReleaseError::Time { field, text: text.to_owned() }),
    }
}

/// Whether a path stays below the folder that it is in.
pub fn is_below(path: &str) -> bool {
    let odd =
        |character: char| character.is_control() || character == '\\' || character == '?' || character == '#';
    !path.is_empty()
        && !path.contains(odd)
        && !path.split('/').any(|part| part.is_empty() || part == "." || part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Origin: Debian\nSuite: oldstable-security\nCodename: bookworm-security\n\
        Date: Fri, 20 Nov 2026 00:12:41 UTC\nValid-Until: Fri, 27 Nov 2026 00:12:41 UTC\nAcquire-By-Hash: yes\n\
        Architectures: amd64 arm64\nMD5Sum:\n 0 0 x\nSHA256:\n \
        4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a 12 main/binary-amd64/Packages.xz\n";

    #[test]
    fn what_it_says() {
        let release = Release::parse(TEXT).unwrap();
        assert!(release.is_of("bookworm-security") && release.is_of("oldstable-security"));
        assert!(!release.is_of("bookworm"));
        assert_eq!(release.date.to_string(), "2026-11-20T00:12:41Z");
        assert_eq!(release.valid_until.unwrap().to_string(), "2026-11-27T00:12:41Z");
        assert!(release.by_hash && !release.separate_all);
        assert_eq!(release.files["main/binary-amd64/Packages.xz"], (BlobDigest::of(&[1]), 12));
        let all = TEXT.replace("amd64 arm64", "all amd64 arm64");
        assert!(Release::parse(&all).unwrap().separate_all);
        let not = all.replace("SHA256:", "No-Support-for-Architecture-all: Packages\nSHA256:");
        assert!(!Release::parse(&not).unwrap().separate_all);
    }

    #[test]
    fn mistakes_are_told() {
        for (text, said) in [
            (String::new(), "it is no Release file"),
            (format!("{TEXT}\n{TEXT}"), "it is no Release file"),
            (TEXT.replace("SHA256", "SHA1"), "it has no list of SHA-256 digests"),
            (TEXT.replace("\nDate: ", "\nDay: "), "it has no Date"),
            (TEXT.replace("Fri, 20 Nov", "Someday"), "its Date `Someday 2026 00:12:41 UTC` is no time"),
            (
                TEXT.replace("main/", "../main/"),
                "a line of its list of files cannot be read: \
                 `4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a 12 ../main/binary-amd64/Packages.xz`",
            ),
            (TEXT.replace("Origin:", "Origin"), "line 1 is neither a field nor the continuation of one"),
        ] {
            assert_eq!(Release::parse(&text).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn paths_stay_below() {
        for (path, expected) in [
            ("main/binary-amd64/Packages.xz", true),
            ("pool/main/l/lib++/a_1%3a2+b~c.deb", true),
            ("/etc/passwd", false),
            ("a/../b", false),
            ("a//b", false),
            ("a?b", false),
            ("", false),
        ] {
            assert_eq!(is_below(path), expected, "{path}");
        }
    }
}
