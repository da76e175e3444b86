use std::collections::BTreeMap;
use std::sync::Arc;

use super::node::Entry;
use crate::spec::sources::Span;

/// A map of a tree, in the order of its keys' text: the order of writing has no meaning in the language.
///
/// A sorted list, because a workspace has thousands of maps with a few keys each.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::spec) struct Map(Vec<(Arc<str>, Entry)>);

/// A key that was given twice.
pub(super) struct Twice {
    pub(super) key: Arc<str>,
    pub(super) first: Span,
    pub(super) second: Span,
}

/// What becomes of keys: an entry, or nothing.
pub(in crate::spec) type Changes = BTreeMap<Arc<str>, Option<Entry>>;

impl Map {
    /// The rows in any order; of keys given twice the first holds.
    pub(super) fn from_rows(mut rows: Vec<(Arc<str>, Entry)>) -> (Self, Vec<Twice>) {
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        let mut twice = Vec::new();
        rows.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same {
                twice.push(Twice { key: Arc::clone(&later.0), first: first.1.key, second: later.1.key });
            }
            same
        });
        (Self(rows), twice)
    }

    /// A map of one row.
    pub(in crate::spec) fn one(key: &str, entry: Entry) -> Self {
        Self(vec![(Arc::from(key), entry)])
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(own, _)| (**own).cmp(key))
    }

    pub(in crate::spec) fn get(&self, key: &str) -> Option<&Entry> {
        self.find(key).ok().and_then(|at| self.0.get(at)).map(|(_, entry)| entry)
    }

    pub(in crate::spec) fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    pub(in crate::spec) fn remove(&mut self, key: &str) -> Option<Entry> {
        self.find(key).ok().map(|at| self.0.remove(at).1)
    }

    pub(in crate::spec) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|(key, _)| keep(key));
    }

    /// Puts every change in, in one go.
    pub(in crate::spec) fn apply(&mut self, changes: Changes) {
        let mut changes = changes.into_iter().peekable();
        let mut rows = Vec::with_capacity(self.0.len() + changes.len());
        for (key, entry) in self.0.drain(..) {
            while let Some((new, change)) = changes.next_if(|(new, _)| *new < key) {
                rows.extend(change.map(|entry| (new, entry)));
            }
            match changes.next_if(|(new, _)| *new == key) {
                Some((_, change)) => rows.extend(change.map(|entry| (key, entry))),
                None => rows.push((key, entry)),
            }
        }
        rows.extend(changes.filter_map(|(key, change)| Some((key, change?))));
        self.0 = rows;
    }

    pub(in crate::spec) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::spec) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        self.0.iter().map(|(key, entry)| (key, entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::yaml::{Content, Node};

    fn entry(line: usize) -> Entry {
        let span = Span::new(0, line, 1, 1);
        Entry { key: span, node: Node::new(span, Content::Null) }
    }

    fn map(keys: &str) -> Map {
        Map::from_rows(keys.char_indices().map(|(at, c)| (Arc::from(c.to_string()), entry(at + 1))).collect())
            .0
    }

    fn shown(map: &Map) -> String {
        map.iter().fold(String::new(), |text, (key, entry)| format!("{text}{key}{}", entry.key.line()))
    }

    #[test]
    fn sorted_and_changed() {
        let (rows, twice) = Map::from_rows(
            ["b", "a", "b", "b"]
                .iter()
                .enumerate()
                .map(|(at, key)| (Arc::from(*key), entry(at + 1)))
                .collect(),
        );
        assert_eq!(shown(&rows), "a2b1");
        assert_eq!(
            twice.iter().map(|t| (t.first.line(), t.second.line())).collect::<Vec<_>>(),
            [(1, 3), (1, 4)]
        );
        for (keys, changes, expected) in [
            ("", &[("x", true)][..], "x9"),
            ("ace", &[("b", true), ("d", true), ("f", true), ("0", true)], "09a1b9c2d9e3f9"),
            ("ace", &[("a", true), ("c", false), ("d", false)], "a9e3"),
            ("ace", &[], "a1c2e3"),
        ] {
            let mut map = map(keys);
            map.apply(changes.iter().map(|(key, set)| (Arc::from(*key), set.then(|| entry(9)))).collect());
            assert_eq!(shown(&map), expected);
        }
        assert!(map("ace").get("c").is_some() && map("ace").get("d").is_none());
    }
}
