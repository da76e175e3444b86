//! Loading of bases from documents, layouts, archives and root file systems.

mod archives;
mod documents;
mod files;
mod odd;
mod peers;
mod streaming;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::model::{BlobDigest, Descriptor, DiffId, ImagePath, KeyDigest, MediaType, Platform};
use crate::system::Cancel;

/// A store in memory that counts what is put into it.
#[derive(Default)]
struct Memory {
    blobs: Mutex<BTreeMap<BlobDigest, Vec<u8>>>,
    notes: Mutex<BTreeMap<KeyDigest, Vec<u8>>>,
    puts: Mutex<usize>,
}

impl BlobStore for Memory {
    fn has(&self, digest: &BlobDigest) -> Result<bool, BoxError> {
        Ok(self.blobs.lock().unwrap().contains_key(digest))
    }

    fn put(
        &self,
        fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(BlobDigest, u64), BoxError> {
        let mut bytes = Vec::new();
        fill(&mut bytes)?;
        *self.puts.lock().unwrap() += 1;
        let (digest, size) = (BlobDigest::of(&bytes), bytes.len() as u64);
        self.blobs.lock().unwrap().insert(digest, bytes);
        Ok((digest, size))
    }

    fn open(&self, digest: &BlobDigest) -> Result<Box<dyn Read + Send + '_>, BoxError> {
        let bytes = self.blobs.lock().unwrap().get(digest).cloned().ok_or("no such blob")?;
        Ok(Box::new(io::Cursor::new(bytes)))
    }

    fn facts_get(&self, key: &KeyDigest) -> Option<Vec<u8>> {
        self.notes.lock().unwrap().get(key).cloned()
    }

    fn facts_put(&self, key: &KeyDigest, bytes: &[u8]) {
        self.notes.lock().unwrap().insert(*key, bytes.to_vec());
    }
}

impl Memory {
    fn puts(&self) -> usize {
        *self.puts.lock().unwrap()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const COMPRESSOR: Compressor<'static> = Compressor {
    name: "test",
    run: &|reader, writer| {
        let mut encoder = GzEncoder::new(writer, Compression::fast());
        io::copy(reader, &mut encoder)?;
        encoder.finish().map(drop)
    },
};

/// A tar of files with their contents.
fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Images in the making: blobs by digest.
#[derive(Default)]
struct Blobs(BTreeMap<BlobDigest, Vec<u8>>);

impl Blobs {
    fn add(&mut self, media_type: MediaType, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        self.0.insert(descriptor.digest, bytes.to_vec());
        descriptor
    }

    fn add_json(&mut self, media_type: MediaType, json: &serde_json::Value) -> Descriptor {
        self.add(media_type, json.to_string().as_bytes())
    }

    /// A manifest of an image of one layer that holds `/etc/passwd` with this text.
    fn image(&mut self, architecture: &str, passwd: &str, docker: bool) -> Descriptor {
        let tar = tar_of(&[("etc/passwd", passwd.as_bytes()), ("bin/sh", b"#!")]);
        let own = |kind: MediaType| if docker { kind.to_docker().unwrap() } else { kind };
        let layer = self.add(own(MediaType::OciLayerGzip), &gzip(&tar));
        let config = self.add_json(own(MediaType::OciConfig), &config(architecture, &[&tar]));
        self.manifest(own(MediaType::OciManifest), &config, &[layer])
    }

    fn manifest(&mut self, media_type: MediaType, config: &Descriptor, layers: &[Descriptor]) -> Descriptor {
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers,
        });
        self.add_json(media_type, &manifest)
    }

    /// An index: architecture (empty for none) and manifest.
    fn index(&mut self, media_type: MediaType, entries: &[(&str, Descriptor)]) -> Descriptor {
        let rows: Vec<_> =
            entries.iter().map(|(architecture, manifest)| entry(architecture, manifest)).collect();
        let index = serde_json::json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": rows });
        self.add_json(media_type, &index)
    }

    fn bytes(&self, descriptor: &Descriptor) -> &[u8] {
        &self.0[&descriptor.digest]
    }

    fn fetch(&self, descriptor: &Descriptor, writer: &mut dyn Write) -> Result<(), BoxError> {
        writer.write_all(self.0.get(&descriptor.digest).ok_or("404 not found")?)?;
        Ok(())
    }

    /// Writes a layout whose `index.json` has these entries.
    fn layout(&self, directory: &Path, entries: &[(&str, Descriptor)]) {
        for (name, bytes) in self.layout_files(entries) {
            let path = directory.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    fn layout_files(&self, entries: &[(&str, Descriptor)]) -> Vec<(String, Vec<u8>)> {
        let rows: Vec<_> =
            entries.iter().map(|(architecture, manifest)| entry(architecture, manifest)).collect();
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": rows });
        let mut files = vec![
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), index.to_string().into_bytes()),
        ];
        files.extend(
            self.0.iter().map(|(digest, bytes)| (format!("blobs/sha256/{}", digest.hex()), bytes.clone())),
        );
        files
    }
}

fn entry(architecture: &str, manifest: &Descriptor) -> serde_json::Value {
    let mut row = serde_json::to_value(manifest).unwrap();
    if let Some((os, architecture)) = architecture.split_once('/') {
        row["platform"] = serde_json::json!({ "os": os, "architecture": architecture });
    } else if !architecture.is_empty() {
        row["platform"] = serde_json::json!({ "os": "linux", "architecture": architecture });
    }
    row
}

fn config(architecture: &str, tars: &[&[u8]]) -> serde_json::Value {
    let diff_ids: Vec<_> = tars.iter().map(|tar| DiffId::of(tar)).collect();
    serde_json::json!({
        "architecture": architecture, "os": "linux",
        "config": { "Env": ["PATH=/bin", "A=1", "PATH=/usr/bin"], "User": "", "Cmd": ["sh"], "Labels": null },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": [{ "created_by": "ADD rootfs" }, { "created_by": "CMD", "empty_layer": true }],
    })
}

/// Runs `load` with an import of `base` for `platform` and every layer wanted.
fn import<T>(
    store: &Memory,
    base: &str,
    platform: Platform,
    load: impl FnOnce(&Import<'_>) -> Result<T, BaseError>,
) -> Result<T, BaseError> {
    load(&Import { base, platform, store, layers: true, cancel: &Cancel::new() })
}

/// The message of an error, with those below it.
fn chain(error: &dyn std::error::Error) -> String {
    let below = std::iter::successors(error.source(), |error| error.source());
    below.fold(error.to_string(), |text, error| format!("{text}: {error}"))
}

fn passwd(base: &BaseImage) -> &str {
    base.facts.contents.get("/etc/passwd").map_or("", String::as_str)
}

/// A file of `fixtures/bases`, which is not committed: `None`, said aloud, where it is missing; a failure in CI.
fn fixture(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bases").join(name);
    skip_unless(path.exists(), &format!("fixtures/bases/{name} is missing")).then_some(path)
}

fn skip_unless(there: bool, why: &str) -> bool {
    if !there {
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("skipped: {why}");
    }
    there
}
