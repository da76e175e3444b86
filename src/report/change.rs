use std::collections::BTreeMap;

use super::image::ImageReport;
use crate::model::{BlobDigest, Class, Size};

/// What is kept of a build for the report of the next one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Previous {
    /// Digest of its manifest.
    pub manifest: BlobDigest,
    /// Its transfer size.
    pub transfer: Size,
    /// Size of the files of its merged tree.
    pub unpacked: Size,
    /// Its layers, the lowest first.
    pub layers: Vec<PreviousLayer>,
}

/// A layer of an earlier build.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PreviousLayer {
    /// Its class.
    pub class: Class,
    /// What it was, for people.
    pub title: String,
    /// Digest of its blob.
    pub digest: BlobDigest,
    /// Size of its blob.
    pub transfer: Size,
    /// Size of its files.
    pub unpacked: Size,
}

/// A size before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delta {
    /// Before.
    pub from: Size,
    /// After.
    pub to: Size,
}

impl Delta {
    /// Bytes more, negative for less.
    pub fn bytes(self) -> i64 {
        let clamp = |bytes: i128| i64::try_from(bytes).unwrap_or(if bytes < 0 { i64::MIN } else { i64::MAX });
        clamp(i128::from(self.to.0) - i128::from(self.from.0))
    }
}

/// How a layer stands to the build before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerChange {
    /// The same blob was in it.
    Reused,
    /// A layer of the same class and title had other bytes.
    Changed(Delta),
    /// It had no such layer.
    New,
}

/// An image against the one of the build before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whether the manifest is another one; if not, nothing changed.
    pub is_changed: bool,
    /// Transfer.
    pub transfer: Delta,
    /// Unpacked size.
    pub unpacked: Delta,
    /// Transfer of the layers of each class that was or is there.
    pub classes: BTreeMap<Class, Delta>,
    /// For each layer, in their order.
    pub layers: Vec<LayerChange>,
    /// Layers that are there no more.
    pub removed: Vec<PreviousLayer>,
}

impl Change {
    pub(super) fn between(previous: &Previous, image: &ImageReport) -> Self {
        let mut classes: BTreeMap<Class, Delta> = BTreeMap::new();
        for layer in &previous.layers {
            classes.entry(layer.class).or_default().from.0 += layer.transfer.0;
        }
        for layer in &image.layers {
            classes.entry(layer.class).or_default().to.0 += layer.layer.descriptor.size;
        }

        let mut left: Vec<Option<&PreviousLayer>> = previous.layers.iter().map(Some).collect();
        let mut take = |wanted: &dyn Fn(&PreviousLayer) -> bool| {
            left.iter_mut().find(|known| known.is_some_and(wanted)).and_then(Option::take)
        };
        // The same bytes first, so that of several layers of one title only the changed ones count as changed.
        let reused: Vec<bool> = image
            .layers
            .iter()
            .map(|layer| take(&|known| known.digest == layer.layer.descriptor.digest).is_some())
            .collect();
        let layers = image
            .layers
            .iter()
            .zip(reused)
            .map(|(layer, reused)| {
                if reused {
                    return LayerChange::Reused;
                }
                match take(&|known| known.class == layer.class && known.title == layer.title) {
                    Some(known) => LayerChange::Changed(Delta {
                        from: known.transfer,
                        to: Size(layer.layer.descriptor.size),
                    }),
                    None => LayerChange::New,
                }
            })
            .collect();
        Self {
            is_changed: previous.manifest != image.manifest.digest,
            transfer: Delta { from: previous.transfer, to: image.transfer() },
            unpacked: Delta { from: previous.unpacked, to: image.unpacked },
            classes,
            layers,
            removed: left.into_iter().flatten().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Platform;
    use crate::report::sample::{image, layer};

    #[test]
    fn layers_are_the_same_changed_new_or_gone() {
        let before = image(
            "core",
            Platform::AMD64,
            vec![
                layer(Class::Base, "static@1", 800, 2_000),
                layer(Class::Deps, "pandas", 500, 900),
                layer(Class::App, "/app/core", 3_000, 7_000),
            ],
        );
        let mut after = image(
            "core",
            Platform::AMD64,
            vec![
                layer(Class::Base, "static@1", 800, 2_000),
                layer(Class::App, "/app/core", 3_010, 7_020),
                layer(Class::Config, "directories", 90, 0),
            ],
        );
        after.previous = Some(before.remember());
        let change = after.change().unwrap();
        assert_eq!(
            change.layers,
            [
                LayerChange::Reused,
                LayerChange::Changed(Delta { from: Size(3_000), to: Size(3_010) }),
                LayerChange::New,
            ]
        );
        assert_eq!(change.removed.iter().map(|layer| layer.title.as_str()).collect::<Vec<_>>(), ["pandas"]);
        let by_class: Vec<_> = change.classes.iter().map(|(class, delta)| (*class, delta.bytes())).collect();
        assert_eq!(by_class, [(Class::Base, 0), (Class::Deps, -500), (Class::App, 10), (Class::Config, 90)]);
        assert_eq!(change.transfer.bytes(), 10 - 500 + 90);
        assert!(change.is_changed);

        after.previous = Some(after.remember());
        let change = after.change().unwrap();
        assert!(!change.is_changed);
        assert_eq!(change.layers, [LayerChange::Reused; 3]);
        assert!(change.removed.is_empty());
    }

    #[test]
    fn of_layers_with_one_title_only_the_changed_one_counts() {
        let before = image(
            "core",
            Platform::AMD64,
            vec![
                layer(Class::Base, "alpine", 1, 1),
                layer(Class::Base, "alpine", 2, 2),
                layer(Class::Base, "alpine", 3, 3),
            ],
        );
        let mut after = image(
            "core",
            Platform::AMD64,
            vec![
                layer(Class::Base, "alpine", 9, 9),
                layer(Class::Base, "alpine", 1, 1),
                layer(Class::Base, "alpine", 3, 3),
            ],
        );
        after.previous = Some(before.remember());
        let change = after.change().unwrap();
        assert_eq!(
            change.layers,
            [
                LayerChange::Changed(Delta { from: Size(2), to: Size(9) }),
                LayerChange::Reused,
                LayerChange::Reused,
            ]
        );
        assert!(change.removed.is_empty());
    }
}
