//! What rustc and build scripts say they read, compared with the key's inputs.
//!
//! Of the project's own packages alone: others come from the lock file, whose digests decide them, and see an environment
//! in which nothing is set.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::system::{self, IoError};

use super::super::closure::{above, join};
use super::super::{BuildRequest, Input, InputKind};
use super::BuilderError;

/// The messages of one `cargo build`.
#[derive(Default)]
pub(super) struct Report {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    executable: Option<PathBuf>,
    out_dir: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

/// What may be read.
pub(super) struct Inputs<'a> {
    pub(super) request: &'a BuildRequest<'a>,
    /// Where the inputs are.
    pub(super) stage: &'a Path,
    /// What the build itself made or took from the lock file, and the toolchain.
    pub(super) elsewhere: &'a [&'a Path],
    /// Variables that the key holds.
    pub(super) declared: BTreeSet<String>,
}

/// What one compilation or build script read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reads {
    /// As they were named; relative ones to a directory that is known elsewhere.
    files: Vec<PathBuf>,
    variables: Vec<String>,
    /// Variables that it sets for the compiler.
    sets: Vec<String>,
}

impl Report {
    /// Takes a line of `--message-format=json`.
    pub(super) fn line(&mut self, line: &str) {
        if let Ok(message) = serde_json::from_str::<Message>(line)
            && matches!(message.reason.as_str(), "compiler-artifact" | "build-script-executed")
        {
            self.messages.push(message);
        }
    }

    /// The program of a name.
    pub(super) fn program(&self, name: &str) -> Option<PathBuf> {
        self.messages.iter().rev().find_map(|message| {
            let wanted = message.reason == "compiler-artifact"
                && message.target.as_ref().is_some_and(|target| target.name == name);
            message.executable.clone().filter(|_| wanted)
        })
    }

    /// Says what was read and is no input.
    pub(super) fn check(&self, inputs: &Inputs<'_>) -> Result<(), BuilderError> {
        // Directories by package, of those in the staged tree.
        let mut packages: BTreeMap<&str, &Path> = BTreeMap::new();
        for message in &self.messages {
            if let Some(directory) = message.manifest_path.as_deref().and_then(Path::parent)
                && directory.starts_with(inputs.stage)
            {
                packages.insert(&message.package_id, directory);
            }
        }
        let mut sets: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut unknown: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let mut compiled = Vec::new();
        for message in &self.messages {
            let Some(directory) = packages.get(message.package_id.as_str()) else { continue };
            match (&message.out_dir, &message.target) {
                (Some(out), _) => {
                    let reads = Reads::of_script(&system::fs::read_to_string(out.with_file_name("output"))?);
                    for path in &reads.files {
                        inputs.watched(directory, path)?;
                    }
                    let names = unknown.entry(&message.package_id).or_default();
                    names.extend(reads.variables.into_iter().filter(|name| !inputs.knows(name)));
                    sets.entry(&message.package_id).or_default().extend(reads.sets);
                }
                (None, Some(target)) => compiled.push((message, target)),
                (None, None) => {}
            }
        }
        for (message, target) in compiled {
            let own = sets.get(message.package_id.as_str()).map(Vec::as_slice).unwrap_or_default();
            for path in message.dep_info(target)? {
                let reads = Reads::of_compilation(&system::fs::read_to_string(&path)?);
                // Relative paths are relative to the workspace or to the package; the first one is known.
                let root = reads.files.first().filter(|first| target.src_path.ends_with(first));
                let depth = root.map_or(0, |first| first.components().count());
                let base = target.src_path.ancestors().nth(depth).unwrap_or(inputs.stage);
                for path in &reads.files {
                    inputs.file(&base.join(path))?;
                }
                let names = unknown.entry(&message.package_id).or_default();
                let foreign = |name: &String| !inputs.knows(name) && !own.contains(name);
                names.extend(reads.variables.into_iter().filter(foreign));
            }
        }
        match unknown.into_iter().find(|(_, names)| !names.is_empty()) {
            None => Ok(()),
            Some((package, names)) => Err(BuilderError::Variables {
                package: packages
                    .get(package)
                    .and_then(|directory| join(&inputs.request.project.root, &inputs.relative(directory)))
                    .filter(|directory| !directory.is_empty())
                    .unwrap_or_else(|| ".".to_owned()),
                names: names.into_iter().collect(),
            }),
        }
    }
}

impl Message {
    /// Where rustc wrote what it read for this artefact.
    fn dep_info(&self, target: &Target) -> Result<Vec<PathBuf>, BuilderError> {
        let missing = || BuilderError::Answer {
            command: "cargo build".to_owned(),
            reason: format!("there is no report of what {} was compiled from", target.name),
        };
        let is_report = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "d");
        if target.kind.iter().any(|kind| kind == "custom-build") {
            let directory = self.filenames.first().and_then(|path| path.parent()).ok_or_else(missing)?;
            let found: Vec<PathBuf> = list(directory)?.into_iter().filter(is_report).collect();
            return if found.is_empty() { Err(missing()) } else { Ok(found) };
        }
        if let Some(program) = &self.executable {
            // The program has a name without a hash; the one with a hash is the same file.
            let directory = program.with_file_name("deps");
            let looks = |path: &Path| path.metadata().ok().map(|m| (m.ino(), m.dev()));
            let prefix = format!("{}-", target.name.replace('-', "_"));
            let same = |path: &PathBuf| {
                path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&prefix))
                    && path.extension().is_none()
                    && (looks(path) == looks(program) || same_content(path, program))
            };
            let found = list(&directory)?.into_iter().find(same).ok_or_else(missing)?;
            return Ok(vec![found.with_extension("d")]);
        }
        // Of a library with several forms some have no hash; rustc writes one report for all.
        let reports = self.filenames.iter().filter_map(|path| {
            let stem = path.file_stem()?.to_str()?;
            Some(path.with_file_name(format!("{}.d", stem.strip_prefix("lib").unwrap_or(stem))))
        });
        let mut reports = reports.filter(|path| path.parent().is_some_and(|parent| parent.ends_with("deps")));
        reports.find(|path| path.exists()).map(|path| vec![path]).ok_or_else(missing)
    }
}

fn list(directory: &Path) -> Result<Vec<PathBuf>, IoError> {
    let entries = std::fs::read_dir(directory).map_err(IoError::of("list", directory))?;
    let mut found = Vec::new();
    for entry in entries {
        found.push(entry.map_err(IoError::of("list", directory))?.path());
    }
    found.sort();
    Ok(found)
}

/// On file systems without hard links cargo copies.
fn same_content(one: &Path, other: &Path) -> bool {
    let length = |path: &Path| path.metadata().map(|metadata| metadata.len()).ok();
    length(one) == length(other)
        && system::fs::read(one)
            .ok()
            .zip(system::fs::read(other).ok())
            .is_some_and(|(one, other)| one == other)
}

impl Reads {
    /// The right sides of a Makefile's rules, with `\ ` for a space, and `# env-dep:` lines.
    fn of_compilation(text: &str) -> Self {
        let mut reads = Self::default();
        let mut known = BTreeSet::new();
        for line in text.lines() {
            if let Some(variable) = line.strip_prefix("# env-dep:") {
                reads.variables.push(variable.split('=').next().unwrap_or_default().to_owned());
                continue;
            }
            let mut words = Vec::new();
            let mut word = String::new();
            let mut characters = line.chars().peekable();
            while let Some(character) = characters.next() {
                match character {
                    '\\' if characters.peek() == Some(&' ') => word.extend(characters.next()),
                    ' ' => words.push(std::mem::take(&mut word)),
                    other => word.push(other),
                }
            }
            words.push(word);
            for word in words.into_iter().skip(1).filter(|word| !word.is_empty()) {
                if known.insert(word.clone()) {
                    reads.files.push(word.into());
                }
            }
        }
        reads
    }

    /// The instructions of a build script to cargo.
    fn of_script(text: &str) -> Self {
        let mut reads = Self::default();
        for line in text.lines() {
            let Some(instruction) = line.strip_prefix("cargo::").or_else(|| line.strip_prefix("cargo:"))
            else {
                continue;
            };
            match instruction.split_once('=') {
                Some(("rerun-if-changed", path)) => reads.files.push(path.trim_end().into()),
                Some(("rerun-if-env-changed", name)) => reads.variables.push(name.trim_end().to_owned()),
                Some(("rustc-env", row)) => {
                    reads.sets.push(row.split('=').next().unwrap_or_default().to_owned());
                }
                _ => {}
            }
        }
        reads
    }
}

impl Inputs<'_> {
    /// A file that was read.
    fn file(&self, path: &Path) -> Result<(), BuilderError> {
        let path = normalised(path);
        if self.is_allowed(&path) {
            return Ok(());
        }
        if path.canonicalize().is_ok_and(|real| self.is_allowed(&real)) && !path.starts_with(self.stage) {
            return Ok(());
        }
        Err(BuilderError::ReadOutside { path: self.shown(path) })
    }

    fn is_allowed(&self, path: &Path) -> bool {
        match path.strip_prefix(self.stage).ok().and_then(Path::to_str) {
            // What is no input was made by the build itself: it was not there when that began.
            Some(inside) => self.input(inside).is_none_or(|input| input.kind != InputKind::StandIn),
            None => self.elsewhere.iter().any(|directory| path.starts_with(directory)),
        }
    }

    /// A path that a build script wants to be run again for: it may be a directory, or not be there.
    fn watched(&self, package: &Path, path: &Path) -> Result<(), BuilderError> {
        let path = normalised(&package.join(path));
        let Some(inside) = path.strip_prefix(self.stage).ok().and_then(Path::to_str) else {
            return if path.symlink_metadata().is_ok() { self.file(&path) } else { Ok(()) };
        };
        let package = self.relative(package);
        let around = inside.is_empty() || package == inside || above(&package).any(|above| above == inside);
        let everything = self.request.everything;
        let left_out =
            |input: &&Input| self.input(&input.path).is_none_or(|staged| staged.kind == InputKind::StandIn);
        let exact = everything.input(inside).filter(left_out);
        let below = || everything.inputs[everything.below(inside)].iter().find(left_out);
        match exact.or_else(|| if around { None } else { below() }) {
            Some(input) => Err(BuilderError::ReadOutside { path: input.path.clone().into() }),
            None => Ok(()),
        }
    }

    fn input(&self, path: &str) -> Option<&Input> {
        self.request.project.input(path)
    }

    /// A path in the staged tree as a path in the source root.
    fn shown(&self, path: PathBuf) -> PathBuf {
        path.strip_prefix(self.stage).map(Path::to_owned).unwrap_or(path)
    }

    fn relative(&self, path: &Path) -> String {
        path.strip_prefix(self.stage).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// Whether a variable is cargo's or rustc's own, the same in every build, or in the key.
    fn knows(&self, name: &str) -> bool {
        const FIXED: [&str; 16] = [
            "CARGO",
            "OUT_DIR",
            "TARGET",
            "HOST",
            "NUM_JOBS",
            "OPT_LEVEL",
            "DEBUG",
            "PROFILE",
            "RUSTC",
            "RUSTDOC",
            "RUSTFLAGS",
            "RUSTDOCFLAGS",
            "RUST_BACKTRACE",
            // Set by the builder to values that are the same on every machine.
            "LC_ALL",
            "TZ",
            "SOURCE_DATE_EPOCH",
        ];
        const PREFIXES: [&str; 3] = ["CARGO_", "RUSTC_", "DEP_"];
        FIXED.contains(&name)
            || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || self.declared.contains(name)
    }
}

/// A path without `.` and `..`, as text.
fn normalised(path: &Path) -> PathBuf {
    let mut found = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(found.pop()),
            Component::CurDir => {}
            component => found.push(component),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read() {
        let text = "/t/deps/libx-1.rmeta: x/src/lib.rs x/src/a\\ b.txt\n\n/t/deps/x-1.d: x/src/lib.rs\n\n\
            x/src/lib.rs:\nx/src/a\\ b.txt:\n\n# env-dep:HOME=/root\n# env-dep:UNSET\n";
        let expected = Reads {
            files: vec!["x/src/lib.rs".into(), "x/src/a b.txt".into()],
            variables: vec!["HOME".into(), "UNSET".into()],
            sets: vec![],
        };
        assert_eq!(Reads::of_compilation(text), expected);
        let text = "hello\ncargo:rerun-if-changed=a b\ncargo::rerun-if-changed=/x\ncargo:rustc-env=A=b=c\n\
            cargo::rerun-if-env-changed=CC\ncargo:warning=w\n";
        let expected = Reads {
            files: vec!["a b".into(), "/x".into()],
            variables: vec!["CC".into()],
            sets: vec!["A".into()],
        };
        assert_eq!(Reads::of_script(text), expected);
    }

    #[test]
    fn the_program_is_the_one_of_the_name() {
        let line = |reason: &str, name: &str, path: &str| {
            format!(
                r#"{{"reason":"{reason}","target":{{"name":"{name}","kind":["bin"],"src_path":"/s"}},"executable":{path}}}"#
            )
        };
        let program = |line: &str| {
            let mut report = Report::default();
            report.line(line);
            report.program("app")
        };
        assert_eq!(program(&line("compiler-artifact", "app", r#""/t/app""#)), Some("/t/app".into()));
        assert_eq!(program(&line("compiler-artifact", "other", r#""/t/app""#)), None);
        assert_eq!(program(&line("compiler-artifact", "app", "null")), None);
        assert_eq!(program(&line("build-script-executed", "app", r#""/t/app""#)), None);
        assert_eq!(program("no json"), None);
    }
}
