//! What Go says it reads for a program, compared with the key's inputs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::spec::GoBuild;
use crate::system::Cancel;
use crate::system::process::{self, Invocation};

use super::{BuilderError, Environment, GoTool, Project};

/// A package, as `go list -json` describes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Package {
    dir: PathBuf,
    standard: bool,
    go_files: Vec<String>,
    s_files: Vec<String>,
    h_files: Vec<String>,
    syso_files: Vec<String>,
    embed_files: Vec<String>,
}

const QUESTION: &str = "-json=Dir,Standard,GoFiles,SFiles,HFiles,SysoFiles,EmbedFiles";

/// Every file that the program is made of, but the standard library's.
pub(super) fn files(
    tool: &GoTool<'_>,
    build: &GoBuild,
    environment: &Environment,
    directory: &Path,
    without_network: &[OsString],
    cancel: &Cancel,
) -> Result<Vec<PathBuf>, BuilderError> {
    let mut words = without_network.to_vec();
    words.push(tool.program.into());
    words.extend(["list", "-deps", QUESTION].map(OsString::from));
    if !build.tags.is_empty() {
        words.push(format!("-tags={}", build.tags.join(",")).into());
    }
    words.extend(["--", &build.package].map(OsString::from));
    let invocation = Invocation {
        program: words.remove(0).into(),
        args: words,
        env: environment.clone(),
        directory: directory.to_owned(),
        stdin: None,
    };
    let (status, stdout, stderr) = process::output(invocation, cancel)?;
    let failed = |reason: String| BuilderError::Answer { command: "go list -deps".to_owned(), reason };
    if !status.success() {
        return Err(failed(stderr.lines().last().unwrap_or("it failed").to_owned()));
    }
    parse(&stdout).map_err(|error| failed(error.to_string()))
}

fn parse(text: &str) -> Result<Vec<PathBuf>, serde_json::Error> {
    let mut files = Vec::new();
    for package in serde_json::Deserializer::from_str(text).into_iter::<Package>() {
        let package = package?;
        if package.standard {
            continue;
        }
        let lists =
            [package.go_files, package.s_files, package.h_files, package.syso_files, package.embed_files];
        files.extend(lists.into_iter().flatten().map(|name| package.dir.join(name)));
    }
    Ok(files)
}

/// The first file that is neither an input nor in one of the directories `elsewhere`.
pub(super) fn check(
    files: &[PathBuf],
    project: &Project,
    stage: &Path,
    elsewhere: &[&Path],
) -> Result<(), BuilderError> {
    for file in files {
        if elsewhere.iter().any(|directory| file.starts_with(directory)) {
            continue;
        }
        let inside = file.strip_prefix(stage).ok().and_then(Path::to_str);
        let staged = |path: &str| {
            project.input(path).or_else(|| project.input(&project.through_links(path, &mut |_| {}))).is_some()
        };
        if !inside.is_some_and(staged) {
            let path = inside.map_or_else(|| file.clone(), PathBuf::from);
            return Err(BuilderError::ReadOutside { path });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::closure::tests::files as project;

    #[test]
    fn files_are_inputs_or_of_modules() {
        let answer = r#"{"Dir":"/go/src/fmt","Standard":true,"GoFiles":["print.go"]}
            {"Dir":"/mod/x@v1","GoFiles":["x.go"]}
            {"Dir":"/stage/linked","GoFiles":["a.go"],"EmbedFiles":["static/a.css"]}"#;
        let found = parse(answer).unwrap();
        assert_eq!(
            found,
            ["/mod/x@v1/x.go", "/stage/linked/a.go", "/stage/linked/static/a.css"].map(PathBuf::from)
        );
        let mut files = project(".", &[("a/a.go", ""), ("a/static/a.css", "")]);
        files.link("linked", "a");
        let check = |found: &[PathBuf]| {
            check(found, &files.project, Path::new("/stage"), &[Path::new("/mod")]).map_err(|e| e.to_string())
        };
        assert_eq!(check(&found), Ok(()));
        let message = |path: &str| Err(format!("the build read {path}, which is not one of its inputs"));
        assert_eq!(check(&["/stage/b.go".into()]), message("b.go"));
        assert_eq!(check(&["/etc/b.go".into()]), message("/etc/b.go"));
    }
}
