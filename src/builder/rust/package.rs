//! What a `Cargo.toml` says of other packages, and of files that cargo looks for.

use toml::{Table, Value};

use super::super::closure::{Place, below, join, matches};

/// The manifest of a package or a workspace, and its directory relative to the source root.
pub(super) struct Package {
    pub(super) directory: String,
    pub(super) table: Table,
}

/// Directories of packages, relative to the source root; `Err` holds the path that leads out of it.
type Directories = Result<Vec<String>, String>;

/// Names of the tables that a package is built with.
const NORMAL: [&str; 3] = ["dependencies", "build-dependencies", "build_dependencies"];
/// Names of the tables of its tests.
const DEV: [&str; 2] = ["dev-dependencies", "dev_dependencies"];

impl Package {
    pub(super) fn name(&self) -> Option<&str> {
        self.table.get("package").or_else(|| self.table.get("project"))?.get("name")?.as_str()
    }

    /// Whether its workspace says what is built where nothing is named.
    pub(super) fn has_defaults(&self) -> bool {
        self.table.get("workspace").is_some_and(|workspace| workspace.get("default-members").is_some())
    }

    pub(super) fn is_workspace(&self) -> bool {
        self.table.contains_key("workspace")
    }

    /// The workspace that it names, where it does not lie above.
    pub(super) fn workspace(&self) -> Option<String> {
        join(&self.directory, self.table.get("package")?.get("workspace")?.as_str()?)
    }

    /// The packages that it is built with, for any target and feature.
    pub(super) fn dependencies(&self, workspace: Option<&Self>) -> Directories {
        self.paths(&NORMAL, workspace)
    }

    /// The packages that its tests are built with.
    pub(super) fn dev_dependencies(&self, workspace: Option<&Self>) -> Directories {
        self.paths(&DEV, workspace)
    }

    fn paths(&self, names: &[&str], workspace: Option<&Self>) -> Directories {
        let targets = self.table.get("target").and_then(Value::as_table).into_iter().flatten();
        let mut tables: Vec<&Table> = targets.filter_map(|(_, target)| target.as_table()).collect();
        tables.push(&self.table);
        let mut found = Vec::new();
        for table in tables {
            let rows = names.iter().filter_map(|name| table.get(*name)?.as_table()).flatten();
            for (name, row) in rows {
                let inherited = row.get("workspace").and_then(Value::as_bool) == Some(true);
                let (owner, row) = match workspace.filter(|_| inherited) {
                    Some(workspace) => (workspace, workspace.shared(name)),
                    None => (self, Some(row)),
                };
                if let Some(path) = row.and_then(|row| row.get("path")?.as_str()) {
                    found.push(join(&owner.directory, path).ok_or_else(|| path.to_owned())?);
                }
            }
        }
        Ok(found)
    }

    /// A row of `[workspace.dependencies]`.
    fn shared(&self, name: &str) -> Option<&Value> {
        self.table.get("workspace")?.get("dependencies")?.get(name)
    }

    /// What `[patch]` and `[replace]` put in the place of other packages.
    pub(super) fn patches(&self) -> Directories {
        patches(&self.table, &self.directory)
    }

    /// Which of `candidates` (directories with a manifest) are members of this workspace; `all`: not only the default ones.
    pub(super) fn members<'a>(&self, candidates: impl Iterator<Item = &'a str>, all: bool) -> Vec<&'a str> {
        let list = |name: &str| -> Vec<&str> {
            let list = self.table.get("workspace").and_then(|workspace| workspace.get(name)?.as_array());
            list.into_iter().flatten().filter_map(Value::as_str).collect()
        };
        let defaults = list("default-members");
        let patterns = if all || defaults.is_empty() { list("members") } else { defaults };
        let excluded = list("exclude");
        let is_member = |directory: &&str| {
            patterns.iter().any(|pattern| {
                join(&self.directory, pattern).is_some_and(|whole| {
                    // A pattern matches the directory itself, not what is below it.
                    matches(&whole, directory)
                        && (whole.contains("**") || whole.split('/').count() == directory.split('/').count())
                })
            }) && !excluded.iter().any(|path| self.is_excluded(path, directory, &patterns))
        };
        candidates.filter(is_member).collect()
    }

    fn is_excluded(&self, path: &str, directory: &str, patterns: &[&str]) -> bool {
        let literal = patterns.iter().any(|p| join(&self.directory, p).as_deref() == Some(directory));
        !literal
            && join(&self.directory, path).is_some_and(|excluded| {
                directory.strip_prefix(&excluded).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    }

    /// Whether the workspace says that a package is none of its members.
    pub(super) fn excludes(&self, directory: &str) -> bool {
        let list = self.table.get("workspace").and_then(|workspace| workspace.get("exclude")?.as_array());
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .any(|path| self.is_excluded(path, directory, &[]))
    }

    /// The files that cargo must find where nothing of the package is built.
    pub(super) fn stand_ins(&self) -> Vec<Place> {
        let mut places = vec![Place::Targets(self.directory.clone())];
        let path = |value: &Value| value.get("path").and_then(Value::as_str).map(str::to_owned);
        let mut paths: Vec<String> = self.table.get("lib").and_then(path).into_iter().collect();
        for kind in ["bin", "example", "test", "bench"] {
            let targets = self.table.get(kind).and_then(Value::as_array).into_iter().flatten();
            paths.extend(targets.filter_map(path));
        }
        let script = self.table.get("package").and_then(|package| package.get("build")?.as_str());
        paths.extend(script.map(str::to_owned));
        let inside = paths.iter().filter_map(|path| join(&self.directory, path));
        places.extend(inside.map(Place::StandIn));
        places
    }

    /// The manifest.
    pub(super) fn manifest(&self) -> String {
        below(&self.directory, "Cargo.toml")
    }
}

/// What `[patch]`, `[replace]` and, of a configuration, `paths` put in the place of other packages.
pub(super) fn patches(table: &Table, directory: &str) -> Directories {
    let sources = table.get("patch").and_then(Value::as_table).into_iter().flatten();
    let patches = sources.filter_map(|(_, source)| source.as_table());
    let rows = patches.chain(table.get("replace").and_then(Value::as_table)).flatten();
    let paths = rows.filter_map(|(_, row)| row.get("path")?.as_str());
    let overrides = table.get("paths").and_then(Value::as_array).into_iter().flatten();
    paths
        .chain(overrides.filter_map(Value::as_str))
        .map(|path| join(directory, path).ok_or_else(|| path.to_owned()))
        .collect()
}

/// Directories that a configuration puts in the place of registries.
pub(super) fn sources(table: &Table, directory: &str) -> Vec<String> {
    let sources = table.get("source").and_then(Value::as_table).into_iter().flatten();
    let named = |source: &Value| {
        let path = source.get("directory").or_else(|| source.get("local-registry"))?.as_str()?;
        join(directory, path)
    };
    sources.filter_map(|(_, source)| named(source)).collect()
}
