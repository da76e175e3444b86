//! What refers to a manifest, and keeping that list where a registry does not (distribution-spec, "Listing Referrers"
//! and "Referrers Tag Schema").

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, ETAG};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Access;
use super::error::{RegistryError, one_line};
use super::http::Http;
use super::listing::next_page;
use super::port::RawManifest;
use super::runtime::sleep;
use crate::model::{BlobDigest, ImageRef, MediaType, RawDescriptor, Repository};

/// More referrers of one manifest are not listed.
const MOST: usize = 10_000;
/// More pages of one list are not asked for.
const MOST_PAGES: usize = 1_000;
/// How often the list under a tag is written again when others write it at the same time.
const WRITES: u32 = 8;

/// The tag of the list of what refers to `subject`, for registries without the API.
fn tag_of(subject: BlobDigest) -> String {
    format!("sha256-{}", subject.hex())
}

/// The list of referrers in an index. Entries that cannot be asked for (another algorithm, no manifest) are left out.
fn listed(bytes: &[u8]) -> Option<Vec<RawDescriptor>> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Option<Vec<Value>>,
    }
    let index: Index = serde_json::from_slice(bytes).ok()?;
    let rows = index.manifests.unwrap_or_default().into_iter();
    Some(
        rows.filter_map(|row| serde_json::from_value::<RawDescriptor>(row).ok())
            .filter(is_document)
            .collect(),
    )
}

fn is_document(row: &RawDescriptor) -> bool {
    MediaType::parse(&row.media_type).is_some_and(|kind| kind.is_index() || kind.is_manifest())
}

/// What a manifest says of itself that its row in a list repeats.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referring {
    subject: Option<Subject>,
    artifact_type: Option<String>,
    config: Option<Config>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Subject {
    digest: BlobDigest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    media_type: Option<String>,
}

/// The manifest that `bytes` refers to, with its row in the list of what refers to it.
pub(super) fn referring(media_type: MediaType, bytes: &[u8]) -> Option<(BlobDigest, Value)> {
    let manifest: Referring = serde_json::from_slice(bytes).ok()?;
    let subject = manifest.subject?.digest;
    let artifact_type = manifest
        .artifact_type
        .filter(|text| !text.is_empty())
        .or_else(|| manifest.config.and_then(|config| config.media_type));
    let mut row = json!({ "mediaType": media_type, "digest": BlobDigest::of(bytes), "size": bytes.len() });
    if let Some(artifact_type) = artifact_type {
        row["artifactType"] = artifact_type.into();
    }
    if let Some(annotations) = manifest.annotations.filter(|annotations| !annotations.is_empty()) {
        row["annotations"] = json!(annotations);
    }
    Some((subject, row))
}

impl Http {
    /// Everything that refers to the manifest `subject`. No filter is asked for, so none has to be checked.
    pub(super) async fn referrers(
        &self,
        repository: &Repository,
        subject: BlobDigest,
    ) -> Result<Vec<RawDescriptor>, RegistryError> {
        if let Some(found) = self.referrers_by_api(repository, subject).await? {
            return Ok(found);
        }
        let tag = repository.tagged(&tag_of(subject))?;
        match self.manifest(&tag).await {
            Ok(list) => Ok(listed(&list.bytes).unwrap_or_default()),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// `None` where the registry has no such API.
    async fn referrers_by_api(
        &self,
        repository: &Repository,
        subject: BlobDigest,
    ) -> Result<Option<Vec<RawDescriptor>>, RegistryError> {
        if self.without_referrers.contains(repository) {
            return Ok(None);
        }
        let mut call = self.call(Method::GET, repository, &format!("referrers/{subject}"), Access::Pull)?;
        call.accept = Some(MediaType::OciIndex.as_str());
        let mut found: BTreeMap<BlobDigest, RawDescriptor> = BTreeMap::new();
        for page in 0..MOST_PAGES {
            let response = self.send(&call).await?;
            let status = response.status().as_u16();
            let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let is_index = kind.is_some_and(|kind| kind.starts_with(MediaType::OciIndex.as_str()));
            // A server that answers everything with a page for people has no such API either.
            let unknown = matches!(status, 400 | 404 | 405 | 406 | 410 | 501) || (status < 300 && !is_index);
            if page == 0 && unknown {
                self.without_referrers.insert(repository);
                return Ok(None);
            }
            if !response.status().is_success() {
                return Err(self.refusal(&call, response, &format!("{repository}@{subject}")).await);
            }
            let next = next_page(&call, &response)?;
            let bytes = self.read(&call.request(), response, RawManifest::LONGEST, false).await?;
            let rows = listed(&bytes).ok_or_else(|| RegistryError::Protocol {
                request: Box::new(call.request()),
                reason: "it is not the index of a list of referrers".to_owned(),
            })?;
            found.extend(rows.into_iter().map(|row| (row.digest, row)));
            match next {
                Some(next) if found.len() <= MOST => call.url = next,
                Some(_) => break,
                None if found.len() > MOST => break,
                None => return Ok(Some(found.into_values().collect())),
            }
        }
        Err(RegistryError::Protocol {
            request: Box::new(call.request()),
            reason: format!("more than {MOST} referrers or {MOST_PAGES} pages of them"),
        })
    }

    /// Adds a row to the list under the tag of `subject`, for a registry that does not keep it. Others may write it at the
    /// same time: a write holds to what was read where the registry can (`ETag`), and is read again in any case.
    pub(super) async fn list_referrer(
        &self,
        repository: &Repository,
        subject: BlobDigest,
        row: &Value,
    ) -> Result<(), RegistryError> {
        let tag = repository.tagged(&tag_of(subject))?;
        for failures in 1..=WRITES {
            let (mut rows, etag) = self.list_under(&tag).await?;
            if rows.iter().any(|known| known["digest"] == row["digest"]) {
                return Ok(());
            }
            // The same row twice is what an earlier race left.
            let mut seen = BTreeSet::new();
            rows.retain(|known| seen.insert(known["digest"].to_string()));
            rows.push(row.clone());
            let index = json!({
                "schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": rows,
            });
            if self.write_list(&tag, &index.to_string().into_bytes(), etag).await? {
                let (rows, _) = self.list_under(&tag).await?;
                if rows.iter().any(|known| known["digest"] == row["digest"]) {
                    return Ok(());
                }
            }
            if let Some(wait) = self.retry.wait(1, None).filter(|_| failures < WRITES) {
                sleep(wait).await;
            }
        }
        Err(RegistryError::Manifest {
            reference: tag.to_string(),
            reason: format!("others change it all the time; {WRITES} writes of it were lost"),
        })
    }

    /// The rows of a list as they stand there, and its `ETag`.
    async fn list_under(&self, tag: &ImageRef) -> Result<(Vec<Value>, Option<String>), RegistryError> {
        let rest = format!("manifests/{}", tag.key());
        let mut call = self.call(Method::GET, tag.repository(), &rest, Access::Push)?;
        call.accept = Some(MediaType::OciIndex.as_str());
        let response = self.send(&call).await?;
        if response.status().as_u16() == 404 {
            return Ok((Vec::new(), None));
        }
        if !response.status().is_success() {
            return Err(self.refusal(&call, response, &tag.to_string()).await);
        }
        let etag = response.headers().get(ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bytes = self.read(&call.request(), response, RawManifest::LONGEST, false).await?;
        let unusable = |reason: String| RegistryError::Manifest { reference: tag.to_string(), reason };
        let mut index: Value = serde_json::from_slice(&bytes).map_err(|error| {
            unusable(format!("it is no list of referrers: {}", one_line(&error.to_string())))
        })?;
        match index["manifests"].take() {
            Value::Array(rows) => Ok((rows, etag)),
            Value::Null if index["layers"].is_null() => Ok((Vec::new(), etag)),
            _ => Err(unusable("it is no list of referrers, and its tag is needed for one".to_owned())),
        }
    }

    /// Whether the list was written; not where someone else was faster.
    async fn write_list(
        &self,
        tag: &ImageRef,
        bytes: &[u8],
        etag: Option<String>,
    ) -> Result<bool, RegistryError> {
        let rest = format!("manifests/{}", tag.key());
        let mut call = self.call(Method::PUT, tag.repository(), &rest, Access::Push)?;
        call.follow = false;
        call.body = Some((MediaType::OciIndex.as_str(), bytes));
        // A strong one only: If-Match does not take the others (RFC 9110, 13.1.1).
        call.if_match = etag.filter(|etag| etag.starts_with('"'));
        let response = self.send(&call).await?;
        match response.status().as_u16() {
            409 | 412 => Ok(false),
            200..=299 => Ok(true),
            _ => Err(self.refusal(&call, response, &tag.to_string()).await),
        }
    }
}

/// Registries that were asked for referrers and have no such API.
#[derive(Default)]
pub(super) struct WithoutReferrers(std::sync::Mutex<BTreeSet<String>>);

impl WithoutReferrers {
    fn contains(&self, repository: &Repository) -> bool {
        self.known().contains(repository.authority())
    }

    fn insert(&self, repository: &Repository) {
        self.known().insert(repository.authority().to_owned());
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_repeats_what_the_manifest_says() {
        let digest = BlobDigest::of(b"subject");
        for (body, expected) in [
            (json!({}), None),
            (json!({ "subject": { "digest": "sha512:1" } }), None),
            (
                json!({ "subject": { "digest": digest }, "artifactType": "a/b", "config": { "mediaType": "c" } }),
                Some(json!({ "artifactType": "a/b" })),
            ),
            (
                json!({ "subject": { "digest": digest }, "artifactType": "", "config": { "mediaType": "c" } }),
                Some(json!({ "artifactType": "c" })),
            ),
            (
                json!({ "subject": { "digest": digest }, "annotations": { "x": "y" } }),
                Some(json!({ "annotations": { "x": "y" } })),
            ),
            (json!({ "subject": { "digest": digest }, "annotations": {} }), Some(json!({}))),
        ] {
            let bytes = body.to_string().into_bytes();
            let found = referring(MediaType::OciManifest, &bytes).map(|(subject, mut row)| {
                assert_eq!(subject, digest);
                let fields = row.as_object_mut().unwrap();
                assert_eq!(fields.remove("mediaType").unwrap(), MediaType::OciManifest.as_str());
                assert_eq!(fields.remove("digest").unwrap(), BlobDigest::of(&bytes).to_string());
                assert_eq!(fields.remove("size").unwrap(), bytes.len());
                row
            });
            assert_eq!(found, expected, "{body}");
        }
    }
}
