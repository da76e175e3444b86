//! What a good build says and writes.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;

use crate::env::{Ended, Env, without_digests};

/// The text with every time as `0.0 s`.
fn without_times(text: &str) -> String {
    let line = |line: &str| match line.rsplit_once(' ') {
        Some((rest, "s")) => match rest.rsplit_once(' ') {
            Some((rest, time)) if time.starts_with(|c: char| c.is_ascii_digit()) => format!("{rest} 0.0 s\n"),
            _ => format!("{line}\n"),
        },
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn json(path: std::path::PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The names of all fields, with those of the first element of lists.
fn shape(value: &Value, at: &str, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| shape(value, &format!("{at}.{name}"), names));
        }
        Value::Array(items) => match items.first() {
            Some(first) => shape(first, &format!("{at}[]"), names),
            None => names.push(format!("{at}[]")),
        },
        _ => names.push(at.to_owned()),
    }
}

fn shape_of(value: &Value) -> String {
    let mut names = Vec::new();
    shape(value, "", &mut names);
    names.join("\n")
}

#[test]
fn one_reference_on_stdout() {
    for base in ["scratch", "static"] {
        let env = Env::with_files();
        env.spec("web", &format!("base: {base}\nfiles: {{ /etc/web: ../conf }}\n"));
        let ended = env.succeeds(&["build"]);
        assert_eq!(without_digests(&ended.stdout), "registry.example/acme/web@sha256:…\n");
        let quiet = env.succeeds(&["build", "--quiet"]);
        assert_eq!((quiet.stdout, quiet.stderr.as_str()), (ended.stdout, ""));
    }
}

#[test]
fn plain_lines() {
    // One after the other, so that the lines have one order.
    let mut env = Env::with_files();
    env.set("CI", "1");
    let first = env.succeeds(&["build", "--jobs", "1"]);
    let second = env.succeeds(&["build", "--jobs", "1"]);
    for Ended { stdout, stderr, .. } in [&first, &second] {
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!stdout.contains(control) && !stderr.contains(control), "{stderr:?}");
        assert!(stderr.lines().all(|line| line.chars().count() <= 80), "{stderr}");
    }
    assert_snapshot!(without_times(&first.stderr), @r"
    1 image to build for linux/amd64, linux/arm64
    web linux/amd64: reading the base
    web linux/arm64: reading the base
    web linux/amd64: packing layers
    web linux/amd64: app layer 2 files in /etc/web, 177 B, made in 0.0 s
    web linux/amd64: done, 832 B, 0.0 s
    web linux/arm64: done, 832 B, 0.0 s
    web  linux/amd64, linux/arm64                     TRANSFER  UNPACKED
      app     2 files in /etc/web                        177 B      16 B
              config and manifest                        655 B
      total   1 layer                                    832 B      16 B first build
      largest files
      app     /etc/web/app.toml                                     10 B
      app     /etc/web/motd                                          6 B
    ");
    assert_snapshot!(without_times(&second.stderr), @r"
    1 image to build for linux/amd64, linux/arm64
    web linux/amd64: app layer 2 files in /etc/web, 177 B, reused
    web linux/amd64: done, 832 B, 0.0 s
    web linux/arm64: done, 832 B, 0.0 s
    web  linux/amd64, linux/arm64                     TRANSFER  UNPACKED      CHANGE
      app     2 files in /etc/web                        177 B      16 B      reused
              config and manifest                        655 B
      total   1 layer                                    832 B      16 B   unchanged
      largest files
      app     /etc/web/app.toml                                     10 B
      app     /etc/web/motd                                          6 B
    ");
    env.file("conf/motd", "a longer message of today, and of tomorrow\n").file("conf/new", "x");
    assert_snapshot!(without_times(&env.succeeds(&["build", "--jobs", "1"]).stderr), @r"
    1 image to build for linux/amd64, linux/arm64
    web linux/amd64: reading the base
    web linux/arm64: reading the base
    web linux/amd64: packing layers
    web linux/amd64: app layer 3 files in /etc/web, 225 B, made in 0.0 s
    web linux/amd64: done, 880 B, 0.0 s
    web linux/arm64: done, 880 B, 0.0 s
    web  linux/amd64, linux/arm64                     TRANSFER  UNPACKED      CHANGE
      app     3 files in /etc/web                        225 B      54 B         new
      app     2 files in /etc/web (gone)                                      -177 B
              config and manifest                        655 B
      total   1 layer, +5.77 %                           880 B      54 B       +48 B
      largest files
      app     /etc/web/motd                                         43 B
      app     /etc/web/app.toml                                     10 B
      app     /etc/web/new                                           1 B
    ");
}

#[test]
fn long_names_keep_to_the_columns() {
    let env = Env::with_files();
    let long = "a-service-whose-name-is-so-long-that-no-column-of-a-table-has-room-for-it-all";
    env.spec(
        long,
        &format!(
            "base: scratch\nfiles:\n  - {{ from: ../conf/motd, to: \"/srv/{}/ünï/{}\" }}\n",
            "d".repeat(60),
            "f".repeat(90)
        ),
    );
    let ended = env.succeeds(&["build", long]);
    let report: Vec<&str> = ended.stderr.lines().skip_while(|line| !line.contains("TRANSFER")).collect();
    assert!(report.len() > 5, "{}", ended.stderr);
    assert!(report.iter().all(|line| line.chars().count() <= 80), "{}", report.join("\n"));
}

#[test]
fn result_and_report_are_json() {
    let env = Env::with_files();
    env.spec("web", "base: scratch\nfiles: { /etc/web: ../conf }\nimage: { info: { title: Web } }\n");
    let ended =
        env.succeeds(&["build", "--tag", "v1", "--result", "out/result.json", "--report", "out/report.json"]);
    let (result, report) = (json(env.path("out/result.json")), json(env.path("out/report.json")));
    let image = &result["images"][0];
    assert_eq!(ended.stdout, format!("{}\n", image["reference"].as_str().unwrap()));
    assert_eq!(
        (&image["identity"], &image["tags"][0], &image["pushed"]),
        (&"web".into(), &"v1".into(), &false.into())
    );
    // docs/results.md: a field may be added, none may go.
    assert_snapshot!(shape_of(&result), @r"
    .format
    .images[].identity
    .images[].index.always
    .images[].index.annotations.org.opencontainers.image.title
    .images[].index.mediaType
    .images[].inputsDigest
    .images[].platforms[].config.digest
    .images[].platforms[].config.mediaType
    .images[].platforms[].config.size
    .images[].platforms[].layers[].class
    .images[].platforms[].layers[].diffID
    .images[].platforms[].layers[].digest
    .images[].platforms[].layers[].title
    .images[].platforms[].layers[].transfer
    .images[].platforms[].layers[].unpacked
    .images[].platforms[].manifest.digest
    .images[].platforms[].manifest.mediaType
    .images[].platforms[].manifest.size
    .images[].platforms[].platform
    .images[].pushed
    .images[].reference
    .images[].repository
    .images[].root.digest
    .images[].root.mediaType
    .images[].root.size
    .images[].specDigest
    .images[].specPlatforms[]
    .images[].tagged
    .images[].tags[]
    .imgpack
    .immutableTags[]
    .lockDigest
    .schemaVersion
    ");
    assert_snapshot!(shape_of(&report), @r"
    .images[].change.state
    .images[].classes[].class
    .images[].classes[].layers
    .images[].classes[].transfer
    .images[].classes[].unpacked
    .images[].config.digest
    .images[].config.mediaType
    .images[].config.size
    .images[].identity
    .images[].largestFiles[].class
    .images[].largestFiles[].path
    .images[].largestFiles[].size
    .images[].layers[].change
    .images[].layers[].class
    .images[].layers[].diffID
    .images[].layers[].digest
    .images[].layers[].entries
    .images[].layers[].index
    .images[].layers[].mediaType
    .images[].layers[].title
    .images[].layers[].transfer
    .images[].layers[].unpacked
    .images[].layersUnpacked
    .images[].manifest.digest
    .images[].manifest.mediaType
    .images[].manifest.size
    .images[].platform
    .images[].transfer
    .images[].unpacked
    .schemaVersion
    .totals.distinct
    .totals.images
    .totals.shared
    .totals.transfer
    .unit
    ");
    // On stdout instead of the reference.
    let ended = env.succeeds(&["build", "--format", "json", "--quiet"]);
    assert_eq!(ended.stderr, "");
    let printed: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(printed["images"][0]["manifest"], report["images"][0]["manifest"]);
    assert_eq!(printed["images"][0]["change"]["state"], "unchanged");
    assert_eq!(printed["unit"], "bytes");
}

#[test]
fn settings_change_what_is_built() {
    let env = Env::with_files();
    let plain = env.succeeds(&["build", "--quiet"]).stdout;
    let set =
        env.succeeds(&["build", "--quiet", "--set", "image.env.LOG=debug", "--output", "oci:out"]).stdout;
    assert_ne!(plain, set);
    let configs = crate::env::files_below(&env.path("out/blobs"));
    let with = |text: &str| {
        configs.iter().filter(|path| fs::read_to_string(path).is_ok_and(|all| all.contains(text))).count()
    };
    assert_eq!(with("LOG=debug"), 2, "a config for each platform");
    assert_eq!(env.succeeds(&["build", "--quiet"]).stdout, plain);
}

#[test]
fn identities_choose_what_is_built() {
    let env = Env::with_files();
    env.spec(
        "api",
        "base: scratch\nimages: { server: {}, worker: { image: { labels: { kind: worker } } } }\n\
         variants: { debug: { image: { labels: { log: debug } } } }\n",
    );
    let built = |arguments: &[&str]| {
        let all = [&["build", "--quiet", "--result", "r.json"], arguments].concat();
        let stdout = env.succeeds(&all).stdout;
        let result = json(env.path("r.json"));
        let images = result["images"].as_array().unwrap();
        assert_eq!(stdout.lines().count(), images.len());
        let name = |image: &Value| {
            let word = |value: &Value| value.as_str().unwrap().to_owned();
            let repository = word(&image["repository"]).replace("registry.example/acme/", "");
            format!("{} {repository}:{}", word(&image["identity"]), word(&image["tags"][0]))
        };
        images.iter().map(name).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(built(&[]), @r"
    api/server api-server:latest
    api/worker api-worker:latest
    web web:latest
    ");
    assert_snapshot!(built(&["api"]), @r"
    api/server api-server:latest
    api/worker api-worker:latest
    ");
    assert_snapshot!(built(&["api/worker", "web"]), @r"
    api/worker api-worker:latest
    web web:latest
    ");
    assert_snapshot!(built(&["api/worker@debug"]), @"api/worker@debug api-worker:latest-debug");
    assert_snapshot!(built(&["--variant", "debug"]), @r"
    api/server@debug api-server:latest-debug
    api/worker@debug api-worker:latest-debug
    web web:latest
    ");
}

#[test]
fn images_share_layers() {
    let env = Env::with_files();
    env.spec("api", "base: static\nfiles: { /etc/web: ../conf }\nimage: { labels: { a: b } }\n");
    let ended = env.succeeds(&["build", "--output", "oci:out", "--result", "r.json"]);
    let result = json(env.path("r.json"));
    let layers = |image: usize| result["images"][image]["platforms"][0]["layers"].as_array().unwrap();
    assert_eq!((&result["images"][0]["identity"], layers(0).len(), layers(1).len()), (&"api".into(), 2, 1));
    assert_eq!(layers(0)[1]["digest"], layers(1)[0]["digest"]);
    let made =
        ended.stderr.lines().filter(|line| line.contains("2 files in /etc/web") && line.contains("made in"));
    assert_eq!(made.count(), 1, "{}", ended.stderr);
    // Two indexes, four manifests, four configs, the layer of `static` and the shared one.
    let blobs = crate::env::files_below(&env.path("out/blobs/sha256"));
    assert_eq!(blobs.len(), 12, "{blobs:#?}");
}
