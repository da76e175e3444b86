use std::collections::BTreeMap;

use super::error::ApkPackageError;
use crate::apk::{Dependency, Installed, PublicKey};
use crate::model::{BaseFacts, Digest};

/// What a base says of its packages, as far as it decides which ones come.
#[derive(Debug)]
pub(super) struct BaseState {
    pub(super) installed: Installed,
    /// apk's word: `x86_64`.
    pub(super) architecture: String,
    /// `/etc/apk/world`.
    world: Vec<Dependency>,
    /// Addresses of `/etc/apk/repositories`.
    pub(super) repositories: Vec<String>,
    /// Of `/etc/apk/keys`.
    pub(super) keys: Vec<PublicKey>,
    /// What stands for all of this.
    pub(super) digest: String,
}

impl BaseState {
    pub(super) fn of(facts: &BaseFacts) -> Result<Self, ApkPackageError> {
        let text = |path: &str| facts.text(path).unwrap_or("");
        let database = facts.text("/lib/apk/db/installed").ok_or(ApkPackageError::NoDatabase)?;
        let installed = Installed::parse(database).map_err(ApkPackageError::Database)?;
        let own = installed.packages.iter().map(|known| known.package.architecture.as_str());
        let architecture = match text("/etc/apk/arch").trim() {
            "" => own.into_iter().find(|word| !word.is_empty() && *word != "noarch").unwrap_or(""),
            word => word,
        };
        if architecture.is_empty()
            || !architecture.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err(ApkPackageError::NoDatabase);
        }
        let words = text("/etc/apk/world").split_ascii_whitespace();
        let world = words.map(Dependency::parse).collect::<Result<_, _>>().map_err(ApkPackageError::World)?;
        // Tagged ones (`@edge https://…`) serve only what names the tag.
        let lines = text("/etc/apk/repositories").lines().map(str::trim);
        let repositories: Vec<String> = lines
            .filter(|line| line.starts_with("http"))
            .map(|line| line.trim_end_matches('/').to_owned())
            .collect();
        let keys: Vec<(&str, &str)> = facts
            .names_in("/etc/apk/keys")
            .into_iter()
            .filter_map(|(name, path)| Some((name, facts.text(path.as_str())?)))
            .collect();
        let all = format!("{database}\0{architecture}\0{world:?}\0{repositories:?}\0{keys:?}");
        // A key that cannot be read signs nothing.
        let keys = keys.into_iter().filter_map(|(name, pem)| PublicKey::parse(name, pem).ok()).collect();
        let digest =
            format!("{} packages ({})", installed.packages.len(), &Digest::of(all.as_bytes()).hex()[..12]);
        Ok(Self { architecture: architecture.to_owned(), installed, world, repositories, keys, digest })
    }

    /// The base's world with what is asked for, in the order of the names.
    pub(super) fn world(&self, asked: Vec<Dependency>) -> Vec<Dependency> {
        let all = self.world.iter().cloned().chain(asked);
        let all: BTreeMap<String, Dependency> =
            all.map(|dependency| (dependency.name.clone(), dependency)).collect();
        all.into_values().collect()
    }
}
