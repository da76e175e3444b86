use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use super::error::ArchiveError;
use super::image::{Blob, Content, OpenBlob};
use crate::model::BlobDigest;
use crate::system::{Cancel, IoError, fs};

const BLOCK: usize = 512;

/// A tar whose bytes follow from names and contents alone: root's files, 0644 and 0755, at the epoch.
///
/// It has its end marker only after [`Self::finish`]: what fails in the middle never looks whole.
pub(super) struct Tarball<'a, W> {
    writer: W,
    cancel: &'a Cancel,
}

impl<'a, W: Write> Tarball<'a, W> {
    pub(super) fn new(writer: W, cancel: &'a Cancel) -> Self {
        Self { writer, cancel }
    }

    pub(super) fn directory(&mut self, name: &str) -> Result<(), ArchiveError> {
        self.header(name, tar::EntryType::Directory, 0o755, 0)
    }

    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let size = bytes.len() as u64;
        self.header(name, tar::EntryType::Regular, 0o644, size)?;
        self.writer.write_all(bytes).map_err(ArchiveError::Stream)?;
        self.pad(size)
    }

    /// Adds a blob; that it has another length than its descriptor says is an error.
    pub(super) fn blob(
        &mut self,
        name: &str,
        digest: &BlobDigest,
        blob: Blob<'_>,
        open: OpenBlob<'_>,
    ) -> Result<(), ArchiveError> {
        match blob.content {
            Content::Bytes(bytes) => self.bytes(name, bytes),
            Content::Elsewhere(send) => {
                self.header(name, tar::EntryType::Regular, 0o644, blob.size)?;
                let mut counted =
                    Counted { writer: &mut self.writer, cancel: self.cancel, failed: None, written: 0 };
                let sent = send(digest, &mut counted);
                let Counted { failed, written: found, .. } = counted;
                self.cancel.check()?;
                if let Some(error) = failed {
                    return Err(ArchiveError::Stream(error));
                }
                sent.map_err(|source| ArchiveError::Elsewhere { digest: *digest, source })?;
                if found != blob.size {
                    return Err(ArchiveError::Length { digest: *digest, expected: blob.size, found });
                }
                self.pad(blob.size)
            }
            Content::Stored => {
                let unreadable = |source| ArchiveError::Blob { digest: *digest, source };
                let mut reader = open(digest).map_err(unreadable)?.take(blob.size.saturating_add(1));
                self.header(name, tar::EntryType::Regular, 0o644, blob.size)?;
                let mut buffer = vec![0; 128 * 1024];
                let mut found = 0;
                loop {
                    self.cancel.check()?;
                    let count = match reader.read(&mut buffer) {
                        Ok(0) => break,
                        Ok(count) => count,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        Err(error) => return Err(unreadable(error)),
                    };
                    found += count as u64;
                    if found > blob.size {
                        break;
                    }
                    self.writer.write_all(&buffer[..count]).map_err(ArchiveError::Stream)?;
                }
                if found != blob.size {
                    return Err(ArchiveError::Length { digest: *digest, expected: blob.size, found });
                }
                self.pad(blob.size)
            }
        }
    }

    /// Writes the end marker.
    pub(super) fn finish(mut self) -> Result<(), ArchiveError> {
        self.cancel.check()?;
        self.writer.write_all(&[0; 2 * BLOCK]).map_err(ArchiveError::Stream)?;
        self.writer.flush().map_err(ArchiveError::Stream)
    }

    fn header(&mut self, name: &str, kind: tar::EntryType, mode: u32, size: u64) -> Result<(), ArchiveError> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).map_err(ArchiveError::Stream)?;
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        self.writer.write_all(header.as_bytes()).map_err(ArchiveError::Stream)
    }

    fn pad(&mut self, size: u64) -> Result<(), ArchiveError> {
        let missing = usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or_default();
        self.writer.write_all(&[0; BLOCK][..missing]).map_err(ArchiveError::Stream)
    }
}

/// Counts what is written, and keeps the first failure of writing, which is not the sender's.
pub(super) struct Counted<'a, W> {
    pub(super) writer: &'a mut W,
    pub(super) cancel: &'a Cancel,
    pub(super) failed: Option<io::Error>,
    pub(super) written: u64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.cancel.check().map_err(io::Error::other)?;
        if let Err(error) = self.writer.write_all(bytes) {
            let kind = error.kind();
            self.failed = Some(error);
            return Err(kind.into());
        }
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fills the file `path` by way of a temporary one beside it: a reader sees the old file or the whole new one.
pub(super) fn write_file(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(ArchiveError::NotFile(path.to_owned()));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory)?;
    let mut file = fs::temporary_in(directory)?;
    let in_file = |error| match error {
        ArchiveError::Stream(source) => IoError::of("write", path)(source).into(),
        other => other,
    };
    let mut writer = BufWriter::with_capacity(1 << 18, file.as_file_mut());
    content(&mut writer).and_then(|()| writer.flush().map_err(ArchiveError::Stream)).map_err(in_file)?;
    drop(writer);
    file.persist(path).map_err(|error| IoError::of("create", path)(error.error))?;
    Ok(())
}
