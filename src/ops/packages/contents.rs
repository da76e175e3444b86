use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write as _};
use std::marker::PhantomData;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::apk::{ApkError, ApkFacts, read_apk};
use crate::debian::{DebError, DebFacts, read_deb};
use crate::elf::read_elf;
use crate::model::{Contents, PackageFile, PackageFileKind};

/// How the packages of a distribution are packed.
pub(super) trait PackageFormat: std::fmt::Debug + Send + Sync + 'static {
    /// What one holds.
    type Facts;
    /// What can be wrong with one.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Reads one from end to end; the contents of its files go to `contents`.
    fn read(package: &mut File, contents: &mut dyn io::Write) -> Result<Self::Facts, Self::Error>;

    /// What could not be written.
    fn unwritten(error: io::Error) -> Self::Error;

    /// What could not be opened.
    fn unread(error: io::Error) -> Self::Error;
}

/// The format of .deb files.
#[derive(Debug)]
pub(super) struct Deb;

impl PackageFormat for Deb {
    type Facts = DebFacts;
    type Error = DebError;

    fn read(mut package: &mut File, contents: &mut dyn io::Write) -> Result<DebFacts, DebError> {
        read_deb(&mut package, contents)
    }

    fn unwritten(error: io::Error) -> DebError {
        DebError::Write(error)
    }

    fn unread(error: io::Error) -> DebError {
        DebError::Read(error)
    }
}

/// The format of .apk files.
#[derive(Debug)]
pub(super) struct Apk;

impl PackageFormat for Apk {
    type Facts = ApkFacts;
    type Error = ApkError;

    fn read(package: &mut File, contents: &mut dyn io::Write) -> Result<ApkFacts, ApkError> {
        read_apk(package, contents)
    }

    fn unwritten(error: io::Error) -> ApkError {
        ApkError::Write(error)
    }

    fn unread(error: io::Error) -> ApkError {
        ApkError::Read(error)
    }
}

/// The files of a package, which are unpacked into one file without a name when the first of them is wanted.
#[derive(Debug)]
pub(super) struct PackageContents<F> {
    package: PathBuf,
    folder: PathBuf,
    unpacked: Mutex<Option<Arc<File>>>,
    format: PhantomData<F>,
}

impl<F: PackageFormat> PackageContents<F> {
    /// Those of the file `package`; unpacked on the file system of `folder`.
    pub(super) fn new(package: PathBuf, folder: &Path) -> Self {
        Self { package, folder: folder.to_owned(), unpacked: Mutex::default(), format: PhantomData }
    }

    /// Reads the package and keeps what it unpacks.
    pub(super) fn read(&self) -> Result<F::Facts, F::Error> {
        let mut unpacked = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, facts) = self.unpack()?;
        *unpacked = Some(file);
        Ok(facts)
    }

    /// A file of it, by its place in the archive and its length in bytes.
    pub(super) fn slice(&self, offset: u64, length: u64) -> io::Result<Slice> {
        let mut unpacked = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        let file = if let Some(file) = &*unpacked {
            Arc::clone(file)
        } else {
            let (file, _) = self.unpack().map_err(io::Error::other)?;
            Arc::clone(unpacked.insert(file))
        };
        Ok(Slice { file, offset, length, position: 0 })
    }

    /// Looks at the files that are ELF files.
    pub(super) fn add_elf<'f>(&self, files: impl Iterator<Item = &'f mut PackageFile>) -> io::Result<()> {
        for file in files {
            if let PackageFileKind::File { size, offset, .. } = &file.kind
                && *size >= 64
            {
                let mut magic = [0; 4];
                self.slice(*offset, 4)?.read_exact(&mut magic)?;
                if magic == *b"\x7fELF" {
                    file.elf = read_elf(&mut self.slice(*offset, *size)?)?;
                }
            }
        }
        Ok(())
    }

    fn unpack(&self) -> Result<(Arc<File>, F::Facts), F::Error> {
        let mut package = File::open(&self.package).map_err(F::unread)?;
        let spill = tempfile::tempfile_in(&self.folder).map_err(F::unwritten)?;
        let mut spill = BufWriter::with_capacity(256 << 10, spill);
        let facts = F::read(&mut package, &mut spill)?;
        spill.flush().map_err(F::unwritten)?;
        let file = spill.into_inner().map_err(|error| F::unwritten(error.into_error()))?;
        Ok((Arc::new(file), facts))
    }
}

impl<F: PackageFormat> Contents for PackageContents<F> {
    fn open(&self, offset: u64, length: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.slice(offset, length)?))
    }
}

/// A part of a file, which others may read at the same time.
#[derive(Debug)]
pub(super) struct Slice {
    file: Arc<File>,
    offset: u64,
    length: u64,
    position: u64,
}

impl Read for Slice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.position);
        let limit = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..limit], self.offset + self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Slice {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(from) => self.length.checked_add_signed(from),
            SeekFrom::Current(from) => self.position.checked_add_signed(from),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package with the file `/a` that holds `text`.
    fn deb(text: &[u8]) -> Vec<u8> {
        let tar = |path: &str, data: &[u8]| {
            let mut builder = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            builder.append_data(&mut header, path, data).unwrap();
            builder.into_inner().unwrap()
        };
        let mut bytes = b"!<arch>\n".to_vec();
        let control = tar("control", b"Package: a\n");
        for (name, data) in
            [("debian-binary", &b"2.0\n"[..]), ("control.tar", &control), ("data.tar", &tar("a", text))]
        {
            bytes.extend(format!("{name:<48}{:<10}`\n", data.len()).bytes());
            bytes.extend_from_slice(data);
        }
        bytes
    }

    fn text(contents: &PackageContents<Deb>, offset: u64, length: u64) -> io::Result<String> {
        let mut text = String::new();
        contents.open(offset, length)?.read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn a_package_is_unpacked_once_and_only_when_it_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.deb");
        let contents = PackageContents::<Deb>::new(path.clone(), folder.path());
        std::fs::write(&path, deb(b"hello")).unwrap();
        assert_eq!(text(&contents, 0, 5).unwrap(), "hello");
        // What was unpacked has no name, and stays though the package goes.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(text(&contents, 1, 3).unwrap(), "ell");
        let mut slice = contents.slice(1, 4).unwrap();
        slice.seek(SeekFrom::End(-2)).unwrap();
        let mut rest = String::new();
        slice.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "lo");
        assert!(slice.seek(SeekFrom::Current(-9)).is_err());

        let gone = PackageContents::<Deb>::new(path, folder.path());
        let error = text(&gone, 0, 5).unwrap_err();
        assert_eq!(error.to_string(), "cannot read it");
        assert!(error.into_inner().is_some_and(|error| error.source().is_some()));
    }
}
