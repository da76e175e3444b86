use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::descriptor::Descriptor;
use super::digest::BlobDigest;

/// A descriptor as it stands in a document of others (image-spec, descriptor.md): its media type is any text, since
/// what is carried as it is need not be understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawDescriptor {
    /// Media type; empty where none was said.
    #[serde(default)]
    pub media_type: String,
    /// Digest of the content.
    pub digest: BlobDigest,
    /// Length of the content in bytes.
    pub size: u64,
    /// For which platform, in indexes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<RawPlatform>,
    /// What kind of artifact a manifest is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Remarks.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Where else the content may be got; set for layers that registries need not have.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

impl From<Descriptor> for RawDescriptor {
    fn from(Descriptor { media_type, digest, size }: Descriptor) -> Self {
        Self {
            media_type: media_type.as_str().to_owned(),
            digest,
            size,
            platform: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
            urls: Vec::new(),
        }
    }
}

impl RawDescriptor {
    /// Whether it is a statement about another manifest that stands in an index beside it, as BuildKit writes it.
    pub fn is_attestation(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.type")
    }
}

/// A platform as others write it (image-spec, image-index.md), which need not be one that imgpack builds for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RawPlatform {
    /// Go's `GOOS`.
    #[serde(default)]
    pub os: String,
    /// Go's `GOARCH`.
    #[serde(default)]
    pub architecture: String,
    /// `v7`, `v8` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Of Windows.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
}

/// A text that names no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform: os/architecture or os/architecture/variant, like linux/arm64")]
pub struct RawPlatformError(pub String);

impl RawPlatform {
    /// Whether an image for `self` is meant by `wanted`. arm64 is v8 where nothing is said; otherwise a wanted variant
    /// must be there, and any will do where none is wanted.
    pub fn is(&self, wanted: &Self) -> bool {
        let variant = |platform: &Self| match platform.variant.as_deref() {
            None | Some("") if platform.architecture == "arm64" => Some("v8".to_owned()),
            None | Some("") => None,
            Some(variant) => Some(variant.to_owned()),
        };
        (&self.os, &self.architecture) == (&wanted.os, &wanted.architecture)
            && variant(wanted).is_none_or(|wanted| variant(self) == Some(wanted))
    }
}

impl FromStr for RawPlatform {
    type Err = RawPlatformError;

    fn from_str(text: &str) -> Result<Self, RawPlatformError> {
        let is_word = |word: &&str| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        };
        let words: Vec<&str> = text.split('/').filter(is_word).collect();
        let (os, architecture, variant) = match words.as_slice() {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some((*variant).to_owned())),
            _ => return Err(RawPlatformError(text.to_owned())),
        };
        if text.matches('/').count() + 1 != words.len() {
            return Err(RawPlatformError(text.to_owned()));
        }
        Ok(Self { os: (*os).to_owned(), architecture: (*architecture).to_owned(), variant, os_version: None })
    }
}

impl fmt::Display for RawPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match self.variant.as_deref() {
            None | Some("") => Ok(()),
            Some(variant) => write!(f, "/{variant}"),
        }
    }
}

/// `null` where a map or list is expected, as Go's encoder writes empty ones.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_and_compared() {
        for (has, wanted, expected) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm/v7", "linux/arm", true),
            ("linux/arm", "linux/arm/v7", false),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("windows/amd64", "linux/amd64", false),
        ] {
            let (has, wanted): (RawPlatform, RawPlatform) = (has.parse().unwrap(), wanted.parse().unwrap());
            assert_eq!(has.is(&wanted), expected, "{has} for {wanted}");
        }
        for text in
            ["", "linux", "linux/", "/amd64", "linux//amd64", "a/b/c/d", "linux/amd 64", "linux/amd64/"]
        {
            assert!(text.parse::<RawPlatform>().is_err(), "{text}");
        }
    }

    #[test]
    fn descriptors_are_read_as_they_are() {
        let text = r#"{"mediaType":"application/x","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "size":2,"annotations":null,"urls":null,"data":"e30=","platform":{"os":"linux","architecture":"arm","variant":"v7","os.features":["x"]}}"#;
        let read: RawDescriptor = serde_json::from_str(text).unwrap();
        assert_eq!((read.media_type.as_str(), read.size), ("application/x", 2));
        assert_eq!(read.platform.unwrap().to_string(), "linux/arm/v7");
        assert!(serde_json::from_str::<RawDescriptor>(&text.replace(":2,", ":-2,")).is_err());
    }
}
