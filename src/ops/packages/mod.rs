//! Packages of distributions: which ones an image gets, where their files are, and what they hold.

mod apk;
mod archive;
mod contents;
mod debian;
mod error;
mod fetch;
mod newer;
mod parts;
mod place;
mod release;
mod request;
mod unpack;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

pub use apk::ApkPackageError;
pub(super) use apk::ApkPlaces;
pub use error::PackageError;
pub use place::{PlacedPackages, place_packages};

use super::error::Error;
use super::error::ErrorKind;
use super::prepare::{Session, Target};
use super::slots::Slots;
use crate::apk::ApkFacts;
use crate::base::BaseImage;
use crate::debian::{DebFacts, Index};
use crate::model::{BlobDigest, Contents, PackageFile, PinnedPackage};
use crate::spec::Packages;

/// The packages of one image for one platform: a package stands behind those that it depends on, as far as there is such an
/// order.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PackageSet {
    /// All that are put on the base, those of the base not among them.
    pub packages: Vec<PinnedPackage>,
}

/// What one command found out about packages.
#[derive(Default)]
pub(super) struct KnownPackages {
    archives: archive::Archives,
    /// States of repositories, or why they are not known.
    releases: Slots<String, Result<Arc<release::KnownRelease>, Arc<ErrorKind>>>,
    /// The indexes that were read last, with what names them.
    indexes: Mutex<Option<(String, Vec<Index>)>>,
    /// Packages by requests.
    sets: Slots<String, Arc<PackageSet>>,
    /// Where the files of packages are.
    places: Mutex<BTreeMap<BlobDigest, fetch::Place>>,
    /// Files that are brought.
    blobs: Slots<BlobDigest, ()>,
    /// What was told.
    told: Mutex<BTreeSet<String>>,
}

/// A package with what it holds.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// Which one.
    pub pinned: PinnedPackage,
    /// What it holds.
    pub facts: Arc<PackageFacts>,
    /// Its files' bytes, unpacked when the first of them is wanted.
    pub contents: Arc<dyn Contents>,
}

/// What a package holds, by its kind.
#[derive(Debug, Clone)]
pub enum PackageFacts {
    /// A .deb.
    Deb(DebFacts),
    /// An .apk.
    Apk(ApkFacts),
}

impl PackageFacts {
    /// Its files.
    pub fn files(&self) -> Vec<&PackageFile> {
        match self {
            Self::Deb(deb) => deb.files.iter().collect(),
            Self::Apk(apk) => apk.files.iter().map(|file| &file.file).collect(),
        }
    }
}

impl Session<'_> {
    /// Everything that decides which packages an image gets, where the lock says it and no base need be read; the empty
    /// text for an image without packages.
    pub(super) fn packages_identity(&self, target: &Target) -> Option<String> {
        match &target.spec.packages {
            None => Some(String::new()),
            Some(Packages::Debian(packages)) => self.debian_identity(target, packages),
            Some(Packages::Apk(packages)) => self.apk_identity(target, packages),
        }
    }

    /// Which packages an image on `base` gets: as the lock says, else as the newest indexes give it, which is then pinned.
    pub(super) fn package_set(
        &self,
        target: &Target,
        base: &BaseImage,
    ) -> Result<Option<Arc<PackageSet>>, Error> {
        match &target.spec.packages {
            None => Ok(None),
            Some(Packages::Debian(packages)) => self.debian_set(target, packages, base).map(Some),
            Some(Packages::Apk(packages)) => self.apk_set(target, packages, base).map(Some),
        }
    }

    /// What the packages of an image hold.
    pub(super) fn unpack(&self, target: &Target, set: &PackageSet) -> Result<Vec<Unpacked>, Error> {
        match &target.spec.packages {
            Some(Packages::Apk(packages)) => self.unpack_apks(packages, set),
            _ => self.unpack_debs(set),
        }
    }
}
