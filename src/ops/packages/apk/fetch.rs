use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::{Mutex, PoisonError};

use super::error::ApkPackageError;
use super::repository::Repository;
use super::request::ApkRequest;
use crate::apk::Install;
use crate::model::{BlobDigest, KeyDigest, PinnedPackage};
use crate::ops::error::{Error, ErrorKind};
use crate::ops::packages::archive::{Root, alpine_parts};
use crate::ops::packages::error::PackageError;
use crate::ops::packages::fetch::Wanted;
use crate::ops::prepare::Session;
use crate::registry::{FileError, RegistryError};
use crate::spec::{Site, SourcePath};
use crate::system::fs;

/// In which repositories packages are, by the digests of their files.
#[derive(Debug, Default)]
pub(in crate::ops) struct ApkPlaces(Mutex<BTreeMap<BlobDigest, String>>);

impl ApkPlaces {
    pub(super) fn is_at(&self, digest: BlobDigest, repository: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, repository.to_owned());
    }

    fn place(&self, digest: BlobDigest) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned()
    }
}

/// Where an index's package is noted, whose identity it says.
fn file_key(identity: &str, size: u64) -> KeyDigest {
    KeyDigest::of(format!("imgpack apk file 1\n{identity}\n{size}").as_bytes())
}

impl Session<'_> {
    /// Brings the package that an index names into the store, and checks that it is the one.
    pub(super) fn apk_bring(
        &self,
        repository: &Repository,
        request: &ApkRequest,
        install: &Install,
    ) -> Result<PinnedPackage, Error> {
        self.machine.cancel.check()?;
        let package = &install.package;
        let pinned = |digest| PinnedPackage {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: request.architecture.clone(),
            digest,
            size: package.size,
        };
        let store = self.machine.store;
        let key = file_key(&package.identity, package.size);
        let noted =
            store.note(&key).and_then(|bytes| String::from_utf8(bytes).ok()?.parse::<BlobDigest>().ok());
        if let Some(digest) = noted.filter(|digest| store.has_blob(digest, package.size)) {
            self.apk_places.is_at(digest, &repository.name);
            return Ok(pinned(digest));
        }
        let file = format!("{}/{}.apk", request.architecture, package.full_name());
        let source = repository.source(&file);
        let digest =
            self.apk_download(&repository.name, source, &file, &package.full_name(), package.size, None)?;
        let pinned = pinned(digest);
        let unpacked = self.unpacked.get(digest, || self.unpack_apk(&pinned))?;
        if let super::super::PackageFacts::Apk(facts) = &*unpacked.facts
            && facts.identity != package.identity
        {
            let (said, found) = (package.identity.clone(), facts.identity.clone());
            return Err(ApkPackageError::Identity { package: package.full_name(), said, found }.into());
        }
        store.put_note(&key, digest.to_string().as_bytes())?;
        self.apk_places.is_at(digest, &repository.name);
        Ok(pinned)
    }

    /// Brings a pinned package into the store, where it is not there.
    pub(super) fn apk_file(&self, package: &PinnedPackage, site: &Site) -> Result<(), Error> {
        if self.machine.store.has_blob(&package.digest, package.size) {
            return Ok(());
        }
        let place = self.apk_places.place(package.digest);
        let place = place.ok_or_else(|| Error::bug(format!("{} without a repository", package.name)))?;
        let file = format!("{}/{}-{}.apk", package.architecture, package.name, package.version);
        let is_address = place.starts_with("http://") || place.starts_with("https://");
        let source =
            (!is_address).then(|| SourcePath { path: format!("{place}/{file}"), site: site.clone() });
        let name = format!("{}-{}", package.name, package.version);
        self.apk_download(&place, source, &file, &name, package.size, Some(package.digest))?;
        Ok(())
    }

    fn apk_download(
        &self,
        repository: &str,
        source: Option<SourcePath>,
        file: &str,
        name: &str,
        size: u64,
        expected: Option<BlobDigest>,
    ) -> Result<BlobDigest, Error> {
        let what = format!("package {name}");
        let Some(path) = source else {
            let wanted = ApkFile { what: &what, file, expected, limit: size };
            let get = |root: &Root, wanted: &Wanted<'_>| {
                let mut blob = self.machine.store.write_blob()?;
                self.fetch_from(root, wanted, &mut blob)?;
                Ok(blob.finish()?)
            };
            let ((digest, length), address) = match self.apk_get(repository, &wanted, &get) {
                Err(error) => return Err(as_size(error, &what, size)),
                Ok(found) => found,
            };
            if length != size {
                return Err(PackageError::Size { what, address, expected: size }.into());
            }
            return Ok(digest);
        };
        let address = path.path.clone();
        let unread = |source| ApkPackageError::Read { path: address.clone(), source };
        let mut blob = self.machine.store.write_blob()?;
        let file = fs::open(&self.sources.located(&path)?)?;
        std::io::copy(&mut file.take(size + 1), &mut blob).map_err(unread)?;
        blob.flush().map_err(unread)?;
        let (digest, length) = blob.finish()?;
        if length != size {
            return Err(ApkPackageError::Size { what, address, expected: size }.into());
        }
        match expected {
            Some(expected) if expected != digest => {
                Err(ApkPackageError::Content { what, address, expected, found: digest }.into())
            }
            _ => Ok(digest),
        }
    }

    /// What `get` gives of a file of a repository that has an address, at the first place that has it; and that place.
    pub(super) fn apk_get<T>(
        &self,
        repository: &str,
        file: &ApkFile<'_>,
        get: &dyn Fn(&Root, &Wanted<'_>) -> Result<T, Error>,
    ) -> Result<(T, String), Error> {
        let (roots, folder) = self.packages.archives.alpine(self.machine, repository);
        let path = if folder.is_empty() { file.file.to_owned() } else { format!("{folder}/{}", file.file) };
        let expected = file.expected.map(|digest| (digest, file.limit));
        let wanted = Wanted { what: file.what, path: &path, expected, limit: file.limit };
        let found = self.first_of(&roots, file.what, &|root| get(root, &wanted));
        let (found, root) = found.map_err(|error| of_apk(error, repository))?;
        Ok((found, format!("{root}/{path}")))
    }
}

/// A file of a repository that is wanted.
pub(super) struct ApkFile<'w> {
    /// In words.
    pub(super) what: &'w str,
    /// Below the repository.
    pub(super) file: &'w str,
    /// Its digest, where it is known.
    pub(super) expected: Option<BlobDigest>,
    /// Most bytes that are taken.
    pub(super) limit: u64,
}

/// Of a package whose digest is not known yet: that it is longer than its index says.
fn as_size(error: Error, what: &str, expected: u64) -> Error {
    if let ErrorKind::Registry(RegistryError::File(failure)) = &*error.kind
        && let FileError::TooLarge { address, .. } = &**failure
    {
        return PackageError::Size { what: what.to_owned(), address: address.clone(), expected }.into();
    }
    error
}

/// An error of fetching in the words for Alpine.
fn of_apk(error: Error, repository: &str) -> Error {
    let Error { kind, context, .. } = error;
    let has_mirrors = alpine_parts(repository).is_some();
    let said = match *kind {
        ErrorKind::Package(error) => match *error {
            PackageError::Fetch { what, source } => {
                ApkPackageError::Fetch { what, source, has_mirrors }.into()
            }
            other => Error::from(other),
        },
        other => other.into(),
    };
    Error { context, ..said }
}
