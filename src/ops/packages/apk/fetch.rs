use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::{Mutex, PoisonError};

use super::error::ApkPackageError;
use super::repository::Repository;
use super::request::ApkRequest;
use crate::apk::Install;
use crate::model::{BlobDigest, KeyDigest, PinnedPackage};
use crate::ops::error::Error;
use crate::ops::prepare::Session;
use crate::registry::ArchiveFile;
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
        let digest = self.apk_download(
            repository.source(&file),
            &repository.address(&file),
            &package.full_name(),
            package.size,
            None,
        )?;
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
        let address = format!("{place}/{file}");
        let is_address = place.starts_with("http://") || place.starts_with("https://");
        let source = (!is_address).then(|| SourcePath { path: address.clone(), site: site.clone() });
        let name = format!("{}-{}", package.name, package.version);
        self.apk_download(source, &address, &name, package.size, Some(package.digest))?;
        Ok(())
    }

    fn apk_download(
        &self,
        source: Option<SourcePath>,
        address: &str,
        name: &str,
        size: u64,
        expected: Option<BlobDigest>,
    ) -> Result<BlobDigest, Error> {
        let mut blob = self.machine.store.write_blob()?;
        let what = || format!("package {name}");
        let (digest, length) = match source {
            Some(path) => {
                let file = fs::open(&self.sources.located(&path)?)?;
                let copied = std::io::copy(&mut file.take(size + 1), &mut blob);
                let length = copied.map_err(|source| ApkPackageError::Read { path: path.path, source })?;
                blob.flush().map_err(|source| ApkPackageError::Read { path: address.to_owned(), source })?;
                (blob.finish()?.0, length)
            }
            None => {
                let file = ArchiveFile { address, expected, limit: size, proxy: None };
                let fetched = self.machine.registry.archive_file(&file, &mut blob);
                let (_, length) =
                    fetched.map_err(|source| ApkPackageError::Fetch { what: what(), source })?;
                (blob.finish()?.0, length)
            }
        };
        if length != size {
            return Err(
                ApkPackageError::Size { what: what(), address: address.to_owned(), expected: size }.into()
            );
        }
        match expected {
            Some(expected) if expected != digest => Err(ApkPackageError::Content {
                what: what(),
                address: address.to_owned(),
                expected,
                found: digest,
            }
            .into()),
            _ => Ok(digest),
        }
    }
}
