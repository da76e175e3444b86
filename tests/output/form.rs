//! The three forms, read by crane, skopeo and umoci.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use imgpack::archive::{self, Destination, ImageOutput};
use imgpack::model::{BlobDigest, Platform};
use imgpack::system::Cancel;

use crate::judge;
use crate::sample::Sample;

fn write(form: &str, path: &Path, sample: &Sample, images: &[ImageOutput]) -> String {
    let text = format!("{form}:{}", path.display());
    let destination: Destination = text.parse().unwrap();
    archive::write(&destination, images, &|digest: &BlobDigest| sample.open(digest), &Cancel::new()).unwrap();
    text
}

/// Every file below `directory`: path to content.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    walkdir::WalkDir::new(directory)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let name = entry.path().strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn skopeo_copies_between_all_forms() {
    let Some(_) = judge::find("skopeo") else { return };
    let mut sample = Sample::new();
    let image = sample.image(&["ghcr.io/acme/core:v1"], &Platform::ALL, "one");
    let single = ImageOutput {
        index: None,
        manifests: vec![image.manifests[0].clone()],
        names: vec!["acme/core:v1".into()],
    };
    let root = sample.directory.path();
    let layout = write("oci", &root.join("layout"), &sample, std::slice::from_ref(&image));
    let archive = write("oci-archive", &root.join("core.tar"), &sample, std::slice::from_ref(&image));
    let docker = write("docker-archive", &root.join("docker.tar"), &sample, std::slice::from_ref(&single));
    let digest = image.index.as_ref().unwrap().descriptor.digest.to_string();

    for (number, source) in
        [format!("{layout}:ghcr.io/acme/core:v1"), format!("{archive}:ghcr.io/acme/core:v1"), layout]
            .iter()
            .enumerate()
    {
        // `--raw` gives the very bytes that the name stands for.
        let raw = judge::run("skopeo", &["inspect", "--raw", source]);
        assert_eq!(BlobDigest::of(raw.as_bytes()).to_string(), digest, "{source}");
        let copied = format!("dir:{}", root.join(format!("copy-{number}")).display());
        judge::run("skopeo", &["--insecure-policy", "copy", "--all", "--preserve-digests", source, &copied]);
    }
    for source in [docker.clone(), format!("{docker}:acme/core:v1")] {
        let inspected = judge::run("skopeo", &["inspect", "--config", &source]);
        let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&single.manifests[0].config.bytes).unwrap();
        assert_eq!(inspected, config, "{source}");
    }
    let back = root.join("from-docker");
    judge::run("skopeo", &["--insecure-policy", "copy", &docker, &format!("oci:{}:v1", back.display())]);
    // skopeo writes the config anew for OCI; the layers have to be the same.
    let config = judge::run("skopeo", &["inspect", "--config", &format!("oci:{}:v1", back.display())]);
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let diff_ids: Vec<_> = single.manifests[0].layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    assert_eq!(config["rootfs"]["diff_ids"], serde_json::json!(diff_ids));
}

#[test]
fn crane_accepts_the_docker_archive() {
    let Some(_) = judge::find("crane") else { return };
    let mut sample = Sample::new();
    let image = sample.image(&["acme/core"], &[Platform::ARM64], "one");
    let root = sample.directory.path();
    let archive = root.join("docker.tar");
    write("docker-archive", &archive, &sample, std::slice::from_ref(&image));
    let said = judge::run("crane", &["validate", "--tarball", archive.to_str().unwrap()]);
    assert!(said.contains("PASS"), "{said}");
}

#[test]
fn umoci_unpacks_the_layout() {
    let Some(_) = judge::find("umoci") else { return };
    let mut sample = Sample::new();
    let image = sample.image(&["core-v1"], &[Platform::AMD64], "one");
    let root = sample.directory.path();
    write("oci", &root.join("layout"), &sample, std::slice::from_ref(&image));
    let reference = format!("{}:core-v1", root.join("layout").display());
    let bundle = root.join("bundle");
    judge::run("umoci", &["unpack", "--rootless", "--image", &reference, bundle.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(bundle.join("rootfs/app/arch")).unwrap(), "linux/amd64 one\n");
    assert_eq!(fs::read_to_string(bundle.join("rootfs/etc/motd")).unwrap(), "hello\n");
    let listed = judge::run("umoci", &["list", "--layout", root.join("layout").to_str().unwrap()]);
    assert_eq!(listed, "core-v1\n");
}

#[test]
fn gnu_tar_reads_both_archives_and_finds_them_sorted() {
    let mut sample = Sample::new();
    let image = sample.image(&["core:v1"], &[Platform::AMD64], "one");
    let root = sample.directory.path();
    for form in ["oci-archive", "docker-archive"] {
        let path = root.join(form);
        write(form, &path, &sample, std::slice::from_ref(&image));
        let names = judge::run("tar", &["-tf", path.to_str().unwrap()]);
        let mut sorted: Vec<&str> = names.lines().collect();
        sorted.sort_unstable();
        assert_eq!(names.lines().collect::<Vec<_>>(), sorted, "{form}");
        let listed = judge::run("tar", &["-tvf", path.to_str().unwrap(), "--numeric-owner", "--utc"]);
        for line in listed.lines() {
            assert!(line.contains(" 0/0 ") && line.contains(" 1970-01-01 00:00 "), "{form}: {line}");
        }
    }
}

#[test]
fn the_same_images_give_the_same_bytes_anywhere() {
    let mut sample = Sample::new();
    let image = sample.image(&["core:v1"], &[Platform::AMD64], "one");
    let root = sample.directory.path();
    for form in ["oci-archive", "docker-archive"] {
        let (first, second) = (root.join(format!("{form}-1")), root.join("other").join(form));
        write(form, &first, &sample, std::slice::from_ref(&image));
        write(form, &second, &sample, std::slice::from_ref(&image));
        assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap(), "{form}");
    }
    let layout = root.join("layout");
    write("oci", &layout, &sample, std::slice::from_ref(&image));
    let once = files(&layout);
    write("oci", &layout, &sample, std::slice::from_ref(&image));
    assert_eq!(files(&layout), once);
}

#[test]
fn a_layout_of_others_keeps_what_is_in_it() {
    let Some(_) = judge::find("umoci") else { return };
    let mut sample = Sample::new();
    let layout = sample.directory.path().join("layout");
    let path = layout.to_str().unwrap();
    judge::run("umoci", &["init", "--layout", path]);
    judge::run("umoci", &["new", "--image", &format!("{path}:foreign")]);
    let one = sample.image(&["core"], &Platform::ALL, "one");
    let two = sample.image(&["core", "other"], &Platform::ALL, "two");
    write("oci", &layout, &sample, &[one]);
    write("oci", &layout, &sample, std::slice::from_ref(&two));
    assert_eq!(judge::run("umoci", &["list", "--layout", path]), "foreign\ncore\nother\n");
    judge::run("umoci", &["stat", "--image", &format!("{path}:foreign"), "--json"]);
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let of_core: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == "core")
        .collect();
    assert_eq!(of_core.len(), 1);
    assert_eq!(of_core[0]["digest"], two.index.unwrap().descriptor.digest.to_string());
}

#[test]
fn blobs_are_copies_not_hard_links() {
    use std::os::unix::fs::MetadataExt as _;
    let mut sample = Sample::new();
    let image = sample.image(&["core"], &[Platform::AMD64], "one");
    let layout = sample.directory.path().join("layout");
    write("oci", &layout, &sample, std::slice::from_ref(&image));
    let digest = image.manifests[0].layers[0].descriptor.digest;
    let (stored, written) = (sample.blob_path(&digest), layout.join("blobs/sha256").join(digest.hex()));
    assert_eq!(fs::read(&stored).unwrap(), fs::read(&written).unwrap());
    assert_ne!(fs::metadata(stored).unwrap().ino(), fs::metadata(written).unwrap().ino());
}

#[test]
fn writers_of_one_layout_wait_for_each_other() {
    let mut sample = Sample::new();
    let names: Vec<String> = (0..8).map(|number| format!("core-{number}")).collect();
    let images: Vec<ImageOutput> =
        names.iter().map(|name| sample.image(&[name.as_str()], &Platform::ALL, name)).collect();
    let layout = sample.directory.path().join("new/layout");
    std::thread::scope(|scope| {
        for image in &images {
            scope.spawn(|| write("oci", &layout, &sample, std::slice::from_ref(image)));
        }
    });
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let mut found: Vec<&str> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, names);
    // One common layer, and of each image two layers, two configs, two manifests and an index.
    assert_eq!(fs::read_dir(layout.join("blobs/sha256")).unwrap().count(), 1 + 8 * 7);
}
