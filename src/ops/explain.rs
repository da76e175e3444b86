//! `imgpack explain`: what a build would do for each image, and which field of a key makes it do so. Runs no builder.

use std::collections::{BTreeMap, BTreeSet};

use super::assemble::PlannedImage;
use super::bases;
use super::compile::{Compile, CompileRecord, Made};
use super::error::Error;
use super::history::{self, LastKeys};
use super::inputs::InputList;
use super::machine::Machine;
use super::pack::stored_layer;
use super::prepare::{BuildOptions, Session};
use crate::builder;
use crate::key::{Change, Field, Key, changes};
use crate::model::{Class, ContentDigest, Identity, KeyDigest, Layer, Platform};
use crate::spec::{Build, ImageSpec};

/// What would be done for one image and platform.
#[derive(Debug)]
pub struct Explanation {
    /// The image.
    pub identity: Identity,
    /// The platform.
    pub platform: Platform,
    /// What it stands on, and the compressed size of that in bytes.
    pub base: Option<(String, u64)>,
    /// The builder's run, where it has a builder.
    pub build: Option<Step>,
    /// The layers of its own; `None` where something is wrong with them.
    pub layers: Option<Vec<LayerStep>>,
    /// What they hide of each other.
    pub replaced: BTreeSet<String>,
}

/// A layer and what would be done for it.
#[derive(Debug)]
pub struct LayerStep {
    /// Its class.
    pub class: Class,
    /// What it is.
    pub title: String,
    /// What would be done.
    pub step: Step,
    /// The stored layer.
    pub layer: Option<Layer>,
    /// Facts of the base that are in its key, in words.
    pub base_facts: Vec<String>,
    /// Whether it holds what a builder has yet to make; its key and bytes are not known then.
    pub waits: bool,
}

/// What would be done under one key.
#[derive(Debug)]
pub struct Step {
    /// The key.
    pub key: KeyDigest,
    /// Whether what it leads to is stored.
    pub stored: bool,
    /// What differs from the last build; `None` without one.
    pub changes: Option<Vec<Change>>,
}

/// Explains every image for every platform.
pub fn explain(
    machine: &Machine<'_>,
    specs: Vec<ImageSpec>,
    options: &BuildOptions,
) -> Result<(Vec<Explanation>, Vec<Error>), Error> {
    let session = Session::new(machine, options)?;
    let mut prepared = session.prepare(specs)?;
    let mut errors = std::mem::take(&mut prepared.errors);
    let mut records: BTreeMap<KeyDigest, CompileRecord> = BTreeMap::new();
    let mut missing: BTreeSet<KeyDigest> = BTreeSet::new();
    for compile in &prepared.compiles {
        let key = compile.key.digest();
        let record = if let Some(record) = &compile.recorded {
            record.clone()
        } else {
            missing.insert(key);
            to_come(compile)?
        };
        records.insert(key, record);
    }
    let plans = session.plan(&prepared, &records, &mut errors);
    let mut explanations = Vec::new();
    for ((target, plan), base) in prepared.targets.iter().zip(&plans).zip(&prepared.bases) {
        let last = LastKeys::read(machine.store, &history::name(&machine.root, &target.task));
        let build = target.key.as_ref().map(|key| {
            let before = last.as_ref().and_then(|last| last.build.as_ref());
            let mut step = step(key, !missing.contains(&key.digest()), before);
            let project = prepared.compiles.iter().find(|compile| compile.key == *key);
            if let (Some(before), Some(compile)) = (before, project) {
                let named = |found| InputList::named(found, before, &compile.project, machine.store);
                step.changes = step.changes.map(named);
            }
            step
        });
        let layers = plan.as_ref().map(|plan| {
            let explain = |layer: &crate::plan::PlannedLayer| {
                let stored = stored_layer(machine.store, &layer.key.digest());
                let before = last.as_ref().and_then(|last| last.layer_key(layer.class, &layer.title));
                let waits = target.key.as_ref().is_some_and(|key| missing.contains(&key.digest()))
                    && layer.entries.iter().any(|entry| entry.origin.starts_with("build."));
                LayerStep {
                    waits,
                    class: layer.class,
                    title: layer.title.clone(),
                    step: step(&layer.key, stored.is_some(), before),
                    layer: stored,
                    base_facts: base_facts(&layer.key),
                }
            };
            plan.layers.iter().map(explain).collect()
        });
        let (identity, platform) = (target.task.identity.clone(), target.task.platform);
        let base = base.as_ref().map(|base| {
            let transfer = base.layers.iter().map(|layer| layer.layer.descriptor.size).sum();
            (bases::name_for(&target.spec.base, platform), transfer)
        });
        let replaced = plan.as_ref().map(PlannedImage::replaced).unwrap_or_default();
        explanations.push(Explanation { identity, platform, base, build, layers, replaced });
    }
    Ok((explanations, errors))
}

/// What stands for the output of a builder that has not run.
fn to_come(compile: &Compile) -> Result<CompileRecord, Error> {
    let name = match &compile.build {
        Build::Go(go) => go.to.name().to_owned(),
        Build::Rust(rust) => builder::binary_name(rust, &compile.project)?,
    };
    let made = Made { name, digest: ContentDigest::of(b""), size: 0, executable: true };
    Ok(CompileRecord { artefacts: vec![made], key: compile.key.clone(), source_root: None })
}

fn step(key: &Key, stored: bool, before: Option<&Key>) -> Step {
    Step { key: key.digest(), stored, changes: before.map(|before| changes(before, key)) }
}

/// `the base has /bin as a link to usr/bin`
fn base_facts(key: &Key) -> Vec<String> {
    let fact = |(name, field): (&String, &Field)| {
        let (who, path) = name.split_once(" /")?;
        let who = match who {
            "base" => "the base has",
            "system" => "the system's layers have",
            _ => return None,
        };
        Some(format!("{who} /{path} as a {}", field.value.as_deref()?))
    };
    key.fields.iter().filter_map(fact).collect()
}
