use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::contents::{Deb, PackageContents};
use super::{PackageFacts, PackageSet, Unpacked};
use crate::debian::{DebError, DebFacts};
use crate::key::Key;
use crate::model::{BlobDigest, Content, EntryKind, KeyDigest, PinnedPackage};
use crate::ops::assemble::PlannedImage;
use crate::ops::error::Error;
use crate::ops::pack::stored_layer;
use crate::ops::prepare::Session;
use crate::plan::PlannedLayer;
use crate::system::parallel;

/// Raised when another reading of the same package would find something else.
const REVISION: &str = "1";

impl Session<'_> {
    /// What packages hold, in their order. What a package holds is noted: of one that was read once the file is only
    /// wanted when a layer is made of it.
    pub(super) fn unpack_debs(&self, set: &PackageSet) -> Result<Vec<Unpacked>, Error> {
        let noted = parallel(self.machine.jobs, &set.packages, |package| {
            self.machine.cancel.check()?;
            Ok::<_, Error>(self.noted_deb(package))
        });
        let noted = noted.into_iter().collect::<Result<Vec<_>, Error>>()?;
        let unread = set.packages.iter().zip(&noted).filter(|(_, noted)| noted.is_none());
        self.bring_debs(&PackageSet { packages: unread.map(|(package, _)| package.clone()).collect() })?;
        let packages: Vec<_> = set.packages.iter().zip(noted).collect();
        let unpack = |(package, noted): &(&PinnedPackage, Option<Unpacked>)| {
            self.machine.cancel.check()?;
            match noted {
                Some(unpacked) => Ok(unpacked.clone()),
                None => self.unpacked.get(package.digest, || self.unpack_deb(package)),
            }
        };
        parallel(self.machine.jobs, &packages, unpack).into_iter().collect()
    }

    /// Brings the files of those packages of which layers are going to be made.
    pub(in crate::ops) fn bring_packages(
        &self,
        plans: &[Option<PlannedImage>],
        fresh: bool,
    ) -> Result<(), Error> {
        let mut wanted: BTreeMap<BlobDigest, PinnedPackage> = BTreeMap::new();
        for plan in plans.iter().flatten().filter(|plan| !plan.packages.is_empty()) {
            let made = |layer: &&PlannedLayer| {
                fresh || stored_layer(self.machine.store, &layer.key.digest()).is_none()
            };
            let entries = plan.layers.iter().filter(made).flat_map(|layer| layer.entries.iter());
            let packed = entries.filter(|entry| {
                matches!(&entry.kind, EntryKind::File { content: Content::Packed { .. }, .. })
            });
            let names: BTreeSet<&str> =
                packed.filter_map(|entry| entry.origin.strip_prefix("package ")).collect();
            for package in plan.packages.iter().filter(|package| names.contains(package.pinned.name.as_str()))
            {
                wanted.insert(package.pinned.digest, package.pinned.clone());
            }
        }
        self.bring_debs(&PackageSet { packages: wanted.into_values().collect() })
    }

    /// A package of which an earlier command, or this one, noted what it holds.
    fn noted_deb(&self, package: &PinnedPackage) -> Option<Unpacked> {
        let known = self.unpacked.get(package.digest, || {
            let store = self.machine.store;
            let bytes = store.note(&facts_key(package)).ok_or(())?;
            let facts = serde_json::from_slice::<DebFacts>(&bytes).map_err(drop)?;
            // So that it is not removed before what seldom needs it.
            store.find_blob(&package.digest);
            Ok::<_, ()>(unpacked(package, facts, self.contents_of(package)))
        });
        known.ok()
    }

    fn unpack_deb(&self, package: &PinnedPackage) -> Result<Unpacked, Error> {
        let about = |error: DebError| {
            Error::from(error).about(format!("package {} {}", package.name, package.version))
        };
        let contents = self.contents_of(package);
        let mut facts = contents.read().map_err(about)?;
        contents.add_elf(facts.files.iter_mut()).map_err(|error| about(DebError::Read(error)))?;
        let bytes = serde_json::to_vec(&facts).map_err(|error| Error::bug(error.to_string()))?;
        self.machine.store.put_note(&facts_key(package), &bytes)?;
        Ok(unpacked(package, facts, contents))
    }

    fn contents_of(&self, package: &PinnedPackage) -> PackageContents<Deb> {
        let store = self.machine.store;
        PackageContents::new(store.blob_path(&package.digest), &store.tmp())
    }
}

fn unpacked(package: &PinnedPackage, facts: DebFacts, contents: PackageContents<Deb>) -> Unpacked {
    let facts = Arc::new(PackageFacts::Deb(facts));
    Unpacked { pinned: package.clone(), facts, contents: Arc::new(contents) }
}

fn facts_key(package: &PinnedPackage) -> KeyDigest {
    let mut key = Key::new("deb");
    key.clear("revision", REVISION);
    key.digest_of("package", &package.digest.0);
    key.digest()
}
