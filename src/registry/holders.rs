//! Which repositories are known to hold a blob, so that others of the same registry can take it over from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{BlobDigest, Repository};

/// What is known, and where it did not help.
#[derive(Debug, Default)]
pub(super) struct Holders(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By registry and digest; who is known longest stands first, so that most blobs come from the same repository, and
    /// a token for it is got once.
    known: BTreeMap<(String, BlobDigest), Vec<Repository>>,
    /// Targets that may not take from a repository.
    refused: BTreeSet<(Repository, Repository)>,
    /// Registries that do not know how to.
    without: BTreeSet<String>,
}

impl Holders {
    /// A repository holds a blob.
    pub(super) fn add(&self, repository: &Repository, digest: BlobDigest) {
        let mut state = self.state();
        let known = state.known.entry((repository.registry().to_owned(), digest)).or_default();
        if !known.contains(repository) {
            known.push(repository.clone());
        }
    }

    /// From where `target` may take a blob.
    pub(super) fn of(&self, target: &Repository, digest: BlobDigest) -> Option<Repository> {
        let state = self.state();
        if state.without.contains(target.registry()) {
            return None;
        }
        let known = state.known.get(&(target.registry().to_owned(), digest))?;
        let refused = |from: &Repository| state.refused.contains(&(target.clone(), from.clone()));
        known.iter().find(|from| *from != target && !refused(from)).cloned()
    }

    /// `target` is not asked again to take from `from`.
    pub(super) fn refuse(&self, target: &Repository, from: &Repository) {
        self.state().refused.insert((target.clone(), from.clone()));
    }

    /// No repository of this registry is asked again to take from another.
    pub(super) fn refuse_all(&self, registry: &str) {
        self.state().without.insert(registry.to_owned());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_known_longest_is_asked_first() {
        let holders = Holders::default();
        let repository = |text: &str| text.parse::<Repository>().unwrap();
        let digest = BlobDigest::of(b"x");
        let of = |target: &str| holders.of(&repository(target), digest).map(|from| from.to_string());
        assert_eq!(of("r.example/a"), None);
        for known in ["r.example/b", "s.example/s", "r.example/a", "r.example/b"] {
            holders.add(&repository(known), digest);
        }
        assert_eq!(of("r.example/c").as_deref(), Some("r.example/b"));
        assert_eq!(of("r.example/b").as_deref(), Some("r.example/a"));
        assert_eq!(of("s.example/s"), None, "not from another registry, nor from itself");
        assert_eq!(holders.of(&repository("r.example/c"), BlobDigest::of(b"y")), None);

        holders.refuse(&repository("r.example/c"), &repository("r.example/b"));
        assert_eq!(of("r.example/c").as_deref(), Some("r.example/a"));
        assert_eq!(of("r.example/d").as_deref(), Some("r.example/b"));
        holders.refuse_all("r.example");
        assert_eq!((of("r.example/d"), of("s.example/t").as_deref()), (None, Some("s.example/s")));
    }
}
