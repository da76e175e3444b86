//! The inputs of a builder's run, in its key as one digest: thousands of them cost no more than hashing their list once.
//! The list itself is kept beside the record, for `explain`.

use std::collections::BTreeMap;

use crate::builder::{Input, InputKind, Project};
use crate::key::{Change, Key};
use crate::model::{Digest, Hasher, KeyDigest};
use crate::store::Store;
use crate::system::IoError;

/// The key's field.
pub const INPUTS: &str = "inputs";

/// What decides each input, by its path in the source root.
#[derive(Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct InputList(BTreeMap<String, String>);

impl InputList {
    fn of(project: &Project) -> Self {
        Self(project.inputs.iter().map(|input| (input.path.clone(), decided(input))).collect())
    }

    /// The digest of a project's list.
    pub fn digest(project: &Project) -> Digest {
        let mut hasher = Hasher::new();
        for input in &project.inputs {
            for part in [input.path.as_str(), &decided(input)] {
                hasher.update(&(part.len() as u64).to_be_bytes());
                hasher.update(part.as_bytes());
            }
        }
        hasher.finish()
    }

    /// Keeps a project's list.
    pub fn keep(project: &Project, store: &Store) -> Result<(), IoError> {
        store.put_record(&place(&Self::digest(project).hex()), &Self::of(project))
    }

    /// Changes of a key, where one of [`INPUTS`] stands for those of the files: the list of the key `before` is looked up.
    pub fn named(changes: Vec<Change>, before: &Key, now: &Project, store: &Store) -> Vec<Change> {
        let list = || store.record::<Self>(&place(&before.fields.get(INPUTS)?.digest));
        let name = |path: &str| format!("input {path}");
        let named = |change: Change| match (&change, list()) {
            (Change::Changed { name: field, .. }, Some(old)) if field == INPUTS => {
                let new = Self::of(now);
                let mut found: Vec<(&String, Change)> = Vec::new();
                for (path, value) in &new.0 {
                    match old.0.get(path) {
                        None => found.push((path, Change::Added(name(path)))),
                        Some(other) if other != value => {
                            found.push((path, Change::Changed { name: name(path), values: None }));
                        }
                        Some(_) => {}
                    }
                }
                let gone = old.0.keys().filter(|path| !new.0.contains_key(*path));
                found.extend(gone.map(|path| (path, Change::Removed(name(path)))));
                found.sort_by_key(|(path, _)| *path);
                found.into_iter().map(|(_, change)| change).collect()
            }
            _ => vec![change],
        };
        changes.into_iter().flat_map(named).collect()
    }
}

/// What of an input decides.
fn decided(input: &Input) -> String {
    match &input.kind {
        InputKind::File { executable: false } => format!("file {}", input.digest),
        InputKind::File { executable: true } => format!("program {}", input.digest),
        InputKind::Symlink { target } => format!("link {target}"),
        InputKind::StandIn => "name".to_owned(),
    }
}

/// Where a list is kept.
fn place(digest: &str) -> KeyDigest {
    let mut key = Key::new("inputs");
    key.clear("digest", digest);
    key.digest()
}
