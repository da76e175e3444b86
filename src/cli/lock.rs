//! `imgpack lock`: arguments → one call of `ops::lock` → words.

use clap::Args;

use super::args::Selection;
use super::failure::Exit;
use super::run::Settings;
use crate::lock::{Kind, LOCK_FILE};
use crate::ops::error::Error;
use crate::ops::lock::{LockOptions, Locked, lock};
use crate::ops::pins::Upgrade;
use crate::ops::prepare::BuildOptions;

/// `lock`
#[derive(Debug, Args)]
pub(super) struct LockArguments {
    /// Which images.
    #[command(flatten)]
    pub(super) selection: Selection,

    /// Pin anew what this row names: a reference, a suite of packages, `static`, `go`, `rust`, or `all` (may be
    /// repeated) [default: existing rows stay]
    #[arg(long = "upgrade", value_name = "NAME")]
    pub(super) upgrade: Vec<String>,

    /// Pin the toolchains as they are installed here, and nothing else
    #[arg(long, conflicts_with = "upgrade")]
    pub(super) toolchains: bool,

    /// Let no request leave: what is pinned has to be in the cache
    #[arg(long)]
    pub(super) offline: bool,
}

pub(super) fn run(settings: &Settings, arguments: &LockArguments) -> Result<Exit, Vec<Error>> {
    let one = |error: Error| vec![error];
    let LockArguments { selection, upgrade, toolchains, offline } = arguments;
    let root = settings.root().map_err(one)?;
    let workspace = Settings::load(&root, &selection.sets).map_err(one)?;
    settings.use_workspace(&workspace);
    let specs = match selection.variant {
        Some(_) => Settings::select(&workspace, selection),
        None => workspace.select_every(&selection.identities).map_err(Error::from),
    }
    .map_err(one)?;
    let options =
        BuildOptions { platforms: selection.platforms.clone(), offline: *offline, ..BuildOptions::default() };
    let Selection { identities, variant, platforms, sets, jobs } = selection;
    let wanted = LockOptions {
        upgrade: Upgrade { names: upgrade.clone(), toolchains: *toolchains },
        only_toolchains: *toolchains,
        whole: identities.is_empty() && variant.is_none() && platforms.is_empty() && sets.is_empty(),
    };
    let locked = settings
        .with_machine(root, *jobs, settings.mode(), |machine| Ok(lock(machine, specs, &options, &wanted)))
        .map_err(one)??;
    tell(settings, &locked);
    Ok(Exit::Done)
}

fn tell(settings: &Settings, locked: &Locked) {
    // Every package stands in a row about several.
    let told = locked.changes.iter().filter(|change| change.kind() != Kind::Package);
    told.for_each(|change| settings.remark(&change.to_string()));
    for kept in &locked.kept {
        settings.remark(&format!("note: {kept}; `imgpack lock --toolchains` pins it"));
    }
    match (locked.created, locked.changes.is_empty()) {
        (true, true) => settings.remark(&format!("{LOCK_FILE}: made; there is nothing to pin")),
        (false, true) => settings.remark(&format!("{LOCK_FILE}: unchanged")),
        _ => {}
    }
}
