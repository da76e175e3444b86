use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde_json::Value;

use super::destination::{Destination, Form};
use super::error::ArchiveError;
use super::image::{Blob, Content, SendBlob};
use super::{docker, layout, oci};
use crate::model::{BlobDigest, RawDescriptor};
use crate::system::Cancel;

/// Blobs that are written to a layout at once: they come from where they are waited for.
const JOBS: usize = 4;

/// An image, or any other artifact, as it is: documents and blobs whose bytes never change.
#[derive(Debug, Clone)]
pub struct GraphOutput {
    /// What the names stand for.
    pub root: RawDescriptor,
    /// Its names.
    pub names: Vec<String>,
    /// What refers to it, without names.
    pub referrers: Vec<RawDescriptor>,
    /// Indexes and manifests.
    pub documents: BTreeMap<BlobDigest, Arc<[u8]>>,
    /// Everything else, with its length in bytes.
    pub blobs: BTreeMap<BlobDigest, u64>,
}

/// What a Docker archive takes of the image of one platform.
#[derive(Debug, Clone)]
pub struct DockerImage {
    /// Its names.
    pub names: Vec<String>,
    /// The config.
    pub config: Arc<[u8]>,
    /// The layers, the lowest first.
    pub layers: Vec<RawDescriptor>,
}

/// What `index.json` says of an image.
pub(super) struct Root {
    pub(super) names: Vec<String>,
    pub(super) entry: Value,
}

/// Writes a graph as it is into a layout or an OCI archive; `send` has its blobs. The rules are those of [`super::write`].
pub fn write_graph(
    destination: &Destination,
    graph: &GraphOutput,
    send: SendBlob<'_>,
    cancel: &Cancel,
) -> Result<(), ArchiveError> {
    let root =
        |row: &RawDescriptor, names: &[String]| Root { names: names.to_vec(), entry: serde_json::json!(row) };
    let mut roots = vec![root(&graph.root, &graph.names)];
    roots.extend(graph.referrers.iter().map(|row| root(row, &[])));
    let mut blobs: BTreeMap<BlobDigest, Blob<'_>> = BTreeMap::new();
    for (digest, size) in &graph.blobs {
        blobs.insert(*digest, Blob { size: *size, content: Content::Elsewhere(send) });
    }
    for (digest, bytes) in &graph.documents {
        blobs.insert(*digest, Blob { size: bytes.len() as u64, content: Content::Bytes(bytes) });
    }
    let path = &destination.path;
    match destination.form {
        Form::OciLayout => layout::write_blobs(path, &roots, &blobs, JOBS, &NOTHING_STORED, cancel),
        Form::OciArchive => oci::write_blobs(path, &roots, &blobs, &NOTHING_STORED, cancel),
        Form::DockerArchive => Err(ArchiveError::SeveralPlatforms {
            image: graph.names.first().unwrap_or(&graph.root.digest.to_string()).clone(),
            count: graph.documents.len(),
        }),
    }
}

/// Writes the image of one platform as a Docker archive; `send` has its layers.
pub fn write_docker_image(
    destination: &Destination,
    image: &DockerImage,
    send: SendBlob<'_>,
    cancel: &Cancel,
) -> Result<(), ArchiveError> {
    docker::write_image(&destination.path, image, send, cancel)
}

pub(super) const NOTHING_STORED: fn(&BlobDigest) -> io::Result<std::fs::File> =
    |digest| Err(io::Error::other(format!("{digest} is not stored")));
