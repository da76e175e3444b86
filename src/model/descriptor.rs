use std::fmt;

use super::digest::BlobDigest;

/// The media types that imgpack reads and writes (image-spec, media-types.md; Docker's image manifest v2, schema 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaType {
    /// OCI image index.
    OciIndex,
    /// OCI image manifest.
    OciManifest,
    /// OCI image config.
    OciConfig,
    /// Uncompressed OCI layer.
    OciLayerTar,
    /// Gzip OCI layer.
    OciLayerGzip,
    /// Zstandard OCI layer.
    OciLayerZstd,
    /// Uncompressed OCI layer that is not to be distributed.
    OciForeignTar,
    /// Gzip OCI layer that is not to be distributed.
    OciForeignGzip,
    /// Zstandard OCI layer that is not to be distributed.
    OciForeignZstd,
    /// Docker manifest list.
    DockerIndex,
    /// Docker manifest, schema 2.
    DockerManifest,
    /// Docker config.
    DockerConfig,
    /// Uncompressed Docker layer.
    DockerLayerTar,
    /// Gzip Docker layer.
    DockerLayerGzip,
    /// Uncompressed Docker layer that is not to be distributed.
    DockerForeignTar,
    /// Gzip Docker layer that is not to be distributed.
    DockerForeignGzip,
    /// Bytes of any other type, which are only carried: the document that names them has the type's text.
    Bytes,
}

impl MediaType {
    const TEXTS: [(Self, &'static str); 17] = [
        (Self::OciIndex, "application/vnd.oci.image.index.v1+json"),
        (Self::OciManifest, "application/vnd.oci.image.manifest.v1+json"),
        (Self::OciConfig, "application/vnd.oci.image.config.v1+json"),
        (Self::OciLayerTar, "application/vnd.oci.image.layer.v1.tar"),
        (Self::OciLayerGzip, "application/vnd.oci.image.layer.v1.tar+gzip"),
        (Self::OciLayerZstd, "application/vnd.oci.image.layer.v1.tar+zstd"),
        (Self::OciForeignTar, "application/vnd.oci.image.layer.nondistributable.v1.tar"),
        (Self::OciForeignGzip, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
        (Self::OciForeignZstd, "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"),
        (Self::DockerIndex, "application/vnd.docker.distribution.manifest.list.v2+json"),
        (Self::DockerManifest, "application/vnd.docker.distribution.manifest.v2+json"),
        (Self::DockerConfig, "application/vnd.docker.container.image.v1+json"),
        (Self::DockerLayerTar, "application/vnd.docker.image.rootfs.diff.tar"),
        (Self::DockerLayerGzip, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        (Self::DockerForeignTar, "application/vnd.docker.image.rootfs.foreign.diff.tar"),
        (Self::DockerForeignGzip, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        (Self::Bytes, "application/octet-stream"),
    ];

    /// The registered text.
    pub fn as_str(self) -> &'static str {
        Self::TEXTS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, text)| text)
    }

    /// The media type of a registered text, `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        Self::TEXTS.iter().find(|(_, known)| *known == text).map(|(kind, _)| *kind)
    }

    /// Whether this is an index or a manifest list.
    pub fn is_index(self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerIndex)
    }

    /// Whether this is a manifest of one image.
    pub fn is_manifest(self) -> bool {
        matches!(self, Self::OciManifest | Self::DockerManifest)
    }

    /// Whether this is a layer that registries are not to be given, only its address (image-spec, layer.md,
    /// "Non-Distributable Layers").
    pub fn is_foreign(self) -> bool {
        matches!(
            self,
            Self::OciForeignTar
                | Self::OciForeignGzip
                | Self::OciForeignZstd
                | Self::DockerForeignTar
                | Self::DockerForeignGzip
        )
    }

    /// Whether this is a layer of any kind.
    pub fn is_layer(self) -> bool {
        let plain = matches!(self.to_oci(), Self::OciLayerTar | Self::OciLayerGzip | Self::OciLayerZstd);
        plain || self.is_foreign()
    }

    /// The OCI twin of a Docker layer, config, manifest or list; OCI types are their own twins.
    #[must_use]
    pub fn to_oci(self) -> Self {
        match self {
            Self::DockerIndex => Self::OciIndex,
            Self::DockerManifest => Self::OciManifest,
            Self::DockerConfig => Self::OciConfig,
            Self::DockerLayerTar => Self::OciLayerTar,
            Self::DockerLayerGzip => Self::OciLayerGzip,
            Self::DockerForeignTar => Self::OciForeignTar,
            Self::DockerForeignGzip => Self::OciForeignGzip,
            other => other,
        }
    }

    /// The Docker twin, `None` where Docker has none (zstd).
    pub fn to_docker(self) -> Option<Self> {
        Some(match self {
            Self::OciIndex => Self::DockerIndex,
            Self::OciManifest => Self::DockerManifest,
            Self::OciConfig => Self::DockerConfig,
            Self::OciLayerTar => Self::DockerLayerTar,
            Self::OciLayerGzip => Self::DockerLayerGzip,
            Self::OciForeignTar => Self::DockerForeignTar,
            Self::OciForeignGzip => Self::DockerForeignGzip,
            Self::OciLayerZstd | Self::OciForeignZstd => return None,
            other => other,
        })
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for MediaType {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for MediaType {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("unknown media type `{text}`")))
    }
}

/// A blob's media type, digest and size in bytes (image-spec, descriptor.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Descriptor {
    /// What the blob is.
    #[serde(rename = "mediaType")]
    pub media_type: MediaType,
    /// Digest of the blob as stored.
    pub digest: BlobDigest,
    /// Length of the blob in bytes.
    pub size: u64,
}

impl Descriptor {
    /// The descriptor of `bytes` held in memory.
    pub fn of(media_type: MediaType, bytes: &[u8]) -> Self {
        Self { media_type, digest: BlobDigest::of(bytes), size: bytes.len() as u64 }
    }
}
