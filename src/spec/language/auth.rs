use std::collections::BTreeMap;

use super::reference::check_host;
use crate::spec::shape::{FromText, Items, Key, Origin, Plain, Table, Wrong, record};

record! {
    /// Which servers get the credentials for registries.
    struct AuthSettings("auth") {
        /// Token servers that get the credentials for a registry although they are on another domain: registry → hosts.
        "realms" => realms: Table<RegistryKey, Items<Plain<RealmHost>>>,
    }
}

impl AuthSettings {
    /// Registry → hosts of its token servers.
    pub(in crate::spec) fn hosts(&self) -> BTreeMap<String, Vec<String>> {
        self.realms
            .rows()
            .map(|(registry, row)| {
                let hosts = row.field.items().iter().map(|(host, _)| host.0.0.clone());
                (registry.clone(), hosts.collect())
            })
            .collect()
    }
}

/// Registries by host, and port where it has one.
#[derive(Debug, Clone)]
pub(in crate::spec) struct RegistryKey;

impl Key for RegistryKey {
    const WANTED: &'static str = "registries' hosts";
    fn check(text: &str) -> Result<(), Wrong> {
        host(text).map(drop)
    }
}

/// The host of a token server, without port.
#[derive(Debug, Clone)]
pub(in crate::spec) struct RealmHost(pub(in crate::spec) String);

impl FromText for RealmHost {
    const WANTED: &'static str = "a host like login.example.net";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        if !text.starts_with('[') && text.contains(':') && !text.contains('/') {
            let name = text.split(':').next().unwrap_or_default();
            return Err(Wrong::new(format!("`{text}` has a port")).hint(format!("write {name}")));
        }
        host(text).map(|host| Self(host.to_owned()))
    }
}

fn host(text: &str) -> Result<&str, Wrong> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest).split('/').next().unwrap_or_default();
    if bare != text {
        return Err(Wrong::new(format!("`{text}` is more than a host")).hint(format!("write {bare}")));
    }
    check_host(text).map_err(Wrong::new).map(|()| text)
}
