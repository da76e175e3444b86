use std::io::{self, Read};

use super::deb::DebError;
use crate::tar::{Packing, TarError, open_packed, open_xz};

/// How a member of a .deb is compressed, by the end of its name (deb(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DebPacking {
    Xz,
    /// What a layer may be as well.
    Other(Packing),
}

impl DebPacking {
    /// By what a name has behind its stem: nothing, `.gz`, `.xz`, `.zst`.
    pub(super) fn of(suffix: &str) -> Option<Self> {
        match suffix {
            "" => Some(Self::Other(Packing::Plain)),
            ".gz" => Some(Self::Other(Packing::Gzip)),
            ".xz" => Some(Self::Xz),
            ".zst" => Some(Self::Other(Packing::Zstd)),
            _ => None,
        }
    }

    /// What `packed` is when it is unpacked, at most `limit` bytes: what follows is an error.
    pub(super) fn unpack<'a>(
        self,
        member: &'static str,
        packed: impl Read + Send + 'a,
        limit: u64,
    ) -> Result<Bounded<Box<dyn Read + Send + 'a>>, DebError> {
        let failed = |source| DebError::archive(member, source);
        let plain: Box<dyn Read + Send + 'a> = match self {
            Self::Xz => Box::new(open_xz(packed)),
            Self::Other(expected) => match open_packed(packed).map_err(failed)? {
                (found, plain) if found == expected => plain,
                _ => return Err(failed(TarError::NotTar)),
            },
        };
        Ok(Bounded { plain, left: limit, limit })
    }
}

/// More came out of a compressed file than may.
#[derive(Debug, thiserror::Error)]
#[error("it unpacks to more than {limit} bytes")]
pub(super) struct TooLong {
    pub(super) limit: u64,
}

/// Fails where more than a limit comes.
pub(super) struct Bounded<R> {
    plain: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.plain.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(TooLong { limit: self.limit })),
        }
        Ok(count)
    }
}
