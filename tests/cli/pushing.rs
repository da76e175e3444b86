//! What a push asks a registry, and what it sends: counted at the registry.

use std::collections::BTreeMap;

use insta::assert_snapshot;

use crate::env::{Env, without_digests};
use crate::fake::{Asked, Fake};
use crate::keeping::{self, Mounts, counted};

/// A registry, and a workspace that pushes to it.
fn with_registry() -> (Env, Fake) {
    with(keeping::start())
}

fn with(server: Fake) -> (Env, Fake) {
    let env = Env::with_files();
    env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {}/acme\n", server.address));
    (env, server)
}

/// Runs imgpack, which must succeed: what it said, and what the registry was asked.
fn asked(env: &Env, server: &Fake, arguments: &[&str]) -> (String, Vec<String>) {
    let before = server.lines().len();
    let said = env.succeeds(arguments).stderr;
    (said, server.lines()[before..].to_vec())
}

#[test]
fn an_unchanged_push_asks_for_each_tag_and_sends_nothing() {
    let (env, server) = with_registry();
    env.spec(
        "web",
        "base: static\ntags: [v1, latest]\nfiles:\n  - { from: ../conf, to: /etc/web, class: config }\n  - { text: \
         one, to: /one }\n",
    );
    let push = ["build", "--push"];
    let (_, lines) = asked(&env, &server, &push);
    // Base, app and config layer, and the config of each of two platforms; two manifests, the index, two tags.
    let all = [
        ("blob", 5),
        ("manifest", 5),
        ("question about a blob", 5),
        ("question about a manifest", 2),
        ("upload", 5),
    ];
    assert_eq!(counted(&lines), BTreeMap::from(all), "{lines:#?}");
    let (said, lines) = asked(&env, &server, &push);
    assert_eq!(lines, ["HEAD /v2/acme/web/manifests/latest", "HEAD /v2/acme/web/manifests/v1"]);
    assert!(!said.contains("sending"), "{said}");

    // A changed file: the new layer and the new configs are asked for and sent; the others belong to what the tags name.
    env.spec(
        "web",
        "base: static\ntags: [v1, latest]\nfiles:\n  - { from: ../conf, to: /etc/web, class: config }\n  - { text: \
         two, to: /one }\n",
    );
    let (said, lines) = asked(&env, &server, &push);
    let all = [
        ("blob", 3),
        ("manifest", 5),
        ("question about a blob", 3),
        ("question about a manifest", 2),
        ("upload", 3),
    ];
    assert_eq!(counted(&lines), BTreeMap::from(all), "{lines:#?}");
    let sizes: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split_once("acme/web: send").or_else(|| line.split_once("acme/web: sent")))
        .map(|(_, size)| size.trim_start_matches("ing").trim())
        .collect();
    assert_eq!(sizes.len(), 2, "{said}");
    assert_eq!(sizes[0], sizes[1], "what is announced is what is sent: {said}");

    // Another cache: everything is made again, and is there.
    let mut other = env;
    other.set("IMGPACK_CACHE", other.outside("other"));
    let (_, lines) = asked(&other, &server, &push);
    let all = [("question about a blob", 2), ("question about a manifest", 2)];
    assert_eq!(counted(&lines), BTreeMap::from(all), "{lines:#?}");
}

#[test]
fn a_layer_of_eight_services_is_sent_once() {
    let services = ["a", "b", "c", "d", "e", "f", "g", "h"];
    // Blobs that are sent, and POSTs with and without a mount, for one layer and the configs of all.
    for (mounts, blobs, asked_mounts, uploads) in [
        (Mounts::Done, 1 + 8, 7..=7, 1 + 8),
        // The session of that very answer is used.
        (Mounts::Accepted, 8 + 8, 7..=7, 1 + 8),
        // Not asked for again, but by those that were on their way.
        (Mounts::Refused, 8 + 8, 1..=4, 8 + 8),
    ] {
        let (env, server) = with(keeping::start_with(mounts));
        for text in ["one", "two"] {
            for name in services {
                env.spec(
                    name,
                    &format!(
                        "base: scratch\nplatforms: [linux/amd64]\nimage: {{ env: {{ NAME: {name} }} }}\nfiles:\n  - {{ text: \
                         {text}, to: /one }}\n"
                    ),
                );
            }
            let before = server.lines().len();
            env.succeeds(&[&["build", "--push"], &services[..]].concat());
            let requests = &server.requests()[before..];
            let counts = counted(&requests.iter().map(Asked::line).collect::<Vec<_>>());
            let sent = (counts["blob"], counts["upload"], counts["question about a blob"]);
            assert_eq!(sent, (blobs, uploads, 16), "{mounts:?} {counts:?}");
            assert!(asked_mounts.contains(&counts["mount"]), "{mounts:?} {counts:?}");
            // The layer, not the configs.
            let gzip =
                requests.iter().filter(|asked| asked.method == "PUT" && asked.body.starts_with(&[31, 139]));
            assert_eq!(gzip.count(), blobs - 8, "{mounts:?}");
        }
    }
}

#[test]
fn one_layer_of_two_images_reaches_both_before_a_tag() {
    let (env, server) = with_registry();
    env.spec("api", "base: scratch\nplatforms: [linux/amd64]\nfiles: { /etc/web: ../conf }\n");
    env.spec("web", "base: scratch\nplatforms: [linux/amd64]\nfiles: { /etc/web: ../conf }\n");
    let (_, lines) = asked(&env, &server, &["build", "--push"]);
    // Layer and config are the same, and the other image takes both over.
    let counts = counted(&lines);
    assert_eq!((counts["blob"], counts["mount"], counts["upload"]), (2, 2, 2), "{lines:#?}");
    let first_tag =
        lines.iter().position(|line| line.starts_with("PUT") && line.ends_with("/latest")).unwrap();
    assert!(lines[first_tag..].iter().all(|line| !line.contains("/blobs/")), "{lines:#?}");
}

#[test]
fn a_failed_build_tags_nothing() {
    let (env, server) = with_registry();
    env.spec("bad", "base: scratch\nfiles: { /etc/web: ../missing }\n");
    env.fails(2, &["build", "--push"]);
    assert_eq!(server.lines(), Vec::<String>::new());
    env.fails(2, &["build", "--push", "--keep-going"]);
    assert!(server.lines().iter().all(|line| !line.contains("/manifests/")), "{:#?}", server.lines());
}

#[test]
fn a_registry_that_takes_no_layer_is_told_once() {
    let server = Fake::start(|asked| match asked.method.as_str() {
        "HEAD" => crate::fake::Reply::status(404),
        _ => crate::fake::Reply::status(403)
            .and_body(r#"{"errors":[{"code":"DENIED","message":"read only"}]}"#),
    });
    let (env, _) = with_registry();
    env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\nregistry: {}/acme\n", server.address));
    let said =
        env.fails(4, &["build", "--push", "--quiet"]).replace(&server.address.to_string(), "[registry]");
    assert_snapshot!(said, @r"
    error: [registry] refuses access to acme/web: POST http://[registry]/v2/acme/web/blobs/uploads/ was answered with 403: DENIED, read only
    hint: [dir]/home/.docker/config.json does not exist; `docker login [registry]` writes it
    ");
    assert!(server.lines().iter().all(|line| !line.contains("/manifests/")), "{:#?}", server.lines());
}

#[test]
fn a_base_is_asked_for_once_for_all_platforms() {
    let (env, server) = with_registry();
    env.spec("base", "base: static\nfiles: { /etc/base: ../conf }\n");
    let (_, _) = asked(&env, &server, &["build", "base", "--push"]);
    let mut other = env;
    other.set("IMGPACK_CACHE", other.outside("other"));
    other.spec("app", &format!("base: {}/acme/base:latest\n", server.address));
    let (said, lines) = asked(&other, &server, &["build", "app"]);
    // The index, and of each platform manifest and config; both layers belong to both.
    let all = [("blob pulled", 4), ("manifest pulled", 3), ("question about a manifest", 1)];
    assert_eq!(counted(&lines), BTreeMap::from(all), "{lines:#?}");
    let notes: Vec<&str> = said.lines().filter(|line| line.starts_with("note: ")).collect();
    assert_eq!(notes.len(), 1, "{}", without_digests(&said));
    assert_eq!(asked(&other, &server, &["build", "app"]).1, ["HEAD /v2/acme/base/manifests/latest"]);
}
