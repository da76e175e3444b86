//! The registry of this run: Debian's `docker-registry`, on loopback, on a port of its own.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::program;
use crate::waiting::until;

pub(crate) struct Registry {
    /// `127.0.0.1:PORT`
    pub(crate) host: String,
}

/// Writes the configuration that the keeper starts the registry with.
pub(crate) fn configure(dir: &Path) {
    let storage = dir.join("registry");
    let text = format!(
        "version: 0.1\n\
         log: {{ level: info }}\n\
         storage: {{ filesystem: {{ rootdirectory: '{}' }}, delete: {{ enabled: true }} }}\n\
         http: {{ addr: '127.0.0.1:0' }}\n",
        storage.display()
    );
    fs::write(dir.join("registry.yml"), text).unwrap();
}

/// Waits until the registry that the keeper started says where it listens, and answers there.
pub(crate) fn find(dir: &Path) -> Registry {
    let log = dir.join("registry.log");
    let host = until("the registry listens", Duration::from_mins(1), || {
        let said = fs::read_to_string(&log).map_err(|error| error.to_string())?;
        let port = said.split("listening on 127.0.0.1:").nth(1).ok_or_else(|| said.clone())?;
        let end = port.find(|c: char| !c.is_ascii_digit()).ok_or("no line end yet")?;
        Ok::<_, String>(format!("127.0.0.1:{}", &port[..end]))
    });
    until("the registry answers", Duration::from_mins(1), || {
        let answer =
            program::call("curl", ["--silent", "--show-error", "--fail", &format!("http://{host}/v2/")]);
        if answer.code() == 0 { Ok(()) } else { Err(answer.said()) }
    });
    Registry { host }
}

impl Registry {
    /// A reference to an image of this run.
    pub(crate) fn reference(&self, repository: &str, tag: &str) -> String {
        format!("{}/imgpack/{repository}:{tag}", self.host)
    }
}
