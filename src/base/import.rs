use std::io::{self, Read, Write};
use std::path::Path;

use super::blobs::{BlobStore, BoxError, Compressor};
use super::error::BaseError;
use crate::model::{BlobDigest, Descriptor, DiffId, Hasher, KeyDigest, MediaType, Platform};
use crate::system::{ArchiveFile, ArchiveFileError, Cancel, Watched};
use crate::tar::{self, Packing};

/// What every way to a base needs.
#[derive(Clone, Copy)]
pub struct Import<'a> {
    /// What the spec calls the base, for messages: `oci:vendor/base`.
    pub base: &'a str,
    /// The platform that is wanted.
    pub platform: Platform,
    /// Where blobs and facts are kept.
    pub store: &'a dyn BlobStore,
    /// Whether every layer's blob has to be in the store afterwards. Without it, a layer is read once, as it comes, and
    /// not kept, and not even that where its facts are known.
    pub layers: bool,
    /// Stops long work.
    pub cancel: &'a Cancel,
}

impl<'a> Import<'a> {
    pub(super) fn store_failed(&self, source: BoxError) -> BaseError {
        BaseError::Store { base: self.base.to_owned(), source }
    }

    pub(super) fn fetch_failed(&self, digest: BlobDigest, source: BoxError) -> BaseError {
        BaseError::Fetch { base: self.base.to_owned(), digest, source }
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers have an error or a literal at hand")]
    pub(super) fn document(&self, what: impl Into<String>, reason: impl ToString) -> BaseError {
        BaseError::Document { base: self.base.to_owned(), what: what.into(), reason: reason.to_string() }
    }

    pub(super) fn layer_failed(&self, what: impl Into<String>, source: tar::TarError) -> BaseError {
        match self.cancel.check() {
            Ok(()) => BaseError::Layer { base: self.base.to_owned(), what: what.into(), source },
            Err(cancelled) => cancelled.into(),
        }
    }

    /// Opens a tar that holds the image.
    pub(super) fn archive(&self, path: &Path) -> Result<ArchiveFile, BaseError> {
        ArchiveFile::open(path, self.cancel).map_err(|error| match error {
            ArchiveFileError::Io(error) => error.into(),
            ArchiveFileError::Tar(source) => BaseError::Archive { base: self.base.to_owned(), source },
            ArchiveFileError::Cancelled(cancelled) => cancelled.into(),
        })
    }

    pub(super) fn watched<R: Read>(&self, reader: R) -> Watched<'a, R> {
        self.cancel.watched(reader)
    }

    /// Puts a file that is a layer into the store: gzip and zstd as they are, a plain tar compressed. `open` opens it, more than
    /// once; `what` names it.
    pub(super) fn layer_file<'f>(
        &self,
        what: &str,
        compressor: &Compressor<'_>,
        open: &(dyn Fn() -> Result<Box<dyn Read + Send + 'f>, BaseError> + Sync),
    ) -> Result<Descriptor, BaseError> {
        let failed = |source| self.layer_failed(what, source);
        let read = |source| self.layer_failed(what, tar::TarError::Read { position: 0, source });
        let (packing, _) = tar::open_packed(self.watched(open()?)).map_err(failed)?;
        let (digest, size) = Hasher::read_all(self.watched(open()?)).map_err(read)?;
        let packed = match packing {
            Packing::Plain => None,
            Packing::Gzip => Some(MediaType::OciLayerGzip),
            Packing::Zstd => Some(MediaType::OciLayerZstd),
        };
        if let Some(media_type) = packed {
            let descriptor = Descriptor { media_type, digest: BlobDigest(digest), size };
            super::blobs::bring(self, &descriptor, &|_, writer| {
                let mut reader = open()?;
                io::copy(&mut reader, writer)?;
                Ok(())
            })?;
            return Ok(descriptor);
        }
        let note = format!("imgpack base compressed 1\n{}\n{}", compressor.name, DiffId(digest));
        let note = KeyDigest::of(note.as_bytes());
        let known =
            self.store.facts_get(&note).and_then(|bytes| serde_json::from_slice::<Descriptor>(&bytes).ok());
        if let Some(known) = known
            && self.store.has(&known.digest).map_err(|source| self.store_failed(source))?
        {
            return Ok(known);
        }
        let mut failure = None;
        let put = self.store.put(&mut |writer| {
            let mut reader = match open() {
                Ok(reader) => self.watched(Tee { reader, hasher: Hasher::new() }),
                Err(error) => {
                    failure = Some(error);
                    return Err(io::Error::other("the layer could not be opened"));
                }
            };
            (compressor.run)(&mut reader, writer as &mut dyn Write)?;
            // A file that changed meanwhile must not be noted under its old digest.
            if reader.into_inner().hasher.finish() == digest {
                Ok(())
            } else {
                Err(io::Error::other("the file was changed while it was read"))
            }
        });
        self.cancel.check()?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let (digest, size) = put.map_err(|source| self.store_failed(source))?;
        let descriptor = Descriptor { media_type: MediaType::OciLayerGzip, digest, size };
        if let Ok(bytes) = serde_json::to_vec(&descriptor) {
            self.store.facts_put(&note, &bytes);
        }
        Ok(descriptor)
    }
}

struct Tee<R> {
    reader: R,
    hasher: Hasher,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
