//! What cannot be written, said so that it can be mended, with nothing left behind.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use imgpack::archive::{self, ArchiveError, ImageOutput};
use imgpack::model::{BlobDigest, MediaType, Platform};
use imgpack::system::Cancel;

use crate::sample::Sample;

fn write(form: &str, path: &Path, sample: &Sample, image: &ImageOutput) -> Result<(), ArchiveError> {
    let destination = format!("{form}:{}", path.display()).parse().unwrap();
    archive::write(
        &destination,
        std::slice::from_ref(image),
        &|digest: &BlobDigest| sample.open(digest),
        &Cancel::new(),
    )
}

/// Names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn a_blob_that_is_cut_short_or_longer_leaves_the_targets_as_they_were() {
    for (change, found) in [(-1_i64, -1_i64), (5, 1)] {
        let mut sample = Sample::new();
        let image = sample.image(&["core"], &[Platform::AMD64], "one");
        let layer = image.manifests[0].layers[1].descriptor;
        let broken = sample.blob_path(&layer.digest);
        let length = i64::try_from(layer.size).unwrap();
        fs::File::options()
            .write(true)
            .open(&broken)
            .unwrap()
            .set_len(u64::try_from(length + change).unwrap())
            .unwrap();
        let outputs = tempfile::tempdir().unwrap();
        for form in ["oci-archive", "docker-archive", "oci"] {
            let path = outputs.path().join(form);
            if form != "oci" {
                fs::write(&path, "what was there before").unwrap();
            }
            let error = write(form, &path, &sample, &image).unwrap_err();
            let seen = if form == "oci" { length + change } else { length + found };
            assert_eq!(
                error.to_string(),
                format!("blob {} has {seen} bytes, its descriptor says {length}", layer.digest)
            );
            if form != "oci" {
                assert_eq!(fs::read(&path).unwrap(), b"what was there before");
            }
        }
        assert_eq!(names(outputs.path()), ["docker-archive", "oci-archive"]);
    }
}

#[test]
fn a_failure_in_the_middle_does_not_touch_an_existing_layout() {
    let mut sample = Sample::new();
    let layout = sample.directory.path().join("layout");
    let good = sample.image(&["core"], &Platform::ALL, "one");
    write("oci", &layout, &sample, &good).unwrap();
    let before =
        (names(&layout), names(&layout.join("blobs/sha256")), fs::read(layout.join("index.json")).unwrap());
    let bad = sample.image(&["core"], &Platform::ALL, "two");
    fs::remove_file(sample.blob_path(&bad.manifests[1].layers[1].descriptor.digest)).unwrap();
    let error = write("oci", &layout, &sample, &bad).unwrap_err();
    assert!(matches!(error, ArchiveError::Blob { .. }), "{error}");
    let after =
        (names(&layout), names(&layout.join("blobs/sha256")), fs::read(layout.join("index.json")).unwrap());
    assert_eq!(before, after);
}

#[test]
fn wrong_targets_are_named() {
    let mut sample = Sample::new();
    let image = sample.image(&["core"], &[Platform::AMD64], "one");
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    fs::create_dir(path("full")).unwrap();
    fs::write(path("full/thesis.txt"), "").unwrap();
    fs::write(path("file"), "").unwrap();
    fs::create_dir(path("old")).unwrap();
    fs::write(path("old/oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    fs::create_dir(path("torn")).unwrap();
    fs::write(path("torn/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(path("torn/index.json"), r#"{"manifests": ["#).unwrap();
    let shown = root.path().display();
    for (form, name, message) in [
        ("oci", "full", format!("{shown}/full is not empty and not an OCI image layout")),
        ("oci", "file", format!("{shown}/file exists and is not a directory")),
        ("oci", "file/x", format!("cannot create the directory {shown}/file: File exists (os error 17)")),
        (
            "oci",
            "old",
            format!("{shown}/old is an OCI image layout of version `2.0.0`, imgpack writes 1.0.0"),
        ),
        (
            "oci",
            "torn",
            format!("{shown}/torn/index.json is damaged: EOF while parsing a list at line 1 column 15"),
        ),
        ("oci-archive", "full", format!("{shown}/full exists and is not a regular file")),
        (
            "docker-archive",
            "file/x",
            format!("cannot create the directory {shown}/file: File exists (os error 17)"),
        ),
    ] {
        let error = write(form, &path(name), &sample, &image).unwrap_err();
        assert_eq!(chain(&error), message);
    }
    assert_eq!(names(root.path()), ["file", "full", "old", "torn"]);
    assert_eq!(fs::read_to_string(path("torn/index.json")).unwrap(), r#"{"manifests": ["#);
}

#[test]
fn a_docker_archive_holds_one_platform_and_no_zstd() {
    let mut sample = Sample::new();
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("x.tar");
    let both = sample.image(&["core:v1"], &Platform::ALL, "one");
    let error = write("docker-archive", &target, &sample, &both).unwrap_err();
    assert_eq!(error.to_string(), "a docker-archive holds one platform, core:v1 has 2");
    assert!(error.hint().unwrap().contains("--platform"));
    let mut zstd = sample.image(&["core:v1"], &[Platform::AMD64], "one");
    zstd.manifests[0].layers[0].descriptor.media_type = MediaType::OciLayerZstd;
    let error = write("docker-archive", &target, &sample, &zstd).unwrap_err();
    assert!(
        error.to_string().ends_with("is compressed with zstd, which a docker-archive cannot hold"),
        "{error}"
    );
    assert_eq!(names(root.path()), Vec::<String>::new());
}

#[test]
fn one_name_for_two_images_is_refused() {
    let mut sample = Sample::new();
    let root = tempfile::tempdir().unwrap();
    let images = ["one", "two"].map(|text| sample.image(&["core"], &[Platform::AMD64], text));
    for form in ["oci", "oci-archive", "docker-archive"] {
        let destination = format!("{form}:{}", root.path().join("x").display()).parse().unwrap();
        let open = |digest: &BlobDigest| sample.open(digest);
        let error = archive::write(&destination, &images, &open, &Cancel::new()).unwrap_err();
        assert_eq!(error.to_string(), "two images are named core");
    }
    assert_eq!(names(root.path()), Vec::<String>::new());
}

#[test]
fn a_full_disk_is_named_and_left_empty() {
    let mut sample = Sample::new();
    let image = {
        let noise: Vec<String> = (0..40_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect();
        let mut image = sample.image(&["core"], &[Platform::AMD64], "one");
        image.manifests[0].layers.push(sample.layer(&[("noise", &noise.concat())]));
        image
    };
    let disk = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(disk.path())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        println!("skipped: this user cannot mount a small file system");
        return;
    }
    let _unmount = Unmount(disk.path());
    for form in ["oci", "oci-archive", "docker-archive"] {
        let error = write(form, &disk.path().join(form), &sample, &image).unwrap_err();
        let ArchiveError::Io(cause) = &error else { panic!("{error}") };
        assert!(error.to_string().starts_with("cannot write /"), "{error}");
        assert!(cause.path.starts_with(disk.path().join(form)), "{error}");
        assert_eq!(cause.source.kind(), io::ErrorKind::StorageFull);
        assert!(error.hint().unwrap().contains("free some space"));
        assert_eq!(names(disk.path()), Vec::<String>::new(), "{form}");
    }
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}
