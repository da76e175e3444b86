use super::*;
use crate::model::FactKind;

fn load(blobs: &Blobs, top: &Descriptor, platform: Platform) -> Result<BaseImage, BaseError> {
    let store = Memory::default();
    load_into(&store, blobs, top, platform)
}

fn load_into(
    store: &Memory,
    blobs: &Blobs,
    top: &Descriptor,
    platform: Platform,
) -> Result<BaseImage, BaseError> {
    import(store, "r.example/b:1", platform, |import| {
        let document = Document { bytes: blobs.bytes(top), name: Some("r.example/b:1") };
        from_document(import, &document, &|descriptor, writer| blobs.fetch(descriptor, writer))
    })
}

#[test]
fn an_image_becomes_a_base() {
    for docker in [false, true] {
        let mut blobs = Blobs::default();
        let manifest = blobs.image("amd64", "root", docker);
        let store = Memory::default();
        let base = load_into(&store, &blobs, &manifest, Platform::AMD64).unwrap();
        assert_eq!(base.name.as_deref(), Some("r.example/b:1"));
        assert_eq!(base.digest, Some(manifest.digest));
        assert_eq!(passwd(&base), "root");
        let env = [("PATH".to_owned(), "/usr/bin".to_owned()), ("A".to_owned(), "1".to_owned())];
        assert_eq!(base.config.env, env);
        assert_eq!(
            (base.config.user.as_deref(), base.config.cmd.as_deref()),
            (None, Some(&["sh".to_owned()][..]))
        );
        assert_eq!(base.config.history.len(), 2);
        let [layer] = base.layers.as_slice() else { panic!("{:?}", base.layers) };
        assert_eq!(layer.created_by.as_deref(), Some("ADD rootfs"));
        assert_eq!(layer.layer.descriptor.media_type, MediaType::OciLayerGzip);
        assert_eq!((layer.layer.unpacked, layer.layer.entries), (6, 2));
        assert!(store.has(&layer.layer.descriptor.digest).unwrap());
    }
}

#[test]
fn the_platform_is_found_in_every_kind_of_index() {
    let mut blobs = Blobs::default();
    let (amd, arm) = (blobs.image("amd64", "amd", false), blobs.image("arm64", "arm", false));
    let s390 = blobs.image("s390x", "z", false);
    let statement = blobs.add(MediaType::OciManifest, b"no image at all");
    let rows = [("amd64", amd), ("unknown/unknown", statement), ("arm64", arm), ("s390x", s390)];
    let flat = blobs.index(MediaType::OciIndex, &rows);
    let list = blobs.index(MediaType::DockerIndex, &rows);
    let nested = blobs.index(MediaType::OciIndex, &[("", flat)]);
    let silent = blobs.index(MediaType::OciIndex, &[("", amd), ("", arm)]);
    // What the index says counts: some builders write the wrong architecture into configs.
    let wrong = blobs.index(MediaType::OciIndex, &[("arm64", arm), ("amd64", s390)]);
    for (index, amd_text) in [(flat, "amd"), (list, "amd"), (nested, "amd"), (silent, "amd"), (wrong, "z")] {
        for (platform, text) in [(Platform::AMD64, amd_text), (Platform::ARM64, "arm")] {
            assert_eq!(passwd(&load(&blobs, &index, platform).unwrap()), text);
        }
    }
    let only =
        blobs.index(MediaType::OciIndex, &[("s390x", s390), ("amd64", amd), ("unknown/unknown", statement)]);
    let error = load(&blobs, &only, Platform::ARM64).unwrap_err();
    let message = "the base r.example/b:1 is not there for linux/arm64, only for linux/amd64, linux/s390x";
    assert_eq!(error.to_string(), message);
    let hint = "leave linux/arm64 out of `platforms`, or choose another base than r.example/b:1";
    assert_eq!(error.hint().as_deref(), Some(hint));
    let error = load(&blobs, &amd, Platform::ARM64).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the base r.example/b:1 is not there for linux/arm64, only for linux/amd64"
    );
    let mut deep = flat;
    for _ in 0..6 {
        deep = blobs.index(MediaType::OciIndex, &[("", deep)]);
    }
    let error = load(&blobs, &deep, Platform::AMD64).unwrap_err().to_string();
    assert!(error.ends_with("is broken: indexes stand too deep in each other"), "{error}");
}

#[test]
fn known_facts_save_the_layers() {
    let mut blobs = Blobs::default();
    let manifest = blobs.image("amd64", "root", false);
    let store = Memory::default();
    let first = load_into(&store, &blobs, &manifest, Platform::AMD64).unwrap();
    assert_eq!(store.puts(), 1);
    assert_eq!(load_into(&store, &blobs, &manifest, Platform::AMD64).unwrap(), first);
    assert_eq!(store.puts(), 1);
    // Another machine's notes, no blobs.
    let notes = Memory { notes: Mutex::new(store.notes.lock().unwrap().clone()), ..Memory::default() };
    let document = Document { bytes: blobs.bytes(&manifest), name: Some("r.example/b:1") };
    let cancel = Cancel::new();
    let lazy = Import { base: "b", platform: Platform::AMD64, store: &notes, layers: false, cancel: &cancel };
    let fetch = |descriptor: &Descriptor, writer: &mut dyn Write| blobs.fetch(descriptor, writer);
    assert_eq!(from_document(&lazy, &document, &fetch).unwrap(), first);
    assert_eq!(notes.puts(), 0);
    bring(&lazy, &first.layers[0].layer.descriptor, &fetch).unwrap();
    assert_eq!(notes.puts(), 1);
    // A note that is torn or says too little is a miss.
    for note in notes.notes.lock().unwrap().values_mut() {
        note.truncate(20);
    }
    assert_eq!(from_document(&lazy, &document, &fetch).unwrap(), first);
}

#[test]
fn layers_are_merged_in_order() {
    let mut blobs = Blobs::default();
    let tars = [
        tar_of(&[("etc/passwd", b"one"), ("opt/x", b"x"), ("usr/real", b"linked")]),
        tar_of(&[("opt/.wh.x", b""), ("etc/passwd", b"two")]),
    ];
    let plain = blobs.add(MediaType::OciLayerTar, &tars[0]);
    let packed = blobs.add(MediaType::OciLayerGzip, &[gzip(&tars[1][..512]), gzip(&tars[1][512..])].concat());
    let config = blobs.add_json(MediaType::OciConfig, &config("arm64", &[&tars[0], &tars[1]]));
    let manifest = blobs.manifest(MediaType::OciManifest, &config, &[plain, packed]);
    let base = load(&blobs, &manifest, Platform::ARM64).unwrap();
    assert_eq!(passwd(&base), "two");
    let paths: Vec<_> = base.facts.tree.keys().map(ToString::to_string).collect();
    assert_eq!(paths, ["/etc", "/etc/passwd", "/opt", "/usr", "/usr/real"]);
    assert_eq!(base.facts.tree["/opt"].kind, FactKind::Directory);
    // One line of history for two layers says nothing of either.
    assert!(base.layers.iter().all(|layer| layer.created_by.is_none()));
    assert_eq!(base.layers[0].layer.descriptor.media_type, MediaType::OciLayerTar);
}

#[test]
fn nothing_that_is_fetched_is_believed() {
    let mut blobs = Blobs::default();
    let manifest = blobs.image("amd64", "root", false);
    let read: serde_json::Value = serde_json::from_slice(blobs.bytes(&manifest)).unwrap();
    let descriptor = |value: &serde_json::Value| serde_json::from_value::<Descriptor>(value.clone()).unwrap();
    let (config, layer) = (descriptor(&read["config"]), descriptor(&read["layers"][0]));
    let store = Memory::default();
    let attempt = |damaged: Descriptor, change: &(dyn Fn(&mut Vec<u8>) + Sync)| {
        import(&store, "b", Platform::AMD64, |import| {
            let document = Document { bytes: blobs.bytes(&manifest), name: None };
            from_document(import, &document, &|wanted, writer| {
                let mut bytes = blobs.bytes(wanted).to_vec();
                if wanted.digest == damaged.digest {
                    change(&mut bytes);
                }
                Ok(writer.write_all(&bytes)?)
            })
        })
        .map_err(|error| chain(&error))
    };
    for blob in [config, layer] {
        let error = attempt(blob, &|bytes| bytes[0] ^= 1).unwrap_err();
        assert!(
            error.starts_with(&format!("the blob {} of b is damaged: it is sha256:", blob.digest)),
            "{error}"
        );
        let error = attempt(blob, &|bytes| bytes.truncate(9)).unwrap_err();
        assert!(error.ends_with(&format!(", 9 bytes instead of {}", blob.size)), "{error}");
        let error = attempt(blob, &|bytes| bytes.push(0)).unwrap_err();
        let message =
            format!("the blob {} of b is longer than the {} bytes that it may have", blob.digest, blob.size);
        assert_eq!(error, message);
    }
    assert!(!store.has(&layer.digest).unwrap());
    let missing = Blobs([(manifest.digest, blobs.bytes(&manifest).to_vec())].into());
    let error = chain(&load(&missing, &manifest, Platform::AMD64).unwrap_err());
    assert_eq!(error, format!("cannot get the blob {} of r.example/b:1: 404 not found", config.digest));
}

#[test]
fn impossible_documents_are_refused_by_name() {
    let mut blobs = Blobs::default();
    let manifest = blobs.image("amd64", "root", false);
    let json: serde_json::Value = serde_json::from_slice(blobs.bytes(&manifest)).unwrap();
    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = json.clone();
        change(&mut json);
        json.to_string()
    };
    let of = "of r.example/b:1";
    let broken = |reason: &str| format!("the document {of} is broken: {reason}");
    let encrypted = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted";
    let signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let blob_type =
        |text: &str| format!("r.example/b:1 has a blob of the type `{text}`, which is not supported");
    for (text, message) in [
        ("{".to_owned(), broken("EOF while parsing an object at line 1 column 1")),
        ("{}".to_owned(), broken("it is neither an index nor a manifest of schema 2")),
        (
            changed(&|json| json["manifests"] = serde_json::json!([])),
            broken("it is not what its media type says, or two things at once"),
        ),
        (
            changed(&|json| json["mediaType"] = MediaType::OciIndex.as_str().into()),
            broken("it is not what its media type says, or two things at once"),
        ),
        (changed(&|json| json["mediaType"] = signed.into()), blob_type(signed)),
        (
            r#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#.to_owned(),
            broken("it is of schema 1: images of that age have to be pushed anew"),
        ),
        (changed(&|json| json["layers"][0]["mediaType"] = encrypted.into()), blob_type(encrypted)),
        (
            changed(&|json| json["layers"][0]["mediaType"] = MediaType::OciConfig.as_str().into()),
            broken("it has a layer of the type `application/vnd.oci.image.config.v1+json`"),
        ),
        (
            changed(&|json| json["config"]["mediaType"] = MediaType::OciLayerTar.as_str().into()),
            broken("its config is not that of an image"),
        ),
        (
            changed(&|json| json["config"]["digest"] = "sha512:00".into()),
            format!(
                "a descriptor (sha512:00) {of} is broken: `sha512:00` is not a digest of the form sha256:<64 hex digits>"
            ),
        ),
        (
            changed(&|json| json["config"]["digest"] = "../../etc/passwd".into()),
            format!(
                "a descriptor (../../etc/passwd) {of} is broken: `../../etc/passwd` is not a digest of the form sha256:<64 hex digits>"
            ),
        ),
        (
            changed(&|json| json["layers"] = serde_json::json!([])),
            format!("the config {of} is broken: it names 1 layers, the manifest 0"),
        ),
        (
            changed(&|json| json["layers"] = serde_json::Value::Null),
            format!("the config {of} is broken: it names 1 layers, the manifest 0"),
        ),
    ] {
        let document = blobs.add(MediaType::OciManifest, text.as_bytes());
        assert_eq!(load(&blobs, &document, Platform::AMD64).unwrap_err().to_string(), message);
    }
    let document =
        blobs.add(MediaType::OciManifest, changed(&|json| json["mediaType"] = signed.into()).as_bytes());
    let hint = load(&blobs, &document, Platform::AMD64).unwrap_err().hint().unwrap();
    assert_eq!(hint, "images of that age have to be pushed anew: copy r.example/b:1 with a tool of today");
    let huge = blobs.add(MediaType::OciManifest, &vec![b' '; 5 << 20]);
    let error = load(&blobs, &huge, Platform::AMD64).unwrap_err().to_string();
    assert!(error.ends_with("is longer than the 4194304 bytes that it may have"), "{error}");
}

#[test]
fn layers_that_are_none_are_refused() {
    let good = tar_of(&[("a", b"a")]);
    let escape = {
        let mut bytes = good.clone();
        bytes[..3].copy_from_slice(b"../");
        bytes[3] = b'a';
        let mut header = tar::Header::from_byte_slice(&bytes[..512]).clone();
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        bytes
    };
    for (blob, said, message) in [
        (gzip(b"#!/bin/sh"), b"".to_vec(), "cannot be read as a layer: it is not a tar archive"),
        (gzip(&good)[..30].to_vec(), b"".to_vec(), "cannot be read as a layer: "),
        (
            b"\xfd7zXZ\0 rest".to_vec(),
            b"".to_vec(),
            "cannot be read as a layer: it is compressed with xz, which is not supported",
        ),
        (
            b"\x28\xb5\x2f\xfd rest".to_vec(),
            b"".to_vec(),
            "cannot be read as a layer: cannot read it at byte 0: ",
        ),
        (gzip(&escape), escape, "cannot be read as a layer: the path `../a` leads out of the archive"),
        (
            gzip(&good),
            b"other".to_vec(),
            &format!("unpacks to {}, but its config says {}", DiffId::of(&good), DiffId::of(b"other")),
        ),
    ] {
        let mut blobs = Blobs::default();
        let layer = blobs.add(MediaType::OciLayerGzip, &blob);
        let config = blobs.add_json(MediaType::OciConfig, &config("amd64", &[&said]));
        let manifest = blobs.manifest(MediaType::OciManifest, &config, &[layer]);
        let error = chain(&load(&blobs, &manifest, Platform::AMD64).unwrap_err());
        let start = format!("the layer {} of r.example/b:1 {message}", layer.digest);
        assert!(error.starts_with(&start), "{error}\n{start}");
    }
}

#[test]
fn cancelling_stops() {
    let mut blobs = Blobs::default();
    let manifest = blobs.image("amd64", "root", false);
    let (store, cancel) = (Memory::default(), Cancel::new());
    let import =
        Import { base: "b", platform: Platform::AMD64, store: &store, layers: true, cancel: &cancel };
    let document = Document { bytes: blobs.bytes(&manifest), name: None };
    let error = from_document(&import, &document, &|descriptor, writer| {
        if descriptor.media_type == MediaType::OciLayerGzip {
            cancel.cancel();
        }
        blobs.fetch(descriptor, writer)
    });
    assert_eq!(error.unwrap_err().to_string(), "cancelled");
    assert_eq!(store.puts(), 0);
}
