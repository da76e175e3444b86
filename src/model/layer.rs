use super::descriptor::{Descriptor, MediaType};
use super::digest::DiffId;

/// How a layer's tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// Gzip at a level from 1 to 9.
    Gzip(u8),
}

impl Default for Compression {
    fn default() -> Self {
        Self::Gzip(6)
    }
}

impl Compression {
    /// The media type of a layer compressed so.
    pub fn media_type(self) -> MediaType {
        match self {
            Self::None => MediaType::OciLayerTar,
            Self::Gzip(_) => MediaType::OciLayerGzip,
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
