use std::collections::BTreeSet;
use std::io::{self, Read as _};

use super::apk::place_apks;
use super::parts::package_parts;
use super::{PackageFacts, Unpacked};
use crate::debian::{DebFacts, Documentation, Installation, effects, merge_packages};
use crate::model::{
    BaseFacts, Effects, Entry, EntryKind, ImagePath, Owner, PackageFile, PackageFileKind, PinnedPackage,
};
use crate::ops::error::{Error, ErrorKind};
use crate::plan::{LayerError, LayerPart};
use crate::spec::{Keep, Packages};

/// What packages are in an image.
#[derive(Debug, Default)]
pub struct PlacedPackages {
    /// Their layers.
    pub parts: Vec<LayerPart>,
    /// Entries of the composed layer: links of the root into `/usr`, and what is gone from the base with packages whose
    /// place others take.
    pub composed: Vec<Entry>,
    /// What they ask of the image beyond their files.
    pub effects: Effects,
}

/// Puts packages on a base. `bring` is asked before a file of a package is read.
pub fn place_packages(
    spec: Option<&Packages>,
    packages: &[Unpacked],
    base: &BaseFacts,
    bring: &dyn Fn(&PinnedPackage) -> Result<(), Error>,
) -> Result<PlacedPackages, Error> {
    let spec = match spec {
        None => return Ok(PlacedPackages::default()),
        Some(Packages::Apk(spec)) => return place_apks(spec, packages, base),
        Some(Packages::Debian(spec)) => spec,
    };
    let facts: Vec<&DebFacts> = packages
        .iter()
        .filter_map(|package| match &*package.facts {
            PackageFacts::Deb(facts) => Some(facts),
            PackageFacts::Apk(_) => None,
        })
        .collect();
    let names = packages.iter().map(|package| package.pinned.name.as_str());
    let debs: Vec<(&str, &DebFacts)> = names.zip(facts.iter().copied()).collect();
    let merged = merge_packages(&debs, base, &|kind| keeps(spec.keep, kind))
        .map_err(|errors| Error::from(ErrorKind::Packages(errors)).at(&spec.site))?;
    let rows: Vec<(&Unpacked, &[PackageFile])> =
        packages.iter().zip(merged.files.iter().map(Vec::as_slice)).collect();
    let parts = package_parts(&rows).map_err(LayerError::from)?;
    let effects = effects(&Installation {
        packages: &facts,
        files: &merged.files,
        base,
        ignored: &spec.scripts_ignored,
        read: &|index, file| {
            bring(&packages[index].pinned).map_err(|error| io::Error::other(error.kind))?;
            read(&packages[index], file)
        },
    })
    .map_err(Error::scripts)?;
    let links = merged.links.into_iter().map(|(path, target)| Entry {
        path,
        kind: EntryKind::Symlink { target },
        mode: 0o777,
        owner: Owner::default(),
        origin: "the merged /usr".into(),
    });
    // What scripts make stands there again, the rows of the database too.
    let made: BTreeSet<ImagePath> =
        effects.made.keys().filter_map(|path| base.resolve_parents(path)).collect();
    let gone = merged.gone.into_iter().filter(|path| !made.contains(path)).map(|path| Entry {
        path,
        kind: EntryKind::Whiteout,
        mode: 0o644,
        owner: Owner::default(),
        origin: "packages.debian".into(),
    });
    let composed = links.chain(gone).collect();
    Ok(PlacedPackages { parts, composed, effects })
}

/// A file of a package that composed files are made of.
fn read(package: &Unpacked, file: &PackageFile) -> io::Result<Vec<u8>> {
    let PackageFileKind::File { size, offset, .. } = file.kind else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut bytes = Vec::new();
    if size > 0 {
        package.contents.open(offset, size)?.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn keeps(keep: Keep, kind: Documentation) -> bool {
    match kind {
        Documentation::Docs => keep.docs,
        Documentation::Man => keep.man,
        Documentation::Locales => keep.locales,
    }
}
