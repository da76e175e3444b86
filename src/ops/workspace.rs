//! Finding the workspace and reading its specs from the disk.

use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::spec::{Files, ReadError};
use crate::system::fs;

/// The file at the root of a workspace.
pub const WORKSPACE_FILE: &str = "imgpack.yaml";

/// The nearest folder at or above `start` that holds an `imgpack.yaml`; links in `start` resolved.
pub fn find_root(start: &Path) -> Option<PathBuf> {
    let start = start.canonicalize().ok()?;
    start.ancestors().find(|folder| folder.join(WORKSPACE_FILE).is_file()).map(Path::to_owned)
}

/// Specs of a workspace on the disk.
#[derive(Debug)]
pub struct DiskFiles {
    root: PathBuf,
}

impl DiskFiles {
    /// Specs below `root`, whose links are resolved already.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where `path` really is; refused when that is out of the workspace.
    fn inside(&self, path: &str) -> Result<PathBuf, ReadError> {
        let real = self.root.join(path).canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadError::NotFound,
            _ => ReadError::Other(error.to_string()),
        })?;
        if real.starts_with(&self.root) { Ok(real) } else { Err(ReadError::Outside) }
    }
}

impl Files for DiskFiles {
    fn read(&self, path: &str) -> Result<String, ReadError> {
        let real = self.inside(path)?;
        fs::read_to_string(real).map_err(|error| ReadError::Other(error.source.to_string()))
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, ReadError> {
        let real = self.inside(dir)?;
        if !real.is_dir() {
            return Err(ReadError::Other("it is a file, not a folder".to_owned()));
        }
        let mut found = Vec::new();
        for entry in WalkDir::new(&real).sort_by_file_name() {
            let entry = entry.map_err(|error| ReadError::Other(error.to_string()))?;
            let yaml =
                entry.path().extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
            if !yaml || entry.file_type().is_dir() {
                continue;
            }
            let below = entry.path().strip_prefix(&real).unwrap_or(entry.path());
            let below = below
                .to_str()
                .ok_or_else(|| ReadError::Other(format!("{} is not a UTF-8 name", entry.path().display())))?;
            found.push(if dir == "." { below.to_owned() } else { format!("{dir}/{below}") });
        }
        Ok(found)
    }
}
