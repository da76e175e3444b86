use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::{Detail, RegistryError, Request};
use super::holders::Holders;
use super::port::{BlobSource, Pushed, RawManifest, Registry};
use super::referrers::referring;
use super::web::FileError;
use crate::model::{BlobDigest, Descriptor, ImageRef, MediaType, RawDescriptor, Repository};

/// Registries in memory, as strict as a real one: blobs are checked, and a manifest is refused while something that
/// it names is missing. For tests of what uses a registry.
#[derive(Debug, Default)]
pub struct Memory(Mutex<State>, Holders);

#[derive(Debug, Default)]
struct State {
    repositories: BTreeMap<Repository, Contents>,
    unlucky: BTreeSet<BlobDigest>,
    log: Vec<String>,
}

#[derive(Debug, Default)]
struct Contents {
    blobs: BTreeMap<BlobDigest, Vec<u8>>,
    manifests: BTreeMap<BlobDigest, RawManifest>,
    tags: BTreeMap<String, BlobDigest>,
}

impl Memory {
    /// Registries without any repository.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every call that asks before a push or changes something, in order: `present REF`, `asked REPOSITORY DIGEST`, `blob
    /// REPOSITORY DIGEST` (sent), `mounted REPOSITORY DIGEST`, `manifest REF`, `index REF`.
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// From now on this blob is answered with an error.
    pub fn fail_blob(&self, digest: BlobDigest) {
        self.state().unlucky.insert(digest);
    }

    /// A blob is gone, though manifests name it.
    pub fn lose_blob(&self, repository: &Repository, digest: BlobDigest) {
        if let Some(contents) = self.state().repositories.get_mut(repository) {
            contents.blobs.remove(&digest);
        }
    }

    fn bytes(&self, repository: &Repository, digest: BlobDigest) -> Option<Vec<u8>> {
        self.state().repositories.get(repository)?.blobs.get(&digest).cloned()
    }

    fn keep(&self, how: &str, repository: &Repository, digest: BlobDigest, bytes: Vec<u8>) {
        self.1.add(repository, digest);
        let mut state = self.state();
        state.log.push(format!("{how} {repository} {digest}"));
        state.repositories.entry(repository.clone()).or_default().blobs.insert(digest, bytes);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request(method: &'static str, repository: &Repository, rest: &str) -> Request {
    let url = format!("memory://{repository}/{rest}");
    Request { method, url, repository: repository.clone() }
}

fn status(
    method: &'static str,
    repository: &Repository,
    rest: &str,
    status: u16,
    code: &str,
) -> RegistryError {
    let request = Box::new(request(method, repository, rest));
    let detail = Box::new(Detail { code: Some(code.to_owned()), message: None });
    match status {
        404 => {
            let what = format!("{repository}/{rest}");
            RegistryError::NotFound { what, request, status, detail }
        }
        _ => RegistryError::Status { request, status, detail, wait: None },
    }
}

impl State {
    fn find(&self, reference: &ImageRef) -> Option<&RawManifest> {
        let contents = self.repositories.get(reference.repository())?;
        let digest = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => digest,
            (None, Some(tag)) => *contents.tags.get(tag)?,
            (None, None) => return None,
        };
        contents.manifests.get(&digest)
    }
}

impl Registry for Memory {
    fn resolve(&self, reference: &ImageRef) -> Result<Descriptor, RegistryError> {
        self.manifest(reference).map(|manifest| manifest.descriptor())
    }

    fn manifest(&self, reference: &ImageRef) -> Result<RawManifest, RegistryError> {
        self.state().find(reference).cloned().ok_or_else(|| {
            let rest = format!("manifests/{}", reference.key());
            status("GET", reference.repository(), &rest, 404, "MANIFEST_UNKNOWN")
        })
    }

    fn blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        sink: &mut dyn Write,
    ) -> Result<(), RegistryError> {
        let bytes = self.bytes(repository, blob.digest).ok_or_else(|| {
            status("GET", repository, &format!("blobs/{}", blob.digest), 404, "BLOB_UNKNOWN")
        })?;
        sink.write_all(&bytes).map_err(|source| RegistryError::Write { digest: blob.digest, source })
    }

    fn has_blob(&self, repository: &Repository, digest: BlobDigest) -> Result<bool, RegistryError> {
        let state = self.state();
        Ok(state.repositories.get(repository).is_some_and(|contents| contents.blobs.contains_key(&digest)))
    }

    fn tags(&self, repository: &Repository) -> Result<Vec<String>, RegistryError> {
        match self.state().repositories.get(repository) {
            Some(contents) if !contents.tags.is_empty() => Ok(contents.tags.keys().cloned().collect()),
            _ => Err(status("GET", repository, "tags/list", 404, "NAME_UNKNOWN")),
        }
    }

    fn present(&self, reference: &ImageRef) -> Result<Option<BlobDigest>, RegistryError> {
        let mut state = self.state();
        state.log.push(format!("present {reference}"));
        Ok(state.find(reference).map(|manifest| manifest.digest))
    }

    fn push_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        source: &BlobSource,
        progress: &dyn Fn(u64),
    ) -> Result<Pushed, RegistryError> {
        let rest = format!("blobs/{}", blob.digest);
        if self.state().unlucky.contains(&blob.digest) {
            return Err(status("PUT", repository, &rest, 500, "UNKNOWN"));
        }
        self.state().log.push(format!("asked {repository} {}", blob.digest));
        if self.has_blob(repository, blob.digest)? {
            self.1.add(repository, blob.digest);
            return Ok(Pushed::EXISTED);
        }
        if let BlobSource::Registry(from) = source {
            self.1.add(from, blob.digest);
        }
        if let Some(from) = self.1.of(repository, blob.digest)
            && let Some(bytes) = self.bytes(&from, blob.digest)
        {
            self.keep("mounted", repository, blob.digest, bytes);
            return Ok(Pushed::MOUNTED);
        }
        let bytes = match source {
            BlobSource::Bytes(bytes) => bytes.to_vec(),
            BlobSource::File(path) => std::fs::read(path)
                .map_err(|source| RegistryError::Read { what: path.display().to_string(), source })?,
            BlobSource::Registry(from) => {
                let mut bytes = Vec::new();
                self.blob(from, blob, &mut bytes)?;
                bytes
            }
        };
        if BlobDigest::of(&bytes) != blob.digest || bytes.len() as u64 != blob.size {
            return Err(status("PUT", repository, &rest, 400, "DIGEST_INVALID"));
        }
        progress(blob.size);
        self.keep("blob", repository, blob.digest, bytes);
        Ok(Pushed { sent: blob.size, ..Pushed::default() })
    }

    fn push_manifest(
        &self,
        reference: &ImageRef,
        media_type: MediaType,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        let (repository, digest) = (reference.repository(), BlobDigest::of(bytes));
        let refused = |code| status("PUT", repository, &format!("manifests/{}", reference.key()), 400, code);
        let mut state = self.state();
        let kind = if media_type.is_index() { "index" } else { "manifest" };
        state.log.push(format!("{kind} {reference}"));
        let contents = state.repositories.entry(repository.clone()).or_default();
        let document: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|_| refused("MANIFEST_INVALID"))?;
        let rows = |field: &str| match document.get(field) {
            Some(serde_json::Value::Array(rows)) => rows.clone(),
            Some(row) => vec![row.clone()],
            None => Vec::new(),
        };
        let named = |row: &serde_json::Value| row.get("digest")?.as_str()?.parse::<BlobDigest>().ok();
        let has_blob = |row| named(row).is_some_and(|digest| contents.blobs.contains_key(&digest));
        let has_manifest = |row| named(row).is_some_and(|digest| contents.manifests.contains_key(&digest));
        let complete = rows("config").iter().chain(&rows("layers")).all(has_blob)
            && rows("manifests").iter().all(has_manifest);
        if !complete {
            return Err(refused("MANIFEST_BLOB_UNKNOWN"));
        }
        if reference.digest().is_some_and(|wanted| wanted != digest) {
            return Err(refused("DIGEST_INVALID"));
        }
        contents.manifests.insert(digest, RawManifest { media_type, digest, bytes: bytes.to_vec() });
        if let (None, Some(tag)) = (reference.digest(), reference.tag()) {
            contents.tags.insert(tag.to_owned(), digest);
        }
        Ok(())
    }

    fn referrers(
        &self,
        repository: &Repository,
        subject: BlobDigest,
    ) -> Result<Vec<RawDescriptor>, RegistryError> {
        let state = self.state();
        let manifests =
            state.repositories.get(repository).into_iter().flat_map(|found| found.manifests.values());
        let rows = manifests.filter_map(|manifest| referring(manifest.media_type, &manifest.bytes));
        Ok(rows
            .filter(|(of, _)| *of == subject)
            .filter_map(|(_, row)| serde_json::from_value(row).ok())
            .collect())
    }

    fn holds(&self, repository: &Repository, blobs: &BTreeSet<BlobDigest>) {
        for digest in blobs {
            self.1.add(repository, *digest);
        }
    }

    fn file(
        &self,
        address: &str,
        _: Option<BlobDigest>,
        _: &mut dyn Write,
    ) -> Result<(BlobDigest, u64), RegistryError> {
        Err(FileError::Status { address: address.to_owned(), status: 404, wait: None }.into())
    }
}
