use std::collections::BTreeSet;
use std::path::Path;

use super::error::TreeError;
use super::globs::normalise;
use crate::system::fs;

/// The git submodules that the workspace's `.gitmodules` lists, by path relative to the root.
#[derive(Debug, Default)]
pub(super) struct Submodules(BTreeSet<String>);

impl Submodules {
    pub(super) fn read(root: &Path) -> Result<Self, TreeError> {
        match fs::read(root.join(".gitmodules")) {
            Ok(bytes) => Ok(Self::parse(&String::from_utf8_lossy(&bytes))),
            Err(error) if error.is_not_found() => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// `path = …` lines, the value plain or quoted (git-config, "Syntax"). Escapes in quotes are not undone: such a path
    /// is only not recognised.
    fn parse(text: &str) -> Self {
        let paths = text.lines().filter_map(|line| {
            let (key, value) = line.split_once('=')?;
            let value = value.trim();
            let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
            key.trim().eq_ignore_ascii_case("path").then(|| normalise(value))
        });
        Self(paths.filter(|path| !path.is_empty()).collect())
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.0.contains(path)
    }

    /// The submodule that `path` is or lies in.
    pub(super) fn holding(&self, path: &str) -> Option<&str> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.map(|end| &path[..end]).find_map(|above| self.0.get(above).map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let text = "[submodule \"a\"]\n\tpath = libs/a\n\turl = https://x/a=b\n[submodule \"b\"]\n\tPATH=\"with space\"\n";
        let submodules = Submodules::parse(text);
        assert!(submodules.contains("libs/a") && submodules.contains("with space"));
        assert_eq!(submodules.holding("libs/a/src/x"), Some("libs/a"));
        assert_eq!(submodules.holding("libs/ab"), None);
    }
}
