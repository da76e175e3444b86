//! Where registries are read from first: `mirrors` of the workspace, and this machine's own.

use std::collections::BTreeMap;

use super::run::Settings;
use crate::ops::error::Error;
use crate::registry::Mirrors;
use crate::spec::Workspace;

/// Mirrors of this machine, `docker.io=mirror.example/hub ghcr.io=…`: for the names that it says they come before those
/// of the workspace.
const VARIABLE: &str = "IMGPACK_MIRRORS";

impl Settings {
    /// From now on registries are read by way of the workspace's mirrors.
    pub(super) fn use_mirrors(&self, workspace: &Workspace) {
        // A command reads one workspace.
        let _ = self.mirrors.set(workspace.mirrors.clone());
    }
}

/// The mirrors of this command.
pub(super) fn of(settings: &Settings) -> Result<Mirrors, Error> {
    let mut rows = settings.mirrors.get().cloned().unwrap_or_default();
    rows.extend(own(settings.variable(VARIABLE).unwrap_or_default())?);
    Ok(Mirrors::new(rows)?)
}

fn own(text: &str) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in text.split_whitespace() {
        let good = row.split_once('=').filter(|(name, mirror)| !name.is_empty() && !mirror.is_empty());
        let (name, mirror) = good.ok_or_else(|| {
            Error::usage_with_hint(
                format!("{VARIABLE}: `{row}` is not a registry and its mirror"),
                "write it like `docker.io=mirror.example/hub`, several with blanks between them",
            )
        })?;
        let rest = |text: &str| format!("{text}/x").parse::<crate::model::Repository>().map(drop);
        for part in [name, mirror] {
            rest(part).map_err(|error| Error::usage(format!("{VARIABLE}: `{part}`: {}", error.reason)))?;
        }
        rows.entry(name.to_owned()).or_default().push(mirror.to_owned());
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_of_the_machine() {
        let rows = own(" docker.io=a.example/hub docker.io=b.example\tghcr.io=c.example:5000 ").unwrap();
        assert_eq!(rows["docker.io"], ["a.example/hub", "b.example"]);
        assert_eq!(rows["ghcr.io"], ["c.example:5000"]);
        assert!(own("").unwrap().is_empty());
        for (text, said) in [
            ("docker.io", "IMGPACK_MIRRORS: `docker.io` is not a registry and its mirror"),
            ("docker.io=", "IMGPACK_MIRRORS: `docker.io=` is not a registry and its mirror"),
            ("=a.example", "IMGPACK_MIRRORS: `=a.example` is not a registry and its mirror"),
            (
                "docker.io=A.example/X",
                "IMGPACK_MIRRORS: `A.example/X`: a repository's name has no upper case letters",
            ),
        ] {
            assert_eq!(own(text).unwrap_err().kind.to_string(), said);
        }
    }
}
