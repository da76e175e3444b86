//! Uploads to a real registry: taken over from another repository, and over a line that breaks.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use imgpack::model::{Descriptor, Repository};
use imgpack::registry::{BlobSource, Pushed, Registry as _};

use crate::real::{noise, started};
use crate::servers::Wants;
use crate::{anonymous, layer, told};

/// A line that breaks: after so many bytes towards the registry on one connection, the first number first.
struct Cutter {
    address: SocketAddr,
    left: Arc<Mutex<Vec<usize>>>,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Cutter {
    fn start(to: SocketAddr, cuts: &[usize]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (left, stop) = (Arc::new(Mutex::new(cuts.to_vec())), Arc::new(AtomicBool::new(false)));
        let (cuts, stopped) = (Arc::clone(&left), Arc::clone(&stop));
        let accepting = std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let server = TcpStream::connect(to).unwrap();
                let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut answers, &mut back);
                    let _ = back.shutdown(Shutdown::Both);
                });
                let cuts = Arc::clone(&cuts);
                std::thread::spawn(move || forward(client, server, &cuts));
            }
        });
        Self { address, left, stop, accepting: Some(accepting) }
    }

    fn repository(&self, path: &str) -> Repository {
        format!("{}/{path}", self.address).parse().unwrap()
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn forward(mut client: TcpStream, mut server: TcpStream, cuts: &Mutex<Vec<usize>>) {
    let (mut count, mut buffer) = (0, vec![0; 16 * 1024]);
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        count += length;
        if server.write_all(&buffer[..length]).is_err() {
            break;
        }
        let mut cuts = cuts.lock().unwrap();
        if cuts.first().is_some_and(|cut| *cut <= count) {
            cuts.remove(0);
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}

fn blob(content: &[u8]) -> (Descriptor, BlobSource) {
    (layer(content), BlobSource::Bytes(content.into()))
}

/// The blob, as it is in the registry.
fn pulled(repository: &Repository, blob: &Descriptor) -> Vec<u8> {
    let mut bytes = Vec::new();
    anonymous().blob(repository, blob, &mut bytes).map_err(|error| told(&error)).unwrap();
    bytes
}

#[test]
fn a_real_registry_mounts() {
    let Some(registry) = started(Wants::Nothing) else { return };
    let content = noise(300_000);
    let (blob, source) = blob(&content);
    let remote = anonymous();
    let push = |path: &str| remote.push_blob(&registry.repository(path), &blob, &source, &|_| {}).unwrap();
    assert_eq!(push("acme/base").sent, 300_000);
    assert_eq!(push("acme/web"), Pushed::MOUNTED);
    assert_eq!(pulled(&registry.repository("acme/web"), &blob), content);
    assert_eq!(push("acme/web"), Pushed::EXISTED);
}

#[test]
fn one_real_registry_is_filled_from_another() {
    let (Some(one), Some(two)) = (started(Wants::Nothing), started(Wants::Password)) else { return };
    let content = noise(3_000_000);
    let (blob, source) = blob(&content);
    anonymous().push_blob(&one.repository("acme/base"), &blob, &source, &|_| {}).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let json = format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpnZWhlaW0="}}}}}}"#, two.address);
    let remote = crate::with_credentials(directory.path(), &json);
    let cutter = Cutter::start(one.address, &[]);
    let from = BlobSource::Registry(cutter.repository("acme/base"));
    let pushed = remote.push_blob(&two.repository("acme/web"), &blob, &from, &|_| {});
    assert_eq!(pushed.unwrap_or_else(|error| panic!("{}", told(&error))).sent, 3_000_000);
    let mut bytes = Vec::new();
    remote.blob(&two.repository("acme/web"), &blob, &mut bytes).unwrap();
    assert_eq!(bytes, content);
}

#[test]
fn a_real_registry_gets_the_blob_over_a_line_that_breaks() {
    let Some(registry) = started(Wants::Nothing) else { return };
    let content = noise(12_000_000);
    let (blob, source) = blob(&content);
    // In the middle of a PUT, and of chunks.
    for (path, cuts) in [
        ("acme/one", vec![5_000_000]),
        ("acme/two", vec![5_000_000, 5_000_000]),
        ("acme/three", vec![3_000_000, 5_000_000, 6_000_000]),
        ("acme/many", vec![6_000_000; 8]),
    ] {
        let cutter = Cutter::start(registry.address, &cuts);
        let pushed = anonymous().push_blob(&cutter.repository(path), &blob, &source, &|_| {});
        let pushed = pushed.unwrap_or_else(|error| panic!("{path}: {}", told(&error)));
        assert_eq!(pushed.sent, 12_000_000, "{path}");
        println!("{path}: {pushed:?}");
        assert!(cutter.left.lock().unwrap().is_empty(), "{path}: not every cut was made");
        assert!(pulled(&registry.repository(path), &blob) == content, "{path}");
    }
}
