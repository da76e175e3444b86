use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::BaseError;
use super::import::Import;
use crate::model::{BlobDigest, Descriptor, Digest, Hasher, KeyDigest};
use crate::system::parallel;

/// Layers on their way at once: a registry is waited for, and every one of them has to be unpacked.
pub(super) const STREAMS: usize = 3;

/// Any error of the store or the network below.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a base needs of the store.
pub trait BlobStore: Sync {
    /// Whether the blob is there, whole.
    fn has(&self, digest: &BlobDigest) -> Result<bool, BoxError>;

    /// Makes a blob: calls `fill` once with a writer to it. Keeps nothing where `fill` fails. Digest and size of what was
    /// written; keeping a blob that is already there is no error.
    fn put(
        &self,
        fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(BlobDigest, u64), BoxError>;

    /// Does `work`, which brings this blob or note, while nobody else brings the same; not again where it succeeded
    /// before.
    fn once(
        &self,
        _digest: &Digest,
        work: &mut dyn FnMut() -> Result<(), BaseError>,
    ) -> Result<(), BaseError> {
        work()
    }

    /// These layers are going to be fetched, each once.
    fn expect(&self, _layers: &[Descriptor]) {}

    /// Opens a blob that is there.
    fn open(&self, digest: &BlobDigest) -> Result<Box<dyn Read + Send + '_>, BoxError>;

    /// What was last noted under `key`. Torn or lost notes are `None`; their only use is to save work.
    fn facts_get(&self, key: &KeyDigest) -> Option<Vec<u8>>;

    /// Notes `bytes` under `key`. That it could not is no error.
    fn facts_put(&self, key: &KeyDigest, bytes: &[u8]);
}

/// Writes the blob of a descriptor, from a registry, layout or archive. What it writes is not believed.
pub type Fetch<'a> = dyn Fn(&Descriptor, &mut dyn Write) -> Result<(), BoxError> + Sync + 'a;

/// Compresses layers that an archive has as plain tars: a base in a registry has to be compressed once, somewhere.
#[derive(Clone, Copy)]
pub struct Compressor<'a> {
    /// Name of the method, its version and settings: equal names, equal bytes.
    pub name: &'a str,
    /// Reads a tar, writes gzip.
    pub run: &'a (dyn Fn(&mut dyn Read, &mut dyn Write) -> io::Result<()> + Sync),
}

impl std::fmt::Debug for Compressor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Puts the blob of `descriptor` into the store, unless it is there, and checks it.
pub fn bring(import: &Import<'_>, descriptor: &Descriptor, fetch: &Fetch<'_>) -> Result<(), BaseError> {
    import.cancel.check()?;
    import.store.once(&descriptor.digest.0, &mut || bring_alone(import, descriptor, fetch))
}

/// Brings several.
pub(super) fn bring_all(
    import: &Import<'_>,
    layers: &[Descriptor],
    fetch: &Fetch<'_>,
) -> Result<(), BaseError> {
    let missing = missing(import, layers)?;
    import.store.expect(&missing);
    all_or_first_failure(&missing, |layer, _| bring(import, layer, fetch)).map(drop)
}

/// Those of `layers` that the store does not have, each once.
pub(super) fn missing(import: &Import<'_>, layers: &[Descriptor]) -> Result<Vec<Descriptor>, BaseError> {
    let mut missing: Vec<Descriptor> = Vec::new();
    for layer in layers {
        let known = missing.iter().any(|known| known.digest == layer.digest);
        if !known && !import.store.has(&layer.digest).map_err(|source| import.store_failed(source))? {
            missing.push(*layer);
        }
    }
    Ok(missing)
}

/// Does `work` for each of `layers`, some at once; it gets a flag that says whether another one failed. The failure that
/// came first is returned.
pub(super) fn all_or_first_failure<T: Send>(
    layers: &[Descriptor],
    work: impl Fn(&Descriptor, &AtomicBool) -> Result<T, BaseError> + Sync,
) -> Result<Vec<T>, BaseError> {
    let failed = AtomicBool::new(false);
    let results = parallel(STREAMS, layers, |layer| {
        if failed.load(Ordering::Relaxed) {
            return None;
        }
        let result = work(layer, &failed);
        // What comes after the first failure comes of it.
        let later = result.is_err() && failed.swap(true, Ordering::Relaxed);
        (!later).then_some(result)
    });
    results.into_iter().flatten().collect()
}

fn bring_alone(import: &Import<'_>, descriptor: &Descriptor, fetch: &Fetch<'_>) -> Result<(), BaseError> {
    if import.store.has(&descriptor.digest).map_err(|source| import.store_failed(source))? {
        return Ok(());
    }
    let mut failure = None;
    let put = import.store.put(&mut |writer| {
        let written = write(import, descriptor, fetch, &AtomicBool::new(false), writer);
        written.map_err(|error| {
            failure = Some(error);
            io::Error::other("the blob could not be fetched")
        })
    });
    if let Some(failure) = failure {
        return Err(failure);
    }
    let (got, got_size) = put.map_err(|source| import.store_failed(source))?;
    check(import, descriptor, got, got_size)
}

/// The blob of `descriptor` in memory, for documents: at most `limit` bytes.
pub(super) fn read_document(
    import: &Import<'_>,
    descriptor: &Descriptor,
    limit: u64,
    fetch: &Fetch<'_>,
) -> Result<Vec<u8>, BaseError> {
    import.cancel.check()?;
    if descriptor.size > limit {
        return Err(BaseError::TooLong { base: import.base.to_owned(), digest: descriptor.digest, limit });
    }
    let mut bytes = Vec::new();
    write(import, descriptor, fetch, &AtomicBool::new(false), &mut bytes)?;
    check(import, descriptor, BlobDigest::of(&bytes), bytes.len() as u64)?;
    Ok(bytes)
}

/// Has the blob of `descriptor` written to `writer`, and checks it. What was written before an error is not to be used.
pub(super) fn stream(
    import: &Import<'_>,
    descriptor: &Descriptor,
    fetch: &Fetch<'_>,
    stop: &AtomicBool,
    writer: &mut dyn Write,
) -> Result<(), BaseError> {
    let mut hashing = Hashing { writer, hasher: Hasher::new(), size: 0 };
    write(import, descriptor, fetch, stop, &mut hashing)?;
    check(import, descriptor, BlobDigest(hashing.hasher.finish()), hashing.size)
}

/// Has `fetch` write no more than the descriptor says.
fn write(
    import: &Import<'_>,
    descriptor: &Descriptor,
    fetch: &Fetch<'_>,
    stop: &AtomicBool,
    writer: &mut dyn Write,
) -> Result<(), BaseError> {
    let mut limited = Limited { writer, left: descriptor.size, import, stop, exceeded: false };
    let fetched = fetch(descriptor, &mut limited);
    let exceeded = limited.exceeded;
    import.cancel.check()?;
    if exceeded {
        let (base, digest, limit) = (import.base.to_owned(), descriptor.digest, descriptor.size);
        return Err(BaseError::TooLong { base, digest, limit });
    }
    fetched.map_err(|source| import.fetch_failed(descriptor.digest, source))
}

fn check(
    import: &Import<'_>,
    descriptor: &Descriptor,
    got: BlobDigest,
    got_size: u64,
) -> Result<(), BaseError> {
    if (got, got_size) == (descriptor.digest, descriptor.size) {
        return Ok(());
    }
    let (base, Descriptor { digest, size, .. }) = (import.base.to_owned(), *descriptor);
    Err(BaseError::Damaged { base, digest, size, got, got_size })
}

/// Takes no more bytes than the descriptor says, and none once work is cancelled or in vain.
struct Limited<'a, 'b> {
    writer: &'a mut dyn Write,
    left: u64,
    import: &'a Import<'b>,
    stop: &'a AtomicBool,
    exceeded: bool,
}

impl Write for Limited<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.import.cancel.check().map_err(io::Error::other)?;
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("another layer failed"));
        }
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            self.exceeded = true;
            return Err(io::Error::other("it is longer than its descriptor says"));
        };
        self.writer.write_all(bytes)?;
        self.left = left;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Hashes what it passes on.
struct Hashing<'a> {
    writer: &'a mut dyn Write,
    hasher: Hasher,
    size: u64,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
