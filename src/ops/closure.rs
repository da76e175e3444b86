//! Which of the files in a source root a builder's output depends on: remembered, so that nothing is read where nothing
//! changed.

use std::sync::Arc;

use super::error::Error;
use super::sources::{Known, once};
use crate::builder::{Closure, Project, closure, closure_evidence, closure_fields};
use crate::key::Key;
use crate::model::Digest;
use crate::spec::Build;
use crate::store::Store;

/// The closures of one command.
pub struct Closures<'a> {
    store: &'a Store,
    evidence: Known<Digest>,
    projects: Known<Project>,
}

impl<'a> Closures<'a> {
    /// Closures that are remembered in `store`.
    pub fn new(store: &'a Store) -> Self {
        Self { store, evidence: Known::default(), projects: Known::default() }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::builder::{Input, InputKind};
    use crate::model::{Class, ContentDigest, ImagePath};
    use crate::spec::GoBuild;

    #[test]
    fn nothing_is_read_where_nothing_that_decides_changed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let input = |path: &str, text: &str| {
            let source = folder.path().join(path.replace('/', "-"));
            std::fs::write(&source, text).unwrap();
            let (kind, digest) = (InputKind::File { executable: false }, ContentDigest::of(text.as_bytes()));
            Input { path: path.into(), kind, digest, source }
        };
        let inputs = vec![
            input("a/a.go", "package a\n"),
            input("docs/index.md", "one"),
            input("go.mod", "module m\n"),
            input("main.go", "package main\nimport \"m/a\"\n"),
        ];
        let mut project = Project { root: ".".into(), dir: ".".into(), inputs, named: Vec::new() };
        let build = |package: &str| {
            Build::Go(GoBuild {
                package: package.into(),
                to: ImagePath::parse("/app/app").unwrap(),
                tags: vec![],
                ldflags: String::new(),
                stamp: BTreeMap::new(),
                env: BTreeMap::new(),
                class: Class::App,
            })
        };
        let paths = |project: &Project, package: &str| {
            let found = Closures::new(&store).project(&build(package), &Arc::new(project.clone()));
            found.map(|found| found.inputs.iter().map(|input| input.path.clone()).collect::<Vec<_>>()).ok()
        };
        let expected = Some(["a/a.go", "go.mod", "main.go"].map(str::to_owned).to_vec());
        assert_eq!(paths(&project, "."), expected);
        // From now on a file that is read is an error.
        for input in &project.inputs {
            std::fs::remove_file(&input.source).unwrap();
        }
        project.inputs[1].digest = ContentDigest::of(b"two");
        assert_eq!(paths(&project, "."), expected);
        assert_eq!(paths(&project, "./a"), None, "another question");
        let kept = project.inputs[0].digest;
        project.inputs[0].digest = ContentDigest::of(b"package a // changed");
        assert_eq!(paths(&project, "."), None, "an import may have changed");
        project.inputs[0].digest = kept;
        project.inputs[0].path = "a/b.go".into();
        assert_eq!(paths(&project, "."), None, "a file may have appeared");
    }
}
