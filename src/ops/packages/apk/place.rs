use super::asked;
use super::error::ApkPackageError;
use crate::apk::{ApkFacts, Installation, install};
use crate::model::{BaseFacts, Entry, EntryKind, Owner, PackageFile, PinnedPackage};
use crate::ops::error::Error;
use crate::ops::packages::parts::package_parts;
use crate::ops::packages::place::PlacedPackages;
use crate::ops::packages::{PackageFacts, Unpacked};
use crate::plan::LayerError;
use crate::spec::ApkPackages;

/// Puts Alpine packages on a base.
pub(in crate::ops::packages) fn place_apks(
    spec: &ApkPackages,
    packages: &[Unpacked],
    base: &BaseFacts,
) -> Result<PlacedPackages, Error> {
    let facts: Vec<(&PinnedPackage, &ApkFacts)> = packages
        .iter()
        .filter_map(|package| match &*package.facts {
            PackageFacts::Apk(facts) => Some((&package.pinned, facts)),
            PackageFacts::Deb(_) => None,
        })
        .collect();
    let installation =
        Installation { packages: &facts, base, asked: &asked(spec)?, ignored: &spec.scripts_ignored };
    let installs = install(&installation)
        .map_err(|errors| Error::from(ApkPackageError::Install(errors)).at(&spec.site))?;
    let rows: Vec<(&Unpacked, &[PackageFile])> =
        packages.iter().zip(installs.files.iter().map(Vec::as_slice)).collect();
    let parts = package_parts(&rows).map_err(LayerError::from)?;
    let gone = installs.gone.into_iter().map(|path| Entry {
        path,
        kind: EntryKind::Whiteout,
        mode: 0o644,
        owner: Owner::default(),
        origin: "packages.apk".into(),
    });
    Ok(PlacedPackages { parts, composed: gone.collect(), effects: installs.effects })
}
