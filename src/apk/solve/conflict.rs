use std::collections::BTreeMap;
use std::fmt;

use super::choice::Choice;
use crate::apk::dependency::Dependency;

/// Why there is no set of packages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NoSolution(pub Vec<Conflict>);

/// One thing that does not go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conflict {
    /// Nothing has the name.
    Missing {
        /// The dependency.
        dependency: String,
        /// Who wants it; `None`: it was asked for.
        by: Option<String>,
    },
    /// Only packages that do not come unless they are named.
    Unnamed {
        /// The dependency.
        dependency: String,
        /// Who wants it; `None`: it was asked for.
        by: Option<String>,
        /// Who provides it.
        providers: Vec<String>,
    },
    /// What would be there does not fit.
    Breaks {
        /// The package that would be there.
        package: String,
        /// What is wanted instead.
        dependency: String,
        /// Who wants it; `None`: it was asked for.
        by: Option<String>,
    },
    /// Two packages provide one name, which only one may.
    Both {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// The name.
        name: String,
    },
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wants = |by: &Option<String>| by.clone().unwrap_or_else(|| "the image".to_owned());
        match self {
            Self::Missing { dependency, by } => {
                write!(f, "{} wants {dependency}, which no repository has", wants(by))
            }
            Self::Unnamed { dependency, by, providers } => {
                let by = wants(by);
                write!(f, "{by} wants {dependency}: one of {} has to be named for that", providers.join(", "))
            }
            Self::Breaks { package, dependency, by } => match dependency.strip_prefix('!') {
                Some(rest) => write!(f, "{} conflicts with {rest}, and {package} is that", wants(by)),
                None => write!(f, "{} wants {dependency}, and {package} is not that", wants(by)),
            },
            Self::Both { first, second, name } => {
                write!(f, "{first} and {second} both provide {name}, which only one may")
            }
        }
    }
}

impl fmt::Display for NoSolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no set of packages has everything that is wanted")?;
        self.0.iter().try_for_each(|conflict| write!(f, "\n  {conflict}"))
    }
}

/// What is wrong with what would be chosen if nothing stood in the way.
pub(super) fn explain<'a>(choice: &Choice<'_, 'a>, world: &'a [Dependency]) -> NoSolution {
    let universe = choice.universe;
    let mut found = Vec::new();
    // Everything that hangs on what was asked for.
    let mut reached: Vec<usize> = Vec::new();
    let mut wants: Vec<(Option<usize>, &Dependency)> =
        world.iter().map(|dependency| (None, dependency)).collect();
    let mut at = 0;
    while let Some((_, dependency)) = wants.get(at) {
        at += 1;
        let Some(provider) = universe.known(&dependency.name).and_then(|name| choice.chosen(name)) else {
            continue;
        };
        if !dependency.conflict && !reached.contains(&provider.package) {
            reached.push(provider.package);
            let candidate = &universe.candidates[provider.package];
            wants.extend(candidate.depends.iter().map(|need| (Some(provider.package), need.dependency)));
        }
    }
    let full = |package: usize| universe.candidates[package].package.full_name();
    for (by, dependency) in &wants {
        let by = by.map(full);
        let providers = universe.known(&dependency.name).map(|name| &universe.names[name].providers);
        let providers: Vec<_> = providers.into_iter().flatten().collect();
        let there: Vec<_> = providers.iter().filter(|provider| reached.contains(&provider.package)).collect();
        let dependency_text = dependency.to_string();
        let met = |package: usize, provided| {
            dependency.is_met_by(provided, &universe.candidates[package].package.identity)
        };
        if dependency.conflict {
            let own = |package: usize| by.as_deref() == Some(full(package).as_str());
            let broken = there.iter().filter(|p| !own(p.package) && !met(p.package, p.provided));
            found.extend(broken.map(|provider| Conflict::Breaks {
                package: full(provider.package),
                dependency: dependency_text.clone(),
                by: by.clone(),
            }));
        } else if providers.is_empty() {
            found.push(Conflict::Missing { dependency: dependency_text, by });
        } else if there.is_empty() {
            let providers = providers.iter().map(|provider| full(provider.package)).collect();
            found.push(Conflict::Unnamed { dependency: dependency_text, by, providers });
        } else if !there.iter().any(|provider| met(provider.package, provider.provided)) {
            found.push(Conflict::Breaks { package: full(there[0].package), dependency: dependency_text, by });
        }
    }
    let mut provided: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    for package in &reached {
        for (_, what) in &universe.candidates[*package].provides {
            let bare = what.version.is_none();
            if let Some((other, other_bare)) = provided.insert(&what.name, (*package, bare))
                && other != *package
                && !(bare && other_bare)
            {
                let (first, second) = (full(other.min(*package)), full(other.max(*package)));
                found.push(Conflict::Both { first, second, name: what.name.clone() });
            }
        }
    }
    found.sort();
    found.dedup();
    NoSolution(found)
}
