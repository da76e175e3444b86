//! Built images into layouts, archives, an engine or a registry.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::build::{Built, BuiltImage};
use super::contents::contents;
use super::downloads::bring_layers;
use super::error::{Error, ErrorKind};
use super::event::{Event, Phase, Task};
use super::prepare::Machine;
use crate::archive::{self, Destination, ImageOutput, ManifestOutput};
use crate::engine::{self, Engine, LoadError};
use crate::model::{BlobDigest, Descriptor, Document, ImageRef, Repository};
use crate::registry::{
    self, BlobSource, Early, ImagePush, Manifest, PushJob, PushObserver, PushSummary, Pushed,
};
use crate::spec::ImageSpec;

/// Blobs on their way at once, whatever the number of processors: a registry is waited for, not computed.
pub(super) const UPLOADS: usize = 4;

/// Writes the images to `destination`.
pub fn write(machine: &Machine<'_>, built: &Built, destination: &Destination) -> Result<(), Error> {
    bring_layers(machine, built)?;
    let outputs = outputs(built);
    let open = |digest: &BlobDigest| -> io::Result<_> {
        machine.store.open_blob(digest).map_err(|error| error.source)
    };
    Ok(archive::write(destination, &outputs, &open, machine.cancel)?)
}

/// Streams the images into an engine; what it took.
pub fn load(machine: &Machine<'_>, built: &Built, engine: &Engine) -> Result<Vec<String>, Error> {
    bring_layers(machine, built)?;
    let outputs = outputs(built);
    let open = |digest: &BlobDigest| -> io::Result<_> {
        machine.store.open_blob(digest).map_err(|error| error.source)
    };
    let loaded = engine::load(engine, machine.cancel, |writer| {
        archive::write_docker_stream(&outputs, &open, machine.cancel, writer)
    });
    match loaded {
        Ok(loaded) => Ok(loaded.images),
        Err(LoadError::Engine(error)) => Err(error.into()),
        Err(LoadError::Archive(error)) => Err(error.into()),
    }
}

/// A push that sends layers as soon as they are made. Until it has one it opens and starts nothing.
pub struct Push<'scope, 'env> {
    machine: &'env Machine<'env>,
    watcher: &'env Watcher<'env>,
    uploads: registry::Uploads<'scope, 'env>,
}

/// Does `work` with a push that may begin meanwhile; ends when nothing is on its way any more.
pub fn with_push<T>(machine: &Machine<'_>, work: impl FnOnce(&Push<'_, '_>) -> T) -> T {
    let watcher = Watcher::new(machine);
    std::thread::scope(|scope| {
        let uploads = registry::Uploads::new(scope, machine.registry, &watcher, UPLOADS);
        work(&Push { machine, watcher: &watcher, uploads })
    })
}

impl Push<'_, '_> {
    /// Begins to send a layer of `spec`, which is in the store.
    pub fn layer(&self, spec: &ImageSpec, layer: &Descriptor) {
        // A repository that is none is told before anything is built.
        if let Ok(repository) = repository(&spec.repository) {
            let source = BlobSource::File(self.machine.store.blob_path(&layer.digest));
            self.uploads.add(&repository, layer, source);
        }
    }

    /// Pushes all images as one job: no tag moves before everything is there.
    pub fn images(&self, built: &Built) -> Result<PushSummary, Error> {
        let Self { machine, watcher, uploads } = self;
        let images = images(machine, built)?;
        watcher.expect(&images);
        let early: Early = uploads.finish()?;
        let contents = |root| contents(machine.store, root);
        let job = PushJob { images, parallel: UPLOADS, early, contents: &contents };
        Ok(registry::push(machine.registry, &job, *watcher)?)
    }
}

fn images(machine: &Machine<'_>, built: &Built) -> Result<Vec<ImagePush>, Error> {
    let mut images = Vec::new();
    for image in &built.images {
        for platform in &image.platforms {
            let task = Task { identity: image.spec.identity.clone(), platform: platform.platform };
            machine.observer.event(Event::Phase { task, phase: Phase::Pushing });
        }
        images.push(image_push(machine, image)?);
    }
    Ok(images)
}

/// Refuses, before anything is built, a repository that `--push` could not use.
pub fn repository(text: &str) -> Result<Repository, Error> {
    let (first, _) = text.split_once('/').unwrap_or((text, ""));
    // Without a host a reference would mean Docker Hub, which nobody said.
    if !(first.contains(['.', ':']) || first == "localhost") {
        return Err(Error::usage_with_hint(
            format!("`{text}` names no registry to push to"),
            "say `registry: ghcr.io/acme` in imgpack.yaml, or use --output or --load",
        ));
    }
    let reference: ImageRef = text.parse().map_err(ErrorKind::from)?;
    Ok(reference.repository().clone())
}

fn image_push(machine: &Machine<'_>, image: &BuiltImage) -> Result<ImagePush, Error> {
    let manifest = |document: &Document| Manifest {
        media_type: document.descriptor.media_type,
        bytes: document.bytes.clone(),
    };
    let mut blobs: BTreeMap<BlobDigest, (Descriptor, BlobSource)> = BTreeMap::new();
    for platform in &image.platforms {
        let config = &platform.config;
        blobs.insert(config.descriptor.digest, (config.descriptor, BlobSource::Bytes(config.bytes.clone())));
        for layer in &platform.layers {
            let descriptor = layer.layer.descriptor;
            if descriptor.media_type.is_foreign() {
                continue;
            }
            let stored = || BlobSource::File(machine.store.blob_path(&descriptor.digest));
            let source = match &layer.from {
                Some(from) if !machine.store.has_blob(&descriptor.digest, descriptor.size) => {
                    BlobSource::Registry(from.clone())
                }
                _ => stored(),
            };
            blobs.insert(descriptor.digest, (descriptor, source));
        }
    }
    let partial = image.platforms.len() < image.spec.platforms.len();
    if partial && !image.tags.is_empty() {
        // A tag that named fewer platforms than before would break who pulls the others.
        let built = image.platforms.iter().map(|platform| platform.platform.to_string()).collect::<Vec<_>>();
        machine.observer.event(Event::Note(format!(
            "{} is pushed by digest for {} only: no tag moves",
            image.spec.identity,
            built.join(", ")
        )));
    }
    Ok(ImagePush {
        repository: repository(&image.spec.repository)?,
        tags: if partial { Vec::new() } else { image.tags.clone() },
        root: manifest(image.root()?),
        children: match image.index {
            Some(_) => image.platforms.iter().map(|platform| manifest(&platform.manifest)).collect(),
            None => Vec::new(),
        },
        blobs: blobs.into_values().collect(),
    })
}

fn outputs(built: &Built) -> Vec<ImageOutput> {
    let output = |image: &BuiltImage| ImageOutput {
        names: image.tags.iter().map(|tag| format!("{}:{tag}", image.spec.repository)).collect(),
        index: image.index.clone(),
        manifests: image
            .platforms
            .iter()
            .map(|platform| ManifestOutput {
                platform: platform.platform,
                manifest: platform.manifest.clone(),
                config: platform.config.clone(),
                layers: platform.layers.iter().map(|layer| layer.layer).collect(),
            })
            .collect(),
    };
    built.images.iter().map(output).collect()
}

/// Sums up what is sent. Says nothing before everything that is to be sent is known.
pub(super) struct Watcher<'a> {
    machine: &'a Machine<'a>,
    state: Mutex<Sums>,
}

/// A blob in any repository of a registry: it is sent once, as a rule.
type Held = (String, BlobDigest);

#[derive(Default)]
struct Sums {
    /// What is sent, how much of it, and the whole.
    sent: BTreeMap<(Repository, BlobDigest), (u64, u64)>,
    /// Sizes of what is going to be sent beside; `None` while layers are being made.
    expected: Option<BTreeMap<Held, u64>>,
    /// What is or was sent, or proved to be there.
    settled: BTreeSet<Held>,
    /// Repositories of which something was said.
    told: BTreeSet<String>,
}

impl Sums {
    fn settle(&mut self, repository: &Repository, blob: &Descriptor) {
        let held = (repository.registry().to_owned(), blob.digest);
        if let Some(expected) = &mut self.expected {
            expected.remove(&held);
        }
        self.settled.insert(held);
    }

    fn expect<'b>(&mut self, blobs: impl Iterator<Item = (&'b Repository, &'b Descriptor)>) {
        let held =
            blobs.map(|(repository, blob)| ((repository.registry().to_owned(), blob.digest), blob.size));
        self.expected = Some(held.filter(|(held, _)| !self.settled.contains(held)).collect());
    }

    fn event(&self, repository: String) -> Option<Event> {
        let expected: u64 = self.expected.as_ref()?.values().sum();
        let (sent, whole) =
            self.sent.values().fold((0, 0), |(sum, all), (sent, size)| (sum + sent, all + size));
        Some(Event::Upload { repository, sent, total: whole + expected })
    }
}

impl<'a> Watcher<'a> {
    pub(super) fn new(machine: &'a Machine<'a>) -> Self {
        Self { machine, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, Sums> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These images are going to be sent, with all their blobs as far as is known.
    fn expect(&self, images: &[ImagePush]) {
        let blobs =
            images.iter().flat_map(|image| image.blobs.iter().map(|(blob, _)| (&image.repository, blob)));
        self.state().expect(blobs);
    }

    fn tell(&self, repository: &Repository, blob: &Descriptor, bytes: u64) {
        let mut state = self.state();
        state.sent.insert((repository.clone(), blob.digest), (bytes, blob.size));
        state.settle(repository, blob);
        if let Some(event) = state.event(repository.to_string()) {
            state.told.insert(repository.to_string());
            self.machine.observer.event(event);
        }
    }

    /// There is less to send than was said.
    fn tell_again(&self, state: &Sums) {
        for event in state.told.iter().filter_map(|repository| state.event(repository.clone())) {
            self.machine.observer.event(event);
        }
    }
}

impl PushObserver for Watcher<'_> {
    fn planned(&self, blobs: &[(&Repository, &Descriptor)]) {
        let mut state = self.state();
        state.expect(blobs.iter().copied());
        // Less than was expected, where an image proved to be there already.
        self.tell_again(&state);
    }
    fn sending(&self, repository: &Repository, blob: &Descriptor, sent: u64) {
        self.tell(repository, blob, sent);
    }
    fn stored(&self, repository: &Repository, blob: &Descriptor, pushed: Pushed) {
        if pushed.sent > 0 {
            return self.tell(repository, blob, blob.size);
        }
        // It was there, or the registry took it over.
        let mut state = self.state();
        state.sent.remove(&(repository.clone(), blob.digest));
        state.settle(repository, blob);
        self.tell_again(&state);
    }
}
