//! `--no-cache`: everything is made again, and what came out different is named; exit 1.

use std::fs;
use std::path::PathBuf;

use insta::assert_snapshot;

use crate::builders::with_rust;
use crate::env::{Env, files_below, without_digests};

fn hex(bytes: &[u8]) -> String {
    imgpack::model::Digest::of(bytes).hex()
}

/// Makes the record of the one layer that it holds name another blob, as if the layer had come out different then.
fn forge(env: &Env) {
    let is_layer = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains("\n{\"layer\":"));
    let records: Vec<PathBuf> =
        files_below(&env.cache().join("v1/records")).into_iter().filter(is_layer).collect();
    assert_eq!(records.len(), 1);
    let text = fs::read_to_string(&records[0]).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    let other = b"other bytes";
    let name = hex(other);
    let blob = env.cache().join("v1/blobs").join(&name[..2]).join(&name);
    fs::create_dir_all(blob.parent().unwrap()).unwrap();
    fs::write(blob, other).unwrap();
    record["layer"]["descriptor"]["digest"] = format!("sha256:{name}").into();
    record["layer"]["descriptor"]["size"] = other.len().into();
    let json = record.to_string();
    fs::write(&records[0], format!("{}\n{json}", hex(json.as_bytes()))).unwrap();
}

#[test]
fn a_layer_that_came_out_different() {
    let env = Env::with_files();
    let good = env.succeeds(&["build", "--no-cache"]);
    assert!(!good.stderr.contains("reused"), "{}", good.stderr);
    assert_eq!(env.succeeds(&["build", "--no-cache", "--quiet"]).stdout, good.stdout);

    forge(&env);
    let ended = env.run(&["build", "--no-cache", "--quiet", "--output", "oci:out"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, good.stdout.as_str()));
    assert_snapshot!(without_digests(&ended.stderr), @"differs: web (linux/amd64): app layer 2 files in /etc/web: recorded sha256:…, made sha256:…");
    assert!(env.path("out/index.json").exists(), "it is a finding, not a failure");
    env.is_tidy();
    // What was made now is recorded.
    assert_eq!(env.succeeds(&["build", "--no-cache", "--quiet"]).stdout, good.stdout);
    assert_eq!(env.succeeds(&["build", "--quiet"]).stdout, good.stdout);
}

#[test]
fn a_program_that_came_out_different() {
    let main = "fn main() {\n    println!(\"{}\", env!(\"STAMP\"));\n}\n";
    let Some(env) = with_rust(main) else { return };
    env.file(
        "service/build.rs",
        "fn main() {\n    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);\n    \
         println!(\"cargo::rustc-env=STAMP={}\", now.unwrap().as_nanos());\n}\n",
    );
    let first = env.succeeds(&["build"]);
    assert_eq!(env.succeeds(&["build"]).stdout, first.stdout, "a build with records is not made again");
    let ended = env.run(&["build", "--no-cache", "--quiet"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert_ne!(ended.stdout, first.stdout);
    assert_snapshot!(without_digests(&ended.stderr), @"differs: core (linux/amd64): the program core, and the layer that holds it: recorded sha256:…, made sha256:…");
    env.is_tidy();
}
