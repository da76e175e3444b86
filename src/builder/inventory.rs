//! What the builders keep, thing by thing, for those who count, remove and check it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::system::lock::{Share, try_lock};
use crate::system::{IoError, space};

use super::Caches;
use super::stage::{StagedFile, staged_files};

/// Kinds of what the builders keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Cargo's target directories.
    Target,
    /// Staged trees.
    Stage,
    /// Crates.
    Vendor,
    /// Go's module cache.
    GoModules,
    /// Go's build cache.
    GoBuild,
    /// Resolved tools.
    Tool,
    /// Output of tools.
    Log,
    /// What a tool's run needed only while it lasted.
    Scratch,
}

/// One thing that is kept or goes as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What it is.
    pub kind: Kind,
    /// Its name: of trees, targets, logs and scratch it begins with the source root's.
    pub id: String,
    /// What it takes on the disk (bytes).
    pub allocated: u64,
    /// When it was used last, give or take a day.
    pub used: SystemTime,
    /// In the order in which it must go: what says that the rest is whole comes first.
    pub(super) paths: Vec<PathBuf>,
}

impl Kept {
    /// The files and directories that it is made of, in the order in which they must go.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The source root that it is of.
    pub fn source_root(&self) -> &str {
        source_root(&self.id)
    }
}

/// Of a tree's name `<builder>-<hex>[-<package>]` that of its source root.
fn source_root(id: &str) -> &str {
    let mut dashes = id.match_indices('-').map(|(at, _)| at);
    dashes.nth(1).map_or(id, |at| &id[..at])
}

/// The locks of all source roots but those that a tool still holds, which outlived its imgpack.
#[derive(Debug)]
pub struct Held {
    busy: BTreeSet<String>,
    locks: Vec<File>,
}

impl Held {
    /// Whether a tool may be at work on this.
    pub fn is_busy(&self, kept: &Kept) -> bool {
        let any = |builder: &str| self.busy.iter().any(|id| id.starts_with(builder));
        match kept.kind {
            Kind::Target | Kind::Stage | Kind::Log | Kind::Scratch => self.busy.contains(kept.source_root()),
            Kind::Vendor => any("rust-"),
            Kind::GoModules | Kind::GoBuild => any("go-"),
            Kind::Tool => false,
        }
    }
}

impl Caches {
    /// Everything that is kept. Looks at every file, to know what it takes on the disk.
    pub fn inventory(&self) -> Result<Vec<Kept>, IoError> {
        let mut found = Vec::new();
        let mut add = |kind, id: &str, paths: Vec<PathBuf>| {
            // The newest of its times: of the record that a run writes, or of the directory itself.
            let used = paths.iter().filter_map(|path| modified(path)).max();
            let allocated = paths.iter().map(|path| space::allocated_below(path)).sum();
            if let Some(used) = used {
                found.push(Kept { kind, id: id.to_owned(), allocated, used, paths });
            }
        };
        let runs = self.stage();
        // Whatever else a source root has, its record says when a tool last ran for it.
        let mut used: BTreeMap<String, SystemTime> = BTreeMap::new();
        for (id, parts) in grouped(&runs)? {
            if let Some(time) = modified(&runs.join(format!("{id}.json"))) {
                for name in [id.as_str(), source_root(&id)] {
                    let newest = used.entry(name.to_owned()).or_insert(time);
                    *newest = (*newest).max(time);
                }
            }
            // The record goes with the target, whose times it says (see `stage`).
            if parts.contains("") {
                add(Kind::Stage, &id, vec![runs.join(&id)]);
            }
        }
        for (id, parts) in grouped(&self.target())? {
            let path = |part: &String| self.target().join(format!("{id}{part}"));
            add(Kind::Target, &id, parts.iter().map(path).collect());
        }
        for (id, parts) in grouped(&self.vendor())? {
            let path = |part: &&str| parts.contains(*part).then(|| self.vendor().join(format!("{id}{part}")));
            add(Kind::Vendor, &id, ["", ".part"].iter().filter_map(path).collect());
        }
        let go = self.go();
        add(Kind::GoModules, "mod", vec![go.join("fetched"), go.join("mod")]);
        for id in grouped(&go)?.into_keys().filter(|id| id.starts_with("build-")) {
            add(Kind::GoBuild, &id, vec![go.join(&id)]);
        }
        for (kind, directory) in [
            (Kind::Tool, self.tools()),
            (Kind::Log, self.logs()),
            (Kind::Scratch, self.root().join("scratch")),
        ] {
            for (id, parts) in grouped(&directory)? {
                add(kind, &id, parts.iter().map(|part| directory.join(format!("{id}{part}"))).collect());
            }
        }
        for kept in &mut found {
            if matches!(kept.kind, Kind::Stage | Kind::Target | Kind::Log | Kind::Scratch)
                && let Some(time) = used.get(&kept.id)
            {
                kept.used = *time;
            }
        }
        found.retain(|kept| kept.paths.iter().any(|path| path.exists()));
        Ok(found)
    }

    /// Takes the locks of all source roots. To be called by a holder of the whole store alone: then whoever has one of
    /// them is a tool whose imgpack was killed.
    pub fn hold(&self) -> Result<Held, IoError> {
        let directory = self.stage();
        let mut held = Held { busy: BTreeSet::new(), locks: Vec::new() };
        for (id, parts) in grouped(&directory)? {
            if !parts.contains(".lock") {
                continue;
            }
            match try_lock(&directory.join(format!("{id}.lock")), Share::Alone)? {
                Some(lock) => held.locks.push(lock),
                None => drop(held.busy.insert(id)),
            }
        }
        Ok(held)
    }

    /// Records and locks of source roots that have neither a tree nor a target any more. They go only while the locks
    /// are held.
    pub fn leftovers(&self, held: &Held) -> Result<Vec<PathBuf>, IoError> {
        let (stage, target) = (self.stage(), self.target());
        let mut found = Vec::new();
        let staged = grouped(&stage)?;
        // A source root stays with any tree of it.
        let trees = staged.iter().filter(|(_, parts)| parts.contains(""));
        let roots: BTreeSet<&str> = trees.map(|(id, _)| source_root(id)).collect();
        for (id, parts) in &staged {
            let root = source_root(id);
            let has_target = target.join(id).exists() || target.join(root).exists();
            let is_root = id == root && roots.contains(root);
            if !parts.contains("") && !is_root && !has_target && !held.busy.contains(root) {
                found.extend(parts.iter().map(|part| stage.join(format!("{id}{part}"))));
            }
        }
        for (id, parts) in grouped(&self.vendor())? {
            if !parts.contains("") && parts.contains(".lock") {
                found.push(self.vendor().join(format!("{id}.lock")));
            }
        }
        Ok(found)
    }

    /// Every staged file, with what its record says of it.
    pub fn staged(&self) -> Result<Vec<StagedFile>, IoError> {
        let ids = grouped(&self.stage())?;
        Ok(ids.keys().flat_map(|id| staged_files(self, id)).collect())
    }

    /// What no builder put there.
    pub fn foreign(&self) -> Result<Vec<PathBuf>, IoError> {
        let mut found = Vec::new();
        let known: [(PathBuf, &[&str]); 6] = [
            (self.stage(), &["", ".json", ".lock"]),
            (self.target(), &["", ".rustc", ".bin", ".fresh", ".old"]),
            (self.vendor(), &["", ".part", ".lock"]),
            (self.tools(), &[".json"]),
            (self.logs(), &[".log"]),
            (self.root().join("scratch"), &[""]),
        ];
        for (directory, suffixes) in known {
            for (id, parts) in grouped(&directory)? {
                let strange = parts.iter().filter(|part| !suffixes.contains(&part.as_str()));
                found.extend(strange.map(|part| directory.join(format!("{id}{part}"))));
            }
        }
        Ok(found)
    }
}

/// The names in a directory up to their last dot, each with the rests that it has there, dot and all. Empty where there is
/// no such directory; names being written are left out.
fn grouped(directory: &Path) -> Result<BTreeMap<String, BTreeSet<String>>, IoError> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        entries => entries.map_err(IoError::of("list", directory))?,
    };
    for entry in entries {
        let name = entry.map_err(IoError::of("list", directory))?.file_name();
        let name = name.to_string_lossy();
        let (id, rest) = name.rfind('.').map_or((&*name, ""), |dot| name.split_at(dot));
        if !id.is_empty() {
            found.entry(id.to_owned()).or_default().insert(rest.to_owned());
        }
    }
    Ok(found)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::symlink_metadata(path).ok()?.modified().ok()
}
