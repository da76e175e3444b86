use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::system::Cancel;
use crate::system::process::{self, Invocation};

/// Directories that every Unix has, searched by tools after their own.
pub(super) const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What builders may know of this machine: the environment imgpack was started with, and what was found out by trying.
#[derive(Debug, Default)]
pub struct Host {
    environment: BTreeMap<OsString, OsString>,
    offline: bool,
    without_network: OnceLock<Vec<OsString>>,
}

impl Host {
    /// A host with this environment (`std::env::vars_os()`).
    pub fn new(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self {
            environment: environment.into_iter().collect(),
            offline: false,
            without_network: OnceLock::new(),
        }
    }

    /// The same host, on which the fetch phase too may ask nobody: what the tools have kept has to do.
    #[must_use]
    pub fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// Whether nobody may be asked.
    pub(super) fn is_offline(&self) -> bool {
        self.offline
    }

    /// The whole environment: for asking a tool how it would be reached, never for a build.
    pub(super) fn environment(&self) -> &BTreeMap<OsString, OsString> {
        &self.environment
    }

    /// A variable that is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// A program on the search path; only absolute directories count.
    pub(super) fn find(&self, program: &str) -> Option<PathBuf> {
        let path = self.variable("PATH").unwrap_or(OsStr::new(SYSTEM_PATH));
        std::env::split_paths(path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(program))
            .find(|path| is_program(path))
    }

    /// The command in front of another that takes its network away; empty where this host does not allow it. Tried once.
    pub(super) fn without_network(&self, cancel: &Cancel) -> &[OsString] {
        self.without_network.get_or_init(|| {
            let usual = PathBuf::from("/usr/bin/unshare");
            let Some(unshare) = self.find("unshare").or_else(|| Some(usual).filter(|path| is_program(path)))
            else {
                return Vec::new();
            };
            let ways: [&[&str]; 2] = [&["--net", "--"], &["--user", "--map-current-user", "--net", "--"]];
            for way in ways {
                let mut args: Vec<OsString> = way.iter().map(OsString::from).collect();
                args.push("/bin/sh".into());
                args.extend(["-c", "exit 0"].map(OsString::from));
                let invocation = Invocation {
                    program: unshare.clone(),
                    args,
                    env: BTreeMap::new(),
                    directory: "/".into(),
                    stdin: None,
                };
                if process::output(invocation, cancel).is_ok_and(|(status, ..)| status.success()) {
                    let mut command = vec![unshare.into_os_string()];
                    command.extend(way.iter().map(OsString::from));
                    return command;
                }
            }
            Vec::new()
        })
    }

    /// Whether builds run without a network here.
    pub fn cuts_network(&self, cancel: &Cancel) -> bool {
        !self.without_network(cancel).is_empty()
    }
}

/// Whether a path is a file that may be executed.
pub(super) fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
