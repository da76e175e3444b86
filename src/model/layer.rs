use std::fmt;
use std::ops::RangeInclusive;

use super::descriptor::{Descriptor, MediaType};
use super::digest::DiffId;

/// How a layer's tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// Gzip at one of [`Self::GZIP_LEVELS`].
    Gzip(u8),
    /// Zstandard at one of [`Self::ZSTD_LEVELS`].
    Zstd(u8),
}

impl Default for Compression {
    fn default() -> Self {
        Self::GZIP
    }
}

impl Compression {
    /// Gzip where no level is said.
    pub const GZIP: Self = Self::Gzip(6);
    /// Zstandard where no level is said.
    pub const ZSTD: Self = Self::Zstd(3);
    /// Levels of gzip: those of libdeflate that compress.
    pub const GZIP_LEVELS: RangeInclusive<u8> = 1..=12;
    /// Levels of Zstandard: those that need no more memory than imgpack promises.
    pub const ZSTD_LEVELS: RangeInclusive<u8> = 1..=19;

    /// The compressor and its exact version, as it stands in Cargo.lock: another version makes other bytes, which is
    /// another format (docs/format.md).
    pub fn compressor(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip(_) => "libdeflate-sys 1.26.1",
            Self::Zstd(_) => "zstd-sys 2.1.2+zstd.1.5.7",
        }
    }

    /// The media type of a layer compressed so.
    pub fn media_type(self) -> MediaType {
        match self {
            Self::None => MediaType::OciLayerTar,
            Self::Gzip(_) => MediaType::OciLayerGzip,
            Self::Zstd(_) => MediaType::OciLayerZstd,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Gzip(level) => write!(f, "gzip {level}"),
            Self::Zstd(level) => write!(f, "zstd {level}"),
        }
    }
}

/// A layer whose bytes exist: nothing about it is still to be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Layer {
    /// The blob as stored and sent.
    pub descriptor: Descriptor,
    /// Digest of its tar.
    #[serde(rename = "diffID")]
    pub diff_id: DiffId,
    /// Sum of the sizes of its files in bytes (unpacked, before any other layer).
    pub unpacked: u64,
    /// Number of its entries.
    pub entries: u64,
}
