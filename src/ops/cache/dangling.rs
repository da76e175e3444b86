use crate::model::BlobDigest;
use crate::ops::compile::CompileRecord;
use crate::ops::pack::LayerRecord;

/// The blobs that a record leads to; none for notes, which lead to nothing but themselves.
pub(super) fn leads_to(record: &[u8]) -> Vec<BlobDigest> {
    if let Ok(record) = serde_json::from_slice::<LayerRecord>(record) {
        return vec![record.layer.descriptor.digest];
    }
    match serde_json::from_slice::<CompileRecord>(record) {
        Ok(record) => record.artefacts.iter().map(|made| BlobDigest(made.digest.0)).collect(),
        Err(_) => Vec::new(),
    }
}
