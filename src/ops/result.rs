//! What a command built, as one JSON for machines.

use serde::Serialize;

use super::build::{Built, BuiltImage};
use super::error::Error;
use crate::model::{BlobDigest, Class, Descriptor, DiffId, Platform};

/// The result of a build.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildResult {
    /// Version of this shape.
    pub schema_version: u32,
    /// The version of imgpack that wrote it.
    pub imgpack: &'static str,
    /// The images, in the order of the specs.
    pub images: Vec<ResultImage>,
}

/// One image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultImage {
    /// `service[/image][@variant]`
    pub identity: String,
    /// Registry and repository.
    pub repository: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// `repository@digest`
    pub reference: String,
    /// The index or manifest that the tags stand for.
    pub root: Descriptor,
    /// Whether it was pushed.
    pub pushed: bool,
    /// Its platforms.
    pub platforms: Vec<ResultPlatform>,
}

/// One platform of an image.
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
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

/// The result of what was built.
pub fn result(built: &Built, pushed: bool) -> Result<BuildResult, Error> {
    let images = built
        .images
        .iter()
        .map(|image| {
            Ok(ResultImage {
                identity: image.spec.identity.to_string(),
                repository: image.spec.repository.clone(),
                tags: image.tags.clone(),
                reference: reference(image)?,
                root: image.root()?.descriptor,
                pushed,
                platforms: image.platforms.iter().map(platform).collect(),
            })
        })
        .collect::<Result<_, Error>>()?;
    Ok(BuildResult { schema_version: 1, imgpack: env!("CARGO_PKG_VERSION"), images })
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
