//! Relations between packages (Debian Policy Manual, chapter 7; deb-control(5)).

use std::cmp::Ordering;
use std::fmt;

use super::version::compare_versions;

/// How a version is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<<`
    Less,
    /// `<=`; also the old `<`
    AtMost,
    /// `=`
    Equal,
    /// `>=`; also the old `>`
    AtLeast,
    /// `>>`
    Greater,
}

/// One alternative: `libc6:any (>= 2.36)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The package's name.
    pub name: &'a str,
    /// What stands behind the colon: `any`, `native`, an architecture.
    pub qualifier: Option<&'a str>,
    /// What its version has to be.
    pub version: Option<(Comparison, &'a str)>,
}

/// A list that is no list of relations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no relation to a package")]
pub struct RelationError(pub String);

impl Relation<'_> {
    /// Whether `version` is one that is meant. A package that is provided without a version (`None`) is none of any version.
    pub fn admits(&self, version: Option<&str>) -> bool {
        let Some((comparison, wanted)) = self.version else { return true };
        let Some(version) = version else { return false };
        let order = compare_versions(version, wanted);
        match comparison {
            Comparison::Less => order == Ordering::Less,
            Comparison::AtMost => order != Ordering::Greater,
            Comparison::Equal => order == Ordering::Equal,
            Comparison::AtLeast => order != Ordering::Less,
            Comparison::Greater => order == Ordering::Greater,
        }
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(qualifier) = self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        match self.version {
            Some((comparison, version)) => write!(f, " ({comparison} {version})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Less => "<<",
            Self::AtMost => "<=",
            Self::Equal => "=",
            Self::AtLeast => ">=",
            Self::Greater => ">>",
        })
    }
}

/// The groups of a list: each is fulfilled by any one of its alternatives. What is for other architectures or for build
/// profiles (`[…]`, `<…>`; they are in sources only) is left out; no profile is active.
pub fn relations<'a>(list: &'a str, architecture: &str) -> Result<Vec<Vec<Relation<'a>>>, RelationError> {
    let mut groups = Vec::new();
    for group in list.split(',').map(str::trim).filter(|group| !group.is_empty()) {
        let mut alternatives = Vec::new();
        for text in group.split('|') {
            let found = relation(text.trim(), architecture);
            let (relation, here) =
                found.ok_or_else(|| RelationError(text.trim().chars().take(80).collect()))?;
            alternatives.extend(here.then_some(relation));
        }
        if !alternatives.is_empty() {
            groups.push(alternatives);
        }
    }
    Ok(groups)
}

/// An alternative, and whether it is for here.
fn relation<'a>(text: &'a str, architecture: &str) -> Option<(Relation<'a>, bool)> {
    let end = text.find([' ', '\t', '\n', '(', '[', '<']).unwrap_or(text.len());
    let (name, mut rest) = (&text[..end], text[end..].trim_start());
    let (name, qualifier) =
        name.split_once(':').map_or((name, None), |(name, qualifier)| (name, Some(qualifier)));
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
    };
    if !word(name) || qualifier.is_some_and(|qualifier| !word(qualifier)) {
        return None;
    }
    let mut found = Relation { name, qualifier, version: None };
    if let Some(inside) = rest.strip_prefix('(') {
        let (inside, after) = inside.split_once(')')?;
        let inside = inside.trim();
        let end = inside.find(|letter| !matches!(letter, '<' | '=' | '>'))?;
        let comparison = match &inside[..end] {
            "<<" => Comparison::Less,
            "<=" | "<" => Comparison::AtMost,
            "=" => Comparison::Equal,
            ">=" | ">" => Comparison::AtLeast,
            ">>" => Comparison::Greater,
            _ => return None,
        };
        let version = inside[end..].trim();
        if version.is_empty() || version.contains(char::is_whitespace) {
            return None;
        }
        found.version = Some((comparison, version));
        rest = after.trim_start();
    }
    let mut here = true;
    if let Some(inside) = rest.strip_prefix('[') {
        let (inside, after) = inside.split_once(']')?;
        let matches = |pattern: &str| {
            let (os, cpu) = pattern.split_once('-').unwrap_or(("linux", pattern));
            matches!(os, "linux" | "any") && (cpu == architecture || cpu == "any")
        };
        let denied = inside.trim_start().starts_with('!');
        here = denied != inside.split_whitespace().any(|pattern| matches(pattern.trim_start_matches('!')));
        rest = after.trim_start();
    }
    let mut profiles = None;
    while let Some(inside) = rest.strip_prefix('<') {
        let (inside, after) = inside.split_once('>')?;
        let active = inside.split_whitespace().all(|profile| profile.starts_with('!'));
        profiles = Some(profiles.unwrap_or(false) || active);
        rest = after.trim_start();
    }
    rest.is_empty().then_some((found, here && profiles.unwrap_or(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_relations() {
        let said = |list: &str| {
            let groups = relations(list, "amd64").map_err(|error| error.to_string())?;
            let group = |group: &Vec<Relation<'_>>| {
                group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
            };
            Ok::<_, String>(groups.iter().map(group).collect::<Vec<_>>().join(", "))
        };
        for (list, wanted) in [
            ("", ""),
            ("a", "a"),
            ("a,b , c,", "a, b, c"),
            (
                "a (>= 1.2-3) | b:any | c:amd64 (<<2~),\n d(=1:2)",
                "a (>= 1.2-3) | b:any | c:amd64 (<< 2~), d (= 1:2)",
            ),
            ("a (< 1), b (> 1)", "a (<= 1), b (>= 1)"),
            (
                "a [amd64 arm64], b [!amd64], c [arm64] | d [linux-any], e [any-amd64], f [!arm64]",
                "a, d, e, f",
            ),
            (
                "a <!nocheck>, b <nocheck>, c <nocheck> <!cross>, d [amd64] <!nodoc !nocheck>, e (>= 1) [arm64] <!x>",
                "a, c, d",
            ),
            ("libstdc++6, g++, 0ad.x", "libstdc++6, g++, 0ad.x"),
        ] {
            assert_eq!(said(list).as_deref(), Ok(wanted), "{list}");
        }
        for wrong in [
            "a b",
            "a (1)",
            "a (>= )",
            "a (>= 1",
            "a (=> 1)",
            "a (>= 1 2)",
            "a | ",
            "${misc:Depends}",
            "a [x",
            "a <x",
            ":any",
            "a:",
        ] {
            assert!(said(wrong).unwrap_err().ends_with("is no relation to a package"), "{wrong}");
        }
        assert_eq!(said("a, b (>= )").unwrap_err(), "`b (>= )` is no relation to a package");
    }

    #[test]
    fn what_versions_are_admitted() {
        for (list, below, same, above) in [
            ("a (<< 2)", true, false, false),
            ("a (<= 2)", true, true, false),
            ("a (= 2)", false, true, false),
            ("a (>= 2)", false, true, true),
            ("a (>> 2)", false, false, true),
            ("a", true, true, true),
        ] {
            let relation = relations(list, "amd64").unwrap()[0][0];
            let said = ["2~rc", "2.0~~0", "2"].map(|version| relation.admits(Some(version)));
            assert_eq!(
                [said[0], relation.admits(Some("2")), relation.admits(Some("2+b1"))],
                [below, same, above],
                "{list}"
            );
            assert_eq!(relation.admits(None), list == "a");
        }
    }
}
