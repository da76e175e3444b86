//! How registries are spoken to: what the workspace says of them, and this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::run::Settings;
use crate::ops::error::Error;
use crate::ops::machine::ArchiveMirrors;
use crate::ops::tags::TagRules;
use crate::registry::{CredentialPlaces, Mirrors, PlainHttp, Realms, RemoteConfig};
use crate::spec::Workspace;

/// Mirrors of this machine, `docker.io=mirror.example/hub ghcr.io=…`: for the names that it says they come before those
/// of the workspace.
const VARIABLE: &str = "IMGPACK_MIRRORS";

/// Registries of a trusted network that speak no TLS, `registry:5000 10.0.0.2`.
const HTTP: &str = "IMGPACK_HTTP_REGISTRIES";

/// What a workspace says of registries.
#[derive(Default)]
pub(super) struct Rules {
    mirrors: BTreeMap<String, Vec<String>>,
    archives: ArchiveMirrors,
    realms: BTreeMap<String, Vec<String>>,
    immutable_tags: Vec<String>,
}

impl Settings {
    /// From now on registries are spoken to as this workspace says.
    pub(super) fn use_workspace(&self, workspace: &Workspace) {
        let Workspace { mirrors, realms, immutable_tags, debian_mirrors, apk_mirrors, .. } = workspace;
        let rules = Rules {
            mirrors: mirrors.clone(),
            archives: ArchiveMirrors { debian: debian_mirrors.clone(), apk: apk_mirrors.clone() },
            realms: realms.clone(),
            immutable_tags: immutable_tags.clone(),
        };
        // A command reads one workspace.
        let _ = self.rules.set(rules);
    }

    /// The same for commands that need no workspace: where one is around, its rules hold. A workspace with mistakes is an
    /// error.
    pub(super) fn use_workspace_around(&self) -> Result<(), Error> {
        if self.workspace.is_none()
            && let Err(error) = self.root()
        {
            // None is there, and none was named.
            drop(error);
            return Ok(());
        }
        self.use_workspace(&Self::load(&self.root()?, &[])?);
        Ok(())
    }

    /// Which tags may move.
    pub(super) fn tag_rules(&self, allow_partial: bool) -> Result<TagRules, Error> {
        let immutable = self.rules.get().map_or(&[][..], |rules| &rules.immutable_tags);
        TagRules::new(immutable, allow_partial)
    }

    /// The mirrors of this command.
    pub(super) fn mirrors(&self) -> Result<Mirrors, Error> {
        let mut rows = self.rules.get().map(|rules| rules.mirrors.clone()).unwrap_or_default();
        rows.extend(own(self.variable(VARIABLE).unwrap_or_default())?);
        Ok(Mirrors::new(rows)?)
    }

    /// The mirrors of archives of packages.
    pub(super) fn archives(&self) -> ArchiveMirrors {
        let mut archives = self.rules.get().map(|rules| rules.archives.clone()).unwrap_or_default();
        let said = self.variable(VARIABLE).unwrap_or_default();
        for (name, addresses) in [("debian=", &mut archives.debian), ("apk=", &mut archives.apk)] {
            let own: Vec<String> = said
                .split_whitespace()
                .filter_map(|row| row.strip_prefix(name))
                .map(|address| address.trim_end_matches('/').to_owned())
                .collect();
            if !own.is_empty() {
                *addresses = own;
            }
        }
        archives
    }

    /// How registries are spoken to, but for mirrors.
    pub(super) fn remote_config(&self) -> RemoteConfig {
        let ca_files = self.environment_value("IMGPACK_CA_FILE").unwrap_or_default();
        let ca_files = std::env::split_paths(ca_files).filter(|path| !path.as_os_str().is_empty());
        let home = self.variable("HOME").map(|home| PathBuf::from(home).join(".config/containers/certs.d"));
        let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
        RemoteConfig {
            credentials: CredentialPlaces::of(&self.environment),
            realms: Realms::new(self.rules.get().map(|rules| rules.realms.clone()).unwrap_or_default()),
            ca_files: ca_files.collect(),
            plain_http: PlainHttp::new(
                self.variable(HTTP).unwrap_or_default().split([' ', ',']).map(str::to_owned),
            ),
            certificate_directories: home.into_iter().chain(system).collect(),
            cancel: self.cancel.clone(),
            ..RemoteConfig::default()
        }
    }
}

fn own(text: &str) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // Archives of packages have addresses, which are looked at where they are asked.
    let of_archive = |row: &&str| ["debian=http", "apk=http"].iter().any(|name| row.starts_with(name));
    for row in text.split_whitespace().filter(|row| !of_archive(row)) {
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
