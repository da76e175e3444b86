//! Layouts written by hand, with whatever an image of others may hold.

use std::fs;
use std::path::{Path, PathBuf};

use imgpack::model::BlobDigest;
use serde_json::{Value, json};

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A layout that is being written.
pub(crate) struct Layout {
    pub(crate) path: PathBuf,
    entries: Vec<Value>,
}

impl Layout {
    pub(crate) fn new(path: &Path) -> Self {
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { path: path.to_owned(), entries: Vec::new() }
    }

    /// Writes a blob: its descriptor.
    pub(crate) fn blob(&self, media_type: &str, bytes: impl AsRef<[u8]>) -> Value {
        let bytes = bytes.as_ref();
        let digest = BlobDigest::of(bytes);
        fs::write(self.file(&digest), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    pub(crate) fn file(&self, digest: &BlobDigest) -> PathBuf {
        self.path.join("blobs/sha256").join(digest.hex())
    }

    /// Writes a document: its descriptor.
    pub(crate) fn document(&self, document: &Value) -> Value {
        self.blob(document["mediaType"].as_str().unwrap(), document.to_string())
    }

    /// Writes an image of one layer: its descriptor with its platform.
    pub(crate) fn image(&self, platform: &str, layer: &str) -> Value {
        let (os, architecture) = platform.split_once('/').unwrap();
        let config = json!({
            "os": os, "architecture": architecture, "created": "2024-01-02T03:04:05Z",
            "config": { "Entrypoint": ["/bin/sh", "-c", "run it"], "Env": ["A=1", "ESC=\u{1b}[31m"], "Labels": null },
            "rootfs": { "type": "layers", "diff_ids": [BlobDigest::of(b"tar")] },
            "history": [{ "created_by": "COPY \t. /", "empty_layer": false }, { "created_by": "ENV", "empty_layer": true }],
        });
        let config = self.blob(CONFIG, config.to_string());
        let layers = [self.blob(LAYER, layer)];
        // White space and unknown fields: the bytes have to stay what they are.
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers, "x-unknown": [1, 2],
        });
        let mut row = self.blob(MANIFEST, serde_json::to_string_pretty(&manifest).unwrap());
        row["platform"] = json!({ "os": os, "architecture": architecture });
        row
    }

    /// Writes an index: its descriptor.
    pub(crate) fn index(&self, rows: &[Value]) -> Value {
        self.document(&json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": rows }))
    }

    /// Writes an artifact that refers to `subject`: its descriptor.
    pub(crate) fn referrer(&self, subject: &Value, artifact_type: &str, content: &str) -> Value {
        let subject = json!({
            "mediaType": subject["mediaType"], "digest": subject["digest"], "size": subject["size"],
        });
        let mut row = self.document(&json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type,
            "config": self.blob(EMPTY, "{}"), "layers": [self.blob("application/json", content)], "subject": subject,
        }));
        row["artifactType"] = json!(artifact_type);
        row
    }

    /// Puts an entry into the layout's index.
    pub(crate) fn entry(&mut self, row: &Value, name: Option<&str>) {
        let mut row = row.clone();
        if let Some(name) = name {
            row["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        }
        self.entries.push(row);
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.entries });
        fs::write(self.path.join("index.json"), index.to_string()).unwrap();
    }
}

/// An image for two platforms with a statement of BuildKit's, an index in the index, and signatures: of the whole, of one
/// platform, and of a signature. Its root.
pub(crate) fn odd(layout: &mut Layout) -> Value {
    let amd64 = layout.image("linux/amd64", "layer of amd64");
    let arm = layout.image("linux/arm", "layer of arm");
    let statement = layout.document(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": layout.blob(CONFIG, r#"{"os":"unknown","architecture":"unknown"}"#),
        "layers": [layout.blob("application/vnd.in-toto+json", "statement")],
    }));
    let mut statement = statement;
    statement["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    statement["annotations"] = json!({
        "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": amd64["digest"],
    });
    let inner = layout.index(&[arm]);
    let root = layout.index(&[amd64.clone(), inner, statement]);
    layout.entry(&root, Some("v1"));
    let whole = layout.referrer(&root, "application/vnd.example.signature", "signature of the whole");
    let part = layout.referrer(&amd64, "application/spdx+json", "sbom of amd64");
    let of_signature = layout.referrer(&whole, "application/vnd.example.timestamp", "timestamp");
    for row in [whole, part, of_signature] {
        layout.entry(&row, None);
    }
    root
}

/// Everything in a layout but its index.
pub(crate) fn blobs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let read = fs::read_dir(path.join("blobs/sha256")).unwrap();
    let mut found: Vec<(String, Vec<u8>)> = read
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    found.sort();
    found
}
