//! Locks of whole files (`flock`): between processes, gone with the process that held them.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::{Cancel, Cancelled, IoError};

/// Who else may have the lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Others that share it too.
    Shared,
    /// Nobody.
    Alone,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The work was asked to stop meanwhile.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The file cannot be opened, or its file system has no locks.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// How often a lock is asked for again.
const TICK: Duration = Duration::from_millis(20);

/// Takes the lock of the file at `path`, which is made where it is missing; `None` where another process is in the way.
pub fn try_lock(path: &Path, share: Share) -> Result<Option<File>, IoError> {
    let file = open(path)?;
    Ok(take(&file, path, share)?.then_some(file))
}

/// The same, but waits; `waiting` is called once if that takes time. It never blocks, so that a request to stop is heard.
pub fn lock(path: &Path, share: Share, cancel: &Cancel, waiting: &dyn Fn()) -> Result<File, LockError> {
    wait(open(path)?, path, share, cancel, waiting)
}

/// Takes the lock of a directory, alone, for what is written in it by renaming; puts nothing into it.
pub fn lock_directory(path: &Path, cancel: &Cancel) -> Result<File, LockError> {
    let directory = File::open(path).map_err(IoError::of("open", path))?;
    wait(directory, path, Share::Alone, cancel, &|| {})
}

fn wait(
    file: File,
    path: &Path,
    share: Share,
    cancel: &Cancel,
    waiting: &dyn Fn(),
) -> Result<File, LockError> {
    let mut told = false;
    while !take(&file, path, share)? {
        cancel.check()?;
        if !told {
            waiting();
            told = true;
        }
        thread::sleep(TICK);
    }
    Ok(file)
}

fn open(path: &Path) -> Result<File, IoError> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map_err(IoError::of("open", path))
}

fn take(file: &File, path: &Path, share: Share) -> Result<bool, IoError> {
    let taken = match share {
        Share::Shared => file.try_lock_shared(),
        Share::Alone => file.try_lock(),
    };
    match taken {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(IoError::of("lock", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alone_or_many_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let shared = try_lock(&path, Share::Shared).unwrap();
        assert!(try_lock(&path, Share::Shared).unwrap().is_some());
        assert!(try_lock(&path, Share::Alone).unwrap().is_none());
        drop(shared);
        // Waits: a process that another test starts has every file open for a moment.
        let alone = lock(&path, Share::Alone, &Cancel::new(), &|| {}).unwrap();
        assert!(try_lock(&path, Share::Shared).unwrap().is_none());

        let cancel = Cancel::new();
        let stopped = lock(&path, Share::Shared, &cancel, &|| cancel.cancel());
        assert!(matches!(stopped, Err(LockError::Cancelled(_))));
        drop(alone);
        lock(&path, Share::Shared, &Cancel::new(), &|| {}).unwrap();
    }
}
