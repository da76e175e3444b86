use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::auth::{Access, Auth};
use super::clients::{Clients, Patience};
use super::credential_places::CredentialPlaces;
use super::error::RegistryError;
use super::holders::Holders;
use super::http::Http;
use super::mirrors::Mirrors;
use super::plain_http::PlainHttp;
use super::port::{ArchiveFile, BlobSource, Pushed, RawManifest, Registry};
use super::pull::Arriving;
use super::realm::Realms;
use super::referrers::{WithoutReferrers, referring};
use super::retry::Retry;
use super::runtime::Runtime;
use super::sign_in::SignIn;
use crate::model::{BlobDigest, Descriptor, ImageRef, MediaType, RawDescriptor, Repository};
use crate::system::Cancel;

/// What a [`Remote`] is made of.
#[derive(Debug, Clone, Default)]
pub struct RemoteConfig {
    /// Where credentials are looked for, when a registry first asks who we are.
    pub credentials: CredentialPlaces,
    /// Token servers that get credentials beside those of a registry's own domain.
    pub realms: Realms,
    /// Which registries are spoken to without TLS.
    pub plain_http: PlainHttp,
    /// PEM files of certificates that are trusted beside the machine's own.
    pub ca_files: Vec<PathBuf>,
    /// Directories with a directory of certificates for each host (containers-certs.d(5)): those are trusted for that
    /// host alone.
    pub certificate_directories: Vec<PathBuf>,
    /// Where repositories are read from first.
    pub mirrors: Mirrors,
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
    mirrors: Mirrors,
    runtime: Runtime,
    cancel: Cancel,
    /// Held while a list of referrers is changed: two pushes of this process do not undo each other.
    listing: Mutex<()>,
}

impl Remote {
    /// Registries as `config` says.
    pub fn new(config: RemoteConfig) -> Self {
        let RemoteConfig {
            credentials,
            realms,
            plain_http,
            ca_files,
            certificate_directories,
            mirrors,
            retry,
            patience,
            cancel,
        } = config;
        let http = Http {
            clients: Clients::new(patience, ca_files, certificate_directories),
            auth: Auth::new(credentials, cancel.clone()),
            realms,
            plain: plain_http,
            holders: Holders::default(),
            retry,
            patience,
            without_referrers: WithoutReferrers::default(),
        };
        Self { http, mirrors, runtime: Runtime::default(), cancel, listing: Mutex::default() }
    }

    /// Asks the registry to let us in, with `access` to the repository or to no repository in particular, and with what
    /// is found in the places of credentials.
    pub fn sign_in(&self, repository: &Repository, whole: bool) -> Result<SignIn, RegistryError> {
        self.run(self.http.sign_in(repository, if whole { Access::Registry } else { Access::Pull }))
    }

    fn run<T>(&self, work: impl Future<Output = Result<T, RegistryError>>) -> Result<T, RegistryError> {
        self.runtime.run(&self.cancel, work)
    }

    /// What the first place that has it says: the mirrors of `repository`, then itself.
    fn read<T>(
        &self,
        repository: &Repository,
        ask: impl Fn(&Repository) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        for mirror in self.mirrors.of(repository) {
            match ask(&mirror.repository) {
                Ok(answer) => return Ok(answer),
                Err(error) => self.mirrors.pass(&mirror, error)?,
            }
        }
        ask(repository)
    }
}

impl Registry for Remote {
    fn resolve(&self, reference: &ImageRef) -> Result<Descriptor, RegistryError> {
        self.read(reference.repository(), |repository| {
            let reference = reference.clone().of_repository(repository.clone());
            self.run(self.http.resolve(&reference))
        })
    }

    fn manifest(&self, reference: &ImageRef) -> Result<RawManifest, RegistryError> {
        self.read(reference.repository(), |repository| {
            let reference = reference.clone().of_repository(repository.clone());
            self.run(self.http.manifest(&reference))
        })
    }

    fn blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        sink: &mut dyn Write,
    ) -> Result<(), RegistryError> {
        let mut arriving = Arriving::new(blob, sink);
        // Who proved to have it.
        let finish = |arriving: Arriving<'_>, from: &Repository| {
            arriving.finish()?;
            self.http.holders.add(from, blob.digest);
            Ok(())
        };
        self.run(async {
            for mirror in self.mirrors.of(repository) {
                match self.http.bring(&mirror.repository, &mut arriving).await {
                    Ok(()) => return finish(arriving, &mirror.repository),
                    // What it brought is kept: the digest decides over the whole.
                    Err(error) => self.mirrors.pass(&mirror, error)?,
                }
            }
            self.http.bring(repository, &mut arriving).await?;
            finish(arriving, repository)
        })
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
        // A blob of the same registry is mounted, which no mirror can do better.
        if let BlobSource::Registry(from) = source
            && from.registry() != repository.registry()
        {
            for mirror in self.mirrors.of(from) {
                let source = BlobSource::Registry(mirror.repository.clone());
                match self.run(self.http.push_blob(repository, blob, &source, progress)) {
                    Err(error) if error.is_of_source(&mirror.repository, blob.digest) => {
                        self.mirrors.pass(&mirror, error)?;
                    }
                    result => return result,
                }
            }
        }
        self.run(self.http.push_blob(repository, blob, source, progress))
    }

    fn push_manifest(
        &self,
        reference: &ImageRef,
        media_type: MediaType,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        let listed = self.run(self.http.push_manifest(reference, media_type, bytes))?;
        if let (false, Some((subject, row))) = (listed, referring(media_type, bytes)) {
            let _turn = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
            self.run(self.http.list_referrer(reference.repository(), subject, &row))?;
        }
        Ok(())
    }

    fn referrers(
        &self,
        repository: &Repository,
        subject: BlobDigest,
    ) -> Result<Vec<RawDescriptor>, RegistryError> {
        self.run(self.http.referrers(repository, subject))
    }

    fn holds(&self, repository: &Repository, blobs: &BTreeSet<BlobDigest>) {
        for digest in blobs {
            self.http.holders.add(repository, *digest);
        }
    }

    fn resolve_at_source(&self, reference: &ImageRef) -> Result<Descriptor, RegistryError> {
        match self.run(self.http.resolve(reference)) {
            Err(RegistryError::Unreachable { .. }) if !self.mirrors.of(reference.repository()).is_empty() => {
                self.mirrors.stand_in(reference.repository());
                self.resolve(reference)
            }
            result => result,
        }
    }

    fn file(
        &self,
        address: &str,
        expected: Option<BlobDigest>,
        sink: &mut dyn Write,
    ) -> Result<(BlobDigest, u64), RegistryError> {
        self.run(self.http.file(address, expected, sink))
    }

    fn archive_file(
        &self,
        file: &ArchiveFile<'_>,
        sink: &mut dyn Write,
    ) -> Result<(BlobDigest, u64), RegistryError> {
        self.run(self.http.archive_file(file, sink))
    }
}
