//! Why a request cannot be fulfilled, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::candidates::{Candidate, Candidates, Origin};
use super::index::Index;
use super::relation::{Relation, RelationError};

/// Why there are no packages that fulfil a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSolution {
    /// No index has it.
    #[error("no repository has a package {name}")]
    Unknown {
        /// What is wanted.
        name: String,
        /// Names that may be meant, the nearest first.
        near: Vec<String>,
    },
    /// No index has this version.
    #[error("no repository has {name} in version {version}")]
    Version {
        /// The package.
        name: String,
        /// What is wanted of it.
        version: String,
        /// What there is, the highest first.
        there: Vec<String>,
    },
    /// It is a name that packages provide.
    #[error("{name} is no package but a name that packages provide")]
    Virtual {
        /// What is wanted.
        name: String,
        /// Who provides it.
        providers: Vec<String>,
    },
    /// It is wanted and excluded.
    #[error("{name} is both in `install` and in `exclude`")]
    Excluded {
        /// The package.
        name: String,
    },
    /// A package with a list that is none.
    #[error("the repository's words about {package} cannot be read")]
    Malformed {
        /// Name and version.
        package: String,
        /// What is wrong.
        source: RelationError,
    },
    /// What is wanted does not go together.
    #[error("{} cannot be installed{}", wanted.join(" and "), if wanted.len() > 1 { " together" } else { "" })]
    Unsatisfiable {
        /// The words of the request that have a part in it.
        wanted: Vec<String>,
        /// Why.
        source: Fact,
    },
    /// It takes longer than imgpack is ready to look.
    #[error("what to choose for {words} wanted packages was not found in {} steps", super::solve::STEPS)]
    Exhausted {
        /// How many were wanted.
        words: usize,
    },
}

/// One of the facts that contradict each other; the next is its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    text: String,
    next: Option<Box<Fact>>,
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fact {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.next.as_deref().map(|next| next as _)
    }
}

impl NoSolution {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { near, .. } if near.is_empty() => None,
            Self::Unknown { near, .. } => Some(format!("did you mean {}?", list(near, "or"))),
            Self::Version { there, .. } => Some(format!("there is {}", list(there, "and"))),
            Self::Virtual { providers, .. } => {
                Some(format!("name the one you want: {}", list(providers, "or")))
            }
            Self::Unsatisfiable { .. } => {
                Some("choose others, or leave out with `exclude` what the image can do without".to_owned())
            }
            Self::Exhausted { .. } => Some("name packages or versions where there is a choice".to_owned()),
            Self::Excluded { .. } | Self::Malformed { .. } => None,
        }
    }
}

/// `a, b or c`; of many the first.
fn list(names: &[impl AsRef<str>], word: &str) -> String {
    const SHOWN: usize = 6;
    let mut names = names.iter().map(|name| name.as_ref().to_owned()).collect::<Vec<_>>();
    if names.len() > SHOWN {
        let more = names.len() - (SHOWN - 1);
        names.truncate(SHOWN - 1);
        names.push(format!("{more} more"));
    }
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {word} {last}", rest.join(", ")),
    }
}

/// Where a clause comes from.
#[derive(Debug, Clone)]
pub(super) enum Because<'a> {
    /// A word of the request.
    Wanted { word: &'a str },
    /// Something of the base, which is not taken away.
    Stays { base: usize },
    /// A dependency, by its number.
    Needs { who: usize, group: usize },
    /// A conflict.
    Conflicts { who: usize, other: usize, relation: Relation<'a>, breaks: bool },
    /// Two versions of one package.
    Same { who: usize, other: usize },
}

impl fmt::Display for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// Why a wanted word fits no package.
pub(super) fn unknown<'a>(
    candidates: &mut Candidates<'a>,
    indexes: &[Index],
    name: &'a str,
    version: Option<&str>,
) -> NoSolution {
    let versions = candidates.named(name);
    if let (false, Some(version)) = (versions.is_empty(), version) {
        let there = versions.iter().map(|number| candidates.get(*number).version.to_owned()).collect();
        return NoSolution::Version { name: name.to_owned(), version: version.to_owned(), there };
    }
    let providers = candidates.providers(name);
    if !providers.is_empty() {
        let providers = providers.into_iter().map(|(number, _)| candidates.get(number).name.to_owned());
        let providers = providers.collect::<BTreeSet<_>>().into_iter().collect();
        return NoSolution::Virtual { name: name.to_owned(), providers };
    }
    NoSolution::Unknown { name: name.to_owned(), near: near(indexes, name) }
}

/// The three names that are most like `name`.
fn near(indexes: &[Index], name: &str) -> Vec<String> {
    /// The distance takes time and room of the product of both lengths.
    const LONG: usize = 80;
    let names = indexes.iter().flat_map(Index::names).collect::<BTreeSet<_>>();
    let alike = |known: &&str| known.len() <= LONG && known.len().abs_diff(name.len()) <= name.len() / 4;
    let mut near = names
        .into_iter()
        .filter(|known| name.len() <= LONG && (alike(known) || known.starts_with(name)))
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= name.len() / 4 || name.len() > 2 && known.starts_with(name))
        .collect::<Vec<_>>();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, known)| known.to_owned()).collect()
}

/// The facts of clauses that cannot all be true, as a chain that begins with what is wanted.
pub(super) fn explain<'a>(candidates: &mut Candidates<'a>, core: &[&Because<'a>]) -> NoSolution {
    let mut wanted = Vec::new();
    let mut needs: BTreeMap<usize, Vec<Vec<Relation<'a>>>> = BTreeMap::new();
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for because in core {
        match because {
            Because::Wanted { word } => {
                wanted.push((*word).to_owned());
                let (name, version) = word.split_once('=').unwrap_or((word, ""));
                let named = candidates.named(name);
                starts.extend(
                    named
                        .iter()
                        .copied()
                        .filter(|number| version.is_empty() || candidates.get(*number).version == version),
                );
            }
            Because::Stays { base } => {
                ends.push(format!(
                    "the base has {}, which stays in one version or another",
                    candidates.get(*base)
                ));
                let name = candidates.get(*base).name;
                starts.extend(candidates.named(name).iter());
            }
            Because::Needs { who, group } => {
                needs.entry(*who).or_default().extend(candidates.dependencies(*who).into_iter().nth(*group));
            }
            Because::Conflicts { who, other, relation, breaks } => {
                let (who, other) = (candidates.get(*who), candidates.get(*other));
                let provides = if other.name == relation.name {
                    String::new()
                } else {
                    format!(", which {other} provides")
                };
                let verb = if *breaks { "breaks" } else { "conflicts with" };
                ends.push(format!("{who} {verb} {relation}{provides}"));
            }
            Because::Same { who, other } => {
                let (who, other) = (candidates.get(*who), candidates.get(*other));
                ends.push(format!(
                    "there can be one version of {} only: {} or {}",
                    who.name, who.version, other.version
                ));
            }
        }
    }
    let mut facts = Vec::new();
    let mut seen = BTreeSet::new();
    starts.reverse();
    let mut open = starts;
    while let Some(who) = open.pop() {
        if !seen.insert(who) {
            continue;
        }
        for group in needs.remove(&who).into_iter().flatten() {
            let options = candidates.fulfilling(&group);
            facts.push(need(candidates, who, &group, &options));
            open.extend(options.iter().rev());
        }
    }
    // Whatever the chain does not reach is a fact all the same.
    for (who, groups) in needs {
        for group in groups {
            let options = candidates.fulfilling(&group);
            facts.push(need(candidates, who, &group, &options));
        }
    }
    facts.extend(ends);
    facts.dedup();
    let chain = facts.into_iter().rev().fold(None, |next, text| Some(Box::new(Fact { text, next })));
    let source = chain.map_or(Fact { text: String::new(), next: None }, |chain| *chain);
    NoSolution::Unsatisfiable { wanted, source }
}

/// One dependency in words.
fn need<'a>(
    candidates: &mut Candidates<'a>,
    who: usize,
    group: &[Relation<'a>],
    options: &[usize],
) -> String {
    let text = group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
    let begin = format!("{} needs {text}", candidates.get(who));
    let names = options.iter().map(|option| candidates.get(*option).name).collect::<BTreeSet<_>>();
    match *names.iter().collect::<Vec<_>>() {
        [] => {
            let mut there = Vec::new();
            for relation in group {
                for number in candidates.named(relation.name).iter() {
                    let candidate = candidates.get(*number);
                    let base = matches!(candidate.origin, Origin::Base(_));
                    there.push(format!("{candidate}{}", if base { " of the base" } else { "" }));
                }
            }
            match &*there {
                [] => format!("{begin}, which no repository has"),
                there => format!("{begin}, and there is {} only", list(there, "and")),
            }
        }
        [only] if group.iter().any(|relation| relation.name == *only) && group.len() == 1 => begin,
        [only] => format!("{begin}, which only {only} provides"),
        _ => begin,
    }
}
