use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, sync_channel};

use flate2::{Compress, Compression as Level, FlushCompress};

/// Input of one block in bytes. Blocks know nothing of each other, so that threads cannot change a byte.
const BLOCK: usize = 1 << 20;
/// RFC 1952: magic, deflate, no flags, no time, no extra flags, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty final block with fixed codes (RFC 1951 §3.2.6), which ends a stream of flushed blocks.
const END: [u8; 2] = [3, 0];

/// Compresses what is written to it into one gzip member, block by block on rayon's threads, and passes it on in order.
///
/// Not to be used on one of rayon's own threads: it waits for them.
pub struct GzipWriter<W: Write> {
    out: W,
    level: Level,
    block: Vec<u8>,
    waiting: VecDeque<Receiver<io::Result<Block>>>,
    crc: crc32fast::Hasher,
    length: u64,
}

struct Block {
    bytes: Vec<u8>,
    crc: crc32fast::Hasher,
    length: u64,
}

impl<W: Write> GzipWriter<W> {
    /// Writes the header; `level` is 1 to 9.
    pub fn new(mut out: W, level: u8) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        Ok(Self {
            out,
            level: Level::new(u32::from(level)),
            block: Vec::with_capacity(BLOCK),
            waiting: VecDeque::new(),
            crc: crc32fast::Hasher::new(),
            length: 0,
        })
    }

    /// Compresses what is left, writes the trailer and gives the inner writer back.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.block.is_empty() {
            self.send();
        }
        while !self.waiting.is_empty() {
            self.take()?;
        }
        self.out.write_all(&END)?;
        self.out.write_all(&self.crc.clone().finalize().to_le_bytes())?;
        #[expect(clippy::cast_possible_truncation, reason = "the trailer has the length modulo 2^32")]
        self.out.write_all(&(self.length as u32).to_le_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn send(&mut self) {
        let input = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        let level = self.level;
        let (sender, receiver) = sync_channel(1);
        // The receiver is gone only when the writer was dropped; then nobody wants the block.
        rayon::spawn(move || drop(sender.send(compress(&input, level))));
        self.waiting.push_back(receiver);
    }

    fn take(&mut self) -> io::Result<()> {
        let Some(receiver) = self.waiting.pop_front() else { return Ok(()) };
        let block = receiver.recv().map_err(|_| io::Error::other("a compressing thread ended early"))??;
        self.crc.combine(&block.crc);
        self.length += block.length;
        self.out.write_all(&block.bytes)
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        if self.block.len() == BLOCK {
            if self.waiting.len() >= 2 * rayon::current_num_threads() {
                self.take()?;
            }
            self.send();
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Raw deflate of `input`, ended by a sync flush, so that the next block can follow.
fn compress(input: &[u8], level: Level) -> io::Result<Block> {
    let mut deflate = Compress::new(level, false);
    let mut bytes = Vec::with_capacity(input.len() / 2 + 64);
    loop {
        #[expect(clippy::cast_possible_truncation, reason = "at most one block")]
        let taken = deflate.total_in() as usize;
        deflate.compress_vec(&input[taken..], &mut bytes, FlushCompress::Sync).map_err(io::Error::other)?;
        // A flush is complete when room is left in the output after it (zlib.h, deflate()).
        if bytes.len() < bytes.capacity() {
            break;
        }
        bytes.reserve(bytes.capacity() / 2);
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(input);
    Ok(Block { bytes, crc, length: input.len() as u64 })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;
    use crate::model::Digest;

    fn gzip(input: &[u8], chunk: usize) -> Vec<u8> {
        let mut writer = GzipWriter::new(Vec::new(), 6).unwrap();
        input.chunks(chunk.max(1)).for_each(|chunk| writer.write_all(chunk).unwrap());
        writer.finish().unwrap()
    }

    fn gunzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
        out
    }

    /// Bytes that compress a little, the same on every machine.
    fn sample(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b"abcdefghijklmnop"[(state >> 28) as usize]
        })
        .take(length)
        .collect()
    }

    #[test]
    fn round_trips_at_block_edges() {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17] {
            let input = sample(length);
            assert!(gunzip(&gzip(&input, 10_007)) == input, "length {length}");
        }
    }

    /// Golden: a change of this digest is a change of the format and needs a new one.
    #[test]
    fn bytes_are_fixed() {
        let packed = gzip(&sample(2 * BLOCK + 5), 999);
        assert_eq!(
            Digest::of(&packed).to_string(),
            "sha256:977af28c6bd5a4cd0026b1d25f5b8b1381e7476da8cb8774e88709c2d9be60c4"
        );
        for threads in [2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(|| gzip(&sample(2 * BLOCK + 5), 70_001)) == packed, "{threads} threads");
        }
    }

    #[test]
    fn incompressible_input_is_whole() {
        let mut state = 7_u64;
        let input: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .take(BLOCK + 333)
        .collect();
        assert!(gunzip(&gzip(&input, 4096)) == input);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn how_it_was_written_changes_nothing(input in proptest::collection::vec(any::<u8>(), 0..5000), chunk in 1_usize..600) {
            let whole = gzip(&input, usize::MAX);
            prop_assert_eq!(&whole, &gzip(&input, chunk));
            prop_assert_eq!(gunzip(&whole), input);
        }
    }
}
