use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::cancel::{Cancel, Cancelled};
use super::fs::{self, IoError};
use crate::tar::{self, MemberKind, Packing, TarError, TarReader};

/// Most members of an image archive.
const MEMBER_LIMIT: usize = 100_000;
/// Most uncompressed bytes of one.
const ARCHIVE_LIMIT: u64 = 64 << 30;
/// Links that are followed from one name to its file.
const LINK_LIMIT: usize = 8;

/// A tar of an image (`oci-archive:`, `docker-archive:`), any of whose files can be read in any order.
///
/// Nothing is unpacked: members are places in the file, so no path in it can lead anywhere. A compressed archive is first
/// uncompressed into a temporary file without a name.
#[derive(Debug)]
pub struct ArchiveFile {
    file: File,
    members: BTreeMap<String, Place>,
}

#[derive(Debug)]
enum Place {
    File { position: u64, size: u64 },
    Link(String),
}

/// Why a file cannot be read as the archive of an image.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFileError {
    /// It cannot be read at all.
    #[error(transparent)]
    Io(#[from] IoError),
    /// It is no tar, or a damaged one.
    #[error(transparent)]
    Tar(TarError),
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl ArchiveFile {
    /// Opens the archive and finds its members.
    pub fn open(path: &Path, cancel: &Cancel) -> Result<Self, ArchiveFileError> {
        let broken = |source: TarError| match cancel.check() {
            Ok(()) => ArchiveFileError::Tar(source),
            Err(cancelled) => cancelled.into(),
        };
        let mut file = fs::open(path)?;
        let (packing, mut tar) = tar::open_packed(cancel.watched(&file)).map_err(broken)?;
        if packing == Packing::Plain {
            drop(tar);
        } else {
            let mut unpacked =
                tempfile::tempfile().map_err(IoError::of("create a file in", std::env::temp_dir()))?;
            let copied = io::copy(&mut (&mut tar).take(ARCHIVE_LIMIT + 1), &mut unpacked);
            let copied = copied.map_err(|source| broken(TarError::Read { position: 0, source }))?;
            if copied > ARCHIVE_LIMIT {
                return Err(broken(TarError::TooMany { limit: ARCHIVE_LIMIT, what: "bytes" }));
            }
            drop(tar);
            file = unpacked;
        }
        let start = Window { file: &file, position: 0, end: u64::MAX };
        let members = index(cancel, start).map_err(broken)?;
        Ok(Self { file, members })
    }

    /// Opens the file `name`, links inside the archive followed. `None` where it is not there.
    pub fn read(&self, name: &str) -> Option<BufReader<Window<'_>>> {
        let (position, size) = self.place(name)?;
        let end = position.saturating_add(size);
        Some(BufReader::with_capacity(64 * 1024, Window { file: &self.file, position, end }))
    }

    /// Length in bytes of the file `name`.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.place(name).map(|(_, size)| size)
    }

    fn place(&self, name: &str) -> Option<(u64, u64)> {
        let mut name = normalise("", name)?;
        for _ in 0..LINK_LIMIT {
            match self.members.get(&name)? {
                Place::File { position, size } => return Some((*position, *size)),
                Place::Link(target) => name.clone_from(target),
            }
        }
        None
    }
}

fn index(cancel: &Cancel, start: Window<'_>) -> Result<BTreeMap<String, Place>, TarError> {
    let mut reader = TarReader::new(cancel.watched(BufReader::with_capacity(64 * 1024, start)));
    let mut members = BTreeMap::new();
    while let Some(member) = reader.next_member()? {
        if members.len() >= MEMBER_LIMIT {
            return Err(TarError::TooMany { limit: MEMBER_LIMIT as u64, what: "files" });
        }
        let Ok(path) = String::from_utf8(member.path) else { continue };
        let Some(name) = normalise("", &path) else { return Err(TarError::Escape { path }) };
        let text = |link: Vec<u8>| String::from_utf8(link).ok();
        let above = name.rsplit_once('/').map_or("", |(above, _)| above);
        let place = match member.kind {
            MemberKind::File => Some(Place::File { position: member.position, size: member.size }),
            // Old `docker save` links a layer that it has already written: `../<id>/layer.tar`.
            MemberKind::Symlink(target) => {
                text(target).and_then(|target| normalise(above, &target)).map(Place::Link)
            }
            MemberKind::Hardlink(target) => {
                text(target).and_then(|target| normalise("", &target)).map(Place::Link)
            }
            MemberKind::Directory | MemberKind::Special => None,
        };
        if let Some(place) = place {
            members.insert(name, place);
        }
    }
    Ok(members)
}

/// `path` below `directory` of an archive, `..` resolved; `None` where it leads out.
fn normalise(directory: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    if path.starts_with('/') {
        parts.clear();
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A range of a file, with a position of its own.
#[derive(Debug)]
pub struct Window<'a> {
    file: &'a File,
    position: u64,
    end: u64,
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.position);
        let limit = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..limit], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}
