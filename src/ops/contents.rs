//! What an image of a registry consists of, as far as the store knows its documents.

use std::collections::BTreeSet;
use std::io::Read as _;

use serde::Deserialize;

use crate::model::BlobDigest;
use crate::registry::RawManifest;
use crate::store::Store;

/// What a manifest or an index names.
#[derive(Deserialize)]
struct Parts {
    config: Option<Named>,
    #[serde(default)]
    layers: Vec<Named>,
    #[serde(default)]
    manifests: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    digest: BlobDigest,
}

/// The configs and layers below a manifest or index; nothing of documents that the store does not have.
pub fn contents(store: &Store, root: BlobDigest) -> BTreeSet<BlobDigest> {
    let (mut found, mut looked, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![root]);
    while let Some(digest) = open.pop() {
        if !looked.insert(digest) {
            continue;
        }
        if let Some(parts) = parts(store, &digest) {
            found.extend(parts.config.iter().chain(&parts.layers).map(|named| named.digest));
            open.extend(parts.manifests.iter().map(|named| named.digest));
        }
    }
    found
}

fn parts(store: &Store, digest: &BlobDigest) -> Option<Parts> {
    let mut bytes = Vec::new();
    store.open_blob(digest).ok()?.take(RawManifest::LONGEST as u64).read_to_end(&mut bytes).ok()?;
    (BlobDigest::of(&bytes) == *digest).then(|| serde_json::from_slice(&bytes).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_followed_as_far_as_they_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let blob = |text: &str| BlobDigest::of(text.as_bytes());
        let row = |digest: BlobDigest| serde_json::json!({ "digest": digest, "size": 1 });
        let manifest = |config: &str, layers: &[&str]| {
            let layers: Vec<_> = layers.iter().map(|layer| row(blob(layer))).collect();
            serde_json::to_vec(&serde_json::json!({ "config": row(blob(config)), "layers": layers })).unwrap()
        };
        let one = store.put_bytes(&manifest("a", &["x", "y"])).unwrap();
        let other = BlobDigest::of(&manifest("b", &["z"]));
        let index = serde_json::json!({ "manifests": [row(one), row(other), row(one)] });
        let index = store.put_bytes(&serde_json::to_vec(&index).unwrap()).unwrap();
        let known = BTreeSet::from([blob("a"), blob("x"), blob("y")]);
        assert_eq!(contents(&store, index), known);
        assert_eq!(contents(&store, one), known);
        assert_eq!(contents(&store, other), BTreeSet::new());
        std::fs::write(store.blob_path(&one), manifest("a", &["w"])).unwrap();
        assert_eq!(contents(&store, index), BTreeSet::new(), "a damaged document says nothing");
        let text = store.put_bytes(b"no document").unwrap();
        assert_eq!(contents(&store, text), BTreeSet::new());
    }
}
