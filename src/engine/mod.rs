//! Container engines: handing them an image.
//!
//! An engine is asked through its own program, which knows contexts, hosts and credentials better than imgpack does.

mod error;
mod load;

pub use error::{EngineError, LoadError};
pub use load::{Loaded, load};

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::system::process::find_program;

/// An engine's program and the host it is to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// `docker`, `podman` or what speaks like them.
    pub program: PathBuf,
    /// `unix://…`, `tcp://…`, `ssh://…`; without it the program decides (`DOCKER_HOST`, its context, its default).
    pub host: Option<String>,
}

impl Engine {
    /// The engine that `--engine` names: a program (by name or path) or a host; without it the first of docker and
    /// podman in `path`, the value of `PATH`.
    pub fn find(wanted: Option<&str>, path: Option<&OsStr>) -> Result<Self, EngineError> {
        let (names, host): (&[&str], _) = match &wanted {
            Some(host) if host.contains("://") => (&["docker"], Some((*host).to_owned())),
            Some(program) => (std::slice::from_ref(program), None),
            None => (&["docker", "podman"], None),
        };
        let found = names.iter().find_map(|name| find_program(name, path));
        match found {
            Some(program) => Ok(Self { program, host }),
            None => Err(EngineError::Missing { program: names.join(" or ") }),
        }
    }

    /// The program's name, for messages.
    pub fn name(&self) -> String {
        self.program.file_name().unwrap_or(self.program.as_os_str()).to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn program(directory: &Path, name: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(directory.join(name), "").unwrap();
        std::fs::set_permissions(directory.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn docker_comes_before_podman_and_both_have_to_be_programs() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().as_os_str();
        let found = |wanted| Engine::find(wanted, Some(path)).map(|engine| (engine.name(), engine.host));
        program(root.path(), "podman", 0o755);
        program(root.path(), "docker", 0o644);
        assert_eq!(found(None).unwrap(), ("podman".into(), None));
        program(root.path(), "docker", 0o755);
        assert_eq!(found(None).unwrap(), ("docker".into(), None));
        assert_eq!(found(Some("podman")).unwrap(), ("podman".into(), None));
        assert_eq!(found(Some("unix:///x")).unwrap(), ("docker".into(), Some("unix:///x".into())));
        let by_path = root.path().join("podman");
        assert_eq!(found(by_path.to_str()).unwrap().0, "podman");
    }

    #[test]
    fn a_missing_engine_is_named() {
        let error = Engine::find(None, Some(OsStr::new("/nonexistent"))).unwrap_err();
        assert_eq!(error.to_string(), "no container engine: docker or podman is not in PATH");
        assert!(error.hint().unwrap().contains("--engine"));
        let error = Engine::find(Some("/nonexistent/docker"), None).unwrap_err();
        assert_eq!(error.to_string(), "no container engine: /nonexistent/docker is not a program");
    }
}
