//! One group of a tar into one gzip member or one zstd frame (docs/format.md, "Compression").

use std::io;

use libdeflater::{CompressionLvl, Compressor, Crc};
use zstd::zstd_safe::CParameter;

use crate::model::Compression;

/// The last bytes of a gzip member: CRC-32 and length of its content (RFC 1952, 2.3.1).
const TRAILER: usize = 8;

/// How the groups of a layer are compressed. A group's bytes follow from its content alone: nothing is kept from one
/// group to the next, the compressor's tables neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing(Compression);

impl Framing {
    /// The framing of a compression.
    pub fn new(compression: Compression) -> Self {
        Self(compression)
    }

    /// Whether groups become smaller at all, so that copying one saves work.
    pub fn is_compressed(self) -> bool {
        self.0 != Compression::None
    }

    /// Compressor, version, level and framing in one text.
    pub fn name(self) -> String {
        format!("{}, {}, a stream per group", self.0, self.0.compressor())
    }

    /// Most that [`Self::compress`] gives for `length` bytes, in bytes.
    pub fn bound(self, length: usize) -> usize {
        match self.0 {
            Compression::None => length,
            // The header, the trailer, and 5 bytes for each stored block of at least 5,000 bytes (libdeflate.h).
            Compression::Gzip(_) => length + 5 * (length / 5000 + 1) + 32,
            Compression::Zstd(_) => zstd::zstd_safe::compress_bound(length),
        }
    }

    /// About the most memory that one call of [`Self::compress`] needs beside its input and output, in bytes.
    pub fn memory(self) -> usize {
        match self.0 {
            Compression::None => 0,
            Compression::Gzip(..=9) => 1 << 20,
            Compression::Gzip(_) => 10 << 20,
            Compression::Zstd(..=12) => 12 << 20,
            Compression::Zstd(_) => 40 << 20,
        }
    }

    /// The group compressed.
    pub fn compress(self, plain: &[u8]) -> io::Result<Vec<u8>> {
        match self.0 {
            Compression::None => Ok(plain.to_vec()),
            Compression::Gzip(level) => {
                let level = CompressionLvl::new(i32::from(level)).map_err(|_| {
                    io::Error::new(io::ErrorKind::InvalidInput, format!("gzip has no level {level}"))
                })?;
                let mut compressor = Compressor::new(level);
                let mut bytes = vec![0; compressor.gzip_compress_bound(plain.len())];
                let length = compressor
                    .gzip_compress(plain, &mut bytes)
                    .map_err(|_| io::Error::other("libdeflate needs more room than it said"))?;
                bytes.truncate(length);
                bytes.shrink_to_fit();
                Ok(bytes)
            }
            Compression::Zstd(level) => {
                let mut compressor = zstd::bulk::Compressor::new(i32::from(level))?;
                compressor.set_parameter(CParameter::ChecksumFlag(true))?;
                let mut bytes = compressor.compress(plain)?;
                bytes.shrink_to_fit();
                Ok(bytes)
            }
        }
    }

    /// Whether `packed` is a group of this content, as far as its own checksums and a look inside tell.
    pub fn holds(self, packed: &[u8], plain: &[u8]) -> bool {
        match self.0 {
            Compression::None => packed == plain,
            Compression::Gzip(_) => {
                let mut crc = Crc::new();
                crc.update(plain);
                #[expect(clippy::cast_possible_truncation, reason = "the trailer has the length modulo 2^32")]
                let trailer = [crc.sum().to_le_bytes(), (plain.len() as u32).to_le_bytes()].concat();
                packed.last_chunk::<TRAILER>().is_some_and(|last| last[..] == trailer)
            }
            Compression::Zstd(_) => {
                // One byte more, so that a longer content is not taken for this one.
                zstd::bulk::decompress(packed, plain.len() + 1).is_ok_and(|content| content == plain)
            }
        }
    }
}

#[cfg(test)]
mod tests;
