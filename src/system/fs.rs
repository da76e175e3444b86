//! `std::fs` with the path and the verb in every error, and whole files that appear at once or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct IoError {
    /// The verb: `read`, `create`, `rename` …
    pub action: &'static str,
    /// What it was tried on.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl IoError {
    /// For `map_err`: `fs::read(path).map_err(IoError::of("read", path))`.
    pub fn of(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self { action, path, source }
    }

    /// Whether the path does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Opens a file for reading.
pub fn open(path: impl AsRef<Path>) -> Result<File, IoError> {
    File::open(&path).map_err(IoError::of("open", path))
}

/// Opens a regular file of a folder that others filled. `None` where it is not there or is something else: opening a pipe
/// would wait for its writer for ever, and for no signal.
pub fn open_regular(path: impl AsRef<Path>) -> Result<Option<File>, IoError> {
    if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
        return Ok(None);
    }
    match open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a whole file.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, IoError> {
    fs::read(&path).map_err(IoError::of("read", path))
}

/// Reads a whole file as UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> Result<String, IoError> {
    fs::read_to_string(&path).map_err(IoError::of("read", path))
}

/// Creates a directory and those above it.
pub fn create_dir_all(path: impl AsRef<Path>) -> Result<(), IoError> {
    fs::create_dir_all(&path).map_err(IoError::of("create the directory", path))
}

/// Writes `bytes` to `path` by way of a temporary file beside it and a rename: a reader sees the old file or the new
/// one. Creates the directory.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), IoError> {
    let path = path.as_ref();
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    write_by_way_of(directory, path, bytes)
}

/// The same by way of a temporary file in another directory of the same file system, where what a killed process leaves is
/// found again. Creates both directories.
pub fn write_by_way_of(temporary: &Path, path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), IoError> {
    let path = path.as_ref();
    create_dir_all(temporary)?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dir_all(parent)?;
    }
    let mut file = temporary_in(temporary)?;
    file.write_all(bytes).map_err(IoError::of("write", path))?;
    // tempfile makes 0600; a file that a person asked for gets what the umask leaves.
    file.persist(path).map_err(|error| IoError {
        action: "create",
        path: path.to_owned(),
        source: error.error,
    })?;
    Ok(())
}

/// A temporary file in `directory` that vanishes unless it is persisted; mode 0666 less the umask.
pub fn temporary_in(directory: &Path) -> Result<tempfile::NamedTempFile, IoError> {
    tempfile::Builder::new()
        .prefix(".imgpack-")
        .make_in(directory, |path| OpenOptions::new().read(true).write(true).create_new(true).open(path))
        .map_err(IoError::of("create a file in", directory))
}

/// Removes a file, or a directory with all below it, directories too that may not be written to (Go's module cache).
pub fn remove_all(path: impl AsRef<Path>) -> Result<(), IoError> {
    let path = path.as_ref();
    let removed = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    if !fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
        return removed(fs::remove_file(path)).map_err(IoError::of("remove", path));
    }
    match removed(fs::remove_dir_all(path)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        other => return other.map_err(IoError::of("remove", path)),
    }
    open_up(path);
    removed(fs::remove_dir_all(path)).map_err(IoError::of("remove", path))
}

/// Lets the owner change a directory and all below it. What cannot be opened up cannot be removed either, which is told then.
fn open_up(directory: &Path) {
    let _ = fs::set_permissions(directory, Permissions::from_mode(0o700));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Removes a directory with all below it; that it does not exist is no error.
pub fn remove_dir_all(path: impl AsRef<Path>) -> Result<(), IoError> {
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(IoError::of("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_written_to_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let module = folder.path().join("mod/m@v1");
        fs::create_dir_all(module.join("deep")).unwrap();
        fs::write(module.join("deep/file"), "").unwrap();
        std::os::unix::fs::symlink("/", module.join("link")).unwrap();
        for directory in ["deep", ""] {
            fs::set_permissions(module.join(directory), Permissions::from_mode(0o555)).unwrap();
        }
        // Root may remove it anyway: what the slow way does is looked at by itself.
        open_up(&folder.path().join("mod"));
        assert_eq!(module.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(module.join("deep").metadata().unwrap().permissions().mode() & 0o777, 0o700);
        remove_all(folder.path().join("mod")).unwrap();
        assert!(!folder.path().join("mod").exists());
        remove_all(folder.path().join("mod")).unwrap();
        assert!(Path::new("/").exists());
    }
}
