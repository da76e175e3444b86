//! What a whole image came to, kept under everything that decides it: where nothing changed, no layer is planned.

use std::collections::BTreeMap;

use super::assemble::{FinishedImage, FinishedLayer, PlannedImage};
use super::bases::Bases;
use super::compile::CompileRecord;
use super::event::Task;
use super::prepare::{Session, Target};
use crate::base::DATA_SET;
use crate::key::Key;
use crate::model::{Descriptor, Document, KeyDigest, Platform, Size};
use crate::plan::SECRET_RULES;
use crate::report::{ForeignFiles, ImageReport, LargestFile, LayerReport, Previous};
use crate::spec::ImageSpec;
use crate::store::Store;
use crate::system::FileStat;

/// Raised when a record of this form would mean something else.
const REVISION: &str = "3";

/// One image for one platform, as it was finished.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ImageRecord {
    config: RecordedDocument,
    manifest: RecordedDocument,
    layers: Vec<FinishedLayer>,
    annotations: BTreeMap<String, String>,
    unpacked: Size,
    largest: Vec<LargestFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    foreign: Option<ForeignFiles>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct RecordedDocument {
    descriptor: Descriptor,
    json: String,
}

impl RecordedDocument {
    /// `None` where the bytes are not text, which no document of imgpack's is.
    fn of(document: &Document) -> Option<Self> {
        let json = std::str::from_utf8(&document.bytes).ok()?.to_owned();
        Some(Self { descriptor: document.descriptor, json })
    }

    fn document(&self) -> Option<Document> {
        let document = Document::new(self.descriptor.media_type, self.json.clone().into_bytes());
        (document.descriptor == self.descriptor).then_some(document)
    }
}

impl ImageRecord {
    /// What is kept of a finished image; nothing of one that holds volatile values, which are in no key.
    pub fn of(plan: &PlannedImage, image: &FinishedImage, report: &ImageReport) -> Option<Self> {
        if plan.volatile {
            return None;
        }
        Some(Self {
            config: RecordedDocument::of(&image.config)?,
            manifest: RecordedDocument::of(&image.manifest)?,
            layers: image.layers.clone(),
            annotations: image.annotations.clone(),
            unpacked: report.unpacked,
            largest: report.largest.clone(),
            foreign: report.foreign.clone(),
        })
    }

    fn image(&self, platform: Platform) -> Option<FinishedImage> {
        Some(FinishedImage {
            platform,
            config: self.config.document()?,
            manifest: self.manifest.document()?,
            layers: self.layers.clone(),
            annotations: self.annotations.clone(),
        })
    }
}

/// An image that an earlier command finished, all of whose own layers are stored.
#[derive(Debug, Clone)]
pub struct Recalled {
    /// The image.
    pub image: FinishedImage,
    unpacked: Size,
    largest: Vec<LargestFile>,
    foreign: Option<ForeignFiles>,
}

impl Recalled {
    /// The image of a key, where it is known and whole.
    pub fn find(store: &Store, key: &KeyDigest, platform: Platform) -> Option<Self> {
        let record: ImageRecord = store.record(key)?;
        // Layers of a registry's base are brought when they are needed.
        let there = |layer: &FinishedLayer| {
            let Descriptor { digest, size, .. } = layer.layer.descriptor;
            layer.from.is_some() || store.has_blob(&digest, size)
        };
        if !record.layers.iter().all(there) {
            return None;
        }
        let image = record.image(platform)?;
        Some(Self { image, unpacked: record.unpacked, largest: record.largest, foreign: record.foreign })
    }

    /// Its report.
    pub fn report(&self, task: &Task, previous: Option<Previous>) -> ImageReport {
        let report = image_report(task, &self.image, self.unpacked, self.largest.clone(), previous);
        ImageReport { foreign: self.foreign.clone(), ..report }
    }
}

/// The report of a finished image.
pub fn image_report(
    task: &Task,
    image: &FinishedImage,
    unpacked: Size,
    largest: Vec<LargestFile>,
    previous: Option<Previous>,
) -> ImageReport {
    let layers = image.layers.iter().map(|layer| LayerReport {
        class: layer.class,
        title: layer.title.clone(),
        layer: layer.layer,
    });
    ImageReport {
        identity: task.identity.clone(),
        platform: task.platform,
        manifest: image.manifest.descriptor,
        config: image.config.descriptor,
        layers: layers.collect(),
        unpacked,
        largest,
        foreign: None,
        previous,
    }
}

impl Session<'_> {
    /// The key of a whole image: everything that decides its documents and layers but volatile values. `made` is what
    /// its builder made.
    ///
    /// `None` where some of it is not known or wrong, which is told when it is needed.
    pub(super) fn image_key(
        &self,
        target: &Target,
        made: Option<&CompileRecord>,
        bases: &Bases<'_>,
        created: Option<&str>,
    ) -> Option<KeyDigest> {
        let spec = &target.spec;
        let platform = target.task.platform;
        let mut key = Key::new("image");
        key.clear("revision", REVISION);
        // Another program may plan otherwise, also one of the same version that was just compiled.
        key.clear("program", self.program()?);
        key.clear("data", DATA_SET);
        key.clear("secret rules", SECRET_RULES);
        key.clear("platform", platform.to_string());
        key.secret("created", format!("{created:?}").as_bytes());
        // Every field of the spec, those to come as well; tags are in no document.
        // Nor are other images of the workspace: what they came to is.
        let untagged = ImageSpec { tags: Vec::new(), needs: Vec::new(), ..ImageSpec::clone(spec) };
        key.secret("spec", format!("{untagged:?}").as_bytes());
        key.secret("base", bases.identity(spec, platform)?.as_bytes());
        key.secret("packages", self.packages_identity(target)?.as_bytes());
        if spec.build.is_some() {
            let made = made?;
            key.clear("build", target.key.as_ref()?.digest().hex());
            for artefact in &made.artefacts {
                let value = format!("{} {} {}", artefact.digest, artefact.size, artefact.executable);
                key.clear(format!("made {}", artefact.name), value);
            }
        }
        self.add_contents(spec, Some(platform), &mut key).ok()?;
        Some(key.digest())
    }

    /// How the file of the running program looks.
    pub(super) fn program(&self) -> Option<String> {
        let look = || {
            let metadata = std::env::current_exe().and_then(std::fs::metadata).ok()?;
            Some(format!("{} {:?}", env!("CARGO_PKG_VERSION"), FileStat::of(&metadata)))
        };
        self.program.get_or_init(look).clone()
    }
}
