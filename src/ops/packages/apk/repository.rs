use std::io::Read as _;
use std::sync::Arc;

use super::error::ApkPackageError;
use super::fetch::ApkFile;
use super::state::BaseState;
use crate::apk::{Package, PublicKey, read_index};
use crate::model::{BlobDigest, Digest};
use crate::ops::error::{Error, ErrorKind};
use crate::ops::packages::archive::Root;
use crate::ops::packages::error::PackageError;
use crate::ops::packages::fetch::Wanted;
use crate::ops::prepare::Session;
use crate::registry::RegistryError;
use crate::spec::{ApkLocation, ApkPackages, ApkRepository, SourcePath};
use crate::system::fs;

/// Longest index in bytes: ten times that of Alpine's largest.
const INDEX_LIMIT: u64 = 32 << 20;
/// Longest public key in bytes.
const KEY_LIMIT: u64 = 64 << 10;

/// A repository of Alpine packages.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    /// Its name in locks and messages: its address, or its directory.
    pub(super) name: String,
    /// Where it is, where that is a directory of the workspace.
    directory: Option<SourcePath>,
    /// Who may sign it.
    keys: Arc<Vec<PublicKey>>,
}

impl Repository {
    /// How the spec says where it is.
    pub(super) fn location(row: &ApkRepository) -> String {
        match &row.from {
            ApkLocation::Url(url) => url.trim_end_matches('/').to_owned(),
            ApkLocation::Directory(path) => path.path.clone(),
        }
    }

    /// A file of a directory of the workspace.
    pub(super) fn source(&self, file: &str) -> Option<SourcePath> {
        let directory = self.directory.as_ref()?;
        let path = format!("{}/{file}", directory.path);
        Some(SourcePath { path, ..directory.clone() })
    }
}

impl Session<'_> {
    /// The base's repositories, and those of the spec.
    pub(super) fn apk_repositories(
        &self,
        packages: &ApkPackages,
        state: &BaseState,
    ) -> Result<Vec<Repository>, Error> {
        let own = Arc::new(state.keys.clone());
        let of_base = state.repositories.iter().map(|address| Repository {
            name: address.clone(),
            directory: None,
            keys: Arc::clone(&own),
        });
        let mut found = Vec::new();
        for row in &packages.repositories {
            let mut keys = state.keys.clone();
            if let Some(key) = &row.key {
                keys.push(self.apk_key(key)?);
            }
            let directory = match &row.from {
                ApkLocation::Directory(path) => Some(path.clone()),
                ApkLocation::Url(_) => None,
            };
            found.push(Repository { name: Repository::location(row), directory, keys: Arc::new(keys) });
        }
        // What the spec adds goes before what the base has, of equal versions.
        found.extend(of_base);
        if found.is_empty() { Err(ApkPackageError::NoRepository.into()) } else { Ok(found) }
    }

    fn apk_key(&self, key: &SourcePath) -> Result<PublicKey, Error> {
        let mut text = String::new();
        let file = fs::open(&self.sources.located(key)?)?;
        let name = key.path.rsplit('/').next().unwrap_or_default();
        let read = file.take(KEY_LIMIT).read_to_string(&mut text);
        let parsed = match read {
            Ok(_) => PublicKey::parse(name, &text),
            Err(_) => PublicKey::parse(name, ""),
        };
        parsed.map_err(|source| Error::from(ApkPackageError::Key(source)).at(&key.site))
    }

    /// The packages of a repository for an architecture.
    pub(super) fn apk_index(
        &self,
        repository: &Repository,
        architecture: &str,
    ) -> Result<Arc<Vec<Package>>, Error> {
        self.machine.cancel.check()?;
        let file = format!("{architecture}/APKINDEX.tar.gz");
        // Who is believed is another image's own affair.
        let believed = Digest::of(format!("{:?}", repository.keys).as_bytes()).hex();
        self.apk_indexes.get(format!("{}/{file} {believed}", repository.name), || {
            let (bytes, address) = if let Some(path) = repository.source(&file) {
                let mut bytes = Vec::new();
                let file = fs::open(&self.sources.located(&path)?)?;
                let read = file.take(INDEX_LIMIT + 1).read_to_end(&mut bytes);
                read.map_err(|source| ApkPackageError::Read { path: path.path.clone(), source })?;
                if bytes.len() as u64 > INDEX_LIMIT {
                    return Err(ApkPackageError::TooLong { path: path.path, limit: INDEX_LIMIT }.into());
                }
                (bytes, path.path)
            } else {
                let what = format!("the index of {}", repository.name);
                let wanted = ApkFile { what: &what, file: &file, expected: None, limit: INDEX_LIMIT };
                let get = |root: &Root, wanted: &Wanted<'_>| {
                    let mut bytes = Vec::new();
                    self.fetch_from(root, wanted, &mut bytes)?;
                    Ok(bytes)
                };
                let found = self.apk_get(&repository.name, &wanted, &get);
                found.map_err(|error| as_offline(error, &repository.name))?
            };
            let digest = BlobDigest::of(&bytes);
            let index = read_index(&bytes, &repository.keys);
            let index = index.map_err(|source| ApkPackageError::Index {
                address: format!("{address} ({digest})"),
                source,
            })?;
            Ok(Arc::new(index))
        })
    }
}

/// Indexes are not kept: without a network only what is pinned is known.
fn as_offline(error: Error, repository: &str) -> Error {
    match &*error.kind {
        ErrorKind::Apk(failure)
            if matches!(**failure, ApkPackageError::Fetch { source: RegistryError::Offline { .. }, .. }) =>
        {
            PackageError::Offline { suite: repository.to_owned() }.into()
        }
        _ => error,
    }
}
