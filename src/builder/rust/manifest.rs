//! What `Cargo.toml`, `Cargo.lock` and the configuration say, as far as the builder needs it.

use std::path::Path;

use toml::{Table, Value};

use crate::model::ContentDigest;
use crate::spec::RustBuild;

use super::{BuilderError, Project};

/// Crates that replace musl's allocator.
const ALLOCATORS: [&str; 8] =
    ["mimalloc", "tikv-jemallocator", "jemallocator", "snmalloc-rs", "rpmalloc", "talc", "dlmalloc", "scudo"];

/// The manifest in `source.dir`.
pub(super) struct Manifest {
    /// Relative to the source root.
    pub(super) path: String,
    table: Table,
}

impl Manifest {
    pub(super) fn of(project: &Project) -> Result<Self, BuilderError> {
        let path = format!("{}Cargo.toml", project.directories().first().map_or("", String::as_str));
        let Some(input) = project.input(&path) else {
            return Err(BuilderError::Project {
                path,
                reason: "there is no manifest in `source.dir`".to_owned(),
                hint: Some("set `source.dir` to the directory of the Cargo package or workspace".to_owned()),
            });
        };
        let table = parse(&path, &Project::text(input)?)?;
        Ok(Self { path, table })
    }

    /// What tells this source root from another at the same place; the same for every package of a workspace.
    pub(super) fn identity(project: &Project) -> Result<String, BuilderError> {
        let mut directories = project.directories().into_iter().rev();
        let outermost = directories.find_map(|directory| {
            let path = format!("{directory}Cargo.toml");
            project.input(&path).map(|input| (path, input))
        });
        let Some((path, input)) = outermost else { return Ok(String::new()) };
        let manifest = Self { table: parse(&path, &Project::text(input)?)?, path };
        if let Some(name) = manifest.package() {
            return Ok(format!("{}\n{name}", manifest.path));
        }
        let members =
            manifest.table.get("workspace").and_then(|workspace| workspace.get("members")?.as_array());
        let members = members.into_iter().flatten().filter_map(Value::as_str);
        Ok(format!("{}\n{}", manifest.path, members.collect::<Vec<_>>().join("\n")))
    }

    fn package(&self) -> Option<&str> {
        self.table.get("package")?.get("name")?.as_str()
    }

    /// The binary's name.
    pub(super) fn binary(&self, build: &RustBuild) -> Result<String, BuilderError> {
        if let Some(name) = build.bin.as_ref().or(build.package.as_ref()) {
            return Ok(name.clone());
        }
        self.package().map(str::to_owned).ok_or_else(|| BuilderError::Project {
            path: self.path.clone(),
            reason: "has no [package], so the binary has no name".to_owned(),
            hint: Some("set `build.rust.package` (and `bin`, where it has another name)".to_owned()),
        })
    }
}

/// The name of the binary that a build makes: `bin`, else `package`, else the package of the manifest in `source.dir`.
pub fn binary_name(build: &RustBuild, project: &Project) -> Result<String, BuilderError> {
    match build.bin.as_ref().or(build.package.as_ref()) {
        Some(name) => Ok(name.clone()),
        None => Manifest::of(project)?.binary(build),
    }
}

/// `Cargo.lock`.
pub(super) struct Lock {
    pub(super) digest: ContentDigest,
    /// Whether anything comes from outside the source root.
    pub(super) external: bool,
    packages: Vec<String>,
}

impl Lock {
    /// Reads the lock file of the workspace in a directory (empty, or with a `/` at its end).
    pub(super) fn of(workspace: &str, project: &Project) -> Result<Self, BuilderError> {
        let path = format!("{workspace}Cargo.lock");
        let Some(input) = project.input(&path) else {
            return Err(BuilderError::Project {
                path,
                reason: "there is no lock file, and versions are not chosen while building".to_owned(),
                hint: Some("run `cargo generate-lockfile` and commit Cargo.lock".to_owned()),
            });
        };
        let table = parse(&path, &Project::text(input)?)?;
        let rows = table.get("package").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let name = |row: &Value| row.get("name").and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            digest: input.digest,
            external: rows.iter().any(|row| row.get("source").is_some()),
            packages: rows.iter().filter_map(name).collect(),
        })
    }

    /// Whether a crate with another allocator than musl's is among the packages.
    pub(super) fn has_allocator(&self) -> bool {
        self.packages.iter().any(|name| ALLOCATORS.contains(&name.as_str()))
    }
}

pub(super) fn parse(path: &str, text: &str) -> Result<Table, BuilderError> {
    text.parse().map_err(|error: toml::de::Error| BuilderError::Project {
        path: path.to_owned(),
        reason: error.message().to_owned(),
        hint: None,
    })
}

/// The project's own configuration files that apply in `source.dir`, the outermost first. As cargo does, of two in one
/// directory the one without an extension.
pub(super) fn configurations(project: &Project) -> Vec<String> {
    let mut found: Vec<String> = project
        .directories()
        .iter()
        .filter_map(|directory| {
            [".cargo/config", ".cargo/config.toml"]
                .map(|name| format!("{directory}{name}"))
                .into_iter()
                .find(|path| project.input(path).is_some())
        })
        .collect();
    found.reverse();
    found
}

/// Cargo is run in `directory`; a configuration there could not be kept out.
pub(super) fn no_configuration_above(directory: &Path) -> Result<(), BuilderError> {
    for name in [".cargo/config", ".cargo/config.toml"] {
        let path = directory.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(BuilderError::ForeignConfiguration { path });
        }
    }
    Ok(())
}

/// Variables that the project's own configuration sets in `[env]`: they are inputs already.
pub(super) fn variables(project: &Project) -> Result<Vec<String>, BuilderError> {
    let mut names = Vec::new();
    for path in configurations(project) {
        let Some(input) = project.input(&path) else { continue };
        let table = parse(&path, &Project::text(input)?)?;
        names.extend(
            table.get("env").and_then(Value::as_table).into_iter().flatten().map(|(name, _)| name.clone()),
        );
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::closure::tests::{Files, files};

    fn rust(package: Option<&str>, bin: Option<&str>) -> RustBuild {
        RustBuild {
            package: package.map(str::to_owned),
            bin: bin.map(str::to_owned),
            to: None,
            profile: "release".into(),
            features: vec![],
            default_features: true,
            target: crate::spec::RustTarget::Musl,
            env: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn the_binary_has_a_name_before_anything_runs() {
        let package = files("core", &[("core/Cargo.toml", "[package]\nname = \"core\"")]);
        let workspace = files(".", &[("Cargo.toml", "[workspace]\nmembers = [\"a\"]")]);
        let name =
            |build: RustBuild, files: &Files| binary_name(&build, &files.project).map_err(|e| e.to_string());
        assert_eq!(name(rust(None, None), &package).unwrap(), "core");
        assert_eq!(name(rust(Some("p"), None), &workspace).unwrap(), "p");
        assert_eq!(name(rust(Some("p"), Some("b")), &workspace).unwrap(), "b");
        let message = "Cargo.toml: has no [package], so the binary has no name";
        assert_eq!(name(rust(None, None), &workspace).unwrap_err(), message);
        let message = "Cargo.toml: there is no manifest in `source.dir`";
        assert_eq!(name(rust(None, None), &files(".", &[])).unwrap_err(), message);
        let broken = files(".", &[("Cargo.toml", "[package")]);
        assert!(name(rust(None, None), &broken).unwrap_err().starts_with("Cargo.toml: "));
    }

    #[test]
    fn packages_of_a_workspace_share_an_identity() {
        let root = ("Cargo.toml", "[workspace]\nmembers = [\"a\", \"b\"]");
        let (a, b) =
            (("a/Cargo.toml", "[package]\nname = \"a\""), ("b/Cargo.toml", "[package]\nname = \"b\""));
        let identity = |dir, rows: &[(&str, &str)]| Manifest::identity(&files(dir, rows).project).unwrap();
        assert_eq!(identity("a", &[root, a, b]), identity("b", &[root, a, b]));
        assert_ne!(identity("a", &[a, b]), identity("b", &[a, b]));
    }

    #[test]
    fn locks() {
        let lock = |text| {
            let files = files("a", &[("Cargo.lock", text)]);
            Lock::of("", &files.project).map(|lock| (lock.external, lock.has_allocator()))
        };
        assert_eq!(lock("[[package]]\nname = \"a\"").unwrap(), (false, false));
        assert_eq!(lock("[[package]]\nname = \"mimalloc\"\nsource = \"registry+x\"").unwrap(), (true, true));
        let none = files("a", &[]);
        let error = Lock::of("", &none.project).map(|_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Cargo.lock: there is no lock file, and versions are not chosen while building"
        );
        assert_eq!(error.hint().unwrap(), "run `cargo generate-lockfile` and commit Cargo.lock");
    }

    #[test]
    fn configurations_from_the_outermost() {
        let paths = [
            (".cargo/config.toml", ""),
            ("a/.cargo/config", ""),
            ("a/.cargo/config.toml", ""),
            ("b/.cargo/config", ""),
        ];
        assert_eq!(configurations(&files("a", &paths).project), [".cargo/config.toml", "a/.cargo/config"]);
    }
}
