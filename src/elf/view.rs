use std::collections::BTreeMap;

use crate::model::{BaseFacts, Entries, Entry, EntryKind, FactKind, ImagePath, Step};

/// The merged tree of an image before it exists: its own layers over its base.
#[derive(Debug)]
pub struct View<'a> {
    base: &'a BaseFacts,
    own: BTreeMap<&'a str, &'a Entry>,
    removed: Vec<&'a ImagePath>,
}

/// What a regular file of an image comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    /// One of the image's own layers.
    Own(&'a Entry),
    /// The base.
    Base,
}

impl<'a> View<'a> {
    /// `layers` over `base`, the lowest first.
    pub fn new(base: &'a BaseFacts, layers: impl IntoIterator<Item = &'a Entries>) -> Self {
        let mut view = Self { base, own: BTreeMap::new(), removed: Vec::new() };
        for entry in layers.into_iter().flat_map(Entries::iter) {
            if entry.kind == EntryKind::Whiteout {
                view.own.retain(|path, _| !is_within(path, entry.path.as_str()));
                view.removed.push(&entry.path);
            } else {
                view.own.insert(entry.path.as_str(), entry);
            }
        }
        view
    }

    /// The base alone.
    pub(super) fn base(&self) -> View<'a> {
        View { base: self.base, own: BTreeMap::new(), removed: Vec::new() }
    }

    /// What the base says of itself.
    pub(super) fn facts(&self) -> &'a BaseFacts {
        self.base
    }

    /// The own regular files, in order; hard links are told once, under the name that has the content.
    pub fn own_files(&self) -> impl Iterator<Item = &'a Entry> + '_ {
        self.own.values().copied().filter(|entry| matches!(entry.kind, EntryKind::File { .. }))
    }

    /// The regular file to which an absolute path leads, links followed.
    pub(super) fn file(&self, path: &str) -> Option<(ImagePath, Source<'a>)> {
        let step = |path: &str| self.step(path);
        let path = match ImagePath::parse(path) {
            Ok(path) => path.followed(true, step)?,
            Err(_) => ImagePath::walked(path, true, step)?,
        };
        match self.own.get(path.as_str()).map(|entry| (&entry.kind, entry)) {
            Some((EntryKind::File { .. }, entry)) => Some((path, Source::Own(entry))),
            Some((EntryKind::Hardlink { target }, _)) => {
                let entry = self.own.get(target.as_str()).filter(|entry| is_file(entry))?;
                Some((path, Source::Own(entry)))
            }
            Some(_) => None,
            None => {
                let fact = self.base.tree.get(&path).filter(|_| !self.is_removed(path.as_str()))?;
                (fact.kind == FactKind::File).then_some((path, Source::Base))
            }
        }
    }

    /// Whether anything stands at `path` itself.
    pub(super) fn has(&self, path: &str) -> bool {
        self.own.contains_key(path) || (self.base.tree.contains_key(path) && !self.is_removed(path))
    }

    fn step(&self, path: &str) -> Step<'a> {
        match self.own.get(path).map(|entry| &entry.kind) {
            Some(EntryKind::Symlink { target }) => Step::Link(target),
            Some(EntryKind::File { .. } | EntryKind::Hardlink { .. }) => Step::End,
            Some(EntryKind::Directory | EntryKind::Whiteout) => Step::Directory,
            None if self.is_removed(path) => Step::Directory,
            None => match self.base.tree.get(path).map(|fact| &fact.kind) {
                Some(FactKind::Symlink(target)) => Step::Link(target),
                Some(FactKind::File | FactKind::Special) => Step::End,
                Some(FactKind::Directory) | None => Step::Directory,
            },
        }
    }

    fn is_removed(&self, path: &str) -> bool {
        self.removed.iter().any(|removed| is_within(path, removed.as_str()))
    }
}

fn is_file(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::File { .. })
}

fn is_within(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
