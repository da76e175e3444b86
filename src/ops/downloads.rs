//! Layers of bases on their way from registries: counted, and brought into the store where a local output needs them.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::build::Built;
use super::error::Error;
use super::event::{Event, Observer};
use super::machine::Machine;
use crate::base::{BaseError, BoxError};
use crate::model::{BlobDigest, Descriptor, Repository};
use crate::system::parallel;

/// Blobs on their way at once, whatever the number of processors.
pub(super) const DOWNLOADS: usize = 4;

/// Sums up what comes from each repository, and tells it.
pub(super) struct Downloads<'a> {
    observer: &'a dyn Observer,
    state: Mutex<BTreeMap<String, Sums>>,
}

#[derive(Default)]
struct Sums {
    /// Sizes in bytes of what is going to come.
    expected: BTreeMap<BlobDigest, u64>,
    /// Bytes of it that came.
    received: BTreeMap<BlobDigest, u64>,
}

impl<'a> Downloads<'a> {
    pub(super) fn new(observer: &'a dyn Observer) -> Self {
        Self { observer, state: Mutex::default() }
    }

    /// These blobs are going to come.
    pub(super) fn expect<'d>(
        &self,
        repository: &Repository,
        blobs: impl IntoIterator<Item = &'d Descriptor>,
    ) {
        self.expect_of(&repository.to_string(), blobs.into_iter().map(|blob| (blob.digest, blob.size)));
    }

    /// The same with digests and sizes in bytes, of anything that has a name.
    pub(super) fn expect_of(&self, name: &str, blobs: impl IntoIterator<Item = (BlobDigest, u64)>) {
        let blobs: Vec<_> = blobs.into_iter().collect();
        if !blobs.is_empty() {
            self.tell(name, |sums| sums.expected.extend(blobs));
        }
    }

    /// Passes on what comes of a blob, and counts it.
    pub(super) fn counted<'s>(
        &'s self,
        repository: &Repository,
        blob: &Descriptor,
        sink: &'s mut dyn Write,
    ) -> impl Write + use<'s, 'a> {
        self.counted_of(&repository.to_string(), blob.digest, sink)
    }

    /// The same of anything that has a name.
    pub(super) fn counted_of<'s>(
        &'s self,
        name: &str,
        digest: BlobDigest,
        sink: &'s mut dyn Write,
    ) -> impl Write + use<'s, 'a> {
        Counted { downloads: self, name: name.to_owned(), digest, received: 0, sink }
    }

    fn tell(&self, name: &str, change: impl FnOnce(&mut Sums)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let sums = state.entry(name.to_owned()).or_default();
        change(sums);
        let (received, total) = (sums.received.values().sum(), sums.expected.values().sum());
        self.observer.event(Event::Download { repository: name.to_owned(), received, total });
    }
}

struct Counted<'a> {
    downloads: &'a Downloads<'a>,
    name: String,
    digest: BlobDigest,
    received: u64,
    sink: &'a mut dyn Write,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        self.received += count as u64;
        let (digest, received) = (self.digest, self.received);
        self.downloads.tell(&self.name, |sums| {
            sums.received.insert(digest, received);
        });
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Brings the layers of registries' bases that the store does not have, each once.
pub(super) fn bring_layers(machine: &Machine<'_>, built: &Built) -> Result<(), Error> {
    let Machine { store, registry, cancel, observer, .. } = *machine;
    let layers = built.images.iter().flat_map(|image| &image.platforms).flat_map(|image| &image.layers);
    let mut missing = BTreeMap::new();
    for layer in layers {
        let blob = &layer.layer.descriptor;
        if let Some(from) = &layer.from
            && !missing.contains_key(&blob.digest)
            && !store.has_blob(&blob.digest, blob.size)
        {
            missing.insert(blob.digest, (blob, from, &layer.urls));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let downloads = Downloads::new(observer);
    let mut expected: BTreeMap<&Repository, Vec<&Descriptor>> = BTreeMap::new();
    for (blob, from, _) in missing.values() {
        expected.entry(from).or_default().push(blob);
    }
    expected.into_iter().for_each(|(from, blobs)| downloads.expect(from, blobs));
    // The largest first, so that none is left alone at the end.
    let mut missing: Vec<_> = missing.into_values().collect();
    missing.sort_by_key(|(blob, _, _)| std::cmp::Reverse(blob.size));
    let failed = AtomicBool::new(false);
    let bring = |(blob, from, urls): &(&Descriptor, &Repository, &Vec<String>)| {
        cancel.check()?;
        let mut stored = store.write_blob()?;
        let came = registry.blob(from, blob, &mut downloads.counted(from, blob, &mut stored));
        match came {
            Err(error) if !urls.is_empty() => {
                bring_from_address(machine, from.to_string(), blob.digest, (*urls).clone(), error.into())?;
            }
            result => {
                result?;
                stored.finish()?;
            }
        }
        Ok::<_, Error>(())
    };
    let brought = parallel(DOWNLOADS, &missing, |layer| {
        // A registry that does not answer is not asked for everything else too.
        if failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        bring(layer).inspect_err(|_| failed.store(true, Ordering::Relaxed))
    });
    brought.into_iter().collect::<Result<Vec<()>, Error>>()?;
    Ok(store.sync()?)
}

/// Brings a layer that is not to be distributed from one of its addresses. `missing` says why its registry does not have
/// it.
pub(super) fn bring_from_address(
    machine: &Machine<'_>,
    base: String,
    layer: BlobDigest,
    urls: Vec<String>,
    missing: BoxError,
) -> Result<(), BaseError> {
    let bring = |url: &String| -> Result<(), BoxError> {
        let mut stored = machine.store.write_blob()?;
        machine.registry.file(url, Some(layer), &mut stored)?;
        stored.finish()?;
        Ok(())
    };
    let mut source = missing;
    for url in &urls {
        match bring(url) {
            Ok(()) => return Ok(()),
            Err(error) => source = error,
        }
    }
    Err(BaseError::Elsewhere { base, layer, urls, source })
}
