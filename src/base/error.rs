use super::blobs::BoxError;
use crate::model::{BlobDigest, Platform};
use crate::system::{Cancelled, IoError};
use crate::tar::TarError;

/// Why a base cannot be used. `base` is always what the spec calls it: `oci:vendor/base`, `alpine:3.20`.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// It is not for the wanted platform.
    #[error("the base {base} is not there for {platform}, only for {}", list(found))]
    Platform {
        /// The base.
        base: String,
        /// The wanted platform.
        platform: Platform,
        /// Those that exist.
        found: Vec<String>,
    },
    /// It holds more than one image for the platform.
    #[error("{base} holds several images for {platform}: {}", found.join(", "))]
    Ambiguous {
        /// The base.
        base: String,
        /// The wanted platform.
        platform: Platform,
        /// Their names or digests.
        found: Vec<String>,
    },
    /// An index, manifest, config or `manifest.json` that says something impossible.
    #[error("{what} of {base} is broken: {reason}")]
    Document {
        /// The base.
        base: String,
        /// `the index`, `the manifest sha256:…`.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A kind of blob that cannot be used.
    #[error("{base} has a blob of the type `{media_type}`, which is not supported")]
    MediaType {
        /// The base.
        base: String,
        /// Its media type.
        media_type: String,
    },
    /// A blob whose bytes are others than its descriptor says.
    #[error("the blob {digest} of {base} is damaged: it is {got}{}", other_size(*size, *got_size))]
    Damaged {
        /// The base.
        base: String,
        /// What its descriptor says.
        digest: BlobDigest,
        /// What its descriptor says.
        size: u64,
        /// What came.
        got: BlobDigest,
        /// What came.
        got_size: u64,
    },
    /// A blob longer than its descriptor says, or than such a document may be.
    #[error("the blob {digest} of {base} is longer than the {limit} bytes that it may have")]
    TooLong {
        /// The base.
        base: String,
        /// The blob.
        digest: BlobDigest,
        /// Most bytes.
        limit: u64,
    },
    /// A blob that cannot be had.
    #[error("cannot get the blob {digest} of {base}")]
    Fetch {
        /// The base.
        base: String,
        /// The blob.
        digest: BlobDigest,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// A layer that is not to be distributed, and that the registry does not have.
    #[error(
        "cannot get the layer {layer} of {base}, which is not to be distributed: it is at {}",
        urls.first().map_or("no address", String::as_str)
    )]
    Elsewhere {
        /// The base.
        base: String,
        /// The layer's blob.
        layer: BlobDigest,
        /// Where it is to be had, as its descriptor says.
        urls: Vec<String>,
        /// Why it cannot be had from where the base is.
        #[source]
        source: BoxError,
    },
    /// The store failed.
    #[error("cannot keep a blob of {base}")]
    Store {
        /// The base.
        base: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// A layer that is no layer.
    #[error("{what} of {base} cannot be read as a layer")]
    Layer {
        /// The base.
        base: String,
        /// `the layer sha256:…`, `the file`.
        what: String,
        /// Why.
        #[source]
        source: TarError,
    },
    /// A layer whose content is another than the config says.
    #[error("the layer {layer} of {base} unpacks to {got}, but its config says {said}")]
    DiffId {
        /// The base.
        base: String,
        /// The layer's blob.
        layer: BlobDigest,
        /// What the config says.
        said: String,
        /// What it is.
        got: String,
    },
    /// An archive that cannot be read.
    #[error("cannot read the archive {base}")]
    Archive {
        /// The base.
        base: String,
        /// Why.
        #[source]
        source: TarError,
    },
    /// A file that a layout or archive has to have.
    #[error("{base} has no `{file}`")]
    MissingFile {
        /// The base.
        base: String,
        /// The file.
        file: String,
    },
    /// This machine would not.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn other_size(size: u64, got: u64) -> String {
    if size == got { String::new() } else { format!(", {got} bytes instead of {size}") }
}

impl BaseError {
    /// The way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::MediaType { base, media_type } if media_type.contains("manifest.v1+") => {
                Some(format!("images of that age have to be pushed anew: copy {base} with a tool of today"))
            }
            Self::Platform { base, platform, found } if !found.is_empty() => {
                Some(format!("leave {platform} out of `platforms`, or choose another base than {base}"))
            }
            Self::Elsewhere { base, .. } => Some(format!(
                "only registries are read: push the layer to where {base} is, or choose another base"
            )),
            Self::Ambiguous { .. } => Some("keep one image in it".to_owned()),
            _ => None,
        }
    }
}

fn list(found: &[String]) -> String {
    if found.is_empty() { "no platform at all".to_owned() } else { found.join(", ") }
}
