use std::sync::Arc;

use super::contents::{Deb, PackageContents};
use super::{PackageFacts, PackageSet, Unpacked};
use crate::debian::DebFacts;
use crate::key::Key;
use crate::model::{KeyDigest, PinnedPackage};
use crate::ops::error::Error;
use crate::ops::prepare::Session;
use crate::system::parallel;

/// Raised when another reading of the same package would find something else.
const REVISION: &str = "1";

impl Session<'_> {
    /// What packages hold, in their order. What a package holds is noted: one that was read once is only read
    /// again when a layer is made of it.
    pub(super) fn unpack_debs(&self, set: &PackageSet) -> Result<Vec<Unpacked>, Error> {
        let unpack = |package: &PinnedPackage| {
            self.machine.cancel.check()?;
            self.unpacked.get(package.digest, || self.unpack_deb(package))
        };
        parallel(self.machine.jobs, &set.packages, unpack).into_iter().collect()
    }

    fn unpack_deb(&self, package: &PinnedPackage) -> Result<Unpacked, Error> {
        let store = self.machine.store;
        let contents = PackageContents::<Deb>::new(store.blob_path(&package.digest), &store.tmp());
        let key = facts_key(package);
        let noted = store.note(&key).and_then(|bytes| serde_json::from_slice::<DebFacts>(&bytes).ok());
        let facts = if let Some(facts) = noted {
            // So that it is not removed before what seldom needs it.
            store.find_blob(&package.digest);
            facts
        } else {
            let about = |error: Error| error.about(format!("package {} {}", package.name, package.version));
            let mut facts = contents.read().map_err(|error| about(error.into()))?;
            contents
                .add_elf(facts.files.iter_mut())
                .map_err(|error| about(crate::debian::DebError::Read(error).into()))?;
            let bytes = serde_json::to_vec(&facts).map_err(|error| Error::bug(error.to_string()))?;
            store.put_note(&key, &bytes)?;
            facts
        };
        let facts = Arc::new(PackageFacts::Deb(facts));
        Ok(Unpacked { pinned: package.clone(), facts, contents: Arc::new(contents) })
    }
}

fn facts_key(package: &PinnedPackage) -> KeyDigest {
    let mut key = Key::new("deb");
    key.clear("revision", REVISION);
    key.digest_of("package", &package.digest.0);
    key.digest()
}
