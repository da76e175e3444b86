use std::sync::Arc;

use super::error::ApkPackageError;
use crate::apk::{ApkError, ApkFacts};
use crate::key::Key;
use crate::model::{KeyDigest, PinnedPackage};
use crate::ops::error::Error;
use crate::ops::packages::contents::{Apk, PackageContents};
use crate::ops::packages::{PackageFacts, Unpacked};
use crate::ops::prepare::Session;

/// Raised when another reading of the same package would find something else.
const REVISION: &str = "1";

impl Session<'_> {
    /// What a package holds that the store has. It is noted: one that was read once is only read again when a layer is made of it.
    pub(super) fn unpack_apk(&self, package: &PinnedPackage) -> Result<Unpacked, Error> {
        let store = self.machine.store;
        let contents = PackageContents::<Apk>::new(store.blob_path(&package.digest), &store.tmp());
        let key = facts_key(package);
        let noted = store.note(&key).and_then(|bytes| serde_json::from_slice::<ApkFacts>(&bytes).ok());
        let facts = if let Some(facts) = noted {
            // So that it is not removed before what seldom needs it.
            store.find_blob(&package.digest);
            facts
        } else {
            let broken = |source: ApkError| ApkPackageError::Apk {
                package: format!("{}-{}", package.name, package.version),
                source,
            };
            let mut facts = contents.read().map_err(broken)?;
            contents
                .add_elf(facts.files.iter_mut().map(|file| &mut file.file))
                .map_err(|error| broken(ApkError::Read(error)))?;
            let bytes = serde_json::to_vec(&facts).map_err(|error| Error::bug(error.to_string()))?;
            store.put_note(&key, &bytes)?;
            facts
        };
        same(package, &facts)?;
        let facts = Arc::new(PackageFacts::Apk(facts));
        Ok(Unpacked { pinned: package.clone(), facts, contents: Arc::new(contents) })
    }
}

/// Whether a package is the one that it is taken for.
fn same(package: &PinnedPackage, facts: &ApkFacts) -> Result<(), ApkPackageError> {
    let architecture = match facts.get("arch") {
        Some("noarch") | None => package.architecture.as_str(),
        Some(own) => own,
    };
    let rows = [
        ("name", package.name.as_str(), facts.get("pkgname").unwrap_or("")),
        ("version", package.version.as_str(), facts.get("pkgver").unwrap_or("")),
        ("architecture", package.architecture.as_str(), architecture),
    ];
    match rows.into_iter().find(|(_, wanted, found)| wanted != found) {
        None => Ok(()),
        Some((what, wanted, found)) => Err(ApkPackageError::Other {
            package: format!("{}-{}", package.name, package.version),
            what,
            wanted: wanted.to_owned(),
            found: found.to_owned(),
        }),
    }
}

fn facts_key(package: &PinnedPackage) -> KeyDigest {
    let mut key = Key::new("apk");
    key.clear("revision", REVISION);
    key.digest_of("package", &package.digest.0);
    key.digest()
}
