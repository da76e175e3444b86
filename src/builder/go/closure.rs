//! The packages of a Go program in the source root: imports are followed by text, under any build tag.

use std::collections::{BTreeMap, BTreeSet};

use crate::spec::GoBuild;

use super::super::closure::{Place, above, below, join};
use super::super::{Closure, Input};
use super::modfile::{Module, directives, is_local};
use super::source::mentions;
use super::{BuilderError, Project};

/// Whether files of a name decide closures.
pub(in super::super) fn decides(name: &str) -> bool {
    is_source(name) || matches!(name, "go.mod" | "go.work" | "modules.txt")
}

fn is_source(name: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|extension| extension == "go")
}

/// The package of the program, what it imports in its module, in other modules of the workspace and in local
/// replacements, and what these embed; manifests; `vendor` whole.
pub(in super::super) fn closure(build: &GoBuild, project: &Project) -> Result<Closure, BuilderError> {
    let module = Module::of(project)?;
    let Some(package) = join(&project.dir, &build.package) else { return Ok(Closure::everything()) };
    let mut walk = Walk { project, modules: BTreeMap::new(), places: BTreeSet::new() };
    walk.modules(&module)?;
    if module.vendored {
        let beside = module.work.as_ref().unwrap_or(&module.file);
        walk.places.insert(Place::Tree(below(above(beside).next().unwrap_or_default(), "vendor")));
    }
    walk.packages(package)?;
    Ok(Closure::new(walk.places.into_iter().collect()))
}

struct Walk<'a> {
    project: &'a Project,
    /// Directory by import path, of every module that is found in the source root.
    modules: BTreeMap<String, BTreeSet<String>>,
    places: BTreeSet<Place>,
}

impl Walk<'_> {
    fn file(&mut self, path: String) {
        self.places.insert(Place::Tree(path));
    }

    fn text(&self, path: &str) -> Result<Option<String>, BuilderError> {
        self.project.input(path).map(Project::text).transpose()
    }

    /// Collects the main modules and what replaces others.
    fn modules(&mut self, module: &Module) -> Result<(), BuilderError> {
        let mut waiting = vec![module.file.clone()];
        if let Some(work) = &module.work {
            waiting.push(work.clone());
            self.file(work.clone());
            self.file(format!("{work}.sum"));
        }
        let mut known: BTreeSet<String> = waiting.iter().cloned().collect();
        while let Some(path) = waiting.pop() {
            let directory = above(&path).next().unwrap_or_default().to_owned();
            if path.ends_with("go.mod") {
                self.file(below(&directory, "go.sum"));
            }
            self.file(path.clone());
            for words in self.text(&path)?.iter().flat_map(|text| directives(text)) {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let (name, target) = match words.as_slice() {
                    ["module", name] => {
                        self.modules.entry((*name).to_owned()).or_default().insert(directory.clone());
                        continue;
                    }
                    ["use", target] => (None, *target),
                    ["replace", name, "=>", target] | ["replace", name, _, "=>", target]
                        if is_local(target) =>
                    {
                        (Some(*name), *target)
                    }
                    _ => continue,
                };
                let Some(place) = join(&directory, target) else { continue };
                let modfile = below(&place, "go.mod");
                match name {
                    // Of what replaces a module only the manifest matters, under the name of the other.
                    Some(name) => {
                        self.modules.entry(name.to_owned()).or_default().insert(place);
                        self.file(modfile);
                    }
                    None if known.insert(modfile.clone()) => waiting.push(modfile),
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// Follows imports from a package's directory.
    fn packages(&mut self, first: String) -> Result<(), BuilderError> {
        let mut waiting = vec![first.clone()];
        let mut known = BTreeSet::from([first]);
        while let Some(directory) = waiting.pop() {
            self.places.insert(Place::Directory(directory.clone()));
            let real = self.project.through_links(&directory, &mut |_| {});
            for path in [&directory, &real] {
                let manifests: Vec<String> = std::iter::once(path.as_str())
                    .chain(above(path))
                    .map(|directory| below(directory, "go.mod"))
                    .filter(|path| self.project.input(path).is_some())
                    .collect();
                manifests.into_iter().for_each(|manifest| self.file(manifest));
            }
            let sources: Vec<&Input> =
                self.project.files_in(&real).into_iter().filter(|input| counts(input)).collect();
            for source in sources {
                let mentions = mentions(&Project::text(source)?);
                for pattern in mentions.embeds {
                    self.places.insert(Place::Embedded { directory: directory.clone(), pattern });
                }
                for import in mentions.imports {
                    for place in self.directories_of(&import) {
                        if known.insert(place.clone()) {
                            waiting.push(place);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Where a package may be in the source root.
    fn directories_of(&self, import: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (module, directories) in &self.modules {
            let rest = match import.strip_prefix(module.as_str()) {
                Some("") => Some(""),
                Some(rest) => rest.strip_prefix('/'),
                None => None,
            };
            for directory in directories {
                let Some(place) = rest.and_then(|rest| join(directory, rest)) else { continue };
                let real = self.project.through_links(&place, &mut |_| {});
                if self.project.files_in(&real).iter().any(|input| is_source(&input.path)) {
                    found.push(place);
                }
            }
        }
        found
    }
}

/// Whether Go reads the imports of a file.
fn counts(input: &Input) -> bool {
    let name = input.path.rsplit('/').next().unwrap_or_default();
    is_source(name) && !name.starts_with(['_', '.']) && !name.ends_with("_test.go")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::closure::tests::{Files, files};
    use crate::model::{Class, ImagePath};

    fn paths(files: &Files, package: &str) -> Vec<String> {
        let build = GoBuild {
            package: package.into(),
            to: ImagePath::parse("/app/app").unwrap(),
            tags: vec![],
            ldflags: String::new(),
            stamp: BTreeMap::new(),
            env: BTreeMap::new(),
            class: Class::App,
        };
        let project = &files.project;
        let closure = closure(&build, project).unwrap();
        project.within(&closure).inputs.into_iter().map(|input| input.path).collect()
    }

    #[test]
    fn imports_are_followed_and_nothing_else_is_taken() {
        let files = files(
            "svc",
            &[
                ("svc/go.mod", "module m\nreplace r v1.0.0 => ../replaced\nreplace away => away.example v1"),
                ("svc/go.sum", ""),
                ("svc/README.md", ""),
                ("svc/cmd/app/main.go", "package main\nimport (\n\t\"fmt\"\n\t\"m/a\"\n\t\"r/sub\"\n)\n"),
                ("svc/cmd/app/main_test.go", "package main\nimport \"m/onlytest\"\n"),
                ("svc/cmd/app/_draft.go", "package main\nimport \"m/draft\"\n"),
                ("svc/cmd/app/testdata/x", ""),
                ("svc/cmd/other/main.go", "package main\n"),
                ("svc/a/a.go", "package a\n//go:embed static/*.css *.sql\nvar x embed.FS\n"),
                ("svc/a/a_windows.go", "package a\nimport \"m/windows\"\n"),
                ("svc/a/README.md", ""),
                ("svc/a/static/a.css", ""),
                ("svc/a/static/a.js", ""),
                ("svc/a/deep/deep.go", "package deep\n"),
                ("svc/a/one.sql", ""),
                ("svc/windows/w.go", "package windows\nimport \"m/nested\"\n"),
                ("svc/windows/w.s", ""),
                ("svc/nested/go.mod", "module m/nested\n"),
                ("svc/nested/n.go", "package nested\n"),
                ("svc/onlytest/t.go", "package onlytest\n"),
                ("svc/draft/d.go", "package draft\n"),
                ("svc/vendor/x/x.go", ""),
                ("replaced/go.mod", "module anything\n"),
                ("replaced/sub/s.go", "package sub\n"),
                ("replaced/other/o.go", "package other\n"),
            ],
        );
        let expected = [
            "replaced/go.mod",
            "replaced/sub/s.go",
            "svc/a/README.md",
            "svc/a/a.go",
            "svc/a/a_windows.go",
            "svc/a/one.sql",
            "svc/a/static/a.css",
            "svc/cmd/app/_draft.go",
            "svc/cmd/app/main.go",
            "svc/cmd/app/main_test.go",
            "svc/go.mod",
            "svc/go.sum",
            "svc/nested/go.mod",
            "svc/nested/n.go",
            "svc/windows/w.go",
            "svc/windows/w.s",
        ];
        assert_eq!(paths(&files, "./cmd/app"), expected);
    }

    #[test]
    fn workspaces_vendor_and_what_is_named() {
        let mut files = files(
            "a",
            &[
                ("go.work", "go 1.24\nuse (\n\t./a\n\t./b\n)\n"),
                ("go.work.sum", ""),
                ("a/go.mod", "module example.com/a\n"),
                ("a/main.go", "package main\nimport \"example.com/b/x\"\nimport \"example.com/bx\"\n"),
                ("b/go.mod", "module example.com/b\n"),
                ("b/go.sum", ""),
                ("b/x/x.go", "package x\n"),
                ("b/y/y.go", "package y\n"),
                ("docs/index.md", ""),
                ("docs/other.md", ""),
                ("vendor/modules.txt", ""),
                ("vendor/d/d.go", "package d\n"),
            ],
        );
        let mut expected = vec!["a/go.mod", "a/main.go", "b/go.mod", "b/go.sum", "b/x/x.go"];
        let rest = ["go.work", "go.work.sum", "vendor/d/d.go", "vendor/modules.txt"];
        assert_eq!(paths(&files, "."), [&expected[..], &rest].concat());
        files.project.named = vec!["docs/index.md".into()];
        expected.push("docs/index.md");
        assert_eq!(paths(&files, "."), [&expected[..], &rest].concat());
    }

    #[test]
    fn links_bring_what_they_lead_to() {
        let mut files = files(
            ".",
            &[
                ("go.mod", "module m\n"),
                ("main.go", "package main\nimport \"m/linked/sub\"\n"),
                ("real/sub/s.go", "package sub\n//go:embed deep/assets\nvar x string\n"),
                ("real/sub/deep/note", ""),
                ("assets/a", ""),
                ("shared/t.txt", "package main\nimport \"m/more\"\n"),
                ("more/m.go", "package more\n"),
                ("unused/u", ""),
            ],
        );
        files
            .link("linked", "real")
            .link("real/sub/deep/assets", "../../../assets")
            .link("t.go", "shared/t.txt");
        files.link("loop", "loop").link("dangling", "nowhere/x");
        let expected = [
            "assets/a",
            "dangling",
            "go.mod",
            "linked",
            "loop",
            "main.go",
            "more/m.go",
            "real/sub/deep/assets",
            "real/sub/deep/note",
            "real/sub/s.go",
            "shared/t.txt",
            "t.go",
        ];
        assert_eq!(paths(&files, "."), expected);
    }
}
