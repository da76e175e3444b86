use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::RegistryError;
use crate::model::{ReferenceError, Repository};

/// Where repositories are read from before their own registries are asked. Nothing is ever pushed to a mirror, and names
/// stay those of the registries.
#[derive(Clone, Default)]
pub struct Mirrors {
    /// A registry or a part of one, without a slash at its end → its mirrors, in their order.
    rows: BTreeMap<String, Vec<String>>,
    tell: Option<Arc<Tell>>,
    passed: Arc<Mutex<Passed>>,
}

type Tell = dyn Fn(&str) + Send + Sync;

/// What did not help once is not asked again.
#[derive(Debug, Default)]
struct Passed {
    /// Registries that do not answer.
    registries: BTreeSet<String>,
    /// Repositories that are not there, or are closed.
    repositories: BTreeSet<Repository>,
    /// Mirrors of which it was told.
    told: BTreeSet<String>,
}

/// One place to read a repository from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirror {
    /// As it was written.
    pub(super) name: String,
    pub(super) repository: Repository,
}

impl fmt::Debug for Mirrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirrors").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Mirrors {
    /// Mirrors by registry, or part of one (`docker.io`, `docker.io/library`). Of several parts that a repository is
    /// below, the longest counts.
    pub fn new(rows: BTreeMap<String, Vec<String>>) -> Result<Self, ReferenceError> {
        // Every name has to be good for a repository below it.
        for name in rows.iter().flat_map(|(name, mirrors)| mirrors.iter().chain([name])) {
            format!("{name}/x").parse::<Repository>()?;
        }
        Ok(Self { rows, ..Self::default() })
    }

    /// The same, which tells once of each mirror that did not help.
    #[must_use]
    pub fn telling(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.tell = Some(Arc::new(tell));
        self
    }

    /// The places where `repository` is looked for before its own.
    pub(super) fn of(&self, repository: &Repository) -> Vec<Mirror> {
        let name = repository.to_string();
        let below = |prefix: &str| {
            let rest = name.strip_prefix(prefix)?;
            (rest.is_empty() || rest.starts_with('/')).then_some(rest)
        };
        let row = self.rows.iter().filter_map(|(prefix, mirrors)| Some((prefix, below(prefix)?, mirrors)));
        let Some((_, rest, mirrors)) = row.max_by_key(|(prefix, ..)| prefix.len()) else { return Vec::new() };
        let passed = self.passed();
        let mirror = |text: &String| {
            let place: Repository = format!("{text}{rest}").parse().ok()?;
            let helps = place != *repository
                && !passed.registries.contains(place.registry())
                && !passed.repositories.contains(&place);
            helps.then(|| Mirror { name: text.clone(), repository: place })
        };
        mirrors.iter().filter_map(mirror).collect()
    }

    /// Goes on to the next place where `error` is one of the mirror alone; any other is the end.
    pub(super) fn pass(&self, mirror: &Mirror, error: RegistryError) -> Result<(), RegistryError> {
        let Some((reason, whole)) = reason(&error) else { return Err(error) };
        let mut passed = self.passed();
        if whole {
            passed.registries.insert(mirror.repository.registry().to_owned());
        } else {
            passed.repositories.insert(mirror.repository.clone());
        }
        if let Some(tell) = self.tell.as_ref().filter(|_| passed.told.insert(mirror.name.clone())) {
            tell(&format!("mirror {}: {reason}; the next place is asked", mirror.repository));
        }
        Ok(())
    }

    /// Tells once of each registry that cannot be reached, and whose mirrors are believed what a tag is, also for the lock.
    pub(super) fn stand_in(&self, repository: &Repository) {
        let registry = repository.registry();
        // With a slash at its end it is no name of a mirror.
        if let Some(tell) = self.tell.as_ref().filter(|_| self.passed().told.insert(format!("{registry}/"))) {
            tell(&format!("{registry} cannot be reached; what its tags are, its mirrors are asked"));
        }
    }

    fn passed(&self) -> MutexGuard<'_, Passed> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a mirror did not help, and whether that is said of all that it has; `None` where another place is no better.
fn reason(error: &RegistryError) -> Option<(String, bool)> {
    Some(match error {
        RegistryError::NotFound { status, .. } => (format!("it is not there ({status})"), false),
        RegistryError::Denied { status, .. } => (format!("access is refused ({status})"), false),
        RegistryError::Status { status, .. } => (format!("it answers with {status}"), true),
        RegistryError::Unreachable { .. } => ("it cannot be reached".to_owned(), true),
        RegistryError::Tls { .. } => ("there is no secure connection to it".to_owned(), true),
        RegistryError::Broken { .. } => ("the connection breaks".to_owned(), true),
        RegistryError::Realm { .. } => ("its token server is not known to belong to it".to_owned(), true),
        RegistryError::Digest { .. } | RegistryError::Size { .. } => {
            ("what it has is damaged".to_owned(), false)
        }
        RegistryError::Protocol { .. } | RegistryError::Address { .. } | RegistryError::Manifest { .. } => {
            ("it answers wrongly".to_owned(), false)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_decides() {
        let rows = [
            ("docker.io", vec!["mirror.example/hub", "mirror.gcr.io"]),
            ("docker.io/library", vec!["lib.example"]),
            ("ghcr.io/acme/base", vec!["base.example:5000/kept"]),
            ("quay.io", vec!["quay.io"]),
        ];
        let rows =
            rows.map(|(name, mirrors)| (name.to_owned(), mirrors.into_iter().map(str::to_owned).collect()));
        let mirrors = Mirrors::new(BTreeMap::from(rows)).unwrap();
        for (repository, expected) in [
            ("docker.io/acme/web", vec!["mirror.example/hub/acme/web", "mirror.gcr.io/acme/web"]),
            ("docker.io/library/alpine", vec!["lib.example/alpine"]),
            ("docker.io/librarian/x", vec!["mirror.example/hub/librarian/x", "mirror.gcr.io/librarian/x"]),
            ("alpine", vec!["lib.example/alpine"]),
            ("ghcr.io/acme/base", vec!["base.example:5000/kept"]),
            ("ghcr.io/acme/bases", vec![]),
            ("quay.io/x/y", vec![]),
        ] {
            let found = mirrors.of(&repository.parse().unwrap());
            let found: Vec<String> = found.iter().map(|mirror| mirror.repository.to_string()).collect();
            assert_eq!(found, expected, "{repository}");
        }
        for wrong in ["", "UPPER.example/X", "a b.example"] {
            assert!(
                Mirrors::new(BTreeMap::from([("a.example".into(), vec![wrong.into()])])).is_err(),
                "{wrong}"
            );
        }
    }
}
