//! Packages of distributions: which ones an image gets, where their files are, and what they hold.

mod contents;
mod parts;
mod place;
mod unpack;

use std::sync::Arc;

pub use place::place_packages;

use super::error::Error;
use super::prepare::{Session, Target};
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
        _base: &BaseImage,
    ) -> Result<Option<Arc<PackageSet>>, Error> {
        match &target.spec.packages {
            None => Ok(None),
            Some(Packages::Debian(_)) => {
                Err(Error::usage("packages.debian is not in this version of imgpack yet"))
            }
            Some(Packages::Apk(_)) => Err(Error::usage("packages.apk is not in this version of imgpack yet")),
        }
    }
}
