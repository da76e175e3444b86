//! Real registries, a token realm and a proxy, each a process on a port of its own that ends with its value.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// `user:geheim`, in the form of `htpasswd -B`.
const HTPASSWD: &str = "user:$2b$05$kBfo419FeWu3SHCI5APpPO7pDCXbevRaF1/cegylksaciilqftkG.\n";
/// The same as Docker's `config.json` has it.
pub(crate) const AUTH: &str = "dXNlcjpnZWhlaW0=";

/// What a registry wants of those who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    Nothing,
    /// Basic authentication.
    Password,
    /// Tokens of the realm beside it, which gives them to `user:geheim`.
    Token,
    /// No pushes: it is read-only.
    NoPushes,
    /// Nothing, but it speaks TLS, with the certificate of `tests/registry/tls`.
    Tls,
}

/// A running program.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Starts a program and reads where it listens; what it says later is read and dropped, or it would block.
    fn start(mut command: Command) -> (Self, SocketAddr) {
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
        let process = Self(command.spawn().expect("a program of tests/install starts"));
        drop(command);
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("listening on ") {
                    let address: String =
                        rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
                    let _ = sender.send(address);
                }
            }
        });
        let address = receiver.recv_timeout(Duration::from_secs(30)).expect("a server says where it listens");
        (process, address.parse().expect("an address"))
    }
}

/// Whether all these programs are on the path.
pub(crate) fn are_installed(programs: &[&str]) -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = programs
        .iter()
        .find(|program| !std::env::split_paths(&path).any(|directory| directory.join(program).is_file()));
    missing.map_or(Ok(()), |program| Err(format!("{program} is not installed")))
}

/// A registry.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// How clients name it: `HOST:PORT`.
    pub(crate) host: String,
    realm: Option<SocketAddr>,
    _processes: Vec<Process>,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Debian's `docker-registry`; blobs can be deleted.
    pub(crate) fn docker(wants: Wants) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let (mut http, mut auth, mut storage) = (String::new(), String::new(), "");
        let (mut processes, mut realm) = (Vec::new(), None);
        match wants {
            Wants::Nothing => {}
            Wants::NoPushes => storage = ", maintenance: {readonly: {enabled: true}}",
            Wants::Password => {
                std::fs::write(root.join("htpasswd"), HTPASSWD).unwrap();
                let path = root.join("htpasswd");
                auth = format!("auth: {{htpasswd: {{realm: test, path: '{}'}}}}\n", path.display());
            }
            Wants::Token => {
                let bundle = root.join("realm.pem");
                let mut command = Command::new("token-realm");
                command.arg("-certificate").arg(&bundle);
                let (process, address) = Process::start(command);
                processes.push(process);
                realm = Some(address);
                auth = format!(
                    "auth: {{token: {{realm: 'http://{address}/token', service: test, issuer: token-realm, \
                     rootcertbundle: '{}'}}}}\n",
                    bundle.display()
                );
            }
            Wants::Tls => {
                let tls = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/registry/tls"));
                let (pem, key) = (tls.join("server.pem"), tls.join("server.key"));
                http = format!(", tls: {{certificate: '{}', key: '{}'}}", pem.display(), key.display());
            }
        }
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\n\
             storage: {{filesystem: {{rootdirectory: '{}'}}, delete: {{enabled: true}}{storage}}}\n\
             http: {{addr: '127.0.0.1:0'{http}}}\n{auth}",
            root.join("data").display()
        );
        let path = root.join("config.yml");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&path);
        let (process, address) = Process::start(command);
        processes.push(process);
        // On Linux `0.0.0.0` reaches this machine, and is not one of the names that are spoken to without TLS.
        let host = match wants {
            Wants::Tls => format!("0.0.0.0:{}", address.port()),
            _ => address.to_string(),
        };
        Self { address, host, realm, _processes: processes, _folder: folder }
    }

    /// go-containerregistry's registry, with the referrers of OCI 1.1.
    pub(crate) fn oci() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("oci-registry");
        command.arg("-blobs").arg(folder.path());
        let (process, address) = Process::start(command);
        Self { address, host: address.to_string(), realm: None, _processes: vec![process], _folder: folder }
    }

    pub(crate) fn repository(&self, path: &str) -> imgpack::model::Repository {
        format!("{}/{path}", self.host).parse().unwrap()
    }

    /// How many tokens its realm has given.
    pub(crate) fn tokens(&self) -> usize {
        let text = http(self.realm.expect("a registry that wants tokens"), "GET", "/given");
        text.trim().parse().unwrap()
    }
}

/// A proxy that counts, and breaks what it is told to break.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    _process: Process,
}

impl Proxy {
    pub(crate) fn before(server: &Server) -> Self {
        let mut command = Command::new("faulty-proxy");
        command.arg("-upstream").arg(server.address.to_string());
        let (process, address) = Process::start(command);
        Self { address, _process: process }
    }

    /// Counts from nothing again, and breaks requests with probability `p`.
    pub(crate) fn begin(&self, p: f64, seed: u32) {
        http(self.address, "POST", &format!("/__set?p={p}&seed={seed}"));
    }

    /// `METHOD path` of every request since the last `begin`.
    pub(crate) fn lines(&self) -> Vec<String> {
        http(self.address, "GET", "/__log").lines().map(str::to_owned).collect()
    }
}

/// The body of an answer, which must be a success.
pub(crate) fn http(address: SocketAddr, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    assert!(status.starts_with('2'), "{method} {path}: {head}");
    body.to_owned()
}
