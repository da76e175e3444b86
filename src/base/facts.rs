use std::io::{self, Read};
use std::sync::atomic::AtomicBool;

use super::blobs::{Fetch, all_or_first_failure, missing, stream};
use super::error::BaseError;
use super::import::Import;
use crate::model::{BaseFacts, BlobDigest, Descriptor, KeyDigest};
use crate::system::IoError;
use crate::tar::{self, Budget, LayerFacts, LayerMembers, Merge, TarError};

/// The facts of a base and of each of its layers, as they are noted.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct ChainFacts {
    pub(super) facts: BaseFacts,
    pub(super) layers: Vec<LayerFacts>,
    /// Digest of the note: the layers' blobs decide it, on every machine.
    #[serde(skip)]
    pub(super) digest: Option<BlobDigest>,
}

/// The key of the note of a chain of layers: its blobs decide everything. The number rises when facts gain or change a
/// meaning, and with it the one of [`crate::lock::FACTS`].
fn key(layers: &[Descriptor]) -> KeyDigest {
    let mut text = "imgpack base facts 2\n".to_owned();
    for layer in layers {
        text.push_str(&layer.digest.to_string());
        text.push('\n');
    }
    KeyDigest::of(text.as_bytes())
}

impl ChainFacts {
    /// The facts of these layers: noted ones, else those that reading gives. Layers that the store does not have are read
    /// as they come, and are not kept.
    pub(super) fn of(
        import: &Import<'_>,
        layers: &[Descriptor],
        fetch: &Fetch<'_>,
    ) -> Result<Self, BaseError> {
        let mut found = None;
        // Two platforms may stand on the same layers.
        import.store.once(&key(layers).0, &mut || {
            found = Some(Self::noted_or_read(import, layers, fetch)?);
            Ok(())
        })?;
        found.map_or_else(|| Self::noted_or_read(import, layers, fetch), Ok)
    }

    fn noted_or_read(
        import: &Import<'_>,
        layers: &[Descriptor],
        fetch: &Fetch<'_>,
    ) -> Result<Self, BaseError> {
        Self::noted(import, layers).map_or_else(|| Self::read(import, layers, fetch), Ok)
    }

    fn noted(import: &Import<'_>, layers: &[Descriptor]) -> Option<Self> {
        let bytes = import.store.facts_get(&key(layers))?;
        let facts: Self = serde_json::from_slice(&bytes).ok()?;
        let digest = Some(BlobDigest::of(&bytes));
        (facts.layers.len() == layers.len()).then_some(Self { digest, ..facts })
    }

    /// Reads these layers, several at once, each once, and notes what they say.
    fn read(import: &Import<'_>, layers: &[Descriptor], fetch: &Fetch<'_>) -> Result<Self, BaseError> {
        import.store.expect(&missing(import, layers)?);
        let mut different: Vec<Descriptor> = layers.to_vec();
        different.sort_by_key(|layer| layer.digest);
        different.dedup_by_key(|layer| layer.digest);
        let budget = Budget::default();
        let members = all_or_first_failure(&different, |layer, failed| {
            read_layer(import, layer, fetch, failed, &mut |tar| LayerMembers::read(tar, &budget))
        })?;
        let mut merge = Merge::new();
        let mut found = Vec::new();
        for layer in layers {
            let number = different.iter().position(|known| known.digest == layer.digest);
            let Some(members) = number.and_then(|number| members.get(number)) else { continue };
            found.push(merge.add(members).map_err(|source| failed(import, layer, source))?);
        }
        drop(members);
        // Hardly ever: what by its name may be wanted was kept.
        for number in merge.wanted_again() {
            let Some(layer) = layers.get(number) else { continue };
            let mut again = |tar: &mut dyn Read| merge.again(number, tar);
            read_layer(import, layer, fetch, &AtomicBool::new(false), &mut again)?;
        }
        let mut facts = Self { facts: merge.finish(), layers: found, digest: None };
        if let Ok(bytes) = serde_json::to_vec(&facts) {
            import.store.facts_put(&key(layers), &bytes);
            facts.digest = Some(BlobDigest::of(&bytes));
        }
        Ok(facts)
    }
}

fn failed(import: &Import<'_>, layer: &Descriptor, source: TarError) -> BaseError {
    import.layer_failed(format!("the layer {}", layer.digest), source)
}

/// Gives the uncompressed tar of a layer to `work`: from the store, else as it comes. `stop` ends it early.
fn read_layer<T: Send>(
    import: &Import<'_>,
    layer: &Descriptor,
    fetch: &Fetch<'_>,
    stop: &AtomicBool,
    work: &mut (dyn FnMut(&mut dyn Read) -> Result<T, TarError> + Send),
) -> Result<T, BaseError> {
    import.cancel.check()?;
    let mut unpack = |blob: &mut (dyn Read + Send)| {
        let unpacked = tar::open_packed(import.watched(blob)).and_then(|(_, mut tar)| work(&mut tar));
        unpacked.map_err(|source| failed(import, layer, source))
    };
    if import.store.has(&layer.digest).map_err(|source| import.store_failed(source))? {
        let mut blob = import.store.open(&layer.digest).map_err(|source| import.store_failed(source))?;
        return unpack(&mut blob);
    }
    let (mut reader, mut writer) = io::pipe().map_err(IoError::of("make", "a pipe"))?;
    let mut unpacked = None;
    let streamed = std::thread::scope(|scope| {
        scope.spawn(|| {
            unpacked = Some(unpack(&mut reader));
            // A blob that is no layer may be a damaged one: its digest tells.
            let _: io::Result<u64> = io::copy(&mut reader, &mut io::sink());
        });
        let streamed = stream(import, layer, fetch, stop, &mut writer);
        drop(writer);
        streamed
    });
    import.cancel.check()?;
    streamed?;
    unpacked.unwrap_or_else(|| Err(failed(import, layer, TarError::NotTar)))
}
