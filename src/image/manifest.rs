use std::collections::{BTreeMap, HashMap};
use std::str::FromStr as _;

use oci_spec::image::{
    Arch, DescriptorBuilder, Digest as OciDigest, ImageIndexBuilder, ImageManifestBuilder,
    MediaType as OciMediaType, Os, PlatformBuilder,
};

use super::ImageError;
use super::json::canonical_json;
use crate::model::{Architecture, BlobDigest, Descriptor, Document, MediaType, Platform};

/// What a manifest names.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestLayers {
    /// The config.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// Where those are to be had that are not to be distributed (image-spec, descriptor.md, `urls`).
    pub urls: BTreeMap<BlobDigest, Vec<String>>,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The manifest of one platform (image-spec, manifest.md), in OCI's media types or Docker's.
pub fn manifest_document(
    contents: &ManifestLayers,
    annotations: &BTreeMap<String, String>,
    docker: bool,
) -> Result<Document, ImageError> {
    let wrong = |source: BoxError| ImageError::Build { what: "manifest", source };
    let media_type = family(MediaType::OciManifest, docker)?;
    let layers = contents
        .layers
        .iter()
        .map(|layer| {
            let mut row = descriptor(layer, None, docker, "manifest")?;
            row.set_urls(contents.urls.get(&layer.digest).cloned());
            Ok(row)
        })
        .collect::<Result<Vec<_>, ImageError>>()?;
    let mut manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(OciMediaType::from(media_type.as_str()))
        .config(descriptor(&contents.config, None, docker, "manifest")?)
        .layers(layers);
    if !annotations.is_empty() && !docker {
        manifest = manifest.annotations(annotations.clone().into_iter().collect::<HashMap<_, _>>());
    }
    let manifest = manifest.build().map_err(|error| wrong(error.into()))?;
    let bytes = canonical_json(&serde_json::to_value(manifest).map_err(|error| wrong(error.into()))?);
    Ok(Document::new(media_type, bytes))
}

/// The index over the manifests of several platforms (image-spec, image-index.md), in the order given.
pub fn index_document(
    manifests: &[(Platform, Descriptor)],
    annotations: &BTreeMap<String, String>,
    docker: bool,
) -> Result<Document, ImageError> {
    let wrong = |source: BoxError| ImageError::Build { what: "index", source };
    let media_type = family(MediaType::OciIndex, docker)?;
    let rows = manifests
        .iter()
        .map(|(platform, manifest)| descriptor(manifest, Some(*platform), docker, "index"))
        .collect::<Result<Vec<_>, _>>()?;
    let mut index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(OciMediaType::from(media_type.as_str()))
        .manifests(rows);
    if !annotations.is_empty() && !docker {
        index = index.annotations(annotations.clone().into_iter().collect::<HashMap<_, _>>());
    }
    let index = index.build().map_err(|error| wrong(error.into()))?;
    let bytes = canonical_json(&serde_json::to_value(index).map_err(|error| wrong(error.into()))?);
    Ok(Document::new(media_type, bytes))
}

fn family(media_type: MediaType, docker: bool) -> Result<MediaType, ImageError> {
    if docker {
        media_type.to_docker().ok_or(ImageError::NoDockerType(media_type.as_str()))
    } else {
        Ok(media_type.to_oci())
    }
}

fn descriptor(
    from: &Descriptor,
    platform: Option<Platform>,
    docker: bool,
    what: &'static str,
) -> Result<oci_spec::image::Descriptor, ImageError> {
    let wrong = |source: BoxError| ImageError::Build { what, source };
    let digest = OciDigest::from_str(&from.digest.to_string()).map_err(|error| wrong(error.into()))?;
    let mut row = DescriptorBuilder::default()
        .media_type(OciMediaType::from(family(from.media_type, docker)?.as_str()))
        .digest(digest)
        .size(from.size);
    if let Some(platform) = platform {
        let architecture = match platform.architecture {
            Architecture::Amd64 => Arch::Amd64,
            Architecture::Arm64 => Arch::ARM64,
        };
        let platform = PlatformBuilder::default()
            .os(Os::Linux)
            .architecture(architecture)
            .build()
            .map_err(|error| wrong(error.into()))?;
        row = row.platform(platform);
    }
    row.build().map_err(|error| wrong(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> ManifestLayers {
        ManifestLayers {
            config: Descriptor::of(MediaType::OciConfig, b"config"),
            layers: vec![Descriptor::of(MediaType::OciLayerGzip, b"layer")],
            urls: BTreeMap::new(),
        }
    }

    #[test]
    fn manifests_name_their_parts() {
        let annotations =
            BTreeMap::from([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())]);
        let manifest = manifest_document(&contents(), &annotations, false).unwrap();
        let text = String::from_utf8(manifest.bytes.to_vec()).unwrap();
        let expected = format!(
            "{{\"annotations\":{{\"a\":\"1\",\"b\":\"2\"}},\"config\":{{\"digest\":\"{}\",\"mediaType\":\
             \"application/vnd.oci.image.config.v1+json\",\"size\":6}},\"layers\":[{{\"digest\":\"{}\",\"mediaType\":\
             \"application/vnd.oci.image.layer.v1.tar+gzip\",\"size\":5}}],\"mediaType\":\
             \"application/vnd.oci.image.manifest.v1+json\",\"schemaVersion\":2}}",
            contents().config.digest,
            contents().layers[0].digest
        );
        assert_eq!(text, expected);

        let index =
            index_document(&[(Platform::AMD64, manifest.descriptor)], &BTreeMap::new(), false).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&index.bytes).unwrap();
        assert_eq!(
            index["manifests"][0]["platform"],
            serde_json::json!({"architecture": "amd64", "os": "linux"})
        );
        assert_eq!(index["manifests"][0]["digest"], manifest.descriptor.digest.to_string());
        assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    }

    #[test]
    fn docker_types_come_in_one_family() {
        let manifest = manifest_document(&contents(), &BTreeMap::new(), true).unwrap();
        let text = String::from_utf8(manifest.bytes.to_vec()).unwrap();
        assert!(!text.contains("vnd.oci"), "{text}");
        assert_eq!(text.matches("vnd.docker").count(), 3);
    }
}
