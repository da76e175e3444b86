use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::error::TreeError;
use crate::system::fs;

/// git's ignore file.
pub(super) const GIT: &str = ".gitignore";
/// imgpack's own, same syntax, the last word.
pub(super) const OWN: &str = ".imgpackignore";

/// The ignore files from a directory up to the workspace root.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules(Option<Arc<Level>>);

#[derive(Debug)]
struct Level {
    above: Rules,
    git: Option<IgnoreFile>,
    own: Option<IgnoreFile>,
}

/// One ignore file.
#[derive(Debug)]
struct IgnoreFile {
    matcher: Gitignore,
    /// Its path relative to the workspace root, for messages.
    file: String,
    lines: Vec<String>,
}

/// A pattern that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matched {
    pub(super) dropped: bool,
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) pattern: String,
}

impl Rules {
    /// These rules with the ignore files of `directory` below them, of which the listing says whether they are there.
    /// `directory` is workspace-relative, `absolute` the same on disk. Ignore files that are links are not read, as git
    /// does not read them.
    pub(super) fn enter(
        &self,
        directory: &str,
        absolute: &Path,
        git: bool,
        own: bool,
    ) -> Result<Self, TreeError> {
        if !git && !own {
            return Ok(self.clone());
        }
        let read = |there: bool, name: &str, strict: bool| {
            there.then(|| IgnoreFile::read(directory, absolute, name, strict)).transpose()
        };
        let level = Level { above: self.clone(), git: read(git, GIT, false)?, own: read(own, OWN, true)? };
        Ok(Self(Some(Arc::new(level))))
    }

    /// The rules for the content of `directory` that the ignore files in it and above it make.
    pub(super) fn above(root: &Path, directory: &str) -> Result<Self, TreeError> {
        let is_file = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
        let mut rules = Self::default();
        let mut here = String::new();
        let mut absolute = root.to_owned();
        for component in directory.split('/').filter(|part| !part.is_empty()) {
            let (git, own) = (is_file(&absolute.join(GIT)), is_file(&absolute.join(OWN)));
            rules = rules.enter(&here, &absolute, git, own)?;
            if !here.is_empty() {
                here.push('/');
            }
            here.push_str(component);
            absolute.push(component);
        }
        Ok(rules)
    }

    /// The pattern that decides over `path` (workspace-relative), `None` where none matches.
    pub(super) fn decide(&self, path: &str, directory: bool) -> Option<Matched> {
        self.first(path, directory, |level| level.own.as_ref())
            .or_else(|| self.first(path, directory, |level| level.git.as_ref()))
    }

    fn first(
        &self,
        path: &str,
        directory: bool,
        file: impl Fn(&Level) -> Option<&IgnoreFile>,
    ) -> Option<Matched> {
        let mut rules = self;
        while let Some(level) = &rules.0 {
            if let Some(matched) = file(level).and_then(|file| file.matched(path, directory)) {
                return Some(matched);
            }
            rules = &level.above;
        }
        None
    }
}

impl IgnoreFile {
    /// `strict`: a pattern that cannot be read is an error; git passes over it.
    fn read(directory: &str, absolute: &Path, name: &str, strict: bool) -> Result<Self, TreeError> {
        let file = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
        let bytes = fs::read(absolute.join(name))?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut builder = GitignoreBuilder::new(directory);
        builder.allow_unclosed_class(!strict);
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            lines.push(trimmed(line).to_owned());
            if let Err(error) = builder.add_line(None, line)
                && strict
            {
                return Err(TreeError::Pattern {
                    file,
                    line: index + 1,
                    pattern: line.to_owned(),
                    reason: error.to_string(),
                });
            }
        }
        let matcher = builder.build().map_err(|error| TreeError::Pattern {
            file: file.clone(),
            line: 1,
            pattern: String::new(),
            reason: error.to_string(),
        })?;
        Ok(Self { matcher, file, lines })
    }

    fn matched(&self, path: &str, directory: bool) -> Option<Matched> {
        let (dropped, glob) = match self.matcher.matched(Path::new(path), directory) {
            Match::Ignore(glob) => (true, glob),
            Match::Whitelist(glob) => (false, glob),
            Match::None => return None,
        };
        // The matcher forgets lines; of equal ones the last decides.
        let line = self.lines.iter().rposition(|line| line == glob.original()).map_or(0, |index| index + 1);
        Some(Matched { dropped, file: self.file.clone(), line, pattern: glob.original().to_owned() })
    }
}

/// A line as the matcher keeps it.
fn trimmed(line: &str) -> &str {
    if line.ends_with("\\ ") { line } else { line.trim_end() }
}
