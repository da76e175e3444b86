use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::error::ArchiveError;
use super::image::{Blob, Content, ImageOutput, OpenBlob, check_names};
use super::tarball::{Tarball, write_file};
use crate::model::{BlobDigest, Layer, MediaType};
use crate::system::Cancel;

/// One element of `manifest.json` (moby, image/spec/spec.md, "Combined Image JSON + Filesystem Changeset Format").
#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// Writes a Docker archive to a file.
pub(super) fn write(
    path: &Path,
    images: &[ImageOutput],
    open: OpenBlob<'_>,
    cancel: &Cancel,
) -> Result<(), ArchiveError> {
    let archive = Archive::of(images)?;
    write_file(path, |writer| archive.write(writer, open, cancel))
}

/// Writes a Docker archive to `writer` as it is made, for an engine's `load`. Each image has one platform.
///
/// When this fails the stream has no end marker, so that a reader cannot take it for a whole archive.
pub fn write_docker_stream(
    images: &[ImageOutput],
    open: OpenBlob<'_>,
    cancel: &Cancel,
    writer: &mut dyn Write,
) -> Result<(), ArchiveError> {
    Archive::of(images)?.write(writer, open, cancel)
}

/// The files of the archive by name.
struct Archive<'a> {
    blobs: BTreeMap<String, (BlobDigest, Blob<'a>)>,
    manifest: Vec<u8>,
}

impl<'a> Archive<'a> {
    fn of(images: &'a [ImageOutput]) -> Result<Self, ArchiveError> {
        check_names(images)?;
        let mut blobs = BTreeMap::new();
        let mut items = Vec::new();
        for image in images {
            let [one] = image.manifests.as_slice() else {
                let (image, count) = (image.label(), image.manifests.len());
                return Err(ArchiveError::SeveralPlatforms { image, count });
            };
            let config = format!("{}.json", one.config.descriptor.digest.hex());
            let content = Content::Bytes(&one.config.bytes);
            let size = one.config.descriptor.size;
            blobs.insert(config.clone(), (one.config.descriptor.digest, Blob { size, content }));
            let mut layers = Vec::new();
            for layer in &one.layers {
                let name = layer_name(image, layer)?;
                let blob = Blob { size: layer.descriptor.size, content: Content::Stored };
                blobs.insert(name.clone(), (layer.descriptor.digest, blob));
                layers.push(name);
            }
            items.push(Item {
                config,
                repo_tags: image.names.iter().map(|name| tagged(name)).collect(),
                layers,
            });
        }
        let manifest = serde_json::to_vec(&items).map_err(|error| ArchiveError::Stream(error.into()))?;
        Ok(Self { blobs, manifest })
    }

    fn write(&self, writer: &mut dyn Write, open: OpenBlob<'_>, cancel: &Cancel) -> Result<(), ArchiveError> {
        let mut tar = Tarball::new(writer, cancel);
        // Digests in hex sort before `manifest.json`, so the whole is in order of names.
        for (name, (digest, blob)) in &self.blobs {
            tar.blob(name, digest, *blob, open)?;
        }
        tar.bytes("manifest.json", &self.manifest)?;
        tar.finish()
    }
}

fn layer_name(image: &ImageOutput, layer: &Layer) -> Result<String, ArchiveError> {
    let digest = layer.descriptor.digest;
    match layer.descriptor.media_type.to_oci() {
        MediaType::OciLayerTar | MediaType::OciForeignTar => Ok(format!("{}.tar", digest.hex())),
        MediaType::OciLayerZstd | MediaType::OciForeignZstd => {
            Err(ArchiveError::Zstd { image: image.label(), layer: digest })
        }
        // Docker looks at the bytes, not at the name; readers of go-containerregistry's archives expect this one.
        _ => Ok(format!("{}.tar.gz", digest.hex())),
    }
}

/// Docker refuses a name without a tag.
fn tagged(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_tag_get_latest() {
        for (name, tag) in [
            ("core", "core:latest"),
            ("core:v1", "core:v1"),
            ("localhost:5000/core", "localhost:5000/core:latest"),
            ("ghcr.io/acme/core:v1", "ghcr.io/acme/core:v1"),
        ] {
            assert_eq!(tagged(name), tag);
        }
    }
}
