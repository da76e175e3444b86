//! `imgpack explain`: what a build would do for each image, and which field of a key makes it do so. Runs no builder.

use std::collections::BTreeMap;

use super::error::Error;
use super::history::{self, LastBuild};
use super::pack::stored_layer;
use super::prepare::{BuildOptions, Machine, Session};
use crate::key::{Change, Key, changes};
use crate::model::{Class, Identity, KeyDigest, Layer, Platform};
use crate::spec::ImageSpec;

/// What would be done for one image and platform.
#[derive(Debug)]
pub struct Explanation {
    /// The image.
    pub identity: Identity,
    /// The platform.
    pub platform: Platform,
    /// The builder's run, where it has a builder.
    pub build: Option<Step>,
    /// The layers of its own; `None` where they wait for the builder.
    pub layers: Option<Vec<LayerStep>>,
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
    let session = Session::new(machine, options);
    let mut prepared = session.prepare(specs)?;
    let mut errors = std::mem::take(&mut prepared.errors);
    let records: BTreeMap<KeyDigest, _> = prepared
        .compiles
        .iter()
        .filter_map(|compile| Some((compile.key.digest(), session.recorded(&compile.key)?)))
        .collect();
    let plans = session.plan(&prepared, &records, &mut errors);
    let mut explanations = Vec::new();
    for (target, plan) in prepared.targets.iter().zip(&plans) {
        let last: Option<LastBuild> = machine.store.last(&history::name(&machine.root, &target.task));
        let build = target.key.as_ref().map(|key| {
            let before = last.as_ref().and_then(|last| last.build.as_ref());
            step(key, records.contains_key(&key.digest()), before)
        });
        let layers = plan.as_ref().map(|plan| {
            let explain = |layer: &crate::plan::PlannedLayer| {
                let stored = stored_layer(machine.store, &layer.key.digest());
                let before = last.as_ref().and_then(|last| last.layer_key(layer.class, &layer.title));
                LayerStep {
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
        explanations.push(Explanation { identity, platform, build, layers });
    }
    Ok((explanations, errors))
}

fn step(key: &Key, stored: bool, before: Option<&Key>) -> Step {
    Step { key: key.digest(), stored, changes: before.map(|before| changes(before, key)) }
}

/// `the base has /bin as a link to usr/bin`
fn base_facts(key: &Key) -> Vec<String> {
    key.fields
        .iter()
        .filter_map(|(name, field)| Some((name.strip_prefix("base ")?, field.value.as_deref()?)))
        .map(|(path, fact)| format!("the base has {path} as a {fact}"))
        .collect()
}
