//! Built images into layouts, archives, an engine or a registry.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use super::build::{Built, BuiltImage};
use super::error::{Error, ErrorKind};
use super::event::{Event, Phase, Task};
use super::prepare::Machine;
use crate::archive::{self, Destination, ImageOutput, ManifestOutput};
use crate::engine::{self, Engine, LoadError};
use crate::model::{BlobDigest, Descriptor, Document, ImageRef, Repository};
use crate::registry::{self, BlobSource, ImagePush, Manifest, PushJob, PushObserver, PushSummary, Pushed};

/// Blobs on their way at once, whatever the number of processors: a registry is waited for, not computed.
const UPLOADS: usize = 4;

/// Writes the images to `destination`.
pub fn write(machine: &Machine<'_>, built: &Built, destination: &Destination) -> Result<(), Error> {
    let outputs = outputs(built);
    let open = |digest: &BlobDigest| -> io::Result<_> {
        machine.store.open_blob(digest).map_err(|error| error.source)
    };
    Ok(archive::write(destination, &outputs, &open, machine.cancel)?)
}

/// Streams the images into an engine; what it took.
pub fn load(machine: &Machine<'_>, built: &Built, engine: &Engine) -> Result<Vec<String>, Error> {
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

/// Pushes all images as one job: no tag moves before everything is there.
pub fn push(machine: &Machine<'_>, built: &Built) -> Result<PushSummary, Error> {
    let mut images = Vec::new();
    for image in &built.images {
        for platform in &image.platforms {
            let task = Task { identity: image.spec.identity.clone(), platform: platform.platform };
            machine.observer.event(Event::Phase { task, phase: Phase::Pushing });
        }
        images.push(image_push(machine, image)?);
    }
    let job = PushJob { images, parallel: UPLOADS };
    let observer = Watcher { machine, sent: Mutex::default(), total: Mutex::default() };
    Ok(registry::push(machine.registry, &job, &observer)?)
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
            let source = BlobSource::File(machine.store.blob_path(&descriptor.digest));
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

/// Sums up what is sent to each repository.
struct Watcher<'a> {
    machine: &'a Machine<'a>,
    sent: Mutex<BTreeMap<(Repository, BlobDigest), u64>>,
    total: Mutex<u64>,
}

impl Watcher<'_> {
    fn tell(&self, repository: &Repository, blob: &Descriptor, bytes: u64) {
        let (Ok(mut sent), Ok(total)) = (self.sent.lock(), self.total.lock()) else { return };
        sent.insert((repository.clone(), blob.digest), bytes);
        let event =
            Event::Upload { repository: repository.to_string(), sent: sent.values().sum(), total: *total };
        self.machine.observer.event(event);
    }
}

impl PushObserver for Watcher<'_> {
    fn planned(&self, _blobs: usize, bytes: u64) {
        if let Ok(mut total) = self.total.lock() {
            *total = bytes;
        }
    }
    fn sending(&self, repository: &Repository, blob: &Descriptor, sent: u64) {
        self.tell(repository, blob, sent);
    }
    fn stored(&self, repository: &Repository, blob: &Descriptor, _pushed: Pushed) {
        self.tell(repository, blob, blob.size);
    }
}
