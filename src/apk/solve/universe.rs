use std::collections::BTreeMap;

use super::Question;
use crate::apk::dependency::{Dependency, Provided};
use crate::apk::record::Package;

/// A name and who provides it.
#[derive(Debug, Default)]
pub(super) struct Name<'a> {
    /// Packages that are called so or provide it.
    pub(super) providers: Vec<Provider<'a>>,
    /// Names of packages that depend on it.
    pub(super) depended: Vec<usize>,
    /// Names of packages that come by themselves where it is there, among others.
    pub(super) completes: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Provider<'a> {
    pub(super) package: usize,
    pub(super) provided: &'a Provided,
}

/// A dependency with the number of its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need<'a> {
    pub(super) name: usize,
    pub(super) dependency: &'a Dependency,
}

/// A package that may be chosen.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) package: &'a Package,
    pub(super) name: usize,
    pub(super) depends: Vec<Need<'a>>,
    pub(super) install_if: Vec<Need<'a>>,
    /// Its own name first.
    pub(super) provides: Vec<(usize, &'a Provided)>,
    pub(super) installed: bool,
    /// The first repository that has it; none for what is installed only.
    pub(super) repository: Option<usize>,
}

/// Everything that there is, by numbers.
#[derive(Debug, Default)]
pub(super) struct Universe<'a> {
    pub(super) names: Vec<Name<'a>>,
    pub(super) candidates: Vec<Candidate<'a>>,
    numbers: BTreeMap<&'a str, usize>,
}

impl<'a> Universe<'a> {
    pub(super) fn new(question: &Question<'a>) -> Self {
        let mut universe = Self::default();
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        let installed = question.installed.iter().map(|package| (*package, None));
        let available = question.repositories.iter().enumerate();
        let available = available.flat_map(|(at, list)| list.iter().map(move |package| (package, Some(at))));
        for (package, repository) in installed.chain(available) {
            if let Some(at) = known.get(package.identity.as_str()) {
                // The same package in several places.
                let candidate = &mut universe.candidates[*at];
                candidate.repository = candidate.repository.or(repository);
            } else {
                known.insert(&package.identity, universe.candidates.len());
                universe.add(package, repository);
            }
        }
        for dependency in question.world {
            universe.number(&dependency.name);
        }
        universe
    }

    /// The number of a name.
    pub(super) fn number(&mut self, text: &'a str) -> usize {
        *self.numbers.entry(text).or_insert_with(|| {
            self.names.push(Name::default());
            self.names.len() - 1
        })
    }

    /// The number of a name that something has.
    pub(super) fn known(&self, text: &str) -> Option<usize> {
        self.numbers.get(text).copied()
    }

    fn add(&mut self, package: &'a Package, repository: Option<usize>) {
        let at = self.candidates.len();
        let name = self.number(&package.name);
        let mut needs = |list: &'a [Dependency]| -> Vec<Need<'a>> {
            let need = |dependency: &'a Dependency| Need { name: self.number(&dependency.name), dependency };
            list.iter().map(need).collect()
        };
        let (depends, install_if) = (needs(&package.depends), needs(&package.install_if));
        let provides: Vec<_> =
            package.provides.iter().map(|provided| (self.number(&provided.name), provided)).collect();
        for (number, provided) in &provides {
            self.names[*number].providers.push(Provider { package: at, provided });
        }
        for need in &depends {
            add_once(&mut self.names[need.name].depended, name);
        }
        for need in &install_if {
            add_once(&mut self.names[need.name].completes, name);
        }
        let installed = repository.is_none();
        let candidate = Candidate { package, name, depends, install_if, provides, installed, repository };
        self.candidates.push(candidate);
    }
}

fn add_once(list: &mut Vec<usize>, number: usize) {
    // Packages of one name stand together.
    if list.last() != Some(&number) && !(list.len() < 64 && list.contains(&number)) {
        list.push(number);
    }
}
