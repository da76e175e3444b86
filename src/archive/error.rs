use std::io;
use std::path::PathBuf;

use crate::model::BlobDigest;
use crate::system::{Cancelled, IoError};

/// Why an image was not written. Nothing half-written is left.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The target cannot be written, or the disk is full.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Whoever reads the stream stopped.
    #[error("cannot write the archive to its reader")]
    Stream(#[source] io::Error),
    /// A blob of the image cannot be read.
    #[error("cannot read blob {digest}")]
    Blob {
        /// The blob.
        digest: BlobDigest,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A blob that comes from elsewhere did not.
    #[error("cannot get blob {digest}")]
    Elsewhere {
        /// The blob.
        digest: BlobDigest,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A blob of the image is not as long as its descriptor says.
    #[error("blob {digest} has {found} bytes, its descriptor says {expected}")]
    Length {
        /// The blob.
        digest: BlobDigest,
        /// Bytes by the descriptor.
        expected: u64,
        /// Bytes that were there (one more than expected stands for "longer").
        found: u64,
    },
    /// The target of a layout is a directory with something else in it.
    #[error("{} is not empty and not an OCI image layout", .0.display())]
    NotLayout(PathBuf),
    /// The target of an archive exists and is no file.
    #[error("{} exists and is not a regular file", .0.display())]
    NotFile(PathBuf),
    /// The target of a layout exists and is no directory.
    #[error("{} exists and is not a directory", .0.display())]
    NotDirectory(PathBuf),
    /// The layout is of a version that imgpack does not know.
    #[error("{} is an OCI image layout of version `{version}`, imgpack writes 1.0.0", path.display())]
    LayoutVersion {
        /// The layout.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// A document of an existing layout cannot be understood; it is left as it is.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The document.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// More than one platform for a form that holds one.
    #[error("a docker-archive holds one platform, {image} has {count}")]
    SeveralPlatforms {
        /// The image.
        image: String,
        /// How many platforms it has.
        count: usize,
    },
    /// Not one manifest, and no index that joins them.
    #[error("{image} has {count} manifests and no index")]
    NoIndex {
        /// The image.
        image: String,
        /// How many manifests it has.
        count: usize,
    },
    /// Two images want one name.
    #[error("two images are named {0}")]
    SameName(String),
    /// A layer that is none for Docker.
    #[error("layer {layer} of {image} is of type `{media_type}`, which a docker-archive cannot hold")]
    LayerType {
        /// The image.
        image: String,
        /// The layer.
        layer: BlobDigest,
        /// Its type.
        media_type: String,
    },
    /// A layer that Docker archives cannot hold.
    #[error("layer {layer} of {image} is compressed with zstd, which a docker-archive cannot hold")]
    Zstd {
        /// The image.
        image: String,
        /// The layer.
        layer: BlobDigest,
    },
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl ArchiveError {
    /// The way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::SeveralPlatforms { .. } => {
                Some("choose one with --platform, or write an oci-archive: or oci: output".into())
            }
            Self::Zstd { .. } | Self::LayerType { .. } => Some("write an oci-archive: or oci: output".into()),
            Self::NotLayout(_) => Some("name a new directory, an empty one, or an existing layout".into()),
            Self::Damaged { path, .. } => {
                Some(format!("repair {} or write to a new directory", path.display()))
            }
            Self::Io(error) if error.source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space, or write to another disk".into())
            }
            _ => None,
        }
    }

    /// Whether the request was wrong, not this machine (exit code 2, not 5).
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::SeveralPlatforms { .. }
                | Self::Zstd { .. }
                | Self::LayerType { .. }
                | Self::SameName(_)
                | Self::NotLayout(_)
                | Self::NotFile(_)
                | Self::NotDirectory(_)
        )
    }
}
