//! Blobs that are sent while the images that need them are still being made.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

use super::error::RegistryError;
use super::port::{BlobSource, Pushed, Registry};
use super::push::PushObserver;
use crate::model::{BlobDigest, Descriptor, Repository};

/// Blobs that came to be in their repositories before the job that needs them.
pub type Early = BTreeMap<(Repository, BlobDigest), Pushed>;

/// Sends blobs on threads of a scope beside other work. Without a blob it starts no thread and asks no registry; when it
/// is dropped nothing new is begun.
pub struct Uploads<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    parallel: usize,
    shared: Arc<Shared<'env>>,
    threads: Mutex<Vec<ScopedJoinHandle<'scope, ()>>>,
}

struct Shared<'env> {
    registry: &'env dyn Registry,
    observer: &'env dyn PushObserver,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(Repository, Descriptor, BlobSource)>,
    /// Everything that was ever in the queue.
    seen: BTreeSet<(Repository, BlobDigest)>,
    /// Repositories of which a blob is on its way, and those that took one.
    begun: BTreeSet<Repository>,
    open: BTreeSet<Repository>,
    /// Blobs of which the first is on its way to a registry.
    first: BTreeSet<(String, BlobDigest)>,
    /// Blobs that a repository of a registry holds.
    held: BTreeSet<(String, BlobDigest)>,
    workers: usize,
    done: Early,
    failed: Option<RegistryError>,
}

impl<'scope, 'env> Uploads<'scope, 'env> {
    /// Sends at most `parallel` blobs at once.
    pub fn new(
        scope: &'scope Scope<'scope, 'env>,
        registry: &'env dyn Registry,
        observer: &'env dyn PushObserver,
        parallel: usize,
    ) -> Self {
        let shared = Shared { registry, observer, state: Mutex::default(), moved: Condvar::new() };
        Self { scope, parallel: parallel.max(1), shared: Arc::new(shared), threads: Mutex::default() }
    }

    /// Sends a blob that is whole, once for each repository. After a failure nothing is sent any more.
    pub fn add(&self, repository: &Repository, blob: &Descriptor, source: BlobSource) {
        let mut state = self.shared.state();
        if state.failed.is_some() || !state.seen.insert((repository.clone(), blob.digest)) {
            return;
        }
        state.queue.push_back((repository.clone(), *blob, source));
        if state.workers < self.parallel {
            state.workers += 1;
            let shared = Arc::clone(&self.shared);
            let thread = self.scope.spawn(move || shared.work());
            self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        self.shared.moved.notify_one();
    }

    /// Waits for everything that was added; the first failure, where there was one.
    pub fn finish(&self) -> Result<Early, RegistryError> {
        for thread in std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner)) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        let mut state = self.shared.state();
        match state.failed.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut state.done)),
        }
    }
}

impl Drop for Uploads<'_, '_> {
    fn drop(&mut self) {
        self.shared.state().queue.clear();
        self.shared.moved.notify_all();
    }
}

impl Shared<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is in the queue until it is empty.
    fn work(&self) {
        while let Some((repository, blob, source)) = self.next() {
            let result = self.registry.push_blob(&repository, &blob, &source, &|sent| {
                self.observer.sending(&repository, &blob, sent);
            });
            let mut state = self.state();
            match result {
                Ok(pushed) => {
                    self.observer.stored(&repository, &blob, pushed);
                    state.open.insert(repository.clone());
                    state.held.insert((repository.registry().to_owned(), blob.digest));
                    state.done.insert((repository, blob.digest), pushed);
                }
                Err(error) => {
                    state.queue.clear();
                    state.failed.get_or_insert(error);
                }
            }
            drop(state);
            self.moved.notify_all();
        }
    }

    /// The next blob. To a repository that has taken none, one alone: its first request gets the token for the others. A
    /// blob for several repositories of a registry goes to one of them first; the others mount it from there.
    fn next(&self) -> Option<(Repository, Descriptor, BlobSource)> {
        let mut state = self.state();
        loop {
            if state.queue.is_empty() {
                state.workers -= 1;
                return None;
            }
            let free = |(repository, blob, _): &(Repository, Descriptor, BlobSource)| {
                let key = (repository.registry().to_owned(), blob.digest);
                (state.open.contains(repository) || !state.begun.contains(repository))
                    && (state.held.contains(&key) || !state.first.contains(&key))
            };
            if let Some(index) = state.queue.iter().position(free) {
                let next = state.queue.remove(index);
                if let Some((repository, blob, _)) = &next {
                    state.begun.insert(repository.clone());
                    state.first.insert((repository.registry().to_owned(), blob.digest));
                }
                return next;
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MediaType;
    use crate::registry::Memory;

    fn blob(text: &str) -> (Descriptor, BlobSource) {
        let bytes: Arc<[u8]> = text.as_bytes().into();
        (Descriptor::of(MediaType::OciLayerGzip, &bytes), BlobSource::Bytes(bytes))
    }

    fn send(registry: &Memory, blobs: &[(&str, &str)], parallel: usize) -> Result<Early, RegistryError> {
        std::thread::scope(|scope| {
            let uploads = Uploads::new(scope, registry, &(), parallel);
            for (repository, text) in blobs {
                let (blob, source) = blob(text);
                uploads.add(&repository.parse().unwrap(), &blob, source);
            }
            uploads.finish()
        })
    }

    #[test]
    fn each_blob_is_sent_once_and_mounted_elsewhere() {
        for parallel in [0, 1, 4] {
            let registry = Memory::new();
            let blobs =
                [("r.example/a", "x"), ("r.example/b", "x"), ("r.example/a", "x"), ("r.example/a", "yy")];
            let early = send(&registry, &blobs, parallel).unwrap();
            let log = registry.log();
            let count = |kind: &str| log.iter().filter(|line| line.starts_with(kind)).count();
            assert_eq!((count("asked"), count("blob"), count("mounted")), (3, 2, 1), "{log:#?}");
            let sent: Vec<u64> = early.values().map(|pushed| pushed.sent).collect();
            assert_eq!(sent.iter().sum::<u64>(), 3, "{early:?}");
        }
        assert!(send(&Memory::new(), &[], 4).unwrap().is_empty());
    }

    #[test]
    fn who_waits_for_a_blob_that_fails_does_not_wait_for_ever() {
        let registry = Memory::new();
        registry.fail_blob(blob("unlucky").0.digest);
        let repositories = ["r.example/a", "r.example/b", "r.example/c", "r.example/d", "r.example/e"];
        for parallel in [1, 4] {
            let error = send(&registry, &repositories.map(|repository| (repository, "unlucky")), parallel);
            assert!(error.is_err());
            assert_eq!(registry.log(), Vec::<String>::new());
        }
    }

    #[test]
    fn a_failure_is_told_once_and_ends_it() {
        let registry = Memory::new();
        let bad = blob("unlucky").0.digest;
        registry.fail_blob(bad);
        let error = std::thread::scope(|scope| {
            let uploads = Uploads::new(scope, &registry, &(), 1);
            let repository = "r.example/a".parse().unwrap();
            let (first, source) = blob("unlucky");
            uploads.add(&repository, &first, source);
            let error = uploads.finish().unwrap_err();
            assert_eq!(uploads.finish().unwrap(), Early::new());
            error
        });
        assert!(error.to_string().contains(&bad.to_string()), "{error}");
        assert_eq!(registry.log(), Vec::<String>::new());
    }
}
