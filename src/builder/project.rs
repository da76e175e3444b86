use std::path::PathBuf;

use crate::model::{ContentDigest, Digest, Hasher};
use crate::system::{self, IoError};

use super::BuilderError;

/// The largest manifest that is read here (bytes).
const MANIFEST_LIMIT: u64 = 8 * 1024 * 1024;

/// The sources of one source root: a Cargo workspace, a Go module or workspace, else `source.dir`.
#[derive(Debug, Clone)]
pub struct Project {
    /// The source root's path in the workspace, `.` for the workspace itself. Projects with equal `root` and the same
    /// module or package name share a staged tree.
    pub root: String,
    /// `source.dir` relative to the source root, `.` for the root itself.
    pub dir: String,
    /// Every file and link, sorted by path, no path twice.
    pub inputs: Vec<Input>,
    /// Files and directories that the spec names one by one: inputs whatever a manifest or an import says.
    pub named: Vec<String>,
}

/// One file or link of the sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Path relative to the source root, `/` between components, normalised.
    pub path: String,
    /// What it is.
    pub kind: InputKind,
    /// Digest of its content; of a link's target.
    pub digest: ContentDigest,
    /// Where it is read.
    pub source: PathBuf,
}

/// Kinds of inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputKind {
    /// A file.
    File {
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Its target, relative, inside the source root.
        target: String,
    },
    /// A file that a tool has to find: what is in it does not count, and something else is staged.
    StandIn,
}

impl Project {
    /// The input at `path`.
    pub(super) fn input(&self, path: &str) -> Option<&Input> {
        let index = self.inputs.binary_search_by(|input| input.path.as_str().cmp(path)).ok()?;
        self.inputs.get(index)
    }

    /// The directories from `source.dir` up to the source root, as prefixes of input paths (`a/b/`, `a/`, ``).
    pub(super) fn directories(&self) -> Vec<String> {
        let mut parts: Vec<&str> =
            self.dir.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let mut directories = Vec::new();
        loop {
            let directory = parts.join("/");
            directories.push(if directory.is_empty() { directory } else { directory + "/" });
            if parts.pop().is_none() {
                return directories;
            }
        }
    }

    /// The first of `names` that is nearest to `source.dir`.
    pub(super) fn nearest(&self, names: &[&str]) -> Option<&Input> {
        self.directories()
            .iter()
            .find_map(|directory| names.iter().find_map(|name| self.input(&format!("{directory}{name}"))))
    }

    /// The text of an input, which must be what was hashed.
    pub(super) fn text(input: &Input) -> Result<String, BuilderError> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        system::fs::open(&input.source)?
            .take(MANIFEST_LIMIT)
            .read_to_end(&mut bytes)
            .map_err(IoError::of("read", &input.source))?;
        if ContentDigest::of(&bytes) != input.digest && matches!(input.kind, InputKind::File { .. }) {
            return Err(BuilderError::Changed { path: input.source.clone() });
        }
        String::from_utf8(bytes).map_err(|_| BuilderError::Project {
            path: input.path.clone(),
            reason: "is not UTF-8 text".to_owned(),
            hint: None,
        })
    }

    /// The staged tree's name: the same in every checkout, another for another project.
    pub(super) fn stage_id(&self, builder: &str, module: &str) -> String {
        format!("{builder}-{}", &short(&["stage", builder, &self.root, module])[..20])
    }
}

/// Hex digest of fields, each with its length.
pub(super) fn short(fields: &[&str]) -> String {
    let mut hasher = Hasher::new();
    for field in fields {
        hasher.update(&(field.len() as u64).to_be_bytes());
        hasher.update(field.as_bytes());
    }
    let digest: Digest = hasher.finish();
    digest.hex()[..40].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(dir: &str, paths: &[&str]) -> Project {
        let input = |path: &&str| Input {
            path: (*path).to_owned(),
            kind: InputKind::File { executable: false },
            digest: ContentDigest::of(b""),
            source: PathBuf::new(),
        };
        let mut inputs: Vec<Input> = paths.iter().map(input).collect();
        inputs.sort_by(|left, right| left.path.cmp(&right.path));
        Project { root: ".".into(), dir: dir.into(), inputs, named: Vec::new() }
    }

    #[test]
    fn the_nearest_file_wins_and_order_of_names_breaks_ties() {
        let project =
            project("a/b", &["go.mod", "a/go.mod", "a/b/x", "rust-toolchain", "rust-toolchain.toml"]);
        let nearest = |names: &[&str]| project.nearest(names).map(|input| input.path.clone());
        assert_eq!(nearest(&["go.mod"]).as_deref(), Some("a/go.mod"));
        assert_eq!(nearest(&["rust-toolchain", "rust-toolchain.toml"]).as_deref(), Some("rust-toolchain"));
        assert_eq!(nearest(&["go.work"]), None);
        assert_eq!(project.directories(), ["a/b/", "a/", ""]);
    }

    #[test]
    fn a_stage_is_named_by_place_and_module() {
        let here = project(".", &[]);
        let there = Project { root: "other".into(), ..here.clone() };
        assert_eq!(here.stage_id("go", "m"), here.clone().stage_id("go", "m"));
        assert_ne!(here.stage_id("go", "m"), here.stage_id("go", "n"));
        assert_ne!(here.stage_id("go", "m"), there.stage_id("go", "m"));
        assert_ne!(short(&["a", "bc"]), short(&["ab", "c"]));
    }
}
