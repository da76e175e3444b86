//! A workspace, a cache and a home of one test, and imgpack run in them with an environment of its own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io, thread};

pub(crate) struct Env {
    folder: tempfile::TempDir,
    variables: BTreeMap<OsString, OsString>,
}

/// What a command said at its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Variables that toolchains and the way to their registries need.
const INHERITED: [&str; 9] = [
    "PATH",
    "RUSTUP_TOOLCHAIN",
    "RUSTUP_AUTO_INSTALL",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
];

impl Env {
    /// An empty workspace whose images go to `registry.example/acme`.
    pub(crate) fn new() -> Self {
        let env = Self::bare();
        env.file("imgpack.yaml", "apiVersion: imgpack/v1\nregistry: registry.example/acme\n");
        fs::create_dir(env.path("buildspecs")).unwrap();
        env
    }

    /// A workspace without anything.
    pub(crate) fn bare() -> Self {
        let folder = tempfile::Builder::new().prefix("imgpack-cli-").tempdir().unwrap();
        for name in ["home", "workspace"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut env = Self { folder, variables: BTreeMap::new() };
        for name in INHERITED {
            if let Some(value) = env::var_os(name) {
                env.set(name, value);
            }
        }
        // Toolchains are found by way of the user's home, which is not this one.
        for (name, folder) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")] {
            let usual = env::var_os("HOME").map(|home| PathBuf::from(home).join(folder).into_os_string());
            if let Some(value) = env::var_os(name).or(usual) {
                env.set(name, value);
            }
        }
        env.set("HOME", env.outside("home"));
        env.set("IMGPACK_CACHE", env.cache());
        env
    }

    /// The same with one service `web` that copies the directory `conf` to `/etc/web`.
    pub(crate) fn with_files() -> Self {
        let env = Self::new();
        env.file("conf/app.toml", "port = 80\n").file("conf/motd", "hello\n");
        env.spec("web", "base: scratch\nfiles: { /etc/web: ../conf }\n");
        env
    }

    /// Sets a variable of imgpack's environment.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.insert(name.into(), value.into());
    }

    /// Takes a variable out of imgpack's environment.
    pub(crate) fn unset(&mut self, name: &str) {
        self.variables.remove(OsStr::new(name));
    }

    /// A place in the workspace.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("workspace").join(path)
    }

    /// A place beside the workspace.
    pub(crate) fn outside(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.outside("cache")
    }

    /// Writes a file of the workspace.
    pub(crate) fn file(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Writes a buildspec.
    pub(crate) fn spec(&self, name: &str, text: &str) -> &Self {
        self.file(&format!("buildspecs/{name}.yaml"), text)
    }

    /// Makes a symbolic link in the workspace.
    pub(crate) fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
        self
    }

    /// `program` with these arguments, in the workspace and in this environment.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, arguments: &[S]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(&self.variables).current_dir(self.path(""));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs imgpack to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        // A command that hangs fails its test.
        let words = [&["--kill-after=10", "600", IMGPACK], arguments].concat();
        self.ended(self.command("timeout", &words))
    }

    /// Runs a command to its end; what it said, with the paths and ports of this test replaced.
    pub(crate) fn ended(&self, mut command: Command) -> Ended {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or_default());
        Ended { code, stdout: self.said(&output.stdout), stderr: self.said(&output.stderr) }
    }

    pub(crate) fn said(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let folder = self.folder.path().to_str().unwrap();
        text.replace(&format!("{folder}/workspace"), "[ws]").replace(folder, "[dir]")
    }

    /// Runs imgpack, which must end with `code`, say nothing on stdout and leave nothing half-written; what it says.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, code, "{ended:#?}");
        assert_eq!(ended.stdout, "", "{ended:#?}");
        self.is_tidy();
        ended.stderr
    }

    /// Runs imgpack, which must succeed.
    #[track_caller]
    pub(crate) fn succeeds(&self, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        self.is_tidy();
        ended
    }

    /// Nothing half-written is in the cache, in the workspace or beside it.
    #[track_caller]
    pub(crate) fn is_tidy(&self) {
        let tmp = self.cache().join("v1/tmp");
        let mut left = if tmp.is_dir() { files_below(&tmp) } else { Vec::new() };
        left.extend(files_below(self.folder.path()).into_iter().filter(|path| is_temporary(path)));
        assert!(left.is_empty(), "half-written: {left:#?}");
    }
}

pub(crate) const IMGPACK: &str = env!("CARGO_BIN_EXE_imgpack");

/// Whether a file has the name of one that is being written.
pub(crate) fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".imgpack-"))
}

/// Everything below a directory, itself left out; links are not followed.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // What a builder's child removes while it is listed is not there.
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files_below(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

/// The text with every digest as `sha256:…` and every time as `0.0 s`.
pub(crate) fn without_digests(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(part.len());
        assert_eq!(end, 64, "sha256:{part}");
        clean = format!("{clean}sha256:…{}", &part[end..]);
    }
    clean
}

/// Says that the running test is skipped, where `tests/run` counts it; fails instead in CI.
pub(crate) fn skip(reason: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "nothing may be skipped in CI: {reason}");
    let current = thread::current();
    let line = format!("{}: {reason}\n", current.name().unwrap_or("a test"));
    // Not `eprint`, which is swallowed for tests that pass.
    let _ = write!(io::stderr(), "skipped: {line}");
    if let Some(path) = env::var_os("IMGPACK_TEST_SKIPS") {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Whether a program is on the path.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
