//! What of a source root decides a builder's output, found by reading manifests and imports: no tool, no process.
//!
//! The answer is places, not files: whole directories count, so what is added to them counts too. It depends on the files
//! that [`closure_evidence`] digests and on nothing else, so that it can be remembered under that digest.

mod apply;
mod pattern;

use serde::{Deserialize, Serialize};

use crate::model::{Digest, Hasher};
use crate::spec::Build;

use super::{BuilderError, Input, InputKind, Project, go, rust};

pub(super) use pattern::matches;

/// Raised when the same files lead to other places.
const REVISION: &str = "1";

/// The places of a source root that a builder's output depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closure {
    /// Sorted.
    pub(super) places: Vec<Place>,
}

/// A place of a source root; paths are relative to it, empty for itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Place {
    /// The files in a directory, not those in directories of it.
    Directory(String),
    /// A file, or everything below a directory.
    Tree(String),
    /// Everything below a directory but below `without`.
    Package { directory: String, without: Vec<String> },
    /// What a pattern of `//go:embed` takes below a directory.
    Embedded { directory: String, pattern: String },
    /// A file that cargo has to find, whatever is in it.
    StandIn(String),
    /// The files that cargo takes for targets of the package in a directory, as stand-ins.
    Targets(String),
}

impl Closure {
    pub(super) fn new(mut places: Vec<Place>) -> Self {
        places.sort();
        places.dedup();
        Self { places }
    }

    /// Everything: the tool will say what is wrong.
    pub(super) fn everything() -> Self {
        Self { places: vec![Place::Tree(String::new())] }
    }
}

/// The closure of a build; `project` has every file of the source root.
pub fn closure(build: &Build, project: &Project) -> Result<Closure, BuilderError> {
    match build {
        Build::Go(go) => go::closure(go, project),
        Build::Rust(rust) => rust::closure(rust, project),
    }
}

/// A digest of the files that decide closures of this kind of builder in a source root.
pub fn closure_evidence(build: &Build, project: &Project) -> Digest {
    let relevant: fn(&str) -> bool = match build {
        Build::Go(_) => go::decides,
        Build::Rust(_) => rust::decides,
    };
    let mut hasher = Hasher::new();
    let mut add = |input: &Input| {
        hasher.update(&(input.path.len() as u64).to_be_bytes());
        hasher.update(input.path.as_bytes());
        hasher.update(&[u8::from(matches!(input.kind, InputKind::Symlink { .. }))]);
        hasher.update(input.digest.0.as_bytes());
    };
    for input in &project.inputs {
        // Links to directories may lead to such files; so may links by other names.
        let link = matches!(input.kind, InputKind::Symlink { .. });
        if link || relevant(input.path.rsplit('/').next().unwrap_or_default()) {
            add(input);
        }
        if link && let Some(target) = input.target().and_then(|path| project.input(&path)) {
            add(target);
        }
    }
    hasher.finish()
}

/// What of a build, besides the files of [`closure_evidence`], decides its closure: name and value.
pub fn closure_fields(build: &Build, project: &Project) -> Vec<(&'static str, String)> {
    let (builder, package, bin) = match build {
        Build::Go(go) => ("go", go.package.clone(), String::new()),
        Build::Rust(rust) => {
            ("rust", rust.package.clone().unwrap_or_default(), rust.bin.clone().unwrap_or_default())
        }
    };
    vec![
        ("builder", builder.to_owned()),
        ("revision", REVISION.to_owned()),
        ("dir", project.dir.clone()),
        ("package", package),
        ("bin", bin),
    ]
}

/// Why a file of the source root is no input, in words: `not imported by ./cmd/app`.
pub fn outside_closure(build: &Build) -> String {
    match build {
        Build::Go(go) if go.package == "." => "not imported by the program".to_owned(),
        Build::Go(go) => format!("not imported by {}", go.package),
        Build::Rust(rust) => match &rust.package {
            Some(package) => format!("no part of {package}, nor of what it depends on"),
            None => "no part of the package, nor of what it depends on".to_owned(),
        },
    }
}

/// `directory` and a path relative to it, `.` and `..` resolved; `None` where that leads out of the source root.
pub(super) fn join(directory: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The directories above a path, the nearest first, the source root last.
pub(super) fn above(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let path = rest.filter(|path| !path.is_empty())?;
        rest = Some(path.rsplit_once('/').map_or("", |(directory, _)| directory));
        rest
    })
}

/// The file `name` in a directory.
pub(super) fn below(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::ContentDigest;

    /// A project whose files are in a directory of the test's own.
    pub(in super::super) struct Files {
        directory: tempfile::TempDir,
        pub(in super::super) project: Project,
    }

    pub(in super::super) fn files(dir: &str, rows: &[(&str, &str)]) -> Files {
        let directory = tempfile::tempdir().unwrap();
        let project = Project { root: ".".into(), dir: dir.into(), inputs: Vec::new(), named: Vec::new() };
        let mut files = Files { directory, project };
        for (path, text) in rows {
            let source = files.directory.path().join(path);
            std::fs::create_dir_all(source.parent().unwrap()).unwrap();
            std::fs::write(&source, text).unwrap();
            let digest = ContentDigest::of(text.as_bytes());
            files.put(path, InputKind::File { executable: false }, digest);
        }
        files
    }

    impl Files {
        pub(in super::super) fn link(&mut self, path: &str, target: &str) -> &mut Self {
            std::os::unix::fs::symlink(target, self.directory.path().join(path)).unwrap();
            let digest = ContentDigest::of(target.as_bytes());
            self.put(path, InputKind::Symlink { target: target.into() }, digest);
            self
        }

        fn put(&mut self, path: &str, kind: InputKind, digest: ContentDigest) {
            let source = self.directory.path().join(path);
            self.project.inputs.push(Input { path: path.into(), kind, digest, source });
            self.project.inputs.sort_by(|left, right| left.path.cmp(&right.path));
        }
    }

    #[test]
    fn paths_stay_in_the_source_root() {
        let cases = [
            ("a/b", "../c", Some("a/c")),
            ("", "./x//y/.", Some("x/y")),
            (".", "x", Some("x")),
            ("a", "..", Some("")),
            ("a", "../../b", None),
            ("", "/etc", None),
        ];
        for (directory, path, expected) in cases {
            assert_eq!(join(directory, path).as_deref(), expected, "{directory} {path}");
        }
        assert_eq!(above("a/b/c").collect::<Vec<_>>(), ["a/b", "a", ""]);
        assert_eq!(above("").count(), 0);
    }
}
