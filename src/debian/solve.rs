//! Which packages fulfil a request. The search goes through dependencies as apt's does: depth first, in the order in which they
//! are written, the first alternative that is possible. What turned out to be impossible is learned as a clause, so that the
//! search is never lost in choices that have nothing to do with it ([`super::sat`]).

use std::collections::{BTreeMap, BTreeSet};

use super::candidates::{Candidate, Candidates, Origin};
use super::explain::{Because, NoSolution, explain, unknown};
use super::index::Index;
use super::installed::Installed;
use super::order::order;
use super::relation::{Relation, relations};
use super::sat::{ClauseId, Exhausted, Literal, Sat};
use super::version::compare_versions;
use crate::model::{BlobDigest, PinnedPackage};

/// Literals that may be looked at, and room that is taken ([`Sat::new`]). GNOME takes a million.
pub(super) const STEPS: u64 = 50_000_000;

/// What an image wants of Debian's packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Debian's word for the architecture: `amd64`, `arm64`. Packages of `all` go with each.
    pub architecture: String,
    /// Packages that are wanted, as `name` or `name=version`, in any order.
    pub install: Vec<String>,
    /// Names of packages that are left out, and then count as there for all that need them.
    pub exclude: Vec<String>,
}

/// A package that is put on the base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Which one.
    pub package: PinnedPackage,
    /// The number of the index that it is from.
    pub index: usize,
    /// `Filename`: where its file is below the repository's root. Never absolute, no `..` in it.
    pub path: String,
    /// The version of the base's package of this name, whose place it takes.
    pub replaces: Option<String>,
}

/// The packages that fulfil a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Solution {
    /// A package stands behind those that it depends on, as far as there is such an order; the same for the same inputs.
    pub packages: Vec<Chosen>,
    /// Excluded packages that somebody depends on: who, and the excluded name.
    pub left_out: Vec<(String, String)>,
}

/// Chooses packages, as `apt-get --no-install-recommends` would (docs/packages.md): of each the highest version of all
/// indexes, of equal ones that of the first index. What is installed stays as it is, unless a version is demanded that it
/// is not.
pub fn solve(request: &Request, indexes: &[Index], installed: &[Installed]) -> Result<Solution, NoSolution> {
    Search::new(request, indexes, installed, STEPS)?.solution()
}

/// A dependency or something else of which one option has to be there; the preferred ones first.
type Group = Vec<usize>;

struct Search<'a> {
    request: &'a Request,
    indexes: &'a [Index],
    candidates: Candidates<'a>,
    /// Its variables are the candidates' numbers.
    sat: Sat,
    /// By clause; the learned ones have none.
    because: BTreeMap<ClauseId, Because<'a>>,
    /// By candidate, once it was taken.
    groups: Vec<Option<Vec<Group>>>,
    /// One for each word of the request.
    wanted: Vec<Group>,
    /// One for each package of the base, which stays in one version or another.
    stays: Vec<Group>,
    walk: Walk,
}

/// How far the dependencies of what is taken are gone through.
#[derive(Default)]
struct Walk {
    reached: BTreeSet<usize>,
    /// Candidates, and how many of their groups are done.
    stack: Vec<(usize, usize)>,
    /// How many of the wanted are reached; then, how many of the wanted and of those that stay were gone into.
    taken: usize,
    entered: usize,
    /// How many literals were looked at for packages of the base that have to go.
    trail: usize,
}

impl<'a> Search<'a> {
    fn new(
        request: &'a Request,
        indexes: &'a [Index],
        installed: &'a [Installed],
        steps: u64,
    ) -> Result<Self, NoSolution> {
        let exclude = request.exclude.iter().map(String::as_str).collect::<BTreeSet<_>>();
        let mut search = Self {
            request,
            indexes,
            candidates: Candidates::new(&request.architecture, indexes, installed, exclude.clone()),
            sat: Sat::new(steps),
            because: BTreeMap::new(),
            groups: Vec::new(),
            wanted: Vec::new(),
            stays: Vec::new(),
            walk: Walk::default(),
        };
        for word in request.install.iter().map(String::as_str).collect::<BTreeSet<_>>() {
            let (name, version) =
                word.split_once('=').map_or((word, None), |(name, version)| (name, Some(version)));
            if exclude.contains(name) {
                return Err(NoSolution::Excluded { name: name.to_owned() });
            }
            let mut options = search.candidates.named(name).to_vec();
            options.retain(|number| {
                version.is_none_or(|version| {
                    compare_versions(search.candidates.get(*number).version, version).is_eq()
                })
            });
            if options.is_empty() {
                return Err(unknown(&mut search.candidates, indexes, name, version));
            }
            let group = search.group(None, options, Because::Wanted { word });
            search.wanted.push(group);
        }
        for name in search.candidates.base_names() {
            let numbers = search.candidates.named(name);
            let options = numbers
                .iter()
                .copied()
                .filter(|number| search.candidates.get(*number).origin != Origin::Excluded);
            let group = search.group(None, options.collect(), Because::Stays { base: numbers[0] });
            search.stays.push(group);
        }
        Ok(search)
    }

    /// A clause for what was looked up: every candidate has a variable first.
    fn clause(&mut self, literals: Vec<Literal>, because: Because<'a>) {
        while self.groups.len() < self.candidates.len() {
            self.groups.push(None);
            self.sat.variable();
        }
        let id = self.sat.add(literals);
        self.because.insert(id, because);
    }

    fn group(&mut self, who: Option<usize>, options: Vec<usize>, because: Because<'a>) -> Group {
        let literals =
            who.map(Literal::no).into_iter().chain(options.iter().copied().map(Literal::yes)).collect();
        self.clause(literals, because);
        options
    }

    fn solution(mut self) -> Result<Solution, NoSolution> {
        loop {
            if self.follow()? {
                match self.step() {
                    Some(candidate) => self.sat.decide(Literal::yes(candidate)),
                    None => break,
                }
            } else {
                self.walk = Walk::default();
                if let Err(core) = self.sat.learn() {
                    let because = core.iter().filter_map(|id| self.because.get(id)).collect::<Vec<_>>();
                    return Err(explain(&mut self.candidates, &because));
                }
            }
        }
        Ok(self.result())
    }

    /// Follows all that follows from what is taken. `false`: there is a conflict.
    fn follow(&mut self) -> Result<bool, NoSolution> {
        let mut at = self.walk.trail;
        loop {
            match self.sat.propagate() {
                Err(Exhausted) => return Err(NoSolution::Exhausted { words: self.request.install.len() }),
                Ok(false) => return Ok(false),
                Ok(true) => {}
            }
            let Some(literal) = self.sat.trail().get(at).copied() else { break };
            at += 1;
            if !literal.negative() && self.groups[literal.variable()].is_none() {
                self.enter(literal.variable())?;
            }
        }
        // Where a package of the base has to go, what it fulfilled has to be looked at again.
        let news = &self.sat.trail()[self.walk.trail..];
        let gone = news.iter().any(|literal| literal.negative() && self.of_base(literal.variable()));
        if gone {
            self.walk = Walk::default();
        }
        self.walk.trail = self.sat.trail().len();
        Ok(true)
    }

    fn of_base(&self, candidate: usize) -> bool {
        matches!(self.candidates.get(candidate).origin, Origin::Base(_))
    }

    /// Adds what follows from a candidate.
    fn enter(&mut self, who: usize) -> Result<(), NoSolution> {
        self.groups[who] = Some(Vec::new());
        let candidate = self.candidates.get(who).clone();
        let base = self.of_base(who);
        if candidate.origin == Origin::Excluded {
            return Ok(());
        }
        for other in self.candidates.named(candidate.name).iter().copied() {
            if other != who && self.candidates.get(other).origin != Origin::Excluded {
                self.clause(vec![Literal::no(who), Literal::no(other)], Because::Same { who, other });
            }
        }
        for (group, relations) in self.relations(who, candidate.depends)?.into_iter().enumerate() {
            let options = self.candidates.fulfilling(&relations);
            // A base may lack what its packages depend on.
            let lacking = base && !options.iter().any(|option| self.of_base(*option));
            if !lacking && !options.contains(&who) {
                let group = self.group(Some(who), options, Because::Needs { who, group });
                self.groups[who].get_or_insert_default().push(group);
            }
        }
        let [conflicts, breaks] = candidate.conflicts;
        let conflicts =
            self.relations(who, [conflicts, ""])?.into_iter().flatten().map(|relation| (relation, false));
        let breaks =
            self.relations(who, [breaks, ""])?.into_iter().flatten().map(|relation| (relation, true));
        for (relation, breaks) in conflicts.chain(breaks) {
            for other in self.candidates.meant(&relation) {
                let Candidate { name, origin, .. } = *self.candidates.get(other);
                let harmless =
                    name == candidate.name || origin == Origin::Excluded || base && self.of_base(other);
                if !harmless {
                    let because = Because::Conflicts { who, other, relation, breaks };
                    self.clause(vec![Literal::no(who), Literal::no(other)], because);
                }
            }
        }
        Ok(())
    }

    fn relations(&self, who: usize, lists: [&'a str; 2]) -> Result<Vec<Vec<Relation<'a>>>, NoSolution> {
        let mut found = Vec::new();
        for list in lists {
            match relations(list, &self.request.architecture) {
                Ok(groups) => found.extend(groups),
                // Nobody can mend it in a base.
                Err(_) if self.of_base(who) => {}
                Err(source) => {
                    let candidate = self.candidates.get(who);
                    return Err(NoSolution::Malformed { package: candidate.to_string(), source });
                }
            }
        }
        Ok(found)
    }

    /// The candidate that is to be taken next.
    fn step(&mut self) -> Option<usize> {
        let Self { walk, groups, wanted, stays, candidates, sat, .. } = self;
        loop {
            let (group, enter) = if walk.taken < wanted.len() {
                walk.taken += 1;
                (&wanted[walk.taken - 1], false)
            } else if let Some((who, done)) = walk.stack.last_mut() {
                let Some(group) = groups[*who].as_ref().and_then(|groups| groups.get(*done)) else {
                    walk.stack.pop();
                    continue;
                };
                *done += 1;
                let there = |option: &usize| {
                    let base = matches!(candidates.get(*option).origin, Origin::Base(_));
                    walk.reached.contains(option) || base && sat.value(*option) != Some(false)
                };
                if group.iter().any(there) {
                    continue;
                }
                (group, true)
            } else {
                let group = wanted.iter().chain(stays.iter()).nth(walk.entered)?;
                walk.entered += 1;
                (group, true)
            };
            // Of a group without conflict one is not false.
            let option = group.iter().copied().find(|option| sat.value(*option) != Some(false))?;
            walk.reached.insert(option);
            if enter {
                walk.stack.push((option, 0));
            }
            if sat.value(option).is_none() {
                return Some(option);
            }
        }
    }

    fn there(&self, candidate: usize) -> bool {
        self.walk.reached.contains(&candidate)
            || self.of_base(candidate) && self.sat.value(candidate) == Some(true)
    }

    fn result(&self) -> Solution {
        let mut needs = BTreeMap::new();
        let mut left_out = BTreeSet::new();
        for who in &self.walk.reached {
            let candidate = self.candidates.get(*who);
            let groups = self.groups[*who].iter().flatten();
            let mut needed = Vec::new();
            for group in groups {
                let (mut there, mut excluded) = (Vec::new(), None);
                for option in group.iter().filter(|option| self.there(**option)) {
                    match self.candidates.get(*option).origin {
                        Origin::Excluded => excluded = excluded.or(Some(*option)),
                        _ => there.push(*option),
                    }
                }
                if let (true, Some(excluded)) = (there.is_empty(), excluded) {
                    left_out
                        .insert((candidate.name.to_owned(), self.candidates.get(excluded).name.to_owned()));
                }
                needed.extend(there);
            }
            if let Origin::Index(..) = candidate.origin {
                needs.insert(*who, needed);
            }
        }
        let name = |who: &usize| self.candidates.get(*who).name;
        let packages = order(&needs, name).into_iter().filter_map(|who| self.chosen(who)).collect();
        Solution { packages, left_out: left_out.into_iter().collect() }
    }

    fn chosen(&self, who: usize) -> Option<Chosen> {
        let candidate = self.candidates.get(who);
        let Origin::Index(index, number) = candidate.origin else { return None };
        let package = self.indexes[index].package(number);
        let replaces = self.candidates.of_base(candidate.name).map(|base| base.version.clone());
        Some(Chosen {
            package: PinnedPackage {
                name: package.name.to_owned(),
                version: package.version.to_owned(),
                architecture: package.architecture.to_owned(),
                digest: BlobDigest(package.digest),
                size: package.size,
            },
            index,
            path: package.path.to_owned(),
            replaces,
        })
    }
}

#[cfg(test)]
mod tests;
