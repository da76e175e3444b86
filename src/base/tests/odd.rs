//! Documents as they are found in the wild.

use serde_json::{Value, json};

use super::*;

fn load(blobs: &Blobs, top: &Descriptor, platform: Platform) -> Result<BaseImage, BaseError> {
    import(&Memory::default(), "b", platform, |import| {
        let document = Document { bytes: blobs.bytes(top), name: None };
        from_document(import, &document, &|descriptor, writer| blobs.fetch(descriptor, writer))
    })
}

/// An index of entries, each a manifest with the fields of `more`.
fn index_of(blobs: &mut Blobs, rows: &[(Descriptor, Value)]) -> Descriptor {
    let rows: Vec<Value> = rows
        .iter()
        .map(|(manifest, more)| {
            let mut row = serde_json::to_value(manifest).unwrap();
            row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            row
        })
        .collect();
    let index = json!({
        "schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": rows,
        "annotations": { "org.example.unknown": "1" }, "artifactType": "x/y", "later": { "than": "this" },
    });
    blobs.add_json(MediaType::OciIndex, &index)
}

fn platform(text: &str) -> Value {
    let mut parts = text.split('/');
    let mut platform = json!({ "os": parts.next(), "architecture": parts.next() });
    if let Some(variant) = parts.next() {
        platform["variant"] = variant.into();
    }
    json!({ "platform": platform })
}

#[test]
fn the_platform_that_is_meant_is_taken() {
    const AMD: Platform = Platform::AMD64;
    const ARM: Platform = Platform::ARM64;
    let cases: &[(&[&str], Platform, Result<usize, &str>)] = &[
        // Never the one that only resembles it.
        (&["linux/386", "linux/amd64"], AMD, Ok(1)),
        (&["linux/386"], AMD, Err("linux/386")),
        (&["linux/arm/v5", "linux/arm/v7", "linux/arm64"], ARM, Ok(2)),
        (&["linux/arm/v8", "linux/arm/v7"], ARM, Err("linux/arm/v7, linux/arm/v8")),
        (&["windows/amd64", "linux/amd64"], AMD, Ok(1)),
        // Exactly this one before one by rule, wherever it stands.
        (&["linux/arm64/v8"], ARM, Ok(0)),
        (&["linux/arm64/v8", "linux/arm64"], ARM, Ok(1)),
        (&["linux/arm64/v9", "linux/arm64/v8"], ARM, Ok(1)),
        (&["linux/arm64/v9"], ARM, Err("linux/arm64/v9")),
        (&["linux/amd64/v2", "linux/amd64/v3", "linux/amd64"], AMD, Ok(2)),
        (&["linux/amd64/v1"], AMD, Ok(0)),
        (&["linux/amd64/v3"], AMD, Err("linux/amd64/v3")),
        (&["unknown/unknown", "linux/amd64"], AMD, Ok(1)),
        (&["unknown/unknown"], AMD, Err("no platform at all")),
    ];
    for (platforms, wanted, expected) in cases {
        let mut blobs = Blobs::default();
        let rows: Vec<_> = platforms
            .iter()
            .enumerate()
            .map(|(number, text)| (blobs.image("amd64", &number.to_string(), false), platform(text)))
            .collect();
        let index = index_of(&mut blobs, &rows);
        let found = load(&blobs, &index, *wanted).map(|base| passwd(&base).to_owned());
        match expected {
            Ok(number) => assert_eq!(found.unwrap(), number.to_string(), "{platforms:?}"),
            Err(only) => {
                let message = format!("the base b is not there for {wanted}, only for {only}");
                assert_eq!(found.unwrap_err().to_string(), message, "{platforms:?}");
            }
        }
    }
}

#[test]
fn what_is_no_image_is_passed_over() {
    let mut blobs = Blobs::default();
    let image = blobs.image("amd64", "root", false);
    let empty = blobs.add(MediaType::OciConfig, b"{}");
    let artifact = json!({
        "schemaVersion": 2, "mediaType": MediaType::OciManifest, "artifactType": "application/vnd.example+json",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": empty.digest, "size": 2, "data": "e30=" },
        "layers": [{ "mediaType": "application/json", "digest": empty.digest, "size": 2 }],
    });
    let artifact = blobs.add_json(MediaType::OciManifest, &artifact);
    let attestation = json!({
        "annotations": { "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": "x" },
        "platform": { "os": "unknown", "architecture": "unknown" },
    });
    let index = index_of(
        &mut blobs,
        &[
            (artifact, json!({ "artifactType": "application/vnd.example+json" })),
            (artifact, json!({ "mediaType": "application/vnd.example.thing" })),
            (artifact, attestation),
            (
                image,
                json!({ "platform": { "os": "", "architecture": "" }, "annotations": null, "data": "bm9uZQ==" }),
            ),
        ],
    );
    let outer = index_of(&mut blobs, &[(index, platform("linux/amd64"))]);
    for top in [index, outer] {
        assert_eq!(passwd(&load(&blobs, &top, Platform::AMD64).unwrap()), "root");
        let error = load(&blobs, &top, Platform::ARM64).unwrap_err().to_string();
        assert_eq!(error, "the base b is not there for linux/arm64, only for linux/amd64");
    }
    let error = load(&blobs, &artifact, Platform::AMD64).unwrap_err().to_string();
    assert_eq!(error, "the document of b is broken: its config is not that of an image");
}

#[test]
fn an_image_without_layers_is_a_base() {
    for layers in [json!([]), Value::Null] {
        let mut blobs = Blobs::default();
        let mut config = config("amd64", &[]);
        config["history"] = json!([{ "created_by": "ENV", "empty_layer": true }]);
        config["rootfs"]["diff_ids"] = layers.clone();
        let config = blobs.add_json(MediaType::OciConfig, &config);
        let manifest = json!({ "schemaVersion": 2, "mediaType": MediaType::OciManifest, "config": config, "layers": layers });
        let manifest = blobs.add_json(MediaType::OciManifest, &manifest);
        let base = load(&blobs, &manifest, Platform::AMD64).unwrap();
        assert!(base.layers.is_empty() && base.facts.tree.is_empty());
    }
}

#[test]
fn one_layer_may_stand_several_times() {
    let mut blobs = Blobs::default();
    let (one, two) = (tar_of(&[("a", b"1")]), tar_of(&[("a", b"22"), ("b", b"")]));
    let (first, second) =
        (blobs.add(MediaType::OciLayerGzip, &gzip(&one)), blobs.add(MediaType::OciLayerGzip, &gzip(&two)));
    let config = blobs.add_json(MediaType::OciConfig, &config("amd64", &[&one, &two, &one]));
    let manifest = blobs.manifest(MediaType::OciManifest, &config, &[first, second, first]);
    let base = load(&blobs, &manifest, Platform::AMD64).unwrap();
    assert_eq!(base.layers.len(), 3);
    assert_eq!(base.facts.tree["/a"].size, 1);
}

#[test]
fn every_kind_of_layer_is_read_and_keeps_its_kind() {
    let tar = tar_of(&[("etc/passwd", b"root")]);
    let zstd = zstd::bulk::compress(&tar, 3).unwrap();
    let kinds = [
        ("application/vnd.oci.image.layer.v1.tar", &tar, MediaType::OciLayerTar),
        ("application/vnd.oci.image.layer.v1.tar+gzip", &gzip(&tar), MediaType::OciLayerGzip),
        ("application/vnd.oci.image.layer.v1.tar+zstd", &zstd, MediaType::OciLayerZstd),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", &gzip(&tar), MediaType::OciLayerGzip),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar", &tar, MediaType::OciForeignTar),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", &gzip(&tar), MediaType::OciForeignGzip),
        (
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            &gzip(&tar),
            MediaType::OciForeignGzip,
        ),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", &zstd, MediaType::OciForeignZstd),
    ];
    for (text, bytes, expected) in kinds {
        let mut blobs = Blobs::default();
        let layer = blobs.add(MediaType::OciLayerTar, bytes);
        let config = blobs.add_json(MediaType::OciConfig, &config("amd64", &[&tar]));
        let url = "https://layers.example/base.tar";
        let row = json!({ "mediaType": text, "digest": layer.digest, "size": layer.size, "urls": [url], "data": "AA==",
            "annotations": { "org.example.unknown": "1" } });
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [row] });
        let manifest = blobs.add_json(MediaType::OciManifest, &manifest);
        let base = load(&blobs, &manifest, Platform::AMD64).unwrap();
        assert_eq!(passwd(&base), "root", "{text}");
        assert_eq!(base.layers[0].layer.descriptor, Descriptor { media_type: expected, ..layer }, "{text}");
        let urls: &[&str] = if text.contains("foreign") || text.contains("nondist") { &[url] } else { &[] };
        assert_eq!(base.layers[0].urls, urls, "{text}");
        assert_eq!(expected.to_docker().is_none(), text.ends_with("zstd"), "{text}");
    }
}

#[test]
fn files_in_zstd_are_read() {
    let tar = tar_of(&[("etc/passwd", b"root")]);
    let zstd = zstd::bulk::compress(&tar, 3).unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let file = temporary.path().join("root.tar.zst");
    std::fs::write(&file, &zstd).unwrap();
    let store = Memory::default();
    let load = |import: &Import<'_>| from_rootfs(import, &file, &COMPRESSOR);
    let base = import(&store, "rootfs", Platform::AMD64, load).unwrap();
    assert_eq!(base.layers[0].layer.descriptor, Descriptor::of(MediaType::OciLayerZstd, &zstd));

    let mut blobs = Blobs::default();
    let layer = blobs.add(MediaType::OciLayerZstd, &zstd);
    let config = blobs.add_json(MediaType::OciConfig, &config("amd64", &[&tar]));
    let manifest = blobs.manifest(MediaType::OciManifest, &config, &[layer]);
    let files = blobs.layout_files(&[("amd64", manifest)]);
    let rows: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let archive = temporary.path().join("base.tar.zst");
    std::fs::write(&archive, zstd::bulk::compress(&tar_of(&rows), 3).unwrap()).unwrap();
    let load = |import: &Import<'_>| from_oci_archive(import, &archive);
    let base = import(&store, "oci-archive:base.tar.zst", Platform::AMD64, load).unwrap();
    assert_eq!((passwd(&base), base.layers[0].layer.descriptor), ("root", layer));
}
