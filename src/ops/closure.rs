//! Which of the files in a source root a builder's output depends on: remembered, so that nothing is read where nothing
//! changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::error::Error;
use super::sources::once;
use crate::builder::{Closure, Project, closure, closure_evidence, closure_fields};
use crate::key::Key;
use crate::model::Digest;
use crate::spec::Build;
use crate::store::Store;

/// The closures of one command.
pub struct Closures<'a> {
    store: &'a Store,
    evidence: Mutex<BTreeMap<String, Arc<Digest>>>,
    projects: Mutex<BTreeMap<String, Arc<Project>>>,
}

impl<'a> Closures<'a> {
    /// Closures that are remembered in `store`.
    pub fn new(store: &'a Store) -> Self {
        Self { store, evidence: Mutex::default(), projects: Mutex::default() }
    }

    /// Of everything in a source root, what decides a build.
    pub fn project(&self, build: &Build, everything: &Arc<Project>) -> Result<Arc<Project>, Error> {
        let fields = closure_fields(build, everything);
        // What is read in one command lives as long as that.
        let place = format!("{:p}", Arc::as_ptr(everything));
        once(&self.projects, &format!("{place} {fields:?}"), || {
            let name = format!("{place} {:?}", std::mem::discriminant(build));
            let evidence = once(&self.evidence, &name, || Ok(closure_evidence(build, everything)))?;
            let mut key = Key::new("closure");
            fields.iter().for_each(|(name, value)| key.clear(*name, value));
            key.digest_of("evidence", &evidence);
            let note: Option<Closure> = self.store.record(&key.digest());
            let found = if let Some(found) = note {
                found
            } else {
                let found = closure(build, everything)?;
                self.store.put_record(&key.digest(), &found)?;
                found
            };
            Ok(everything.within(&found))
        })
    }
}
