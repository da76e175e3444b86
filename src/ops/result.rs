//! What a command built, pushed or merged, as one JSON for machines and for `imgpack merge` (docs/results.md).

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::build::{Built, BuiltImage};
use super::error::Error;
use super::tags::TagRules;
use crate::key::FORMAT;
use crate::lock::LOCK_FILE;
use crate::model::{BlobDigest, Class, Descriptor, DiffId, Digest, KeyDigest, MediaType, Platform};
use crate::system::fs;

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildResult {
    /// Version of this shape: fields are only added while it stays the same.
    pub schema_version: u32,
    /// The version of imgpack that wrote it.
    pub imgpack: String,
    /// Version of the layers' bytes.
    pub format: String,
    /// Digest of `imgpack.lock` when the command ended, `None` without one.
    pub lock_digest: Option<BlobDigest>,
    /// `tags.immutable` of the workspace.
    pub immutable_tags: Vec<String>,
    /// The images, in the order of their identities.
    pub images: Vec<ResultImage>,
}

impl BuildResult {
    /// The only known version of the shape.
    pub const SCHEMA_VERSION: u32 = 1;

    /// Its JSON, with a newline at the end.
    pub fn json(&self) -> Result<Vec<u8>, Error> {
        let mut json = serde_json::to_vec_pretty(self).map_err(|error| Error::bug(error.to_string()))?;
        json.push(b'\n');
        Ok(json)
    }
}

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultImage {
    /// `service[/image][@variant]`
    pub identity: String,
    /// Registry and repository.
    pub repository: String,
    /// The tags that were asked for.
    pub tags: Vec<String>,
    /// `repository@digest`
    pub reference: String,
    /// The index or manifest that the tags stand for.
    pub root: Descriptor,
    /// Whether it was pushed.
    pub pushed: bool,
    /// Whether the tags name it now: not where only some platforms were built.
    pub tagged: bool,
    /// What its spec says, the same on every runner ([`super::fingerprint::Fingerprint`]).
    pub spec_digest: KeyDigest,
    /// What it is made from, the same on every runner.
    pub inputs_digest: KeyDigest,
    /// The index that all its platforms make.
    pub index: ResultIndex,
    /// Every platform of its spec, in index order.
    pub spec_platforms: Vec<Platform>,
    /// The platforms that were built, in index order.
    pub platforms: Vec<ResultPlatform>,
}

/// What an index says beside its manifests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultIndex {
    /// Its media type.
    pub media_type: MediaType,
    /// Whether a single platform has one too.
    pub always: bool,
    /// Its annotations.
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// One platform of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultPlatform {
    /// The platform.
    pub platform: Platform,
    /// The manifest.
    pub manifest: Descriptor,
    /// The config.
    pub config: Descriptor,
    /// The layers, the base's first.
    pub layers: Vec<ResultLayer>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultLayer {
    /// Its class.
    pub class: Class,
    /// What it is.
    pub title: String,
    /// Its blob.
    pub digest: BlobDigest,
    /// Digest of its tar.
    #[serde(rename = "diffID")]
    pub diff_id: DiffId,
    /// Its compressed size in bytes.
    pub transfer: u64,
    /// Its files' size in bytes.
    pub unpacked: u64,
}

/// `repository@digest`, what is printed on stdout.
pub fn reference(image: &BuiltImage) -> Result<String, Error> {
    Ok(format!("{}@{}", image.spec.repository, image.root()?.descriptor.digest))
}

/// The result of what was built in the workspace at `root`, and pushed by these rules.
pub fn result(root: &Path, built: &Built, pushed: bool, rules: &TagRules) -> Result<BuildResult, Error> {
    let images = built.images.iter().map(|image| result_image(image, pushed, rules));
    Ok(BuildResult {
        schema_version: BuildResult::SCHEMA_VERSION,
        imgpack: env!("CARGO_PKG_VERSION").to_owned(),
        format: FORMAT.to_owned(),
        lock_digest: lock_digest(root)?,
        immutable_tags: rules.immutable().to_vec(),
        images: images.collect::<Result<_, Error>>()?,
    })
}

fn lock_digest(root: &Path) -> Result<Option<BlobDigest>, Error> {
    match fs::read(root.join(LOCK_FILE)) {
        Ok(bytes) => Ok(Some(BlobDigest(Digest::of(&bytes)))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn result_image(image: &BuiltImage, pushed: bool, rules: &TagRules) -> Result<ResultImage, Error> {
    let spec = &image.spec;
    Ok(ResultImage {
        identity: spec.identity.to_string(),
        repository: spec.repository.clone(),
        tags: image.tags.clone(),
        reference: reference(image)?,
        root: image.root()?.descriptor,
        pushed,
        tagged: pushed && !image.tags.is_empty() && rules.moves(image),
        spec_digest: image.fingerprint.spec,
        inputs_digest: image.fingerprint.inputs,
        index: ResultIndex {
            media_type: if spec.docker_media_types { MediaType::DockerIndex } else { MediaType::OciIndex },
            always: spec.index_always,
            annotations: image.platforms.first().map(|first| first.annotations.clone()).unwrap_or_default(),
        },
        spec_platforms: spec.platforms.clone(),
        platforms: image.platforms.iter().map(platform).collect(),
    })
}

fn platform(image: &super::assemble::FinishedImage) -> ResultPlatform {
    let layers = image.layers.iter().map(|layer| ResultLayer {
        class: layer.class,
        title: layer.title.clone(),
        digest: layer.layer.descriptor.digest,
        diff_id: layer.layer.diff_id,
        transfer: layer.layer.descriptor.size,
        unpacked: layer.layer.unpacked,
    });
    ResultPlatform {
        platform: image.platform,
        manifest: image.manifest.descriptor,
        config: image.config.descriptor,
        layers: layers.collect(),
    }
}
