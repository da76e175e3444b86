//! From the words of a spec to hashed files: builders' projects, `files` rows, certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::error::Error;
use crate::builder::{Input, InputKind, Project};
use crate::model::ContentDigest;
use crate::plan::Certificate;
use crate::spec::{Build, ImageSpec, Source, SourcePath};
use crate::system::{Cancel, fs};
use crate::tree::{self, Found, HashedFile, HashedKind, ScanRequest, SourceFile};

/// The workspace's files, each directory looked at once a command.
pub struct Sources<'a> {
    root: &'a Path,
    cancel: &'a Cancel,
    projects: Mutex<BTreeMap<String, Arc<Project>>>,
    copies: Mutex<BTreeMap<String, Arc<CopiedFiles>>>,
    left_out: Mutex<BTreeSet<String>>,
}

/// What a `files` row with `from` brings.
#[derive(Debug, Clone, PartialEq)]
pub struct CopiedFiles {
    /// The files; of a single file its own name stands as path.
    pub files: Vec<HashedFile>,
    /// Whether `from` is one file.
    pub single: bool,
}

impl<'a> Sources<'a> {
    /// The files below the workspace's `root`.
    pub fn new(root: &'a Path, cancel: &'a Cancel) -> Self {
        Self {
            root,
            cancel,
            projects: Mutex::default(),
            copies: Mutex::default(),
            left_out: Mutex::default(),
        }
    }

    /// The project of a spec's builder: its source root with every input, hashed.
    pub fn project(&self, spec: &ImageSpec, build: &Build) -> Result<Arc<Project>, Error> {
        let (dir, root) = (&spec.source.dir.path, source_root(self.root, &spec.source.dir.path, build));
        let name = format!("{root}\0{:?}", without_sites(&spec.source));
        once(&self.projects, &name, || {
            let files = self.project_files(&spec.source, &root)?;
            let inputs = self
                .hashed(files)
                .map_err(|error| error.at(&spec.source.dir.site))?
                .into_iter()
                .map(input)
                .collect();
            let named = self.named(&spec.source, &relative_to(dir, &root))?;
            Ok(Project { dir: relative_to(dir, &root), root, inputs, named })
        })
    }

    /// What `include` names besides `**`, and `add`, relative to the source root: inputs whatever is imported. `below` is
    /// `source.dir` relative to it.
    fn named(&self, source: &Source, below: &str) -> Result<Vec<String>, Error> {
        let mut named: Vec<String> = source.add.iter().map(|row| joined(below, &row.to)).collect();
        let include: Vec<String> = source.include.iter().filter(|glob| *glob != "**").cloned().collect();
        if !include.is_empty() {
            let files = self
                .scanned(&source.dir.path, &include, &source.exclude)
                .map_err(|error| error.at(&source.dir.site))?;
            named.extend(files.into_iter().map(|file| joined(below, &file.path)));
        }
        Ok(named)
    }

    /// The files of a `files` row.
    pub fn copied(
        &self,
        from: &SourcePath,
        include: &[String],
        exclude: &[String],
    ) -> Result<Arc<CopiedFiles>, Error> {
        let name = format!("{}\0{include:?}\0{exclude:?}", from.path);
        once(&self.copies, &name, || {
            let copied = match tree::find(self.root, &from.path)? {
                Found::File(file) => CopiedFiles { files: self.hashed(vec![file])?, single: true },
                Found::Directory => {
                    let files = self.scanned(&from.path, include, exclude)?;
                    if files.is_empty() {
                        return Err(Error::usage_with_hint(
                            format!("{} has no file that is taken", from.path),
                            "`imgpack plan --files` says which rule leaves each file out",
                        ));
                    }
                    CopiedFiles { files: self.hashed(files)?, single: false }
                }
            };
            Ok(copied)
        })
        .map_err(|error: Error| error.at(&from.site))
    }

    /// The PEM files of `certificates`.
    pub fn certificates(&self, spec: &ImageSpec) -> Result<Vec<Certificate>, Error> {
        let read = |path: &SourcePath| {
            let Found::File(file) = tree::find(self.root, &path.path)? else {
                return Err(Error::usage(format!(
                    "certificates: {} is a directory, not a PEM file",
                    path.path
                )));
            };
            let text = fs::read_to_string(&file.absolute)?;
            Ok(Certificate { origin: path.site.to_string(), path: path.path.clone(), text })
        };
        spec.certificates.iter().map(|path| read(path).map_err(|error| error.at(&path.site))).collect()
    }

    /// Where a file that a base is named by is on this machine.
    pub fn located(&self, path: &SourcePath) -> Result<PathBuf, Error> {
        match tree::find(self.root, &path.path).map_err(|error| Error::from(error).at(&path.site))? {
            Found::File(file) => Ok(file.absolute),
            Found::Directory => Ok(self.root.join(&path.path)),
        }
    }

    /// Secret files that were found and left out, relative to the workspace.
    pub fn left_out(&self) -> Vec<String> {
        self.left_out.lock().map(|left| left.iter().cloned().collect()).unwrap_or_default()
    }

    fn scanned(&self, dir: &str, include: &[String], exclude: &[String]) -> Result<Vec<SourceFile>, Error> {
        let scan = tree::scan(&self.request(dir, include, exclude), self.cancel)?;
        if let Ok(mut left_out) = self.left_out.lock() {
            left_out.extend(scan.secrets.iter().map(|path| joined(dir, path)));
        }
        Ok(scan.files)
    }

    fn request<'r>(&self, dir: &'r str, include: &'r [String], exclude: &'r [String]) -> ScanRequest<'r>
    where
        'a: 'r,
    {
        ScanRequest { root: self.root, dir, include, exclude, named: &[], explain: false }
    }

    fn hashed(&self, files: Vec<SourceFile>) -> Result<Vec<HashedFile>, Error> {
        Ok(tree::hash(files, &tree::read_digest, self.cancel)?)
    }

    /// The files of a source root: all of it, but below `source.dir` what `include` and `exclude` leave, and `add`.
    fn project_files(&self, source: &Source, root: &str) -> Result<Vec<SourceFile>, Error> {
        let dir = &source.dir.path;
        let below = relative_to(dir, root);
        let at = |error: Error| error.at(&source.dir.site);
        let mut found: BTreeMap<String, SourceFile> = BTreeMap::new();
        let mut put = |file: SourceFile, prefix: &str| {
            let path = joined(prefix, &file.path);
            found.insert(path.clone(), SourceFile { path, ..file });
        };
        if below != "." {
            let outside = self.scanned(root, &[], std::slice::from_ref(&below)).map_err(at)?;
            outside.into_iter().for_each(|file| put(file, "."));
        }
        let own = self.scanned(dir, &source.include, &source.exclude).map_err(at)?;
        own.into_iter().for_each(|file| put(file, &below));
        for addition in &source.add {
            let from = &addition.from;
            let place = joined(&below, &addition.to);
            match tree::find(self.root, &from.path).map_err(|e| Error::from(e).at(&from.site))? {
                Found::File(file) => put(SourceFile { path: place, ..file }, "."),
                Found::Directory => {
                    let added = self.scanned(&from.path, &[], &[]).map_err(|e| e.at(&from.site))?;
                    added.into_iter().for_each(|file| put(file, &place));
                }
            }
        }
        Ok(found.into_values().collect())
    }
}

/// Makes the value of `name` once; callers that come while it is made wait.
pub(super) fn once<T>(
    known: &Mutex<BTreeMap<String, Arc<T>>>,
    name: &str,
    make: impl FnOnce() -> Result<T, Error>,
) -> Result<Arc<T>, Error> {
    let mut known = known.lock().map_err(|_| Error::bug("a thread ended while it read sources"))?;
    if let Some(value) = known.get(name) {
        return Ok(Arc::clone(value));
    }
    let value = Arc::new(make()?);
    known.insert(name.to_owned(), Arc::clone(&value));
    Ok(value)
}

/// A source map by what it says, not by where that was written.
fn without_sites(source: &Source) -> impl std::fmt::Debug {
    let add: Vec<(String, String)> =
        source.add.iter().map(|row| (row.from.path.clone(), row.to.clone())).collect();
    (source.dir.path.clone(), source.include.clone(), source.exclude.clone(), add)
}

/// The source root that `dir` belongs to: the Cargo workspace (by its lock file), the Go workspace or module, the nearest at
/// or above it; else `dir` itself.
fn source_root(root: &Path, dir: &str, build: &Build) -> String {
    let nearest = |name: &str| above(dir).find(|folder| root.join(folder).join(name).is_file());
    let found = match build {
        Build::Go(_) => nearest("go.work").or_else(|| nearest("go.mod")),
        Build::Rust(_) => nearest("Cargo.lock").or_else(|| nearest("Cargo.toml")),
    };
    found.unwrap_or_else(|| dir.to_owned())
}

/// `dir` and every directory above it up to the workspace root, as workspace paths.
fn above(dir: &str) -> impl Iterator<Item = String> + '_ {
    let parts: Vec<&str> = dir.split('/').filter(|part| *part != ".").collect();
    (0..=parts.len())
        .rev()
        .map(move |count| if count == 0 { ".".to_owned() } else { parts[..count].join("/") })
}

fn relative_to(dir: &str, root: &str) -> String {
    match (root, dir) {
        (".", dir) => dir.to_owned(),
        (root, dir) => dir
            .strip_prefix(root)
            .map(|rest| rest.trim_start_matches('/'))
            .filter(|rest| !rest.is_empty())
            .unwrap_or(".")
            .to_owned(),
    }
}

pub(super) fn joined(prefix: &str, path: &str) -> String {
    match (prefix, path) {
        (".", path) => path.to_owned(),
        (prefix, ".") => prefix.to_owned(),
        (prefix, path) => format!("{prefix}/{path}"),
    }
}

fn input(file: HashedFile) -> Input {
    let (kind, digest) = match file.kind {
        HashedKind::File { executable, digest, .. } => (InputKind::File { executable }, digest),
        HashedKind::Symlink { target } => {
            let digest = ContentDigest::of(target.as_bytes());
            (InputKind::Symlink { target }, digest)
        }
    };
    Input { path: file.path, kind, digest, source: file.absolute }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_joined_and_taken_apart() {
        for (dir, root, below) in
            [("a/b", "a", "b"), ("a", "a", "."), (".", ".", "."), ("a/b", ".", "a/b"), ("a/b/c", "a", "b/c")]
        {
            assert_eq!(relative_to(dir, root), below);
            assert_eq!(joined(root, &relative_to(dir, root)), dir);
        }
        assert_eq!(above("a/b").collect::<Vec<_>>(), ["a/b", "a", "."]);
        assert_eq!(above(".").collect::<Vec<_>>(), ["."]);
    }
}
