use std::fmt;
use std::io::{self, Read};

use super::digest::{BlobDigest, ContentDigest};
use super::elf::Elf;
use super::entry::Owner;
use super::image_path::ImagePath;

/// One package of a distribution, as it is pinned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct PinnedPackage {
    /// Its name: `libssl3`.
    pub name: String,
    /// Its whole version: `3.0.17-1~deb12u2`, `1.2.5-r0`.
    pub version: String,
    /// The distribution's word for the architecture that the file is for: `amd64`, `all`, `x86_64`, `noarch`.
    pub architecture: String,
    /// Digest of the package's file (.deb, .apk).
    pub digest: BlobDigest,
    /// Length of the file in bytes.
    pub size: u64,
}

/// What a package puts at a path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageFileKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Digest of its content.
        digest: ContentDigest,
        /// Its length in bytes.
        size: u64,
        /// Where it begins in the package's archive of contents (see [`Contents`]).
        offset: u64,
    },
    /// A symbolic link; the target as written.
    Symlink {
        /// The link's text.
        target: String,
    },
    /// Another name of a file of the same package.
    Hardlink {
        /// The file.
        target: ImagePath,
    },
}

/// One path of a package, as its archive has it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PackageFile {
    /// Its place.
    pub path: ImagePath,
    /// What it is.
    pub kind: PackageFileKind,
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// Numeric owner.
    pub owner: Owner,
    /// What it is as an ELF file, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elf: Option<Elf>,
}

/// The contents of an archive's files one behind the other, which come to be when the first of them is wanted.
pub trait Contents: fmt::Debug + Send + Sync {
    /// The `length` bytes from `offset`.
    fn open(&self, offset: u64, length: u64) -> io::Result<Box<dyn Read + Send>>;
}
