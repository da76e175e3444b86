use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use crate::tar::{MemberKind, TarError, TarReader};

/// What is wrong with the segments of an index or a package.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// Version 3 of the formats, whose files begin with `ADB`.
    #[error(
        "it is a version 3 file of apk (ADB), which is not supported: only version 2, which Alpine publishes"
    )]
    Adb,
    /// No gzip stream.
    #[error("it is no file of apk: it does not begin with a gzip stream")]
    NotGzip,
    /// More than is taken.
    #[error("its {what} is longer than {limit} MiB")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The tar inside.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The reader, or what is packed.
    #[error("cannot unpack it")]
    Read(#[from] io::Error),
}

/// Longest control segment, packed, in bytes.
const KEPT_LIMIT: usize = 32 << 20;

/// Longest segment of signatures in MiB, unpacked: nobody vouches for what is read before they are.
const SIGNATURES_LIMIT: u64 = 1;

/// What is kept of the packed bytes that pass.
#[derive(Default)]
pub(super) enum Tap {
    /// Nothing.
    #[default]
    Nothing,
    /// All of them, up to [`KEPT_LIMIT`].
    Keep(Vec<u8>),
    /// Their SHA-256 digest.
    Hash(crate::model::Hasher),
}

/// The packed bytes of a file of concatenated gzip streams.
pub(super) struct Tapped<R> {
    input: BufReader<R>,
    pub(super) tap: Tap,
    /// How many of them passed.
    pub(super) passed: u64,
}

impl<R: Read> Tapped<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(64 * 1024, input), tap: Tap::Nothing, passed: 0 }
    }

    /// Whether a gzip stream comes next; `false` at the end.
    pub(super) fn has_stream(&mut self) -> Result<bool, SegmentError> {
        is_gzip(self.input.fill_buf()?)
    }

    /// One gzip stream.
    pub(super) fn stream(&mut self) -> GzDecoder<&mut Self> {
        GzDecoder::new(self)
    }
}

impl<R: Read> Read for Tapped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Tapped<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match &self.tap {
            Tap::Keep(kept) if kept.len() > KEPT_LIMIT => {
                Err(io::Error::other("a segment is longer than 32 MiB"))
            }
            _ => self.input.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        let passed = &self.input.buffer()[..amount.min(self.input.buffer().len())];
        match &mut self.tap {
            Tap::Nothing => {}
            Tap::Keep(kept) => kept.extend_from_slice(passed),
            Tap::Hash(hasher) => hasher.update(passed),
        }
        self.passed += passed.len() as u64;
        self.input.consume(amount);
    }
}

/// Whether these are the first bytes of a gzip stream; `false` where there are none.
pub(super) fn is_gzip(head: &[u8]) -> Result<bool, SegmentError> {
    match head {
        [] => Ok(false),
        [b'A', b'D', b'B', ..] => Err(SegmentError::Adb),
        // The second byte may be in the next buffer.
        [0x1f] | [0x1f, 0x8b, ..] => Ok(true),
        _ => Err(SegmentError::NotGzip),
    }
}

/// A small file of a segment.
pub(super) struct SmallFile {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// The files of a segment of which `what` is the word, at most `limit` MiB unpacked.
pub(super) fn small_files(
    stream: impl Read,
    what: &'static str,
    limit: u64,
) -> Result<Vec<SmallFile>, SegmentError> {
    read_files(stream, what, limit, |_| true).map(|(files, _)| files)
}

/// The signatures of a segment that has nothing else; `None` of one that has.
pub(super) fn signature_files(stream: impl Read) -> Result<Option<Vec<SmallFile>>, SegmentError> {
    let (files, whole) =
        read_files(stream, "segment of signatures", SIGNATURES_LIMIT, |name| name.starts_with(".SIGN."))?;
    Ok(whole.then_some(files))
}

/// The files of a segment up to one that is not taken, and whether these are all.
fn read_files(
    stream: impl Read,
    what: &'static str,
    limit: u64,
    takes: fn(&str) -> bool,
) -> Result<(Vec<SmallFile>, bool), SegmentError> {
    let mut bounded = Bounded { input: stream, left: limit << 20, passed: false };
    let read = (|| {
        let mut reader = TarReader::new(&mut bounded);
        let mut files = Vec::new();
        while let Some(member) = reader.next_member()? {
            if member.kind != MemberKind::File {
                continue;
            }
            let name = String::from_utf8_lossy(&member.path).into_owned();
            if !takes(&name) {
                return Ok((files, false));
            }
            let mut bytes = Vec::new();
            let read = reader.data().read_to_end(&mut bytes);
            read.map_err(|source| TarError::Read { position: member.position, source })?;
            files.push(SmallFile { name, bytes });
        }
        reader.finish()?;
        Ok((files, true))
    })();
    if bounded.passed { Err(SegmentError::TooLong { what, limit }) } else { read }
}

/// Ends where more comes than a small archive has.
struct Bounded<R> {
    input: R,
    left: u64,
    passed: bool,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        let Some(left) = self.left.checked_sub(count as u64) else {
            self.passed = true;
            return Err(io::Error::other("it is too long"));
        };
        self.left = left;
        Ok(count)
    }
}

/// `Q1` and the SHA-1 digest of bytes in base64, as apk names packages and contents.
pub(super) fn q1(bytes: &[u8]) -> String {
    let mut sha1 = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    sha1.update(bytes);
    q1_of(sha1)
}

/// The same of what a digest was made of.
pub(super) fn q1_of(sha1: Context) -> String {
    use base64::Engine as _;
    format!("Q1{}", base64::engine::general_purpose::STANDARD.encode(sha1.finish()))
}
