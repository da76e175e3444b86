use std::sync::Arc;

use super::descriptor::{Descriptor, MediaType};

/// A config, manifest or index as the exact bytes that are hashed, stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Media type, digest and size of the bytes.
    pub descriptor: Descriptor,
    /// The bytes.
    pub bytes: Arc<[u8]>,
}

impl Document {
    /// The document of these bytes.
    pub fn new(media_type: MediaType, bytes: Vec<u8>) -> Self {
        Self { descriptor: Descriptor::of(media_type, &bytes), bytes: bytes.into() }
    }
}
