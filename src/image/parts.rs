use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::model::{MediaType, RawDescriptor};

/// What an index or a manifest names, of any image or artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// What the document is.
    pub media_type: MediaType,
    /// What kind of artifact; of its own field, not of the config.
    pub artifact_type: Option<String>,
    /// What an index lists.
    pub manifests: Vec<RawDescriptor>,
    /// A manifest's config.
    pub config: Option<RawDescriptor>,
    /// A manifest's layers, the lowest first.
    pub layers: Vec<RawDescriptor>,
    /// What it refers to.
    pub subject: Option<RawDescriptor>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    media_type: Option<String>,
    artifact_type: Option<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    manifests: Option<Vec<RawDescriptor>>,
    config: Option<RawDescriptor>,
    #[serde(default, deserialize_with = "null_is_empty")]
    layers: Option<Vec<RawDescriptor>>,
    subject: Option<RawDescriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

/// A field that is there and `null` is an empty list, as Go's encoder writes it.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<Vec<T>>, D::Error> {
    Ok(Some(Option::deserialize(d)?.unwrap_or_default()))
}

/// Messages may hold words of documents, and those no control characters.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

impl Parts {
    /// Reads a document that was named as of type `said` (empty where nobody said). It has to be one thing: one that two
    /// readers can take for two things is refused (image-spec, "Verification" of manifests; CVE-2021-41190).
    ///
    /// The error says what is wrong with it.
    pub fn parse(said: &str, bytes: &[u8]) -> Result<Self, String> {
        let document: RawDocument = serde_json::from_slice(bytes)
            .map_err(|error| printable(&format!("it cannot be read: {error}")))?;
        let known = |text: &str| {
            MediaType::parse(text)
                .filter(|kind| kind.is_index() || kind.is_manifest())
                .ok_or_else(|| format!("its media type is `{}`", text.escape_debug()))
        };
        let own = document.media_type.as_deref().map(known).transpose()?;
        let said = if said.is_empty() { None } else { Some(known(said)?) };
        let is_index = match (&document.manifests, &document.config, &document.layers) {
            (Some(_), None, None) => true,
            (None, None, None) => return Err("it is neither an index nor a manifest".to_owned()),
            (None, ..) => false,
            _ => return Err("it is an index and a manifest at once".to_owned()),
        };
        let media_type = match (own, said) {
            (Some(own), Some(said)) if own != said => {
                return Err(format!("it says it is {own} and is named as {said}"));
            }
            (Some(kind), _) | (None, Some(kind)) => kind,
            (None, None) if is_index => MediaType::OciIndex,
            (None, None) => MediaType::OciManifest,
        };
        if media_type.is_index() != is_index {
            return Err(format!("it says it is {media_type} and does not look so"));
        }
        Ok(Self {
            media_type,
            artifact_type: document.artifact_type.filter(|text| !text.is_empty()),
            manifests: document.manifests.unwrap_or_default(),
            config: document.config,
            layers: document.layers.unwrap_or_default(),
            subject: document.subject,
            annotations: document.annotations.unwrap_or_default(),
        })
    }

    /// Config and layers.
    pub fn blobs(&self) -> impl Iterator<Item = &RawDescriptor> {
        self.config.iter().chain(&self.layers)
    }

    /// What kind of thing it is, where it is no image: its own word, else the type of its config (image-spec,
    /// "Guidelines for Artifact Usage").
    pub fn kind(&self) -> Option<&str> {
        let config = self.config.as_ref().map(|config| config.media_type.as_str());
        let is_image =
            |config: &str| MediaType::parse(config).is_some_and(|kind| kind.to_oci() == MediaType::OciConfig);
        self.artifact_type.as_deref().or(config.filter(|config| !config.is_empty() && !is_image(config)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn a_document_is_one_thing() {
        let part = format!(r#"{{"mediaType":"x/y","digest":"{DIGEST}","size":2}}"#);
        let manifest = format!(r#"{{"config":{part},"layers":[{part}]}}"#);
        let own = format!(r#"{{"mediaType":"{MANIFEST}","config":{part},"layers":null}}"#);
        for (said, body, expected) in [
            ("", r#"{"manifests":[]}"#, Ok(MediaType::OciIndex)),
            ("", r#"{"manifests":null}"#, Ok(MediaType::OciIndex)),
            (MANIFEST, &manifest, Ok(MediaType::OciManifest)),
            ("", &own, Ok(MediaType::OciManifest)),
            ("", &format!(r#"{{"config":{part}}}"#), Ok(MediaType::OciManifest)),
            (INDEX, &own, Err("it says it is application/vnd.oci.image.manifest.v1+json and is named as")),
            (INDEX, &manifest, Err("does not look so")),
            ("a/b", &manifest, Err("its media type is `a/b`")),
            ("", r#"{"mediaType":"a/\u001b[2J","manifests":[]}"#, Err("its media type is `a/\\u{1b}[2J`")),
            ("", &format!(r#"{{"config":{part},"layers":[],"manifests":[]}}"#), Err("at once")),
            ("", "{}", Err("neither")),
            ("", "[", Err("cannot be read")),
            ("", &own.replace("sha256", "sha512"), Err("is not a digest")),
            ("", &own.replace("sha256", "\\u001b[2J"), Err("`\u{fffd}[2J:")),
        ] {
            match (Parts::parse(said, body.as_bytes()).map(|parts| parts.media_type), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{body}"),
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{body}: {reason}"),
                (found, expected) => panic!("{body}: {found:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn artifacts_say_what_they_are() {
        let parse = |artifact: &str, config: &str| {
            let part = format!(r#"{{"mediaType":"{config}","digest":"{DIGEST}","size":2}}"#);
            let text = format!(r#"{{"artifactType":"{artifact}","config":{part},"layers":[]}}"#);
            Parts::parse("", text.as_bytes()).unwrap().kind().map(str::to_owned)
        };
        assert_eq!(parse("a/b", "application/vnd.oci.empty.v1+json").as_deref(), Some("a/b"));
        assert_eq!(
            parse("", "application/vnd.cncf.helm.config.v1+json").as_deref(),
            Some("application/vnd.cncf.helm.config.v1+json")
        );
        assert_eq!(parse("", MediaType::DockerConfig.as_str()), None);
    }
}
