use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::challenge::Challenge;
use super::credentials::{Credential, DockerConfig, Secret};
use super::error::{Looked, RegistryError};
use crate::model::Repository;

/// What a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access<'a> {
    Pull,
    Push,
    /// Push, with pull of another repository of the same registry.
    Mount(&'a Repository),
}

impl Access<'_> {
    /// The scopes of a token (distribution, "Token Scope Documentation").
    pub(super) fn scopes(self, repository: &Repository) -> Vec<String> {
        let scope = |repository: &Repository, actions| format!("repository:{}:{actions}", repository.path());
        match self {
            Self::Pull => vec![scope(repository, "pull")],
            Self::Push => vec![scope(repository, "pull,push")],
            Self::Mount(from) => vec![scope(repository, "pull,push"), scope(from, "pull")],
        }
    }

    /// Under what a grant is kept: a wider one stands beside those that it covers, as a registry may refuse it.
    fn key(self, repository: &Repository) -> (Repository, Vec<String>) {
        (repository.clone(), self.scopes(repository))
    }
}

/// What goes into the `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Grant {
    Basic { user: String, password: Secret },
    Bearer(Secret),
}

struct Granted {
    grant: Grant,
    until: Option<Instant>,
}

/// What is known about getting in: challenges by registry, grants by repository. Lives in memory only.
pub(super) struct Auth {
    directory: Option<PathBuf>,
    found: Mutex<Found>,
    challenges: Mutex<BTreeMap<String, Challenge>>,
    granted: Mutex<BTreeMap<(Repository, Vec<String>), Granted>>,
}

/// The credentials file once it is read, and what it said: a helper is asked once for each repository.
#[derive(Default)]
struct Found {
    config: Option<DockerConfig>,
    credentials: BTreeMap<Repository, (Option<Credential>, Looked)>,
}

/// A panic elsewhere does not make a map of tokens wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Auth {
    pub(super) fn new(directory: Option<PathBuf>) -> Self {
        Self { directory, found: Mutex::default(), challenges: Mutex::default(), granted: Mutex::default() }
    }

    /// What was granted before and still holds. Who may push may pull.
    pub(super) fn grant(&self, repository: &Repository, access: Access<'_>) -> Option<Grant> {
        let granted = lock(&self.granted);
        let covered = if access == Access::Pull { Access::Push } else { access };
        [access, covered].into_iter().find_map(|access| {
            granted
                .get(&access.key(repository))
                .filter(|granted| granted.until.is_none_or(|until| Instant::now() < until))
                .map(|granted| granted.grant.clone())
        })
    }

    pub(super) fn keep(
        &self,
        repository: &Repository,
        access: Access<'_>,
        grant: Grant,
        lifetime: Option<Duration>,
    ) {
        // A token that expires on its way is worth nothing.
        let until = lifetime.map(|time| Instant::now() + time.mul_f32(0.9));
        lock(&self.granted).insert(access.key(repository), Granted { grant, until });
    }

    /// Forgets what was granted, and says what it was.
    pub(super) fn revoke(&self, repository: &Repository, access: Access<'_>) -> Option<Grant> {
        let was = self.grant(repository, access);
        let mut granted = lock(&self.granted);
        granted.remove(&access.key(repository));
        if access == Access::Pull {
            granted.remove(&Access::Push.key(repository));
        }
        was
    }

    /// How this registry asked before, so that the next repository needs no refused request.
    pub(super) fn challenge(&self, repository: &Repository) -> Option<Challenge> {
        lock(&self.challenges).get(repository.registry()).cloned()
    }

    pub(super) fn remember(&self, repository: &Repository, challenge: Challenge) {
        lock(&self.challenges).insert(repository.registry().to_owned(), challenge);
    }

    /// The credentials for a repository, and where they were looked for.
    pub(super) fn credentials(
        &self,
        repository: &Repository,
    ) -> Result<(Option<Credential>, Looked), RegistryError> {
        let Some(directory) = &self.directory else { return Ok((None, Looked::default())) };
        let wrong =
            |source| RegistryError::Credentials { registry: repository.registry().to_owned(), source };
        // Held while a helper runs: two threads would ask a person twice.
        let mut found = lock(&self.found);
        if let Some(known) = found.credentials.get(repository) {
            return Ok(known.clone());
        }
        let config = match found.config.take() {
            Some(config) => config,
            None => DockerConfig::read(directory).map_err(wrong)?,
        };
        let answer = found.config.insert(config).find(repository).map_err(wrong)?;
        found.credentials.insert(repository.clone(), answer.clone());
        Ok(answer)
    }

    /// For messages: where credentials were looked for. A helper that failed was reported before.
    pub(super) fn looked(&self, repository: &Repository) -> Looked {
        self.credentials(repository).map(|(_, looked)| looked).unwrap_or_default()
    }
}
