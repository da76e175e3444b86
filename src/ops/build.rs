//! `imgpack build`: specs → bases and sources → builders → layers → documents.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::assemble::{FinishedImage, PlannedImage, finish_image, finish_index};
use super::bases::Bases;
use super::compile::{Compile, CompileRecord};
use super::error::Error;
use super::event::{Event, Phase, Task};
use super::fingerprint::Fingerprint;
use super::history::{self, LastBuild, LastKeys, User};
use super::image_record::{ImageRecord, image_report};
use super::machine::Machine;
use super::pack::{Origin, pack_layer};
use super::prepare::{BuildOptions, Prepared, Session, Target};
use super::workspace_images::{Stage, Wanted, WorkspaceImage, stages};
use crate::model::{Class, Document, ImageRef, KeyDigest, Layer, Size};
use crate::plan::PlannedLayer;
use crate::report::{ImageReport, MergedTree, Previous};
use crate::spec::{ImageSpec, Template, Value};
use crate::system::parallel;

/// An image with all its platforms, stored.
#[derive(Debug, Clone)]
pub struct BuiltImage {
    /// What it was built from.
    pub spec: Arc<ImageSpec>,
    /// Its platforms, in index order.
    pub platforms: Vec<FinishedImage>,
    /// The index, where it has one.
    pub index: Option<Document>,
    /// Its tags, rendered.
    pub tags: Vec<String>,
    /// What it is made from, the same for all platforms.
    pub fingerprint: Fingerprint,
    /// What each platform holds and how that stands to the last build, in the same order.
    pub reports: Vec<ImageReport>,
}

/// The files that a report names.
const LARGEST: usize = 5;

impl BuiltImage {
    /// The document that its tags stand for.
    pub fn root(&self) -> Result<&Document, Error> {
        self.index
            .as_ref()
            .or_else(|| self.platforms.first().map(|image| &image.manifest))
            .ok_or_else(|| Error::bug(format!("{} was built for no platform", self.spec.identity)))
    }

    /// Whether it was built for some of its platforms only.
    pub fn is_partial(&self) -> bool {
        self.platforms.len() < self.spec.platforms.len()
    }
}

/// Everything that a build came to.
#[derive(Debug, Default)]
pub struct Built {
    /// The images that are whole, in the order of the specs.
    pub images: Vec<BuiltImage>,
    /// What went wrong; images that need it are missing.
    pub errors: Vec<Error>,
    /// With `fresh`: programs and layers whose bytes are not those recorded under the same key.
    pub differing: Vec<String>,
}

/// Told of every layer that was made, as soon as it is stored, once for each image that has it; from several threads.
pub type Made<'a> = dyn Fn(&ImageSpec, &Layer) + Sync + 'a;

/// Builds `specs` into the store, and before them what they need of the workspace.
pub fn build(
    machine: &Machine<'_>,
    specs: Vec<ImageSpec>,
    options: &BuildOptions,
    made: &Made<'_>,
) -> Result<Built, Error> {
    let session = Session::new(machine, options)?;
    // A tag without a value is known before anything is built.
    specs.iter().try_for_each(|spec| tags(&session, spec).map(drop))?;
    let specs: Vec<Arc<ImageSpec>> = specs.into_iter().map(Arc::new).collect();
    let mut built = session.build(&stages(&specs), made)?;
    // In the order of the specs, without those that were only needed.
    let place = |image: &BuiltImage| specs.iter().position(|spec| *spec == image.spec);
    built.images.retain(|image| place(image).is_some());
    built.images.sort_by_key(place);
    Ok(built)
}

impl Session<'_> {
    /// Builds what `specs` need of the workspace, and not themselves. What went wrong.
    pub(super) fn build_needed(&self, specs: &[Arc<ImageSpec>]) -> Result<Vec<Error>, Error> {
        let mut stages = stages(specs);
        stages.pop();
        let is_built = |wanted: &Wanted| {
            wanted
                .platforms
                .iter()
                .all(|platform| self.images.find(&wanted.spec.identity, *platform).is_some())
        };
        stages.iter_mut().for_each(|stage| stage.retain(|wanted| !is_built(wanted)));
        if stages.iter().all(Vec::is_empty) {
            return Ok(Vec::new());
        }
        Ok(self.build(&stages, &|_, _| {})?.errors)
    }

    fn build(&self, stages: &[Stage], made: &Made<'_>) -> Result<Built, Error> {
        let mut begun = Vec::new();
        for stage in stages {
            let specs: Vec<Arc<ImageSpec>> = stage.iter().map(|wanted| Arc::clone(&wanted.spec)).collect();
            begun.push((self.stage_targets(stage)?, specs));
        }
        let tasks = begun.iter().flat_map(|(targets, _)| targets).map(|target| target.task.clone()).collect();
        self.machine.observer.event(Event::Tasks(tasks));
        let begun = begun.into_iter().map(|(targets, specs)| self.begin(targets, specs));
        let mut begun: VecDeque<Prepared> = begun.collect();
        let bases = self.bases();
        let mut built = Built::default();
        while let Some(mut prepared) = begun.pop_front() {
            self.leave_out(&mut prepared, &mut built.errors);
            self.build_stage(prepared, &bases, &mut begun, made, &mut built)?;
            if !self.goes_on(&built) {
                begun.iter_mut().for_each(|later| self.leave_out(later, &mut built.errors));
                break;
            }
        }
        self.machine.store.sync()?;
        Ok(built)
    }

    /// Builds images that need nothing of each other, `later` ones being those that come after them.
    fn build_stage(
        &self,
        mut prepared: Prepared,
        bases: &Bases<'_>,
        later: &mut VecDeque<Prepared>,
        made: &Made<'_>,
        built: &mut Built,
    ) -> Result<(), Error> {
        let mut records = BTreeMap::new();
        if self.fresh.is_none() {
            let known = |compile: &Compile| Some((compile.key.digest(), compile.recorded.clone()?));
            records.extend(prepared.compiles.iter().filter_map(known));
            self.recall(&mut prepared, bases, &records, self.created);
        }
        self.load_bases(&mut prepared, bases);
        built.errors.append(&mut prepared.errors);
        self.pins.write_added()?;
        // Mistakes in sources and bases are told before any builder runs, those of images that come later too.
        later.iter_mut().for_each(|prepared| built.errors.append(&mut prepared.errors));
        if !self.goes_on(built) {
            return Ok(());
        }
        compile(self, &mut prepared, &mut records, built);
        for (target, image) in prepared.targets.iter().zip(&mut prepared.images) {
            let made = target.key.as_ref().and_then(|key| records.get(&key.digest()));
            if image.key.is_none() && !image.failed {
                image.key = self.image_key(target, made, bases, self.created);
            }
        }
        if !self.goes_on(built) {
            return Ok(());
        }
        let plans = self.plan(&prepared, &records, &mut built.errors);
        // What packages there are is known with the base.
        self.pins.write_added()?;
        if !self.goes_on(built) {
            return Ok(());
        }
        self.bring_packages(&plans, self.fresh.is_some())?;
        let layers = pack(self, &prepared, &plans, made, built);
        assemble(self, &prepared, bases, &records, &plans, &layers, built)
    }

    fn goes_on(&self, built: &Built) -> bool {
        built.errors.is_empty() || self.keep_going
    }
}

/// Runs the builders whose records are missing, all of them with `fresh`.
fn compile(
    session: &Session<'_>,
    prepared: &mut Prepared,
    records: &mut BTreeMap<KeyDigest, CompileRecord>,
    built: &mut Built,
) {
    let mut missing: Vec<Compile> = Vec::new();
    let mut known: Vec<Option<CompileRecord>> = Vec::new();
    for mut compile in std::mem::take(&mut prepared.compiles) {
        match compile.recorded.take() {
            Some(_) if session.fresh.is_none() => {}
            recorded => {
                missing.push(compile);
                known.push(recorded);
            }
        }
    }
    for ((compile, known), result) in missing.iter().zip(known).zip(session.run(&missing)) {
        match result {
            Ok(record) => {
                let known = known.iter().flat_map(|known| &known.artefacts);
                built.differing.extend(known.zip(&record.artefacts).filter_map(|(old, new)| {
                    let task = compile.tasks.first()?;
                    (old.digest != new.digest).then(|| {
                        format!(
                            "{} ({}): the program {}, and the layer that holds it: recorded {}, made {}",
                            task.identity, task.platform, new.name, old.digest, new.digest
                        )
                    })
                }));
                records.insert(compile.key.digest(), record);
            }
            Err(error) => built.errors.push(compile.tasks.iter().fold(error, Error::of)),
        }
    }
    tell_causes(&mut built.errors);
}

/// Of an error and the cancellations that it brought, only the error is told.
fn tell_causes(errors: &mut Vec<Error>) {
    if errors.iter().any(|error| !error.is_cancelled()) {
        errors.retain(|error| !error.is_cancelled());
    }
}

/// Makes or finds every different layer of the plans.
fn pack(
    session: &Session<'_>,
    prepared: &Prepared,
    plans: &[Option<PlannedImage>],
    tell: &Made<'_>,
    built: &mut Built,
) -> BTreeMap<KeyDigest, Layer> {
    let machine = session.machine;
    let mut wanted: BTreeMap<KeyDigest, (&PlannedLayer, Vec<&Target>)> = BTreeMap::new();
    for (target, plan) in prepared.targets.iter().zip(plans) {
        for layer in plan.iter().flat_map(|plan| &plan.layers) {
            wanted.entry(layer.key.digest()).or_insert((layer, Vec::new())).1.push(target);
        }
    }
    let wanted: Vec<(KeyDigest, &PlannedLayer, Vec<&Target>)> =
        wanted.into_iter().map(|(key, (layer, targets))| (key, layer, targets)).collect();
    let made = parallel(machine.jobs, &wanted, |(_, layer, targets)| {
        let target = targets[0];
        machine.cancel.check()?;
        machine.observer.event(Event::Phase { task: target.task.clone(), phase: Phase::Packing });
        let start = Instant::now();
        let (made, origin) = pack_layer(
            machine.store,
            &machine.press,
            layer,
            target.spec.compression,
            session.fresh.is_some(),
            machine.cancel,
        )
        .map_err(|error| Error::from(error).of(&target.task))?;
        if origin != Origin::Stored {
            targets.iter().for_each(|target| tell(&target.spec, &made));
        }
        machine.observer.event(Event::Layer {
            task: target.task.clone(),
            class: layer.class,
            title: layer.title.clone(),
            transfer: Size(made.descriptor.size),
            made: (origin != Origin::Stored).then(|| start.elapsed()),
        });
        Ok::<_, Error>((made, origin))
    });
    let mut layers = BTreeMap::new();
    for ((key, layer, targets), result) in wanted.iter().zip(made) {
        let target = targets[0];
        match result {
            Ok((made, origin)) => {
                if let Origin::Differs(old) = origin {
                    built.differing.push(format!(
                        "{} ({}): {} layer {}: recorded {}, made {}",
                        target.task.identity,
                        target.task.platform,
                        layer.class,
                        layer.title,
                        old.digest,
                        made.descriptor.digest
                    ));
                }
                layers.insert(*key, made);
            }
            Err(error) => built.errors.push(error),
        }
    }
    tell_causes(&mut built.errors);
    layers
}

/// Writes the documents of every image all of whose layers are there.
fn assemble(
    session: &Session<'_>,
    prepared: &Prepared,
    bases: &Bases<'_>,
    records: &BTreeMap<KeyDigest, CompileRecord>,
    plans: &[Option<PlannedImage>],
    layers: &BTreeMap<KeyDigest, Layer>,
    built: &mut Built,
) -> Result<(), Error> {
    let machine = session.machine;
    let mut told = BTreeSet::new();
    for spec in &prepared.specs {
        let mut platforms = Vec::new();
        let mut reports = Vec::new();
        let mut whole = true;
        for (target, (image, plan)) in prepared.of(spec, plans) {
            let last = Last::read(machine, &target.task);
            let (finished, report) = if let Some(recalled) = &image.recalled {
                for layer in &recalled.image.layers {
                    if layer.class != Class::Base && told.insert(layer.layer.descriptor.digest) {
                        machine.observer.event(Event::Layer {
                            task: target.task.clone(),
                            class: layer.class,
                            title: layer.title.clone(),
                            transfer: Size(layer.layer.descriptor.size),
                            made: None,
                        });
                    }
                }
                (recalled.image.clone(), recalled.report(&target.task, last.report()))
            } else {
                let made: Option<Vec<Layer>> = plan.as_ref().and_then(|plan| {
                    plan.layers.iter().map(|layer| layers.get(&layer.key.digest()).copied()).collect()
                });
                let (Some(plan), Some(made)) = (plan, made) else {
                    whole = false;
                    continue;
                };
                let finished = finish_image(spec, plan, &made, session.created)
                    .map_err(|error| error.of(&target.task))?;
                let report = planned_report(&target.task, plan, &finished, last.report());
                if let Some(key) = &image.key {
                    LastKeys::of(plan, target.key.clone()).keep(machine.store, key)?;
                    if let Some(record) = ImageRecord::of(plan, &finished, &report) {
                        machine.store.put_record(key, &record)?;
                    }
                }
                (finished, report)
            };
            finish(machine, target, &finished, &report)?;
            last.replace(machine, target, &report, image.key, records)?;
            reports.push(report);
            platforms.push(finished);
        }
        if !whole {
            continue;
        }
        let index = finish_index(spec, &platforms)?;
        if let Some(index) = &index {
            machine.store.put_bytes(&index.bytes)?;
        }
        let tags = tags(session, spec)?;
        let fingerprint = session.fingerprint(spec, prepared, bases)?;
        for image in &platforms {
            let task = Task { identity: spec.identity.clone(), platform: image.platform };
            session.images.put(&task, WorkspaceImage { image: image.clone(), fingerprint });
        }
        let spec = Arc::clone(spec);
        built.images.push(BuiltImage { spec, platforms, index, tags, fingerprint, reports });
    }
    Ok(())
}

/// Stores the documents, and tells that the image is there.
fn finish(
    machine: &Machine<'_>,
    target: &Target,
    image: &FinishedImage,
    report: &ImageReport,
) -> Result<(), Error> {
    for document in [&image.config, &image.manifest] {
        machine.store.put_bytes(&document.bytes)?;
    }
    let task = target.task.clone();
    machine.observer.event(Event::Done { task, transfer: report.transfer() });
    Ok(())
}

/// What the last build of an image was.
struct Last {
    name: String,
    known: Option<LastBuild>,
}

impl Last {
    fn read(machine: &Machine<'_>, task: &Task) -> Self {
        let name = history::name(&machine.root, task);
        let known = machine.store.last(&name);
        Self { name, known }
    }

    fn report(&self) -> Option<Previous> {
        self.known.as_ref().map(|known| known.report.clone())
    }

    /// Writes what this build is, where it is another.
    fn replace(
        self,
        machine: &Machine<'_>,
        target: &Target,
        report: &ImageReport,
        image: Option<KeyDigest>,
        records: &BTreeMap<KeyDigest, CompileRecord>,
    ) -> Result<(), Error> {
        let made = target.key.as_ref().and_then(|key| records.get(&key.digest()));
        let user = Some(User::of(&machine.root, &target.task, made));
        let this = LastBuild { report: report.remember(), image, user };
        if self.known.as_ref() != Some(&this) {
            machine.store.put_last(&self.name, &this)?;
        }
        Ok(())
    }
}

fn planned_report(
    task: &Task,
    plan: &PlannedImage,
    image: &FinishedImage,
    previous: Option<Previous>,
) -> ImageReport {
    let mut tree = MergedTree::base(&plan.base.facts);
    plan.layers.iter().for_each(|layer| tree.add(layer.class, &layer.entries));
    let report = image_report(task, image, tree.unpacked(), tree.largest(LARGEST), previous);
    ImageReport { foreign: plan.foreign.clone(), ..report }
}

/// The tags with their values put in; what came out must be a tag.
fn tags(session: &Session<'_>, spec: &ImageSpec) -> Result<Vec<String>, Error> {
    let values = |value: &Value| session.volatile(value);
    let render = |tag: &Template| {
        let text = tag.render(&values).map_err(|value| {
            Error::usage_with_hint(
                format!("tags: {value} has no value here"),
                "give the tag with --tag, or run where git and the environment say it",
            )
        })?;
        let named = format!("{}:{text}", spec.repository);
        if named.parse::<ImageRef>().is_ok_and(|reference| reference.tag() == Some(&text)) {
            return Ok(text);
        }
        Err(Error::usage(format!(
            "`{text}` is not a tag: up to 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`"
        )))
    };
    spec.tags.iter().map(|tag| render(tag).map_err(|error| error.at(&spec.site))).collect()
}
