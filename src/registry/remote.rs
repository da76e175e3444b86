use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use super::auth::{Access, Auth};
use super::clients::{Clients, Patience};
use super::credential_places::CredentialPlaces;
use super::error::RegistryError;
use super::holders::Holders;
use super::http::Http;
use super::port::{BlobSource, Pushed, RawManifest, Registry};
use super::realm::Realms;
use super::retry::Retry;
use super::runtime::Runtime;
use super::sign_in::SignIn;
use crate::model::{BlobDigest, Descriptor, ImageRef, MediaType, Repository};
use crate::system::Cancel;

/// What a [`Remote`] is made of.
#[derive(Debug, Clone, Default)]
pub struct RemoteConfig {
    /// Where credentials are looked for, when a registry first asks who we are.
    pub credentials: CredentialPlaces,
    /// Token servers that get credentials beside those of a registry's own domain.
    pub realms: Realms,
    /// PEM files of certificates that are trusted beside the machine's own.
    pub ca_files: Vec<PathBuf>,
    /// Directories with a directory of certificates for each host (containers-certs.d(5)): those are trusted for that
    /// host alone.
    pub certificate_directories: Vec<PathBuf>,
    /// How often a request is tried.
    pub retry: Retry,
    /// How long a silent registry is waited for.
    pub patience: Patience,
    /// Ends whatever is under way.
    pub cancel: Cancel,
}

/// Registries over the network. Making one opens nothing and starts nothing; the first request does.
pub struct Remote {
    http: Http,
    runtime: Runtime,
    cancel: Cancel,
}

impl Remote {
    /// Registries as `config` says.
    pub fn new(config: RemoteConfig) -> Self {
        let RemoteConfig { credentials, realms, ca_files, certificate_directories, retry, patience, cancel } =
            config;
        let http = Http {
            clients: Clients::new(patience, ca_files, certificate_directories),
            auth: Auth::new(credentials, cancel.clone()),
            realms,
            holders: Holders::default(),
            retry,
            patience,
        };
        Self { http, runtime: Runtime::default(), cancel }
    }

    /// Asks the registry to let us in, with `access` to the repository or to no repository in particular, and with what
    /// is found in the places of credentials.
    pub fn sign_in(&self, repository: &Repository, whole: bool) -> Result<SignIn, RegistryError> {
        self.run(self.http.sign_in(repository, if whole { Access::Registry } else { Access::Pull }))
    }

    fn run<T>(&self, work: impl Future<Output = Result<T, RegistryError>>) -> Result<T, RegistryError> {
        self.runtime.run(&self.cancel, work)
    }
}

impl Registry for Remote {
    fn resolve(&self, reference: &ImageRef) -> Result<Descriptor, RegistryError> {
        self.run(self.http.resolve(reference))
    }

    fn manifest(&self, reference: &ImageRef) -> Result<RawManifest, RegistryError> {
        self.run(self.http.manifest(reference))
    }

    fn blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        sink: &mut dyn Write,
    ) -> Result<(), RegistryError> {
        self.run(self.http.blob(repository, blob, sink))
    }

    fn has_blob(&self, repository: &Repository, digest: BlobDigest) -> Result<bool, RegistryError> {
        self.run(self.http.has_blob(repository, digest, Access::Pull))
    }

    fn tags(&self, repository: &Repository) -> Result<Vec<String>, RegistryError> {
        self.run(self.http.tags(repository))
    }

    fn present(&self, reference: &ImageRef) -> Result<Option<BlobDigest>, RegistryError> {
        self.run(self.http.present(reference))
    }

    fn push_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        source: &BlobSource,
        progress: &dyn Fn(u64),
    ) -> Result<Pushed, RegistryError> {
        self.run(self.http.push_blob(repository, blob, source, progress))
    }

    fn push_manifest(
        &self,
        reference: &ImageRef,
        media_type: MediaType,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        self.run(self.http.push_manifest(reference, media_type, bytes))
    }

    fn holds(&self, repository: &Repository, blobs: &BTreeSet<BlobDigest>) {
        for digest in blobs {
            self.http.holders.add(repository, *digest);
        }
    }
}
