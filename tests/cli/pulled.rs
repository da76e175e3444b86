//! Bases of registries: what is asked for when, what is kept, and what is made of odd ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;

use imgpack::model::{BlobDigest, DiffId, MediaType};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::env::{Env, without_digests};
use crate::fake::{Fake, Reply};
use crate::keeping::{self, counted};

/// A workspace with the service `app` on the image `base:1` of a registry, which is there; a cache that knows nothing.
fn with_base() -> (Env, Fake, BTreeSet<String>) {
    let server = keeping::start();
    let mut env = Env::with_files();
    env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {}/acme\n", server.address));
    env.spec("base", "base: static\ntags: ['1']\nfiles: { /etc/base: ../conf }\n");
    env.spec("app", &format!("base: {}/acme/base:1\nfiles: [{{ text: one, to: /one }}]\n", server.address));
    let result = env.outside("base.json");
    env.succeeds(&["build", "base", "--push", "--result", result.to_str().unwrap()]);
    let result: Value = serde_json::from_slice(&fs::read(result).unwrap()).unwrap();
    let platforms = result["images"][0]["platforms"].as_array().unwrap().clone();
    let layers = platforms.iter().flat_map(|platform| platform["layers"].as_array().unwrap());
    let layers = layers.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect();
    env.set("IMGPACK_CACHE", env.outside("other"));
    (env, server, layers)
}

/// Runs imgpack, which must succeed: what it said, and what the registry was asked.
fn asked(env: &Env, server: &Fake, arguments: &[&str]) -> (String, Vec<String>) {
    let before = server.lines().len();
    let said = env.succeeds(arguments).stderr;
    (said, server.lines()[before..].to_vec())
}

/// Which of these blobs the cache has.
fn stored(env: &Env, digests: &BTreeSet<String>) -> usize {
    let hex = |digest: &String| digest.trim_start_matches("sha256:").to_owned();
    let place = |hex: String| env.outside("other/v1/blobs").join(&hex[..2]).join(hex);
    digests.iter().map(hex).map(place).filter(|path| path.exists()).count()
}

/// The requests for one of these blobs' bytes.
fn pulls<'l>(lines: &'l [String], digests: &BTreeSet<String>) -> Vec<&'l String> {
    let of_one = |line: &&String| digests.iter().any(|digest| line.ends_with(digest));
    lines.iter().filter(|line| line.starts_with("GET ")).filter(of_one).collect()
}

/// How often a registry was asked to take a layer over from `base`, and how often it was sent.
fn handed_over(lines: &[String], image: &str, layer: &str) -> (usize, usize) {
    let uploads = format!("/v2/acme/{image}/blobs/uploads/");
    let of_it = lines.iter().filter(|line| line.contains(&uploads) && line.contains(&layer[7..]));
    let (mounts, others): (Vec<_>, Vec<_>) = of_it.partition(|line| line.contains("from=acme%2Fbase"));
    (mounts.len(), others.len())
}

#[test]
fn layers_are_read_once_and_not_kept() {
    let (env, server, layers) = with_base();
    assert_eq!(layers.len(), 2, "both platforms have the same");
    let (_, lines) = asked(&env, &server, &["plan", "app"]);
    let all = [("blob pulled", 4), ("manifest pulled", 3), ("question about a manifest", 1)];
    assert_eq!(counted(&lines), BTreeMap::from(all), "{lines:#?}");
    assert_eq!(stored(&env, &layers), 0);
    // Facts that are known cost no byte, whatever changes above.
    for text in ["one", "two"] {
        env.spec(
            "app",
            &format!("base: {}/acme/base:1\nfiles: [{{ text: {text}, to: /one }}]\n", server.address),
        );
        for verb in ["plan", "build"] {
            assert_eq!(asked(&env, &server, &[verb, "app"]).1, ["HEAD /v2/acme/base/manifests/1"]);
        }
    }
    assert_eq!(stored(&env, &layers), 0);
}

#[test]
fn a_push_takes_layers_from_where_they_are() {
    let (env, server, layers) = with_base();
    let (said, lines) = asked(&env, &server, &["build", "app", "--push"]);
    assert_eq!(stored(&env, &layers), 0);
    let size = |line: &'static str| move |text: &str| text.split_once(line).map(|(_, size)| size.to_owned());
    let told = |line| said.lines().find_map(size(line)).unwrap();
    assert_eq!(told("/app: sending "), told("/app: sent "), "what is announced is what is sent: {said}");
    // Read once for what the base says of itself, then handed over by the registry.
    assert_eq!(pulls(&lines, &layers).len(), 2, "{lines:#?}");
    for layer in &layers {
        assert_eq!(handed_over(&lines, "app", layer), (1, 0), "{lines:#?}");
    }
    // Facts are known: for another image on this base no byte of a layer moves, in the cache or not.
    for (image, cached) in [("second", 0), ("third", 2)] {
        env.spec(image, &format!("base: {}/acme/base:1\nfiles: [{{ text: x, to: /x }}]\n", server.address));
        if cached > 0 {
            env.succeeds(&["build", image, "--output", "oci:out"]);
        }
        assert_eq!(stored(&env, &layers), cached);
        let (_, lines) = asked(&env, &server, &["build", image, "--push"]);
        assert_eq!(pulls(&lines, &layers), Vec::<&String>::new());
        for layer in &layers {
            assert_eq!(handed_over(&lines, image, layer), (1, 0), "{lines:#?}");
        }
    }
    asked(&env, &server, &["cache", "prune", "--kind", "bases"]);
    // Nothing changed: one question for each tag, of the base and of the image.
    let (_, lines) = asked(&env, &server, &["build", "app", "--push"]);
    assert_eq!(lines, ["HEAD /v2/acme/base/manifests/1", "HEAD /v2/acme/app/manifests/latest"]);
    // A change: what the tag names has the base's layers, which are not even asked for.
    env.spec("app", &format!("base: {}/acme/base:1\nfiles: [{{ text: two, to: /one }}]\n", server.address));
    let (_, lines) = asked(&env, &server, &["build", "app", "--push"]);
    let all = [
        ("blob", 3),
        ("manifest", 4),
        ("question about a blob", 3),
        ("question about a manifest", 2),
        ("upload", 3),
    ];
    assert_eq!(counted(&lines), BTreeMap::from(all), "{lines:#?}");
    assert_eq!(stored(&env, &layers), 0);
}

#[test]
fn local_outputs_bring_what_is_missing_once() {
    let (env, server, layers) = with_base();
    asked(&env, &server, &["build", "app"]);
    let outputs = ["build", "app", "--output", "oci:one", "--output", "oci-archive:two.tar"];
    let (said, lines) = asked(&env, &server, &outputs);
    assert_eq!(pulls(&lines, &layers).len(), 2, "{lines:#?}");
    assert_eq!(lines.len(), 3, "{lines:#?}");
    let told: Vec<&str> = said.lines().filter(|line| line.contains("receiv")).collect();
    assert_eq!(told.len(), 2, "{said}");
    assert_eq!(told[0].replace("receiving", "received"), told[1]);
    assert_eq!(stored(&env, &layers), 2);
    for layer in &layers {
        assert!(env.path("one/blobs/sha256").join(&layer[7..]).exists());
    }
    // They are there now; once pruned, they are just not there.
    assert_eq!(asked(&env, &server, &["build", "app", "--output", "oci:three"]).1.len(), 1);
    asked(&env, &server, &["cache", "prune", "--kind", "bases"]);
    assert_eq!(stored(&env, &layers), 0);
    assert!(asked(&env, &server, &["cache", "verify"]).1.is_empty());
    let (_, lines) = asked(&env, &server, &["build", "app", "--output", "oci:four", "--no-cache"]);
    assert_eq!(pulls(&lines, &layers).len(), 2, "{lines:#?}");
    assert_eq!(fs::read(env.path("one/index.json")).unwrap(), fs::read(env.path("four/index.json")).unwrap());
}

#[test]
fn layers_for_an_output_are_kept_when_they_are_first_read() {
    let (env, server, layers) = with_base();
    let (_, lines) = asked(&env, &server, &["build", "app", "--output", "oci:one"]);
    assert_eq!(pulls(&lines, &layers).len(), 2, "{lines:#?}");
    assert_eq!(stored(&env, &layers), 2);
}

#[test]
fn a_base_layer_that_is_gone_is_named() {
    let (env, server, layers) = with_base();
    asked(&env, &server, &["build", "app"]);
    // Another registry at the same address would be another test; this one forgets its blobs.
    drop(server);
    let said = env.fails(4, &["build", "app", "--quiet", "--output", "oci:out"]);
    assert!(said.starts_with("error: app (linux/amd64, linux/arm64): cannot reach the registry "), "{said}");
    assert_eq!(stored(&env, &layers), 0);
    assert!(!env.path("out").exists());
}

/// A repository `wild` with hand-made documents, beside others that keep what they are given.
#[derive(Default)]
struct Wild(BTreeMap<String, (String, Vec<u8>)>);

impl Wild {
    fn add(&mut self, kind: &str, bytes: &[u8]) -> Value {
        let digest = BlobDigest::of(bytes);
        self.0.insert(digest.to_string(), (kind.to_owned(), bytes.to_vec()));
        json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
    }

    fn json(&mut self, kind: MediaType, document: &Value) -> Value {
        self.add(kind.as_str(), document.to_string().as_bytes())
    }

    /// A manifest of an image for amd64 with this layer and this tar in it.
    fn image(&mut self, docker: bool, layer: &Value, tar: &[u8]) -> Value {
        let own = |kind: MediaType| if docker { kind.to_docker().unwrap() } else { kind };
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": { "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": [DiffId::of(tar)] },
        });
        let config = self.json(own(MediaType::OciConfig), &config);
        let kind = own(MediaType::OciManifest);
        let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer] });
        self.json(kind, &manifest)
    }

    fn tag(&mut self, tag: &str, manifest: &Value) {
        let document = self.0[manifest["digest"].as_str().unwrap()].clone();
        self.0.insert(tag.to_owned(), document);
    }

    fn serve(self) -> Fake {
        self.serve_cut(None)
    }

    /// The same with a line that breaks in the middle of this blob, once.
    fn serve_cut(self, mut cut: Option<String>) -> Fake {
        let mut others = keeping::script();
        Fake::start(move |asked| {
            let Some(path) = asked.target.strip_prefix("/v2/wild/") else { return others(asked) };
            let name = path.rsplit('/').next().unwrap();
            let Some((kind, bytes)) = self.0.get(name) else {
                return Reply::status(404).and_body(r#"{"errors":[{"code":"NOT_THERE"}]}"#);
            };
            let digest = BlobDigest::of(bytes);
            let reply =
                Reply::body(bytes.clone()).with("Content-Type", kind).with("Docker-Content-Digest", digest);
            if cut.take_if(|cut| cut == name).is_some() { reply.cut_after(bytes.len() / 2) } else { reply }
        })
    }
}

fn tar() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(4);
    builder.append_data(&mut header, "etc/passwd", &b"root"[..]).unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A workspace whose service `app` for amd64 stands on `wild:TAG`.
fn on_wild(wild: Wild, tag: &str, more: &str) -> (Env, Fake) {
    on_server(wild.serve(), tag, more)
}

fn on_server(server: Fake, tag: &str, more: &str) -> (Env, Fake) {
    let env = Env::with_files();
    let address = server.address;
    env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {address}/acme\n"));
    env.spec(
        "app",
        &format!(
            "base: {address}/wild:{tag}\nplatforms: [linux/amd64]\nfiles: [{{ text: one, to: /one }}]\n{more}"
        ),
    );
    (env, server)
}

/// The manifest of the only image of a layout.
fn manifest_in(env: &Env, layout: &str) -> Value {
    let read = |path: &str| -> Value {
        serde_json::from_slice(&fs::read(env.path(&format!("{layout}/{path}"))).unwrap()).unwrap()
    };
    let index = read("index.json");
    read(&format!("blobs/sha256/{}", &index["manifests"][0]["digest"].as_str().unwrap()[7..]))
}

#[test]
fn descriptors_of_a_base_are_retyped_and_its_blobs_stay() {
    for (from_docker, to_docker) in [(true, false), (false, true), (true, true)] {
        let mut wild = Wild::default();
        let kind = if from_docker { MediaType::DockerLayerGzip } else { MediaType::OciLayerGzip };
        let layer = wild.add(kind.as_str(), &gzip(&tar()));
        let image = wild.image(from_docker, &layer, &tar());
        let mut row = image.clone();
        row["platform"] = json!({ "os": "linux", "architecture": "amd64" });
        let kind = if from_docker { MediaType::DockerIndex } else { MediaType::OciIndex };
        let list = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": [row] });
        let list = wild.json(kind, &list);
        wild.tag("1", &list);
        let more = if to_docker { "mediaTypes: docker\n" } else { "" };
        let (env, _server) = on_wild(wild, "1", more);
        env.succeeds(&["build", "--output", "oci:out"]);
        let manifest = manifest_in(&env, "out");
        let family = if to_docker { "vnd.docker" } else { "vnd.oci" };
        for descriptor in
            manifest["layers"].as_array().unwrap().iter().chain([&manifest, &manifest["config"]])
        {
            assert!(descriptor["mediaType"].as_str().unwrap().contains(family), "{manifest:#}");
        }
        assert_eq!(manifest["layers"][0]["digest"], layer["digest"]);
    }
}

#[test]
fn zstd_layers_are_built_on() {
    let mut wild = Wild::default();
    let layer = wild.add(MediaType::OciLayerZstd.as_str(), &zstd::bulk::compress(&tar(), 3).unwrap());
    let image = wild.image(false, &layer, &tar());
    wild.tag("zstd", &image);
    let (env, server) = on_wild(wild, "zstd", "");
    env.succeeds(&["build", "--output", "oci:out", "--push"]);
    assert_eq!(manifest_in(&env, "out")["layers"][0], layer);
    let arguments = ["build", "app", "--quiet", "--output", "docker-archive:a.tar"];
    let said = without_digests(&env.fails(2, &arguments)).replace(&server.address.to_string(), "[registry]");
    assert_snapshot!(said, @r"
    error: layer sha256:… of [registry]/acme/app:latest is compressed with zstd, which a docker-archive cannot hold
    hint: write an oci-archive: or oci: output
    ");
    let spec = fs::read_to_string(env.path("buildspecs/app.yaml")).unwrap();
    env.spec("app", &format!("{spec}mediaTypes: docker\n"));
    assert_snapshot!(env.fails(2, &["build", "app", "--quiet"]), @"error: app (linux/amd64): a layer of type application/vnd.oci.image.layer.v1.tar+zstd has no Docker media type: build with `mediaTypes: oci`");
}

#[test]
fn a_layer_that_is_not_to_be_distributed_stays_where_it_is() {
    let mut wild = Wild::default();
    let kind = MediaType::DockerForeignGzip.as_str();
    let mut layer = wild.add(kind, &gzip(&tar()));
    layer["urls"] = json!(["https://layers.example/base.tar.gz"]);
    let image = wild.image(true, &layer, &tar());
    wild.tag("foreign", &image);
    let (env, server) = on_wild(wild, "foreign", "mediaTypes: docker\n");
    let (_, lines) = asked(&env, &server, &["build", "--push"]);
    let digest = layer["digest"].as_str().unwrap();
    let sent = |line: &&String| line.contains("/v2/acme/") && line.contains(&digest[7..]);
    assert!(!lines.iter().any(|line| sent(&line)), "{lines:#?}");
    env.succeeds(&["build", "--output", "oci:out"]);
    assert_eq!(manifest_in(&env, "out")["layers"][0], layer);
}

#[test]
fn a_layer_that_is_not_to_be_distributed_comes_from_its_address() {
    let bytes = gzip(&tar());
    let files = Fake::start({
        let bytes = bytes.clone();
        move |asked| match asked.target.as_str() {
            "/base.tar.gz" => Reply::body(bytes.clone()),
            _ => Reply::status(404),
        }
    });
    let mut wild = Wild::default();
    let mut layer = wild.add(MediaType::OciForeignGzip.as_str(), &bytes);
    wild.0.clear();
    layer["urls"] = json!(["gone", "base"].map(|name| format!("http://{}/{name}.tar.gz", files.address)));
    let image = wild.image(false, &layer, &tar());
    wild.tag("foreign", &image);
    let (env, _server) = on_wild(wild, "foreign", "");
    env.succeeds(&["build", "app"]);
    let all = ["GET /gone.tar.gz", "GET /base.tar.gz"];
    assert_eq!(files.lines(), all);
    env.succeeds(&["build", "app", "--output", "oci:out"]);
    assert_eq!(files.lines(), all, "it is kept");
    assert_eq!(manifest_in(&env, "out")["layers"][0], layer);
    env.succeeds(&["cache", "prune", "--kind", "bases"]);
    env.succeeds(&["build", "app", "--output", "oci:two"]);
    assert_eq!(files.lines(), [all, all].concat());
}

#[test]
fn a_line_that_breaks_while_a_layer_is_read_costs_no_second_try_of_all() {
    let mut wild = Wild::default();
    let layer = wild.add(MediaType::OciLayerGzip.as_str(), &gzip(&tar()));
    let image = wild.image(false, &layer, &tar());
    wild.tag("1", &image);
    let digest = layer["digest"].as_str().unwrap().to_owned();
    let (env, server) = on_server(wild.serve_cut(Some(digest.clone())), "1", "");
    let (said, lines) = asked(&env, &server, &["build", "app"]);
    assert_eq!(pulls(&lines, &BTreeSet::from([digest.clone()])).len(), 2, "{lines:#?}");
    let ranges = server.requests().into_iter().filter(|asked| asked.headers.contains_key("range"));
    let ranges: Vec<_> = ranges.map(|asked| asked.target).collect();
    assert_eq!(ranges, [format!("/v2/wild/blobs/{digest}")]);
    assert!(said.contains(&format!("received {} B", layer["size"])), "{said}");
}

#[test]
fn what_is_wrong_with_a_base_of_a_registry_is_said() {
    let mut wild = Wild::default();
    let layer = wild.add(MediaType::OciLayerGzip.as_str(), &gzip(&tar()));
    let image = wild.image(false, &layer, &tar());
    wild.tag("good", &image);
    let other = json!({ "mediaType": MediaType::OciLayerGzip, "digest": BlobDigest::of(b"gone"), "size": 4 });
    let gone = wild.image(false, &other, &tar());
    wild.tag("gone", &gone);
    let foreign = json!({
        "mediaType": MediaType::OciForeignGzip, "digest": BlobDigest::of(b"elsewhere"), "size": 9,
        "urls": ["ftp://layers.example/base.tar.gz"],
    });
    let foreign = wild.image(false, &foreign, &tar());
    wild.tag("foreign", &foreign);
    let mut damaged = layer.clone();
    let digest = BlobDigest::of(b"what it should be");
    damaged["digest"] = json!(digest);
    wild.0.insert(digest.to_string(), wild.0[layer["digest"].as_str().unwrap()].clone());
    let damaged = wild.image(false, &damaged, &tar());
    wild.tag("damaged", &damaged);
    let wrong = wild.image(false, &layer, b"another tar");
    wild.tag("diff", &wrong);
    let old =
        wild.add("application/vnd.docker.distribution.manifest.v1+prettyjws", br#"{"schemaVersion":1}"#);
    wild.tag("old", &old);
    let mut row = image.clone();
    row["platform"] = json!({ "os": "linux", "architecture": "s390x" });
    let list = json!({ "schemaVersion": 2, "manifests": [row] });
    let list = wild.json(MediaType::OciIndex, &list);
    wild.tag("list", &list);
    let (env, server) = on_wild(wild, "good", "");
    let spec = fs::read_to_string(env.path("buildspecs/app.yaml")).unwrap();
    let said = |code: i32, tag: &str| {
        env.spec("app", &spec.replace("wild:good", &format!("wild:{tag}")));
        let said = env.fails(code, &["build", "--quiet"]);
        without_digests(&said).replace(&server.address.to_string(), "[registry]")
    };
    assert_snapshot!(said(4, "nothing"), @r"
    error: app (linux/amd64): [registry]/wild:nothing is not there: GET http://[registry]/v2/wild/manifests/nothing was answered with 404: NOT_THERE
    hint: `[registry]/wild` or its tag `nothing` may be misspelt, or not be pushed yet
    ");
    assert_snapshot!(said(4, "gone"), @r"
    error: app (linux/amd64): cannot get the blob sha256:… of [registry]/wild:gone
      because: the blob sha256:… of [registry]/wild is not there: GET http://[registry]/v2/wild/blobs/sha256:… was answered with 404: NOT_THERE
    hint: `[registry]/wild` may be misspelt, or not be pushed yet
    ");
    assert_snapshot!(said(4, "foreign"), @r"
    error: app (linux/amd64): cannot get the layer sha256:… of [registry]/wild:foreign, which is not to be distributed: it is at ftp://layers.example/base.tar.gz
      because: ftp://layers.example/base.tar.gz cannot be fetched: it is an address which is neither https nor http
    hint: push the layer to where [registry]/wild:foreign is, or choose another base
    ");
    assert_snapshot!(said(4, "damaged"), @r"
    error: app (linux/amd64): cannot get the blob sha256:… of [registry]/wild:damaged
      because: the blob sha256:… of [registry]/wild has other content than its digest says: expected sha256:…, found sha256:…
    ");
    assert_snapshot!(said(2, "diff"), @"error: app (linux/amd64): the layer sha256:… of [registry]/wild:diff unpacks to sha256:…, but its config says sha256:…");
    assert_snapshot!(said(4, "old"), @"error: app (linux/amd64): cannot use the manifest [registry]/wild:old: its schemaVersion is not 2; images of that age have to be pushed anew");
    assert_snapshot!(said(2, "list"), @r"
    error: app (linux/amd64): the base [registry]/wild:list is not there for linux/amd64, only for linux/s390x
    hint: leave linux/amd64 out of `platforms`, or choose another base than [registry]/wild:list
    ");
}
