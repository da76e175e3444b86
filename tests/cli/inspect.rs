//! Images as `inspect` shows them.

use std::fs;

use imgpack::model::BlobDigest;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::env::{Env, without_digests};
use crate::graph::{CONFIG, LAYER, Layout, MANIFEST, odd};
use crate::keeping::{self, counted};

/// The same with short digests made equal, too.
fn plain(text: &str) -> String {
    let mut words = Vec::new();
    for line in without_digests(text).lines() {
        let line = line.split("  ").map(|word| {
            let is_hex = word.len() == 12 && word.bytes().all(|b| b.is_ascii_hexdigit());
            if is_hex { "[digest]" } else { word }
        });
        words.push(line.collect::<Vec<_>>().join("  "));
    }
    words.join("\n")
}

#[test]
fn an_image_of_others_is_shown_whole() {
    let env = Env::bare();
    let mut layout = Layout::new(&env.outside("odd"));
    odd(&mut layout);
    let said = env.succeeds(&["inspect", &format!("oci:{}", layout.path.display())]);
    assert_eq!(said.stderr, "");
    assert!(!said.stdout.contains('\u{1b}'), "no control character of an image reaches a terminal");
    assert_snapshot!(plain(&said.stdout), @r"
    oci:[dir]/odd
      sha256:…
      type        OCI index, 816 B

    linux/amd64  903 B in 1 layer
      sha256:…
      entrypoint  /bin/sh -c 'run it'
      created     2024-01-02T03:04:05Z
      env         A=1
                  ESC=�[31m
      layer       14 B  [digest]  COPY �. /

    linux/arm  899 B in 1 layer
      sha256:…
      settings    those of linux/amd64
      layer       12 B  [digest]  COPY �. /

    statements in the index
          433 B  [digest]  for linux/amd64

    referrers
          575 B  [digest]  application/vnd.example.signature
          566 B  [digest]  application/spdx+json  for linux/amd64
    ");
}

#[test]
fn an_image_of_imgpack_has_classes() {
    let env = Env::with_files();
    env.spec(
        "web",
        "base: static\nfiles:\n  - { from: ../conf, to: /etc/web, class: config }\n  - { text: one, to: /one }\nimage: { \
         ports: [8000], cmd: [--x, \"\"], env: { A: b } }\nelf: { ignore: [/bin/--x] }\n",
    );
    let server = keeping::start();
    env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {}/acme\n", server.address));
    env.succeeds(&["build", "--push"]);
    let before = server.lines().len();
    let said = env.succeeds(&["inspect", &format!("{}/acme/web", server.address)]);
    let text = plain(&said.stdout).replace(&server.address.to_string(), "[registry]");
    assert_snapshot!(text, @r"
    [registry]/acme/web:latest
      sha256:…
      type        OCI index, 491 B

    linux/amd64  216.7 kB in 3 layers
      sha256:…
      cmd         --x ''
      user        65532:65532
      ports       8000/tcp
      env         PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
                  SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
                  A=b
      base    215.0 kB  [digest]  static@1
      app         92 B  [digest]  /one
      config     177 B  [digest]  2 files in /etc/web

    linux/arm64  216.7 kB in 3 layers
      sha256:…
      settings    those of linux/amd64
      base    215.0 kB  [digest]  static@1
      app         92 B  [digest]  /one
      config     177 B  [digest]  2 files in /etc/web
    ");
    // Of blobs, the two configs.
    let counts = counted(&server.lines()[before..]);
    assert_eq!(counts["blob pulled"], 2);
    let said = env.succeeds(&[
        "inspect",
        "--format",
        "json",
        "--platform",
        "linux/arm64",
        &format!("{}/acme/web", server.address),
    ]);
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(json["manifests"].as_array().unwrap().len(), 1);
    let layers = json["manifests"][0]["layers"].as_array().unwrap();
    let classes: Vec<&str> = layers.iter().map(|layer| layer["class"].as_str().unwrap()).collect();
    assert_eq!(classes, ["base", "app", "config"]);
    assert_eq!(json["manifests"][0]["settings"]["env"][2], "A=b");
}

#[test]
fn raw_is_the_exact_document() {
    let env = Env::bare();
    let mut layout = Layout::new(&env.outside("odd"));
    let root = odd(&mut layout);
    let place = format!("oci:{}", layout.path.display());
    let bytes = env.succeeds(&["inspect", "--raw", &place]).stdout;
    assert_eq!(BlobDigest::of(bytes.as_bytes()).to_string(), root["digest"]);
    let arm = env.succeeds(&["inspect", "--raw", "--platform", "linux/arm", &place]).stdout;
    assert!(arm.contains("x-unknown"));
    assert!(fs::exists(layout.file(&BlobDigest::of(arm.as_bytes()))).unwrap());
}

#[test]
fn an_artifact_says_what_it_is() {
    let env = Env::bare();
    let mut layout = Layout::new(&env.outside("in"));
    let mut file = layout.blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "chart");
    file["annotations"] = json!({ "org.opencontainers.image.title": "web-1.0.tgz" });
    let chart = layout.document(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": layout.blob("application/vnd.cncf.helm.config.v1+json", "{}"), "layers": [file],
        "annotations": { "org.opencontainers.image.title": "web" },
    }));
    layout.entry(&chart, None);
    let said = env.succeeds(&["inspect", &format!("oci:{}", layout.path.display())]);
    assert_snapshot!(plain(&said.stdout), @r"
    oci:[dir]/in
      sha256:…
      type        OCI manifest, 523 B
      artifact    application/vnd.cncf.helm.config.v1+json
      annotations org.opencontainers.image.title=web

    artifact  530 B in 1 layer
      layer        5 B  [digest]  web-1.0.tgz  application/vnd.cncf.helm.chart.…
    ");
}

#[test]
fn a_config_that_says_nothing_is_shown_so() {
    let env = Env::bare();
    let mut layout = Layout::new(&env.outside("in"));
    let image = layout.document(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": layout.blob(CONFIG, "[]"),
        "layers": [layout.blob(LAYER, "x")],
    }));
    layout.entry(&image, None);
    let said = env.succeeds(&["inspect", &format!("oci:{}", layout.path.display())]);
    assert_snapshot!(plain(&said.stdout), @r"
    oci:[dir]/in
      sha256:…
      type        OCI manifest, 397 B

    no platform  400 B in 1 layer
      layer        1 B  [digest]
    ");
}

#[test]
fn the_manifest_of_a_docker_archive_is_made() {
    let env = Env::with_files();
    let file = format!("docker-archive:{}", env.outside("d.tar").display());
    env.succeeds(&["build", "--platform", "linux/amd64", "--output", &file]);
    let said = env.succeeds(&["inspect", &file]);
    assert_snapshot!(plain(&said.stdout), @r"
    docker-archive:[dir]/d.tar
      sha256:…
      type        OCI manifest, 401 B, made for this: the archive has none

    linux/amd64  832 B in 1 layer
      user        65532:65532
      app        177 B  [digest]  2 files in /etc/web
    ");
    let said = env.fails(2, &["inspect", "--platform", "linux/s390x", &file]);
    assert_snapshot!(said, @"error: docker-archive:[dir]/d.tar has no image for linux/s390x, only for linux/amd64");
}
