use std::collections::BTreeMap;

use super::image::LargestFile;
use crate::model::{BaseFacts, Class, Entries, EntryKind, FactKind, ImagePath, Size};

/// The files that one sees in a container: layers laid over each other, without their bytes.
#[derive(Debug, Clone, Default)]
pub struct MergedTree(BTreeMap<ImagePath, Node>);

#[derive(Debug, Clone, Copy)]
enum Node {
    Directory,
    Other { size: u64, class: Class },
}

impl MergedTree {
    /// The tree of a base; of `scratch` with no facts at all.
    pub fn base(facts: &BaseFacts) -> Self {
        let node = |kind: &FactKind, size| match kind {
            FactKind::Directory => Node::Directory,
            FactKind::File => Node::Other { size, class: Class::Base },
            FactKind::Symlink(_) | FactKind::Special => Node::Other { size: 0, class: Class::Base },
        };
        Self(facts.tree.iter().map(|(path, fact)| (path.clone(), node(&fact.kind, fact.size))).collect())
    }

    /// Lays a layer over it, as engines do: removals first, then a file takes the place of a directory and all below.
    pub fn add(&mut self, class: Class, entries: &Entries) {
        for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Whiteout) {
            self.remove(&entry.path, true);
        }
        for entry in entries.iter() {
            let node = match &entry.kind {
                EntryKind::Whiteout => continue,
                EntryKind::Directory => Node::Directory,
                EntryKind::File { size, .. } => Node::Other { size: *size, class },
                EntryKind::Symlink { .. } | EntryKind::Hardlink { .. } => Node::Other { size: 0, class },
            };
            let was_directory = matches!(self.0.get(&entry.path), Some(Node::Directory));
            if was_directory && !matches!(node, Node::Directory) {
                self.remove(&entry.path, false);
            }
            self.0.insert(entry.path.clone(), node);
        }
    }

    /// Takes away what is below `path`, and itself if wanted.
    fn remove(&mut self, path: &ImagePath, itself: bool) {
        // Names that only begin alike (`/a-b` and `/a`) may stand between a directory and its content.
        let below: Vec<ImagePath> = self
            .0
            .range(path.clone()..)
            .map(|(known, _)| known)
            .take_while(|known| known.as_str().starts_with(path.as_str()))
            .filter(|known| known.is_within(path) && (itself || *known != path))
            .cloned()
            .collect();
        for known in below {
            self.0.remove(&known);
        }
    }

    /// Sum of the lengths of the files; a hard link adds nothing.
    pub fn unpacked(&self) -> Size {
        let sizes = self.0.values().map(|node| match node {
            Node::Other { size, .. } => Size(*size),
            Node::Directory => Size(0),
        });
        sizes.sum()
    }

    /// At most `count` files, the largest first, equal ones by path.
    pub fn largest(&self, count: usize) -> Vec<LargestFile> {
        let mut files: Vec<(u64, &ImagePath, Class)> = self
            .0
            .iter()
            .filter_map(|(path, node)| match node {
                Node::Other { size, class } if *size > 0 => Some((*size, path, *class)),
                _ => None,
            })
            .collect();
        files.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        files.truncate(count);
        files
            .into_iter()
            .map(|(size, path, class)| LargestFile { path: path.clone(), size: Size(size), class })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Entry, Fact, Owner};

    fn path(text: &str) -> ImagePath {
        text.parse().unwrap()
    }

    fn entries(rows: &[(&str, EntryKind)]) -> Entries {
        let mut entries = Entries::new();
        for (at, kind) in rows {
            let entry = Entry {
                path: path(at),
                kind: kind.clone(),
                mode: 0o644,
                owner: Owner::default(),
                origin: "test".into(),
            };
            entries.insert(entry).unwrap();
        }
        entries
    }

    fn base() -> MergedTree {
        let mut facts = BaseFacts::default();
        for (at, kind, size) in [
            ("/etc", FactKind::Directory, 0),
            ("/etc/a", FactKind::File, 10),
            ("/etc-old", FactKind::File, 5),
            ("/link", FactKind::Symlink("etc".into()), 0),
        ] {
            facts.tree.insert(path(at), Fact { kind, mode: 0o755, uid: 0, gid: 0, size });
        }
        MergedTree::base(&facts)
    }

    fn file(size: usize) -> EntryKind {
        EntryKind::bytes(vec![0; size])
    }

    #[test]
    fn layers_hide_and_remove() {
        let cases: [(&[(&str, EntryKind)], u64); 6] = [
            (&[], 15),
            (&[("/etc/a", file(100))], 105),
            (&[("/etc", EntryKind::Whiteout)], 5),
            (&[("/etc", EntryKind::Whiteout), ("/etc/b", file(1))], 6),
            (&[("/etc", file(7))], 12),
            (
                &[("/etc", EntryKind::Directory), ("/hard", EntryKind::Hardlink { target: path("/etc/a") })],
                15,
            ),
        ];
        for (rows, unpacked) in cases {
            let mut tree = base();
            tree.add(Class::App, &entries(rows));
            assert_eq!(tree.unpacked(), Size(unpacked), "{rows:?}");
        }
    }

    #[test]
    fn the_largest_come_first_with_the_class_that_brought_them() {
        let mut tree = base();
        tree.add(Class::App, &entries(&[("/b", file(10)), ("/c", file(100)), ("/empty", file(0))]));
        let largest: Vec<String> = tree
            .largest(3)
            .iter()
            .map(|file| format!("{} {} {}", file.path, file.size.0, file.class))
            .collect();
        assert_eq!(largest, ["/c 100 app", "/b 10 app", "/etc/a 10 base"]);
    }
}
