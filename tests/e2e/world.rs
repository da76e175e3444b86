//! What all tests share: one registry, one engine, one workspace, every image built and pushed once.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::{env, fs, io, thread};

use crate::catalogue::{self, Variant};
use crate::engine::{self, Engine};
use crate::program;
use crate::registry::{self, Registry};
use crate::trust;
use crate::workspace::Workspace;

/// What a test may use.
const PROGRAMS: [&str; 11] = [
    "cargo",
    "crane",
    "curl",
    "docker",
    "docker-registry",
    "dockerd",
    "go",
    "openssl",
    "qemu-aarch64-static",
    "skopeo",
    "umoci",
];

pub(crate) struct World {
    /// A directory of this run, which goes with it.
    pub(crate) dir: PathBuf,
    pub(crate) registry: Registry,
    pub(crate) engine: Engine,
    pub(crate) workspace: Workspace,
    pub(crate) trust: trust::Files,
    built: OnceLock<Result<BTreeSet<String>, String>>,
    /// Takes everything away when its standard input ends, which is when this process does.
    _keeper: Child,
}

static WORLD: OnceLock<Result<World, String>> = OnceLock::new();

/// Registry, engine and workspace; `None` where this machine lacks a program, and the test is skipped.
pub(crate) fn world() -> Option<&'static World> {
    if let Some(reason) = lacking() {
        skip(&reason);
        return None;
    }
    Some(once(&WORLD, "the registry and the engine were not started", World::start))
}

/// The same with every image built and pushed.
pub(crate) fn built() -> Option<&'static World> {
    let world = world()?;
    world.digests();
    Some(world)
}

/// One try for all tests; each of them says why it failed.
fn once<T: Sync>(
    cell: &'static OnceLock<Result<T, String>>,
    what: &str,
    make: impl FnOnce() -> T,
) -> &'static T {
    let result = cell.get_or_init(|| {
        panic::catch_unwind(AssertUnwindSafe(make)).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
        })
    });
    match result {
        Ok(value) => value,
        Err(reason) => panic!("{what}: {reason}"),
    }
}

fn lacking() -> Option<String> {
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|program| !program::is_installed(program)).collect();
    if !missing.is_empty() {
        return Some(format!("missing programs: {}", missing.join(", ")));
    }
    if !is_root() && program::call("sudo", ["-n", "true"]).code() != 0 {
        return Some("a container engine needs root, or sudo without a password".to_owned());
    }
    None
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

pub(crate) fn is_root() -> bool {
    program::call("id", ["-u"]).text() == "0"
}

impl World {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("imgpack-e2e-").tempdir().unwrap().keep();
        registry::configure(&dir);
        // A name of this run alone that leaves room for a number in the fifteen bytes of an interface's.
        let name = dir.file_name().and_then(|name| name.to_str()).expect("a name of its own");
        let bridges = format!("ie{}-", name.rsplit('-').next().unwrap_or(name));
        let group = program::call("id", ["-g"]).text();
        let mut keeper = Command::new(if is_root() { "sh" } else { "sudo" });
        if !is_root() {
            keeper.args(["-n", "sh"]);
        }
        keeper.args(["-c", include_str!("keeper.sh"), "keeper"]).arg(&dir).args([&group, &bridges]);
        // In a group of its own Ctrl-C does not reach it: it has to clean up after that.
        let keeper =
            keeper.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = keeper.spawn().unwrap();
        let registry = registry::find(&dir);
        let engine = engine::find(&dir, &bridges);
        let cache = env::var_os("IMGPACK_E2E_CACHE").map_or_else(|| dir.join("cache"), PathBuf::from);
        let prefix = format!("{}/imgpack", registry.host);
        let workspace = Workspace::copy(dir.join("workspace"), cache, &prefix);
        let trust = trust::prepare(&dir, &workspace);
        Self { dir, registry, engine, workspace, trust, built: OnceLock::new(), _keeper: keeper }
    }

    /// Digests that the builds of all images printed.
    pub(crate) fn digests(&'static self) -> &'static BTreeSet<String> {
        once(&self.built, "the images were not built", || {
            let mut digests = self.workspace.push(&[]);
            digests.extend(self.workspace.push(&["--variant", "alpine"]));
            for (service, variant) in catalogue::images() {
                self.engine.pull(&self.image(service, variant));
            }
            digests
        })
    }

    /// Reference of an image in this run's registry.
    pub(crate) fn image(&self, service: catalogue::Service, variant: Variant) -> String {
        self.registry.reference(service.repository, variant.tag())
    }
}
