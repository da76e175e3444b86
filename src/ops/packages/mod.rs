//! Packages of distributions: which ones an image gets, where their files are, and what they hold.

mod apk;
mod contents;
mod parts;
mod place;
mod unpack;

use std::sync::Arc;

pub use apk::ApkPackageError;
pub(super) use apk::ApkPlaces;
pub use place::place_packages;

use super::error::Error;
use super::prepare::{Session, Target};
use crate::apk::ApkFacts;
use crate::base::BaseImage;
use crate::debian::DebFacts;
use crate::model::{Contents, PinnedPackage};
use crate::spec::Packages;

/// The packages of one image for one platform: a package stands behind those that it depends on, as far as there is such an
/// order.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PackageSet {
    /// All that are put on the base, those of the base not among them.
    pub packages: Vec<PinnedPackage>,
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

impl Session<'_> {
    /// Everything that decides which packages an image gets, where the lock says it and no base need be read; the empty
    /// text for an image without packages.
    pub(super) fn packages_identity(&self, target: &Target) -> Option<String> {
        target.spec.packages.is_none().then(String::new)
    }

    /// Which packages an image on `base` gets: as the lock says, else as the newest indexes give it, which is then pinned.
    pub(super) fn package_set(
        &self,
        target: &Target,
        base: &BaseImage,
    ) -> Result<Option<Arc<PackageSet>>, Error> {
        match &target.spec.packages {
            None => Ok(None),
            Some(Packages::Debian(_)) => {
                Err(Error::usage("packages.debian is not in this version of imgpack yet"))
            }
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
