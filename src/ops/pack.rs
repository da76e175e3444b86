//! Entries into a stored layer, in one pass: read → tar → diff id → gzip → blob digest → blob.

use std::io::{self, Read, Write};

use crate::model::{Compression, Content, Descriptor, DiffId, EntryKind, Hasher, KeyDigest, Layer};
use crate::plan::PlannedLayer;
use crate::store::{Store, StoreError};
use crate::system::{Cancel, IoError, fs};
use crate::tar::{GzipWriter, WriteError, write_tar};

/// Why a layer could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Its entries could not be read or written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record could not be written.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// What is kept of a made layer.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LayerRecord {
    /// The layer.
    pub layer: Layer,
}

/// How a layer came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was stored already.
    Stored,
    /// It was made now.
    Made,
    /// It was made now, though a record of the key names another blob.
    Differs(Descriptor),
}

/// The layer of a key, where its record and its blob are both there.
pub fn stored_layer(store: &Store, key: &KeyDigest) -> Option<Layer> {
    let record: LayerRecord = store.record(key)?;
    let Descriptor { digest, size, .. } = record.layer.descriptor;
    store.has_blob(&digest, size).then_some(record.layer)
}

/// The layer of `planned`: the stored one, or with `fresh` or without a record a new one.
///
/// Not to be called on one of rayon's threads (see [`GzipWriter`]).
pub fn pack_layer(
    store: &Store,
    planned: &PlannedLayer,
    compression: Compression,
    fresh: bool,
    cancel: &Cancel,
) -> Result<(Layer, Origin), PackError> {
    let key = planned.key.digest();
    let known = stored_layer(store, &key);
    if let (Some(layer), false) = (known, fresh) {
        return Ok((layer, Origin::Stored));
    }
    let layer = make_layer(store, planned, compression, cancel)?;
    store.put_record(&key, &LayerRecord { layer })?;
    let origin = match known {
        Some(old) if old.descriptor.digest != layer.descriptor.digest => Origin::Differs(old.descriptor),
        _ => Origin::Made,
    };
    Ok((layer, origin))
}

fn make_layer(
    store: &Store,
    planned: &PlannedLayer,
    compression: Compression,
    cancel: &Cancel,
) -> Result<Layer, PackError> {
    let blob = store.write_blob()?;
    let stop = || cancel.is_cancelled();
    let (blob, diff_id) = match compression {
        Compression::None => {
            let mut tee = Tee::new(blob);
            write_tar(&planned.entries, &mut tee, &open_content, &stop)?;
            tee.finish()
        }
        Compression::Gzip(level) => {
            let gzip = GzipWriter::new(blob, level).map_err(WriteError::Write)?;
            let mut tee = Tee::new(gzip);
            write_tar(&planned.entries, &mut tee, &open_content, &stop)?;
            let (gzip, diff_id) = tee.finish();
            (gzip.finish().map_err(WriteError::Write)?, diff_id)
        }
    };
    let (digest, size) = blob.finish()?;
    let sizes = planned.entries.iter().map(|entry| match entry.kind {
        EntryKind::File { size, .. } => size,
        _ => 0,
    });
    Ok(Layer {
        descriptor: Descriptor { media_type: compression.media_type(), digest, size },
        diff_id: DiffId(diff_id),
        unpacked: sizes.sum(),
        entries: planned.entries.len() as u64,
    })
}

/// Opens the content of an entry on this machine.
pub fn open_content(content: &Content) -> io::Result<Box<dyn Read>> {
    match content {
        Content::Bytes(bytes) => Ok(Box::new(io::Cursor::new(std::sync::Arc::clone(bytes)))),
        Content::Path(path) => Ok(Box::new(fs::open(path).map_err(|error| error.source)?)),
    }
}

/// Hashes what it passes on.
struct Tee<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> Tee<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new() }
    }
    fn finish(self) -> (W, crate::model::Digest) {
        (self.inner, self.hasher.finish())
    }
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
