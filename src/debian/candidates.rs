//! What there is to choose from: packages of indexes, of the base, and those that are left out.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::index::{Index, Package};
use super::installed::Installed;
use super::relation::{Relation, relations};
use super::version::compare_versions;

/// Where a package comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Number of the index, and of the package in it.
    Index(usize, usize),
    /// Number of the package in the base's database.
    Base(usize),
    /// It is left out and counts as there, whatever its version.
    Excluded,
}

/// One package in one version.
#[derive(Debug, Clone)]
pub(super) struct Candidate<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) architecture: &'a str,
    pub(super) origin: Origin,
    pub(super) depends: [&'a str; 2],
    pub(super) conflicts: [&'a str; 2],
    /// Among those that fulfil the same, the least goes first.
    rank: (bool, u8),
    /// `Multi-Arch: allowed`
    allowed: bool,
    /// 0: the one that its package would be taken in, or that the base has. Above it: what is second best.
    lag: usize,
}

/// All candidates that were asked for so far, by numbers.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    architecture: &'a str,
    indexes: &'a [Index],
    exclude: BTreeSet<&'a str>,
    base: HashMap<&'a str, (usize, &'a Installed)>,
    base_provides: HashMap<&'a str, Vec<(&'a str, Option<&'a str>)>>,
    known: Vec<Candidate<'a>>,
    named: HashMap<&'a str, Rc<[usize]>>,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(
        architecture: &'a str,
        indexes: &'a [Index],
        installed: &'a [Installed],
        exclude: BTreeSet<&'a str>,
    ) -> Self {
        let here =
            |package: &&Installed| package.architecture == architecture || package.architecture == "all";
        let mut base = HashMap::new();
        let mut base_provides: HashMap<_, Vec<_>> = HashMap::new();
        for (number, package) in installed.iter().enumerate().filter(|(_, package)| here(package)) {
            base.entry(package.name.as_str()).or_insert((number, package));
            // A list that is none provides nothing.
            for provided in relations(&package.provides, architecture).into_iter().flatten().flatten() {
                let version = provided.version.map(|(_, version)| version);
                base_provides.entry(provided.name).or_default().push((package.name.as_str(), version));
            }
        }
        Self { architecture, indexes, exclude, base, base_provides, known: Vec::new(), named: HashMap::new() }
    }

    pub(super) fn get(&self, number: usize) -> &Candidate<'a> {
        &self.known[number]
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The names of the base's packages, in their order.
    pub(super) fn base_names(&self) -> Vec<&'a str> {
        let mut names = self.base.keys().copied().collect::<Vec<_>>();
        names.sort_unstable();
        names
    }

    /// What the base has of a name.
    pub(super) fn of_base(&self, name: &str) -> Option<&'a Installed> {
        self.base.get(name).map(|(_, package)| *package)
    }

    /// What a candidate depends on, as far as its lists can be read.
    pub(super) fn dependencies(&self, number: usize) -> Vec<Vec<Relation<'a>>> {
        let lists = self.known[number].depends;
        lists.iter().flat_map(|list| relations(list, self.architecture)).flatten().collect()
    }

    /// All there is of a name: what the base has, then the versions of the indexes, the highest first.
    pub(super) fn named(&mut self, name: &'a str) -> Rc<[usize]> {
        if let Some(known) = self.named.get(name) {
            return Rc::clone(known);
        }
        let first = self.known.len();
        let base = self.base.get(name).copied();
        if let Some((number, package)) = base {
            self.known.push(Candidate {
                name,
                version: &package.version,
                architecture: &package.architecture,
                origin: Origin::Base(number),
                depends: [&package.depends, ""],
                conflicts: [&package.conflicts, ""],
                rank: (false, 0),
                allowed: package.multi_arch == "allowed",
                lag: 0,
            });
        }
        if self.exclude.contains(name) {
            self.known.push(Candidate {
                name,
                version: "",
                architecture: "all",
                origin: Origin::Excluded,
                depends: [""; 2],
                conflicts: [""; 2],
                rank: (true, 0),
                allowed: true,
                lag: 0,
            });
        } else {
            let mut found = self.of_indexes(name);
            found.retain(|(_, _, package)| base.is_none_or(|(_, base)| base.version != package.version));
            for (lag, (index, number, package)) in (usize::from(base.is_some())..).zip(found) {
                self.known.push(Candidate {
                    name: package.name,
                    version: package.version,
                    architecture: package.architecture,
                    origin: Origin::Index(index, number),
                    depends: package.depends,
                    conflicts: package.conflicts,
                    rank: (!package.essential, package.priority),
                    allowed: package.allowed,
                    lag,
                });
            }
        }
        let numbers: Rc<[usize]> = (first..self.known.len()).collect();
        self.named.insert(name, Rc::clone(&numbers));
        numbers
    }

    /// The versions that the indexes have of a name, the highest first, each from the first index that has it.
    fn of_indexes(&self, name: &str) -> Vec<(usize, usize, Package<'a>)> {
        let mut found = Vec::new();
        for (number, index) in self.indexes.iter().enumerate() {
            found.extend(index.named(name).map(|package| (number, package, index.package(package))));
        }
        found.retain(|(.., package)| {
            package.architecture == self.architecture || package.architecture == "all"
        });
        found.sort_by(|(.., a), (.., b)| compare_versions(b.version, a.version));
        found.dedup_by(|(.., b), (.., a)| compare_versions(a.version, b.version).is_eq());
        found
    }

    /// Who provides a name, and in which version; those of that name are not among them. In no order that means something.
    pub(super) fn providers(&mut self, name: &'a str) -> Vec<(usize, Option<&'a str>)> {
        let mut found = Vec::new();
        for (package, version) in self.base_provides.get(name).cloned().unwrap_or_default() {
            // What the base has is the first of its name.
            found.extend(self.named(package).first().map(|number| (*number, version)));
        }
        for (at, index) in self.indexes.iter().enumerate() {
            for (number, version) in index.provided(name) {
                let package = index.package(number);
                found.extend(
                    self.named(package.name)
                        .iter()
                        .find(|candidate| match self.known[**candidate].origin {
                            Origin::Index(index, found) => (index, found) == (at, number),
                            Origin::Excluded => true,
                            Origin::Base(_) => false,
                        })
                        .map(|candidate| (*candidate, version)),
                );
            }
        }
        found.retain(|(number, _)| self.known[*number].name != name);
        found
    }

    /// Who fulfils a relation by its name or by what it provides, as positions of preference do not matter.
    pub(super) fn meant(&mut self, relation: &Relation<'a>) -> Vec<usize> {
        let native = self.architecture;
        let here = |candidate: &Candidate<'_>| match relation.qualifier {
            None | Some("native") => true,
            Some("any") => candidate.allowed,
            Some(architecture) => candidate.architecture == architecture || native == architecture,
        };
        let mut found = Vec::new();
        for number in self.named(relation.name).iter().copied() {
            let candidate = &self.known[number];
            let excluded = candidate.origin == Origin::Excluded;
            if excluded || here(candidate) && relation.admits(Some(candidate.version)) {
                found.push(number);
            }
        }
        for (number, version) in self.providers(relation.name) {
            if here(&self.known[number]) && relation.admits(version) {
                found.push(number);
            }
        }
        found
    }

    /// Who fulfils a group, in the order of preference: what there is already of the base, then by the alternatives' order,
    /// the package of the very name first, then by rank, and of equals the first by name; last what is not the version that is preferred.
    pub(super) fn fulfilling(&mut self, group: &[Relation<'a>]) -> Vec<usize> {
        let mut found = Vec::new();
        for (place, relation) in group.iter().enumerate() {
            for number in self.meant(relation) {
                let candidate = &self.known[number];
                let in_base = matches!(candidate.origin, Origin::Base(_));
                found.push((
                    !in_base,
                    candidate.lag,
                    place,
                    candidate.name != relation.name,
                    candidate.rank,
                    candidate.name,
                    number,
                ));
            }
        }
        found.sort_unstable();
        let mut seen = BTreeSet::new();
        found.into_iter().map(|(.., number)| number).filter(|number| seen.insert(*number)).collect()
    }
}
