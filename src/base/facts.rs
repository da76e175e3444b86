use super::error::BaseError;
use super::import::Import;
use crate::model::{BaseFacts, Descriptor, KeyDigest, MediaType};
use crate::tar::{self, LayerFacts, Merge};

/// The facts of a base and of each of its layers, as they are noted.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct ChainFacts {
    pub(super) facts: BaseFacts,
    pub(super) layers: Vec<LayerFacts>,
}

/// The note of a chain of layers: its blobs decide everything. The number rises when facts gain or change a meaning.
fn note(layers: &[Descriptor]) -> KeyDigest {
    let mut text = "imgpack base facts 1\n".to_owned();
    for layer in layers {
        text.push_str(&layer.digest.to_string());
        text.push('\n');
    }
    KeyDigest::of(text.as_bytes())
}

impl ChainFacts {
    /// What is noted of these layers.
    pub(super) fn noted(import: &Import<'_>, layers: &[Descriptor]) -> Option<Self> {
        let bytes = import.store.facts_get(&note(layers))?;
        let facts: Self = serde_json::from_slice(&bytes).ok()?;
        (facts.layers.len() == layers.len()).then_some(facts)
    }

    /// Reads these layers, all in the store, and notes what they say.
    pub(super) fn read(import: &Import<'_>, layers: &[Descriptor]) -> Result<Self, BaseError> {
        let mut merge = Merge::new();
        let mut found = Vec::new();
        let what = |layer: &Descriptor| format!("the layer {}", layer.digest);
        let open = |layer: &Descriptor| {
            import.cancel.check()?;
            let blob = import.store.open(&layer.digest).map_err(|source| import.store_failed(source))?;
            if layer.media_type == MediaType::OciLayerZstd {
                return Err(BaseError::MediaType {
                    base: import.base.to_owned(),
                    media_type: layer.media_type.as_str().to_owned(),
                });
            }
            let opened = tar::open_packed(import.watched(blob));
            opened.map(|(_, tar)| tar).map_err(|source| import.layer_failed(what(layer), source))
        };
        for layer in layers {
            let facts = merge.layer(open(layer)?);
            found.push(facts.map_err(|source| import.layer_failed(what(layer), source))?);
        }
        for number in merge.wanted_again() {
            let Some(layer) = layers.get(number) else { continue };
            merge.again(number, open(layer)?).map_err(|source| import.layer_failed(what(layer), source))?;
        }
        let facts = Self { facts: merge.finish(), layers: found };
        if let Ok(bytes) = serde_json::to_vec(&facts) {
            import.store.facts_put(&note(layers), &bytes);
        }
        Ok(facts)
    }
}
