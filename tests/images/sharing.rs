//! Images, variants and services whose content is the same have the same layers.

use serde_json::{Value, json};

use crate::built::{Built, Layer};
use crate::layout::Layout;
use crate::rootfs;
use crate::workspace::Workspace;

const AMD64: &str = "linux/amd64";

/// Two services with the same files. One has two images and two variants; everything that can differ does.
fn workspace() -> Workspace {
    let workspace = Workspace::new(
        "services:\n\
         \x20 _files:\n\
         \x20   files:\n\
         \x20     - { from: app, to: /app }\n\
         \x20     - { from: shared.txt, to: /usr/share/shared.txt, class: shared }\n\
         \x20     - { to: /etc/app.conf, text: \"on ${target.arch}\\n\", class: config }\n\
         \x20     - { to: /app/cache, dir: true, owner: app, mode: \"0750\" }\n\
         \x20   image: { user: { name: app, uid: 1001 }, volumes: [/data], entrypoint: [/app/run] }\n\
         \x20 one:\n\
         \x20   extends: [_files]\n\
         \x20   images:\n\
         \x20     one: {}\n\
         \x20     job: { image: { cmd: [migrate], workdir: /work } }\n\
         \x20   variants:\n\
         \x20     other: { always: true, image: { user: { name: app, uid: 2002 } } }\n\
         \x20     merged: { always: true, base: { rootfs: { linux/amd64: root.tar.gz, linux/arm64: root.tar.gz } } }\n\
         \x20 two: { extends: [_files], base: scratch, image: { env: { A: b } } }\n",
    );
    workspace.write("root.tar.gz", rootfs::merged());
    workspace.write_program("app/run", "run\n");
    workspace.write("app/data.txt", "data\n");
    workspace.write("shared.txt", "shared\n");
    workspace
}

fn files(built: &Built, identity: &str, platform: &str) -> Vec<Layer> {
    let layers = built.layers(identity, platform).into_iter();
    layers
        .filter(|layer| !["base", "system"].contains(&layer.class.as_str()) && layer.title != "directories")
        .collect()
}

#[test]
fn equal_content_is_one_layer_and_the_user_is_in_the_last_alone() {
    let workspace = workspace();
    let (built, layout) = workspace.layout("layout", &[]);
    let one = files(&built, "one/one", AMD64);
    let titles: Vec<(&str, &str)> =
        one.iter().map(|layer| (layer.class.as_str(), layer.title.as_str())).collect();
    let want = [("shared", "/usr/share/shared.txt"), ("app", "2 files in /app"), ("config", "/etc/app.conf")];
    assert_eq!(titles, want);
    for identity in ["one/job", "one/one@other", "one/job@other", "one/one@merged", "two"] {
        assert_eq!(files(&built, identity, AMD64), one, "{identity}");
    }
    // Of the other architecture only the text differs, which says it.
    let arm64 = files(&built, "one/one", "linux/arm64");
    assert_eq!(arm64[..2], one[..2]);
    assert_ne!(arm64[2].digest, one[2].digest);
    assert_eq!(layout.text(&arm64[2].digest, "etc/app.conf"), "on arm64\n");

    let last = |identity: &str| built.layers(identity, AMD64).pop().unwrap();
    let lines = |identity: &str| {
        layout.entries(&last(identity).digest).iter().map(crate::layout::Entry::line).collect::<Vec<_>>()
    };
    assert_eq!(last("one/one").title, "directories");
    let directories = |user: &str| {
        ["5 0755 0:0 app/".to_owned(), format!("5 0750 {user} app/cache/"), format!("5 0755 {user} data/")]
    };
    assert_eq!(lines("one/one"), directories("1001:1001"));
    assert_eq!(lines("one/one@other"), directories("2002:2002"));
    assert_eq!(last("one/one@merged"), last("one/one"));
    assert_eq!(last("two"), last("one/one"));
    let job: Vec<String> =
        directories("1001:1001").into_iter().chain(["5 0755 0:0 work/".to_owned()]).collect();
    assert_eq!(lines("one/job"), job);
    // Nothing of its own before it has another owner than root.
    for layer in built.layers("one/one", AMD64).iter().rev().skip(1).filter(|layer| layer.class != "base") {
        for entry in layout.entries(&layer.digest) {
            assert_eq!(entry.owner, (0, 0), "{}: {}", layer.title, entry.path);
        }
    }
}

#[test]
fn every_layer_has_its_line_of_history() {
    let workspace = workspace();
    let (built, layout) = workspace.layout("layout", &["one/one", "one/one@merged"]);
    let history = |identity: &str| {
        let config = layout.json(built.config(identity, AMD64));
        let rows = config["history"].as_array().expect("a config has a history").clone();
        assert_eq!(rows.len(), config["rootfs"]["diff_ids"].as_array().unwrap().len(), "{identity}");
        rows.iter()
            .map(|row| row["created_by"].as_str().expect("a row says what made it").to_owned())
            .collect::<Vec<_>>()
    };
    let own = [
        "imgpack system: user and group",
        "imgpack shared: /usr/share/shared.txt",
        "imgpack app: 2 files in /app",
        "imgpack config: /etc/app.conf",
        "imgpack config: directories",
    ];
    let plain = history("one/one");
    assert_eq!(plain[0], "imgpack static@1");
    assert_eq!(plain[1..], own);
    let merged = history("one/one@merged");
    assert_eq!(merged[0], "rootfs root.tar.gz");
    assert_eq!(merged[1..], own);
}

#[test]
fn documents_name_what_they_hold() {
    let workspace = workspace();
    let (built, layout) = workspace.layout("layout", &["one/one"]);
    let index = layout.json(built.root("one/one"));
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    for platform in [AMD64, "linux/arm64"] {
        check_manifest(&built, &layout, platform);
    }
}

fn check_manifest(built: &Built, layout: &Layout, platform: &str) {
    let manifest = layout.json(built.manifest("one/one", platform));
    let config = layout.json(built.config("one/one", platform));
    assert_eq!(manifest["config"]["digest"], built.config("one/one", platform));
    let layers = built.layers("one/one", platform);
    let rows = manifest["layers"].as_array().unwrap();
    assert_eq!(rows.len(), layers.len());
    for ((row, layer), diff_id) in
        rows.iter().zip(&layers).zip(config["rootfs"]["diff_ids"].as_array().unwrap())
    {
        assert_eq!(row["digest"], layer.digest);
        assert_eq!(row["size"], layout.blob(&layer.digest).len());
        assert_eq!(*diff_id, layer.diff_id);
        assert_eq!(crate::layout::sha256(&layout.tar(&layer.digest)), layer.diff_id);
    }
    assert_eq!(config["config"]["User"], "1001:1001");
    assert_eq!(config["config"]["Volumes"], json!({ "/data": {} }));
    assert_eq!(config["architecture"], platform.trim_start_matches("linux/"));
    assert_eq!(config.get("created"), None::<&Value>);
}
