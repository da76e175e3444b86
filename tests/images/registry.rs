//! Debian's `docker-registry`, on loopback, on a port of its own, for one test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use std::{fs, thread};

pub(crate) struct Registry {
    process: Child,
    /// `127.0.0.1:PORT`
    pub(crate) host: String,
    /// `GET /v2/…` for each request that it answered.
    requests: Receiver<String>,
}

impl Registry {
    /// Starts one that keeps its blobs in `dir`, and waits until it listens.
    pub(crate) fn start(dir: &Path) -> Self {
        fs::create_dir_all(dir).unwrap();
        let file = dir.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{ level: info, accesslog: {{ disabled: false }} }}\n\
             storage: {{ filesystem: {{ rootdirectory: '{}' }} }}\nhttp: {{ addr: '127.0.0.1:0' }}\n",
            dir.join("blobs").display()
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (answered, requests) = mpsc::channel();
        let (said, ports) = mpsc::channel();
        let outputs: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(process.stdout.take().unwrap()), Box::new(process.stderr.take().unwrap())];
        for output in outputs {
            let (said, answered) = (said.clone(), answered.clone());
            // It ends when the registry does.
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if let Some((_, rest)) = line.split_once("listening on 127.0.0.1:") {
                        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
                        let _ = said.send(port);
                    }
                    // The access log: `… "GET /v2/… HTTP/1.1" 200 …`
                    if let Some((request, _)) = line.split_once(" HTTP/1.1\"") {
                        let request = request.rsplit('"').next().unwrap_or_default();
                        let _ = answered.send(request.to_owned());
                    }
                }
            });
        }
        // A guard from here on: what panics below ends the registry too.
        let mut registry = Self { process, host: String::new(), requests };
        let port = ports.recv_timeout(Duration::from_secs(60)).expect("the registry says where it listens");
        registry.host = format!("127.0.0.1:{port}");
        registry
    }

    /// The requests that it answered since this was last asked.
    pub(crate) fn requests(&self) -> Vec<String> {
        // Its log may come late: when it has this, it has all before.
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let marker = "GET /v2/marker";
        write!(stream, "{marker} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.host).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        let mut requests = Vec::new();
        loop {
            match self.requests.recv_timeout(Duration::from_secs(60)).expect("the registry logs a request") {
                request if request == marker => return requests,
                request => requests.push(request),
            }
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
