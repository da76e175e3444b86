//! Copies of images as they are, counted at registries and compared byte by byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use imgpack::model::BlobDigest;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::env::{Env, is_installed, without_digests};
use crate::fake::{Fake, Reply};
use crate::graph::{CONFIG, EMPTY, INDEX, LAYER, Layout, MANIFEST, blobs, odd};
use crate::keeping::{self, counted};

fn digest(row: &Value) -> &str {
    row["digest"].as_str().unwrap()
}

/// A registry with the odd image as `odd:v1`, the layout that it is from, and its root.
fn with_odd(env: &Env) -> (Fake, Layout, Value) {
    let mut layout = Layout::new(&env.outside("odd"));
    let root = odd(&mut layout);
    let server = keeping::start();
    let target = format!("{}/odd:v1", server.address);
    let ended = env.succeeds(&["copy", &format!("oci:{}", layout.path.display()), &target]);
    assert_eq!(ended.stdout, format!("{}/odd@{}\n", server.address, digest(&root)));
    (server, layout, root)
}

#[test]
fn everything_is_copied_and_stays_as_it_is() {
    let env = Env::bare();
    let (server, layout, root) = with_odd(&env);
    let from = format!("{}/odd:v1", server.address);
    // Tags move last.
    let puts: Vec<String> = server.lines().into_iter().filter(|line| line.starts_with("PUT")).collect();
    assert!(puts.last().unwrap().ends_with("/manifests/v1"), "{puts:#?}");
    // Registry to registry, registry to layout, layout to archive and back: the same blobs.
    let (two, three) = (keeping::start(), env.outside("three"));
    let middle = format!("{}/deep/odd", two.address);
    let said = env.succeeds(&["copy", &from, &middle]);
    assert_eq!(said.stdout, format!("{middle}@{}\n", digest(&root)));
    let out = format!("oci:{}", three.display());
    let said = env.succeeds(&["copy", &format!("{middle}:latest"), &out]);
    assert_eq!(said.stdout, env.said(format!("{out}@{}\n", digest(&root)).as_bytes()));
    assert_eq!(blobs(&three), blobs(&layout.path));
    let index: Value = serde_json::from_slice(&fs::read(three.join("index.json")).unwrap()).unwrap();
    let rows = index["manifests"].as_array().unwrap();
    let named: Vec<&str> = rows
        .iter()
        .filter_map(|row| row["annotations"]["org.opencontainers.image.ref.name"].as_str())
        .collect();
    assert_eq!(named, [format!("{middle}:latest")]);
    assert_eq!(rows.len(), 4, "the root and what refers to it: {index:#}");
    let (archive, four) = (format!("oci-archive:{}", env.outside("a.tar").display()), env.outside("four"));
    env.succeeds(&["copy", &out, &archive]);
    env.succeeds(&["copy", &archive, &format!("oci:{}", four.display())]);
    assert_eq!(blobs(&four), blobs(&layout.path));
    // And from the archive into a registry.
    let last = keeping::start();
    env.succeeds(&["copy", &archive, &format!("{}/x:v1", last.address)]);
    let kept = counted(&last.lines());
    assert_eq!(kept["blob"], counted(&server.lines())["blob"]);
}

#[test]
fn what_is_there_is_not_sent_again() {
    let env = Env::bare();
    let (server, ..) = with_odd(&env);
    let (from, two) = (format!("{}/odd:v1", server.address), keeping::start());
    let to = format!("{}/odd:v1", two.address);
    env.succeeds(&["copy", &from, &to]);
    let (before, sent) = (server.lines().len(), two.lines().len());
    let said = env.succeeds(&["copy", &from, &to]);
    assert_snapshot!(said.stderr, @"5 manifests, 3 referrers: all there before");
    let lines = two.lines()[sent..].to_vec();
    let ways: BTreeSet<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(ways, BTreeSet::from(["GET", "HEAD"]), "{lines:#?}");
    // The tag, three referrers and the index inside; and of each subject that has some, the list of its referrers.
    let counts = counted(&lines);
    assert_eq!(counts["question about a manifest"], 5, "{lines:#?}");
    assert_eq!(counts["manifest pulled"], 3, "{lines:#?}");
    assert!(!counted(&server.lines()[before..]).contains_key("blob pulled"));
}

#[test]
fn a_referrer_whose_list_was_lost_is_listed_again() {
    let env = Env::bare();
    let (server, ..) = with_odd(&env);
    let from = format!("{}/odd:v1", server.address);
    // A registry that lost what it was told last: the list for the root.
    let mut layout = Layout::new(&env.outside("plain"));
    let root = odd(&mut layout);
    let list = format!("sha256-{}", digest(&root).trim_start_matches("sha256:"));
    let two = keeping::start();
    let to = format!("{}/odd:v1", two.address);
    env.succeeds(&["copy", &from, &to]);
    let empty = layout.index(&[]);
    layout.entry(&empty, Some("empty"));
    env.succeeds(&[
        "copy",
        &format!("oci:{}:empty", layout.path.display()),
        &format!("{}/odd:{list}", two.address),
    ]);
    let before = two.lines().len();
    env.succeeds(&["copy", &from, &to]);
    let lines = two.lines()[before..].to_vec();
    assert!(lines.iter().any(|line| line.starts_with("PUT") && line.ends_with(&list)), "{lines:#?}");
}

/// A registry with the referrers API (distribution-spec 1.1).
fn with_api() -> Fake {
    let mut inner = keeping::script();
    let mut lists: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    Fake::start(move |asked| {
        if let Some((_, subject)) = asked.target.split_once("/referrers/") {
            let rows = lists.get(subject).cloned().unwrap_or_default();
            let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": rows });
            return Reply::body(index.to_string()).with("Content-Type", INDEX);
        }
        let reply = inner(asked);
        let document: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let Some(subject) = document["subject"]["digest"].as_str().filter(|_| asked.method == "PUT") else {
            return reply;
        };
        lists.entry(subject.to_owned()).or_default().push(json!({
            "mediaType": document["mediaType"], "digest": BlobDigest::of(&asked.body), "size": asked.body.len(),
            "artifactType": document["artifactType"],
        }));
        reply.with("OCI-Subject", subject)
    })
}

#[test]
fn a_registry_that_lists_referrers_is_left_to_it() {
    let env = Env::bare();
    let (server, layout, _) = with_odd(&env);
    let two = with_api();
    let (middle, out) = (format!("{}/odd:v1", two.address), env.outside("out"));
    env.succeeds(&["copy", &format!("{}/odd:v1", server.address), &middle]);
    assert!(two.lines().iter().all(|line| !line.contains("/manifests/sha256-")), "{:#?}", two.lines());
    env.succeeds(&["copy", &middle, &format!("oci:{}", out.display())]);
    assert_eq!(blobs(&out), blobs(&layout.path));
    let before = two.lines().len();
    env.succeeds(&["copy", &format!("{}/odd:v1", server.address), &middle]);
    let lines = two.lines()[before..].to_vec();
    // The tag, three referrers, the index inside; the lists of three subjects.
    assert_eq!(lines.iter().filter(|line| line.starts_with("HEAD")).count(), 5, "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.contains("/referrers/")).count(), 3, "{lines:#?}");
    assert_eq!(lines.len(), 8, "{lines:#?}");
}

#[test]
fn one_platform_is_its_manifest_alone() {
    let env = Env::bare();
    let (server, layout, _) = with_odd(&env);
    let (from, out) = (format!("{}/odd:v1", server.address), env.outside("out"));
    let to = format!("oci:{}", out.display());
    // It stands in an index in the index.
    let said = env.succeeds(&["copy", "--platform", "linux/arm", &from, &to]);
    assert_snapshot!(said.stderr.lines().last().unwrap(), @"1 manifest: 2 blobs copied (389 B)");
    assert_eq!(blobs(&out).len(), 3);
    assert!(blobs(&out).iter().all(|blob| blobs(&layout.path).contains(blob)));
    let said = env.fails(2, &["copy", "--platform", "windows/amd64", &from, &to]);
    assert_snapshot!(said.replace(&server.address.to_string(), "[registry]"), @"error: [registry]/odd has no image for windows/amd64, only for linux/amd64, linux/arm");
    let said = env.fails(2, &["copy", "--platform", "linux/amd64,linux/arm", &from, &to]);
    assert_snapshot!(said, @r"
    error: several platforms alone would be another index, with another digest
    hint: copy all by leaving --platform out, or one at a time
    ");
}

#[test]
fn referrers_stay_where_they_are_when_asked_to() {
    let env = Env::bare();
    let (server, ..) = with_odd(&env);
    let two = keeping::start();
    let before = server.lines().len();
    env.succeeds(&[
        "copy",
        "--no-referrers",
        &format!("{}/odd:v1", server.address),
        &format!("{}/odd", two.address),
    ]);
    assert!(two.lines().iter().all(|line| !line.contains("sha256-")), "{:#?}", two.lines());
    assert!(server.lines()[before..].iter().all(|line| !line.contains("/referrers/")));
}

#[test]
fn signatures_under_tags_are_copied_on_request() {
    let env = Env::bare();
    let (server, mut layout, root) = with_odd(&env);
    let end = format!("sha256-{}.sig", digest(&root).trim_start_matches("sha256:"));
    let signature = layout.document(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": layout.blob(CONFIG, "{}"),
        "layers": [layout.blob("application/vnd.dev.cosign.simplesigning.v1+json", "payload")],
    }));
    layout.entry(&signature, Some(&end));
    let (from, to) = (format!("{}/odd:v1", server.address), keeping::start());
    env.succeeds(&[
        "copy",
        &format!("oci:{}:{end}", layout.path.display()),
        &format!("{}/odd:{end}", server.address),
    ]);
    let target = format!("{}/odd:v1", to.address);
    env.succeeds(&["copy", &from, &target]);
    assert!(to.lines().iter().all(|line| !line.ends_with(&end)));
    env.succeeds(&["copy", "--legacy-signatures", &from, &target]);
    assert!(
        to.lines().iter().any(|line| line.starts_with("PUT") && line.ends_with(&end)),
        "{:#?}",
        to.lines()
    );
}

#[test]
fn several_names_at_once() {
    let env = Env::bare();
    let (server, ..) = with_odd(&env);
    let from = format!("{}/odd:v1", server.address);
    let tagged = |target: &str, tags: &[&str]| {
        let two = keeping::start();
        let mut arguments = vec!["copy".to_owned(), from.clone(), format!("{}/{target}", two.address)];
        arguments.extend(tags.iter().flat_map(|tag| ["--tag".to_owned(), (*tag).to_owned()]));
        env.succeeds(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let lines = two.lines();
        let put = lines.iter().filter(|line| line.starts_with("PUT") && !line.contains("sha256"));
        let found: BTreeSet<String> = put.map(|line| line.rsplit('/').next().unwrap().to_owned()).collect();
        found.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(tagged("x", &[]), ["latest"]);
    assert_eq!(tagged("x:a", &["b", "c"]), ["a", "b", "c"]);
    assert_eq!(tagged("x", &["b"]), ["b"]);
    // In its own repository it gets a name, and no blob is asked for.
    let before = server.lines().len();
    env.succeeds(&["copy", &from, &format!("{}/odd:v2", server.address)]);
    let lines = server.lines()[before..].to_vec();
    assert!(lines.iter().all(|line| !line.contains("/blobs/")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.ends_with("PUT /v2/odd/manifests/v2")), "{lines:#?}");
}

#[test]
fn a_docker_archive_is_converted_and_says_so() {
    let env = Env::bare();
    let (server, layout, _) = with_odd(&env);
    let file = format!("docker-archive:{}", env.outside("d.tar").display());
    let from = format!("{}/odd:v1", server.address);
    let said = env.fails(2, &["copy", &from, &file]);
    assert_snapshot!(said.replace(&server.address.to_string(), "[registry]"), @r"
    error: a docker-archive holds one platform, [registry]/odd:v1 has 2
    hint: choose one with --platform, or write an oci-archive: or oci: output
    ");
    let said = env.succeeds(&["copy", "--platform", "linux/amd64", &from, &file]);
    assert_eq!(said.stdout, "docker-archive:[dir]/d.tar\n");
    let out = env.outside("out");
    let said = env.succeeds(&["copy", &file, &format!("oci:{}", out.display())]);
    assert_snapshot!(without_digests(&said.stderr), @r"
    note: docker-archive:[dir]/d.tar has no manifest; sha256:… is made over its config and layers
    1 manifest: 2 blobs copied (393 B)
    ");
    // Config and layer are those of the image, the manifest is not.
    let kept = blobs(&out).into_iter().filter(|blob| blobs(&layout.path).contains(blob)).count();
    assert_eq!((blobs(&out).len(), kept), (3, 2));
}

#[test]
fn artifacts_are_copied_and_layers_kept_elsewhere_are_not() {
    let env = Env::bare();
    let mut layout = Layout::new(&env.outside("in"));
    let chart = layout.document(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": layout.blob("application/vnd.cncf.helm.config.v1+json", "{\"name\":\"x\"}"),
        "layers": [layout.blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "chart")],
    }));
    layout.entry(&chart, Some("chart"));
    let foreign = json!({
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "digest": BlobDigest::of(b"windows"), "size": 7, "urls": ["https://example.com/layer"],
    });
    let windows = layout.document(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": layout.blob(CONFIG, "{}"),
        "layers": [foreign, layout.blob(LAYER, "own")],
    }));
    layout.entry(&windows, Some("windows"));
    let place = layout.path.display();
    for (name, expected) in [("chart", 3), ("windows", 3)] {
        let out = env.outside(name);
        let said = env.succeeds(&["copy", &format!("oci:{place}:{name}"), &format!("oci:{}", out.display())]);
        assert_eq!(blobs(&out).len(), expected, "{name}");
        assert_eq!(said.stderr.contains("is kept elsewhere and is not copied"), name == "windows");
    }
    let server = keeping::start();
    env.succeeds(&["copy", &format!("oci:{place}:chart"), &format!("{}/chart:v1", server.address)]);
    assert_eq!(counted(&server.lines())["blob"], 2);
    let said = env.fails(
        2,
        &[
            "copy",
            &format!("oci:{place}:chart"),
            &format!("docker-archive:{}", env.outside("x.tar").display()),
        ],
    );
    assert_snapshot!(without_digests(&said), @"error: sha256:… of oci:[dir]/in is no image: a docker-archive holds nothing else");
}

#[test]
fn damage_is_named() {
    let env = Env::bare();
    let mut layout = Layout::new(&env.outside("in"));
    let image = layout.image("linux/amd64", "layer of one");
    layout.entry(&image, Some("v1"));
    let from = format!("oci:{}", layout.path.display());
    let to = format!("oci:{}", env.outside("out").display());
    let layer = layout.file(&BlobDigest::of(b"layer of one"));
    let said = |text: &str| without_digests(text);
    fs::write(&layer, "layer of two").unwrap();
    assert_snapshot!(said(&env.fails(2, &["copy", "--quiet", &from, &to])), @r"
    error: cannot get blob sha256:…
      because: blob sha256:… of oci:[dir]/in is damaged: its content is sha256:…
    hint: make or copy it anew
    ");
    assert!(!env.outside("out").exists(), "nothing half-written is left");
    fs::write(&layer, "layer").unwrap();
    let server = keeping::start();
    let target = format!("{}/x:v1", server.address);
    assert_snapshot!(said(&env.fails(2, &["copy", &from, &target])), @r"
    error: blob sha256:… of oci:[dir]/in is damaged: it has 5 of 12 bytes
    hint: make or copy it anew
    ");
    fs::remove_file(&layer).unwrap();
    assert_snapshot!(said(&env.fails(2, &["copy", &from, &target])), @r"
    error: oci:[dir]/in has no blob sha256:…
    hint: make or copy it anew
    ");
    assert!(server.lines().iter().all(|line| line.starts_with("HEAD")), "{:#?}", server.lines());
    let manifest = layout.file(&digest(&image).parse().unwrap());
    fs::write(&manifest, fs::read_to_string(&manifest).unwrap().replace('1', "2")).unwrap();
    assert_snapshot!(said(&env.fails(2, &["copy", &from, &to])), @r"
    error: blob sha256:… of oci:[dir]/in is damaged: its content is sha256:…
    hint: make or copy it anew
    ");
}

#[test]
fn a_pipe_in_a_layout_is_no_file() {
    let env = Env::bare();
    let mut layout = Layout::new(&env.outside("odd"));
    odd(&mut layout);
    let index = layout.path.join("index.json");
    fs::remove_file(&index).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&index).status().unwrap().success());
    let said = env.fails(2, &["copy", &format!("oci:{}", layout.path.display()), "oci:out"]);
    assert!(said.contains("is not an OCI image layout: there is no `index.json`"), "{said}");

    // Nor where the layout is a base.
    let env = Env::new();
    fs::rename(&layout.path, env.path("base")).unwrap();
    env.spec("web", "base: oci:../base\n");
    let said = env.fails(2, &["build", "--quiet", "--jobs", "1"]);
    assert!(said.contains("index.json"), "{said}");
}

#[test]
fn a_registry_that_finds_damage_is_believed() {
    let env = Env::bare();
    let mut layout = Layout::new(&env.outside("in"));
    let image = layout.image("linux/amd64", "layer of one");
    layout.entry(&image, Some("v1"));
    fs::write(layout.file(&BlobDigest::of(b"layer of one")), "layer of two").unwrap();
    let server = Fake::start(|asked| match asked.method.as_str() {
        "HEAD" => Reply::status(404),
        "POST" => Reply::status(202).with("Location", format!("{}1", asked.target)),
        _ => Reply::status(400).and_body(r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#),
    });
    let from = format!("oci:{}", layout.path.display());
    let said = env.fails(2, &["copy", "--quiet", &from, &format!("{}/x:v1", server.address)]);
    assert_snapshot!(without_digests(&said), @r"
    error: blob sha256:… of oci:[dir]/in is damaged: its content is sha256:…
    hint: make or copy it anew
    ");
}

#[test]
fn what_is_no_image_is_named() {
    let env = Env::bare();
    fs::create_dir(env.outside("empty")).unwrap();
    fs::write(env.outside("file"), "x").unwrap();
    let mut layout = Layout::new(&env.outside("in"));
    let (one, two) = (layout.image("linux/amd64", "one"), layout.image("linux/amd64", "two"));
    layout.entry(&one, Some("ghcr.io/acme/web:v1"));
    layout.entry(&two, Some("v2"));
    let dir = env.outside("").display().to_string();
    let out = format!("oci:{dir}/out");
    let said = |code, from: &str, to: &str| {
        env.fails(
            code,
            &[
                "copy",
                &from.replace("DIR", dir.trim_end_matches('/')),
                &to.replace("DIR", dir.trim_end_matches('/')),
            ],
        )
    };
    assert_snapshot!(said(2, "oci:DIR/none", &out), @r"
    error: cannot open [dir]/none
      because: No such file or directory (os error 2)
    ");
    assert_snapshot!(said(2, "oci:DIR/empty", &out), @"error: oci:[dir]/empty is not an OCI image layout: there is no `oci-layout`");
    assert_snapshot!(said(2, "oci:DIR/file", &out), @"error: oci:[dir]/file is not an OCI image layout: it is not a directory");
    assert_snapshot!(said(2, "oci-archive:DIR/empty", &out), @"error: oci-archive:[dir]/empty is not a tar of an OCI image layout: it is not a file");
    assert_snapshot!(said(2, "oci:DIR/in", &out), @r"
    error: oci:[dir]/in has several images: ghcr.io/acme/web:v1, v2
    hint: name one of them, like oci:[dir]/in:ghcr.io/acme/web:v1
    ");
    assert_snapshot!(said(2, "oci:DIR/in:v3", &out), @"error: oci:[dir]/in has no image `v3`, only ghcr.io/acme/web:v1, v2");
    assert_snapshot!(said(2, "oci:DIR/in:v1", "oci:DIR/empty/x:v1"), @r"
    error: `oci:[dir]/empty/x:v1` has a colon in its path
    hint: name the image with --tag v1
    ");
    assert_snapshot!(said(2, "oci:DIR/in:v1", "acme/web"), @r"
    error: `acme/web` names no registry to copy to
    hint: write it with its host, like docker.io/acme/web:v1, or oci:DIR for a layout
    ");
    fs::write(env.outside("empty/x"), "x").unwrap();
    assert_snapshot!(said(2, "oci:DIR/in:v1", "oci:DIR/empty"), @r"
    error: [dir]/empty is not empty and not an OCI image layout
    hint: name a new directory, an empty one, or an existing layout
    ");
    let server = keeping::start();
    let said = env.fails(4, &["copy", &format!("{}/x:v1", server.address), &out]);
    assert_snapshot!(said.replace(&server.address.to_string(), "[registry]"), @r"
    error: [registry]/x:v1 is not there: GET http://[registry]/v2/x/manifests/v1 was answered with 404
    hint: `[registry]/x` or its tag `v1` may be misspelt, or not be pushed yet
    ");
}

#[test]
fn a_layout_gets_what_is_copied_beside_what_it_has() {
    let env = Env::bare();
    let mut layout = Layout::new(&env.outside("in"));
    let (one, two) = (layout.image("linux/amd64", "one"), layout.image("linux/amd64", "two"));
    layout.entry(&one, Some("v1"));
    layout.entry(&two, Some("v2"));
    let (from, out) = (format!("oci:{}", layout.path.display()), env.outside("out"));
    let to = format!("oci:{}", out.display());
    env.succeeds(&["copy", &format!("{from}:v1"), &to]);
    env.succeeds(&["copy", &format!("{from}@{}", digest(&two)), &to, "--tag", "other", "--tag", "third"]);
    assert_eq!(blobs(&out), blobs(&layout.path));
    let index = fs::read_to_string(out.join("index.json")).unwrap();
    let names: Vec<_> =
        ["\"v1\"", "\"other\"", "\"third\""].into_iter().filter(|name| index.contains(name)).collect();
    assert_eq!(names.len(), 3, "{index}");
}

#[test]
fn hostile_graphs_end() {
    let env = Env::bare();
    let mut layout = Layout::new(&env.outside("in"));
    let mut row = layout.image("linux/amd64", "one");
    for _ in 0..8 {
        row = layout.index(&[row]);
    }
    layout.entry(&row, Some("deep"));
    let part = layout.blob(LAYER, "layer");
    let mut longer = part.clone();
    longer["size"] = json!(9);
    let two_sizes = layout.document(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": layout.blob(EMPTY, "{}"), "layers": [part, longer],
    }));
    layout.entry(&two_sizes, Some("sizes"));
    let both = layout.blob(
        INDEX,
        json!({ "manifests": [], "config": layout.blob(EMPTY, "{}"), "layers": [] }).to_string(),
    );
    layout.entry(&both, Some("both"));
    // Each of four indexes names the one inside a thousand times: a thousand to the power of four ways.
    let mut wide = layout.image("linux/amd64", "wide");
    for _ in 0..4 {
        wide = layout.index(&vec![wide; 1000]);
    }
    layout.entry(&wide, Some("wide"));
    let pad = "x".repeat(1 << 20);
    let many: Vec<Value> = (0..40)
        .map(|number| {
            let annotations = json!({ "pad": pad, "number": number.to_string() });
            layout.document(&json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": annotations }))
        })
        .collect();
    let many = layout.index(&many);
    layout.entry(&many, Some("many"));
    let said = |name: &str| {
        let to = format!("oci:{}", env.outside("out").display());
        without_digests(&env.fails(2, &["copy", &format!("oci:{}:{name}", layout.path.display()), &to]))
    };
    assert_snapshot!(said("deep"), @"error: oci:[dir]/in has indexes or referrers too deep in each other");
    assert_snapshot!(said("many"), @"error: oci:[dir]/in has more than 33.6 MB of manifests");
    assert_snapshot!(said("sizes"), @"error: cannot use sha256:… of oci:[dir]/in: it has two sizes, 5 and 9 bytes");
    assert_snapshot!(said("both"), @"error: cannot use sha256:… of oci:[dir]/in: it is an index and a manifest at once");
    let server = keeping::start();
    let ended = env.succeeds(&[
        "copy",
        &format!("oci:{}:wide", layout.path.display()),
        &format!("{}/x:v1", server.address),
    ]);
    assert!(ended.stderr.ends_with("5 manifests: 2 blobs copied (383 B)\n"), "{}", ended.stderr);
    // From the inside out.
    let puts =
        server.lines().into_iter().filter(|line| line.starts_with("PUT") && line.contains("/manifests/"));
    assert_eq!(puts.count(), 6);
}

#[test]
fn skopeo_reads_what_is_copied() {
    if !is_installed("skopeo") {
        return;
    }
    let env = Env::with_files();
    let out = env.outside("out");
    env.succeeds(&["build", "--output", &format!("oci:{}", env.outside("in").display())]);
    env.succeeds(&[
        "copy",
        &format!("oci:{}", env.outside("in").display()),
        &format!("oci:{}", out.display()),
        "--tag",
        "v1",
    ]);
    let skopeo = |arguments: &[&str]| {
        let ended = env.ended(env.command("skopeo", arguments));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout
    };
    let raw = skopeo(&["inspect", "--raw", &format!("oci:{}:v1", out.display())]);
    let ours = env.succeeds(&["inspect", "--raw", &format!("oci:{}:v1", out.display())]);
    assert_eq!(ours.stdout, raw);
    // And what skopeo copied is read here.
    let (theirs, back) = (env.outside("theirs"), env.outside("back"));
    skopeo(&[
        "copy",
        "--all",
        "--quiet",
        &format!("oci:{}:v1", out.display()),
        &format!("oci-archive:{}:v1", theirs.display()),
    ]);
    env.succeeds(&["copy", &format!("oci-archive:{}", theirs.display()), &format!("oci:{}", back.display())]);
    assert_eq!(blobs(&back), blobs(&out));
}

#[test]
fn the_rules_of_the_workspace_around_hold() {
    let env = Env::bare();
    let (server, ..) = with_odd(&env);
    let from = format!("{}/odd:v1", server.address);
    // A mirror is read first, and asked by its own name.
    let mirror = keeping::start();
    env.succeeds(&["copy", &from, &format!("{}/hub/odd:v1", mirror.address)]);
    let two = keeping::start();
    let rules = |rest: &str| {
        let mirrors = format!("mirrors: {{ \"{}\": [\"{}/hub\"] }}\n", server.address, mirror.address);
        env.file("imgpack.yaml", format!("apiVersion: imgpack/v1\n{mirrors}{rest}"));
    };
    rules("tags: { immutable: [\"v*\"] }\n");
    let before = server.lines().len();
    env.succeeds(&["copy", &from, &format!("{}/x:v1", two.address)]);
    env.succeeds(&["inspect", &from]);
    // Only what refers to an image is asked for where it comes from: mirrors keep no lists.
    let lines = server.lines()[before..].to_vec();
    let is_list = |line: &String| line.contains("/referrers/") || line.contains("/manifests/sha256-");
    assert!(!lines.is_empty() && lines.iter().all(is_list), "{lines:#?}");
    // The tag stands for the image already, then for another one.
    env.succeeds(&["copy", &from, &format!("{}/x:v1", two.address)]);
    let mut other = Layout::new(&env.outside("other"));
    let row = other.image("linux/amd64", "another layer");
    other.entry(&row, None);
    let before = two.lines().len();
    let said = env
        .fails(1, &["copy", &format!("oci:{}", other.path.display()), &format!("{}/x:v1", two.address)])
        .replace(&two.address.to_string(), "[registry]");
    assert_snapshot!(without_digests(&said), @r"
    error: [registry]/x:v1 must not move: it is sha256:…, and this push would make it sha256:…
    hint: imgpack.yaml says so (`tags.immutable`), and nothing was tagged: give what changed another tag
    ");
    assert!(!two.lines()[before..].iter().any(|line| line.starts_with("PUT") && line.ends_with("/v1")));
    // A workspace with a mistake says nothing that could be held to.
    rules("tgas: {}\n");
    let said = env.fails(2, &["copy", &from, &format!("{}/y:v1", two.address)]);
    assert!(said.contains("unknown field `tgas`"), "{said}");
}

#[test]
fn within_a_registry_blobs_are_mounted() {
    let env = Env::bare();
    let (server, ..) = with_odd(&env);
    let before = server.lines().len();
    let said =
        env.succeeds(&["copy", &format!("{}/odd:v1", server.address), &format!("{}/two:v1", server.address)]);
    assert_snapshot!(said.stderr.lines().last().unwrap(), @"5 manifests, 3 referrers: 10 blobs mounted");
    assert!(!counted(&server.lines()[before..]).contains_key("blob"));
}
