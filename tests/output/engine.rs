//! A real dockerd of the test's own takes the archive.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use imgpack::archive::write_docker_stream;
use imgpack::engine::{Engine, EngineError, LoadError, load};
use imgpack::model::{BlobDigest, Platform};
use imgpack::system::Cancel;

use crate::judge;
use crate::sample::Sample;

struct Dockerd {
    child: Child,
    host: String,
    _root: tempfile::TempDir,
}

impl Dockerd {
    fn start() -> Self {
        // Not below a long TMPDIR: a socket's path has at most 107 bytes.
        let root = tempfile::Builder::new().prefix("imgpack-").tempdir_in("/tmp").unwrap();
        let path = |name: &str| root.path().join(name).display().to_string();
        // The host's own settings are none of the test's.
        std::fs::write(root.path().join("daemon.json"), "{}").unwrap();
        let host = format!("unix://{}", path("docker.sock"));
        let mut child = Command::new("dockerd")
            .args(["--storage-driver=vfs", "--iptables=false", "--ip6tables=false", "--bridge=none"])
            .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
            .args(["--config-file", &path("daemon.json"), "-H", &host])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut said = String::new();
        let ready = log.by_ref().any(|line| {
            said = format!("{said}{line}\n");
            line.contains("API listen on")
        });
        std::thread::spawn(move || log.for_each(drop));
        let dockerd = Self { child, host, _root: root };
        assert!(ready, "dockerd did not start:\n{said}");
        dockerd
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap_or_default())
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

fn send(
    engine: &Engine,
    sample: &Sample,
    image: &imgpack::archive::ImageOutput,
) -> Result<Vec<String>, String> {
    let cancel = Cancel::new();
    let open = |digest: &BlobDigest| sample.open(digest);
    load(engine, &cancel, |writer| write_docker_stream(std::slice::from_ref(image), &open, &cancel, writer))
        .map(|loaded| loaded.images)
        .map_err(|error| error.to_string())
}

#[test]
fn docker_loads_the_stream() {
    let (Some(_), Some(_)) = (judge::find("dockerd"), judge::find("docker")) else { return };
    let dockerd = Dockerd::start();
    let engine = Engine::find(Some(&dockerd.host), std::env::var_os("PATH").as_deref()).unwrap();
    let mut sample = Sample::new();
    let image = sample.image(&["acme/core:v1", "acme/core"], &[Platform::AMD64], "one");
    assert_eq!(send(&engine, &sample, &image).unwrap(), ["acme/core:v1", "acme/core:latest"]);
    for name in ["acme/core:v1", "acme/core:latest"] {
        let id =
            judge::run("docker", &["--host", &dockerd.host, "image", "inspect", "--format", "{{.Id}}", name]);
        assert_eq!(id.trim(), image.manifests[0].config.descriptor.digest.to_string());
    }
    let unnamed = sample.image(&[], &[Platform::AMD64], "two");
    let id = unnamed.manifests[0].config.descriptor.digest.to_string();
    assert_eq!(send(&engine, &sample, &unnamed).unwrap(), [id]);

    // The engine's own words about an image it does not want.
    let mut wrong = sample.image(&["acme/wrong:v1"], &[Platform::AMD64], "three");
    wrong.manifests[0].layers.truncate(1);
    let message = send(&engine, &sample, &wrong).unwrap_err();
    assert!(
        message.starts_with("docker load failed (exit status: 1): invalid manifest, layers length mismatch"),
        "{message}"
    );
    // A layer that is gone: our error, and nothing is loaded.
    let gone = sample.image(&["acme/gone:v1"], &[Platform::AMD64], "four");
    std::fs::remove_file(sample.blob_path(&gone.manifests[0].layers[1].descriptor.digest)).unwrap();
    let message = send(&engine, &sample, &gone).unwrap_err();
    assert!(message.starts_with("cannot read blob sha256:"), "{message}");
    let listed =
        judge::run("docker", &["--host", &dockerd.host, "image", "ls", "--format", "{{.Repository}}"]);
    assert!(!listed.contains("gone") && !listed.contains("wrong"), "{listed}");
}

#[test]
fn an_engine_that_is_not_there_is_said_so() {
    let Some(_) = judge::find("docker") else { return };
    let root = tempfile::tempdir().unwrap();
    let host = format!("unix://{}/none.sock", root.path().display());
    let engine = Engine::find(Some(&host), std::env::var_os("PATH").as_deref()).unwrap();
    let mut sample = Sample::new();
    let image = sample.image(&["core"], &[Platform::AMD64], "one");
    let cancel = Cancel::new();
    let open = |digest: &BlobDigest| sample.open(digest);
    let error = load(&engine, &cancel, |writer| {
        write_docker_stream(std::slice::from_ref(&image), &open, &cancel, writer)
    })
    .unwrap_err();
    let LoadError::Engine(error @ EngineError::Unreachable { .. }) = error else { panic!("{error}") };
    assert!(error.to_string().starts_with("docker cannot reach its engine: "), "{error}");
    assert!(error.hint().unwrap().contains("start the engine"));
}
