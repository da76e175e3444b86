use std::collections::BTreeMap;

use super::blobs::{Fetch, bring_all, read_document};
use super::config::{CONFIG_LIMIT, ParsedConfig};
use super::document::{DOCUMENT_LIMIT, Parsed, RawDescriptor, RawDocument, RawPlatform};
use super::error::BaseError;
use super::facts::ChainFacts;
use super::import::Import;
use crate::model::{BaseConfig, BaseFacts, BlobDigest, Descriptor, Layer, MediaType, Repository};

/// How deep indexes may stand in each other.
const INDEX_DEPTH: usize = 4;
/// Most images of an index that are looked into for a platform that the index does not tell.
const LOOK_LIMIT: usize = 64;

/// A base, ready to be built on.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BaseImage {
    /// What its config says.
    pub config: BaseConfig,
    /// Its layers, the lowest first; whether they are in the store, [`Import::layers`] says. Their blobs never change; their descriptors have OCI media types.
    pub layers: Vec<BaseLayer>,
    /// Its merged tree.
    pub facts: BaseFacts,
    /// `org.opencontainers.image.base.name`, where it has one.
    pub name: Option<String>,
    /// `org.opencontainers.image.base.digest`: of the platform's manifest, where it has one.
    pub digest: Option<BlobDigest>,
    /// Digest of everything that reading its layers tells, which their blobs decide: the same on every machine, for the
    /// lock. `None` for built-in bases.
    pub facts_digest: Option<BlobDigest>,
}

/// A layer of a base.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BaseLayer {
    /// The layer.
    pub layer: Layer,
    /// What it is, where that is known of another image of the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What the base's history says of it.
    pub created_by: Option<String>,
    /// The repository that has it, where it came from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Repository>,
    /// Where a layer is to be had that is not to be distributed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

/// An index or manifest that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// Its bytes, already checked where they were asked for by digest.
    pub bytes: &'a [u8],
    /// The reference for `base.name`, if it is one that others can use.
    pub name: Option<&'a str>,
}

/// Makes a base of the image for the wanted platform that `document` is, or leads to, with `fetch` for every blob.
pub fn from_document(
    import: &Import<'_>,
    document: &Document<'_>,
    fetch: &Fetch<'_>,
) -> Result<BaseImage, BaseError> {
    load(import, &manifest_of(import, document, fetch)?, document.name, fetch)
}

/// The manifest of the image for the wanted platform that `document` is, or leads to.
pub(super) fn manifest_of(
    import: &Import<'_>,
    document: &Document<'_>,
    fetch: &Fetch<'_>,
) -> Result<Manifest, BaseError> {
    let mut search = Search { import, fetch, found: Vec::new(), looked: 0 };
    let manifest = search.resolve("the document", document.bytes, false, 0)?;
    manifest.ok_or_else(|| search.nothing())
}

/// The manifest of one image.
pub(super) struct Manifest {
    pub(super) digest: BlobDigest,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    /// Addresses of the layers that are not to be distributed.
    pub(super) urls: BTreeMap<BlobDigest, Vec<String>>,
}

impl Manifest {
    /// Says of a layer that is not to be distributed where it is.
    pub(super) fn elsewhere(&self, error: BaseError) -> BaseError {
        match error {
            BaseError::Fetch { base, digest, source } => match self.urls.get(&digest) {
                Some(urls) => BaseError::Elsewhere { base, layer: digest, urls: urls.clone(), source },
                None => BaseError::Fetch { base, digest, source },
            },
            other => other,
        }
    }
}

/// Looks for the image of a platform.
pub(super) struct Search<'a, 'b> {
    pub(super) import: &'a Import<'b>,
    pub(super) fetch: &'a Fetch<'a>,
    /// Platforms that were seen and are not the wanted one.
    pub(super) found: Vec<String>,
    pub(super) looked: usize,
}

impl Search<'_, '_> {
    /// The image for the platform in `bytes`; `trusted` where an index above already said that it is for it.
    fn resolve(
        &mut self,
        what: &str,
        bytes: &[u8],
        trusted: bool,
        depth: usize,
    ) -> Result<Option<Manifest>, BaseError> {
        if bytes.len() as u64 > DOCUMENT_LIMIT {
            let (base, digest) = (self.import.base.to_owned(), BlobDigest::of(bytes));
            return Err(BaseError::TooLong { base, digest, limit: DOCUMENT_LIMIT });
        }
        match RawDocument::parse(self.import, what, bytes)? {
            Parsed::Index(_) if depth >= INDEX_DEPTH => {
                Err(self.import.document(what, "indexes stand too deep in each other"))
            }
            Parsed::Index(manifests) => Ok(self.pick(&manifests, depth)?.map(|(_, manifest)| manifest)),
            Parsed::Manifest { config, layers } => {
                let is_image =
                    MediaType::parse(&config.media_type).map(MediaType::to_oci) == Some(MediaType::OciConfig);
                // Signatures and other artifacts may stand in an index too.
                if !is_image && depth > 0 && !trusted {
                    return Ok(None);
                }
                if !is_image {
                    return Err(self.import.document(what, "its config is not that of an image"));
                }
                let config = config.checked(self.import)?;
                if !trusted && !self.is_wanted(&config)? {
                    return Ok(None);
                }
                let mut urls = BTreeMap::new();
                let mut checked = Vec::with_capacity(layers.len());
                for layer in layers {
                    let descriptor = self.layer(what, &layer)?;
                    if descriptor.media_type.is_foreign() {
                        urls.insert(descriptor.digest, layer.urls);
                    }
                    checked.push(descriptor);
                }
                Ok(Some(Manifest { digest: BlobDigest::of(bytes), config, layers: checked, urls }))
            }
        }
    }

    /// The first image for the platform: among those of which the index says it, then among those of which it says
    /// nothing. Its entry comes with it.
    pub(super) fn pick<'m>(
        &mut self,
        manifests: &'m [RawDescriptor],
        depth: usize,
    ) -> Result<Option<(&'m RawDescriptor, Manifest)>, BaseError> {
        let wanted = self.import.platform;
        let mut silent = Vec::new();
        let mut said = Vec::new();
        for entry in manifests.iter().filter(|entry| !entry.is_attestation()) {
            let kind = MediaType::parse(&entry.media_type);
            if !kind.is_some_and(|kind| kind.is_index() || kind.is_manifest()) {
                continue;
            }
            match &entry.platform {
                // BuildKit's layouts put an index below the top one, some with and some without a platform.
                Some(platform) if kind.is_some_and(MediaType::is_manifest) && !platform.is_empty() => {
                    if wanted.matches(&platform.os, &platform.architecture, platform.variant.as_deref()) {
                        said.push(entry);
                    } else {
                        self.found.push(platform.text());
                    }
                }
                _ => silent.push(entry),
            }
        }
        // Exactly this platform comes before what is taken for it (arm64/v8 for arm64).
        said.sort_by_key(|entry| entry.platform.as_ref().is_some_and(RawPlatform::has_variant));
        for (entry, trusted) in
            said.into_iter().map(|entry| (entry, true)).chain(silent.into_iter().map(|entry| (entry, false)))
        {
            self.looked += 1;
            if self.looked > LOOK_LIMIT {
                return Err(self.import.document("the index", "it has too many images without a platform"));
            }
            let descriptor = entry.checked(self.import)?;
            let bytes = read_document(self.import, &descriptor, DOCUMENT_LIMIT, self.fetch)?;
            let what = format!("the document {}", descriptor.digest);
            if let Some(manifest) = self.resolve(&what, &bytes, trusted, depth + 1)? {
                return Ok(Some((entry, manifest)));
            }
        }
        Ok(None)
    }

    fn is_wanted(&mut self, config: &Descriptor) -> Result<bool, BaseError> {
        let bytes = read_document(self.import, config, CONFIG_LIMIT, self.fetch)?;
        let what = format!("the config {}", config.digest);
        let platform = ParsedConfig::parse(self.import, &what, &bytes)?.platform;
        let wanted =
            self.import.platform.matches(&platform.os, &platform.architecture, platform.variant.as_deref());
        if !wanted {
            self.found.push(platform.text());
        }
        Ok(wanted)
    }

    fn layer(&self, what: &str, layer: &RawDescriptor) -> Result<Descriptor, BaseError> {
        let descriptor = layer.checked(self.import)?;
        if descriptor.media_type.is_layer() {
            return Ok(descriptor);
        }
        let reason = format!("it has a layer of the type `{}`", descriptor.media_type);
        Err(self.import.document(what, reason))
    }

    /// The error where nothing was found.
    pub(super) fn nothing(mut self) -> BaseError {
        self.found.sort_unstable();
        self.found.dedup();
        let (base, platform) = (self.import.base.to_owned(), self.import.platform);
        BaseError::Platform { base, platform, found: self.found }
    }
}

/// Loads the image of `manifest`.
pub(super) fn load(
    import: &Import<'_>,
    manifest: &Manifest,
    name: Option<&str>,
    fetch: &Fetch<'_>,
) -> Result<BaseImage, BaseError> {
    let bytes = read_document(import, &manifest.config, CONFIG_LIMIT, fetch)?;
    let parsed = ParsedConfig::parse(import, &format!("the config {}", manifest.config.digest), &bytes)?;
    let mut base =
        assemble(import, parsed, &manifest.layers, fetch).map_err(|error| manifest.elsewhere(error))?;
    base.name = name.map(str::to_owned);
    base.digest = Some(manifest.digest);
    for layer in &mut base.layers {
        layer.urls = manifest.urls.get(&layer.layer.descriptor.digest).cloned().unwrap_or_default();
    }
    Ok(base)
}

/// Joins config and layers; fetches what is needed, and checks that they belong together.
pub(super) fn assemble(
    import: &Import<'_>,
    parsed: ParsedConfig,
    layers: &[Descriptor],
    fetch: &Fetch<'_>,
) -> Result<BaseImage, BaseError> {
    let ParsedConfig { config, diff_ids, created_by, .. } = parsed;
    if diff_ids.len() != layers.len() {
        let reason = format!("it names {} layers, the manifest {}", diff_ids.len(), layers.len());
        return Err(import.document("the config", reason));
    }
    let mut by_digest = BTreeMap::new();
    for layer in layers {
        let known = by_digest.insert(layer.digest, layer);
        if known.is_some_and(|known| known.size != layer.size) {
            let reason = format!("it gives the layer {} two sizes", layer.digest);
            return Err(import.document("the manifest", reason));
        }
    }
    if import.layers {
        bring_all(import, layers, fetch)?;
    }
    let known = ChainFacts::of(import, layers, fetch)?;
    let mut history = created_by.into_iter();
    let mut joined = Vec::with_capacity(layers.len());
    for ((descriptor, said), facts) in layers.iter().zip(&diff_ids).zip(&known.layers) {
        if *said != facts.diff_id {
            let (base, layer) = (import.base.to_owned(), descriptor.digest);
            return Err(BaseError::DiffId {
                base,
                layer,
                said: said.to_string(),
                got: facts.diff_id.to_string(),
            });
        }
        let layer = Layer {
            descriptor: *descriptor,
            diff_id: facts.diff_id,
            unpacked: facts.unpacked,
            entries: facts.entries,
        };
        let created_by = history.next().flatten();
        joined.push(BaseLayer { layer, title: None, created_by, from: None, urls: Vec::new() });
    }
    let facts_digest = known.digest;
    Ok(BaseImage { config, layers: joined, facts: known.facts, facts_digest, ..BaseImage::default() })
}
