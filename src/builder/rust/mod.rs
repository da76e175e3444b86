//! The builder `rust`.

mod closure;
mod manifest;
mod package;
mod report;
mod toolchain;
mod vendor;
mod wrapper;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::model::Platform;
use crate::spec::{RustBuild, RustTarget, Values};
use crate::system::{self, Cancel};

use super::caches::private_directory;
use super::environment::{self, Environment, Scratch};
use super::project::{Project, short};
use super::run::{Argument, Command, Phase, Runner};
use super::stage::Stage;
use super::{
    Artefact, BuildRequest, BuilderError, Caches, Host, KeyField, Line, Source, artefact, hashed, render,
};

pub(super) use closure::{closure, decides};
pub use manifest::binary_name;
pub(super) use toolchain::{identify, toolchain};

/// Raised when the same request would give other bytes.
const REVISION: &str = "3";

fn triple(build: &RustBuild, platform: Platform) -> &'static str {
    match build.target {
        RustTarget::Musl => platform.rust_musl_target(),
    }
}

pub(super) fn key_fields(build: &RustBuild, values: &dyn Values) -> Result<Vec<KeyField>, BuilderError> {
    let mut features = build.features.clone();
    features.sort();
    features.dedup();
    let mut fields = vec![
        KeyField::new("builder", "rust"),
        KeyField::new("revision", REVISION),
        KeyField::new("package", build.package.as_deref().unwrap_or_default()),
        KeyField::new("bin", build.bin.as_deref().unwrap_or_default()),
        KeyField::new("profile", &build.profile),
        KeyField::new("features", features.join(",")),
        KeyField::new("default-features", build.default_features.to_string()),
        KeyField::new(
            "target",
            match build.target {
                RustTarget::Musl => "musl",
            },
        ),
    ];
    fields.extend(hashed("env", render(&build.env, values)?));
    Ok(fields)
}

pub(super) fn stage_id(project: &Project) -> Result<String, BuilderError> {
    Ok(project.stage_id("rust", &manifest::Manifest::identity(project)?))
}

pub(super) fn build(
    build: &RustBuild,
    request: &BuildRequest<'_>,
    host: &Host,
    caches: &Caches,
    output: &(dyn Fn(Line) + Sync),
    cancel: &Cancel,
) -> Result<Vec<Artefact>, BuilderError> {
    let caches = &caches.resolved()?;
    manifest::no_configuration_above(Path::new("/"))?;
    let manifest = manifest::Manifest::of(request.project)?;
    let bin = manifest.binary(build)?;
    let id = stage_id(request.project)?;
    let waiting =
        || output(Line { source: Source::Note, text: "waiting for another build of these sources".into() });
    let own = &short(&["package", &request.project.dir, build.package.as_deref().unwrap_or_default()])[..12];
    let tree = format!("{id}-{own}");
    let mut stage = Stage::open(caches, &id, &tree, cancel, &waiting)?;
    let mut runner = Runner::new(caches, &id, host, output, cancel)?;
    let scratch = Scratch::new(caches, &id)?;
    stage.sync(&request.project.inputs, cancel)?;

    let member = wrapper::member(&caches.target().join(format!("{id}.bin")), own)?;
    let cargo = Cargo::new(request, &scratch, &manifest, &stage, &member)?;
    let workspace = cargo.workspace(&mut runner, &stage)?;
    let lock = manifest::Lock::of(&workspace, request.project)?;
    let crates = vendor::vendor(&cargo, &lock, host, caches, &stage, &mut runner)?;

    let shared = closure::only_members(build, request.project, &workspace)?;
    let target = caches.target().join(if shared { &id } else { &tree });
    fresh(caches, &target, request.fresh)?;
    let triple = triple(build, request.platform);
    let wrapper = wrapper::write(
        caches,
        &caches.target().join(format!("{tree}.rustc")),
        &wrapper::Paths {
            stage: &stage.root,
            vendor: crates.as_deref(),
            target: &target,
            cargo_home: &scratch.cargo_home(),
            sysroot: request.tool.path("sysroot")?,
            commit: request.tool.field("commit"),
            whole: workspace.is_empty(),
        },
    )?;
    let mut environment = cargo.environment.clone();
    environment.extend(environment::set([
        ("RUSTC_WRAPPER", wrapper.as_os_str()),
        ("RUSTC_WORKSPACE_WRAPPER", member.file_name().unwrap_or_default()),
    ]));
    environment::add(&mut environment, render(&build.env, request.values)?, &[])?;
    if !lock.has_allocator() {
        runner.note(format!("`{bin}` uses musl's slow allocator: consider another, like mimalloc"));
    }

    let mut args: Vec<Argument> =
        ["build", "--frozen", "--message-format=json-render-diagnostics"].map(Argument::from).into();
    args.extend(cargo.configuration());
    if let Some(crates) = &crates {
        args.push("--config".into());
        args.push(crates.join(".cargo/config.toml").into());
    }
    args.extend(["--target-dir".into(), Argument::from(&target)]);
    args.extend(["--jobs".into(), request.jobs.max(1).to_string().into()]);
    args.extend(["--target", triple, "--profile", &build.profile, "--bin", &bin].map(Argument::from));
    if let Some(package) = &build.package {
        args.extend(["--package".into(), package.as_str().into()]);
    }
    if !build.features.is_empty() {
        args.extend(["--features".into(), build.features.join(",").into()]);
    }
    if !build.default_features {
        args.push("--no-default-features".into());
    }
    let mut report = report::Report::default();
    let result = runner
        .run(cargo.command(args, &environment, Phase::Make, &stage)?, Some(&mut |line| report.line(line)));
    stage.ended()?;
    result?;
    let made = report.program(&bin).ok_or_else(|| BuilderError::Binary {
        name: bin.clone(),
        reason: "was not made: cargo names no such program".to_owned(),
    })?;
    let mut elsewhere = vec![target.as_path(), request.tool.path("sysroot")?];
    elsewhere.extend(crates.as_deref());
    let declared = build.env.keys().cloned().chain(manifest::variables(request.project)?).collect();
    let inputs = report::Inputs { request, stage: &stage.root, elsewhere: &elsewhere, declared };
    report.check(&inputs)?;
    let (artefact, leaked) = artefact::take(&made, &bin, request.platform, request.into, caches.root())?;
    if leaked {
        runner.note(format!(
            "the binary `{bin}` contains a path of the cache (a use of env!(\"CARGO_MANIFEST_DIR\") or env!(\"OUT_DIR\")?): \
             other machines will not make the same bytes"
        ));
    }
    Ok(vec![artefact])
}

/// Empties the target directory once for each token.
fn fresh(caches: &Caches, target: &Path, token: Option<&str>) -> Result<(), BuilderError> {
    let Some(token) = token else { return Ok(()) };
    let marker = target.with_extension("fresh");
    if system::fs::read(&marker).is_ok_and(|bytes| bytes == token.as_bytes()) {
        return Ok(());
    }
    // By way of another name: of a target directory of which half is gone cargo believes the other half.
    let old = target.with_extension("old");
    system::fs::remove_all(&old)?;
    match std::fs::rename(target, &old) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        renamed => renamed.map_err(system::IoError::of("rename", target))?,
    }
    system::fs::remove_all(&old)?;
    Ok(caches.write(marker, token.as_bytes())?)
}

/// Cargo itself, run in `/`: no configuration above the staged tree is searched for, what is in it is named one by one.
struct Cargo<'a> {
    program: &'a Path,
    manifest: PathBuf,
    configurations: Vec<PathBuf>,
    environment: Environment,
    version: &'a str,
}

impl<'a> Cargo<'a> {
    fn new(
        request: &BuildRequest<'a>,
        scratch: &Scratch,
        manifest: &manifest::Manifest,
        stage: &Stage,
        member: &Path,
    ) -> Result<Self, BuilderError> {
        let tool = request.tool;
        let configurations = manifest::configurations(request.project);
        let program = tool.path("cargo")?;
        let mut bin = vec![program.parent().unwrap_or(Path::new("/"))];
        bin.extend(member.parent());
        bin.extend(tool.paths.get("cc").map(PathBuf::as_path));
        let mut environment = environment::closed(scratch, &bin);
        environment.extend(environment::set([
            ("CARGO_HOME", scratch.cargo_home().as_os_str()),
            ("RUSTC", tool.path("rustc")?.as_os_str()),
            // Empty: none, whatever the project's configuration says.
            ("RUSTC_WRAPPER", OsStr::new("")),
            ("RUSTC_WORKSPACE_WRAPPER", OsStr::new("")),
            ("CARGO_INCREMENTAL", OsStr::new("0")),
            ("CARGO_NET_OFFLINE", OsStr::new("true")),
            ("CARGO_TERM_COLOR", OsStr::new("never")),
            ("CARGO_TERM_PROGRESS_WHEN", OsStr::new("never")),
            // Cargo would look for the host's and tell build scripts where they are.
            ("SSL_CERT_FILE", OsStr::new("/nonexistent")),
            ("SSL_CERT_DIR", OsStr::new("/nonexistent")),
        ]));
        Ok(Self {
            program,
            manifest: stage.root.join(&manifest.path),
            configurations: configurations.into_iter().map(|path| stage.root.join(path)).collect(),
            environment,
            version: tool.field("cargo"),
        })
    }

    /// The manifest and the project's own configuration, the outermost first.
    fn configuration(&self) -> Vec<Argument> {
        let mut args: Vec<Argument> = vec!["--manifest-path".into(), Argument::from(&self.manifest)];
        for path in &self.configurations {
            args.extend(["--config".into(), Argument::from(path)]);
        }
        args
    }

    fn command<'b>(
        &'b self,
        args: Vec<Argument>,
        environment: &'b Environment,
        phase: Phase,
        stage: &Stage,
    ) -> Result<Command<'b>, BuilderError> {
        let lock = stage.share_lock()?;
        Ok(Command { program: self.program, args, environment, directory: Path::new("/"), lock, phase })
    }

    /// The directory of the workspace, relative to the staged tree, with a `/` at its end where it is not the tree itself.
    fn workspace(&self, runner: &mut Runner<'_>, stage: &Stage) -> Result<String, BuilderError> {
        let mut args: Vec<Argument> =
            ["locate-project", "--workspace", "--message-format=plain"].map(Argument::from).into();
        args.extend(self.configuration());
        let mut answer = OsString::new();
        let command = self.command(args, &self.environment, Phase::Make, stage)?;
        runner.run(command, Some(&mut |line| answer = line.into()))?;
        let manifest = PathBuf::from(answer);
        let relative = manifest.parent().and_then(|directory| directory.strip_prefix(&stage.root).ok());
        match relative.and_then(Path::to_str) {
            Some("") => Ok(String::new()),
            Some(directory) => Ok(format!("{directory}/")),
            None => Err(BuilderError::Answer {
                command: "cargo locate-project".to_owned(),
                reason: format!("the workspace {} is outside the source root", manifest.display()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_empties_the_directory_once() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("rust-1");
        let left = |token| {
            std::fs::create_dir_all(&target).unwrap();
            std::fs::write(target.join("a"), "").unwrap();
            fresh(&Caches::new(directory.path()), &target, token).unwrap();
            target.join("a").exists()
        };
        assert_eq!(
            [left(None), left(Some("1")), left(Some("1")), left(Some("2"))],
            [true, false, true, false]
        );
    }
}
