//! OCI documents: config, manifest, index, and the one writer of JSON that is hashed; what those of others name.
//!
//! Documents are kept as the exact bytes that were hashed; nothing is written twice.

mod config;
mod json;
mod manifest;
mod parts;

pub use config::{ConfigLayer, config_document};
pub use json::canonical_json;
pub use manifest::{ManifestLayers, index_document, manifest_document};
pub use parts::Parts;

/// Why a document cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The document has no valid form.
    #[error("cannot write the image's {what}")]
    Build {
        /// Config, manifest or index.
        what: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A media type that Docker's family does not have.
    #[error("a layer of type {0} has no Docker media type: build with `mediaTypes: oci`")]
    NoDockerType(&'static str),
}
