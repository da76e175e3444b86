//! The environments of tools: empty but for fixed lists.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::system::{self};

use super::caches::private_directory;
use super::host::SYSTEM_PATH;
use super::{BuilderError, Caches, Host};

/// 1980-02-01T00:00:00Z, the time of every entry of a layer: what build scripts take for the time of the build.
const BUILD_TIME: &str = "318211200";

/// Variables by which a host says how it reaches the network: proxies, CA files, mirrors, registries, git and ssh.
const NETWORK: [&str; 33] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NIX_SSL_CERT_FILE",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_ASKPASS",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_TERMINAL_PROMPT",
    "GIT_PROXY_COMMAND",
    "SSH_AUTH_SOCK",
    "SSH_ASKPASS",
    "NETRC",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "USER",
    "LOGNAME",
    "CARGO_HOME",
    "HOME",
];

/// Beginnings of more such names.
const NETWORK_PREFIXES: [&str; 6] = [
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRY_",
    "CARGO_REGISTRIES_",
    "CARGO_SOURCE_",
    "CARGO_CREDENTIAL_",
];

pub(super) type Environment = BTreeMap<OsString, OsString>;

/// Directories of one tool's run, empty when it begins, gone when it is over.
pub(super) struct Scratch {
    root: PathBuf,
}

impl Scratch {
    pub(super) fn new(caches: &Caches, id: &str) -> Result<Self, BuilderError> {
        let scratch = Self { root: caches.scratch(id) };
        system::fs::remove_dir_all(&scratch.root)?;
        for directory in [scratch.home(), scratch.tmp(), scratch.cargo_home(), scratch.out()] {
            private_directory(&directory)?;
        }
        Ok(scratch)
    }
    pub(super) fn home(&self) -> PathBuf {
        self.root.join("home")
    }
    pub(super) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }
    pub(super) fn cargo_home(&self) -> PathBuf {
        self.root.join("cargo")
    }
    pub(super) fn out(&self) -> PathBuf {
        self.root.join("out")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed when the next run begins.
        let _ = system::fs::remove_all(&self.root);
    }
}

/// What every tool of the make phase gets. `bin`: directories before the system's.
pub(super) fn closed(scratch: &Scratch, bin: &[&Path]) -> Environment {
    let mut path = OsString::new();
    for directory in bin {
        path.push(directory);
        path.push(":");
    }
    path.push(SYSTEM_PATH);
    set([
        ("PATH", path.as_os_str()),
        ("HOME", scratch.home().as_os_str()),
        ("TMPDIR", scratch.tmp().as_os_str()),
        ("LC_ALL", OsStr::new("C")),
        ("TZ", OsStr::new("UTC")),
        ("SOURCE_DATE_EPOCH", OsStr::new(BUILD_TIME)),
    ])
}

/// Variables from names and values.
pub(super) fn set<'a>(variables: impl IntoIterator<Item = (&'a str, &'a OsStr)>) -> Environment {
    variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// What the fetch phase inherits.
pub(super) fn network(host: &Host) -> Environment {
    host.environment()
        .iter()
        .filter(|(name, _)| {
            name.to_str().is_some_and(|name| {
                NETWORK.contains(&name) || NETWORK_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            })
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Adds the spec's variables; those that the builder sets are not the spec's to set.
pub(super) fn add(
    environment: &mut Environment,
    rendered: Vec<(String, String)>,
    free: &[&str],
) -> Result<(), BuilderError> {
    for (name, value) in rendered {
        let free =
            free.contains(&name.as_str()) || matches!(name.as_str(), "LC_ALL" | "TZ" | "SOURCE_DATE_EPOCH");
        if !free && environment.contains_key(OsStr::new(&name)) {
            return Err(BuilderError::Reserved { name });
        }
        environment.insert(name.into(), value.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_way_to_the_network_is_inherited() {
        let names =
            ["https_proxy", "CARGO_HTTP_CAINFO", "RUSTFLAGS", "GOFLAGS", "AWS_SECRET_ACCESS_KEY", "HOME"];
        let host = Host::new(names.map(|name| (name.into(), "x".into())));
        let names: Vec<_> = network(&host).into_keys().collect();
        assert_eq!(names, ["CARGO_HTTP_CAINFO", "HOME", "https_proxy"]);
    }

    #[test]
    fn what_the_builder_sets_is_not_the_specs() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(&Caches::new(directory.path()), "x").unwrap();
        let mut environment = closed(&scratch, &[Path::new("/opt/go/bin")]);
        assert_eq!(environment[OsStr::new("PATH")], "/opt/go/bin:/usr/local/bin:/usr/bin:/bin");
        let free = vec![("TZ".to_owned(), "CET".to_owned()), ("MINE".to_owned(), "1".to_owned())];
        add(&mut environment, free, &[]).unwrap();
        assert_eq!(environment[OsStr::new("TZ")], "CET");
        let error = add(&mut environment, vec![("PATH".into(), "/x".into())], &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable `PATH` cannot be set by `env`: the builder sets it"
        );
    }
}
