//! Sources into files, by the host's toolchains, in a closed world.
//!
//! [`identify`] names the tools, [`key_fields`] everything of the request that decides the output, [`build`] makes it:
//! the inputs are put into a staged tree, *fetch* brings the dependencies that the lock file names (network, no foreign
//! code), *make* runs the tool with an empty environment and, where the host allows it, without a network.
//!
//! Below [`Caches`], the layout of `$IMGPACK_CACHE/v1`:
//! ```text
//! stage/<id>/        staged tree of one Go module or workspace; nothing but the inputs
//! stage/<id>-<package>/  staged tree of one package of a Cargo workspace: what it compiles is never taken for another's
//! stage/<id>.lock    held while a builder of that source root runs, also by the tool itself
//! stage/<tree>.json  what was staged, and how it looked on disk
//! target/<id>/       cargo's target directory, of all packages of a workspace: dependencies are compiled once
//! target/<id>.bin/   the wrapper that tells the packages apart;  target/<tree>.rustc the one that maps paths
//! scratch/<id>/      HOME, TMPDIR, CARGO_HOME and outputs of the running tool; gone after each run
//! vendor/<key>/      crates of one Cargo.lock and the configuration that names them; appears whole
//! go/mod             GOMODCACHE;  go/fetched/<key> says that the modules of one go.mod and go.sum are in it
//! go/build-<name>    GOCACHE;  go/current names the one in use
//! tools/<key>.json   resolved tools, with the stat data of every file that decided
//! logs/<id>.log      output of the last run
//! ```

mod artefact;
mod caches;
mod closure;
mod environment;
mod error;
mod go;
mod host;
mod inventory;
mod project;
mod run;
mod rust;
mod stage;
mod tool;

use std::fmt;
use std::path::{Path, PathBuf};

pub use caches::Caches;
pub use closure::{Closure, closure, closure_evidence, closure_fields, outside_closure};
pub use error::{BuilderError, ToolFailure};
pub use host::Host;
pub use inventory::{Held, Kept, Kind};
pub use project::{Input, InputKind, Project};
pub use rust::binary_name;
pub use stage::StagedFile;
pub use tool::{Tool, ToolIdentity};

use crate::model::{Digest, Platform};
use crate::spec::{Build, Template, Values};
use crate::system::Cancel;

/// One call of a builder: one artefact for one platform.
pub struct BuildRequest<'a> {
    /// What the spec says.
    pub build: &'a Build,
    /// For which platform.
    pub platform: Platform,
    /// Answers for the templates in it.
    pub values: &'a dyn Values,
    /// The sources: those of the closure.
    pub project: &'a Project,
    /// Everything in the source root, for telling what was left out.
    pub everything: &'a Project,
    /// The tool, from [`identify`] with the same build, platform and project.
    pub tool: &'a Tool,
    /// How many jobs the tool may run at once.
    pub jobs: usize,
    /// `--no-cache`: what builders made before a command with this token is not used; one token a command.
    pub fresh: Option<&'a str>,
    /// An existing directory of the caller's, where the artefact is put.
    pub into: &'a Path,
}

/// A file that a builder made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    /// Its name: of the Go binary the last component of `build.go.to`, of the Rust binary its own.
    pub name: String,
    /// Where it is: below [`BuildRequest::into`].
    pub path: PathBuf,
    /// Whether it is a program.
    pub executable: bool,
}

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The tool, to standard output.
    Stdout,
    /// The tool, to standard error.
    Stderr,
    /// The builder itself: something the user should know.
    Note,
}

/// A line of a build's output, without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Who wrote it.
    pub source: Source,
    /// What.
    pub text: String,
}

/// A field of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyField {
    /// Its name, unique in the list.
    pub name: String,
    /// Its value; of environment and stamps only a digest.
    pub value: String,
}

impl KeyField {
    fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

impl fmt::Display for KeyField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// The tool that a build asks for, as one word that says what decides which one that is. Starts nothing.
pub fn toolchain(build: &Build, platform: Platform, project: &Project) -> Result<String, BuilderError> {
    match build {
        Build::Go(_) => Ok("go".to_owned()),
        Build::Rust(_) => rust::toolchain(platform, project),
    }
}

/// Resolves the tool that [`build`] would run. Starts processes only where nothing that decided an earlier answer is the
/// same as then.
pub fn identify(
    build: &Build,
    platform: Platform,
    project: &Project,
    host: &Host,
    caches: &Caches,
    cancel: &Cancel,
) -> Result<Tool, BuilderError> {
    match build {
        Build::Go(_) => go::identify(project, host, caches, cancel),
        Build::Rust(rust) => {
            // Without a program to build there is nothing to ask a toolchain for.
            rust::binary_name(rust, project)?;
            rust::identify(platform, project, host, caches, cancel)
        }
    }
}

/// Everything of a request that decides the output, but inputs and tool; sorted by name.
pub fn key_fields(
    build: &Build,
    platform: Platform,
    project: &Project,
    values: &dyn Values,
) -> Result<Vec<KeyField>, BuilderError> {
    let mut fields = match build {
        Build::Go(go) => go::key_fields(go, values)?,
        Build::Rust(rust) => rust::key_fields(rust, values)?,
    };
    fields.push(KeyField::new("platform", platform.to_string()));
    fields.push(KeyField::new("dir", &project.dir));
    fields.sort();
    Ok(fields)
}

/// What staged tree, target directory and log of a source root are called.
pub fn source_root_id(build: &Build, project: &Project) -> Result<String, BuilderError> {
    match build {
        Build::Go(_) => go::stage_id(project),
        Build::Rust(_) => rust::stage_id(project),
    }
}

/// Makes the artefacts. Calls for one source root wait for each other, across processes too.
pub fn build(
    request: &BuildRequest<'_>,
    host: &Host,
    caches: &Caches,
    output: &(dyn Fn(Line) + Sync),
    cancel: &Cancel,
) -> Result<Vec<Artefact>, BuilderError> {
    let made = match request.build {
        Build::Go(go) => go::build(go, request, host, caches, output, cancel),
        Build::Rust(rust) => rust::build(rust, request, host, caches, output, cancel),
    };
    made.map_err(|error| match error {
        BuilderError::Failed(mut failure) if failure.hint.is_none() => {
            failure.hint = missed(&failure.tail, request);
            BuilderError::Failed(failure)
        }
        error => error,
    })
}

/// The way out where a tool's last lines name a file of the source root that was left out.
fn missed(tail: &[String], request: &BuildRequest<'_>) -> Option<String> {
    let is_left_out = |path: &str| {
        let everything = request.everything;
        let is_there = everything.input(path).is_some() || !everything.below(path).is_empty();
        let staged = request.project.input(path).is_some() || !request.project.below(path).is_empty();
        !path.is_empty() && is_there && !staged
    };
    let words = tail.iter().flat_map(|line| line.split([' ', '`', '"', '\'', ':', ',', '(', ')']));
    let names = words.filter(|word| word.contains(['/', '.'])).flat_map(|word| {
        // Tools name files of a staged tree whole, or relative to the source root or to `source.dir`.
        let inside =
            word.split_once("/stage/").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
        [Some(""), Some(request.project.dir.as_str())]
            .into_iter()
            .flatten()
            .filter_map(move |directory| closure::join(directory, inside.unwrap_or(word)))
    });
    let path = names.into_iter().find(|path| is_left_out(path))?;
    let reason = outside_closure(request.build);
    Some(format!("{path} is no input ({reason}): name it in `source.include`, beside \"**\", to make it one"))
}

/// Renders named templates.
fn render<'a>(
    templates: impl IntoIterator<Item = (&'a String, &'a Template)>,
    values: &dyn Values,
) -> Result<Vec<(String, String)>, BuilderError> {
    templates
        .into_iter()
        .map(|(name, template)| match template.render(values) {
            Ok(text) => Ok((name.clone(), text)),
            Err(value) => Err(BuilderError::Value { name: name.clone(), value: value.to_string() }),
        })
        .collect()
}

/// Fields that say of values only whether they are equal.
fn hashed(prefix: &str, rendered: Vec<(String, String)>) -> impl Iterator<Item = KeyField> {
    rendered.into_iter().map(move |(name, value)| {
        KeyField::new(format!("{prefix}.{name}"), Digest::of(value.as_bytes()).to_string())
    })
}
