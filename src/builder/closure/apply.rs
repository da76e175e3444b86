//! From places to files.

use std::collections::BTreeMap;

use crate::model::ContentDigest;

use super::super::stage::is_rust;
use super::{Closure, Input, InputKind, Place, Project, above, below, join, matches};

impl Input {
    /// Where a link leads, relative to the source root.
    pub(super) fn target(&self) -> Option<String> {
        let InputKind::Symlink { target } = &self.kind else { return None };
        join(above(&self.path).next()?, target)
    }
}

impl Project {
    /// The same project with what is in `closure`, what its spec names one by one, and what their links lead to.
    #[must_use]
    pub fn within(&self, closure: &Closure) -> Self {
        let mut selection = Selection { project: self, taken: BTreeMap::new(), waiting: Vec::new() };
        for place in &closure.places {
            selection.place(place);
        }
        for path in &self.named {
            selection.tree(path, &|_| true);
        }
        while let Some(path) = selection.waiting.pop() {
            selection.tree(&path, &|_| true);
        }
        let take = |(index, whole): (usize, bool)| {
            let input = self.inputs[index].clone();
            if whole {
                input
            } else {
                Input { kind: InputKind::StandIn, digest: ContentDigest::of(b""), ..input }
            }
        };
        let inputs = selection.taken.into_iter().map(take).collect();
        Self { root: self.root.clone(), dir: self.dir.clone(), inputs, named: self.named.clone() }
    }

    /// The index of the first input at or after a path.
    fn from(&self, path: &str) -> usize {
        self.inputs.partition_point(|input| input.path.as_str() < path)
    }

    /// The inputs below a directory.
    pub(in super::super) fn below(&self, directory: &str) -> std::ops::Range<usize> {
        if directory.is_empty() {
            return 0..self.inputs.len();
        }
        // `0` is the character after `/`.
        self.from(&format!("{directory}/"))..self.from(&format!("{directory}0"))
    }

    /// The files and links in a directory, not those in directories of it.
    pub(in super::super) fn files_in(&self, directory: &str) -> Vec<&Input> {
        let range = self.below(directory);
        let skipped = if directory.is_empty() { 0 } else { directory.len() + 1 };
        let (mut at, mut found) = (range.start, Vec::new());
        while at < range.end {
            let path = &self.inputs[at].path;
            if let Some(slash) = path[skipped..].find('/') {
                at = self.from(&format!("{}0", &path[..skipped + slash]));
            } else {
                found.push(&self.inputs[at]);
                at += 1;
            }
        }
        found
    }

    /// A path with the links on its way replaced by where they lead; the links are told to `passed`. Links that lead out or
    /// in circles are left to the tool.
    pub(in super::super) fn through_links(&self, path: &str, passed: &mut dyn FnMut(&Input)) -> String {
        let mut path = path.to_owned();
        for _ in 0..16 {
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            let link =
                ends.filter_map(|end| Some((end, self.input(&path[..end])?))).find_map(|(end, input)| {
                    Some((input, input.target()?, path[end..].trim_start_matches('/').to_owned()))
                });
            let Some((input, target, rest)) = link else { break };
            passed(input);
            path = match (target.is_empty(), rest.is_empty()) {
                (_, true) => target,
                (true, _) => rest,
                _ => format!("{target}/{rest}"),
            };
        }
        path
    }
}

struct Selection<'a> {
    project: &'a Project,
    /// By index; whether with its content.
    taken: BTreeMap<usize, bool>,
    /// Where links lead.
    waiting: Vec<String>,
}

impl Selection<'_> {
    fn take(&mut self, index: usize) {
        if self.taken.insert(index, true) != Some(true)
            && let Some(target) = self.project.inputs[index].target()
        {
            self.waiting.push(target);
        }
    }

    fn index(&self, path: &str) -> Option<usize> {
        self.project.inputs.binary_search_by(|input| input.path.as_str().cmp(path)).ok()
    }

    /// The path behind links, which are taken.
    fn real(&mut self, path: &str) -> String {
        let mut links = Vec::new();
        let path = self.project.through_links(path, &mut |link| links.push(link.path.clone()));
        for link in links {
            if let Some(index) = self.index(&link) {
                self.taken.insert(index, true);
            }
        }
        path
    }

    /// A file, or what `wanted` says of the paths below a directory and relative to it.
    fn tree(&mut self, path: &str, wanted: &dyn Fn(&str) -> bool) {
        let path = self.real(path);
        if let Some(index) = self.index(&path) {
            self.take(index);
        }
        let skipped = if path.is_empty() { 0 } else { path.len() + 1 };
        for index in self.project.below(&path) {
            if wanted(&self.project.inputs[index].path[skipped..]) {
                self.take(index);
            }
        }
    }

    fn stand_in(&mut self, index: usize) {
        self.taken.entry(index).or_insert(false);
    }

    fn place(&mut self, place: &Place) {
        match place {
            Place::Directory(directory) => {
                let directory = self.real(directory);
                let project = self.project;
                for input in project.files_in(&directory) {
                    if let Some(index) = self.index(&input.path) {
                        self.take(index);
                    }
                }
            }
            Place::Tree(path) => self.tree(path, &|_| true),
            Place::Package { directory, without } => {
                let inside: Vec<&str> =
                    without.iter().map(|other| other[directory.len()..].trim_start_matches('/')).collect();
                self.tree(directory, &|path| {
                    !inside
                        .iter()
                        .any(|other| path.strip_prefix(other).is_some_and(|rest| rest.starts_with('/')))
                });
            }
            Place::Embedded { directory, pattern } => self.tree(directory, &|path| matches(pattern, path)),
            Place::StandIn(path) => {
                if let Some(index) = self.index(path) {
                    self.stand_in(index);
                }
            }
            Place::Targets(directory) => {
                let skipped = if directory.is_empty() { 0 } else { directory.len() + 1 };
                for name in ["build.rs", "src/lib.rs", "src/main.rs"] {
                    if let Some(index) = self.index(&below(directory, name)) {
                        self.stand_in(index);
                    }
                }
                for folder in ["src/bin", "examples", "tests", "benches"] {
                    let range = self.project.below(&below(directory, folder));
                    for index in range {
                        let rest = &self.project.inputs[index].path[skipped + folder.len() + 1..];
                        let target = match rest.split_once('/') {
                            Some((_, name)) => name == "main.rs",
                            None => is_rust(rest),
                        };
                        if target {
                            self.stand_in(index);
                        }
                    }
                }
            }
        }
    }
}
