use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::BaseError;
use super::import::Import;
use crate::model::{BlobDigest, Descriptor, MediaType};

/// Longest index or manifest in bytes (distribution-spec, "Pushing Manifests": registries take 4 MiB).
pub(super) const DOCUMENT_LIMIT: u64 = 4 << 20;

/// An index or a manifest, of which both are kinds of.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawDocument {
    pub(super) schema_version: Option<u64>,
    pub(super) media_type: Option<String>,
    pub(super) manifests: Option<Vec<RawDescriptor>>,
    pub(super) config: Option<RawDescriptor>,
    pub(super) layers: Option<Vec<RawDescriptor>>,
}

/// A descriptor as others write it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawDescriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: i64,
    pub(super) platform: Option<RawPlatform>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) annotations: BTreeMap<String, String>,
    /// Where else it may be had, of layers that are not to be distributed.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) urls: Vec<String>,
}

/// A platform as others write it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RawPlatform {
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) architecture: String,
    pub(super) variant: Option<String>,
}

/// What a document is.
#[derive(Debug)]
pub(super) enum Parsed {
    Index(Vec<RawDescriptor>),
    Manifest { config: RawDescriptor, layers: Vec<RawDescriptor> },
}

impl RawDocument {
    /// Reads `bytes`; `what` names them.
    pub(super) fn parse(import: &Import<'_>, what: &str, bytes: &[u8]) -> Result<Parsed, BaseError> {
        let document: Self = parse_json(import, what, bytes)?;
        if let Some(text) = &document.media_type
            && !MediaType::parse(text).is_some_and(|kind| kind.is_index() || kind.is_manifest())
        {
            return Err(BaseError::MediaType { base: import.base.to_owned(), media_type: text.clone() });
        }
        if document.schema_version == Some(1) {
            let reason = "it is of schema 1: images of that age have to be pushed anew";
            return Err(import.document(what, reason));
        }
        let said = document.media_type.as_deref().and_then(MediaType::parse);
        // One that is both means one thing to one reader and another to the next (image-spec, CVE-2021-41190).
        match (document.manifests, document.config, document.layers) {
            (Some(manifests), None, None) if said.is_none_or(MediaType::is_index) => {
                Ok(Parsed::Index(manifests))
            }
            // Go's encoder writes an empty list as `null`.
            (None, Some(config), layers) if said.is_none_or(MediaType::is_manifest) => {
                Ok(Parsed::Manifest { config, layers: layers.unwrap_or_default() })
            }
            (None, None, _) => {
                Err(import.document(what, "it is neither an index nor a manifest of schema 2"))
            }
            _ => Err(import.document(what, "it is not what its media type says, or two things at once")),
        }
    }
}

impl RawDescriptor {
    /// The descriptor with the OCI twin of its media type.
    pub(super) fn checked(&self, import: &Import<'_>) -> Result<Descriptor, BaseError> {
        let media_type = MediaType::parse(&self.media_type).ok_or_else(|| BaseError::MediaType {
            base: import.base.to_owned(),
            media_type: self.media_type.clone(),
        })?;
        let what = || format!("a descriptor ({})", self.digest);
        let digest: BlobDigest = self.digest.parse().map_err(|error| import.document(what(), error))?;
        let size = u64::try_from(self.size).map_err(|_| import.document(what(), "its size is negative"))?;
        Ok(Descriptor { media_type: media_type.to_oci(), digest, size })
    }

    /// Whether it is BuildKit's statement about another image, not an image.
    pub(super) fn is_attestation(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.type")
            || self.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
    }
}

impl RawPlatform {
    /// Whether it says nothing, as some writers of lists leave it.
    pub(super) fn is_empty(&self) -> bool {
        self.os.is_empty() && self.architecture.is_empty()
    }

    pub(super) fn has_variant(&self) -> bool {
        self.variant.as_deref().is_some_and(|variant| !variant.is_empty())
    }

    pub(super) fn text(&self) -> String {
        match self.variant.as_deref() {
            None | Some("") => format!("{}/{}", self.os, self.architecture),
            Some(variant) => format!("{}/{}/{variant}", self.os, self.architecture),
        }
    }
}

/// `null` where a map or list is expected, as Go's encoder writes empty ones.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads JSON of others.
pub(super) fn parse_json<T: DeserializeOwned>(
    import: &Import<'_>,
    what: &str,
    bytes: &[u8],
) -> Result<T, BaseError> {
    serde_json::from_slice(bytes).map_err(|error| import.document(what, error))
}
