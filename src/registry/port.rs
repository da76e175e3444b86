use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::RegistryError;
use crate::model::{BlobDigest, Descriptor, ImageRef, MediaType, RawDescriptor, Repository};

/// A manifest or index, as the registry has it: its digest is that of exactly these bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// What it is.
    pub media_type: MediaType,
    /// Digest of `bytes`.
    pub digest: BlobDigest,
    /// The document, at most [`RawManifest::LONGEST`] bytes.
    pub bytes: Vec<u8>,
}

impl RawManifest {
    /// Larger manifests are refused (distribution-spec, "Pushing Manifests": registries take at least 4 MiB).
    pub const LONGEST: usize = 4 * 1024 * 1024;

    /// Its descriptor.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor { media_type: self.media_type, digest: self.digest, size: self.bytes.len() as u64 }
    }
}

/// Where a blob's bytes are while it is pushed. They may be read several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobSource {
    /// A file that holds the blob and nothing else.
    File(PathBuf),
    /// Memory; for configs.
    Bytes(Arc<[u8]>),
    /// Another repository: what is pushed to the same registry is mounted, else streamed from one to the other.
    Registry(Repository),
}

/// A file of an archive of packages. Its content is checked by a digest or by a signature that it carries, so that it may
/// come without TLS.
#[derive(Debug, Clone, Copy)]
pub struct ArchiveFile<'a> {
    /// `http://` or `https://`, without credentials and query.
    pub address: &'a str,
    /// The only content that is taken.
    pub expected: Option<BlobDigest>,
    /// Most bytes that are taken.
    pub limit: u64,
    /// The proxy for http, as an address, in place of the environment's.
    pub proxy: Option<&'a str>,
}

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Whether it was there before.
    pub existed: bool,
    /// Whether the registry took it over from another of its repositories.
    pub mounted: bool,
    /// Bytes that were sent, those of failed tries not counted.
    pub sent: u64,
    /// Bytes that had to be sent once more, as a try failed.
    pub resent: u64,
}

impl Pushed {
    /// It was there; nothing was sent.
    pub const EXISTED: Self = Self { existed: true, mounted: false, sent: 0, resent: 0 };
    /// It was taken over from another repository; nothing was sent.
    pub const MOUNTED: Self = Self { existed: false, mounted: true, sent: 0, resent: 0 };
}

/// Registries, all of them: a repository says which one is meant. Everything that is read is checked against size and
/// digest; nothing is returned as success that was not.
pub trait Registry: Send + Sync {
    /// What `reference` is, without its bytes.
    fn resolve(&self, reference: &ImageRef) -> Result<Descriptor, RegistryError>;

    /// The manifest or index of `reference`, its exact bytes.
    fn manifest(&self, reference: &ImageRef) -> Result<RawManifest, RegistryError>;

    /// Writes a blob to `sink`. What was written before an error is not to be used.
    fn blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        sink: &mut dyn Write,
    ) -> Result<(), RegistryError>;

    /// Whether a blob is in a repository.
    fn has_blob(&self, repository: &Repository, digest: BlobDigest) -> Result<bool, RegistryError>;

    /// All tags of a repository, sorted.
    fn tags(&self, repository: &Repository) -> Result<Vec<String>, RegistryError>;

    /// The digest that a tag points to, or the digest itself, for who is about to push there; `None` where there is
    /// nothing, or the registry does not say.
    fn present(&self, reference: &ImageRef) -> Result<Option<BlobDigest>, RegistryError>;

    /// Sends a blob unless it is there, or can be mounted from a repository that is known to hold it. `progress` gets the bytes of it sent so far; the number falls back when the
    /// blob has to be sent again.
    fn push_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        source: &BlobSource,
        progress: &dyn Fn(u64),
    ) -> Result<Pushed, RegistryError>;

    /// Stores a manifest or index under the key of `reference`, its tag or its digest. Everything that it names has
    /// to be there, but for a `subject`, among whose referrers it is listed afterwards. Repeating it changes nothing.
    fn push_manifest(
        &self,
        reference: &ImageRef,
        media_type: MediaType,
        bytes: &[u8],
    ) -> Result<(), RegistryError>;

    /// The manifests that name `subject` as theirs: signatures, SBOMs, statements. None where it is not there.
    fn referrers(
        &self,
        repository: &Repository,
        subject: BlobDigest,
    ) -> Result<Vec<RawDescriptor>, RegistryError>;

    /// Tells that a repository holds these blobs: what is pushed to another one of its registry is mounted from it. What
    /// was pushed or pulled here is known without. Where it proves wrong the bytes are sent.
    fn holds(&self, _repository: &Repository, _blobs: &BTreeSet<BlobDigest>) {}

    /// What `reference` is at its own registry: a mirror's word about a tag is taken only where that cannot be reached.
    /// For what is written into a lock.
    fn resolve_at_source(&self, reference: &ImageRef) -> Result<Descriptor, RegistryError> {
        self.resolve(reference)
    }

    /// Writes the file at an address (`https://`, or `http://` of this machine; no credentials, no query) to `sink`; its
    /// digest and size in bytes. What was written before an error is not to be used: `expected` is the only content
    /// that is taken.
    fn file(
        &self,
        address: &str,
        expected: Option<BlobDigest>,
        sink: &mut dyn Write,
    ) -> Result<(BlobDigest, u64), RegistryError>;

    /// The same for a file of an archive of packages, whose rules about TLS and size are others.
    fn archive_file(
        &self,
        file: &ArchiveFile<'_>,
        sink: &mut dyn Write,
    ) -> Result<(BlobDigest, u64), RegistryError> {
        self.file(file.address, file.expected, sink)
    }
}
