//! Built images into layouts, archives, an engine or a registry.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::build::{Built, BuiltImage};
use super::contents::contents;
use super::downloads::bring_layers;
use super::error::{Error, ErrorKind};
use super::event::{Event, Phase, Task};
use super::machine::Machine;
use super::tags::TagRules;
use crate::archive::{self, Destination, ImageOutput, ManifestOutput};
use crate::engine::{self, Engine, LoadError};
use crate::model::{BlobDigest, Descriptor, Document, ImageRef, Platform, Repository};
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
            self.watcher.state().made.insert(layer.digest);
            self.uploads.add(&repository, layer, source);
        }
    }

    /// Pushes all images as one job: no tag moves before everything is there, and none that `rules` forbid.
    pub fn images(&self, built: &Built, rules: &TagRules) -> Result<PushSummary, Error> {
        let Self { machine, watcher, uploads } = self;
        let images = images(machine, built, rules)?;
        for (repository, blobs) in in_registries(built) {
            machine.registry.holds(repository, &blobs);
            watcher.there(repository, &blobs);
        }
        watcher.expect(&images);
        let early: Early = uploads.finish()?;
        let contents = |root| contents(machine.store, root);
        let immutable = rules.fixed(&images)?;
        let job = PushJob { early, contents: &contents, immutable, ..PushJob::new(images, UPLOADS) };
        Ok(registry::push(machine.registry, &job, *watcher)?)
    }
}

fn images(machine: &Machine<'_>, built: &Built, rules: &TagRules) -> Result<Vec<ImagePush>, Error> {
    let mut images = Vec::new();
    for image in &built.images {
        for platform in &image.platforms {
            let task = Task { identity: image.spec.identity.clone(), platform: platform.platform };
            machine.observer.event(Event::Phase { task, phase: Phase::Pushing });
        }
        images.push(image_push(machine, image, rules)?);
    }
    let waiting = built.images.iter().filter(|image| !rules.moves(image) && !image.tags.is_empty());
    tell_waiting(machine, &waiting.collect::<Vec<_>>());
    Ok(images)
}

/// Images that are named in one note.
const NAMED: usize = 4;

/// Says which images get no tag, those of the same platforms in one note.
fn tell_waiting(machine: &Machine<'_>, images: &[&BuiltImage]) {
    let mut groups: BTreeMap<Vec<Platform>, Vec<&BuiltImage>> = BTreeMap::new();
    for image in images {
        let platforms = image.platforms.iter().map(|platform| platform.platform).collect();
        groups.entry(platforms).or_default().push(image);
    }
    for (platforms, images) in groups {
        let platforms: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        let names: Vec<String> =
            images.iter().take(NAMED).map(|image| image.spec.identity.to_string()).collect();
        let more = images.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let tags = match images.split_first() {
            Some((first, others)) if others.iter().all(|image| image.tags == first.tags) => {
                first.tags.join(", ")
            }
            _ => "their tags".to_owned(),
        };
        machine.observer.event(Event::Note(format!(
            "{}{more}: pushed by digest for {} only; `imgpack merge` sets {tags}",
            names.join(", "),
            platforms.join(", ")
        )));
    }
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

fn image_push(machine: &Machine<'_>, image: &BuiltImage, rules: &TagRules) -> Result<ImagePush, Error> {
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
            let source = match &layer.from {
                Some(from) if !machine.store.has_blob(&descriptor.digest, descriptor.size) => {
                    BlobSource::Registry(from.clone())
                }
                _ => BlobSource::File(machine.store.blob_path(&descriptor.digest)),
            };
            blobs.insert(descriptor.digest, (descriptor, source));
        }
    }
    Ok(ImagePush {
        repository: repository(&image.spec.repository)?,
        tags: if rules.moves(image) { image.tags.clone() } else { Vec::new() },
        root: manifest(image.root()?),
        children: match image.index {
            Some(_) => image.platforms.iter().map(|platform| manifest(&platform.manifest)).collect(),
            None => Vec::new(),
        },
        blobs: blobs.into_values().collect(),
    })
}

/// Layers of bases, by the repository that has them: also where their bytes are here, mounting them sends none.
fn in_registries(built: &Built) -> BTreeMap<&Repository, BTreeSet<BlobDigest>> {
    let mut found: BTreeMap<&Repository, BTreeSet<BlobDigest>> = BTreeMap::new();
    for layer in built.images.iter().flat_map(|image| &image.platforms).flat_map(|platform| &platform.layers)
    {
        if let Some(from) = &layer.from {
            found.entry(from).or_default().insert(layer.layer.descriptor.digest);
        }
    }
    found
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
    /// What is going to be sent beside, to which repository as far as can be told, and its size; `None` while layers are
    /// being made.
    expected: Option<BTreeMap<Held, (Repository, u64)>>,
    /// Layers that this command made.
    made: BTreeSet<BlobDigest>,
    /// What is or was sent, or proved to be there.
    settled: BTreeSet<Held>,
    /// Repositories of which something was said.
    told: BTreeSet<Repository>,
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
        let mut expected = BTreeMap::new();
        for (repository, blob) in blobs {
            let held = (repository.registry().to_owned(), blob.digest);
            if !self.settled.contains(&held) {
                expected.entry(held).or_insert_with(|| (repository.clone(), blob.size));
            }
        }
        self.expected = Some(expected);
    }

    /// What is sent to one repository, and what is going to be.
    fn event(&self, repository: &Repository) -> Option<Event> {
        let expected = self.expected.as_ref()?.values().filter(|(to, _)| to == repository);
        let mut total: u64 = expected.map(|(_, size)| size).sum();
        let mut sent = 0;
        for (_, (part, whole)) in self.sent.iter().filter(|((to, _), _)| to == repository) {
            sent += part;
            total += whole;
        }
        Some(Event::Upload { repository: repository.to_string(), sent, total })
    }
}

impl<'a> Watcher<'a> {
    pub(super) fn new(machine: &'a Machine<'a>) -> Self {
        Self { machine, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, Sums> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A registry has these; it is not expected to need their bytes.
    fn there(&self, repository: &Repository, blobs: &BTreeSet<BlobDigest>) {
        let held = blobs.iter().map(|digest| (repository.registry().to_owned(), *digest));
        self.state().settled.extend(held);
    }

    /// Of these images what was made now is going to be sent, and their configs; whether more is missing the registry
    /// has not been asked yet.
    fn expect(&self, images: &[ImagePush]) {
        let mut state = self.state();
        let made = std::mem::take(&mut state.made);
        let is_new = |(blob, source): &&(Descriptor, BlobSource)| {
            matches!(source, BlobSource::Bytes(_)) || made.contains(&blob.digest)
        };
        let new = images
            .iter()
            .flat_map(|image| image.blobs.iter().filter(is_new).map(|(blob, _)| (&image.repository, blob)));
        state.expect(new);
    }

    fn tell(&self, repository: &Repository, blob: &Descriptor, bytes: u64) {
        let mut state = self.state();
        state.sent.insert((repository.clone(), blob.digest), (bytes, blob.size));
        state.settle(repository, blob);
        if let Some(event) = state.event(repository) {
            state.told.insert(repository.clone());
            self.machine.observer.event(event);
        }
    }

    /// There is less to send than was said.
    fn tell_again(&self, state: &Sums) {
        for event in state.told.iter().filter_map(|repository| state.event(repository)) {
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
