use std::io::{self, Read, Write};

use super::error::BaseError;
use super::import::Import;
use crate::model::{BlobDigest, Descriptor, KeyDigest};

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

    /// Does `work`, which brings this blob, while nobody else brings the same; not again where it succeeded before.
    fn once(
        &self,
        _digest: &BlobDigest,
        work: &mut dyn FnMut() -> Result<(), BaseError>,
    ) -> Result<(), BaseError> {
        work()
    }

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
    import.store.once(&descriptor.digest, &mut || bring_alone(import, descriptor, fetch))
}

fn bring_alone(import: &Import<'_>, descriptor: &Descriptor, fetch: &Fetch<'_>) -> Result<(), BaseError> {
    if import.store.has(&descriptor.digest).map_err(|source| import.store_failed(source))? {
        return Ok(());
    }
    let mut failure = None;
    let put = import.store.put(&mut |writer| {
        let mut limited = Limited { writer, left: descriptor.size, import, exceeded: false };
        let fetched = fetch(descriptor, &mut limited);
        if limited.exceeded {
            let (base, digest, limit) = (import.base.to_owned(), descriptor.digest, descriptor.size);
            failure = Some(BaseError::TooLong { base, digest, limit });
        } else if let Err(source) = fetched {
            failure = Some(import.fetch_failed(descriptor.digest, source));
        }
        if failure.is_some() { Err(io::Error::other("the blob could not be fetched")) } else { Ok(()) }
    });
    import.cancel.check()?;
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
    let too_long =
        |limit| BaseError::TooLong { base: import.base.to_owned(), digest: descriptor.digest, limit };
    if descriptor.size > limit {
        return Err(too_long(limit));
    }
    let mut bytes = Vec::new();
    let mut limited = Limited { writer: &mut bytes, left: descriptor.size, import, exceeded: false };
    let fetched = fetch(descriptor, &mut limited);
    if limited.exceeded {
        return Err(too_long(descriptor.size));
    }
    import.cancel.check()?;
    fetched.map_err(|source| import.fetch_failed(descriptor.digest, source))?;
    check(import, descriptor, BlobDigest::of(&bytes), bytes.len() as u64)?;
    Ok(bytes)
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

/// Takes no more bytes than the descriptor says, and none once work is cancelled.
struct Limited<'a, 'b> {
    writer: &'a mut dyn Write,
    left: u64,
    import: &'a Import<'b>,
    exceeded: bool,
}

impl Write for Limited<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.import.cancel.check().map_err(io::Error::other)?;
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
