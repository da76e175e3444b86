//! A foreign program of an unpacked image, run on this machine by the static emulator.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::program::{self, Ended};

/// A service takes its time to start under emulation.
const START: Duration = Duration::from_mins(2);

pub(crate) struct Emulated {
    /// Root file system of its image.
    pub(crate) root: PathBuf,
    binary: PathBuf,
}

pub(crate) struct Running {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
}

/// The program at `binary` of an unpacked root file system.
pub(crate) fn emulated(root: &Path, binary: &str) -> Emulated {
    Emulated { root: root.to_owned(), binary: root.join(binary) }
}

impl Emulated {
    fn command(&self, environment: &[(String, String)], arguments: &[&str]) -> Command {
        let mut command = program::command("qemu-aarch64-static", ["-L"]);
        command.arg(&self.root).arg(&self.binary).args(arguments).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(environment.iter().cloned());
        command
    }

    /// Runs it to its end.
    pub(crate) fn once(&self, environment: &[(String, String)], arguments: &[&str]) -> Ended {
        program::run(&self.command(environment, arguments), START)
    }

    /// Starts it as a service on a port of its own, and waits until it says where it listens.
    pub(crate) fn start(&self, environment: &[(String, String)]) -> Running {
        let mut command = self.command(environment, &[]);
        command.env("LISTEN_ADDR", "127.0.0.1:0");
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = lines(&mut child);
        let mut running = Running { child, address: String::new() };
        let mut said = String::new();
        while running.address.is_empty() {
            let Ok(line) = lines.recv_timeout(START) else {
                panic!("{} did not say where it listens:\n{said}", self.binary.display());
            };
            let row: Value = serde_json::from_str(&line).unwrap_or_default();
            let address = [&row["address"], &row["fields"]["address"]].into_iter().find_map(Value::as_str);
            address.unwrap_or_default().clone_into(&mut running.address);
            said.push_str(&line);
            said.push('\n');
        }
        running
    }
}

/// What it says on either stream, until it ends.
fn lines(child: &mut Child) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    let out = child.stdout.take().map(|stream| Box::new(stream) as Box<dyn std::io::Read + Send>);
    let err = child.stderr.take().map(|stream| Box::new(stream) as Box<dyn std::io::Read + Send>);
    for stream in [out, err].into_iter().flatten() {
        let send = send.clone();
        // Reads on when nobody listens any more, so that the program is not stopped by a full pipe.
        thread::spawn(move || {
            BufReader::new(stream).lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
        });
    }
    receive
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
