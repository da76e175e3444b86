//! A server that answers as a test says, and writes down what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// `METHOD target`, and who asks: `[Basic user:password]`, `[Bearer token]` or nothing.
    pub(crate) fn line(&self) -> String {
        let who = match self.headers.get("authorization").map(|text| text.split_once(' ').unwrap()) {
            Some(("Basic", text)) => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
                format!(" [Basic {}]", String::from_utf8(bytes).unwrap())
            }
            Some((scheme, text)) => format!(" [{scheme} {text}]"),
            None => String::new(),
        };
        format!("{} {}{who}", self.method, self.target)
    }

    pub(crate) fn bearer(&self) -> Option<&str> {
        self.headers.get("authorization")?.strip_prefix("Bearer ")
    }
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum End {
    /// As it should; the connection stays open.
    #[default]
    Whole,
    /// Closed after so many bytes of the body.
    Cut(usize),
    /// Closed before the first word.
    HungUp,
    /// Never.
    Silent,
    /// Not after so many bytes of the body; the connection stays open.
    Stuck(usize),
    /// A byte of the body at a time, with a pause after each.
    Dripping(Duration),
    /// As of HTTP/1.0: without a length, after so many bytes the connection is closed.
    Closed(usize),
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    end: End,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
    pub(crate) fn body(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into(), ..Self::default() }
    }
    pub(crate) fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.headers.push((name.to_owned(), format!("{value}")));
        self
    }
    pub(crate) fn and_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
    /// Promises the whole body and closes after `count` bytes of it.
    pub(crate) fn cut_after(mut self, count: usize) -> Self {
        self.end = End::Cut(count);
        self
    }
    /// Closes the connection without a word.
    pub(crate) fn hang_up() -> Self {
        Self { end: End::HungUp, ..Self::default() }
    }
    /// Sends `count` bytes of the body, and then nothing any more.
    pub(crate) fn stuck_after(mut self, count: usize) -> Self {
        self.end = End::Stuck(count);
        self
    }
    /// Sends the body a byte at a time.
    pub(crate) fn dripping(mut self, pause: Duration) -> Self {
        self.end = End::Dripping(pause);
        self
    }
    /// Speaks HTTP/1.0: says no length, sends `count` bytes of the body and closes the connection.
    pub(crate) fn closed_after(mut self, count: usize) -> Self {
        self.end = End::Closed(count);
        self
    }
    /// Never answers.
    pub(crate) fn silence() -> Self {
        Self { end: End::Silent, ..Self::default() }
    }
}

type Script = dyn FnMut(&Asked) -> Reply + Send;
/// How much of a request's body is taken, asked with its head; then it is answered, and the connection closed.
type Cut = dyn FnMut(&Asked) -> Option<usize> + Send;

pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn start(script: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        Self::serve(None, |_| None, script)
    }

    /// With bodies of which only a part is taken.
    pub(crate) fn start_cutting(
        cut: impl FnMut(&Asked) -> Option<usize> + Send + 'static,
        script: impl FnMut(&Asked) -> Reply + Send + 'static,
    ) -> Self {
        Self::serve(None, cut, script)
    }

    pub(crate) fn start_tls(script: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        use rustls::pki_types::pem::PemObject as _;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/registry/tls");
        let chain = CertificateDer::pem_file_iter(format!("{directory}/server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(format!("{directory}/server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        Self::serve(Some(Arc::new(config)), |_| None, script)
    }

    fn serve(
        tls: Option<Arc<rustls::ServerConfig>>,
        cut: impl FnMut(&Asked) -> Option<usize> + Send + 'static,
        script: impl FnMut(&Asked) -> Reply + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(script)));
        let cut: Arc<Mutex<Box<Cut>>> = Arc::new(Mutex::new(Box::new(cut)));
        let (log, stopped) = (Arc::clone(&asked), Arc::clone(&stop));
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, log, tls) = (stream.unwrap(), Arc::clone(&log), tls.clone());
                let (script, cut) = (Arc::clone(&script), Arc::clone(&cut));
                std::thread::spawn(move || {
                    let socket = stream.try_clone().unwrap();
                    let ended = match tls {
                        None => talk(BufReader::new(stream), &log, &cut, &script),
                        Some(config) => {
                            let connection = rustls::ServerConnection::new(config).unwrap();
                            let stream = rustls::StreamOwned::new(connection, stream);
                            talk(BufReader::new(stream), &log, &cut, &script)
                        }
                    };
                    // A client that goes away is no failure of the server.
                    drop(ended);
                    let _ = socket.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, asked, stop, accepting: Some(accepting) }
    }

    pub(crate) fn requests(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What was asked, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().iter().map(Asked::line).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn talk<S: Read + Write>(
    mut stream: BufReader<S>,
    log: &Mutex<Vec<Asked>>,
    cut: &Mutex<Box<Cut>>,
    script: &Mutex<Box<Script>>,
) -> std::io::Result<()> {
    loop {
        // A TLS hello where plain HTTP is spoken.
        if stream.fill_buf()?.first() == Some(&0x16) {
            return stream.get_mut().write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
        }
        let Some((asked, whole)) = read(&mut stream, cut)? else { return Ok(()) };
        log.lock().unwrap().push(asked.clone());
        let reply = (script.lock().unwrap())(&asked);
        if reply.end == End::Silent {
            // Until the other side gives up.
            stream.read_to_end(&mut Vec::new())?;
            return Ok(());
        }
        if reply.end == End::HungUp {
            return Ok(());
        }
        let version = if matches!(reply.end, End::Closed(_)) { "1.0" } else { "1.1" };
        let mut head = format!("HTTP/{version} {} Whatever\r\n", reply.status);
        let named = |name: &str| reply.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
        if !named("content-length") && version == "1.1" {
            head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
        }
        if !whole {
            head.push_str("connection: close\r\n");
        }
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let out = stream.get_mut();
        out.write_all(head.as_bytes())?;
        if asked.method != "HEAD" {
            match reply.end {
                End::Cut(end) | End::Stuck(end) | End::Closed(end) => out.write_all(&reply.body[..end])?,
                End::Dripping(pause) => {
                    for byte in &reply.body {
                        out.write_all(&[*byte])?;
                        out.flush()?;
                        std::thread::sleep(pause);
                    }
                }
                _ => out.write_all(&reply.body)?,
            }
        }
        out.flush()?;
        if let End::Stuck(_) = reply.end {
            stream.read_to_end(&mut Vec::new())?;
        }
        if !whole {
            // What is still on its way has to be read, or the answer is lost with the connection.
            std::io::copy(&mut stream, &mut std::io::sink())?;
        }
        if reply.end != End::Whole || !whole {
            return Ok(());
        }
    }
}

/// A request, and whether its body was taken whole.
fn read(stream: &mut impl BufRead, cut: &Mutex<Box<Cut>>) -> std::io::Result<Option<(Asked, bool)>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (method, target) = (method.to_owned(), target.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    let mut asked = Asked { method, target, headers, body: Vec::new() };
    let taken = (cut.lock().unwrap())(&asked).unwrap_or(length).min(length);
    asked.body.resize(taken, 0);
    stream.read_exact(&mut asked.body)?;
    Ok(Some((asked, taken == length)))
}
