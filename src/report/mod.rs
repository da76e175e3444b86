//! Numbers for people and CI: what an image holds, and what changed.
//!
//! Three figures are named and never mixed: **transfer** (what a registry sends: sizes of the descriptors of layers,
//! config and manifest), **unpacked** (files of the merged tree) and **layersUnpacked** (files of all layers, before
//! one hides another). All of them are bytes; text shows them in decimal units.

mod change;
pub mod column;
mod image;
mod json;
mod text;
mod tree;

pub use change::{Change, Delta, LayerChange, Previous, PreviousLayer};
pub use image::{ClassSum, ForeignFiles, ImageReport, LargestFile, LayerReport};
pub use json::SCHEMA_VERSION;
pub use text::{Detail, TextOptions};
pub use tree::MergedTree;

use std::collections::BTreeMap;

use crate::model::{BlobDigest, Size};

/// What a command built.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    images: Vec<ImageReport>,
}

/// Sums over all images of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Images, each platform counted.
    pub images: usize,
    /// Transfer of all of them, as if each were fetched alone.
    pub transfer: Size,
    /// Every blob once: what a registry that has none of them stores.
    pub distinct: Size,
    /// Every blob that is in several images, once.
    pub shared: Size,
}

impl Report {
    /// A report on `images`, sorted by identity and platform.
    pub fn new(mut images: Vec<ImageReport>) -> Self {
        images.sort_by(|a, b| (&a.identity, a.platform).cmp(&(&b.identity, b.platform)));
        Self { images }
    }

    /// The images, sorted by identity and platform.
    pub fn images(&self) -> &[ImageReport] {
        &self.images
    }

    /// The sums.
    pub fn totals(&self) -> Totals {
        let mut blobs: BTreeMap<BlobDigest, (u64, usize)> = BTreeMap::new();
        for image in &self.images {
            // A blob that is twice in one image is sent once.
            let own: BTreeMap<_, _> = image.blobs().map(|blob| (blob.digest, blob.size)).collect();
            for (digest, size) in own {
                blobs.entry(digest).or_insert((size, 0)).1 += 1;
            }
        }
        let shared = blobs.values().filter(|(_, images)| *images > 1);
        Totals {
            images: self.images.len(),
            transfer: self.images.iter().map(ImageReport::transfer).sum(),
            distinct: blobs.values().map(|(size, _)| Size(*size)).sum(),
            shared: shared.map(|(size, _)| Size(*size)).sum(),
        }
    }

    /// For `--format json`: one document with exact bytes, ending with a newline; the same report gives the same text.
    pub fn json(&self) -> String {
        json::render(self)
    }

    /// For people.
    pub fn text(&self, options: &TextOptions) -> String {
        text::render(self, options)
    }
}

#[cfg(test)]
mod sample;
