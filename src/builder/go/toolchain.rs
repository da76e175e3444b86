use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::system::Cancel;
use crate::system::process::{self, Invocation};

use super::super::host::is_program;
use super::super::tool::Question;
use super::super::{Tool, ToolIdentity};
use super::fetch::SETTINGS;
use super::modfile::{Module, compare};
use super::{BuilderError, Caches, Host, Project};

/// Resolves `go`: through a version manager's shim to the program itself, which must be new enough for the project.
pub(in super::super) fn identify(
    project: &Project,
    host: &Host,
    caches: &Caches,
    cancel: &Cancel,
) -> Result<Tool, BuilderError> {
    let module = Module::of(project)?;
    let found = host.find("go").ok_or_else(|| BuilderError::MissingProgram {
        program: "go".to_owned(),
        hint: "install Go from https://go.dev/dl and put it on the PATH".to_owned(),
    })?;
    let question = Question::new(vec!["go".to_owned(), found.to_string_lossy().into_owned()]);
    let tool = if let Some(tool) = question.remembered(caches) {
        tool
    } else {
        let (tool, witnesses) = resolve(&found, host, cancel)?;
        if let Some(witnesses) = witnesses {
            question.remember(caches, &tool, &witnesses);
        }
        tool
    };
    let installed = tool.field("version");
    for (file, wanted) in module.versions {
        if compare(installed, &wanted) == Ordering::Less {
            return Err(BuilderError::TooOld {
                file,
                wanted,
                installed: installed.to_owned(),
                program: tool.path("go")?.to_owned(),
            });
        }
    }
    Ok(tool)
}

/// Asks the program found; the files that decided the answer, or `None` where a shim decides by more than files known here.
fn resolve(found: &Path, host: &Host, cancel: &Cancel) -> Result<(Tool, Option<Vec<PathBuf>>), BuilderError> {
    let answer = ask(found, &["GOROOT", "GOVERSION"], host, cancel)?;
    let goroot = PathBuf::from(answer.get("GOROOT").map(String::as_str).unwrap_or_default());
    let real = goroot.join("bin/go");
    let program = if is_program(&real) { real } else { found.to_owned() };
    let version = answer
        .get("GOVERSION")
        .map(|version| version.trim_start_matches("go").to_owned())
        .unwrap_or_default();
    if version.is_empty() {
        return Err(BuilderError::Answer {
            command: "go env -json".to_owned(),
            reason: format!("{} does not say its version", found.display()),
        });
    }
    let tool = Tool {
        // Not the host's architecture: without cgo Go's output is the same from each of them.
        identity: ToolIdentity::new([("version", version)]),
        paths: BTreeMap::from([("go".to_owned(), program.clone()), ("goroot".to_owned(), goroot.clone())]),
    };
    let shim = found.canonicalize().ok() != program.canonicalize().ok();
    let witnesses = (!shim).then(|| vec![found.to_owned(), program, goroot.join("VERSION")]);
    Ok((tool, witnesses))
}

/// `go env -json` as the user would see it, but for the toolchain, which is the local one.
pub(super) fn ask(
    program: &Path,
    names: &[&str],
    host: &Host,
    cancel: &Cancel,
) -> Result<BTreeMap<String, String>, BuilderError> {
    // Go refuses to answer where a variable of another purpose has a value that it does not know.
    let known = |name: &str| SETTINGS.contains(&name) || name == "GOPATH" || name.starts_with("GOENV");
    let mut env = host.environment().clone();
    env.retain(|name, _| name.to_str().is_some_and(|name| !name.starts_with("GO") || known(name)));
    for (name, value) in [("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=readonly"), ("GOWORK", "off")] {
        env.insert(name.into(), value.into());
    }
    let mut args: Vec<OsString> = vec!["env".into(), "-json".into()];
    args.extend(names.iter().map(OsString::from));
    let invocation =
        Invocation { program: program.to_owned(), args, env, directory: "/".into(), stdin: None };
    let (status, stdout, stderr) = process::output(invocation, cancel)?;
    let failed = |reason: String| BuilderError::Answer { command: "go env -json".to_owned(), reason };
    if !status.success() {
        return Err(failed(stderr.lines().last().unwrap_or("it failed").to_owned()));
    }
    serde_json::from_str(&stdout).map_err(|error| failed(error.to_string()))
}
