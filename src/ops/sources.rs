//! From the words of a spec to hashed files: builders' projects, `files` rows, certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use super::error::Error;
use crate::builder::{Input, InputKind, Project};
use crate::model::{ContentDigest, Digest, Hasher};
use crate::plan::{Certificate, SECRET_RULES, secret_in};
use crate::spec::{Build, ImageSpec, Source, SourcePath};
use crate::store::{CleanContents, StatCache, Store};
use crate::system::{Cancel, FileStat, IoError, Moment, fs, parallel};
use crate::tree::{self, Found, HashedFile, HashedKind, KnownDigests, ScanRequest, SourceFile};

/// Bytes at the start of a file that are looked through for secrets.
const SECRET_LIMIT: u64 = 1 << 20;

/// The workspace's files, each directory looked at once a command.
pub struct Sources<'a> {
    root: &'a Path,
    cancel: &'a Cancel,
    jobs: usize,
    known: StatCache,
    store: &'a Store,
    clean: OnceLock<CleanContents>,
    projects: Known<Project>,
    copies: Known<CopiedFiles>,
    left_out: Mutex<BTreeSet<String>>,
}

/// Values by name. Whoever locks one first makes it, and only those who want the same wait.
pub(super) type Known<T> = Mutex<BTreeMap<String, Arc<Mutex<Option<Arc<T>>>>>>;

/// What a `files` row with `from` brings.
#[derive(Debug, Clone, PartialEq)]
pub struct CopiedFiles {
    /// The files; of a single file its own name stands as path.
    pub files: Vec<HashedFile>,
    /// Directories with nothing in them, which only images have.
    pub empty: BTreeSet<String>,
    /// Whether `from` is one file.
    pub single: bool,
    /// Digest over all of it: paths, kinds, contents.
    pub digest: Digest,
}

impl CopiedFiles {
    /// Files, and the digest over them.
    pub(super) fn new(files: Vec<HashedFile>, single: bool) -> Self {
        let mut hasher = Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        part(if single { b"file" } else { b"directory" });
        for file in &files {
            part(file.path.as_bytes());
            match &file.kind {
                HashedKind::File { executable, size, digest } => {
                    part(if *executable { b"program" } else { b"file" });
                    part(&size.to_be_bytes());
                    part(digest.0.as_bytes());
                }
                HashedKind::Symlink { target } => {
                    part(b"link");
                    part(target.as_bytes());
                }
            }
        }
        Self { files, empty: BTreeSet::new(), single, digest: hasher.finish() }
    }

    /// The same with empty directories, which are not in the digest.
    pub(super) fn with_empty(self, empty: BTreeSet<String>) -> Self {
        Self { empty, ..self }
    }
}

impl<'a> Sources<'a> {
    /// The files below the workspace's `root`, with what `store` remembers of them.
    pub fn new(root: &'a Path, store: &'a Store, jobs: usize, cancel: &'a Cancel) -> Self {
        Self {
            root,
            cancel,
            jobs,
            known: store.stat_cache(root),
            store,
            clean: OnceLock::new(),
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
                Found::File(file) => CopiedFiles::new(self.hashed(vec![file])?, true),
                Found::Directory => {
                    let files = self.scanned(&from.path, include, exclude)?;
                    if files.is_empty() {
                        return Err(Error::usage_with_hint(
                            format!("{} has no file that is taken", from.path),
                            "`imgpack plan --files` says which rule leaves each file out",
                        ));
                    }
                    CopiedFiles::new(self.hashed(files)?, false)
                }
            };
            Ok(copied)
        })
        .map_err(|error: Error| error.at(&from.site))
    }

    /// Whether an open file is beyond doubt one whose content has this digest.
    pub fn is_known(&self, file: &std::fs::File, digest: &ContentDigest) -> bool {
        let metadata = file.metadata();
        metadata.is_ok_and(|metadata| self.known.get(&FileStat::of(&metadata)).as_ref() == Some(digest))
    }

    /// The store that remembers.
    pub fn store(&self) -> &'a Store {
        self.store
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

    /// The bytes of a small file, like a key.
    pub fn bytes(&self, path: &SourcePath) -> Result<Vec<u8>, Error> {
        let read = || {
            let Found::File(file) = tree::find(self.root, &path.path)? else {
                return Err(Error::usage(format!("{} is not a file", path.path)));
            };
            Ok(fs::read(&file.absolute)?)
        };
        read().map_err(|error| error.at(&path.site))
    }

    /// Digest of the content of the file at `path`.
    pub fn digest(&self, path: &SourcePath) -> Result<ContentDigest, Error> {
        let found = tree::find(self.root, &path.path).map_err(|error| Error::from(error).at(&path.site))?;
        if let Found::File(file) = found
            && let [HashedFile { kind: HashedKind::File { digest, .. }, .. }] = self.hashed(vec![file])?[..]
        {
            return Ok(digest);
        }
        Err(Error::usage(format!("{} is not a file", path.path)).at(&path.site))
    }

    /// The first file of `files`, in their order, that looks like it holds a secret, and what that is in words. Contents
    /// once found clean are not looked at again.
    pub fn secret_among<'f>(&self, files: &'f [HashedFile]) -> Option<(&'f HashedFile, &'static str)> {
        let clean = self.clean.get_or_init(|| self.store.clean_contents(self.root, SECRET_RULES));
        let unknown: Vec<(&HashedFile, ContentDigest)> = files
            .iter()
            .filter_map(|file| match file.kind {
                HashedKind::File { digest, .. } if !clean.contains(&digest) => Some((file, digest)),
                _ => None,
            })
            .collect();
        let judged = parallel(self.jobs, &unknown, |(file, digest)| {
            let mut content = Vec::new();
            // What cannot be read is reported when it is packed.
            let reader = fs::open(&file.absolute).ok()?;
            reader.take(SECRET_LIMIT).read_to_end(&mut content).ok()?;
            let verdict = secret_in(&content);
            if verdict.is_none() && ContentDigest::of(&content) == *digest {
                clean.add(digest);
            }
            verdict
        });
        unknown.iter().zip(judged).find_map(|((file, _), verdict)| Some((*file, verdict?)))
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
        Ok(tree::hash(files, &Remembered(&self.known), self.jobs, self.cancel)?)
    }

    /// Keeps what was found out about files for the next command.
    pub fn remember(&self) {
        // That it cannot be written costs time later, and nothing now.
        let _: Result<(), IoError> = self.known.save();
        let _: Option<Result<(), IoError>> = self.clean.get().map(CleanContents::save);
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

/// Makes the value of `name` once; callers that want it while it is made wait.
pub(super) fn once<T>(
    known: &Known<T>,
    name: &str,
    make: impl FnOnce() -> Result<T, Error>,
) -> Result<Arc<T>, Error> {
    let poisoned = || Error::bug("a thread ended while it read sources");
    let slot = Arc::clone(known.lock().map_err(|_| poisoned())?.entry(name.to_owned()).or_default());
    let mut slot = slot.lock().map_err(|_| poisoned())?;
    if let Some(value) = &*slot {
        return Ok(Arc::clone(value));
    }
    let value = Arc::new(make()?);
    *slot = Some(Arc::clone(&value));
    Ok(value)
}

/// The store's memory as the tree asks it.
struct Remembered<'a>(&'a StatCache);

impl KnownDigests for Remembered<'_> {
    fn known(&self, stat: &FileStat) -> Option<ContentDigest> {
        self.0.get(stat)
    }
    fn remember(&self, stat: &FileStat, read: Moment, digest: &ContentDigest) {
        self.0.put(stat, read, digest);
    }
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
