use super::parts::package_parts;
use super::{PackageFacts, Unpacked};
use crate::debian::{DebFacts, Documentation, merge_packages};
use crate::model::{BaseFacts, Entry, EntryKind, Owner, PackageFile};
use crate::ops::error::Error;
use crate::plan::{LayerError, LayerPart};
use crate::spec::{Keep, Packages};

/// What packages are in an image.
#[derive(Debug, Default)]
pub struct PlacedPackages {
    /// Their layers.
    pub parts: Vec<LayerPart>,
    /// Entries that belong to all of them, for the composed layer.
    pub shared: Vec<Entry>,
}

/// Puts packages on a base.
pub fn place_packages(
    spec: Option<&Packages>,
    packages: &[Unpacked],
    base: &BaseFacts,
) -> Result<PlacedPackages, Error> {
    let Some(Packages::Debian(spec)) = spec else { return Ok(PlacedPackages::default()) };
    let debs: Vec<(&str, &DebFacts)> = packages
        .iter()
        .map(|package| match &*package.facts {
            PackageFacts::Deb(facts) => (package.pinned.name.as_str(), facts),
        })
        .collect();
    let merged =
        merge_packages(&debs, base, &|kind| keeps(spec.keep, kind)).map_err(|errors| Error::from(errors))?;
    let rows: Vec<(&Unpacked, &[PackageFile])> =
        packages.iter().zip(merged.files.iter().map(Vec::as_slice)).collect();
    let parts = package_parts(&rows).map_err(LayerError::from)?;
    let shared = merged.links.into_iter().map(|(path, target)| Entry {
        path,
        kind: EntryKind::Symlink { target },
        mode: 0o777,
        owner: Owner::default(),
        origin: "the merged /usr".into(),
    });
    Ok(PlacedPackages { parts, shared: shared.collect() })
}

fn keeps(keep: Keep, kind: Documentation) -> bool {
    match kind {
        Documentation::Docs => keep.docs,
        Documentation::Man => keep.man,
        Documentation::Locales => keep.locales,
    }
}
