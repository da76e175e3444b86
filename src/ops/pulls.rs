//! Blobs of images in registries, for bases and for files that are taken from images.

use std::io::{self, Read as _, Write};
use std::sync::Arc;

use super::downloads::Downloads;
use super::machine::Machine;
use super::slots::Slots;
use crate::base::BoxError;
use crate::model::{BlobDigest, Descriptor, MediaType, Repository};

/// What one command pulls. Documents are kept in the store, and each is asked for once, whoever wants it.
pub(super) struct Pulls<'a> {
    machine: &'a Machine<'a>,
    documents: Slots<BlobDigest, Arc<[u8]>>,
    pub(super) downloads: Downloads<'a>,
}

impl<'a> Pulls<'a> {
    /// Nothing yet.
    pub(super) fn new(machine: &'a Machine<'a>) -> Self {
        let downloads = Downloads::new(machine.observer);
        Self { machine, documents: Slots::default(), downloads }
    }

    /// An index or manifest from the store, else from its registry.
    pub(super) fn document(
        &self,
        repository: &Repository,
        digest: BlobDigest,
    ) -> Result<Arc<[u8]>, BoxError> {
        self.documents.get(digest, || {
            let store = self.machine.store;
            if let Ok(mut file) = store.open_blob(&digest) {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                if BlobDigest::of(&bytes) == digest {
                    return Ok(bytes.into());
                }
            }
            let manifest = self.machine.registry.manifest(&repository.at(digest))?;
            store.put_bytes(&manifest.bytes)?;
            Ok(manifest.bytes.into())
        })
    }

    /// Any blob from the store, else from its registry.
    pub(super) fn fetch(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        writer: &mut dyn Write,
    ) -> Result<(), BoxError> {
        let Machine { store, registry, .. } = self.machine;
        let kind = blob.media_type.to_oci();
        if kind.is_index() || kind.is_manifest() {
            return Ok(writer.write_all(&self.document(repository, blob.digest)?)?);
        }
        if store.has_blob(&blob.digest, blob.size) {
            io::copy(&mut store.open_blob(&blob.digest)?, writer)?;
            return Ok(());
        }
        if kind == MediaType::OciConfig {
            let bytes = self.documents.get(blob.digest, || {
                let mut bytes = Vec::new();
                registry.blob(repository, blob, &mut bytes)?;
                store.put_bytes(&bytes)?;
                Ok::<_, BoxError>(bytes.into())
            })?;
            return Ok(writer.write_all(&bytes)?);
        }
        Ok(registry.blob(repository, blob, &mut self.downloads.counted(repository, blob, writer))?)
    }
}
