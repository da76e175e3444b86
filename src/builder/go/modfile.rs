//! What `go.mod` and `go.work` say, as far as the builder needs it before it runs anything.

use std::cmp::Ordering;

use super::super::closure::join;
use super::{BuilderError, Project};

/// The module (or workspace) of `source.dir`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Module {
    /// The main module's path.
    pub(super) name: String,
    /// Its `go.mod`, relative to the source root.
    pub(super) file: String,
    /// What tells this source root from another at the same place.
    pub(super) identity: String,
    /// `go.work`, relative to the source root.
    pub(super) work: Option<String>,
    /// Whether dependencies are in `vendor/`.
    pub(super) vendored: bool,
    /// Versions that the files ask for: file and version.
    pub(super) versions: Vec<(String, String)>,
}

impl Module {
    /// Reads the nearest `go.mod` and `go.work`.
    pub(super) fn of(project: &Project) -> Result<Self, BuilderError> {
        let Some(modfile) = project.nearest(&["go.mod"]) else {
            return Err(BuilderError::Project {
                path: "go.mod".to_owned(),
                reason: "there is none in `source.dir`, nor above it in the source root".to_owned(),
                hint: Some("run `go mod init`, or set `source.dir` to the module".to_owned()),
            });
        };
        let work = project.nearest(&["go.work"]);
        let mut module = Self {
            name: String::new(),
            file: modfile.path.clone(),
            identity: String::new(),
            work: work.map(|input| input.path.clone()),
            vendored: false,
            versions: Vec::new(),
        };
        let mut files = vec![modfile];
        files.extend(work);
        for input in files {
            let text = Project::text(input)?;
            let directory = input.path.rsplit_once('/').map_or("", |(directory, _)| directory);
            for words in directives(&text) {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                match words.as_slice() {
                    ["module", name] if input.path == modfile.path => module.name = (*name).into(),
                    ["go", version] => module.versions.push((input.path.clone(), (*version).to_owned())),
                    ["replace", .., "=>", target] | ["replace", .., "=>", target, _] | ["use", target]
                        if outside(directory, target) =>
                    {
                        return Err(BuilderError::Project {
                            path: input.path.clone(),
                            reason: format!("{} {target} leads out of the source root", words[0]),
                            hint: Some(
                                "add it with `source.add`, or make the source root a directory above both"
                                    .to_owned(),
                            ),
                        });
                    }
                    _ => {}
                }
            }
        }
        // Modules of one workspace share a staged tree.
        module.identity = match work {
            Some(work) => work.path.clone(),
            None => format!("{}\n{}", modfile.path, module.name),
        };
        let beside = work.unwrap_or(modfile).path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let vendor = if beside.is_empty() { "vendor".to_owned() } else { format!("{beside}/vendor") };
        module.vendored = project.input(&format!("{vendor}/modules.txt")).is_some();
        Ok(module)
    }
}

/// Whether a path of a directive, written in a file in `directory`, is a file path outside the source root.
fn outside(directory: &str, target: &str) -> bool {
    if target.starts_with('/') {
        return true;
    }
    is_local(target) && join(directory, target).is_none()
}

/// Whether the target of a `replace` is a path, not a module.
pub(super) fn is_local(target: &str) -> bool {
    target == ".." || target.starts_with("../") || target == "." || target.starts_with("./")
}

/// The directives of a file, one a row, blocks unrolled.
pub(super) fn directives(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let words: Vec<String> =
            line.split_whitespace().map(|word| word.trim_matches(['"', '`']).to_owned()).collect();
        match (&block, words.as_slice()) {
            (_, []) => {}
            (Some(_), [close]) if close == ")" => block = None,
            (Some(verb), words) => rows.push([std::slice::from_ref(verb), words].concat()),
            (None, [verb, open]) if open == "(" => block = Some(verb.clone()),
            (None, words) => rows.push(words.to_vec()),
        }
    }
    rows
}

/// Orders Go versions as `go/version` does: `1.21` (the language) < `1.21rc1` < `1.21.0`.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    parse(left).cmp(&parse(right))
}

fn parse(version: &str) -> (u64, u64, u8, u64) {
    let version = version.strip_prefix("go").unwrap_or(version);
    let version = version.split([' ', '-', '+']).next().unwrap_or_default();
    let mut parts = version.splitn(3, '.');
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
    let major = number(parts.next());
    let minor = parts.next().unwrap_or("0");
    let patch = parts.next();
    // language version < release candidates < releases
    let (rank, last) = match (minor.find("rc"), minor.find("beta"), patch) {
        (Some(at), _, _) => (2, number(minor.get(at + 2..))),
        (_, Some(at), _) => (1, number(minor.get(at + 4..))),
        (_, _, Some(patch)) => (3, number(Some(patch))),
        _ => (0, 0),
    };
    let digits: String = minor.chars().take_while(char::is_ascii_digit).collect();
    (major, number(Some(&digits)), rank, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_order() {
        let versions = ["1.9", "1.20", "1.21", "1.21beta1", "1.21rc2", "1.21.0", "1.21.9", "1.21.10", "1.22"];
        for pair in versions.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
        assert_eq!(compare("go1.26.8", "1.26.8"), Ordering::Equal);
        assert_eq!(compare("go1.26.8 X:nodwarf5", "1.26.8"), Ordering::Equal);
        assert_eq!(compare("go1.26.8-custom", "1.26.8"), Ordering::Equal);
    }

    fn module(dir: &str, files: &[(&str, &str)]) -> Result<Module, String> {
        let files = crate::builder::closure::tests::files(dir, files);
        Module::of(&files.project).map_err(|error| error.to_string())
    }

    #[test]
    fn names_versions_workspaces_and_vendor() {
        let text = "module \"example.com/m\" // c\n\ngo 1.24\nrequire (\n\ta v1\n\tb v2 // indirect\n)\nreplace b => ../b\n";
        let plain = module("m", &[("m/go.mod", text), ("b/go.mod", "module b")]).unwrap();
        assert_eq!(plain.name, "example.com/m");
        assert_eq!(plain.versions, [("m/go.mod".to_owned(), "1.24".to_owned())]);
        assert_eq!((plain.work, plain.vendored), (None, false));
        let files =
            [("m/go.mod", "module m"), ("go.work", "go 1.25\nuse (\n\t./m\n)"), ("vendor/modules.txt", "")];
        let workspace = module("m", &files).unwrap();
        assert_eq!((workspace.work.as_deref(), workspace.vendored), (Some("go.work"), true));
    }

    #[test]
    fn what_leads_out_is_refused() {
        let cases = [
            ("module m\nreplace a => ../a", "go.mod: replace ../a leads out of the source root"),
            ("module m\nreplace (\n a v1 => /a\n)", "go.mod: replace /a leads out of the source root"),
            (
                "module m\nreplace a => ./b/../../c",
                "go.mod: replace ./b/../../c leads out of the source root",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(module(".", &[("go.mod", text)]).unwrap_err(), message);
        }
        let message = "go.mod: there is none in `source.dir`, nor above it in the source root";
        assert_eq!(module(".", &[]).unwrap_err(), message);
        assert!(
            module(".", &[("go.mod", "module m\nreplace a v1 => b.example/c v2\nreplace d => ./d")]).is_ok()
        );
    }
}
