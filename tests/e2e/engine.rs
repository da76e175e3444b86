//! The container engine of this run: a real dockerd with its own socket and its own storage.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, thread};

use serde_json::Value;

use crate::program::{self, Ended};
use crate::waiting::until;

pub(crate) struct Engine {
    socket: String,
    config: PathBuf,
    /// What the names of its networks' bridges begin with.
    bridges: String,
    networks: AtomicUsize,
}

/// Waits until the engine that the keeper started answers.
pub(crate) fn find(dir: &Path, bridges: &str) -> Engine {
    let config = dir.join("client");
    fs::create_dir_all(&config).unwrap();
    let socket = format!("unix://{}", dir.join("engine.sock").display());
    let engine = Engine { socket, config, bridges: bridges.to_owned(), networks: AtomicUsize::new(0) };
    until("the engine answers", Duration::from_mins(2), || {
        let answer = engine.docker(["version"]);
        let log = || fs::read_to_string(dir.join("engine.log")).unwrap_or_default();
        if answer.code() == 0 { Ok(()) } else { Err(format!("{answer}\n{}", log())) }
    });
    engine
}

impl Engine {
    /// Its address, as `DOCKER_HOST` wants it.
    pub(crate) fn address(&self) -> &str {
        &self.socket
    }

    /// Runs the engine's client.
    pub(crate) fn docker<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        let mut command = program::command("docker", arguments);
        command
            .env("DOCKER_HOST", &self.socket)
            .env("DOCKER_CONFIG", &self.config)
            .env_remove("DOCKER_CONTEXT");
        program::run(&command, Duration::from_mins(5))
    }

    /// A network of its own, on which containers find each other by name.
    pub(crate) fn network(&self) -> Network<'_> {
        let number = self.networks.fetch_add(1, Ordering::Relaxed);
        let name = format!("e2e-{number}");
        let bridge = format!("--opt=com.docker.network.bridge.name={}{number}", self.bridges);
        self.docker(["network", "create", &bridge, &name]).text();
        Network { engine: self, name }
    }

    /// Runs an image to its end as it is meant to run: nothing writable, no capability. No pulling: it is there, or
    /// is pulled before, so that what the client says is what the container says.
    pub(crate) fn once(&self, options: &[&str], image: &str, arguments: &[&str]) -> Ended {
        self.docker([&["run", "--rm", "--pull=never"], CONFINED, options, &[image], arguments].concat())
    }

    /// Pulls an image.
    pub(crate) fn pull(&self, image: &str) {
        self.docker(["pull", "--quiet", image]).text();
    }
}

const CONFINED: &[&str] = &["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"];

pub(crate) struct Network<'e> {
    engine: &'e Engine,
    name: String,
}

impl<'e> Network<'e> {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Starts a service that others find by `name`, with nothing writable and no capability.
    pub(crate) fn start(&self, name: &str, options: &[&str], image: &str) -> Container<'e> {
        let network = format!("--network={}", self.name);
        let alias = format!("--network-alias={name}");
        let base = ["run", "--detach", "--pull=never", &network, &alias];
        let id = self.engine.docker([&base, CONFINED, options, &[image]].concat()).text();
        Container { engine: self.engine, name: name.to_owned(), id }
    }
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        self.engine.docker(["network", "rm", &self.name]);
    }
}

pub(crate) struct Container<'e> {
    engine: &'e Engine,
    name: String,
    id: String,
}

impl Container<'_> {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs a command in the running container, as its user.
    pub(crate) fn exec(&self, arguments: &[&str]) -> Ended {
        self.engine.docker([&["exec", &self.id], arguments].concat())
    }

    /// What the engine knows of it.
    pub(crate) fn inspect(&self) -> Value {
        let text = self.engine.docker(["inspect", "--type=container", &self.id]).text();
        let mut rows: Vec<Value> = serde_json::from_str(&text).unwrap();
        rows.pop().expect("one container was asked for")
    }

    /// `http://ADDRESS:port` as this machine reaches it.
    pub(crate) fn url(&self, port: u16) -> String {
        let networks = &self.inspect()["NetworkSettings"]["Networks"];
        let network = networks.as_object().and_then(|networks| networks.values().next());
        match network.and_then(|network| network["IPAddress"].as_str()) {
            Some(address) if !address.is_empty() => format!("http://{address}:{port}"),
            _ => panic!("{} has no address: {networks}\n{}", self.name, self.logs()),
        }
    }

    /// The rows of `/proc/PID/status` of its first process, and whether its root is mounted read-only.
    pub(crate) fn process(&self) -> (BTreeMap<String, String>, bool) {
        let pid = self.inspect()["State"]["Pid"].clone();
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path} of {}: {error}", self.name))
        };
        let status = read("status");
        let rows = status.lines().filter_map(|line| line.split_once(':'));
        let rows = rows.map(|(name, value)| (name.to_owned(), value.trim().replace('\t', " "))).collect();
        let mounts = read("mountinfo");
        let root = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|row| row[4] == "/");
        (rows, root.expect("there is a root")[5].split(',').any(|option| option == "ro"))
    }

    /// Waits until the image's health check says so.
    pub(crate) fn wait_healthy(&self) {
        until(&format!("{} is healthy", self.name), Duration::from_mins(2), || {
            let state = self.inspect()["State"].clone();
            let told = state["Health"]["Status"].as_str().is_some_and(|status| status == "healthy");
            if told { Ok(()) } else { Err(format!("{state}\n{}", self.logs())) }
        });
    }

    /// The names of the files in its root file system.
    pub(crate) fn files(&self) -> Vec<String> {
        let script = r#"docker export "$1" | tar --list"#;
        let mut command = program::command("sh", ["-c", script, "sh", &self.id]);
        command.env("DOCKER_HOST", &self.engine.socket).env("DOCKER_CONFIG", &self.engine.config);
        let ended = program::run(&command, Duration::from_mins(2));
        ended.text().lines().map(|line| line.trim_end_matches('/').to_owned()).collect()
    }

    /// Asks it to stop; its exit code.
    pub(crate) fn stop(&self) -> i64 {
        self.engine.docker(["stop", "--time=30", &self.id]).text();
        self.inspect()["State"]["ExitCode"].as_i64().expect("a stopped container has an exit code")
    }

    pub(crate) fn logs(&self) -> String {
        self.engine.docker(["logs", &self.id]).said()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("-- {} said:\n{}", self.name, self.logs());
        }
        self.engine.docker(["rm", "--force", "--volumes", &self.id]);
    }
}
