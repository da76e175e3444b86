//! Entries into a stored layer, in one pass: read → content digest → tar → diff id → groups → blob digest → blob.

use std::collections::HashMap;
use std::io::{self, Read, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use super::press::{Job, Packed, Pending, Press, Reserved};
use crate::model::{
    Compression, Content, Descriptor, DiffId, Digest, Entries, EntryKind, Hasher, KeyDigest, Layer,
};
use crate::plan::PlannedLayer;
use crate::store::{BlobWriter, GroupIndex, GroupRange, Store, StoreError, StoredGroup};
use crate::system::{Cancel, IoError, fs};
use crate::tar::{Framing, TarWriter, WriteError, groups};

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
pub fn pack_layer(
    store: &Store,
    press: &Press,
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
    let Made { layer, .. } = make_layer(store, press, &planned.entries, compression, fresh, cancel)?;
    store.put_record(&key, &LayerRecord { layer })?;
    let origin = match known {
        Some(old) if old.descriptor.digest != layer.descriptor.digest => Origin::Differs(old.descriptor),
        _ => Origin::Made,
    };
    Ok((layer, origin))
}

/// A layer that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// The layer.
    pub layer: Layer,
    /// Number of its groups.
    pub groups: usize,
    /// How many of them were copied from older layers.
    pub copied: usize,
}

/// Makes a layer of `entries` and stores it. Groups that an older layer has are copied from it, unless `fresh`.
pub fn make_layer(
    store: &Store,
    press: &Press,
    entries: &Entries,
    compression: Compression,
    fresh: bool,
    cancel: &Cancel,
) -> Result<Made, PackError> {
    let framing = Framing::new(compression);
    let identities: Vec<Digest> = groups(entries.iter()).map(|group| group.identity()).collect();
    let known = if fresh { HashMap::new() } else { known_groups(store, framing, &identities) };
    let blob = store.write_blob()?;
    let written = if let [identity] = identities.as_slice() {
        write_one(entries, framing, *identity, blob, cancel)?
    } else {
        write_many(press, entries, framing, &identities, known, blob, cancel)?
    };
    let Written { blob, diff_id, stored, copied } = written;
    let (digest, size) = blob.finish()?;
    let groups = stored.len();
    if worth_an_index(framing, groups) {
        store.put_groups(&GroupIndex { framing: framing.name(), blob: digest, groups: stored })?;
    }
    let sizes = entries.iter().map(|entry| match entry.kind {
        EntryKind::File { size, .. } => size,
        _ => 0,
    });
    let layer = Layer {
        descriptor: Descriptor { media_type: compression.media_type(), digest, size },
        diff_id: DiffId(diff_id),
        unpacked: sizes.sum(),
        entries: entries.len() as u64,
    };
    Ok(Made { layer, groups, copied })
}

/// One group is compressed as fast as it is found.
fn worth_an_index(framing: Framing, groups: usize) -> bool {
    groups > 1 && framing.is_compressed()
}

fn known_groups(store: &Store, framing: Framing, identities: &[Digest]) -> HashMap<Digest, GroupRange> {
    if worth_an_index(framing, identities.len()) {
        store.find_groups(&framing.name(), identities)
    } else {
        HashMap::new()
    }
}

/// All groups of a layer, in a blob that has no name yet.
struct Written<'s> {
    blob: BlobWriter<'s>,
    diff_id: Digest,
    stored: Vec<StoredGroup>,
    copied: usize,
}

/// A small layer, without a thread.
fn write_one<'s>(
    entries: &Entries,
    framing: Framing,
    identity: Digest,
    mut blob: BlobWriter<'s>,
    cancel: &Cancel,
) -> Result<Written<'s>, PackError> {
    let mut tar = TarWriter::new(&open_content);
    let mut plain = Vec::new();
    for group in groups(entries.iter()) {
        check(cancel)?;
        tar.append(&group, &mut plain)?;
    }
    let diff_id = Digest::of(&plain);
    let packed = Job { plain: Arc::new(plain), framing, known: None }.run().map_err(WriteError::Write)?;
    blob.write_all(&packed.bytes).map_err(WriteError::Write)?;
    let stored = StoredGroup { identity, length: packed.bytes.len() as u64, checksum: packed.checksum };
    Ok(Written { blob, diff_id, stored: vec![stored], copied: 0 })
}

/// This thread reads and compares files with their digests, the press compresses, and a third thread takes the groups
/// in their order: the digest of the tar, then the blob and its digest.
fn write_many<'s>(
    press: &Press,
    entries: &Entries,
    framing: Framing,
    identities: &[Digest],
    known: HashMap<Digest, GroupRange>,
    mut blob: BlobWriter<'s>,
    cancel: &Cancel,
) -> Result<Written<'s>, PackError> {
    let (sender, receiver) = channel::<OnItsWay>();
    let write = move || {
        let mut hasher = Hasher::new();
        let mut stored = Vec::new();
        let mut copied = 0;
        for OnItsWay { identity, plain, pending, _room } in receiver {
            hasher.update(&plain);
            drop(plain);
            let Packed { bytes, checksum, copied: was_copied } = pending.wait()?;
            blob.write_all(&bytes)?;
            stored.push(StoredGroup { identity, length: bytes.len() as u64, checksum });
            copied += usize::from(was_copied);
        }
        Ok(Written { blob, diff_id: hasher.finish(), stored, copied })
    };
    thread::scope(|scope| {
        let writer = scope.spawn(write);
        let read = read_groups(press, entries, framing, identities, known, &sender, cancel);
        // The writer ends when nothing more can come.
        drop(sender);
        let written =
            writer.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread ended early")));
        read?;
        Ok(written.map_err(WriteError::Write)?)
    })
}

/// Reads group after group and sends them on.
fn read_groups(
    press: &Press,
    entries: &Entries,
    framing: Framing,
    identities: &[Digest],
    mut known: HashMap<Digest, GroupRange>,
    sender: &Sender<OnItsWay>,
    cancel: &Cancel,
) -> Result<(), WriteError> {
    let mut tar = TarWriter::new(&open_content);
    for (group, identity) in groups(entries.iter()).zip(identities) {
        check(cancel)?;
        let length = usize::try_from(group.length()).unwrap_or(usize::MAX);
        let room = press.room(framing, length);
        let mut plain = Vec::with_capacity(length);
        tar.append(&group, &mut plain)?;
        let plain = Arc::new(plain);
        let job = Job { plain: Arc::clone(&plain), framing, known: known.remove(identity) };
        let pending = press.submit(job);
        if sender.send(OnItsWay { identity: *identity, plain, pending, _room: room }).is_err() {
            // The writer failed and says why.
            break;
        }
    }
    Ok(())
}

/// A group between the thread that reads and the one that writes.
struct OnItsWay {
    identity: Digest,
    plain: Arc<Vec<u8>>,
    pending: Pending,
    _room: Reserved,
}

fn check(cancel: &Cancel) -> Result<(), WriteError> {
    if cancel.is_cancelled() { Err(WriteError::Cancelled) } else { Ok(()) }
}

/// Opens the content of an entry on this machine.
pub fn open_content(content: &Content) -> io::Result<Box<dyn Read>> {
    match content {
        Content::Bytes(bytes) => Ok(Box::new(io::Cursor::new(std::sync::Arc::clone(bytes)))),
        Content::Path(path) => Ok(Box::new(fs::open(path).map_err(|error| error.source)?)),
        Content::Packed { contents, offset, length } => {
            contents.open(*offset, *length).map(|read| -> Box<dyn Read> { read })
        }
    }
}

#[cfg(test)]
mod tests;
