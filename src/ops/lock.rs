use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::error::Error;
use super::prepare::{BuildOptions, Machine, Session};
use crate::builder;
use crate::lock::{Change, Kind, LOCK_FILE, Lock, Row};
use crate::spec::ImageSpec;
use crate::system::fs;

/// What `imgpack lock` did.
#[derive(Debug)]
pub struct Locked {
    /// The rows that are new or others than before.
    pub changes: Vec<Change>,
    /// Whether the file was not there before.
    pub created: bool,
}

/// Pins what the images of `specs` are built with on this machine. Other rows stay; with any error all do.
pub fn lock(
    machine: &Machine<'_>,
    specs: Vec<ImageSpec>,
    options: &BuildOptions,
) -> Result<Locked, Vec<Error>> {
    let one = |error| vec![error];
    let session = Session::new(machine, options).map_err(one)?;
    let specs: Vec<Arc<ImageSpec>> = specs.into_iter().map(Arc::new).collect();
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut errors: Vec<Error> = Vec::new();
    for target in session.targets(&specs).map_err(one)? {
        machine.cancel.check().map_err(|error| one(error.into()))?;
        let Some(build) = &target.spec.build else { continue };
        let found = session.toolchain(&target.spec, build, target.task.platform, &mut rows);
        errors.extend(found.err().map(|error| error.of(&target.task)));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let created = !machine.root.join(LOCK_FILE).exists();
    let changes = update(&machine.root, Kind::Toolchain, rows).map_err(one)?;
    Ok(Locked { changes, created })
}

impl Session<'_> {
    /// Adds the row of a builder's toolchain.
    fn toolchain(
        &self,
        spec: &ImageSpec,
        build: &crate::spec::Build,
        platform: crate::model::Platform,
        rows: &mut BTreeMap<String, Row>,
    ) -> Result<(), Error> {
        let project = self.sources.project(spec, build)?;
        let name = builder::toolchain(build, platform, &project)?;
        let cancel = self.machine.cancel;
        // Also where the row is known: each project may refuse the tool.
        let tool = builder::identify(build, platform, &project, &self.host, &self.caches, cancel)?;
        rows.insert(name, tool.identity.fields);
        Ok(())
    }
}

/// The lock file of the workspace at `root`, where it has one.
pub fn read(root: &Path) -> Result<Option<Lock>, Error> {
    match fs::read_to_string(root.join(LOCK_FILE)) {
        Ok(text) => Ok(Some(Lock::parse(&text)?)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Puts rows into the lock file, which appears whole; what that changed. Without a change the file is not touched, but
/// made where there is none.
pub fn update(root: &Path, kind: Kind, rows: BTreeMap<String, Row>) -> Result<Vec<Change>, Error> {
    let before = read(root)?;
    let mut lock = before.clone().unwrap_or_default();
    let changes: Vec<Change> =
        rows.into_iter().filter_map(|(name, row)| lock.pin(kind, &name, row)).collect();
    if before.is_none() || !changes.is_empty() {
        fs::write_atomic(root.join(LOCK_FILE), lock.to_string().as_bytes())?;
    }
    Ok(changes)
}
