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
    /// Zstandard, of any number of frames.
    Zstd,
}

/// Largest window of a zstd frame as a power of two: 128 MiB, what `zstd -d` takes unless told otherwise. Levels up to 19
/// need 8 MiB; a frame that wants more memory is refused.
const ZSTD_WINDOW: u32 = 27;

/// Looks at the first bytes of `reader` and gives its uncompressed content. Compressions other than gzip and
/// zstd are refused by name.
pub fn open<'a>(mut reader: impl Read + Send + 'a) -> Result<(Packing, Box<dyn Read + Send + 'a>), TarError> {
    let mut head = Vec::with_capacity(6);
    let mut start = (&mut reader).take(6);
    start.read_to_end(&mut head).map_err(|source| TarError::Read { position: 0, source })?;
    for (magic, name) in [(&b"\xfd7zXZ\0"[..], "xz"), (b"BZh", "bzip2"), (b"\x04\x22\x4d\x18", "lz4")] {
        if head.starts_with(magic) {
            return Err(TarError::Compressed(name));
        }
    }
    let gzip = head.starts_with(b"\x1f\x8b");
    let zstd = head.starts_with(b"\x28\xb5\x2f\xfd") || is_skippable(&head);
    let whole = io::BufReader::with_capacity(64 * 1024, io::Cursor::new(head).chain(reader));
    if gzip {
        return Ok((Packing::Gzip, Box::new(MultiGzDecoder::new(whole))));
    }
    if zstd {
        let broken = |source| TarError::Read { position: 0, source };
        let mut decoder = zstd::stream::read::Decoder::with_buffer(whole).map_err(broken)?;
        decoder.window_log_max(ZSTD_WINDOW).map_err(broken)?;
        return Ok((Packing::Zstd, Box::new(decoder)));
    }
    Ok((Packing::Plain, Box::new(whole)))
}

/// Largest memory of an xz decoder in KiB: the dictionary of `xz -9`, 64 MiB, and what stands around it. Files that ask
/// for more are refused before it is taken.
const XZ_MEMORY: u32 = (64 << 10) + 256;

/// The uncompressed content of an xz file of any number of streams.
pub fn open_xz<'a>(reader: impl Read + Send + 'a) -> impl Read + Send + 'a {
    let reader = io::BufReader::with_capacity(64 * 1024, reader);
    lzma_rust2::XzReader::new_mem_limit(reader, true, XZ_MEMORY)
}

/// A frame without content, which some writers of zstd put first (RFC 8878, 3.1.2).
fn is_skippable(head: &[u8]) -> bool {
    matches!(head, [first, b'\x2a', b'\x4d', b'\x18', ..] if first & 0xf0 == 0x50)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(bytes: &[u8]) -> Result<(Packing, Vec<u8>), String> {
        let (packing, mut reader) = open(bytes).map_err(|error| error.to_string())?;
        let mut plain = Vec::new();
        reader.read_to_end(&mut plain).map_err(|error| error.to_string())?;
        Ok((packing, plain))
    }

    fn zstd_of(bytes: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(bytes, 3).unwrap()
    }

    #[test]
    fn zstd_is_read_in_any_number_of_frames() {
        let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        for bytes in [
            zstd_of(b"one two"),
            [zstd_of(b"one "), zstd_of(b"two")].concat(),
            [skippable.clone(), zstd_of(b"one "), skippable.clone(), zstd_of(b"two"), skippable].concat(),
        ] {
            assert_eq!(unpacked(&bytes), Ok((Packing::Zstd, b"one two".to_vec())));
        }
        let whole = zstd_of(&[7; 5000]);
        assert!(unpacked(&whole[..whole.len() - 3]).is_err(), "a frame without its end");
    }

    #[test]
    fn a_window_that_would_fill_the_memory_is_refused() {
        use std::io::Write as _;
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(ZSTD_WINDOW + 1).unwrap();
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
        let bytes = encoder.finish().unwrap();
        let error = unpacked(&bytes).unwrap_err();
        assert!(error.contains("memory"), "{error}");
    }

    #[test]
    fn xz_is_read_in_any_number_of_streams_and_in_bounded_memory() {
        use lzma_rust2::{XzOptions, XzWriter};
        use std::io::Write as _;
        let packed = |bytes: &[u8], dictionary: u32| {
            let mut options = XzOptions::with_preset(1);
            options.lzma_options.dict_size = dictionary;
            let mut writer = XzWriter::new(Vec::new(), options).unwrap();
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        };
        let read = |bytes: &[u8]| {
            let mut plain = Vec::new();
            open_xz(bytes).read_to_end(&mut plain).map(|_| plain).map_err(|error| error.to_string())
        };
        let two = [packed(b"one ", 1 << 16), packed(b"two", 1 << 16)].concat();
        assert_eq!(read(&two).unwrap(), b"one two");
        assert!(read(&two[..two.len() - 5]).is_err(), "a stream without its end");
        assert_eq!(read(&packed(b"x", 64 << 20)).unwrap(), b"x");
        // The header of the block alone asks for more; whoever wrote it needed no memory for that.
        let mut large = packed(b"x", 64 << 20);
        let at = large.windows(2).position(|bytes| bytes == [0x21, 1]).unwrap() + 2;
        assert_eq!(large[at], 28, "2^26 bytes");
        large[at] = 30;
        let sum = crc32(&large[12..20]);
        large[20..24].copy_from_slice(&sum.to_le_bytes());
        assert!(read(&large).unwrap_err().contains("memory"));
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let mut sum = flate2::Crc::new();
        sum.update(bytes);
        sum.sum()
    }
}
