//! Real registries: what is pushed to each of them is judged by others' programs, and counted at the door.

use std::fs;

use insta::assert_snapshot;

use crate::env::{Env, skip};
use crate::servers::{AUTH, Proxy, Server, Wants, are_installed, http};

/// A registry, the proxy before it, and a workspace that pushes through that.
struct World {
    env: Env,
    server: Server,
    /// None before a registry that speaks TLS.
    proxy: Option<Proxy>,
    /// What images are named by.
    host: String,
}

fn skipped() -> bool {
    let missing =
        are_installed(&["docker-registry", "oci-registry", "faulty-proxy", "token-realm", "crane", "skopeo"]);
    if let Err(reason) = &missing {
        skip(reason);
    }
    missing.is_err()
}

impl World {
    fn new(server: Server, wants: Wants) -> Self {
        let proxy = (wants != Wants::Tls).then(|| Proxy::before(&server));
        let host = proxy.as_ref().map_or(server.host.clone(), |proxy| proxy.address.to_string());
        let mut env = Env::with_files();
        env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {host}/acme\n"));
        env.spec("web", "base: static\ntags: [v1, latest]\nfiles: { /etc/web: ../conf }\n");
        fs::create_dir(env.outside("docker")).unwrap();
        let config = match wants {
            Wants::Password | Wants::Token => format!(r#"{{"auths": {{"{host}": {{"auth": "{AUTH}"}}}}}}"#),
            _ => "{}".to_owned(),
        };
        fs::write(env.outside("docker/config.json"), config).unwrap();
        env.set("DOCKER_CONFIG", env.outside("docker"));
        if wants == Wants::Tls {
            env.set("SSL_CERT_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/registry/tls/ca.pem"));
            for name in ["http_proxy", "https_proxy", "HTTPS_PROXY"] {
                env.unset(name);
            }
        }
        Self { env, server, proxy, host }
    }

    /// Runs imgpack, which must succeed: what it printed, and what the registry was asked.
    #[track_caller]
    fn asked(&self, arguments: &[&str]) -> (String, Vec<String>) {
        if let Some(proxy) = &self.proxy {
            proxy.begin(0.0, 1);
        }
        let ended = self.env.succeeds(arguments);
        (ended.stdout, self.proxy.as_ref().map(Proxy::lines).unwrap_or_default())
    }

    /// Runs another program, which must succeed.
    #[track_caller]
    fn judged(&self, program: &str, arguments: &[&str]) -> String {
        if let Some(proxy) = &self.proxy {
            proxy.begin(0.0, 1);
        }
        let ended = self.env.ended(self.env.command(program, arguments));
        assert_eq!(ended.code, 0, "{program} {arguments:?}: {}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// Everything of an image of two platforms is there, and its tag names what was printed.
    #[track_caller]
    fn is_whole(&self, image: &str, printed: &str) {
        let reference = format!("{}/acme/{image}", self.host);
        let digest = printed.trim().rsplit_once('@').unwrap().1;
        assert_eq!(self.judged("crane", &["digest", &reference]).trim(), digest);
        self.judged("crane", &["validate", "--remote", &reference]);
        let tls = if self.proxy.is_some() { "--tls-verify=false" } else { "--tls-verify=true" };
        for platform in ["amd64", "arm64"] {
            let name = format!("docker://{reference}");
            let said = self.judged("skopeo", &["--override-arch", platform, "inspect", tls, &name]);
            assert!(said.contains(&format!("\"Architecture\": \"{platform}\"")), "{said}");
        }
    }
}

/// Pushes to a new registry, pushes once more, and takes what was pushed as a base: the requests of the second push.
fn round(server: Server, wants: Wants) -> (World, Vec<String>) {
    let mut world = World::new(server, wants);
    let push = ["build", "web", "--push", "--quiet"];
    let (printed, _) = world.asked(&push);
    for tag in ["v1", "latest"] {
        world.is_whole(&format!("web:{tag}"), &printed);
    }
    let (again, lines) = world.asked(&push);
    assert_eq!(again, printed);

    // Another machine has it as a base, and pushes to another repository.
    world.env.set("IMGPACK_CACHE", world.env.outside("other"));
    let base = format!("base: {}/acme/web:v1\nfiles: [{{ text: hello, to: /hello }}]\n", world.host);
    world.env.spec("app", &base);
    let (printed, asked) = world.asked(&["build", "app", "--push", "--quiet"]);
    world.is_whole("app:latest", &printed);
    if world.proxy.is_some() {
        // The layers of the base are taken over, or there for all repositories; a layer and two configs are sent.
        let sent = asked.iter().filter(|line| line.starts_with("PUT ") && line.contains("/blobs/"));
        assert_eq!(sent.count(), 3, "{asked:#?}");
    }
    world.env.set("IMGPACK_CACHE", world.env.cache());
    (world, lines)
}

const HEADS: [&str; 2] = ["HEAD /v2/acme/web/manifests/latest", "HEAD /v2/acme/web/manifests/v1"];

#[test]
fn a_registry_without_a_password() {
    if skipped() {
        return;
    }
    let (_, lines) = round(Server::docker(Wants::Nothing), Wants::Nothing);
    assert_eq!(lines, HEADS);
}

#[test]
fn a_registry_of_oci_1_1() {
    if skipped() {
        return;
    }
    let (world, lines) = round(Server::oci(), Wants::Nothing);
    assert_eq!(lines, HEADS);
    // It is one: the referrers of an image can be asked for, and there are none.
    let digest = world.judged("crane", &["digest", &format!("{}/acme/web:v1", world.host)]);
    let referrers = http(world.server.address, "GET", &format!("/v2/acme/web/referrers/{}", digest.trim()));
    assert!(referrers.contains("\"manifests\":[]"), "{referrers}");
}

#[test]
fn a_registry_with_a_password() {
    if skipped() {
        return;
    }
    let (_, lines) = round(Server::docker(Wants::Password), Wants::Password);
    // The first is refused, which says what is wanted.
    assert_eq!(lines, [HEADS[0], HEADS[0], HEADS[1]]);
}

#[test]
fn a_registry_that_wants_tokens() {
    if skipped() {
        return;
    }
    let (world, lines) = round(Server::docker(Wants::Token), Wants::Token);
    assert_eq!(lines, [HEADS[0], HEADS[0], HEADS[1]]);
    let before = world.server.tokens();
    world.asked(&["build", "web", "--push", "--quiet"]);
    assert_eq!(world.server.tokens() - before, 1, "one token for both tags");
}

#[test]
fn a_registry_behind_tls() {
    if skipped() {
        return;
    }
    round(Server::docker(Wants::Tls), Wants::Tls);
}

#[test]
fn a_registry_that_takes_no_pushes() {
    if skipped() {
        return;
    }
    let world = World::new(Server::docker(Wants::NoPushes), Wants::NoPushes);
    let said = world.env.fails(4, &["build", "web", "--push", "--quiet"]).replace(&world.host, "[registry]");
    assert_snapshot!(said, @r"
    error: POST http://[registry]/v2/acme/web/blobs/uploads/ was answered with 405
    hint: [registry] takes no pushes: it is read-only, a cache of another registry, or no registry
    ");
}

#[test]
fn a_blob_that_was_deleted_is_sent_again() {
    if skipped() {
        return;
    }
    let world = World::new(Server::docker(Wants::Nothing), Wants::Nothing);
    world.env.spec(
        "web",
        "base: static\nfiles: [{ from: ../conf, to: /etc/web, class: config }, { text: one, to: /one }]\n",
    );
    let push = ["build", "web", "--push", "--quiet"];
    let (printed, _) = world.asked(&push);
    world.is_whole("web", &printed);
    let reference = format!("{}/acme/web", world.host);
    let manifest = world.judged("crane", &["manifest", "--platform", "linux/amd64", &reference]);
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    // The base's layer, which the next image has too.
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    http(world.server.address, "DELETE", &format!("/v2/acme/web/blobs/{layer}"));
    world.env.file("conf/motd", "changed\n");
    let (printed, _) = world.asked(&push);
    world.is_whole("web", &printed);
}

#[test]
fn pushes_through_faults_are_whole_or_explained() {
    if skipped() {
        return;
    }
    let world = World::new(Server::docker(Wants::Nothing), Wants::Nothing);
    let proxy = world.proxy.as_ref().unwrap();
    let mut succeeded = 0;
    for seed in 1..=3 {
        world.env.file("conf/motd", format!("{seed}\n"));
        proxy.begin(0.1, seed);
        let ended = world.env.run(&["build", "web", "--push", "--quiet"]);
        match ended.code {
            0 => {
                succeeded += 1;
                world.is_whole("web:v1", &ended.stdout);
            }
            4 => {
                let named = format!("{}/v2/acme/web/", world.host);
                assert!(ended.stderr.contains(&named) && ended.stdout.is_empty(), "{ended:#?}");
            }
            _ => panic!("{ended:#?}"),
        }
    }
    assert!(succeeded > 0, "one of ten broken requests is outlived");
}

#[test]
fn a_base_comes_through_faults_whole_or_not_at_all() {
    if skipped() {
        return;
    }
    let mut world = World::new(Server::docker(Wants::Nothing), Wants::Nothing);
    world.asked(&["build", "web", "--push", "--quiet"]);
    world
        .env
        .spec("app", &format!("base: {}/acme/web:v1\nfiles: [{{ text: hello, to: /hello }}]\n", world.host));
    let (expected, _) = world.asked(&["build", "app", "--quiet"]);
    let proxy = world.proxy.as_ref().unwrap();
    let mut succeeded = 0;
    for seed in 1..=3 {
        world.env.set("IMGPACK_CACHE", world.env.outside(&format!("cache-{seed}")));
        proxy.begin(0.1, seed);
        let ended = world.env.run(&["build", "app", "--quiet"]);
        match ended.code {
            0 => {
                succeeded += 1;
                assert_eq!(ended.stdout, expected);
            }
            4 => assert!(
                ended.stderr.contains(&format!("GET http://{}/v2/acme/web/", world.host)),
                "{ended:#?}"
            ),
            _ => panic!("{ended:#?}"),
        }
    }
    assert!(succeeded > 0, "one of ten broken requests is outlived");
}
