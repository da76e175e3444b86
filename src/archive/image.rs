use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};

use super::error::ArchiveError;
use crate::model::{BlobDigest, Document, Layer, Platform};

/// Opens a layer's blob for reading, from its first byte.
pub type OpenBlob<'a> = &'a (dyn Fn(&BlobDigest) -> io::Result<File> + Sync);

/// Writes the bytes of a blob that is somewhere else, and checks them.
pub type SendBlob<'a> =
    &'a (dyn Fn(&BlobDigest, &mut dyn Write) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Sync);

/// One platform of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestOutput {
    /// The platform.
    pub platform: Platform,
    /// The manifest.
    pub manifest: Document,
    /// The config.
    pub config: Document,
    /// The layers, the lowest first.
    pub layers: Vec<Layer>,
}

/// An image to be written: one manifest, or an index over several.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageOutput {
    /// Its names (`ghcr.io/acme/core:latest`, `core:latest`), used as they are.
    pub names: Vec<String>,
    /// The index over the manifests; without it there is one manifest.
    pub index: Option<Document>,
    /// The platforms, in the order of the index.
    pub manifests: Vec<ManifestOutput>,
}

/// Where the bytes of a blob are.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    Bytes(&'a [u8]),
    Stored,
    Elsewhere(SendBlob<'a>),
}

/// A blob and its length in bytes.
#[derive(Clone, Copy)]
pub(super) struct Blob<'a> {
    pub(super) size: u64,
    pub(super) content: Content<'a>,
}

impl ImageOutput {
    /// What to call it in messages.
    pub(super) fn label(&self) -> String {
        match self.names.first() {
            Some(name) => name.clone(),
            None => self
                .index
                .as_ref()
                .or_else(|| self.manifests.first().map(|manifest| &manifest.manifest))
                .map_or_else(|| "an image".to_owned(), |root| root.descriptor.digest.to_string()),
        }
    }

    /// The document that its names stand for, with the platform where it is a manifest.
    pub(super) fn root(&self) -> Result<(&Document, Option<Platform>), ArchiveError> {
        match (&self.index, self.manifests.as_slice()) {
            (Some(index), _) => Ok((index, None)),
            (None, [one]) => Ok((&one.manifest, Some(one.platform))),
            (None, many) => Err(ArchiveError::NoIndex { image: self.label(), count: many.len() }),
        }
    }
}

/// Every blob of `images` once, in the order of their digests.
pub(super) fn blobs(images: &[ImageOutput]) -> BTreeMap<BlobDigest, Blob<'_>> {
    let mut blobs = BTreeMap::new();
    for image in images {
        let documents = image.manifests.iter().flat_map(|manifest| [&manifest.manifest, &manifest.config]);
        for document in image.index.iter().chain(documents) {
            let content = Content::Bytes(&document.bytes);
            blobs.insert(document.descriptor.digest, Blob { size: document.descriptor.size, content });
        }
        for layer in image.manifests.iter().flat_map(|manifest| &manifest.layers) {
            let blob = Blob { size: layer.descriptor.size, content: Content::Stored };
            blobs.entry(layer.descriptor.digest).or_insert(blob);
        }
    }
    blobs
}

/// Refuses a name that stands for two images.
pub(super) fn check_names(images: &[ImageOutput]) -> Result<(), ArchiveError> {
    let mut seen = BTreeSet::new();
    for image in images {
        for name in image.names.iter().collect::<BTreeSet<_>>() {
            if !seen.insert(name) {
                return Err(ArchiveError::SameName(name.clone()));
            }
        }
    }
    Ok(())
}
