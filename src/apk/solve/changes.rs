use std::collections::BTreeSet;

use super::choice::Choice;
use super::universe::Provider;
use crate::apk::dependency::Dependency;
use crate::apk::record::Package;

/// What has to be done with what is installed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// What comes, in the order in which apk installs it.
    pub install: Vec<Install>,
    /// What has to go, without another version in its place.
    pub remove: Vec<Package>,
}

/// A package that comes.
#[derive(Debug, Clone, PartialEq)]
pub struct Install {
    /// The package.
    pub package: Package,
    /// The place of the first repository that has it.
    pub repository: usize,
    /// The installed version in whose place it comes.
    pub replaces: Option<Package>,
}

struct Order<'c, 'u, 'a> {
    choice: &'c Choice<'u, 'a>,
    names: BTreeSet<usize>,
    packages: BTreeSet<usize>,
    changes: Changes,
}

/// What was chosen, in apk's order: what is needed first, then what needs it, then what comes by itself.
pub(super) fn changes<'a>(choice: &Choice<'_, 'a>, world: &'a [Dependency]) -> Changes {
    let universe = choice.universe;
    let mut order =
        Order { choice, names: BTreeSet::new(), packages: BTreeSet::new(), changes: Changes::default() };
    for dependency in world {
        if let Some(name) = universe.known(&dependency.name) {
            order.visit(name);
        }
    }
    for candidate in universe.candidates.iter().filter(|candidate| candidate.installed) {
        let stays = choice.chosen(candidate.name).is_some_and(|provider| {
            let chosen = &universe.candidates[provider.package];
            chosen.name == candidate.name && order.packages.contains(&provider.package)
        });
        if !stays {
            order.changes.remove.push(candidate.package.clone());
        }
    }
    order.changes
}

enum Step {
    Name(usize),
    Record(usize),
}

impl Order<'_, '_, '_> {
    /// With a stack of its own: chains are as long as indexes.
    fn visit(&mut self, first: usize) {
        let universe = self.choice.universe;
        let mut steps = vec![Step::Name(first)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Name(name) => {
                    if !self.names.insert(name) {
                        continue;
                    }
                    let Some(Provider { package, .. }) = self.choice.chosen(name) else { continue };
                    if !self.packages.insert(package) {
                        continue;
                    }
                    self.names.insert(universe.candidates[package].name);
                    steps.push(Step::Record(package));
                    let needs = universe.candidates[package].depends.iter().rev();
                    steps.extend(needs.map(|need| Step::Name(need.name)));
                }
                Step::Record(package) => {
                    self.record(package);
                    let provides = universe.candidates[package].provides.iter().rev();
                    let completed =
                        provides.flat_map(|(name, _)| universe.names[*name].completes.iter().rev());
                    let triggered = completed.filter(|name| self.is_triggered(**name));
                    let triggered: Vec<Step> = triggered.map(|name| Step::Name(*name)).collect();
                    steps.extend(triggered);
                }
            }
        }
    }

    /// Whether everything by which a package comes is there already.
    fn is_triggered(&self, name: usize) -> bool {
        let Some(provider) = self.choice.chosen(name) else { return false };
        self.choice.universe.candidates[provider.package].install_if.iter().all(|need| {
            need.dependency.conflict
                || self.choice.chosen(need.name).is_some_and(|met| self.packages.contains(&met.package))
        })
    }

    fn record(&mut self, number: usize) {
        let universe = self.choice.universe;
        let candidate = &universe.candidates[number];
        if candidate.installed {
            return;
        }
        let same = |provider: &&Provider<'_>| {
            let other = &universe.candidates[provider.package];
            other.name == candidate.name && other.installed
        };
        let replaces = universe.names[candidate.name].providers.iter().find(same);
        self.changes.install.push(Install {
            package: candidate.package.clone(),
            repository: candidate.repository.unwrap_or(0),
            replaces: replaces.map(|provider| universe.candidates[provider.package].package.clone()),
        });
    }
}
