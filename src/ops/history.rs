//! What the last build of an image was: for the report's change and for `explain`, never the ground of a decision.

use std::path::Path;

use super::assemble::PlannedImage;
use super::compile::CompileRecord;
use super::event::Task;
use crate::key::Key;
use crate::model::{Class, ContentDigest, KeyDigest};
use crate::report::Previous;
use crate::store::Store;
use crate::system::IoError;

/// What is remembered of the last build of one image for one platform: little, as every build reads it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LastBuild {
    /// What the next report is compared with.
    pub report: Previous,
    /// The key of the image, by which [`LastKeys`] are found.
    pub image: Option<KeyDigest>,
    /// Who it was, for those who ask what takes the cache's space; `None` in records of older versions.
    #[serde(default)]
    pub user: Option<User>,
}

/// What decided an image: for `explain` alone.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LastKeys {
    /// What decided the bytes of its own layers.
    pub layers: Vec<LastLayer>,
    /// What decided its builder's output, where it has a builder.
    pub build: Option<Key>,
}

/// The service that was built, and what it has of the cache beside layers.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct User {
    /// The workspace's root.
    pub workspace: String,
    /// The service.
    pub service: String,
    /// What its builder made.
    pub programs: Vec<ContentDigest>,
    /// The source root that its builder ran for, as the builders' caches call it.
    pub source_root: Option<String>,
}

impl User {
    /// The service of `task`, with what its builder made.
    pub fn of(root: &Path, task: &Task, made: Option<&CompileRecord>) -> Self {
        Self {
            workspace: root.display().to_string(),
            service: task.identity.service.clone(),
            programs: made.iter().flat_map(|made| &made.artefacts).map(|made| made.digest).collect(),
            source_root: made.and_then(|made| made.source_root.clone()),
        }
    }
}

/// What decided the bytes of a layer.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LastLayer {
    /// Its class.
    pub class: Class,
    /// What it was, for people.
    pub title: String,
    /// Its key.
    pub key: Key,
}

impl LastKeys {
    /// What is to be remembered.
    pub fn of(plan: &PlannedImage, build: Option<Key>) -> Self {
        let layers = plan.layers.iter().map(|layer| LastLayer {
            class: layer.class,
            title: layer.title.clone(),
            key: layer.key.clone(),
        });
        Self { layers: layers.collect(), build }
    }

    /// The keys of the last build called `name`.
    pub fn read(store: &Store, name: &str) -> Option<Self> {
        let last: LastBuild = store.last(name)?;
        store.record(&address(&last.image?))
    }

    /// Keeps them under the key of their image.
    pub fn keep(&self, store: &Store, image: &KeyDigest) -> Result<(), IoError> {
        store.put_record(&address(image), self)
    }

    /// The key of the layer that stood where this one stands: of the same class and title, else of the same class.
    pub fn layer_key(&self, class: Class, title: &str) -> Option<&Key> {
        let own = || self.layers.iter().filter(|layer| layer.class == class);
        own().find(|layer| layer.title == title).or_else(|| own().next()).map(|layer| &layer.key)
    }
}

/// Where the keys of an image are kept.
pub(super) fn address(image: &KeyDigest) -> KeyDigest {
    KeyDigest::of(format!("imgpack keys of an image 1\n{image}").as_bytes())
}

/// The name of an image and platform of a workspace in the store.
pub fn name(root: &Path, task: &Task) -> String {
    format!("{}\0{}\0{}", root.display(), task.identity, task.platform)
}
