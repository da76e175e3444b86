use std::cmp::Ordering;
use std::collections::VecDeque;

use super::universe::{Name, Need, Provider, Universe};
use crate::apk::dependency::Dependency;
use crate::apk::version::compare_versions;

/// What is known of a name while choosing.
#[derive(Debug, Clone, Default)]
struct NameState {
    seen: bool,
    /// How many want it.
    requirers: usize,
    has_install_if: bool,
    no_install_if: bool,
    again_depends: bool,
    again_install_if: bool,
    selectable_by_itself: bool,
    resolve_now: bool,
    locked: bool,
    dirty: bool,
    /// 0 where only packages of this name provide it, 2 where none does.
    virtuality: u8,
    depth: usize,
    merged_depends: usize,
    merged_provides: usize,
}

/// What is known of a package while choosing.
#[derive(Debug, Clone, Default)]
struct PackageState {
    seen: bool,
    selectable: bool,
    conflicts: usize,
    install_if_triggered: bool,
    install_if_failed: bool,
    merged: bool,
    used: bool,
    depth: usize,
}

/// The choice of one package, or of none, for each name.
#[derive(Debug)]
pub(super) struct Choice<'u, 'a> {
    pub(super) universe: &'u Universe<'a>,
    names: Vec<NameState>,
    packages: Vec<PackageState>,
    chosen: Vec<Option<Provider<'a>>>,
    dirty: VecDeque<usize>,
    now: VecDeque<usize>,
    later: Vec<usize>,
    errors: usize,
    ignore_conflicts: bool,
}

impl<'u, 'a> Choice<'u, 'a> {
    pub(super) fn new(universe: &'u Universe<'a>, ignore_conflicts: bool) -> Self {
        Self {
            universe,
            names: vec![NameState::default(); universe.names.len()],
            packages: vec![PackageState::default(); universe.candidates.len()],
            chosen: vec![None; universe.names.len()],
            dirty: VecDeque::new(),
            now: VecDeque::new(),
            later: Vec::new(),
            errors: 0,
            ignore_conflicts,
        }
    }

    /// Chooses until every name that is wanted is decided.
    pub(super) fn run(&mut self, world: &'a [Dependency]) {
        let needs: Vec<Need<'a>> = world
            .iter()
            .filter_map(|dependency| Some(Need { name: self.universe.known(&dependency.name)?, dependency }))
            .collect();
        for need in &needs {
            self.discover(need.name);
        }
        for need in &needs {
            self.constrain(need);
        }
        loop {
            while let Some(name) = self.dirty.pop_front() {
                self.names[name].dirty = false;
                self.reconsider(name);
            }
            let next = self.now.pop_front();
            let Some(name) = next.or_else(|| (!self.later.is_empty()).then(|| self.later.remove(0))) else {
                return;
            };
            self.select(name);
        }
    }

    pub(super) fn failed(&self) -> bool {
        self.errors > 0
    }

    /// What provides a name in the end.
    pub(super) fn chosen(&self, name: usize) -> Option<Provider<'a>> {
        self.chosen[name]
    }

    fn name(&self, name: usize) -> &'u Name<'a> {
        &self.universe.names[name]
    }

    /// Sets up everything that can be reached from a name. With a stack of its own: chains are as long as indexes.
    fn discover(&mut self, first: usize) {
        enum Step {
            Enter(usize),
            Package(usize),
            Leave(usize),
        }
        let mut steps = vec![Step::Enter(first)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(name) => {
                    if std::mem::replace(&mut self.names[name].seen, true) {
                        continue;
                    }
                    self.names[name].no_install_if = true;
                    steps.push(Step::Leave(name));
                    let own =
                        |provider: &Provider<'_>| self.universe.candidates[provider.package].name == name;
                    let providers = &self.name(name).providers;
                    let virtuals = providers.iter().filter(|provider| !own(provider)).count();
                    self.names[name].virtuality = match virtuals {
                        0 => 0,
                        some if some < providers.len() => 1,
                        _ => 2,
                    };
                    for provider in providers.iter().rev() {
                        if std::mem::replace(&mut self.packages[provider.package].seen, true) {
                            continue;
                        }
                        let candidate = &self.universe.candidates[provider.package];
                        let state = &mut self.packages[provider.package];
                        state.selectable = true;
                        state.install_if_failed = candidate.install_if.is_empty();
                        steps.push(Step::Package(provider.package));
                        steps.extend(candidate.depends.iter().rev().map(|need| Step::Enter(need.name)));
                    }
                }
                Step::Package(package) => {
                    let depends = &self.universe.candidates[package].depends;
                    let depth = depends.iter().map(|need| self.names[need.name].depth).max();
                    self.packages[package].depth = depth.unwrap_or(0);
                }
                Step::Leave(name) => {
                    for provider in &self.name(name).providers {
                        let state = &self.packages[provider.package];
                        let (failed, depth) = (state.install_if_failed, state.depth);
                        self.names[name].no_install_if &= failed;
                        self.names[name].depth = self.names[name].depth.max(depth + 1);
                    }
                    for completed in self.name(name).completes.iter().rev() {
                        steps.push(Step::Enter(*completed));
                    }
                    for provider in self.name(name).providers.iter().rev() {
                        for (provided, _) in &self.universe.candidates[provider.package].provides {
                            steps.push(Step::Enter(*provided));
                        }
                    }
                }
            }
        }
    }

    fn queue_dirty(&mut self, name: usize) {
        let state = &mut self.names[name];
        if state.dirty
            || state.locked
            || (state.requirers == 0 && !state.has_install_if && state.no_install_if)
        {
            return;
        }
        state.dirty = true;
        self.dirty.push_back(name);
    }

    fn queue_unresolved(&mut self, name: usize) {
        self.unqueue(name);
        let state = &self.names[name];
        if state.locked || (state.requirers == 0 && !state.has_install_if) {
            return;
        }
        if state.resolve_now {
            self.now.push_back(name);
            return;
        }
        let before = |other: &usize| self.goes_before(name, *other);
        let at = self.later.iter().position(before).unwrap_or(self.later.len());
        self.later.insert(at, name);
    }

    fn unqueue(&mut self, name: usize) {
        self.now.retain(|known| *known != name);
        self.later.retain(|known| *known != name);
    }

    fn goes_before(&self, name: usize, other: usize) -> bool {
        let (a, b) = (&self.names[name], &self.names[other]);
        let wanted = (b.requirers > 0).cmp(&(a.requirers > 0));
        let order = wanted.then(a.virtuality.cmp(&b.virtuality)).then(b.depth.cmp(&a.depth));
        order == Ordering::Less
    }

    fn requirers_changed(&mut self, name: usize) {
        self.queue_unresolved(name);
        self.again_install_if(name);
        self.queue_dirty(name);
    }

    fn again_depends(&mut self, name: usize) {
        for other in &self.name(name).depended {
            if self.names[*other].seen {
                self.names[*other].again_depends = true;
                self.queue_dirty(*other);
            }
        }
    }

    fn again_install_if(&mut self, name: usize) {
        for other in &self.name(name).completes {
            if self.names[*other].seen && !self.names[*other].no_install_if {
                self.names[*other].again_install_if = true;
                self.queue_dirty(*other);
            }
        }
    }

    fn again_install_if_of(&mut self, package: usize) {
        for (name, _) in &self.universe.candidates[package].provides {
            self.again_install_if(*name);
        }
    }

    fn disqualify(&mut self, package: usize) {
        self.packages[package].selectable = false;
        for (name, _) in &self.universe.candidates[package].provides {
            self.again_depends(*name);
        }
        self.again_install_if_of(package);
    }

    fn meets(&self, dependency: &Dependency, provider: &Provider<'_>) -> bool {
        dependency.is_met_by(provider.provided, &self.universe.candidates[provider.package].package.identity)
    }

    fn satisfiable(&self, need: &Need<'_>) -> bool {
        let state = &self.names[need.name];
        if state.locked {
            return self.met_by_choice(need);
        }
        if state.requirers == 0 && need.dependency.conflict {
            return true;
        }
        let mut providers = self.name(need.name).providers.iter();
        providers.any(|provider| {
            self.packages[provider.package].selectable && self.meets(need.dependency, provider)
        })
    }

    /// Whether a decided name has what is needed.
    fn met_by_choice(&self, need: &Need<'_>) -> bool {
        match &self.chosen[need.name] {
            Some(provider) => self.meets(need.dependency, provider),
            None => need.dependency.conflict,
        }
    }

    fn constrain(&mut self, need: &Need<'_>) {
        if !need.dependency.conflict {
            self.names[need.name].requirers += 1;
            if self.names[need.name].requirers == 1 {
                self.requirers_changed(need.name);
            }
        }
        // What is decided does not change any more.
        if self.names[need.name].locked && !self.met_by_choice(need) && !self.ignore_conflicts {
            self.errors += 1;
        }
        for provider in &self.name(need.name).providers {
            if !self.meets(need.dependency, provider) {
                self.packages[provider.package].conflicts += 1;
                if self.packages[provider.package].selectable {
                    self.disqualify(provider.package);
                }
            }
        }
    }

    /// Leaves out what provides `name` but not `must`, which is provided by all that remains.
    fn exclude_others(&mut self, name: usize, must: usize) {
        if name == must || self.ignore_conflicts {
            return;
        }
        for provider in &self.name(name).providers {
            let candidate = &self.universe.candidates[provider.package];
            let provides = candidate.name == must
                || candidate
                    .provides
                    .iter()
                    .skip(1)
                    .any(|(other, provided)| *other == must || provided.version.is_none());
            if self.packages[provider.package].selectable && !provides {
                self.disqualify(provider.package);
            }
        }
    }

    fn reconsider(&mut self, name: usize) {
        let again_depends = std::mem::take(&mut self.names[name].again_depends);
        let again_install_if = std::mem::take(&mut self.names[name].again_install_if);
        let (mut options, mut has_install_if, mut no_install_if) = (0, false, true);
        let mut by_itself = false;
        for provider in &self.name(name).providers {
            let number = provider.package;
            let candidate = &self.universe.candidates[number];
            self.packages[number].merged = false;
            if !self.packages[number].selectable {
                continue;
            }
            if again_depends && !candidate.depends.iter().all(|need| self.satisfiable(need)) {
                self.disqualify(number);
                continue;
            }
            let state = &self.packages[number];
            if again_install_if && !state.install_if_triggered && !state.install_if_failed {
                let open = candidate
                    .install_if
                    .iter()
                    .find(|need| !self.names[need.name].locked || !self.met_by_choice(need));
                match open {
                    None => self.packages[number].install_if_triggered = true,
                    Some(need) => self.packages[number].install_if_failed = self.names[need.name].locked,
                }
            }
            has_install_if |= self.packages[number].install_if_triggered;
            no_install_if &= self.packages[number].install_if_failed;
            if self.names[name].requirers == 0 {
                continue;
            }
            by_itself |= comes_by_itself(provider, candidate.package.provider_priority);
            self.packages[number].merged = true;
            for need in &candidate.depends {
                if need.dependency.conflict && !need.dependency.is_bare() {
                    continue;
                }
                merge(&mut self.names[need.name].merged_depends, options);
            }
            for (provided, what) in &candidate.provides {
                if what.version.is_some() {
                    merge(&mut self.names[*provided].merged_provides, options);
                }
            }
            options += 1;
        }
        let state = &mut self.names[name];
        state.has_install_if = has_install_if;
        state.no_install_if = no_install_if;
        state.selectable_by_itself = by_itself;
        if state.requirers > 0 {
            self.propagate(name, options);
        }
        let done = self.name(name).depended.iter().all(|other| {
            let state = &self.names[*other];
            !state.seen || state.locked
        });
        let state = &mut self.names[name];
        state.resolve_now |= done && state.requirers > 0 && state.selectable_by_itself;
        self.queue_unresolved(name);
    }

    /// What all that remains of a name has in common holds whichever is chosen.
    fn propagate(&mut self, name: usize, options: usize) {
        for provider in &self.name(name).providers {
            let number = provider.package;
            if !self.packages[number].merged {
                continue;
            }
            let candidate = &self.universe.candidates[number];
            for need in &candidate.depends {
                let common = std::mem::take(&mut self.names[need.name].merged_depends) == options;
                if !common {
                    continue;
                }
                if options == 1 {
                    self.constrain(need);
                } else if self.names[need.name].requirers == 0 && !need.dependency.conflict {
                    self.names[need.name].requirers += 1;
                    self.requirers_changed(need.name);
                }
            }
            for (provided, _) in &candidate.provides {
                if std::mem::take(&mut self.names[*provided].merged_provides) == options {
                    self.exclude_others(*provided, name);
                }
            }
            self.packages[number].used = self.packages[number].merged;
        }
    }

    /// Which of two is the better one: `Greater` where the first is.
    fn better(&self, first: &Provider<'a>, second: &Provider<'a>) -> Ordering {
        let (a, b) = (&self.packages[first.package], &self.packages[second.package]);
        let candidate = |provider: &Provider<'a>| &self.universe.candidates[provider.package];
        let (ca, cb) = (candidate(first), candidate(second));
        let version = |provider: &Provider<'a>| provider.provided.version.as_deref();
        let versions = match (version(first), version(second)) {
            (Some(a), Some(b)) => compare_versions(a, b),
            _ => Ordering::Equal,
        };
        let own_versions = if ca.name == cb.name {
            compare_versions(&ca.package.version, &cb.package.version)
        } else {
            Ordering::Equal
        };
        let requirers = |provider: &Provider<'a>| -> usize {
            candidate(provider).provides.iter().map(|(name, _)| self.names[*name].requirers).sum()
        };
        let rank = |repository: Option<usize>| repository.map_or(usize::MAX, |at| at);
        a.selectable
            .cmp(&b.selectable)
            .then(a.used.cmp(&b.used))
            .then(b.conflicts.cmp(&a.conflicts))
            .then(ca.installed.cmp(&cb.installed))
            .then(versions)
            .then(own_versions)
            .then(ca.package.provider_priority.cmp(&cb.package.provider_priority))
            .then_with(|| requirers(first).cmp(&requirers(second)))
            .then(rank(cb.repository).cmp(&rank(ca.repository)))
    }

    fn select(&mut self, name: usize) {
        let mut best: Option<Provider<'a>> = None;
        let wanted = self.names[name].requirers > 0;
        if wanted || self.names[name].has_install_if {
            for provider in &self.name(name).providers {
                if !wanted && !self.packages[provider.package].install_if_triggered {
                    continue;
                }
                let candidate = &self.universe.candidates[provider.package];
                if !comes_by_itself(provider, candidate.package.provider_priority)
                    && self.names[candidate.name].requirers == 0
                {
                    continue;
                }
                if best.as_ref().is_none_or(|best| self.better(provider, best) == Ordering::Greater) {
                    best = Some(*provider);
                }
            }
        }
        let Some(best) = best else {
            self.assign(name, None);
            self.errors += usize::from(wanted);
            return;
        };
        let candidate = &self.universe.candidates[best.package];
        if !self.packages[best.package].selectable {
            self.errors += 1;
        }
        for (provided, what) in &candidate.provides {
            self.assign(*provided, Some(Provider { package: best.package, provided: what }));
        }
        for need in &candidate.depends {
            self.constrain(need);
        }
    }

    fn assign(&mut self, name: usize, provider: Option<Provider<'a>>) {
        let bare = |provider: &Provider<'_>| provider.provided.version.is_none();
        if self.names[name].locked {
            let both = match (&provider, &self.chosen[name]) {
                (Some(new), Some(old)) => (bare(new) && bare(old)) || new.package == old.package,
                _ => false,
            };
            if !both && !self.ignore_conflicts {
                self.errors += 1;
            }
            return;
        }
        self.unqueue(name);
        if self.names[name].dirty {
            self.names[name].dirty = false;
            self.dirty.retain(|known| *known != name);
        }
        self.names[name].locked = true;
        self.chosen[name] = provider;
        if !self.ignore_conflicts {
            for other in &self.name(name).providers {
                let apart = match &provider {
                    Some(provider) => other.package != provider.package && !(bare(other) && bare(provider)),
                    None => true,
                };
                if apart && self.packages[other.package].selectable {
                    self.disqualify(other.package);
                }
            }
        }
        self.again_depends(name);
        match provider {
            Some(provider) => self.again_install_if_of(provider.package),
            None => self.again_install_if(name),
        }
    }
}

/// What provides a name without a version comes only where it says a priority, or is asked for by its own name.
fn comes_by_itself(provider: &Provider<'_>, priority: u32) -> bool {
    provider.provided.version.is_some() || priority > 0
}

/// Counts one more of `options` that have something.
fn merge(count: &mut usize, options: usize) {
    if *count == options {
        *count = options + 1;
    }
}
