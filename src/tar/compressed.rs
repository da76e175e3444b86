use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;

use super::read::TarError;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all, as far as its first bytes say.
    Plain,
    /// Gzip, of any number of members.
    Gzip,
}

/// Looks at the first bytes of `reader` and gives its uncompressed content. Compressions other than gzip are refused by
/// name.
pub fn open<'a>(mut reader: impl Read + Send + 'a) -> Result<(Packing, Box<dyn Read + Send + 'a>), TarError> {
    let mut head = Vec::with_capacity(6);
    let mut start = (&mut reader).take(6);
    start.read_to_end(&mut head).map_err(|source| TarError::Read { position: 0, source })?;
    for (magic, name) in [
        (&b"\x28\xb5\x2f\xfd"[..], "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
    ] {
        if head.starts_with(magic) {
            return Err(TarError::Compressed(name));
        }
    }
    let gzip = head.starts_with(b"\x1f\x8b");
    let whole = io::BufReader::with_capacity(64 * 1024, io::Cursor::new(head).chain(reader));
    if gzip {
        Ok((Packing::Gzip, Box::new(MultiGzDecoder::new(whole))))
    } else {
        Ok((Packing::Plain, Box::new(whole)))
    }
}
