//! Images of the workspace that others stand on or take files from: in which order they are built, and what came out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::assemble::FinishedImage;
use super::error::Error;
use super::event::Task;
use super::fingerprint::Fingerprint;
use super::pulls::Pulls;
use crate::base::BoxError;
use crate::model::{Descriptor, Identity, Platform};
use crate::spec::ImageSpec;
use crate::store::Store;

/// An image that is to be built, and for whom.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// What it is built from.
    pub(super) spec: Arc<ImageSpec>,
    /// Its platforms that are wanted.
    pub(super) platforms: BTreeSet<Platform>,
    /// Whether the command selects it.
    pub(super) selected: bool,
}

/// Images that need nothing of each other.
pub(super) type Stage = Vec<Wanted>;

/// Everything that is built for the `selected` images, in stages: what others need comes before them, and what nobody needs
/// comes last. The last stage is that of selected images alone, in their order.
pub(super) fn stages(selected: &[Arc<ImageSpec>]) -> Vec<Stage> {
    let mut needed: BTreeMap<&Identity, Wanted> = BTreeMap::new();
    for spec in selected {
        need(spec, &spec.platforms.iter().copied().collect(), &mut needed);
    }
    let mut last = Vec::new();
    for spec in selected {
        let platforms = spec.platforms.iter().copied().collect();
        match needed.get_mut(&spec.identity) {
            // With `--set` it is another image than the one that others need.
            Some(wanted) if wanted.spec == *spec => {
                wanted.platforms = platforms;
                wanted.selected = true;
            }
            _ => last.push(Wanted { spec: Arc::clone(spec), platforms, selected: true }),
        }
    }
    let mut stages: Vec<Stage> = Vec::new();
    for wanted in needed.into_values() {
        let height = height(&wanted.spec);
        stages.resize_with(stages.len().max(height + 1), Vec::new);
        stages[height].push(wanted);
    }
    stages.push(last);
    stages
}

fn need<'a>(
    spec: &'a ImageSpec,
    platforms: &BTreeSet<Platform>,
    needed: &mut BTreeMap<&'a Identity, Wanted>,
) {
    for other in &spec.needs {
        let new = || Wanted { spec: Arc::clone(other), platforms: BTreeSet::new(), selected: false };
        needed.entry(&other.identity).or_insert_with(new).platforms.extend(platforms);
        need(other, platforms, needed);
    }
}

/// How many images stand below one, one on the other.
fn height(spec: &ImageSpec) -> usize {
    spec.needs.iter().map(|other| 1 + height(other)).max().unwrap_or(0)
}

/// An image that is built.
#[derive(Debug)]
pub(super) struct WorkspaceImage {
    /// Its documents and layers.
    pub(super) image: FinishedImage,
    /// What it is made from, the same for all platforms.
    pub(super) fingerprint: Fingerprint,
}

impl WorkspaceImage {
    /// One of its blobs from the store, else of a layer of a registry's base from there.
    pub(super) fn fetch(
        &self,
        store: &Store,
        pulls: &Pulls<'_>,
        blob: &Descriptor,
        writer: &mut dyn Write,
    ) -> Result<(), BoxError> {
        let layer = self.image.layers.iter().find(|layer| layer.layer.descriptor.digest == blob.digest);
        if let Some(from) = layer.and_then(|layer| layer.from.as_ref()) {
            return pulls.fetch(from, blob, writer);
        }
        io::copy(&mut store.open_blob(&blob.digest)?, writer)?;
        Ok(())
    }
}

/// The images that one command built for others.
#[derive(Default)]
pub(super) struct WorkspaceImages(Mutex<BTreeMap<(Identity, Platform), Arc<WorkspaceImage>>>);

impl WorkspaceImages {
    /// Keeps an image; the first of a name, which is the one that others need.
    pub(super) fn put(&self, task: &Task, image: WorkspaceImage) {
        let mut images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        images.entry((task.identity.clone(), task.platform)).or_insert_with(|| Arc::new(image));
    }

    /// An image; `None` where it could not be built.
    pub(super) fn find(&self, identity: &Identity, platform: Platform) -> Option<Arc<WorkspaceImage>> {
        let images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        images.get(&(identity.clone(), platform)).cloned()
    }

    /// An image that is needed: images come after those that they need.
    pub(super) fn get(&self, identity: &Identity, platform: Platform) -> Result<Arc<WorkspaceImage>, Error> {
        self.find(identity, platform)
            .ok_or_else(|| Error::bug(format!("{identity} for {platform} is needed and not built")))
    }

    /// The image of those that `spec` needs that could not be built.
    pub(super) fn missing(&self, spec: &ImageSpec, platform: Platform) -> Option<Task> {
        let missing = spec.needs.iter().find(|need| self.find(&need.identity, platform).is_none())?;
        Some(Task { identity: missing.identity.clone(), platform })
    }
}
