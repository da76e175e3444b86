//! A checkout of one of the fixtures, and a build of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use imgpack::builder::{
    Artefact, BuildRequest, BuilderError, Caches, Host, Input, InputKind, Line, Project, Tool, build,
    closure, identify,
};
use imgpack::model::{Architecture, ContentDigest, Platform};
use imgpack::spec::{Build, Value};
use imgpack::system::Cancel;

/// A copy of a fixture that a test may change.
pub(crate) struct Checkout {
    pub(crate) root: PathBuf,
    pub(crate) dir: String,
}

impl Checkout {
    pub(crate) fn of(fixture: &str, root: &Path) -> Self {
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/builder").join(fixture), root);
        Self { root: root.to_owned(), dir: ".".to_owned() }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn project(&self) -> Project {
        let mut inputs = Vec::new();
        collect(&self.root, &self.root, &mut inputs);
        inputs.sort_by(|left: &Input, right| left.path.cmp(&right.path));
        Project { root: ".".to_owned(), dir: self.dir.clone(), inputs, named: Vec::new() }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn collect(root: &Path, directory: &Path, inputs: &mut Vec<Input>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, inputs);
        } else {
            inputs.push(Input {
                path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(),
                kind: InputKind::File { executable: false },
                digest: ContentDigest::of(&std::fs::read(&path).unwrap()),
                source: path,
            });
        }
    }
}

/// What a build made and said.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) result: Result<Vec<Artefact>, BuilderError>,
    pub(crate) lines: Vec<String>,
}

impl Built {
    /// The bytes of the one artefact.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.artefact().path).unwrap()
    }

    pub(crate) fn artefact(&self) -> &Artefact {
        match &self.result {
            Ok(artefacts) => &artefacts[0],
            Err(error) => panic!("{error}\n{:?}\n{:#?}", error.hint(), self.lines),
        }
    }

    pub(crate) fn error(&self) -> &BuilderError {
        self.result.as_ref().unwrap_err()
    }

    /// Whether a line contains a text.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.contains(text))
    }

    /// Standard output of the program, on this machine or emulated.
    pub(crate) fn run(&self, platform: Platform, arguments: &[&str]) -> String {
        let path = &self.artefact().path;
        let mut command = match (platform.architecture, std::env::consts::ARCH) {
            (Architecture::Amd64, "x86_64") | (Architecture::Arm64, "aarch64") => Command::new(path),
            (architecture, _) => {
                let name = if architecture == Architecture::Arm64 { "aarch64" } else { "x86_64" };
                let mut command = Command::new(format!("qemu-{name}-static"));
                command.arg(path);
                command
            }
        };
        let output = command.args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// A cache, and how it is used.
pub(crate) struct Site {
    pub(crate) caches: Caches,
    pub(crate) host: Host,
    pub(crate) cancel: Cancel,
    pub(crate) fresh: Option<String>,
    /// Called with every line.
    pub(crate) watch: Box<dyn Fn(&str) + Sync>,
    pub(crate) out: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new(cache: &Path) -> Self {
        Self::with(cache, &[])
    }

    /// A site whose environment has more variables.
    pub(crate) fn with(cache: &Path, variables: &[(&str, &str)]) -> Self {
        let mut environment: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        environment.extend(variables.iter().map(|(name, value)| (name.into(), value.into())));
        Self {
            caches: Caches::new(cache),
            host: Host::new(environment),
            cancel: Cancel::new(),
            fresh: None,
            watch: Box::new(|_| {}),
            out: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn identify(&self, spec: &Build, checkout: &Checkout) -> Result<Tool, BuilderError> {
        let project = checkout.project();
        identify(spec, Platform::AMD64, &project, &self.host, &self.caches, &self.cancel)
    }

    pub(crate) fn build(&self, spec: &Build, platform: Platform, checkout: &Checkout) -> Built {
        let lines = Mutex::new(Vec::new());
        let into = tempfile::tempdir_in(self.out.path()).unwrap().keep();
        let output = |line: Line| {
            (self.watch)(&line.text);
            lines.lock().unwrap().push(line.text);
        };
        let everything = checkout.project();
        let result = closure(spec, &everything).and_then(|closure| {
            let project = everything.within(&closure);
            identify(spec, platform, &project, &self.host, &self.caches, &self.cancel).and_then(|tool| {
                let request = BuildRequest {
                    build: spec,
                    everything: &everything,
                    platform,
                    values: &|value: &Value| matches!(value, Value::GitTag).then(|| "v1.2.3 'x'".to_owned()),
                    project: &project,
                    tool: &tool,
                    jobs: 2,
                    fresh: self.fresh.as_deref(),
                    into: &into,
                };
                build(&request, &self.host, &self.caches, &output, &self.cancel)
            })
        });
        Built { result, lines: lines.into_inner().unwrap() }
    }
}

/// Processes of this machine whose environment names a path.
pub(crate) fn processes_of(path: &Path) -> usize {
    use std::os::unix::ffi::OsStrExt as _;
    let needle = path.as_os_str().as_bytes();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("environ")).ok())
        .filter(|environment| environment.windows(needle.len()).any(|window| window == needle))
        .count()
}
