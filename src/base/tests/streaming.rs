//! Layers that are read as they come, and not kept.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Three layers, the second of which links to a file of the first that no name gives away.
fn three(blobs: &mut Blobs) -> Descriptor {
    let tars = [
        tar_of(&[("etc/passwd", b"root"), ("data/users", b"linked")]),
        link("etc/group", "/data/users"),
        tar_of(&[("big", &vec![7; 300_000])]),
    ];
    let layers = [
        blobs.add(MediaType::OciLayerTar, &tars[0]),
        blobs.add(MediaType::OciLayerGzip, &gzip(&tars[1])),
        blobs.add(MediaType::OciLayerZstd, &zstd::bulk::compress(&tars[2], 1).unwrap()),
    ];
    let config = blobs.add_json(MediaType::OciConfig, &config("amd64", &[&tars[0], &tars[1], &tars[2]]));
    blobs.manifest(MediaType::OciManifest, &config, &layers)
}

fn link(path: &str, target: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, path, target).unwrap();
    builder.into_inner().unwrap()
}

/// Loads without keeping layers; how often each of them was asked for.
fn load(store: &Memory, blobs: &Blobs, top: &Descriptor) -> (Result<BaseImage, BaseError>, usize) {
    let asked = AtomicUsize::new(0);
    let cancel = Cancel::new();
    let import = Import { base: "b", platform: Platform::AMD64, store, layers: false, cancel: &cancel };
    let document = Document { bytes: blobs.bytes(top), name: None };
    let loaded = from_document(&import, &document, &|descriptor, writer| {
        if descriptor.media_type.is_layer() {
            asked.fetch_add(1, Ordering::SeqCst);
        }
        // In pieces of odd lengths, as a network brings them.
        blobs
            .0
            .get(&descriptor.digest)
            .ok_or("404 not found")?
            .chunks(777)
            .try_for_each(|piece| writer.write_all(piece))?;
        Ok(())
    });
    (loaded, asked.into_inner())
}

#[test]
fn layers_are_read_once_and_not_kept() {
    let mut blobs = Blobs::default();
    let manifest = three(&mut blobs);
    let store = Memory::default();
    let (streamed, asked) = load(&store, &blobs, &manifest);
    let streamed = streamed.unwrap();
    // The layer of `/data/users` is read again: only the end showed that it is wanted.
    assert_eq!((asked, store.puts()), (4, 0));
    assert_eq!(passwd(&streamed), "root");
    assert_eq!(streamed.facts.contents["/data/users"], "linked");

    // Whoever keeps them finds the same.
    let keeping = Memory::default();
    let kept = import(&keeping, "b", Platform::AMD64, |import| {
        let document = Document { bytes: blobs.bytes(&manifest), name: None };
        from_document(import, &document, &|descriptor, writer| blobs.fetch(descriptor, writer))
    });
    assert_eq!(kept.unwrap(), streamed);
    assert_eq!(keeping.puts(), 3);

    // Facts that are known cost nothing.
    let (again, asked) = load(&store, &blobs, &manifest);
    assert_eq!((again.unwrap(), asked), (streamed, 0));
}

#[test]
fn the_digest_of_facts_is_that_of_what_was_read() {
    let mut blobs = Blobs::default();
    let manifest = three(&mut blobs);
    let digest = |blobs: &Blobs, manifest: &Descriptor| {
        load(&Memory::default(), blobs, manifest).0.unwrap().facts_digest.unwrap()
    };
    let known = "sha256:d47b4a7c";
    let found = digest(&blobs, &manifest).to_string();
    assert!(found.starts_with(known), "it stands in lock files: {found}");
    let other = blobs.image("amd64", "other", false);
    assert_ne!(digest(&blobs, &other).to_string(), found);
}

#[test]
fn a_layer_that_is_stored_is_not_asked_for() {
    let mut blobs = Blobs::default();
    let manifest = three(&mut blobs);
    let store = Memory::default();
    for bytes in blobs.0.values() {
        store.put(&mut |writer| writer.write_all(bytes)).unwrap();
    }
    let (base, asked) = load(&store, &blobs, &manifest);
    assert_eq!((base.unwrap().layers.len(), asked), (3, 0));
}

#[test]
fn what_is_wrong_with_a_layer_is_told_as_ever() {
    let mut blobs = Blobs::default();
    let manifest = three(&mut blobs);
    let read: serde_json::Value = serde_json::from_slice(blobs.bytes(&manifest)).unwrap();
    let first: Descriptor = serde_json::from_value(read["layers"][0].clone()).unwrap();
    let attempt = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut damaged = Blobs(blobs.0.clone());
        change(damaged.0.get_mut(&first.digest).unwrap());
        let store = Memory::default();
        let error = load(&store, &damaged, &manifest).0.unwrap_err();
        assert!(store.notes.lock().unwrap().is_empty(), "nothing is noted of what is wrong");
        chain(&error)
    };
    // Bytes that are no tar are first of all not those of the digest.
    for change in
        [&(|bytes: &mut Vec<u8>| bytes[0] ^= 1) as &dyn Fn(&mut Vec<u8>), &|bytes| bytes.truncate(9)]
    {
        let error = attempt(change);
        assert!(
            error.starts_with(&format!("the blob {} of b is damaged: it is sha256:", first.digest)),
            "{error}"
        );
    }
    let error = attempt(&|bytes| bytes.push(0));
    let size = first.size;
    assert_eq!(
        error,
        format!("the blob {} of b is longer than the {size} bytes that it may have", first.digest)
    );
    blobs.0.remove(&first.digest);
    let error = chain(&load(&Memory::default(), &blobs, &manifest).0.unwrap_err());
    assert_eq!(error, format!("cannot get the blob {} of b: 404 not found", first.digest));
}

#[test]
fn the_first_failure_ends_the_others() {
    let mut blobs = Blobs::default();
    let tars: Vec<Vec<u8>> = (0..12).map(|number| tar_of(&[("a", &[number; 4000])])).collect();
    let layers: Vec<_> = tars.iter().map(|tar| blobs.add(MediaType::OciLayerTar, tar)).collect();
    let plain: Vec<&[u8]> = tars.iter().map(Vec::as_slice).collect();
    let config = blobs.add_json(MediaType::OciConfig, &config("amd64", &plain));
    let manifest = blobs.manifest(MediaType::OciManifest, &config, &layers);
    layers.iter().for_each(|layer| drop(blobs.0.remove(&layer.digest)));
    let (failed, asked) = load(&Memory::default(), &blobs, &manifest);
    assert!(chain(&failed.unwrap_err()).ends_with(": 404 not found"));
    assert!(asked < 12, "{asked} layers were asked for");
}
