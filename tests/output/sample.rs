//! A tiny image of two platforms, made by hand: one layer for both, one of each platform's own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;

use imgpack::archive::{ImageOutput, ManifestOutput};
use imgpack::model::{BlobDigest, Descriptor, DiffId, Document, Layer, MediaType, Platform};
use serde_json::json;

/// Layers' blobs in a directory, and images over them.
pub struct Sample {
    pub directory: tempfile::TempDir,
    paths: BTreeMap<BlobDigest, PathBuf>,
}

impl Sample {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), paths: BTreeMap::new() }
    }

    pub fn open(&self, digest: &BlobDigest) -> io::Result<File> {
        File::open(self.paths.get(digest).ok_or(io::ErrorKind::NotFound)?)
    }

    pub fn blob_path(&self, digest: &BlobDigest) -> PathBuf {
        self.paths[digest].clone()
    }

    pub fn layer(&mut self, files: &[(&str, &str)]) -> Layer {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_size(text.len() as u64);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        let tar = builder.into_inner().unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(&tar).unwrap();
        let blob = encoder.finish().unwrap();
        let descriptor = Descriptor::of(MediaType::OciLayerGzip, &blob);
        let path = self.directory.path().join(descriptor.digest.hex());
        std::fs::write(&path, &blob).unwrap();
        self.paths.insert(descriptor.digest, path);
        Layer {
            descriptor,
            diff_id: DiffId::of(&tar),
            unpacked: files.iter().map(|(_, text)| text.len() as u64).sum(),
            entries: files.len() as u64,
        }
    }

    /// An image of `platforms` whose own file holds `text`; an index where there are several.
    pub fn image(&mut self, names: &[&str], platforms: &[Platform], text: &str) -> ImageOutput {
        let common = self.layer(&[("etc/motd", "hello\n")]);
        let manifests: Vec<ManifestOutput> = platforms
            .iter()
            .map(|&platform| {
                let own = self.layer(&[("app/arch", &format!("{platform} {text}\n"))]);
                manifest(platform, vec![common, own])
            })
            .collect();
        let index = (manifests.len() > 1).then(|| {
            let entries: Vec<_> = manifests
                .iter()
                .map(|one| {
                    let mut entry = json!(one.manifest.descriptor);
                    entry["platform"] = json!({ "os": "linux", "architecture": one.platform.goarch() });
                    entry
                })
                .collect();
            document(
                MediaType::OciIndex,
                &json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": entries }),
            )
        });
        ImageOutput { names: names.iter().map(|&name| name.to_owned()).collect(), index, manifests }
    }
}

fn manifest(platform: Platform, layers: Vec<Layer>) -> ManifestOutput {
    let config = document(
        MediaType::OciConfig,
        &json!({
            "architecture": platform.goarch(),
            "os": "linux",
            "config": { "Entrypoint": ["/app/arch"], "User": "65532" },
            "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| layer.diff_id).collect::<Vec<_>>() },
            "history": layers.iter().map(|_| json!({ "created_by": "a test" })).collect::<Vec<_>>(),
        }),
    );
    let manifest = document(
        MediaType::OciManifest,
        &json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciManifest,
            "config": config.descriptor,
            "layers": layers.iter().map(|layer| layer.descriptor).collect::<Vec<_>>(),
        }),
    );
    ManifestOutput { platform, manifest, config, layers }
}

fn document(kind: MediaType, value: &serde_json::Value) -> Document {
    Document::new(kind, value.to_string().into_bytes())
}
