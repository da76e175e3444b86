use std::io::{self, Read};

use super::deb::DebError;

/// What an archive begins with (ar(5)).
const MAGIC: &[u8] = b"!<arch>\n";
/// Length of a member's header in bytes.
const HEADER: usize = 60;

/// The members of an ar archive in the common format, one after the other.
pub(super) struct ArReader<R> {
    input: R,
    position: u64,
    /// Bytes of the current member that are not read yet, its padding with them.
    rest: u64,
}

/// A member of an ar archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ArMember {
    /// Its name, without the slash that some writers end it with.
    pub(super) name: String,
    /// Its length in bytes.
    pub(super) size: u64,
}

impl<R: Read> ArReader<R> {
    /// Reads the magic of `input`.
    pub(super) fn new(mut input: R) -> Result<Self, DebError> {
        let mut magic = [0; MAGIC.len()];
        if fill(&mut input, &mut magic)? < magic.len() || magic != MAGIC {
            return Err(DebError::NotDeb);
        }
        Ok(Self { input, position: MAGIC.len() as u64, rest: 0 })
    }

    /// The next member; what was left of the last one is passed over. `None` at the end.
    pub(super) fn next_member(&mut self) -> Result<Option<ArMember>, DebError> {
        let skipped = io::copy(&mut (&mut self.input).take(self.rest), &mut io::sink());
        let skipped = skipped.map_err(DebError::Read)?;
        // The padding of the last member may be missing.
        if self.rest.saturating_sub(skipped) > 1 {
            return Err(DebError::Truncated);
        }
        self.position += skipped;
        self.rest = 0;
        let mut header = [0; HEADER];
        match fill(&mut self.input, &mut header)? {
            0 => return Ok(None),
            HEADER => {}
            _ => return Err(DebError::Truncated),
        }
        let broken = DebError::Header { position: self.position };
        self.position += HEADER as u64;
        let text = |bytes| std::str::from_utf8(bytes).map(str::trim_end).ok();
        let (Some(name), Some(size), b"`\n") = (text(&header[..16]), text(&header[48..58]), &header[58..])
        else {
            return Err(broken);
        };
        let digits = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
        let Some(size) = size.parse::<u64>().ok().filter(|_| digits) else { return Err(broken) };
        self.rest = size + size % 2;
        Ok(Some(ArMember { name: name.trim_end_matches('/').to_owned(), size }))
    }

    /// The data of a member, which was just told.
    pub(super) fn data(&mut self, member: &ArMember) -> Data<'_, R> {
        Data { reader: self, left: member.size }
    }
}

/// The data of a member.
pub(super) struct Data<'a, R> {
    reader: &'a mut ArReader<R>,
    left: u64,
}

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if limit == 0 {
            return Ok(0);
        }
        let count = self.reader.input.read(&mut buffer[..limit])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        self.reader.rest -= count as u64;
        self.reader.position += count as u64;
        Ok(count)
    }
}

/// Reads until `buffer` is full or the input ends.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, DebError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(DebError::Read(error)),
        }
    }
    Ok(filled)
}
