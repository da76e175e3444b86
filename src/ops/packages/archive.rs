use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::debian::{AptSource, Keyring, deb822_sources, http_proxy, list_sources};
use crate::ops::event::Event;
use crate::ops::machine::Machine;
use crate::system::AptFiles;

/// A place that repositories are below, by what it is and not by where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Archive {
    /// Debian's.
    Debian,
    /// Debian's for security updates.
    Security,
    /// Another one, by its address.
    Other(String),
}

impl Archive {
    /// Its name in locks.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Debian => "debian",
            Self::Security => "debian-security",
            Self::Other(url) => url,
        }
    }

    pub(super) fn of(name: &str) -> Self {
        match name {
            "debian" => Self::Debian,
            "debian-security" => Self::Security,
            url => Self::Other(url.to_owned()),
        }
    }

    /// Whether an address that somebody named is a mirror of it: those of the security archive end so.
    fn is_at(&self, address: &str) -> bool {
        let security = address.rsplit('/').next().is_some_and(|last| last.contains("security"));
        match self {
            Self::Debian => !security,
            Self::Security => security,
            Self::Other(_) => false,
        }
    }
}

/// A suite of an archive.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    pub(super) archive: Archive,
    pub(super) suite: String,
    /// None where its files lie in the suite's folder itself.
    pub(super) components: Vec<String>,
    /// Who may sign it.
    pub(super) keys: Arc<Keyring>,
    /// What stands for the keys where the repository is remembered.
    pub(super) trust: String,
}

impl Repository {
    /// Its name in messages and locks, without blanks.
    pub(super) fn name(&self) -> String {
        match &self.archive {
            Archive::Other(url) => format!("{url},{}", self.suite),
            _ => self.suite.clone(),
        }
    }

    /// The folder of its InRelease, below the archive.
    pub(super) fn folder(&self) -> String {
        if self.components.is_empty() {
            let folder = self.suite.trim_matches(['.', '/']);
            return if folder.is_empty() { String::new() } else { format!("{folder}/") };
        }
        format!("dists/{}/", self.suite)
    }
}

/// Where an archive is, at one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    /// Without a slash at its end.
    pub(super) address: String,
    /// The proxy of this host's apt.
    pub(super) proxy: Option<String>,
}

/// The folder of apt's configuration, in place of `/etc/apt`.
const APT: &str = "IMGPACK_APT_DIR";

/// Where archives are to be had, as one command knows it.
#[derive(Default)]
pub(super) struct Archives {
    host: OnceLock<Host>,
    /// Addresses that did not answer, which are not asked again.
    silent: Mutex<BTreeSet<String>>,
}

struct Host {
    sources: Vec<AptSource>,
    proxy: Option<String>,
}

impl Archives {
    /// Where `archive` is: at the mirrors that the workspace or the user names, at those of this host's apt that have one of
    /// `suites`, and at Debian's own address.
    pub(super) fn roots(&self, machine: &Machine<'_>, archive: &Archive, suites: &[&str]) -> Vec<Root> {
        let own = match archive {
            Archive::Debian => "http://deb.debian.org/debian",
            Archive::Security => "http://deb.debian.org/debian-security",
            Archive::Other(url) => url,
        };
        let host = self.host.get_or_init(|| Host::read(machine));
        let named = machine.archives.debian.iter().filter(|address| archive.is_at(address)).cloned();
        let of_host = host
            .sources
            .iter()
            .filter(|source| source.suites.iter().any(|suite| suites.contains(&suite.as_str())))
            .flat_map(|source| source.addresses.clone())
            .filter(|address| archive.is_at(address));
        let mut roots: Vec<Root> = Vec::new();
        for address in named.chain(of_host).chain([own.trim_end_matches('/').to_owned()]) {
            if !roots.iter().any(|root| root.address == address) {
                roots.push(Root { address, proxy: host.proxy.clone() });
            }
        }
        self.answering(roots)
    }

    /// Where a repository of Alpine packages is, and its folder there: one of Alpine's own at the mirrors that the workspace
    /// or the user names too.
    pub(super) fn alpine(&self, machine: &Machine<'_>, repository: &str) -> (Vec<Root>, String) {
        let (own, folder) = alpine_parts(repository).unwrap_or((repository, ""));
        let mirrors = machine.archives.apk.iter().map(String::as_str);
        let mut roots: Vec<Root> = Vec::new();
        for address in mirrors.filter(|_| !folder.is_empty()).chain([own]) {
            if !roots.iter().any(|root| root.address == address) {
                roots.push(Root { address: address.to_owned(), proxy: None });
            }
        }
        (self.answering(roots), folder.to_owned())
    }

    fn answering(&self, roots: Vec<Root>) -> Vec<Root> {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        // With none left the last is asked, which then says why.
        let answering: Vec<Root> =
            roots.iter().filter(|root| !silent.contains(&root.address)).cloned().collect();
        if answering.is_empty() { roots.into_iter().rev().take(1).collect() } else { answering }
    }

    /// Debian's archive of all that it ever had, as it was at `date` (`20261120T001241Z`).
    pub(super) fn dated(&self, machine: &Machine<'_>, archive: &Archive, date: &str) -> Option<Root> {
        let name = match archive {
            Archive::Other(_) => return None,
            own => own.name(),
        };
        let host = self.host.get_or_init(|| Host::read(machine));
        let address = format!("http://snapshot.debian.org/archive/{name}/{date}");
        Some(Root { address, proxy: host.proxy.clone() })
    }

    /// From now on this address is not asked any more.
    pub(super) fn is_silent(&self, machine: &Machine<'_>, root: &Root, why: &str) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        if silent.insert(root.address.clone()) {
            let note = format!("the mirror {} does not answer ({why}): others are asked", root.address);
            machine.observer.event(Event::Note(note));
        }
    }
}

/// Alpine's archive in the address of one of its repositories, and the folder there: `v3.20/main`.
pub(super) fn alpine_parts(repository: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = repository.split_once("://")?;
    let (host, path) = rest.split_once('/')?;
    let folder = path.strip_prefix("alpine/").filter(|folder| !folder.is_empty())?;
    let is_own = ["http", "https"].contains(&scheme) && host.ends_with(".alpinelinux.org");
    is_own.then(|| (&repository[..repository.len() - folder.len() - 1], folder))
}

impl Host {
    fn read(machine: &Machine<'_>) -> Self {
        let folder = machine.environment.get(OsStr::new(APT)).map_or(OsStr::new("/etc/apt"), |said| said);
        let files = AptFiles::read(Path::new(folder));
        let lists = files.lists.iter().flat_map(|text| list_sources(text));
        let sources = lists.chain(files.deb822.iter().flat_map(|text| deb822_sources(text)));
        Self { sources: sources.collect(), proxy: http_proxy(files.settings.iter().map(String::as_str)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_of_the_one_or_the_other_archive() {
        for (address, security) in [
            ("http://deb.debian.org/debian", false),
            ("http://mirror.example/debian-security", true),
            ("http://security.debian.org/debian-security", true),
            ("http://security.example/debian", false),
        ] {
            assert_eq!(Archive::Security.is_at(address), security, "{address}");
            assert_eq!(Archive::Debian.is_at(address), !security, "{address}");
            assert!(!Archive::Other(address.to_owned()).is_at(address));
        }
    }

    #[test]
    fn mirrors_are_of_alpines_own_repositories() {
        for (address, parts) in [
            (
                "https://dl-cdn.alpinelinux.org/alpine/v3.20/main",
                Some(("https://dl-cdn.alpinelinux.org/alpine", "v3.20/main")),
            ),
            (
                "http://dl-4.alpinelinux.org/alpine/edge/testing",
                Some(("http://dl-4.alpinelinux.org/alpine", "edge/testing")),
            ),
            ("https://dl-cdn.alpinelinux.org/alpine/", None),
            ("https://dl-cdn.alpinelinux.org/other/main", None),
            ("https://mirror.example/alpine/v3.20/main", None),
            ("https://alpinelinux.org.example/alpine/v3.20/main", None),
            ("ftp://dl-cdn.alpinelinux.org/alpine/v3.20/main", None),
        ] {
            assert_eq!(alpine_parts(address), parts, "{address}");
        }
    }

    #[test]
    fn repositories_lie_in_their_folders() {
        let keys = Arc::new(Keyring::default());
        let folder = |suite: &str, components: &[&str]| {
            let components = components.iter().map(|&word| word.to_owned()).collect();
            let (suite, keys, trust) = (suite.to_owned(), Arc::clone(&keys), String::new());
            Repository { archive: Archive::Debian, suite, components, keys, trust }.folder()
        };
        assert_eq!(folder("bookworm", &["main"]), "dists/bookworm/");
        assert_eq!(folder("./", &[]), "");
        assert_eq!(folder("/", &[]), "");
        assert_eq!(folder("deb/x/", &[]), "deb/x/");
    }
}
