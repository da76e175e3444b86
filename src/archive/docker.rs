use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::error::ArchiveError;
use super::graph::{DockerImage, NOTHING_STORED};
use super::image::{Blob, Content, ImageOutput, OpenBlob, SendBlob, check_names};
use super::tarball::{Tarball, write_file};
use crate::model::{BlobDigest, MediaType};
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

/// Writes a Docker archive of an image of others to a file.
pub(super) fn write_image(
    path: &Path,
    image: &DockerImage,
    send: SendBlob<'_>,
    cancel: &Cancel,
) -> Result<(), ArchiveError> {
    let archive = Archive::of_others(image, send)?;
    write_file(path, |writer| archive.write(writer, &NOTHING_STORED, cancel))
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
                let name = layer_name(&image.label(), layer.descriptor.digest, layer.descriptor.media_type)?;
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

    fn of_others(image: &'a DockerImage, send: SendBlob<'a>) -> Result<Self, ArchiveError> {
        let digest = BlobDigest::of(&image.config);
        let label = image.names.first().cloned().unwrap_or_else(|| digest.to_string());
        let config = format!("{}.json", digest.hex());
        let blob = Blob { size: image.config.len() as u64, content: Content::Bytes(&image.config) };
        let mut blobs = BTreeMap::from([(config.clone(), (digest, blob))]);
        let mut layers = Vec::new();
        for layer in &image.layers {
            let kind = MediaType::parse(&layer.media_type).filter(|kind| kind.is_layer());
            let kind = kind.ok_or_else(|| ArchiveError::LayerType {
                image: label.clone(),
                layer: layer.digest,
                media_type: layer.media_type.escape_debug().to_string(),
            })?;
            let name = layer_name(&label, layer.digest, kind)?;
            let blob = Blob { size: layer.size, content: Content::Elsewhere(send) };
            blobs.insert(name.clone(), (layer.digest, blob));
            layers.push(name);
        }
        let repo_tags = image.names.iter().map(|name| tagged(name)).collect();
        let manifest = serde_json::to_vec(&[Item { config, repo_tags, layers }]);
        Ok(Self { blobs, manifest: manifest.map_err(|error| ArchiveError::Stream(error.into()))? })
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

fn layer_name(image: &str, digest: BlobDigest, media_type: MediaType) -> Result<String, ArchiveError> {
    match media_type.to_oci() {
        MediaType::OciLayerTar | MediaType::OciForeignTar => Ok(format!("{}.tar", digest.hex())),
        MediaType::OciLayerZstd | MediaType::OciForeignZstd => {
            Err(ArchiveError::Zstd { image: image.to_owned(), layer: digest })
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
