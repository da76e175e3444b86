use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use super::ar::{ArMember, ArReader};
use super::packing::{DebPacking, TooLong};
use super::paragraph::{Paragraph, ParagraphError, paragraphs};
use crate::model::{ContentDigest, Hasher, ImagePath, ImagePathError, Owner, PackageFile, PackageFileKind};
use crate::tar::{Member, MemberKind, TarError, TarReader};

/// Most bytes of an unpacked control archive. The largest of Debian (translated questions) is below 3 MB.
const CONTROL_LIMIT: u64 = 16 << 20;
/// Most bytes of an unpacked data archive. The largest package of Debian unpacks to less than half of it.
const DATA_LIMIT: u64 = 8 << 30;
/// Most bytes that one byte of a data archive may become, beyond [`DATA_FREE`]: packages of text reach 20.
const DATA_RATIO: u64 = 256;
/// Bytes that a data archive may become however short it is.
const DATA_FREE: u64 = 64 << 20;
/// Most files: ten times what the largest package of Debian has.
const FILES_LIMIT: usize = 1_000_000;
/// Most bytes of paths and links.
const TEXT_LIMIT: usize = 128 << 20;

/// What a .deb holds, without the bytes of its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DebFacts {
    /// Its control file.
    pub control: Paragraph,
    /// The other files of its control archive by name, as text: `postinst`, `conffiles`, `md5sums`, `triggers`, `shlibs`.
    pub scripts: BTreeMap<String, String>,
    /// Its files, in bytewise order of their paths.
    pub files: Vec<PackageFile>,
}

/// What is wrong with a .deb.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// It is no .deb.
    #[error("it is no Debian package")]
    NotDeb,
    /// A format that is not read.
    #[error("it is a Debian package of format {0}; only format 2 is read")]
    Format(String),
    /// The header of a member is broken.
    #[error("the header at byte {position} is broken")]
    Header {
        /// Where.
        position: u64,
    },
    /// It ends too early.
    #[error("it ends in the middle of a member")]
    Truncated,
    /// A member that has to be there is not.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// A member that must not be where it is.
    #[error("it has `{found}` where {expected} has to be")]
    Order {
        /// Its name.
        found: String,
        /// What has to be there.
        expected: &'static str,
    },
    /// A compression that is not read.
    #[error("its `{0}` is compressed in a way that is not read; gz, xz and zst are")]
    Compressed(String),
    /// A compressed member cannot be read.
    #[error("its {member} cannot be read")]
    Archive {
        /// `control.tar` or `data.tar`.
        member: &'static str,
        /// Why not.
        #[source]
        source: TarError,
    },
    /// A compressed member becomes more than it may.
    #[error("its {member} unpacks to more than {limit} bytes, which no real package of its length does")]
    TooLong {
        /// `control.tar` or `data.tar`.
        member: &'static str,
        /// How much would be taken, in bytes.
        limit: u64,
    },
    /// A path that no image can have.
    #[error("it holds a path that is not for an image")]
    Path(#[from] ImagePathError),
    /// A path or link that is no text.
    #[error("`{0}` is not UTF-8")]
    NotText(String),
    /// A device or pipe.
    #[error("{0} is a device or a pipe, which packages do not bring into an image")]
    Special(ImagePath),
    /// A path that comes twice.
    #[error("{0} comes twice")]
    Twice(ImagePath),
    /// A path below a file or a link.
    #[error("{path} lies below {above}, which is no directory")]
    Below {
        /// The path.
        path: ImagePath,
        /// The file or link.
        above: ImagePath,
    },
    /// A hard link to what is no file of the package before it.
    #[error("{path} is a hard link to `{target}`, which is no file that comes before it")]
    Hardlink {
        /// The link.
        path: ImagePath,
        /// Its target as written.
        target: String,
    },
    /// More than any real package has.
    #[error("it has more than {limit} {what}")]
    TooMany {
        /// How many would be taken.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
    /// Its control file says nothing that can be used.
    #[error("its control file cannot be read")]
    Control(#[from] ParagraphError),
    /// The reader below failed.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// What it holds could not be written.
    #[error("cannot write what it holds")]
    Write(#[source] io::Error),
}

impl DebError {
    pub(super) fn archive(member: &'static str, source: TarError) -> Self {
        let long = match &source {
            TarError::Read { source, .. } => {
                source.get_ref().and_then(|error| error.downcast_ref::<TooLong>())
            }
            _ => None,
        };
        match long {
            Some(TooLong { limit }) => Self::TooLong { member, limit: *limit },
            None => Self::Archive { member, source },
        }
    }
}

/// Reads a .deb from end to end (deb(5)). The contents of its files go to `contents`, one behind the other, where
/// [`crate::model::PackageFileKind::File`] finds them.
///
/// As dpkg does, members whose names begin with `_` are passed over, and so is what stands behind the data.
pub fn read_deb(deb: &mut (dyn Read + Send), contents: &mut dyn Write) -> Result<DebFacts, DebError> {
    let mut members = ArReader::new(deb)?;
    let member = expect(&mut members, "debian-binary")?;
    let mut format = String::new();
    members.data(&member).take(64).read_to_string(&mut format).map_err(unread)?;
    let format = format.lines().next().unwrap_or_default();
    if !format.starts_with("2.") {
        return Err(DebError::Format(format.escape_debug().to_string()));
    }
    let member = expect(&mut members, "control.tar")?;
    let control =
        packing(&member, "control.tar")?.unpack("control.tar", members.data(&member), CONTROL_LIMIT)?;
    let (control, scripts) = read_control(control)?;
    let member = expect(&mut members, "data.tar")?;
    let limit = member.size.saturating_mul(DATA_RATIO).saturating_add(DATA_FREE).min(DATA_LIMIT);
    let data = packing(&member, "data.tar")?.unpack("data.tar", members.data(&member), limit)?;
    let files = read_data(data, contents)?;
    Ok(DebFacts { control, scripts, files })
}

fn unread(error: io::Error) -> DebError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => DebError::Truncated,
        _ => DebError::Read(error),
    }
}

fn expect(members: &mut ArReader<impl Read>, expected: &'static str) -> Result<ArMember, DebError> {
    loop {
        match members.next_member()? {
            Some(member) if member.name.starts_with('_') && expected != "debian-binary" => {}
            Some(member) if member.name.starts_with(expected) => return Ok(member),
            Some(_) if expected == "debian-binary" => return Err(DebError::NotDeb),
            Some(member) => {
                return Err(DebError::Order { found: member.name.escape_debug().to_string(), expected });
            }
            None => return Err(DebError::Missing(expected)),
        }
    }
}

fn packing(member: &ArMember, stem: &str) -> Result<DebPacking, DebError> {
    let suffix = member.name.strip_prefix(stem).unwrap_or_default();
    DebPacking::of(suffix).ok_or_else(|| DebError::Compressed(member.name.escape_debug().to_string()))
}

fn read_control(tar: impl Read) -> Result<(Paragraph, BTreeMap<String, String>), DebError> {
    let failed = |source| DebError::archive("control.tar", source);
    let mut tar = TarReader::new(tar);
    let mut files = BTreeMap::new();
    while let Some(member) = tar.next_member().map_err(failed)? {
        let name = text(&member.path)?;
        let name = name.trim_start_matches("./");
        // dpkg takes plain files of one level; nothing else has a meaning there.
        if member.kind != MemberKind::File || name.contains('/') {
            continue;
        }
        let mut bytes = Vec::new();
        let read = tar.data().read_to_end(&mut bytes);
        read.map_err(|error| failed(tar.failed(error)))?;
        files.insert(name.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
    }
    tar.finish().map_err(failed)?;
    let control = files.remove("control").ok_or(DebError::Missing("control file"))?;
    let control = paragraphs(&control)?.into_iter().next().ok_or(DebError::Missing("control file"))?;
    Ok((control, files))
}

fn read_data(tar: impl Read, contents: &mut dyn Write) -> Result<Vec<PackageFile>, DebError> {
    let failed = |source| DebError::archive("data.tar", source);
    let mut tar = TarReader::new(tar);
    let mut files: BTreeMap<ImagePath, PackageFile> = BTreeMap::new();
    let (mut offset, mut length) = (0, 0);
    while let Some(member) = tar.next_member().map_err(failed)? {
        // The root itself.
        let Some(path) = place(&member.path)? else { continue };
        let kind = match &member.kind {
            MemberKind::Directory => PackageFileKind::Directory,
            MemberKind::Symlink(target) => PackageFileKind::Symlink { target: text(target)?.to_owned() },
            MemberKind::Hardlink(target) => {
                PackageFileKind::Hardlink { target: linked(&files, &path, target)? }
            }
            MemberKind::Special => return Err(DebError::Special(path)),
            MemberKind::File => {
                let mut write = Hashed { contents, hasher: Hasher::new(), failed: None };
                let copied = io::copy(&mut tar.data(), &mut write);
                let Hashed { hasher, failed: unwritten, .. } = write;
                if let Some(error) = unwritten {
                    return Err(DebError::Write(error));
                }
                let size = copied.map_err(|error| failed(tar.failed(error)))?;
                let digest = ContentDigest(hasher.finish());
                offset += size;
                PackageFileKind::File { digest, size, offset: offset - size }
            }
        };
        length += member.path.len();
        if let MemberKind::Symlink(link) | MemberKind::Hardlink(link) = &member.kind {
            length += link.len();
        }
        for (used, limit, what) in
            [(files.len(), FILES_LIMIT, "files"), (length, TEXT_LIMIT, "bytes of paths")]
        {
            if used >= limit {
                return Err(DebError::TooMany { limit, what });
            }
        }
        let Member { mode, uid, gid, .. } = member;
        let file = PackageFile { path, kind, mode, owner: Owner { uid, gid }, elf: None };
        // A directory may come again; dpkg keeps the first.
        match files.get(&file.path).map(|known| &known.kind) {
            None => drop(files.insert(file.path.clone(), file)),
            Some(PackageFileKind::Directory) if file.kind == PackageFileKind::Directory => {}
            Some(_) => return Err(DebError::Twice(file.path)),
        }
    }
    tar.finish().map_err(failed)?;
    for path in files.keys() {
        let blocks =
            |above: &ImagePath| files.get(above).is_some_and(|file| file.kind != PackageFileKind::Directory);
        if let Some(above) = path.ancestors().find(blocks) {
            return Err(DebError::Below { path: path.clone(), above });
        }
    }
    Ok(files.into_values().collect())
}

fn text(bytes: &[u8]) -> Result<&str, DebError> {
    std::str::from_utf8(bytes)
        .map_err(|_| DebError::NotText(String::from_utf8_lossy(bytes).escape_debug().to_string()))
}

/// The place of a member; `None` for the root.
fn place(path: &[u8]) -> Result<Option<ImagePath>, DebError> {
    match ImagePath::parse(&format!("/{}", text(path)?)) {
        Ok(path) => Ok(Some(path)),
        Err(ImagePathError::Root(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The file that a hard link is another name of.
fn linked(
    files: &BTreeMap<ImagePath, PackageFile>,
    path: &ImagePath,
    target: &[u8],
) -> Result<ImagePath, DebError> {
    let found = place(target)?.and_then(|target| files.get(&target));
    match found.map(|file| &file.kind) {
        Some(PackageFileKind::File { .. }) => found.map(|file| file.path.clone()),
        Some(PackageFileKind::Hardlink { target }) => Some(target.clone()),
        _ => None,
    }
    .ok_or_else(|| DebError::Hardlink {
        path: path.clone(),
        target: String::from_utf8_lossy(target).escape_debug().to_string(),
    })
}

/// Hashes what is written; tells its own failures from those of the reader.
struct Hashed<'a> {
    contents: &'a mut dyn Write,
    hasher: Hasher,
    failed: Option<io::Error>,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.contents.write_all(bytes) {
            let kind = error.kind();
            self.failed = Some(error);
            return Err(kind.into());
        }
        self.hasher.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
