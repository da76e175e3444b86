//! The workspace of this run: a copy of the repository's, that pushes to this run's registry.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use crate::program::{self, Ended};

/// A cold build of every toolchain's standard library and every dependency, twice, on two slow cores.
const BUILD: Duration = Duration::from_mins(30);

pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    cache: PathBuf,
}

impl Workspace {
    /// Copies what imgpack reads; images go to `registry` (`HOST:PORT/NAME`).
    pub(crate) fn copy(root: PathBuf, cache: PathBuf, registry: &str) -> Self {
        let origin = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in ["buildspecs", "fixtures/bases", "fixtures/jessy", "fixtures/monkeys-engine"] {
            copy(&origin.join(part), &root.join(part));
        }
        let text = fs::read_to_string(origin.join("imgpack.yaml")).unwrap();
        let (before, line) = text.split_once("\nregistry: ").expect("imgpack.yaml names a registry");
        let (_, after) = line.split_once('\n').expect("a line ends");
        fs::write(root.join("imgpack.yaml"), format!("{before}\nregistry: {registry}\n{after}")).unwrap();
        Self { root, cache }
    }

    /// Writes one more file.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a file of the workspace")).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs imgpack in the workspace.
    pub(crate) fn imgpack(&self, arguments: &[&str]) -> Ended {
        program::run(&self.command(arguments), BUILD)
    }

    /// The command line of that, to be changed before it is run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let binary = env::var("IMGPACK_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_imgpack").to_owned());
        let mut command = program::command(&binary, arguments);
        command.current_dir(&self.root).env("IMGPACK_CACHE", &self.cache);
        command
    }

    /// Builds and pushes; the digests that were printed.
    pub(crate) fn push(&self, arguments: &[&str]) -> BTreeSet<String> {
        let printed = self.imgpack(&[&["build", "--push"], arguments].concat()).text();
        let digest = |line: &str| match line.split_once('@') {
            Some((_, digest)) if digest.starts_with("sha256:") => digest.to_owned(),
            _ => panic!("standard output has a line that is no reference with a digest: {line:?}"),
        };
        printed.lines().map(digest).collect()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if !entry.file_type().unwrap().is_dir() {
            fs::copy(&from, &to).unwrap();
        } else if entry.file_name() != "target" {
            copy(&from, &to);
        }
    }
}
