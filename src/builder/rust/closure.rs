//! The packages of a Cargo workspace that a program is made of.

use std::collections::{BTreeMap, BTreeSet};

use crate::spec::RustBuild;

use super::super::Closure;
use super::super::closure::{Place, above, below, join};
use super::manifest::{configurations, parse};
use super::package::{Package, patches, sources};
use super::{BuilderError, Project};

/// Whether files of a name decide closures.
pub(in super::super) fn decides(name: &str) -> bool {
    matches!(name, "Cargo.toml" | "config.toml" | "config")
}

/// The package and, through path dependencies of any kind but those of tests, the packages that it is built with, whole;
/// of the rest of the workspace, which cargo reads too, manifests and stand-ins; configuration and locks above them.
pub(in super::super) fn closure(build: &RustBuild, project: &Project) -> Result<Closure, BuilderError> {
    let mut graph = Graph::new(project);
    let Some(first) = graph.selected(build)? else { return Ok(Closure::everything()) };
    graph.read(&first)?;
    Ok(Closure::new(graph.places()))
}

/// Whether every package of the source root that the program is made of is either a member of the workspace in a
/// directory or outside of that: cargo tells the builds of others apart by nothing but their place in the workspace.
pub(super) fn only_members(
    build: &RustBuild,
    project: &Project,
    workspace: &str,
) -> Result<bool, BuilderError> {
    let mut graph = Graph::new(project);
    let Some(first) = graph.selected(build)? else { return Ok(false) };
    graph.read(&first)?;
    let workspace = workspace.trim_end_matches('/');
    let members = graph.members(workspace, true);
    let inside =
        |directory: &String| directory == workspace || above(directory).any(|above| above == workspace);
    let inside: Vec<String> = graph.built.iter().filter(|directory| inside(directory)).cloned().collect();
    for directory in inside {
        let patched = graph.patched.contains(&directory) && !members.contains(&directory);
        let other = directory != workspace && graph.workspace_of(&directory)?.as_deref() != Some(workspace);
        if patched || other {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The packages of a source root.
struct Graph<'a> {
    project: &'a Project,
    /// Directories with a manifest.
    directories: BTreeSet<&'a str>,
    packages: BTreeMap<String, Package>,
    /// Those that the program is made of.
    built: BTreeSet<String>,
    /// Those that cargo reads.
    known: BTreeSet<String>,
    /// Those that take the place of others.
    patched: BTreeSet<String>,
    places: Vec<Place>,
}

impl<'a> Graph<'a> {
    fn new(project: &'a Project) -> Self {
        let directory = |path: &'a str| match path.rsplit_once('/') {
            Some((directory, "Cargo.toml")) => Some(directory),
            None if path == "Cargo.toml" => Some(""),
            _ => None,
        };
        Self {
            project,
            directories: project.inputs.iter().filter_map(|input| directory(&input.path)).collect(),
            packages: BTreeMap::new(),
            built: BTreeSet::new(),
            known: BTreeSet::new(),
            patched: BTreeSet::new(),
            places: Vec::new(),
        }
    }

    /// Reads the manifest in a directory, if there is one.
    fn load(&mut self, directory: &str) -> Result<bool, BuilderError> {
        if self.packages.contains_key(directory) {
            return Ok(true);
        }
        let path = below(directory, "Cargo.toml");
        let Some(input) = self.project.input(&path) else { return Ok(false) };
        let table = parse(&path, &Project::text(input)?)?;
        let directory = directory.to_owned();
        self.packages.insert(directory.clone(), Package { directory, table });
        Ok(true)
    }

    /// The directory of the workspace that a package belongs to.
    fn workspace_of(&mut self, directory: &str) -> Result<Option<String>, BuilderError> {
        self.load(directory)?;
        if let Some(named) = self.packages.get(directory).and_then(Package::workspace) {
            return Ok(self.load(&named)?.then_some(named));
        }
        for candidate in std::iter::once(directory).chain(above(directory)) {
            if self.directories.contains(candidate) && self.load(candidate)? {
                let workspace = self.packages.get(candidate);
                if workspace.is_some_and(|package| package.is_workspace() && !package.excludes(directory)) {
                    return Ok(Some(candidate.to_owned()));
                }
            }
        }
        Ok(None)
    }

    fn members(&mut self, workspace: &str, all: bool) -> Vec<String> {
        let Some(package) = self.packages.get(workspace) else { return Vec::new() };
        let mut found: Vec<String> =
            package.members(self.directories.iter().copied(), all).into_iter().map(str::to_owned).collect();
        if package.name().is_some() {
            found.push(workspace.to_owned());
        }
        found
    }

    /// The packages that the spec asks for; `None` where cargo will not find them either.
    fn selected(&mut self, build: &RustBuild) -> Result<Option<Vec<String>>, BuilderError> {
        let Some(dir) = join("", &self.project.dir) else { return Ok(None) };
        if !self.load(&dir)? {
            return Ok(None);
        }
        let workspace = self.workspace_of(&dir)?.unwrap_or_else(|| dir.clone());
        let Some(wanted) = &build.package else {
            if workspace != dir {
                return Ok(Some(vec![dir]));
            }
            // Without `default-members` the package of the root, if it is one.
            let one = |package: &Package| package.name().is_some() && !package.has_defaults();
            if self.packages.get(&dir).is_some_and(one) {
                return Ok(Some(vec![dir]));
            }
            return Ok(Some(self.members(&workspace, false)));
        };
        // A package may be asked for as `name@version`.
        let wanted = wanted.split('@').next().unwrap_or_default();
        let mut candidates = self.members(&workspace, true);
        candidates.extend(self.directories.iter().map(|directory| (*directory).to_owned()));
        for directory in candidates {
            // What is no member of anything need not be a manifest at all.
            if self.load(&directory).unwrap_or(false)
                && self.packages.get(&directory).and_then(Package::name) == Some(wanted)
            {
                return Ok(Some(vec![directory]));
            }
        }
        Ok(None)
    }

    /// Follows the dependencies of the first packages and of the workspace.
    fn read(&mut self, first: &[String]) -> Result<(), BuilderError> {
        let mut built = first.to_vec();
        let mut known = Vec::new();
        for directory in first {
            if let Some(workspace) = self.workspace_of(directory)? {
                known.extend(self.members(&workspace, true));
                self.patched.extend(self.checked(&workspace, Package::patches)?);
            }
        }
        for path in configurations(self.project) {
            let directory = path.rsplit_once(".cargo/").map_or("", |(above, _)| above.trim_end_matches('/'));
            let Some(input) = self.project.input(&path) else { continue };
            let table = parse(&path, &Project::text(input)?)?;
            self.patched.extend(patches(&table, directory).map_err(|out| leads_out(&path, &out))?);
            self.places.extend(sources(&table, directory).into_iter().map(Place::Tree));
        }
        built.extend(self.patched.iter().cloned());
        while let Some(directory) = built.pop() {
            if !self.load(&directory)? || !self.built.insert(directory.clone()) {
                continue;
            }
            let workspace = self.workspace_of(&directory)?;
            built.extend(self.dependencies(&directory, workspace.as_deref(), false)?);
            known.extend(self.dependencies(&directory, workspace.as_deref(), true)?);
        }
        while let Some(directory) = known.pop() {
            if !self.load(&directory)? || !self.known.insert(directory.clone()) {
                continue;
            }
            let workspace = self.workspace_of(&directory)?;
            for dev in [false, true] {
                known.extend(self.dependencies(&directory, workspace.as_deref(), dev)?);
            }
        }
        Ok(())
    }

    fn dependencies(
        &self,
        directory: &str,
        workspace: Option<&str>,
        dev: bool,
    ) -> Result<Vec<String>, BuilderError> {
        let workspace = workspace.and_then(|workspace| self.packages.get(workspace));
        self.checked(directory, |package| {
            if dev { package.dev_dependencies(workspace) } else { package.dependencies(workspace) }
        })
    }

    fn checked(
        &self,
        directory: &str,
        ask: impl FnOnce(&Package) -> Result<Vec<String>, String>,
    ) -> Result<Vec<String>, BuilderError> {
        let Some(package) = self.packages.get(directory) else { return Ok(Vec::new()) };
        ask(package).map_err(|path| leads_out(&package.manifest(), &path))
    }

    /// What of the source root that is.
    fn places(mut self) -> Vec<Place> {
        for directory in &self.built {
            let nested = |other: &&str| {
                let below = other
                    .strip_prefix(directory.as_str())
                    .is_some_and(|rest| !rest.is_empty() && (directory.is_empty() || rest.starts_with('/')));
                below && !self.built.contains(*other)
            };
            let without = self.directories.iter().copied().filter(nested).map(str::to_owned).collect();
            self.places.push(Place::Package { directory: directory.clone(), without });
        }
        for directory in self.known.difference(&self.built) {
            self.places.extend(self.packages.get(directory).iter().flat_map(|package| package.stand_ins()));
        }
        let dir = join("", &self.project.dir).unwrap_or_default();
        let mut directories: BTreeSet<&str> = BTreeSet::new();
        for directory in self.built.iter().chain(&self.known).chain([&dir]) {
            directories.extend(std::iter::once(directory.as_str()).chain(above(directory)));
        }
        for directory in directories {
            for name in ["Cargo.toml", "Cargo.lock", ".cargo", "rust-toolchain", "rust-toolchain.toml"] {
                self.places.push(Place::Tree(below(directory, name)));
            }
        }
        let named = self.packages.values().filter_map(Package::workspace);
        let manifests: Vec<String> = named.map(|workspace| below(&workspace, "Cargo.toml")).collect();
        self.places.extend(manifests.into_iter().map(Place::Tree));
        self.places
    }
}

fn leads_out(manifest: &str, path: &str) -> BuilderError {
    BuilderError::Project {
        path: manifest.to_owned(),
        reason: format!("the dependency {path} leads out of the source root"),
        hint: Some(
            "make one Cargo workspace of both: its directory, with Cargo.lock, is the source root".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::InputKind;
    use crate::builder::closure::tests::{Files, files};

    fn build(package: Option<&str>) -> RustBuild {
        RustBuild {
            package: package.map(str::to_owned),
            bin: None,
            to: None,
            profile: "release".into(),
            features: vec![],
            default_features: true,
            target: crate::spec::RustTarget::Musl,
            env: BTreeMap::new(),
        }
    }

    /// The inputs; stand-ins in brackets.
    fn paths(files: &Files, package: Option<&str>) -> Vec<String> {
        let closure = closure(&build(package), &files.project).unwrap();
        let shown = |input: crate::builder::Input| match input.kind {
            InputKind::StandIn => format!("[{}]", input.path),
            _ => input.path,
        };
        files.project.within(&closure).inputs.into_iter().map(shown).collect()
    }

    #[test]
    fn packages_of_a_workspace() {
        let core = "[package]\nname = \"core\"\n[dependencies]\na = { path = \"../a\", optional = true }\nshared.workspace = true\n\
            [dev-dependencies]\ntesting = { path = \"../testing\" }\n\
            [target.'cfg(windows)'.build-dependencies]\nwin = { path = \"../win\" }\n";
        let package = |name: &str| format!("[package]\nname = \"{name}\"\n");
        let other =
            package("other") + "build = \"make.rs\"\n[[bin]]\nname = \"o\"\npath = \"odd/place.rs\"\n";
        let rows = [
            (
                "Cargo.toml",
                "[workspace]\nmembers = [\"crates/*\", \"nowhere\"]\nexclude = [\"crates/excluded\"]\n\
                [workspace.dependencies]\nshared = { path = \"libs/shared\" }\n\
                [patch.crates-io]\nserde = { path = \"patched\" }\n",
            ),
            ("Cargo.lock", ""),
            ("rust-toolchain.toml", ""),
            ("README.md", ""),
            (".cargo/config.toml", "paths = [\"override\"]\n[source.mine]\ndirectory = \"crates-io\"\n"),
            ("crates/core/Cargo.toml", core),
            ("crates/core/src/main.rs", ""),
            ("crates/core/templates/a.html", ""),
            ("crates/core/tests/fixture/Cargo.toml", "[package"),
            ("crates/core/tests/fixture/src/lib.rs", ""),
            ("crates/a/Cargo.toml", &package("a")),
            ("crates/a/src/lib.rs", ""),
            ("crates/other/Cargo.toml", &other),
            ("crates/other/README.md", ""),
            ("crates/other/make.rs", ""),
            ("crates/other/odd/place.rs", ""),
            ("crates/other/src/bin/tool/main.rs", ""),
            ("crates/other/src/bin/tool/part.rs", ""),
            ("crates/other/src/lib.rs", ""),
            ("crates/other/src/part.rs", ""),
            ("crates/other/tests/it.rs", ""),
            ("crates/testing/Cargo.toml", &package("testing")),
            ("crates/testing/src/lib.rs", ""),
            ("crates/win/Cargo.toml", &package("win")),
            ("crates/win/src/lib.rs", ""),
            ("crates/excluded/Cargo.toml", "[package"),
            ("libs/shared/Cargo.toml", &package("shared")),
            ("libs/shared/src/lib.rs", ""),
            ("patched/Cargo.toml", &package("serde")),
            ("patched/src/lib.rs", ""),
            ("override/Cargo.toml", &package("override")),
            ("crates-io/itoa/src/lib.rs", ""),
        ];
        let expected = [
            ".cargo/config.toml",
            "Cargo.lock",
            "Cargo.toml",
            "crates-io/itoa/src/lib.rs",
            "crates/a/Cargo.toml",
            "crates/a/src/lib.rs",
            "crates/core/Cargo.toml",
            "crates/core/src/main.rs",
            "crates/core/templates/a.html",
            "crates/other/Cargo.toml",
            "[crates/other/make.rs]",
            "[crates/other/odd/place.rs]",
            "[crates/other/src/bin/tool/main.rs]",
            "[crates/other/src/lib.rs]",
            "[crates/other/tests/it.rs]",
            "crates/testing/Cargo.toml",
            "[crates/testing/src/lib.rs]",
            "crates/win/Cargo.toml",
            "crates/win/src/lib.rs",
            "libs/shared/Cargo.toml",
            "libs/shared/src/lib.rs",
            "override/Cargo.toml",
            "patched/Cargo.toml",
            "patched/src/lib.rs",
            "rust-toolchain.toml",
        ];
        let mut rows: Vec<(&str, &str)> = rows.to_vec();
        rows.sort_unstable();
        assert_eq!(paths(&files(".", &rows), Some("core")), expected);
        assert_eq!(paths(&files("crates/core", &rows), None), expected);
        let all = rows.len();
        assert_eq!(paths(&files(".", &rows), Some("nobody")).len(), all, "cargo will say that there is none");
    }

    #[test]
    fn one_package_is_whole_and_a_root_is_not_its_members() {
        let single = [("Cargo.toml", "[package]\nname = \"app\"\n"), ("docs/a.md", ""), ("src/main.rs", "")];
        assert_eq!(paths(&files(".", &single), None), ["Cargo.toml", "docs/a.md", "src/main.rs"]);
        let root = [
            ("Cargo.toml", "[package]\nname = \"app\"\n[workspace]\nmembers = [\"sub\"]\n"),
            ("docs/a.md", ""),
            ("src/main.rs", ""),
            ("sub/Cargo.toml", "[package]\nname = \"sub\"\n"),
            ("sub/src/main.rs", ""),
            ("sub/x", ""),
        ];
        let expected = ["Cargo.toml", "docs/a.md", "src/main.rs", "sub/Cargo.toml", "[sub/src/main.rs]"];
        assert_eq!(paths(&files(".", &root), None), expected);
        let expected = ["Cargo.toml", "[src/main.rs]", "sub/Cargo.toml", "sub/src/main.rs", "sub/x"];
        assert_eq!(paths(&files("sub", &root), None), expected);
        assert_eq!(paths(&files("docs", &root), None).len(), 6, "cargo will say that there is no manifest");
    }

    #[test]
    fn what_leads_out_is_an_error() {
        let rows = [("Cargo.toml", "[package]\nname = \"app\"\n[dependencies]\nx = { path = \"../x\" }\n")];
        let error = closure(&build(None), &files(".", &rows).project).unwrap_err();
        assert_eq!(error.to_string(), "Cargo.toml: the dependency ../x leads out of the source root");
        let hint = "make one Cargo workspace of both: its directory, with Cargo.lock, is the source root";
        assert_eq!(error.hint().as_deref(), Some(hint));
    }

    #[test]
    fn who_may_share_a_target_directory() {
        let member = "[package]\nname = \"m\"\n";
        let app = "[package]\nname = \"app\"\n[dependencies]\nm = { path = \"../m\" }\n";
        let shared = |root: &str| {
            let rows = [
                ("Cargo.toml", root),
                ("app/Cargo.toml", app),
                ("m/Cargo.toml", member),
                ("p/Cargo.toml", member),
            ];
            only_members(&build(Some("app")), &files(".", &rows).project, "").unwrap()
        };
        assert!(shared("[workspace]\nmembers = [\"app\"]\n"));
        assert!(!shared("[workspace]\nmembers = [\"app\"]\nexclude = [\"m\"]\n"));
        let patch = "[patch.crates-io]\nm = { path = \"p\" }\n";
        assert!(!shared(&format!("[workspace]\nmembers = [\"app\"]\n{patch}")));
        assert!(shared(&format!("[workspace]\nmembers = [\"app\", \"p\"]\n{patch}")));
        let alone = [("app/Cargo.toml", app), ("m/Cargo.toml", member)];
        let alone = files("app", &alone);
        assert!(
            only_members(&build(None), &alone.project, "app/").unwrap(),
            "beside the workspace, with an absolute path"
        );
        let inside = app.replace("../m", "m");
        let inside = [("Cargo.toml", inside.as_str()), ("m/Cargo.toml", member)];
        assert!(
            !only_members(&build(None), &files(".", &inside).project, "").unwrap(),
            "no workspace, no member"
        );
    }
}
