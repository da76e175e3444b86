//! Manifests and indexes: asking for them, storing them, and saying what they are.

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, Response};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::auth::Access;
use super::error::{RegistryError, one_line};
use super::http::{Call, Http, is_passing_error};
use super::port::RawManifest;
use super::runtime::sleep;
use crate::model::{BlobDigest, Descriptor, ImageRef, MediaType};

const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

impl Http {
    fn document_call<'a>(
        &self,
        method: Method,
        reference: &'a ImageRef,
        access: Access<'a>,
    ) -> Result<Call<'a>, RegistryError> {
        let rest = format!("manifests/{}", reference.key());
        let mut call = self.call(method, reference.repository(), &rest, access)?;
        call.accept = Some(ACCEPT);
        Ok(call)
    }

    pub(super) async fn resolve(&self, reference: &ImageRef) -> Result<Descriptor, RegistryError> {
        let response = self.send(&self.document_call(Method::HEAD, reference, Access::Pull)?).await?;
        if response.status().is_success()
            && let Some(found) = described(response.headers())
            && reference.digest().is_none_or(|digest| digest == found.digest)
        {
            return Ok(found);
        }
        // An answer to HEAD that lacks something, or that is a refusal without words: GET says it all.
        self.manifest(reference).await.map(|manifest| manifest.descriptor())
    }

    pub(super) async fn manifest(&self, reference: &ImageRef) -> Result<RawManifest, RegistryError> {
        let call = self.document_call(Method::GET, reference, Access::Pull)?;
        let mut failures = 0;
        let (named, promised, bytes) = loop {
            let response = self.send(&call).await?;
            if !response.status().is_success() {
                return Err(self.refusal(&call, response, &reference.to_string()).await);
            }
            let named = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let named = named.map(|text| text.split(';').next().unwrap_or_default().trim().to_owned());
            let promised = reference.digest().or_else(|| digest_of(response.headers()));
            match self.read(&call.request(), response, RawManifest::LONGEST, false).await {
                Ok(bytes) => break (named, promised, bytes),
                // Requests are tried again where they are sent; an answer that breaks off, here.
                Err(error) if is_passing_error(&error) => {
                    failures += 1;
                    match self.retry.wait(failures, None) {
                        Some(wait) => sleep(wait).await,
                        None => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        };
        let digest = BlobDigest::of(&bytes);
        if let Some(expected) = promised.filter(|promised| *promised != digest) {
            return Err(RegistryError::Digest { what: reference.to_string(), expected, found: digest });
        }
        let media_type = media_type_of(named.as_deref(), &bytes)
            .map_err(|reason| RegistryError::Manifest { reference: reference.to_string(), reason })?;
        Ok(RawManifest { media_type, digest, bytes })
    }

    pub(super) async fn present(&self, reference: &ImageRef) -> Result<Option<BlobDigest>, RegistryError> {
        let call = self.document_call(Method::HEAD, reference, Access::Push)?;
        let response = self.send(&call).await?;
        match response.status().as_u16() {
            200..=299 => Ok(digest_of(response.headers())),
            401 | 403 | 429 | 500.. => Err(self.refusal(&call, response, &reference.to_string()).await),
            // Other answers to HEAD say nothing; the push itself will.
            _ => Ok(None),
        }
    }

    /// Stores a document; whether the registry lists it among the referrers of its subject.
    pub(super) async fn push_manifest(
        &self,
        reference: &ImageRef,
        media_type: MediaType,
        bytes: &[u8],
    ) -> Result<bool, RegistryError> {
        let mut call = self.document_call(Method::PUT, reference, Access::Push)?;
        call.accept = None;
        call.follow = false;
        call.body = Some((media_type.as_str(), bytes));
        let response = self.send(&call).await?;
        let digest = BlobDigest::of(bytes);
        if !response.status().is_success() {
            let error = self.refusal(&call, response, &reference.to_string()).await;
            return self.kept(reference, digest, error).await.map(|()| false);
        }
        stored_as(&response, &reference.to_string(), digest)?;
        Ok(response.headers().contains_key("oci-subject"))
    }

    /// What it means that a tag is refused: it may be immutable, and then it names this already, or something else.
    async fn kept(
        &self,
        reference: &ImageRef,
        digest: BlobDigest,
        error: RegistryError,
    ) -> Result<(), RegistryError> {
        if reference.digest().is_some() || !may_be_immutable(&error) {
            return Err(error);
        }
        match self.present(reference).await {
            Ok(Some(found)) if found == digest => Ok(()),
            Ok(Some(found)) => {
                Err(RegistryError::Kept { reference: reference.to_string(), found, source: Box::new(error) })
            }
            _ => Err(error),
        }
    }
}

/// Whether a tag may have been refused because it must not move. Registries agree on no status: Harbor says 412, Quay and
/// others 409, ACR 405, Docker Hub 403, ECR and Artifact Registry 400 with words.
fn may_be_immutable(error: &RegistryError) -> bool {
    match error {
        RegistryError::Denied { status, .. } => *status == 403,
        RegistryError::Status { status: 405 | 409 | 412, .. } => true,
        RegistryError::Status { status: 400, detail, .. } => {
            let words = detail.to_string().to_ascii_lowercase();
            ["immutable", "already exist", "alreadyexist", "overwrit", "tag_"]
                .iter()
                .any(|word| words.contains(word))
        }
        _ => false,
    }
}

/// A registry that says under which digest it stored something has to name ours.
pub(super) fn stored_as(response: &Response, what: &str, expected: BlobDigest) -> Result<(), RegistryError> {
    match digest_of(response.headers()) {
        Some(found) if found != expected => {
            Err(RegistryError::Digest { what: what.to_owned(), expected, found })
        }
        _ => Ok(()),
    }
}

fn digest_of(headers: &HeaderMap) -> Option<BlobDigest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

fn described(headers: &HeaderMap) -> Option<Descriptor> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let media_type = MediaType::parse(text(CONTENT_TYPE)?.split(';').next()?.trim())?;
    let size: u64 = text(CONTENT_LENGTH)?.parse().ok()?;
    if !(media_type.is_index() || media_type.is_manifest()) || size == 0 || size > RawManifest::LONGEST as u64
    {
        return None;
    }
    Some(Descriptor { media_type, digest: digest_of(headers)?, size })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
}

/// What a document is, from its header, its own `mediaType` and its fields, which must agree: a document that two
/// readers can take for two things is refused (image-spec, "Verification" of manifests; CVE-2021-41190).
fn media_type_of(named: Option<&str>, bytes: &[u8]) -> Result<MediaType, String> {
    let shape: Shape =
        serde_json::from_slice(bytes).map_err(|_| "it is not the JSON of a manifest".to_owned())?;
    if shape.schema_version != Some(2) {
        return Err("its schemaVersion is not 2; images of that age have to be pushed anew".to_owned());
    }
    let by_fields = match (shape.manifests.is_some(), shape.config.is_some() || shape.layers.is_some()) {
        (true, false) => MediaType::OciIndex,
        (false, true) => MediaType::OciManifest,
        (true, true) => return Err("it is an index and a manifest at once".to_owned()),
        (false, false) => return Err("it is neither an index nor a manifest".to_owned()),
    };
    let known = |text: &str| MediaType::parse(text).filter(|found| found.is_index() || found.is_manifest());
    let header = named.and_then(known);
    let found = match (&shape.media_type, header) {
        (Some(own), header) => {
            let own = known(own).ok_or_else(|| format!("its media type is `{}`", one_line(own)))?;
            if header.is_some_and(|header| header != own) {
                return Err(format!("it says it is {own} and was sent as another"));
            }
            own
        }
        (None, Some(header)) => header,
        (None, None) => by_fields,
    };
    if found.is_index() != by_fields.is_index() {
        return Err(format!("it says it is {found} and does not look so"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_one_thing() {
        const INDEX: &str = "application/vnd.oci.image.index.v1+json";
        const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
        let own = format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","layers":[]}}"#);
        let artifact = r#"{"schemaVersion":2,"mediaType":"application/x","layers":[]}"#;
        for (named, body, expected) in [
            (Some(INDEX), r#"{"schemaVersion":2,"manifests":[]}"#, Ok(MediaType::OciIndex)),
            (None, r#"{"schemaVersion":2,"manifests":[]}"#, Ok(MediaType::OciIndex)),
            (
                Some("text/plain"),
                r#"{"schemaVersion":2,"config":{},"layers":[]}"#,
                Ok(MediaType::OciManifest),
            ),
            (Some("application/json"), &own, Ok(MediaType::DockerManifest)),
            (Some(MANIFEST), &own, Ok(MediaType::DockerManifest)),
            (Some(INDEX), &own, Err("was sent as another")),
            (Some(INDEX), r#"{"schemaVersion":2,"layers":[]}"#, Err("does not look so")),
            (Some(INDEX), r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#, Err("at once")),
            (None, artifact, Err("its media type is `application/x`")),
            (None, r#"{"schemaVersion":1,"layers":[]}"#, Err("schemaVersion is not 2")),
            (None, r#"{"schemaVersion":2}"#, Err("neither")),
            (None, "[]", Err("not the JSON")),
            (None, "", Err("not the JSON")),
        ] {
            match (media_type_of(named, body.as_bytes()), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{body}"),
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{body}: {reason}"),
                (found, expected) => panic!("{body}: {found:?}, expected {expected:?}"),
            }
        }
    }
}
