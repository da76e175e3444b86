use super::*;

#[test]
fn layouts_and_their_archives_are_one() {
    let mut blobs = Blobs::default();
    let (amd, arm) = (blobs.image("amd64", "amd", false), blobs.image("arm64", "arm", true));
    let index = blobs.index(MediaType::OciIndex, &[("amd64", amd), ("arm64", arm)]);
    for entries in [vec![("", index)], vec![("amd64", amd), ("arm64", arm)], vec![("", amd), ("", arm)]] {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path().join("layout");
        blobs.layout(&directory, &entries);
        let files = blobs.layout_files(&entries);
        let rows: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let (plain, packed) = (temporary.path().join("a.tar"), temporary.path().join("a.tar.gz"));
        std::fs::write(&plain, tar_of(&rows)).unwrap();
        std::fs::write(&packed, gzip(&tar_of(&rows))).unwrap();
        for (platform, text, digest) in
            [(Platform::AMD64, "amd", amd.digest), (Platform::ARM64, "arm", arm.digest)]
        {
            let store = Memory::default();
            let base =
                import(&store, "oci:l", platform, |import| from_oci_layout(import, &directory)).unwrap();
            assert_eq!((passwd(&base), base.digest, base.name.as_deref()), (text, Some(digest), None));
            for file in [&plain, &packed] {
                let same = import(&Memory::default(), "oci-archive:a", platform, |import| {
                    from_oci_archive(import, file)
                });
                assert_eq!(same.unwrap(), base);
            }
        }
    }
}

#[test]
fn broken_layouts_are_refused_by_name() {
    let mut blobs = Blobs::default();
    let (one, two) = (blobs.image("amd64", "one", false), blobs.image("amd64", "two", false));
    let attempt = |entries: &[(&str, Descriptor)], change: &dyn Fn(&Path)| {
        let temporary = tempfile::tempdir().unwrap();
        blobs.layout(temporary.path(), entries);
        change(temporary.path());
        let load = |import: &Import<'_>| from_oci_layout(import, temporary.path());
        import(&Memory::default(), "oci:l", Platform::AMD64, load).unwrap_err()
    };
    let error = attempt(&[("", one), ("", two)], &|_| ());
    let both = format!("oci:l holds several images for linux/amd64: {}, {}", one.digest, two.digest);
    assert_eq!(error.to_string(), both);
    assert_eq!(error.hint().as_deref(), Some("keep one image in it"));
    let blob = |descriptor: &Descriptor| format!("blobs/sha256/{}", descriptor.digest.hex());
    let remove = |name: &str| {
        let name = name.to_owned();
        move |layout: &Path| std::fs::remove_file(layout.join(&name)).unwrap()
    };
    assert_eq!(attempt(&[("", one)], &remove("index.json")).to_string(), "oci:l has no `index.json`");
    assert_eq!(attempt(&[("", one)], &remove("oci-layout")).to_string(), "oci:l has no `oci-layout`");
    let gone = chain(&attempt(&[("", one)], &remove(&blob(&one))));
    assert_eq!(gone, format!("cannot get the blob {} of oci:l: there is no `{}`", one.digest, blob(&one)));
    let damaged = attempt(&[("", one)], &|layout| {
        let path = layout.join(blob(&one));
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace("amd64", "arm64")
            .replace("\"schemaVersion\":2", "\"schemaVersion\":3");
        std::fs::write(path, text).unwrap();
    });
    assert!(damaged.to_string().starts_with(&format!("the blob {} of oci:l is damaged", one.digest)));
    let version = attempt(&[("", one)], &|layout| {
        std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    });
    let message = "`oci-layout` of oci:l is broken: it is of the version `2.0.0`, only 1.x is known";
    assert_eq!(version.to_string(), message);
}

/// Tag, architecture, and layers with their names.
type Saved<'a> = (&'a str, &'a str, &'a [(&'a str, &'a [u8])]);

/// What `docker save` writes: a config by its digest, layers by any name.
fn docker_archive(images: &[Saved<'_>]) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut rows = Vec::new();
    for (tag, architecture, layers) in images {
        let plain: Vec<Vec<u8>> = layers
            .iter()
            .map(|(_, bytes)| {
                let mut plain = Vec::new();
                crate::tar::open_packed(*bytes).unwrap().1.read_to_end(&mut plain).unwrap();
                plain
            })
            .collect();
        let plain: Vec<&[u8]> = plain.iter().map(Vec::as_slice).collect();
        let config = config(architecture, &plain).to_string().into_bytes();
        let name = format!("{}.json", BlobDigest::of(&config).hex());
        rows.push(serde_json::json!({
            "Config": name, "RepoTags": [tag], "Layers": layers.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        }));
        files.push((name, config));
        files.extend(layers.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())));
    }
    files.push(("manifest.json".to_owned(), serde_json::Value::from(rows).to_string().into_bytes()));
    files
}

fn load_docker(
    store: &Memory,
    files: &[(String, Vec<u8>)],
    platform: Platform,
) -> Result<BaseImage, BaseError> {
    let rows: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let temporary = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(temporary.path(), tar_of(&rows)).unwrap();
    import(store, "docker-archive:d.tar", platform, |import| {
        from_docker_archive(import, temporary.path(), &COMPRESSOR)
    })
}

#[test]
fn docker_archives_keep_gzip_and_pack_plain_layers_once() {
    let (plain, packed) =
        (tar_of(&[("etc/passwd", b"one"), ("a", b"aa")]), tar_of(&[("etc/passwd", b"two")]));
    let packed_gzip = gzip(&packed);
    let files =
        docker_archive(&[("x:1", "amd64", &[("one/layer.tar", &plain), ("blobs/sha256/two", &packed_gzip)])]);
    let store = Memory::default();
    let base = load_docker(&store, &files, Platform::AMD64).unwrap();
    assert_eq!((passwd(&base), base.digest, base.name.as_deref()), ("two", None, None));
    let digests: Vec<_> = base.layers.iter().map(|layer| layer.layer.descriptor).collect();
    let expected = [&gzip(&plain), &packed_gzip].map(|bytes| Descriptor::of(MediaType::OciLayerGzip, bytes));
    assert_eq!(digests, expected);
    assert_eq!(base.layers[0].layer.diff_id, DiffId::of(&plain));
    assert_eq!(store.puts(), 2);
    assert_eq!(load_docker(&store, &files, Platform::AMD64).unwrap(), base);
    assert_eq!(store.puts(), 2);
}

#[test]
fn links_of_old_docker_archives_are_followed() {
    let layer = tar_of(&[("etc/passwd", b"linked")]);
    let files = docker_archive(&[("x:1", "amd64", &[("two/layer.tar", &layer)])]);
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in &files {
        let name = name.replace("two/", "one/");
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    let mut header = tar::Header::new_ustar();
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Symlink);
    builder.append_link(&mut header, "two/layer.tar", "../one/layer.tar").unwrap();
    let temporary = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(temporary.path(), builder.into_inner().unwrap()).unwrap();
    let load = |import: &Import<'_>| from_docker_archive(import, temporary.path(), &COMPRESSOR);
    let base = import(&Memory::default(), "docker-archive:d", Platform::AMD64, load).unwrap();
    assert_eq!(passwd(&base), "linked");
}

#[test]
fn broken_docker_archives_are_refused_by_name() {
    let layer = tar_of(&[("etc/passwd", b"x")]);
    let good = docker_archive(&[("x:1", "amd64", &[("l/layer.tar", &layer)])]);
    let without =
        |name: &str| good.iter().filter(|(known, _)| !known.ends_with(name)).cloned().collect::<Vec<_>>();
    let load = |files: &[(String, Vec<u8>)], platform| {
        chain(&load_docker(&Memory::default(), files, platform).unwrap_err())
    };
    assert_eq!(
        load(&without("manifest.json"), Platform::AMD64),
        "docker-archive:d.tar has no `manifest.json`"
    );
    assert_eq!(load(&without("layer.tar"), Platform::AMD64), "docker-archive:d.tar has no `l/layer.tar`");
    assert_eq!(
        load(&good, Platform::ARM64),
        "the base docker-archive:d.tar is not there for linux/arm64, only for linux/amd64"
    );
    let other = tar_of(&[("etc/passwd", b"y")]);
    let two = docker_archive(&[("x:1", "amd64", &[("l", &layer)]), ("y:1", "amd64", &[("m", &other)])]);
    assert_eq!(
        load(&two, Platform::AMD64),
        "docker-archive:d.tar holds several images for linux/amd64: x:1, y:1"
    );
    let swapped: Vec<_> = good
        .iter()
        .map(|(name, bytes)| {
            (name.clone(), if name.ends_with("layer.tar") { other.clone() } else { bytes.clone() })
        })
        .collect();
    let error = load(&swapped, Platform::AMD64);
    assert!(error.ends_with(&format!("but its config says {}", DiffId::of(&layer))), "{error}");
    let temporary = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(temporary.path(), "no archive at all").unwrap();
    let load = |import: &Import<'_>| from_docker_archive(import, temporary.path(), &COMPRESSOR);
    let error = import(&Memory::default(), "docker-archive:d", Platform::AMD64, load).unwrap_err();
    assert_eq!(chain(&error), "cannot read the archive docker-archive:d: it is not a tar archive");
}

#[test]
fn root_file_systems_become_bases() {
    let tar = tar_of(&[("bin/sh", b"#!"), ("etc/passwd", b"root")]);
    let temporary = tempfile::tempdir().unwrap();
    let (plain, packed) = (temporary.path().join("r.tar"), temporary.path().join("r.tar.gz"));
    std::fs::write(&plain, &tar).unwrap();
    let packed_bytes = [gzip(&tar[..600]), gzip(&tar[600..])].concat();
    std::fs::write(&packed, &packed_bytes).unwrap();
    let store = Memory::default();
    let load = |file: &Path| {
        import(&store, "rootfs", Platform::AMD64, |import| from_rootfs(import, file, &COMPRESSOR))
    };
    let (one, two) = (load(&plain).unwrap(), load(&packed).unwrap());
    assert_eq!(one.facts, two.facts);
    assert_eq!(two.layers[0].layer.descriptor, Descriptor::of(MediaType::OciLayerGzip, &packed_bytes));
    assert_eq!(one.layers[0].layer.descriptor, Descriptor::of(MediaType::OciLayerGzip, &gzip(&tar)));
    assert_eq!(two.layers[0].created_by.as_deref(), Some("rootfs r.tar.gz"));
    assert_eq!(one.config.cmd.as_deref(), Some(&["/bin/sh".to_owned()][..]));
    assert_eq!(passwd(&one), "root");
    assert_eq!(store.puts(), 2);
    assert_eq!((load(&plain).unwrap(), load(&packed).unwrap()), (one, two));
    assert_eq!(store.puts(), 2);
    std::fs::write(&plain, tar_of(&[("a", b"")])).unwrap();
    assert_eq!(load(&plain).unwrap().config.cmd, None);
    std::fs::write(&plain, "text").unwrap();
    let error = chain(&load(&plain).unwrap_err());
    assert!(error.ends_with(" of rootfs cannot be read as a layer: it is not a tar archive"), "{error}");
    let gone = temporary.path().join("gone.tar.gz");
    assert_eq!(load(&gone).unwrap_err().to_string(), format!("cannot open {}", gone.display()));
}
