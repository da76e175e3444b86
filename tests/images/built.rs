//! The result of a build, as `--result` writes it.

use std::fs;
use std::path::Path;

use serde_json::Value;

#[derive(Debug, PartialEq)]
pub(crate) struct Built {
    /// The whole document.
    pub(crate) document: Value,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Layer {
    pub(crate) class: String,
    pub(crate) title: String,
    pub(crate) digest: String,
    pub(crate) diff_id: String,
}

impl Built {
    pub(crate) fn read(file: &Path) -> Self {
        Self { document: serde_json::from_slice(&fs::read(file).unwrap()).unwrap() }
    }

    pub(crate) fn image(&self, identity: &str) -> &Value {
        let images = self.document["images"].as_array().expect("a result has images");
        let found = images.iter().find(|image| image["identity"] == identity);
        found.unwrap_or_else(|| panic!("{identity} was not built: {}", self.document))
    }

    /// `repository@digest`
    pub(crate) fn reference(&self, identity: &str) -> &str {
        text(&self.image(identity)["reference"])
    }

    pub(crate) fn root(&self, identity: &str) -> &str {
        text(&self.image(identity)["root"]["digest"])
    }

    pub(crate) fn platform(&self, identity: &str, platform: &str) -> &Value {
        let platforms = self.image(identity)["platforms"].as_array().expect("an image has platforms");
        let found = platforms.iter().find(|row| row["platform"] == platform);
        found.unwrap_or_else(|| panic!("{identity} was not built for {platform}: {}", self.document))
    }

    pub(crate) fn manifest(&self, identity: &str, platform: &str) -> &str {
        text(&self.platform(identity, platform)["manifest"]["digest"])
    }

    pub(crate) fn config(&self, identity: &str, platform: &str) -> &str {
        text(&self.platform(identity, platform)["config"]["digest"])
    }

    pub(crate) fn layers(&self, identity: &str, platform: &str) -> Vec<Layer> {
        let rows = self.platform(identity, platform)["layers"].as_array().expect("a platform has layers");
        let layer = |row: &Value| Layer {
            class: text(&row["class"]).to_owned(),
            title: text(&row["title"]).to_owned(),
            digest: text(&row["digest"]).to_owned(),
            diff_id: text(&row["diffID"]).to_owned(),
        };
        rows.iter().map(layer).collect()
    }

    /// The one layer with this title.
    pub(crate) fn layer(&self, identity: &str, platform: &str, title: &str) -> Layer {
        let layers = self.layers(identity, platform);
        let found: Vec<&Layer> = layers.iter().filter(|layer| layer.title == title).collect();
        assert_eq!(found.len(), 1, "layers {title} of {identity}: {layers:?}");
        found[0].clone()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}
