//! What every command about images begins with: which images, on which bases, from which sources, by which builders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use super::assemble::{Ingredients, PlannedImage, plan_image};
use super::bases::Bases;
use super::closure::Closures;
use super::compile::{Compile, CompileRecord};
use super::error::{Error, ErrorKind};
use super::event::{Event, Phase, Task};
use super::image_record::Recalled;
use super::machine::Machine;
use super::packages::{ApkPlaces, KnownPackages, PackageSet, Unpacked, place_packages};
use super::pins::Pins;
use super::pulls::Pulls;
use super::remote_sources::RemoteSources;
use super::slots::Slots;
use super::sources::Sources;
use super::values::Volatile;
use super::workspace_images::{Stage, WorkspaceImages};
use crate::base::BaseImage;
use crate::builder::{BuilderError, Caches, Host};
use crate::key::Key;
use crate::model::{BlobDigest, Entry, EntryKind, KeyDigest, PinnedPackage, Platform};
use crate::spec::{ImageSpec, Value};
use crate::system::parallel;

/// How images are built.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// Only these platforms; empty means those of the specs.
    pub platforms: Vec<Platform>,
    /// Ignore records and builders' caches: a token of this command.
    pub fresh: Option<String>,
    /// `SOURCE_DATE_EPOCH` as RFC 3339.
    pub created: Option<String>,
    /// Go on with other builders when one failed.
    pub keep_going: bool,
    /// Use exactly what the lock file says.
    pub locked: bool,
    /// Builders fetch nothing. Registries are the machine's, which then has [`crate::registry::Offline`].
    pub offline: bool,
    /// A local output follows: the layers of registries' bases are kept.
    pub layers: bool,
}

/// One image for one platform on its way.
pub struct Target {
    /// What it is built from.
    pub spec: Arc<ImageSpec>,
    /// What progress calls it.
    pub task: Task,
    /// The key of the builder run that it waits for.
    pub key: Option<Key>,
}

/// An image for a platform as a whole.
#[derive(Default)]
pub struct Image {
    /// Its key, as soon as that is known.
    pub key: Option<KeyDigest>,
    /// What an earlier command finished under that key.
    pub recalled: Option<Recalled>,
    /// Whether something that it takes from elsewhere could not be found out, which is told.
    pub failed: bool,
}

/// Everything that is known before a builder runs.
pub struct Prepared {
    /// The images, in the order of the specs.
    pub specs: Vec<Arc<ImageSpec>>,
    /// Each image for each of its platforms.
    pub targets: Vec<Target>,
    /// What is known of each target's image as a whole.
    pub images: Vec<Image>,
    /// The base of each target; `None` where it has an error or is not needed.
    pub bases: Vec<Option<Arc<BaseImage>>>,
    /// Each different run of a builder once.
    pub compiles: Vec<Compile>,
    /// What is wrong with bases and sources.
    pub errors: Vec<Error>,
}

impl Prepared {
    /// The targets of one image with what is known of them as a whole, and with what `plans` holds for them.
    pub fn of<'p, T>(
        &'p self,
        spec: &'p Arc<ImageSpec>,
        plans: &'p [T],
    ) -> impl Iterator<Item = (&'p Target, (&'p Image, &'p T))> {
        self.targets
            .iter()
            .zip(self.images.iter().zip(plans))
            .filter(move |(target, _)| Arc::ptr_eq(&target.spec, spec))
    }
}

/// What the steps of one command share.
pub struct Session<'a> {
    /// The machine.
    pub machine: &'a Machine<'a>,
    pub(super) caches: Caches,
    pub(super) host: Host,
    pub(super) fresh: Option<&'a str>,
    pub(super) keep_going: bool,
    /// `SOURCE_DATE_EPOCH` as RFC 3339.
    pub(super) created: Option<&'a str>,
    platforms: &'a [Platform],
    layers: bool,
    volatile: Volatile,
    pub(super) sources: Sources<'a>,
    pub(super) closures: Closures<'a>,
    pub(super) pins: Pins<'a>,
    pub(super) remote: RemoteSources,
    pub(super) pulls: Pulls<'a>,
    pub(super) packages: KnownPackages,
    /// What packages hold.
    pub(super) unpacked: Slots<BlobDigest, Unpacked>,
    /// Where Alpine packages are.
    pub(super) apk_places: ApkPlaces,
    /// Indexes of Alpine repositories by their addresses.
    pub(super) apk_indexes: Slots<String, Arc<Vec<crate::apk::Package>>>,
    /// Alpine packages by requests.
    pub(super) apk_sets: Slots<String, Arc<PackageSet>>,
    pub(super) images: WorkspaceImages,
    /// How the running program looks; `None` where that is not known.
    pub(super) program: OnceLock<Option<String>>,
}

impl<'a> Session<'a> {
    /// A command on `machine`; reads the lock file.
    pub fn new(machine: &'a Machine<'a>, options: &'a BuildOptions) -> Result<Self, Error> {
        Ok(Self::with(machine, options, Pins::read(machine, options.locked)?))
    }

    /// The same with these pins.
    pub(super) fn with(machine: &'a Machine<'a>, options: &'a BuildOptions, pins: Pins<'a>) -> Self {
        let host = Host::new(machine.environment.clone());
        Self {
            pins,
            machine,
            caches: Caches::new(machine.store.root()),
            host: if options.offline { host.offline() } else { host },
            fresh: options.fresh.as_deref(),
            keep_going: options.keep_going,
            created: options.created.as_deref(),
            platforms: &options.platforms,
            layers: options.layers,
            volatile: Volatile::new(&machine.root, machine.environment.clone()),
            sources: Sources::new(&machine.root, machine.store, machine.jobs, machine.cancel),
            closures: Closures::new(machine.store),
            remote: RemoteSources::default(),
            pulls: Pulls::new(machine),
            packages: KnownPackages::default(),
            unpacked: Slots::default(),
            apk_places: ApkPlaces::default(),
            apk_indexes: Slots::default(),
            apk_sets: Slots::default(),
            images: WorkspaceImages::default(),
            program: OnceLock::new(),
        }
    }

    /// The answer to a volatile value.
    pub fn volatile(&self, value: &Value) -> Option<String> {
        self.volatile.value(value)
    }

    /// Reads bases and hashes sources; the images of the workspace that these need are built. What is wrong with them is in
    /// the result; what is wrong with the request is an error.
    pub fn prepare(&self, specs: Vec<ImageSpec>) -> Result<Prepared, Error> {
        let specs: Vec<Arc<ImageSpec>> = specs.into_iter().map(Arc::new).collect();
        let mut errors = self.build_needed(&specs)?;
        let mut prepared = self.begin(self.targets(&specs)?, specs);
        self.leave_out(&mut prepared, &mut errors);
        let bases = self.bases();
        self.load_bases(&mut prepared, &bases);
        prepared.errors.splice(0..0, errors);
        Ok(prepared)
    }

    /// The bases of this command.
    pub fn bases(&self) -> Bases<'_> {
        Bases::new(self.machine, &self.sources, &self.pins, &self.pulls, &self.images, self.layers)
    }

    /// Hashes the sources of builders, and finds out what files are taken from elsewhere.
    pub(super) fn begin(&self, mut targets: Vec<Target>, specs: Vec<Arc<ImageSpec>>) -> Prepared {
        let mut errors: Vec<Error> = Vec::new();
        let mut tell = |target: &Target, error: Error| errors.push(error.of(&target.task));
        for target in &targets {
            if let Err(error) = self.pins.data_sets(&target.spec) {
                tell(target, error);
            }
        }
        let compiles = self.compiles(&mut targets, &mut tell);
        self.pins.ask(&targets);
        let (remote, failed) = self.resolve_remote(&targets);
        errors.extend(remote);
        let image = |index| Image { failed: failed.contains(&index), ..Image::default() };
        let (images, bases) = ((0..targets.len()).map(image).collect(), vec![None; targets.len()]);
        Prepared { specs, targets, images, bases, compiles, errors }
    }

    /// Leaves out the targets that need an image of the workspace that could not be built: its `errors` are theirs too.
    pub(super) fn leave_out(&self, prepared: &mut Prepared, errors: &mut [Error]) {
        for (target, image) in prepared.targets.iter().zip(&mut prepared.images) {
            if let Some(missing) = self.images.missing(&target.spec, target.task.platform) {
                image.failed = true;
                for error in errors.iter_mut().filter(|error| error.tasks.contains(&missing)) {
                    error.tasks.push(target.task.clone());
                }
            }
        }
    }

    /// Finds the images that an earlier command finished from all the same, of those whose builders' output is known.
    pub fn recall(
        &self,
        prepared: &mut Prepared,
        bases: &Bases<'_>,
        records: &BTreeMap<KeyDigest, CompileRecord>,
        created: Option<&str>,
    ) {
        for (target, image) in prepared.targets.iter().zip(&mut prepared.images) {
            if self.machine.cancel.is_cancelled() {
                return;
            }
            if image.failed {
                continue;
            }
            let made = target.key.as_ref().and_then(|key| records.get(&key.digest()));
            image.key = self.image_key(target, made, bases, created);
            let find = |key| Recalled::find(self.machine.store, key, target.task.platform);
            image.recalled = image.key.as_ref().and_then(find);
        }
    }

    /// Reads the base of every target that has to be planned, and what it takes from other images and addresses.
    pub fn load_bases(&self, prepared: &mut Prepared, bases: &Bases<'_>) {
        let is_wanted = |index: &usize| {
            let image = &prepared.images[*index];
            image.recalled.is_none() && !image.failed
        };
        let wanted: Vec<usize> = (0..prepared.targets.len()).filter(is_wanted).collect();
        let loaded = parallel(self.machine.jobs, &wanted, |index| {
            let target = &prepared.targets[*index];
            self.phase(target, Phase::Base);
            let base = bases.load(&target.spec, target.task.platform)?;
            self.bring_remote(target)?;
            self.package_set(target, &base)?;
            Ok::<_, Error>(base)
        });
        let mut errors = Vec::new();
        for (index, base) in wanted.into_iter().zip(loaded) {
            match base {
                Ok(base) => prepared.bases[index] = Some(base),
                Err(error) => errors.push(error.of(&prepared.targets[index].task)),
            }
        }
        // What stands below is told first.
        prepared.errors.splice(0..0, errors);
    }

    /// The layers and config of every target whose base and artefact are there.
    pub fn plan(
        &self,
        prepared: &Prepared,
        records: &BTreeMap<KeyDigest, CompileRecord>,
        errors: &mut Vec<Error>,
    ) -> Vec<Option<PlannedImage>> {
        let plan = |target: &Target, base: &Arc<BaseImage>| {
            let made = target.key.as_ref().map(|key| records.get(&key.digest()));
            if made == Some(None) || (made.is_none() && target.spec.build.is_some()) {
                return Ok(None);
            }
            self.machine.cancel.check()?;
            let packages = match self.package_set(target, base)? {
                Some(set) => self.unpack(target, &set)?,
                None => Vec::new(),
            };
            let bring =
                |package: &PinnedPackage| self.bring_debs(&PackageSet { packages: vec![package.clone()] });
            let placed = place_packages(target.spec.packages.as_ref(), &packages, &base.facts, &bring)?;
            let ingredients = Ingredients { base, made: made.flatten(), packages, placed };
            let mut planned = plan_image(
                &target.spec,
                target.task.platform,
                ingredients,
                &self.sources,
                &|rule| self.copied(rule, target.task.platform),
                &|value| self.volatile(value),
            )?;
            planned.foreign = self.check_elf(&target.spec, &planned)?;
            Ok::<_, Error>(Some(planned))
        };
        let mut plans = Vec::new();
        for (target, base) in prepared.targets.iter().zip(&prepared.bases) {
            let planned = base.as_ref().map_or(Ok(None), |base| plan(target, base));
            let planned = planned.map_err(|error| error.of(&target.task));
            plans.push(planned.unwrap_or_else(|error| {
                errors.push(error);
                None
            }));
        }
        let privileged = set_id_files(plans.iter().flatten());
        if !privileged.is_empty() {
            let files = privileged.into_iter().collect::<Vec<_>>().join(", ");
            let text = format!("packages bring files that run as their owner or group: {files}");
            self.machine.observer.event(Event::Note(text));
        }
        let replaced: BTreeSet<String> = plans.iter().flatten().flat_map(PlannedImage::replaced).collect();
        if !replaced.is_empty() {
            let files = replaced.into_iter().collect::<Vec<_>>().join(", ");
            self.machine.observer.event(Event::Note(format!("replaced in the image: {files}")));
        }
        self.sources.remember();
        let left_out = self.sources.left_out();
        if !left_out.is_empty() {
            let names = left_out.join(", ");
            self.machine
                .observer
                .event(Event::Note(format!("secret files stay out unless named one by one: {names}")));
        }
        plans
    }

    fn phase(&self, target: &Target, phase: Phase) {
        self.machine.observer.event(Event::Phase { task: target.task.clone(), phase });
    }

    pub(super) fn targets(&self, specs: &[Arc<ImageSpec>]) -> Result<Vec<Target>, Error> {
        let mut targets = Vec::new();
        for spec in specs {
            let wanted =
                |platform: &&Platform| self.platforms.is_empty() || self.platforms.contains(platform);
            let platforms: Vec<Platform> = spec.platforms.iter().filter(wanted).copied().collect();
            if platforms.is_empty() {
                let has = spec.platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return Err(Error::usage_with_hint(
                    format!("{} is built for {has} only", spec.identity),
                    "name another --platform, or add this one to its `platforms`",
                )
                .at(&spec.site));
            }
            for platform in platforms {
                let task = Task { identity: spec.identity.clone(), platform };
                targets.push(Target { spec: Arc::clone(spec), task, key: None });
            }
        }
        Ok(targets)
    }

    /// The same of one stage: for the platforms for which its images are wanted.
    pub(super) fn stage_targets(&self, stage: &Stage) -> Result<Vec<Target>, Error> {
        let specs: Vec<Arc<ImageSpec>> = stage.iter().map(|wanted| Arc::clone(&wanted.spec)).collect();
        let is_wanted = |target: &Target| {
            stage.iter().any(|wanted| {
                Arc::ptr_eq(&wanted.spec, &target.spec) && wanted.platforms.contains(&target.task.platform)
            })
        };
        Ok(self.targets(&specs)?.into_iter().filter(is_wanted).collect())
    }

    /// One builder run for each different key; every target gets the key of its own.
    fn compiles(&self, targets: &mut [Target], tell: &mut dyn FnMut(&Target, Error)) -> Vec<Compile> {
        let mut compiles: BTreeMap<KeyDigest, usize> = BTreeMap::new();
        let mut found: Vec<Compile> = Vec::new();
        for target in targets {
            let Some(build) = &target.spec.build else { continue };
            let platform = target.task.platform;
            self.phase(target, Phase::Hashing);
            match self.compile(&target.spec, build, platform) {
                Ok(compile) => {
                    target.key = Some(compile.key.clone());
                    let index = *compiles.entry(compile.key.digest()).or_insert_with(|| {
                        found.push(compile);
                        found.len() - 1
                    });
                    found[index].tasks.push(target.task.clone());
                }
                Err(error) if matches!(*error.kind, ErrorKind::Builder(BuilderError::Project { .. })) => {
                    let error = error.at(&target.spec.source.dir.site);
                    tell(target, error);
                }
                Err(error) => tell(target, error),
            }
        }
        found
    }
}

/// Files of packages with the bits setuid and setgid, which images seldom need.
fn set_id_files<'p>(plans: impl Iterator<Item = &'p PlannedImage>) -> BTreeSet<String> {
    let entries = plans.flat_map(|plan| &plan.layers).flat_map(|layer| layer.entries.iter());
    let is_meant = |entry: &&Entry| {
        entry.mode & 0o6000 != 0
            && matches!(entry.kind, EntryKind::File { .. })
            && entry.origin.starts_with("package ")
    };
    entries.filter(is_meant).map(|entry| format!("{} ({:04o})", entry.path, entry.mode)).collect()
}
