//! Everything in the cache, thing by thing: what it is, what it takes on the disk, who used it, and when last.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::SystemTime;

use super::dangling::leads_to;
use crate::builder::{self, Caches, Held, Kept};
use crate::key::Key;
use crate::model::{BlobDigest, Class, Digest, KeyDigest, Size};
use crate::ops::history::{self, LastBuild, LastKeys};
use crate::store::{Contents, Store, Stored};
use crate::system::{IoError, fs};

/// Kinds of things in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Layers of images, compressed.
    Layers,
    /// What builders made.
    Programs,
    /// Layers of bases.
    Bases,
    /// Packages of distributions, and their indexes.
    Packages,
    /// Manifests, configs, indexes.
    Documents,
    /// What keys led to, and what the last builds were.
    Records,
    /// Cargo's target directories.
    Dependencies,
    /// Sources as builders see them.
    Staged,
    /// Crates and Go modules.
    Downloads,
    /// Go's build cache.
    GoBuild,
    /// Resolved tools.
    Tools,
    /// Output of tools.
    Logs,
    /// What killed processes left.
    Rubbish,
}

impl Kind {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 13] = [
        Self::Layers,
        Self::Programs,
        Self::Bases,
        Self::Packages,
        Self::Documents,
        Self::Records,
        Self::Dependencies,
        Self::Staged,
        Self::Downloads,
        Self::GoBuild,
        Self::Tools,
        Self::Logs,
        Self::Rubbish,
    ];

    /// Its name on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Layers => "layers",
            Self::Programs => "programs",
            Self::Bases => "bases",
            Self::Packages => "packages",
            Self::Documents => "documents",
            Self::Records => "records",
            Self::Dependencies => "dependencies",
            Self::Staged => "staged",
            Self::Downloads => "downloads",
            Self::GoBuild => "go-build",
            Self::Tools => "tools",
            Self::Logs => "logs",
            Self::Rubbish => "rubbish",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.into_iter().map(Self::as_str).collect();
            format!("the kinds are {}", known.join(", "))
        })
    }
}

/// A service of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Its name.
    pub service: String,
    /// The workspace's root.
    pub workspace: String,
}

/// One thing that stays or goes as a whole.
#[derive(Debug, Clone)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// What it takes on the disk.
    pub size: Size,
    /// When it was used last, give or take a day.
    pub used: SystemTime,
    /// The services whose last build used it.
    pub owners: BTreeSet<Owner>,
    /// The blob that it is.
    pub blob: Option<BlobDigest>,
    /// The blobs that it leads to, of records.
    pub leads_to: Vec<BlobDigest>,
    /// Whether a tool is at work on it.
    pub busy: bool,
    /// What it is made of, in the order in which it must go.
    pub paths: Vec<PathBuf>,
}

/// Everything in the cache.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The things, by kind.
    pub items: Vec<Item>,
    /// When an image of each service was built last, give or take a day.
    pub owners: BTreeMap<Owner, SystemTime>,
}

/// What the last builds say of who used what.
#[derive(Default)]
struct Uses {
    owners: BTreeMap<Owner, SystemTime>,
    blobs: BTreeMap<Digest, BTreeSet<Owner>>,
    records: BTreeMap<Digest, BTreeSet<Owner>>,
    source_roots: BTreeMap<String, BTreeSet<Owner>>,
    bases: BTreeSet<Digest>,
    programs: BTreeSet<Digest>,
    last: Vec<Option<Owner>>,
}

impl Uses {
    fn of(store: &Store, contents: &Contents) -> Self {
        let mut uses = Self::default();
        let records: BTreeMap<KeyDigest, &Stored> =
            contents.records.iter().map(|(key, stored)| (*key, stored)).collect();
        for stored in &contents.last {
            let last: Option<LastBuild> =
                store.peek(stored).and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let keys = |image: &KeyDigest| -> Option<LastKeys> {
                let stored = records.get(&history::address(image))?;
                store.peek(stored).and_then(|bytes| serde_json::from_slice(&bytes).ok())
            };
            let keys = last.as_ref().and_then(|last| last.image.as_ref()).and_then(keys);
            let owner = last.and_then(|last| uses.add(last, keys.as_ref(), stored.used));
            uses.last.push(owner);
        }
        uses
    }

    fn add(&mut self, last: LastBuild, keys: Option<&LastKeys>, used: SystemTime) -> Option<Owner> {
        for layer in last.report.layers.iter().filter(|layer| layer.class == Class::Base) {
            self.bases.insert(layer.digest.0);
        }
        let user = last.user?;
        let owner = Owner { service: user.service, workspace: user.workspace };
        let time = self.owners.entry(owner.clone()).or_insert(used);
        *time = (*time).max(used);
        let layers = last.report.layers.iter().map(|layer| layer.digest.0);
        let blobs =
            layers.chain(user.programs.iter().map(|program| program.0)).chain([last.report.manifest.0]);
        for digest in blobs {
            self.blobs.entry(digest).or_default().insert(owner.clone());
        }
        self.programs.extend(user.programs.iter().map(|program| program.0));
        let decided = keys
            .iter()
            .flat_map(|keys| keys.layers.iter().map(|layer| &layer.key).chain(&keys.build).map(Key::digest));
        let image = last.image.iter().flat_map(|image| [*image, history::address(image)]);
        for key in decided.chain(image) {
            self.records.entry(key.0).or_default().insert(owner.clone());
        }
        if let Some(id) = user.source_root {
            self.source_roots.entry(id).or_default().insert(owner.clone());
        }
        Some(owner)
    }
}

/// The services whose last builds the cache knows.
pub fn owners(store: &Store) -> Result<BTreeSet<Owner>, IoError> {
    Ok(Uses::of(store, &store.contents()?).owners.into_keys().collect())
}

impl Inventory {
    /// Looks at everything. `held`: the locks of the builders' source roots, where something may be removed.
    pub fn take(store: &Store, held: Option<&Held>) -> Result<Self, IoError> {
        let contents = store.contents()?;
        let caches = Caches::new(store.root());
        let uses = Uses::of(store, &contents);
        let mut items = Vec::new();
        for (digest, stored) in &contents.blobs {
            let owners = uses.blobs.get(&digest.0).cloned().unwrap_or_default();
            let kind = uses.kind(digest, stored);
            items.push(Item { blob: Some(*digest), ..Item::of(kind, stored, owners) });
        }
        for (key, stored) in &contents.records {
            let owners = uses.records.get(&key.0).cloned().unwrap_or_default();
            let leads_to = store.peek(stored).map(|bytes| leads_to(&bytes)).unwrap_or_default();
            items.push(Item { leads_to, ..Item::of(Kind::Records, stored, owners) });
        }
        // They go with their blobs.
        for (digest, stored) in &contents.groups {
            let owners = uses.blobs.get(&digest.0).cloned().unwrap_or_default();
            items.push(Item { leads_to: vec![*digest], ..Item::of(Kind::Records, stored, owners) });
        }
        for (stored, owner) in contents.last.iter().zip(&uses.last) {
            items.push(Item::of(Kind::Records, stored, owner.iter().cloned().collect()));
        }
        for stored in &contents.rows {
            items.push(Item::of(Kind::Records, stored, BTreeSet::new()));
        }
        for kept in caches.inventory()? {
            let owners = match kept.kind {
                builder::Kind::Target | builder::Kind::Stage | builder::Kind::Log => {
                    uses.source_roots.get(kept.source_root()).cloned().unwrap_or_default()
                }
                _ => BTreeSet::new(),
            };
            let busy = held.is_some_and(|held| held.is_busy(&kept));
            items.push(Item::kept(&kept, owners, busy));
        }
        items.extend(
            contents.unfinished.iter().map(|stored| Item::of(Kind::Rubbish, stored, BTreeSet::new())),
        );
        // A build that recalls its image looks at few of the things that it stands on.
        for item in &mut items {
            let built = item.owners.iter().filter_map(|owner| uses.owners.get(owner)).max();
            item.used = item.used.max(built.copied().unwrap_or(item.used));
        }
        items.sort_by_key(|item| item.kind);
        Ok(Self { items, owners: uses.owners })
    }

    /// What everything takes on the disk.
    pub fn size(&self) -> Size {
        self.items.iter().map(|item| item.size).sum()
    }
}

impl Uses {
    fn kind(&self, digest: &BlobDigest, stored: &Stored) -> Kind {
        if self.bases.contains(&digest.0) {
            return Kind::Bases;
        }
        if self.programs.contains(&digest.0) {
            return Kind::Programs;
        }
        // What no last build names says it by its first bytes.
        let mut begin = [0; 4];
        let read = fs::open(&stored.path).map(|mut file| file.read(&mut begin));
        match (read, &begin) {
            (Ok(Ok(_)), [b'{', ..]) => Kind::Documents,
            (Ok(Ok(_)), b"\x7fELF") => Kind::Programs,
            // A .deb, and an index.
            (Ok(Ok(_)), b"!<ar" | b"\xfd7zX") => Kind::Packages,
            _ => Kind::Layers,
        }
    }
}

impl Item {
    fn of(kind: Kind, stored: &Stored, owners: BTreeSet<Owner>) -> Self {
        Self {
            kind,
            size: Size(stored.allocated),
            used: stored.used,
            owners,
            blob: None,
            leads_to: Vec::new(),
            busy: false,
            paths: vec![stored.path.clone()],
        }
    }

    fn kept(kept: &Kept, owners: BTreeSet<Owner>, busy: bool) -> Self {
        let kind = match kept.kind {
            builder::Kind::Target => Kind::Dependencies,
            builder::Kind::Stage => Kind::Staged,
            builder::Kind::Vendor | builder::Kind::GoModules => Kind::Downloads,
            builder::Kind::GoBuild => Kind::GoBuild,
            builder::Kind::Tool => Kind::Tools,
            builder::Kind::Log => Kind::Logs,
            builder::Kind::Scratch => Kind::Rubbish,
        };
        let paths = kept.paths().to_vec();
        let stored = Stored { path: PathBuf::new(), allocated: kept.allocated, used: kept.used };
        Self { busy, paths, ..Self::of(kind, &stored, owners) }
    }
}
