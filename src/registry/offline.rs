use std::io::Write;

use super::error::RegistryError;
use super::port::{BlobSource, Pushed, RawManifest, Registry};
use crate::model::{BlobDigest, Descriptor, ImageRef, MediaType, RawDescriptor, Repository};

/// Registries that nobody may ask: everything is refused before a name is looked up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offline;

fn refused<T>(what: impl Into<String>) -> Result<T, RegistryError> {
    Err(RegistryError::Offline { what: what.into(), moves: false })
}

impl Registry for Offline {
    fn resolve(&self, reference: &ImageRef) -> Result<Descriptor, RegistryError> {
        Err(RegistryError::Offline { what: format!("the digest of {reference}"), moves: true })
    }

    fn manifest(&self, reference: &ImageRef) -> Result<RawManifest, RegistryError> {
        refused(format!("the manifest {reference}"))
    }

    fn blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        _sink: &mut dyn Write,
    ) -> Result<(), RegistryError> {
        refused(format!("the blob {} of {repository}", blob.digest))
    }

    fn has_blob(&self, repository: &Repository, digest: BlobDigest) -> Result<bool, RegistryError> {
        refused(format!("the blob {digest} of {repository}"))
    }

    fn tags(&self, repository: &Repository) -> Result<Vec<String>, RegistryError> {
        Err(RegistryError::Offline { what: format!("the list of tags of {repository}"), moves: true })
    }

    fn present(&self, reference: &ImageRef) -> Result<Option<BlobDigest>, RegistryError> {
        Err(RegistryError::Offline { what: format!("the digest of {reference}"), moves: true })
    }

    fn push_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        _source: &BlobSource,
        _progress: &dyn Fn(u64),
    ) -> Result<Pushed, RegistryError> {
        refused(format!("a place in {repository} for the blob {}", blob.digest))
    }

    fn push_manifest(
        &self,
        reference: &ImageRef,
        _media_type: MediaType,
        _bytes: &[u8],
    ) -> Result<(), RegistryError> {
        refused(format!("a place for {reference}"))
    }

    fn referrers(
        &self,
        repository: &Repository,
        subject: BlobDigest,
    ) -> Result<Vec<RawDescriptor>, RegistryError> {
        refused(format!("the list of what refers to {repository}@{subject}"))
    }

    fn file(
        &self,
        address: &str,
        expected: Option<BlobDigest>,
        _sink: &mut dyn Write,
    ) -> Result<(BlobDigest, u64), RegistryError> {
        let what = format!("the file {address}");
        Err(RegistryError::Offline { what, moves: expected.is_none() })
    }
}
