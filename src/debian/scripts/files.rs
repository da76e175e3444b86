use std::collections::BTreeMap;

use crate::model::{
    BaseFacts, Effects, EntryKind, Fact, FactKind, ImagePath, MadeEntry, PackageFile, PackageFileKind,
};

/// Where scripts have their temporary files; nothing of it gets into an image.
pub(super) const SCRATCH: &str = "/tmp/imgpack-scratch";

/// The tree that scripts see: the base, the packages' files, and what scripts have made before.
pub(super) struct Files<'a> {
    /// Every path with its kind; the contents of the base are not in it.
    pub facts: BaseFacts,
    /// Which package brought a path.
    packaged: BTreeMap<ImagePath, (usize, &'a PackageFile)>,
}

/// Directories that a merged system has as links (Debian's usr-merge).
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

impl<'a> Files<'a> {
    pub(super) fn new(base: &BaseFacts) -> Self {
        let mut facts = BaseFacts { tree: base.tree.clone(), ..BaseFacts::default() };
        for name in MERGED {
            if let Ok(path) = format!("/{name}").parse::<ImagePath>() {
                facts
                    .tree
                    .entry(path)
                    .or_insert_with(|| fact(FactKind::Symlink(format!("usr/{name}")), 0o777));
            }
            // Where it leads is there as well, as on every merged system.
            if let Ok(path) = format!("/usr/{name}").parse::<ImagePath>() {
                facts.tree.entry(path).or_insert_with(|| fact(FactKind::Directory, 0o755));
            }
        }
        Self { facts, packaged: BTreeMap::new() }
    }

    /// Adds a file of a package.
    pub(super) fn unpack(&mut self, package: usize, file: &'a PackageFile) {
        let Some(path) = self.facts.resolve_parents(&file.path) else { return };
        let kind = match &file.kind {
            PackageFileKind::Directory => {
                // A directory over a link to one keeps the link.
                if self.facts.tree.contains_key(&path) {
                    return;
                }
                FactKind::Directory
            }
            PackageFileKind::Symlink { target } => {
                if MERGED.iter().any(|name| path.relative() == *name) {
                    return;
                }
                FactKind::Symlink(target.clone())
            }
            PackageFileKind::File { .. } | PackageFileKind::Hardlink { .. } => FactKind::File,
        };
        self.facts.tree.insert(path.clone(), fact(kind, file.mode));
        self.packaged.insert(path, (package, file));
    }

    /// The place of a path of a script, its last component not followed; `None` for what is no absolute path.
    pub(super) fn place(&self, path: &str) -> Option<ImagePath> {
        self.facts.resolve_parents(&path.parse().ok()?)
    }

    /// The place of a path of a script with every link followed.
    pub(super) fn followed(&self, path: &str) -> Option<ImagePath> {
        self.facts.resolve(&path.parse().ok()?)
    }

    /// What is at a path, its last component not followed.
    pub(super) fn kind(&self, path: &str) -> Option<&FactKind> {
        if path.trim_matches('/').is_empty() {
            return Some(&FactKind::Directory);
        }
        self.facts.tree.get(&self.place(path)?).map(|fact| &fact.kind)
    }

    /// What a path leads to.
    pub(super) fn target(&self, path: &str) -> Option<&FactKind> {
        if path.trim_matches('/').is_empty() {
            return Some(&FactKind::Directory);
        }
        let path = self.followed(path)?;
        if let Some(fact) = self.facts.tree.get(&path) {
            return Some(&fact.kind);
        }
        // A directory that is there only because something is in it.
        let below = format!("{path}/");
        let behind = (std::ops::Bound::Excluded(below.as_str()), std::ops::Bound::Unbounded);
        let next = self.facts.tree.range::<str, _>(behind).next();
        next.is_some_and(|(next, _)| next.is_within(&path)).then_some(&FactKind::Directory)
    }

    /// The package's file at a place.
    pub(super) fn packaged(&self, place: &ImagePath) -> Option<(usize, &'a PackageFile)> {
        self.packaged.get(place).copied()
    }

    /// The program that a name is found as.
    pub(super) fn program(&self, name: &str) -> Option<String> {
        if name.starts_with('/') {
            return self.target(name).filter(|kind| **kind == FactKind::File).map(|_| name.to_owned());
        }
        ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"]
            .iter()
            .map(|directory| format!("{directory}/{name}"))
            .find(|path| self.target(path) == Some(&FactKind::File))
    }

    /// Whether nothing is below a place.
    pub(super) fn is_empty(&self, place: &ImagePath) -> bool {
        !self.below(place).any(|path| path != place)
    }

    /// The places at and below one.
    pub(super) fn below<'p>(&'p self, place: &'p ImagePath) -> impl Iterator<Item = &'p ImagePath> + 'p {
        let below = format!("{place}/");
        let inside = self
            .facts
            .tree
            .range::<str, _>((std::ops::Bound::Included(below.as_str()), std::ops::Bound::Unbounded));
        let own = self.facts.tree.get_key_value(place).map(|(path, _)| path);
        own.into_iter().chain(inside.map(|(path, _)| path).take_while(|path| path.is_within(place)))
    }

    /// Every path that a pattern of a script stands for, and what it took to find them.
    pub(super) fn glob(&self, pattern: &[super::pattern::Marked]) -> (Vec<String>, usize) {
        let components = pattern.iter().filter(|(char, _)| *char == '/').count();
        let fits = |path: &&ImagePath| {
            path.as_str().matches('/').count() == components
                && super::pattern::matches(pattern, path.as_str()) == Some(true)
        };
        let begin: String = pattern
            .iter()
            .take_while(|(char, quoted)| *quoted || !"*?[".contains(*char))
            .map(|(char, _)| char)
            .collect();
        let from = (std::ops::Bound::Included(begin.as_str()), std::ops::Bound::Unbounded);
        let near = self.facts.tree.range::<str, _>(from).map(|(path, _)| path);
        let mut looked = 0;
        let near =
            near.take_while(|path| path.as_str().starts_with(&begin)).inspect(|_| looked += pattern.len());
        let found = near.filter(fits).map(ToString::to_string).collect();
        (found, looked)
    }

    /// Puts an entry in its place.
    pub(super) fn make(&mut self, effects: &mut Effects, place: ImagePath, entry: MadeEntry) {
        let kind = match &entry.kind {
            EntryKind::Directory => FactKind::Directory,
            EntryKind::Symlink { target } => FactKind::Symlink(target.clone()),
            _ => FactKind::File,
        };
        self.facts.tree.insert(place.clone(), fact(kind, entry.mode));
        effects.removed.remove(&place);
        effects.made.insert(place, entry);
    }

    /// Takes an entry away.
    pub(super) fn remove(&mut self, effects: &mut Effects, place: &ImagePath) {
        self.facts.tree.remove(place);
        effects.made.remove(place);
        effects.attributes.remove(place);
        if self.packaged.remove(place).is_some() {
            effects.removed.insert(place.clone());
        }
    }
}

fn fact(kind: FactKind, mode: u32) -> Fact {
    Fact { kind, mode, uid: 0, gid: 0, size: 0 }
}
