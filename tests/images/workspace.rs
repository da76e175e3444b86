//! A workspace of a test, with a cache of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::built::Built;
use crate::layout::Layout;
use crate::program;

pub(crate) struct Workspace {
    dir: TempDir,
    pub(crate) root: PathBuf,
}

impl Workspace {
    /// One with this `imgpack.yaml`; `apiVersion` and a registry stand before it.
    pub(crate) fn new(text: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("imgpack-images-").tempdir().unwrap();
        let root = dir.path().join("workspace");
        let workspace = Self { dir, root };
        workspace.write(
            "imgpack.yaml",
            format!("apiVersion: imgpack/v1\nregistry: registry.example/team\n{text}"),
        );
        workspace
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes a file that may be executed.
    pub(crate) fn write_program(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.write(path, text);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Brings Alpine's root file systems to `bases/x86_64.tar.gz` and `bases/aarch64.tar.gz`.
    pub(crate) fn with_alpine(self) -> Option<Self> {
        for machine in ["x86_64", "aarch64"] {
            let from = program::alpine(machine)?;
            self.write(&format!("bases/{machine}.tar.gz"), fs::read(from).unwrap());
        }
        Some(self)
    }

    /// A path beside the workspace, for what a test makes.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.beside("cache")
    }

    /// The command line of imgpack in the workspace.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgpack"));
        command.args(arguments).current_dir(&self.root).env("IMGPACK_CACHE", self.cache());
        command.env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// What imgpack prints at its good end.
    pub(crate) fn imgpack(&self, arguments: &[&str]) -> String {
        program::text(&mut self.command(arguments))
    }

    /// What imgpack says of mistakes in specs and sources.
    pub(crate) fn refusal(&self, arguments: &[&str]) -> String {
        program::failure(&mut self.command(arguments), 2)
    }

    /// Builds, and reads the result.
    pub(crate) fn build(&self, arguments: &[&str]) -> Built {
        self.build_with(arguments, |_| {})
    }

    /// The same with the command changed.
    pub(crate) fn build_with(&self, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Built {
        let file = self.beside("result.json");
        let mut command = self.command(&["build", "--quiet", "--result"]);
        command.arg(&file).args(arguments);
        change(&mut command);
        program::text(&mut command);
        Built::read(&file)
    }

    /// Builds into an OCI layout beside the workspace, which is new for each name.
    pub(crate) fn layout(&self, name: &str, arguments: &[&str]) -> (Built, Layout) {
        let dir = self.beside(name);
        assert!(!dir.exists(), "{}", dir.display());
        let built = self.build(&[&["--output", &output("oci", &dir)], arguments].concat());
        (built, Layout::open(&dir))
    }
}

/// The value of `--output`.
pub(crate) fn output(form: &str, path: &Path) -> String {
    format!("{form}:{}", path.display())
}
