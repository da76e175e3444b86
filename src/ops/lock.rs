//! `imgpack lock`: pins what images are built with beside their sources.

use std::path::Path;
use std::sync::Arc;

use super::bases::Bases;
use super::error::Error;
use super::machine::Machine;
use super::pins::{Pins, Upgrade, differs};
use super::prepare::{BuildOptions, Session, Target};
use super::workspace_images::stages;
use crate::builder;
use crate::lock::{Change, DIGEST, Kind, LOCK_FILE, Lock, Row};
use crate::spec::{Base, Build, ImageSpec};
use crate::system::{fs, lock::lock_directory, parallel};

/// What is asked of `imgpack lock`.
#[derive(Debug, Clone, Default)]
pub struct LockOptions {
    /// Rows that are set anew.
    pub upgrade: Upgrade,
    /// Nothing but toolchains.
    pub only_toolchains: bool,
    /// The images are all that there are: rows that none of them asks for go.
    pub whole: bool,
}

/// What `imgpack lock` did.
#[derive(Debug)]
pub struct Locked {
    /// The rows that are others than before.
    pub changes: Vec<Change>,
    /// Toolchains that are pinned as they were, though others are installed.
    pub kept: Vec<String>,
    /// Whether the file was not there before.
    pub created: bool,
}

/// Pins what the images of `specs` are built with. Rows that are there stay as they are but those of `upgrade`; with any
/// error all do.
pub fn lock(
    machine: &Machine<'_>,
    specs: Vec<ImageSpec>,
    options: &BuildOptions,
    wanted: &LockOptions,
) -> Result<Locked, Vec<Error>> {
    let one = |error| vec![error];
    let pins = Pins::to_write(machine, wanted.upgrade.clone()).map_err(one)?;
    let session = Session::with(machine, options, pins);
    let specs: Vec<Arc<ImageSpec>> = specs.into_iter().map(Arc::new).collect();
    let bases = session.bases();
    let mut kept = Vec::new();
    let mut errors = Vec::new();
    for stage in stages(&specs) {
        let targets = session.stage_targets(&stage).map_err(one)?;
        if !wanted.only_toolchains {
            session.pins.ask(&targets);
            // Which packages are put on an image of the workspace depends on what it holds.
            let on_others =
                |spec: &&Arc<ImageSpec>| spec.packages.is_some() && matches!(spec.base, Base::Spec(_));
            let specs: Vec<_> =
                stage.iter().map(|wanted| &wanted.spec).filter(on_others).map(Arc::clone).collect();
            errors.extend(session.build_needed(&specs).map_err(one)?);
        }
        if !errors.is_empty() {
            break;
        }
        let done = parallel(machine.jobs, &targets, |target| {
            session.pin(target, &bases, wanted).map_err(|error| error.of(&target.task))
        });
        for result in done {
            match result {
                Ok(remark) => kept.extend(remark),
                Err(error) => errors.push(error),
            }
        }
    }
    if errors.is_empty() {
        errors.extend(session.unknown(&wanted.upgrade));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    kept.sort();
    kept.dedup();
    let found = session.pins.found();
    let asked = session.pins.asked();
    let mut changes = Vec::new();
    let created = change(machine, Missing::IsMade, |lock| {
        for ((kind, name), row) in found {
            let known = lock.row(kind, &name);
            let upgraded = known.is_some_and(|known| wanted.upgrade.takes_row(kind, &name, known));
            let whole = merged(known, row, upgraded);
            changes.extend(whole.and_then(|row| lock.pin(kind, &name, row)));
        }
        if wanted.whole && !wanted.only_toolchains {
            // Toolchains of other machines are asked for there.
            let is_left =
                |kind, name: &str| kind != Kind::Toolchain && !asked.contains(&(kind, name.to_owned()));
            let left: Vec<(Kind, String)> = lock
                .rows()
                .filter(|(kind, name, _)| is_left(*kind, name))
                .map(|(kind, name, _)| (kind, name.to_owned()))
                .collect();
            changes.extend(left.iter().filter_map(|(kind, name)| lock.drop_row(*kind, name)));
        }
    })
    .map_err(one)?;
    Ok(Locked { changes, kept, created })
}

/// What becomes of a row: what is found of the same image completes it; else what is there stays, unless it is upgraded.
fn merged(known: Option<&Row>, found: Row, upgraded: bool) -> Option<Row> {
    let Some(known) = known else { return Some(found) };
    if known.get(DIGEST).is_some_and(|digest| found.get(DIGEST) == Some(digest)) {
        let mut whole = known.clone();
        whole.extend(found);
        return Some(whole);
    }
    upgraded.then_some(found)
}

impl Session<'_> {
    /// Looks at everything that one image is built with, and has it pinned; a remark where a pin is kept.
    fn pin(&self, target: &Target, bases: &Bases<'_>, wanted: &LockOptions) -> Result<Option<String>, Error> {
        self.machine.cancel.check()?;
        if !wanted.only_toolchains {
            self.pins.data_sets(&target.spec)?;
            if matches!(target.spec.base, Base::Registry(_)) || target.spec.packages.is_some() {
                let base = bases.load(&target.spec, target.task.platform)?;
                self.package_set(target, &base)?;
            }
            for rule in &target.spec.files {
                self.remote_digest(rule).map_err(|error| error.at(&rule.site))?;
            }
        }
        target.spec.build.as_ref().map_or(Ok(None), |build| self.pin_toolchain(target, build))
    }

    fn pin_toolchain(&self, target: &Target, build: &Build) -> Result<Option<String>, Error> {
        let project = self.sources.project(&target.spec, build)?;
        let platform = target.task.platform;
        let name = builder::toolchain(build, platform, &project)?;
        let pinned = self.pins.toolchain(&name)?;
        let cancel = self.machine.cancel;
        let installed = builder::identify(build, platform, &project, &self.host, &self.caches, cancel);
        match (pinned, installed) {
            (None, installed) => {
                self.pins.add(Kind::Toolchain, &name, installed?.identity.fields);
                Ok(None)
            }
            (Some(pinned), Ok(installed)) if pinned != installed.identity => {
                Ok(Some(differs(&name, &pinned, &installed.identity)))
            }
            // A pinned tool may be missing where somebody pins other things.
            (Some(_), _) => Ok(None),
        }
    }

    /// The error where something is to be upgraded that no image asked for.
    fn unknown(&self, upgrade: &Upgrade) -> Option<Error> {
        let asked = self.pins.asked();
        let is_known = |wanted: &&String| {
            *wanted == "all" || asked.iter().any(|(kind, name)| Upgrade::names(wanted, *kind, name))
        };
        let unknown = upgrade.names.iter().find(|wanted| !is_known(wanted))?;
        let names = asked.iter().filter(|(kind, _)| *kind != Kind::Package);
        let names: Vec<&str> = names.map(|(_, name)| name.as_str()).collect();
        Some(Error::usage_with_hint(
            format!("--upgrade {unknown}: no image is built with that"),
            match names.as_slice() {
                [] => "nothing is pinned for these images".to_owned(),
                names => format!("known are all, {}", names.join(", ")),
            },
        ))
    }
}

/// The lock file of the workspace at `root`, where it has one.
pub fn read(root: &Path) -> Result<Option<Lock>, Error> {
    match fs::read_to_string(root.join(LOCK_FILE)) {
        Ok(text) => Ok(Some(Lock::parse(&text)?)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What is done where there is no lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is made.
    IsMade,
    /// It was taken away meanwhile, and stays away.
    Stays,
}

/// Changes the lock file as it is now, while no other command does; whether it was made. It appears whole, and is not
/// touched where nothing changed.
pub fn change(
    machine: &Machine<'_>,
    missing: Missing,
    change: impl FnOnce(&mut Lock),
) -> Result<bool, Error> {
    // The directory's lock, since the file is replaced. Where a file system has no locks, the moment between reading and
    // writing stays.
    let alone = lock_directory(&machine.root, machine.cancel);
    machine.cancel.check()?;
    let before = read(&machine.root)?;
    if before.is_none() && missing == Missing::Stays {
        return Ok(false);
    }
    let mut lock = before.clone().unwrap_or_default();
    change(&mut lock);
    if before.as_ref() != Some(&lock) {
        fs::write_atomic(machine.root.join(LOCK_FILE), lock.to_string().as_bytes())?;
    }
    drop(alone);
    Ok(before.is_none())
}
