//! The components in containers without a shell: every way of a health check, and init as PID 1.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use serde_json::{Value, json};

use crate::engine::Network;
use crate::program;
use crate::services::fetch;
use crate::waiting::until;
use crate::world::{World, skip, world};

/// One server for all of them (`fixtures/health-server`).
const SERVICES: &str = r#"
services:
  _server:
    files: [{ from: health-server, to: /health-server }]
    image: { entrypoint: [/health-server], cmd: [":50051", ":50052", ":8000"] }
  http: { extends: [_server], image: { healthcheck: { http: ":$PORT/health", body: '"ok":true', interval: 1s, timeout: 2s } } }
  grpc: { extends: [_server], image: { healthcheck: { grpc: ":50051/well", interval: 1s } } }
  tcp: { extends: [_server], image: { healthcheck: { tcp: ":$${NO:-50052}", interval: 1s } } }
  http-away: { extends: [_server], image: { healthcheck: { http: ":8000/", interval: 1s, retries: 1 } } }
  grpc-unwell: { extends: [_server], image: { healthcheck: { grpc: ":50051/unwell", interval: 1s, retries: 1 } } }
  grpc-slow: { extends: [_server], image: { healthcheck: { grpc: ":50051/slow", interval: 1s, timeout: 1s, retries: 1 } } }
  tcp-away: { extends: [_server], image: { healthcheck: { tcp: ":9", interval: 1s, retries: 1 } } }
  old: { extends: [_server], components: [probe], image: { healthcheck: { command: [/bin/grpc_health_probe, "-addr=:50051"], interval: 1s } } }
  bare: { extends: [_server] }
  init: { extends: [_server], init: true }
  script:
    extends: [_server]
    files: [{ from: health-server, to: /health-server }, { to: /etc/conf.in, text: "peer = $${PEER}, host = $${host}\n" }]
    init:
      expand: true
      wait: ["$${PEER}:50051"]
      before: [[/health-server, print, first]]
      render: [{ from: /etc/conf.in, to: /run/conf, only: [PEER] }]
    image: { cmd: [print, /run/conf, "$${WORD:-no word}"] }
"#;

fn platform() -> &'static str {
    if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" }
}

/// Builds them all and gives the reference of one to the engine.
struct Images {
    world: &'static World,
    root: PathBuf,
}

impl Images {
    fn new(name: &str) -> Option<Self> {
        let world = world()?;
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin");
        let path = env::var_os("PATH").unwrap_or_default();
        let server = env::split_paths(&path).chain([tools]).map(|folder| folder.join("health-server"));
        let Some(server) = server.into_iter().find(|path| path.is_file()) else {
            skip("missing programs: health-server");
            return None;
        };
        let root = world.dir.join(format!("components-{name}"));
        fs::create_dir_all(&root).unwrap();
        fs::copy(server, root.join("health-server")).unwrap();
        let head = format!(
            "apiVersion: imgpack/v1\nregistry: {}/components\ndefaults: {{ platforms: [{}] }}\n",
            world.registry.host,
            platform()
        );
        fs::write(root.join("imgpack.yaml"), format!("{head}{SERVICES}")).unwrap();
        Some(Self { world, root })
    }

    fn push(&self, names: &[&str]) {
        let mut command = self.world.workspace.command(&[&["build", "--push"], names].concat());
        command.current_dir(&self.root);
        program::run(&command, Duration::from_mins(5)).text();
        names.iter().for_each(|name| self.world.engine.pull(&self.image(name)));
    }

    fn image(&self, name: &str) -> String {
        format!("{}/components/{name}:latest", self.world.registry.host)
    }

    fn network(&self) -> Network<'static> {
        self.world.engine.network()
    }
}

#[test]
fn every_health_check_is_made_in_an_image_without_a_shell() {
    let Some(images) = Images::new("health") else { return };
    let cases = [
        ("http", "healthy", "http://:$PORT/health: status 200 OK"),
        ("grpc", "healthy", "grpc://:50051/well: SERVING"),
        ("tcp", "healthy", "tcp://:${NO:-50052}: open"),
        ("old", "healthy", "status: SERVING"),
        ("http-away", "unhealthy", "http://:8000/: status 503 Service Unavailable: the database is away"),
        ("grpc-unwell", "unhealthy", "grpc://:50051/unwell: NOT_SERVING"),
        ("grpc-slow", "unhealthy", "grpc://:50051/slow: no answer within 900 ms"),
        (
            "tcp-away",
            "unhealthy",
            "tcp://:9: no connection to localhost:9: Connection refused (os error 111)",
        ),
    ];
    images.push(&cases.map(|(name, _, _)| name));
    let network = images.network();
    let started = cases.map(|(name, status, said)| {
        (network.start(name, &["--env=PORT=8000"], &images.image(name)), status, said)
    });
    for (container, wanted, said) in &started {
        let name = container.name();
        until(&format!("{name} is {wanted}"), Duration::from_mins(1), || {
            let health = container.inspect()["State"]["Health"].clone();
            let log = health["Log"].as_array().and_then(|log| log.last()).map(|last| last["Output"].clone());
            let output = log.as_ref().and_then(Value::as_str).unwrap_or_default().trim_end().to_owned();
            // A server ends a call that is late, too, and may be the first to say so.
            let is_said = output == *said || (name == "grpc-slow" && output.contains("DeadlineExceeded"));
            if health["Status"] == *wanted && is_said { Ok(()) } else { Err(health.to_string()) }
        });
    }
}

#[test]
fn init_is_pid_1() {
    let Some(images) = Images::new("init") else { return };
    images.push(&["bare", "init", "script"]);
    let network = images.network();
    let orphans = |name: &str| {
        let container = network.start(name, &[], &images.image(name));
        let url = container.url(8000);
        until("the server answers", Duration::from_mins(1), || fetch(&format!("{url}/health"), &[]));
        for _ in 0..5 {
            program::call("curl", ["--silent", "--fail", "--noproxy", "*", &format!("{url}/orphan")]).text();
        }
        (container, format!("{url}/processes"))
    };
    // Without init, what loses its parent stays.
    let (bare, processes) = orphans("bare");
    until("orphans stay", Duration::from_secs(30), || match fetch(&processes, &[])? {
        (200, answer) if answer == json!({ "all": 6, "zombies": 5 }) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(bare.stop(), 7);
    let (container, processes) = orphans("init");
    until("orphans are reaped", Duration::from_secs(30), || match fetch(&processes, &[])? {
        (200, answer) if answer == json!({ "all": 2, "zombies": 0 }) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // SIGTERM is the server's, and how it ends is how the container ends.
    assert_eq!(container.stop(), 7);

    // What a script is kept for.
    let peer = network.start("peer", &[], &images.image("init"));
    let name = format!("--network={}", network.name());
    let engine = &images.world.engine;
    let options = [&name, "--env=PEER=peer", "--tmpfs=/run:mode=1777"];
    let ended = engine.once(&options, &images.image("script"), &[]);
    assert_eq!(ended.text(), "first\npeer = peer, host = ${host}\nno word");
    let ended = engine.once(&[&name, "--tmpfs=/run:mode=1777"], &images.image("script"), &[]);
    assert_eq!(ended.code(), 1);
    assert_eq!(ended.said().trim_end(), "imgpack-init: /etc/conf.in: the variable PEER is not set");
    let ended = engine.once(&options[..2], &images.image("script"), &[]);
    assert_eq!((ended.code(), ended.said().contains("/run/conf: ")), (1, true), "{ended}");
    let words = [&name, "--env=WORD=a b", "--env=PEER=peer", "--tmpfs=/run:mode=1777"];
    let ended = engine.once(&words, &images.image("script"), &["print", "${WORD:-x}", "${PEER}"]);
    assert_eq!(ended.text(), "first\na b\npeer");
    drop(peer);
}
