use std::io::{self, Read};

use tar::{EntryType, Header};

use super::attributes::Attributes;

/// A tar block.
const BLOCK: usize = 512;
/// Longest path or link target that is taken, as the kernel's `PATH_MAX`.
const PATH_LIMIT: usize = 4096;
/// Most extended headers (PAX records, GNU long names) before one member, in bytes.
const EXTENSION_LIMIT: u64 = 1 << 20;
/// Longest member: beyond any file system, and short enough that no sum of lengths overflows.
const SIZE_LIMIT: u64 = 1 << 62;

/// What is wrong with a tar. Positions are bytes of the uncompressed archive.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The first block is no header.
    #[error("it is not a tar archive")]
    NotTar,
    /// It is compressed in a way that is not read.
    #[error("it is compressed with {0}, which is not supported")]
    Compressed(&'static str),
    /// A header that contradicts itself.
    #[error("the header at byte {position} is broken: {reason}")]
    Header {
        /// Where.
        position: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// It ends inside a member.
    #[error("it ends at byte {position}, in the middle of a file")]
    Truncated {
        /// Where.
        position: u64,
    },
    /// A path that leads out of the archive's root.
    #[error("the path `{path}` leads out of the archive")]
    Escape {
        /// The path as written.
        path: String,
    },
    /// A path or link longer than a kernel takes.
    #[error("a path is longer than {PATH_LIMIT} bytes or deeper than any real one: `{start}…`")]
    TooLong {
        /// Its first characters.
        start: String,
    },
    /// A sparse file.
    #[error("`{path}` is a sparse file, which is not supported")]
    Sparse {
        /// The path.
        path: String,
    },
    /// More than any real archive has.
    #[error("it has more than {limit} {what}")]
    TooMany {
        /// How many would be taken.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
    /// A removal that names nothing.
    #[error("`{path}` marks the removal of nothing")]
    Whiteout {
        /// The path as written.
        path: String,
    },
    /// A path below something that is no directory, or in a loop of links.
    #[error("`{path}` is below something that is not a directory")]
    NotDirectory {
        /// The path.
        path: String,
    },
    /// A hard link to what is not there.
    #[error("`{path}` is a hard link to `{target}`, which is not there")]
    Hardlink {
        /// The link.
        path: String,
        /// Its target.
        target: String,
    },
    /// The reader below failed.
    #[error("cannot read it at byte {position}")]
    Read {
        /// Where.
        position: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a member of an archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link and its text.
    Symlink(Vec<u8>),
    /// Another name of a member; the target as written.
    Hardlink(Vec<u8>),
    /// A device or pipe.
    Special,
}

/// One member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Path as written.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Length of its data in bytes, 0 but for files.
    pub size: u64,
    /// Where its data begins in the uncompressed archive.
    pub position: u64,
}

/// The members of a tar, one after the other, in constant memory.
///
/// Reads ustar, GNU long names and PAX (`path`, `linkpath`, `size`, `uid`, `gid`). The `tar` crate's own iterator is not
/// used: it takes extended headers of any length into memory and splits PAX records at the newlines inside of values.
#[derive(Debug)]
pub struct TarReader<R> {
    input: R,
    position: u64,
    /// Data of the current member that is not read yet, and the padding behind it.
    data: u64,
    padding: u64,
    started: bool,
    ended: bool,
    attributes: Attributes,
}

/// What extended headers say of the member behind them.
#[derive(Debug, Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    sparse: bool,
    others: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<R: Read> TarReader<R> {
    /// Reads the uncompressed tar `input`.
    pub fn new(input: R) -> Self {
        Self {
            input,
            position: 0,
            data: 0,
            padding: 0,
            started: false,
            ended: false,
            attributes: Attributes::default(),
        }
    }

    /// The next member; what was left of the last one's data is passed over. `None` at the end.
    pub fn next_member(&mut self) -> Result<Option<Member>, TarError> {
        let mut extension = Extension::default();
        let mut extended = 0_u64;
        loop {
            self.skip_data()?;
            let position = self.position;
            let Some(header) = self.header()? else { return Ok(None) };
            let wrong = |reason| TarError::Header { position, reason };
            let kind = header.entry_type();
            let blank = header.as_old().size.iter().all(|byte| matches!(byte, 0 | b' '));
            let size = if blank { Ok(0) } else { header.entry_size() };
            let size = size.map_err(|_| wrong("its size is no number"))?;
            if matches!(
                kind,
                EntryType::XHeader
                    | EntryType::XGlobalHeader
                    | EntryType::GNULongName
                    | EntryType::GNULongLink
            ) {
                extended = extended.saturating_add(size).saturating_add(BLOCK as u64);
                if extended > EXTENSION_LIMIT {
                    return Err(wrong("its extended header is longer than 1 MiB"));
                }
                self.set_data(size);
                let mut text = Vec::new();
                let read = self.data().read_to_end(&mut text);
                read.map_err(|error| self.failed(error))?;
                match kind {
                    EntryType::XHeader => {
                        extension.pax(&text).ok_or(wrong("its PAX records are no records"))?;
                    }
                    EntryType::GNULongName => extension.path = Some(until_nul(&text).to_vec()),
                    EntryType::GNULongLink => extension.link = Some(until_nul(&text).to_vec()),
                    // Of a global header nothing is used: it would be said of every member, which no layer does.
                    _ => {}
                }
                continue;
            }
            return self.member(&header, size, extension, position).map(Some);
        }
    }

    fn member(
        &mut self,
        header: &Header,
        size: u64,
        extension: Extension,
        position: u64,
    ) -> Result<Member, TarError> {
        let wrong = |reason| TarError::Header { position, reason };
        self.attributes = Attributes {
            user: header.username_bytes().unwrap_or_default().to_vec(),
            group: header.groupname_bytes().unwrap_or_default().to_vec(),
            records: extension.others,
        };
        let path = extension.path.unwrap_or_else(|| header.path_bytes().into_owned());
        check_length(&path)?;
        let link = || {
            let link = extension.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
            let link = link.unwrap_or_default();
            check_length(&link).map(|()| link)
        };
        let byte = header.as_bytes()[156];
        let kind = match header.entry_type() {
            // Archives older than POSIX have no type for directories (pax, "ustar Interchange Format").
            _ if byte == 0 && path.ends_with(b"/") => MemberKind::Directory,
            EntryType::Regular | EntryType::Continuous => MemberKind::File,
            EntryType::Directory => MemberKind::Directory,
            EntryType::Symlink => MemberKind::Symlink(link()?),
            EntryType::Link => MemberKind::Hardlink(link()?),
            EntryType::Char | EntryType::Block | EntryType::Fifo => MemberKind::Special,
            EntryType::GNUSparse => return Err(TarError::Sparse { path: lossy(&path) }),
            _ => return Err(wrong("its type is unknown")),
        };
        if extension.sparse {
            return Err(TarError::Sparse { path: lossy(&path) });
        }
        let number = |field: Option<u64>, own: io::Result<u64>, raw: &[u8]| {
            let blank = raw.iter().all(|byte| matches!(byte, 0 | b' '));
            let number = field.or(if blank { Some(0) } else { own.ok() });
            number.and_then(|number| u32::try_from(number).ok()).ok_or(wrong("a number in it is no number"))
        };
        let old = header.as_old();
        let uid = number(extension.uid, header.uid(), &old.uid)?;
        let gid = number(extension.gid, header.gid(), &old.gid)?;
        let mode = number(None, header.mode().map(u64::from), &old.mode)? & 0o7777;
        // As in Go's reader, on which the engines stand: only files have data.
        let size = if kind == MemberKind::File { extension.size.unwrap_or(size) } else { 0 };
        if size > SIZE_LIMIT {
            return Err(wrong("its size is no size"));
        }
        self.set_data(size);
        Ok(Member { path, kind, mode, uid, gid, size, position: self.position })
    }

    /// What the headers of the current member say beyond what layers keep.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// The data of the current member that is not read yet.
    pub fn data(&mut self) -> impl Read + '_ {
        Data(self)
    }

    /// Reads to the very end, the padding behind the archive included.
    pub fn finish(&mut self) -> Result<(), TarError> {
        while self.next_member()?.is_some() {}
        let mut rest = Vec::with_capacity(64 * 1024);
        loop {
            rest.clear();
            let count = (&mut self.input).take(64 * 1024).read_to_end(&mut rest);
            match count.map_err(|error| self.failed(error))? {
                0 => return Ok(()),
                count => self.position += count as u64,
            }
        }
    }

    fn set_data(&mut self, size: u64) {
        self.data = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    fn skip_data(&mut self) -> Result<(), TarError> {
        let skipped = io::copy(&mut self.data(), &mut io::sink());
        skipped.map_err(|error| self.failed(error))?;
        let mut padding = [0; BLOCK];
        let length = usize::try_from(self.padding).unwrap_or(0);
        self.padding = 0;
        match self.fill(&mut padding[..length])? {
            read if read == length => Ok(()),
            _ => Err(TarError::Truncated { position: self.position }),
        }
    }

    /// The next header, `None` at the end: two blocks of zeros, or the end of input.
    fn header(&mut self) -> Result<Option<Header>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let position = self.position;
        let mut block = [0; BLOCK];
        let first = !std::mem::replace(&mut self.started, true);
        match self.fill(&mut block)? {
            0 if !first => {
                self.ended = true;
                return Ok(None);
            }
            BLOCK => {}
            _ if first => return Err(TarError::NotTar),
            _ => return Err(TarError::Truncated { position: self.position }),
        }
        if block.iter().all(|byte| *byte == 0) {
            self.ended = true;
            // A reader that goes on behind one block of zeros would see another archive than one that stops.
            if self.fill(&mut block)? > 0 && block.iter().any(|byte| *byte != 0) {
                return Err(TarError::Header { position, reason: "a lone block of zeros stands before it" });
            }
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        // POSIX sums unsigned bytes, some old writers signed ones; the field itself counts as spaces.
        let field = 148..156;
        let blanks = field.len() as u64 * u64::from(b' ');
        let others = || block.iter().enumerate().filter(|(at, _)| !field.contains(at)).map(|(_, byte)| *byte);
        let unsigned = others().map(u64::from).sum::<u64>() + blanks;
        let signed: i64 =
            others().map(|byte| i64::from(byte.cast_signed())).sum::<i64>() + blanks.cast_signed();
        let said = header.cksum().ok().map(u64::from);
        if said != Some(unsigned) && said != u64::try_from(signed).ok() {
            return Err(if first {
                TarError::NotTar
            } else {
                TarError::Header { position, reason: "its checksum is wrong" }
            });
        }
        Ok(Some(header))
    }

    /// Reads until `buffer` is full or the input ends.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    self.position += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(filled)
    }

    pub(crate) fn failed(&self, error: io::Error) -> TarError {
        match error.downcast::<Ended>() {
            Ok(Ended) => TarError::Truncated { position: self.position },
            Err(source) => TarError::Read { position: self.position, source },
        }
    }
}

/// The input ended inside of a member's data.
#[derive(Debug, thiserror::Error)]
#[error("unexpected end of the archive")]
struct Ended;

struct Data<'a, R>(&'a mut TarReader<R>);

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let reader = &mut *self.0;
        let limit = usize::try_from(reader.data).unwrap_or(usize::MAX).min(buffer.len());
        if limit == 0 {
            return Ok(0);
        }
        let count = reader.input.read(&mut buffer[..limit])?;
        if count == 0 {
            return Err(io::Error::other(Ended));
        }
        reader.data -= count as u64;
        reader.position += count as u64;
        Ok(count)
    }
}

impl Extension {
    /// Takes the records `<length> <key>=<value>\n`; values may hold newlines. `None` if they are no records.
    fn pax(&mut self, mut text: &[u8]) -> Option<()> {
        while !text.is_empty() {
            let space = text.iter().take(20).position(|byte| *byte == b' ')?;
            let length: usize = std::str::from_utf8(&text[..space]).ok()?.parse().ok()?;
            let record = text.get(space + 1..length)?.strip_suffix(b"\n")?;
            text = &text[length..];
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            let number = || std::str::from_utf8(value).ok()?.parse::<u64>().ok();
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(number()?),
                b"uid" => self.uid = Some(number()?),
                b"gid" => self.gid = Some(number()?),
                _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                _ => self.others.push((key.to_vec(), value.to_vec())),
            }
        }
        Some(())
    }
}

/// Components of an archive's path below its root: empty and `.` ones dropped, a leading `/` too; `..` is refused.
pub(crate) fn components(path: &[u8]) -> Result<Vec<&[u8]>, TarError> {
    let parts: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.contains(&&b".."[..]) { Err(TarError::Escape { path: lossy(path) }) } else { Ok(parts) }
}

fn check_length(path: &[u8]) -> Result<(), TarError> {
    if path.len() > PATH_LIMIT { Err(too_long(path)) } else { Ok(()) }
}

pub(crate) fn too_long(path: &[u8]) -> TarError {
    TarError::TooLong { start: lossy(&path[..path.len().min(40)]) }
}

fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or(text)
}

/// For messages: never with a control character in it.
pub(crate) fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path)
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] })
        .collect()
}

#[cfg(test)]
pub(in crate::tar) mod tests;
