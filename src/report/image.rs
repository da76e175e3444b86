use std::collections::BTreeMap;

use super::change::{Change, Previous, PreviousLayer};
use crate::model::{Class, Descriptor, Identity, ImagePath, Layer, Platform, Size};

/// One image for one platform.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageReport {
    /// What was built.
    pub identity: Identity,
    /// For which platform.
    pub platform: Platform,
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its config.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerReport>,
    /// Size of the files of the merged tree (see [`super::MergedTree`]).
    pub unpacked: Size,
    /// The largest files of the merged tree, the largest first.
    pub largest: Vec<LargestFile>,
    /// Programs and libraries for other platforms that nothing in the image needs.
    pub foreign: Option<ForeignFiles>,
    /// What [`Self::remember`] gave after the build before this one; `None` for a first build.
    pub previous: Option<Previous>,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerReport {
    /// Its class.
    pub class: Class,
    /// What it is, for people: `/app/gateway`, `static@1`. Layers of two builds with one class and title are
    /// compared.
    pub title: String,
    /// The layer.
    pub layer: Layer,
}

/// A large file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LargestFile {
    /// Its place in the image.
    pub path: ImagePath,
    /// Its length.
    pub size: Size,
    /// The class of the layer that brings it.
    pub class: Class,
}

/// Files that could be left out, since they are for other platforms.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ForeignFiles {
    /// How many.
    pub files: usize,
    /// Sum of their lengths.
    pub unpacked: Size,
    /// The largest of them.
    pub largest: ImagePath,
}

/// Sums over the layers of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassSum {
    /// How many.
    pub layers: usize,
    /// Sizes of their blobs.
    pub transfer: Size,
    /// Sizes of their files.
    pub unpacked: Size,
}

impl ImageReport {
    /// Layers, config and manifest: what a registry sends to one who has nothing.
    pub fn transfer(&self) -> Size {
        self.blobs().map(|blob| Size(blob.size)).sum()
    }

    /// Sum of the files of all layers, before one hides another.
    pub fn layers_unpacked(&self) -> Size {
        self.layers.iter().map(|layer| Size(layer.layer.unpacked)).sum()
    }

    /// What changed against the build before; `None` for a first build.
    pub fn change(&self) -> Option<Change> {
        self.previous.as_ref().map(|previous| Change::between(previous, self))
    }

    /// What the next build is compared with.
    pub fn remember(&self) -> Previous {
        let layers = self.layers.iter().map(|layer| PreviousLayer {
            class: layer.class,
            title: layer.title.clone(),
            digest: layer.layer.descriptor.digest,
            transfer: Size(layer.layer.descriptor.size),
            unpacked: Size(layer.layer.unpacked),
        });
        Previous {
            manifest: self.manifest.digest,
            transfer: self.transfer(),
            unpacked: self.unpacked,
            layers: layers.collect(),
        }
    }

    /// Sums over the layers of each class.
    pub fn classes(&self) -> BTreeMap<Class, ClassSum> {
        let mut classes: BTreeMap<Class, ClassSum> = BTreeMap::new();
        for layer in &self.layers {
            let sum = classes.entry(layer.class).or_default();
            sum.layers += 1;
            sum.transfer.0 += layer.layer.descriptor.size;
            sum.unpacked.0 += layer.layer.unpacked;
        }
        classes
    }

    pub(super) fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        [&self.manifest, &self.config]
            .into_iter()
            .chain(self.layers.iter().map(|layer| &layer.layer.descriptor))
    }
}
