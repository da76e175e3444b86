use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::Scope;

use super::error::TreeError;
use super::globs::{Globs, is_literal, normalise};
use super::locate::{self, Found};
use super::rules::{self, Matched, Rules};
use super::secret::is_secret;
use super::source::{SourceFile, SourceKind};
use super::submodules::Submodules;
use crate::lock::LOCK_FILE;
use crate::system::{Cancel, IoError};

/// What is to be scanned.
#[derive(Debug, Clone, Copy)]
pub struct ScanRequest<'a> {
    /// The workspace root.
    pub root: &'a Path,
    /// The directory, relative to the root, `.` for the root itself.
    pub dir: &'a str,
    /// Globs and literal paths relative to `dir`; empty means everything.
    pub include: &'a [String],
    /// Globs relative to `dir`.
    pub exclude: &'a [String],
    /// More paths relative to `dir` that were named literally.
    pub named: &'a [String],
    /// Whether [`Scan::decisions`] is wanted.
    pub explain: bool,
}

/// The files of a directory that are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// In bytewise order of their paths.
    pub files: Vec<SourceFile>,
    /// Secret files that were left out, relative to the scanned directory, in order. Not those that another rule had
    /// already dropped.
    pub secrets: Vec<String>,
    /// With `explain`: every file, and every dropped directory (with a final `/`), in order.
    pub decisions: Vec<Decision>,
}

/// Whether one path is taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decision {
    /// Path relative to the scanned directory; of a directory with a final `/`.
    pub path: String,
    /// Whether it is taken.
    pub taken: bool,
    /// By which rule.
    pub rule: Rule,
}

/// A rule that took or dropped a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Nothing speaks against it, and there is no `include`.
    Everything,
    /// It was named literally.
    Named,
    /// A glob of `include` matches it or a directory above it.
    Include(String),
    /// No glob of `include` matches it.
    NotIncluded,
    /// A glob of `exclude` matches it.
    Exclude(String),
    /// A pattern of an ignore file, dropping or (with `!`) keeping.
    Ignore {
        /// The file, relative to the workspace root.
        file: String,
        /// Line, from 1.
        line: usize,
        /// The pattern.
        pattern: String,
    },
    /// A secret file by its name.
    Secret,
    /// `.git`
    Git,
    /// The workspace's own lock file.
    Lock,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("no rule against it"),
            Self::Named => f.write_str("named"),
            Self::Include(glob) => write!(f, "include `{glob}`"),
            Self::NotIncluded => f.write_str("not in include"),
            Self::Exclude(glob) => write!(f, "exclude `{glob}`"),
            Self::Ignore { file, line, pattern } => write!(f, "{file}:{line} `{pattern}`"),
            Self::Secret => f.write_str("secret file"),
            Self::Git => f.write_str("`.git`"),
            Self::Lock => f.write_str("the lock file"),
        }
    }
}

impl From<Matched> for Rule {
    fn from(matched: Matched) -> Self {
        Self::Ignore { file: matched.file, line: matched.line, pattern: matched.pattern }
    }
}

/// Finds the sources in a directory of the workspace by the rules of this module. Reads no content.
pub fn scan(request: &ScanRequest<'_>, cancel: &Cancel) -> Result<Scan, TreeError> {
    let ScanRequest { root, dir, .. } = *request;
    let Found::Directory = locate::find(root, dir)? else {
        return Err(TreeError::NotDirectory { path: dir.to_owned() });
    };
    let workspace = if dir == "." { String::new() } else { dir.to_owned() };
    let mut names = BTreeSet::new();
    let literal = request.include.iter().filter(|text| is_literal(text));
    for text in literal.chain(request.named) {
        let name = normalise(text);
        if name.is_empty() {
            continue;
        }
        let path = below(&workspace, &name);
        if name.split('/').any(|part| part == "..") {
            return Err(TreeError::Outside { path });
        }
        if name.split('/').any(|part| part == ".git") {
            return Err(TreeError::Git { path });
        }
        if fs::symlink_metadata(root.join(&path)).is_err() {
            locate::find(root, &path)?;
        }
        // Links are kept, not walked through: such a name would silently take nothing.
        for (at, _) in name.match_indices('/') {
            let above = below(&workspace, &name[..at]);
            if fs::symlink_metadata(root.join(&above)).is_ok_and(|metadata| metadata.is_symlink()) {
                return Err(TreeError::ThroughLink { path, link: above });
            }
        }
        names.insert(name);
    }
    let walk = Walk {
        real_root: locate::canonical(root)?,
        everything: request.include.is_empty(),
        include: Globs::new(request.include)?,
        exclude: Globs::new(request.exclude)?,
        submodules: Submodules::read(root)?,
        names,
        explain: request.explain,
        cancel,
        outcome: Mutex::default(),
    };
    let absolute = if workspace.is_empty() { root.to_owned() } else { root.join(&workspace) };
    let top = Directory {
        path: String::new(),
        rules: Rules::above(root, &workspace)?,
        workspace,
        absolute,
        included: walk.everything.then_some(Rule::Everything),
        dropped: None,
    };
    rayon::scope(|scope| walk.enter(scope, &top));
    let mut outcome = walk.outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, error)) = outcome.failures.into_iter().min_by(|a, b| a.0.cmp(&b.0)) {
        return Err(error);
    }
    outcome.scan.files.sort_unstable();
    outcome.scan.secrets.sort_unstable();
    outcome.scan.decisions.sort_unstable();
    Ok(outcome.scan)
}

struct Walk<'a> {
    real_root: PathBuf,
    everything: bool,
    include: Globs,
    exclude: Globs,
    submodules: Submodules,
    /// Paths named literally, relative to the scanned directory.
    names: BTreeSet<String>,
    explain: bool,
    cancel: &'a Cancel,
    outcome: Mutex<Outcome>,
}

#[derive(Default)]
struct Outcome {
    scan: Scan,
    /// By path, so that the first is the same on every run.
    failures: Vec<(String, TreeError)>,
}

/// A directory that is looked into.
struct Directory {
    /// Relative to the scanned directory, empty for itself.
    path: String,
    /// Relative to the workspace root, empty for itself.
    workspace: String,
    absolute: PathBuf,
    /// Of the directories above it.
    rules: Rules,
    /// The rule that included it, with everything below it.
    included: Option<Rule>,
    /// The rule that dropped it; it is looked into only for what is named in it.
    dropped: Option<Rule>,
}

/// What is decided over one path.
enum Verdict {
    Take(Rule),
    Drop(Rule),
    /// A directory is looked into, with what its content inherits.
    Enter {
        included: Option<Rule>,
        dropped: Option<Rule>,
    },
}

impl Walk<'_> {
    fn enter<'scope>(&'scope self, scope: &Scope<'scope>, directory: &Directory) {
        let mut found = Scan::default();
        let result = self.list(directory, &mut found, scope);
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.scan.files.append(&mut found.files);
        outcome.scan.secrets.append(&mut found.secrets);
        outcome.scan.decisions.append(&mut found.decisions);
        if let Err(failure) = result {
            outcome.failures.push(failure);
        }
    }

    fn list<'scope>(
        &'scope self,
        directory: &Directory,
        found: &mut Scan,
        scope: &Scope<'scope>,
    ) -> Result<(), (String, TreeError)> {
        let here = |error: TreeError| (directory.path.clone(), error);
        self.cancel.check().map_err(|error| here(error.into()))?;
        let unreadable = |error| here(IoError::of("read the directory", &directory.absolute)(error).into());
        let mut children = Vec::new();
        let (mut git, mut own) = (false, false);
        for entry in fs::read_dir(&directory.absolute).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let file_type = entry.file_type().map_err(unreadable)?;
            let name = entry.file_name();
            git |= name == rules::GIT && file_type.is_file();
            own |= name == rules::OWN && file_type.is_file();
            children.push((name, file_type));
        }
        if children.is_empty() && self.submodules.contains(&directory.workspace) {
            return Err(here(TreeError::Submodule { path: directory.workspace.clone() }));
        }
        let rules =
            directory.rules.enter(&directory.workspace, &directory.absolute, git, own).map_err(here)?;
        for (name, file_type) in children {
            let text = name.to_string_lossy();
            let path = below(&directory.path, &text);
            let workspace = below(&directory.workspace, &text);
            let is_directory = file_type.is_dir();
            let verdict = self.decide(directory, &rules, &path, &workspace, is_directory);
            if let Verdict::Drop(rule) = verdict {
                self.drop_path(found, path, is_directory, rule);
                continue;
            }
            let fail = |error: TreeError| (path.clone(), error);
            if name.to_str().is_none() {
                return Err(fail(TreeError::NotUtf8 { what: "name", path: workspace }));
            }
            locate::check_name(&text, &workspace).map_err(fail)?;
            let absolute = directory.absolute.join(&name);
            match verdict {
                Verdict::Enter { included, dropped } => {
                    let rules = rules.clone();
                    let next = Directory { path, workspace, absolute, rules, included, dropped };
                    scope.spawn(move |scope| self.enter(scope, &next));
                }
                Verdict::Take(rule) => {
                    let kind = self.kind(file_type, &absolute, &workspace).map_err(fail)?;
                    if self.explain {
                        found.decisions.push(Decision { path: path.clone(), taken: true, rule });
                    }
                    found.files.push(SourceFile { path, kind, absolute });
                }
                Verdict::Drop(_) => {}
            }
        }
        Ok(())
    }

    fn decide(
        &self,
        directory: &Directory,
        rules: &Rules,
        path: &str,
        workspace: &str,
        is_directory: bool,
    ) -> Verdict {
        let name = path.rsplit('/').next().unwrap_or(path);
        if name == ".git" {
            return Verdict::Drop(Rule::Git);
        }
        if let Some(glob) = self.exclude.matched(path, is_directory) {
            return Verdict::Drop(Rule::Exclude(glob.to_owned()));
        }
        if self.names.contains(path) {
            return if is_directory {
                Verdict::Enter { included: Some(Rule::Named), dropped: None }
            } else {
                Verdict::Take(Rule::Named)
            };
        }
        if workspace == LOCK_FILE {
            return Verdict::Drop(Rule::Lock);
        }
        let leads_to_name = is_directory && self.leads_to_name(path);
        let drop = |rule: Rule| {
            if leads_to_name {
                Verdict::Enter { included: None, dropped: Some(rule) }
            } else {
                Verdict::Drop(rule)
            }
        };
        if let Some(rule) = &directory.dropped {
            return drop(rule.clone());
        }
        let included = directory
            .included
            .clone()
            .or_else(|| self.include.matched(path, is_directory).map(|glob| Rule::Include(glob.to_owned())));
        let mut taken_by = match included {
            Some(rule) => rule,
            None if is_directory && self.include.may_match_below(path) => Rule::NotIncluded,
            None => return drop(Rule::NotIncluded),
        };
        match rules.decide(workspace, is_directory) {
            Some(matched) if matched.dropped => return drop(matched.into()),
            Some(matched) if !is_directory => taken_by = matched.into(),
            _ => {}
        }
        if is_directory {
            let included = (taken_by != Rule::NotIncluded).then_some(taken_by);
            return Verdict::Enter { included, dropped: None };
        }
        if is_secret(name) { Verdict::Drop(Rule::Secret) } else { Verdict::Take(taken_by) }
    }

    /// Whether something named literally lies below the directory `path`.
    fn leads_to_name(&self, path: &str) -> bool {
        let first = format!("{path}/");
        self.names.range(first.clone()..).next().is_some_and(|name| name.starts_with(&first))
    }

    fn drop_path(&self, found: &mut Scan, path: String, is_directory: bool, rule: Rule) {
        if rule == Rule::Secret {
            found.secrets.push(path.clone());
        }
        if self.explain {
            let path = if is_directory { path + "/" } else { path };
            found.decisions.push(Decision { path, taken: false, rule });
        }
    }

    fn kind(
        &self,
        file_type: fs::FileType,
        absolute: &Path,
        workspace: &str,
    ) -> Result<SourceKind, TreeError> {
        if file_type.is_symlink() {
            let target = locate::check_link(&self.real_root, absolute, workspace)?;
            return Ok(SourceKind::Symlink { target });
        }
        let metadata = fs::symlink_metadata(absolute).map_err(IoError::of("look at", absolute))?;
        locate::regular(&metadata, workspace)
    }
}

fn below(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

#[cfg(test)]
mod tests;
