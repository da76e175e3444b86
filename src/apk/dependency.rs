use std::cmp::Ordering;
use std::fmt;

use super::version::{compare_versions, is_like, is_version};

/// What is asked of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Test {
    /// `<`, `=`, `>` and their unions, by the orders that pass.
    Order { less: bool, equal: bool, greater: bool },
    /// `~`, `<~`, `>~`: like the version, or before or after it.
    Like { less: bool, greater: bool },
    /// `><`: the checksum of the package.
    Identity,
}

/// A dependency, as `D:` and `/etc/apk/world` say it: `name`, `name>=1.2`, `so:libz.so.1`, `!name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// What has to be there: a package's name, or what one provides.
    pub name: String,
    /// Whether it must not be there.
    pub conflict: bool,
    test: Option<(Test, String)>,
    text: String,
}

/// What a package provides: its own name and version, or a row of `p:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provided {
    /// The name.
    pub name: String,
    /// Its version; without one any number of packages may provide the name.
    pub version: Option<String>,
}

/// A text that is no dependency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DependencyError {
    /// No name, or characters that no name has.
    #[error("`{0}` is no dependency: write NAME, NAME=1.2, NAME~1.2, NAME>=1.2 or !NAME")]
    Form(String),
    /// What stands behind the operator is no version.
    #[error("`{version}` in `{text}` is no version of a package")]
    Version {
        /// The dependency.
        text: String,
        /// The version.
        version: String,
    },
    /// A repository's tag.
    #[error("`{0}` asks for a tagged repository, which is not supported")]
    Tag(String),
}

fn is_operator(character: char) -> bool {
    matches!(character, '<' | '>' | '=' | '~')
}

impl Dependency {
    /// Reads one dependency.
    pub fn parse(text: &str) -> Result<Self, DependencyError> {
        let form = || DependencyError::Form(text.escape_debug().to_string());
        let (conflict, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        if rest.contains('@') {
            return Err(DependencyError::Tag(text.escape_debug().to_string()));
        }
        let end = rest.find(is_operator).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(form());
        }
        let end = rest.find(|c| !is_operator(c)).unwrap_or(rest.len());
        let (operator, version) = rest.split_at(end);
        let test = if operator.is_empty() {
            None
        } else {
            let has = |c| operator.contains(c);
            let test = match (has('<'), has('>'), has('~')) {
                (true, true, _) => Test::Identity,
                (less, greater, true) => Test::Like { less, greater },
                (less, greater, false) => Test::Order { less, equal: has('='), greater },
            };
            if test != Test::Identity && !is_version(version) {
                return Err(DependencyError::Version { text: text.to_owned(), version: version.to_owned() });
            }
            Some((test, version.to_owned()))
        };
        Ok(Self { name: name.to_owned(), conflict, test, text: text.to_owned() })
    }

    /// The dependencies of a line, parted by blanks.
    pub fn list(text: &str) -> Result<Vec<Self>, DependencyError> {
        text.split_ascii_whitespace().map(Self::parse).collect()
    }

    /// Whether it is met where `provided` is there, which has this name; of a conflict, whether that stays out.
    pub(super) fn is_met_by(&self, provided: &Provided, identity: &str) -> bool {
        self.passes(provided.version.as_deref(), identity) != self.conflict
    }

    /// Whether a version passes what is asked of it.
    pub(super) fn passes(&self, version: Option<&str>, identity: &str) -> bool {
        let Some((test, wanted)) = &self.test else { return true };
        let Some(version) = version else { return false };
        match test {
            Test::Identity => wanted == identity,
            Test::Order { less, equal, greater } => match compare_versions(version, wanted) {
                Ordering::Less => *less,
                Ordering::Equal => *equal,
                Ordering::Greater => *greater,
            },
            Test::Like { less, greater } => {
                is_like(version, wanted)
                    || match compare_versions(version, wanted) {
                        Ordering::Less => *less,
                        Ordering::Greater => *greater,
                        Ordering::Equal => true,
                    }
            }
        }
    }

    /// Whether any version will do.
    pub(super) fn is_bare(&self) -> bool {
        self.test.is_none()
    }
}

/// As written.
impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Provided {
    /// Reads the rows of `p:`, as `so:libz.so.1=1.3.1 cmd:x=1-r0 virtual`.
    pub(super) fn list(text: &str) -> Vec<Self> {
        text.split_ascii_whitespace()
            .map(|row| match row.split_once('=') {
                Some((name, version)) => Self { name: name.to_owned(), version: Some(version.to_owned()) },
                None => Self { name: row.to_owned(), version: None },
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_meets_a_dependency() {
        for (text, version, met) in [
            ("a", None, true),
            ("a", Some("1"), true),
            ("a=1.2-r0", Some("1.2-r0"), true),
            ("a=1.2", Some("1.2-r0"), false),
            ("a~1.2", Some("1.2.7-r3"), true),
            ("a=~1.2", Some("1.2.7-r3"), true),
            ("a~1.2", Some("1.3-r0"), false),
            ("a>=1.2", Some("1.2-r0"), true),
            ("a>1.2", Some("1.2"), false),
            ("a<1.2", Some("1.2_rc1"), true),
            ("a<=1.2", Some("1.2"), true),
            ("a>1", None, false),
            ("!a", Some("1"), false),
            ("!a<2", Some("3"), true),
            ("!a<2", Some("1"), false),
        ] {
            let dependency = Dependency::parse(text).unwrap();
            let provided = Provided { name: "a".into(), version: version.map(str::to_owned) };
            assert_eq!(dependency.is_met_by(&provided, "Q1x"), met, "{text} by {version:?}");
            assert_eq!(dependency.to_string(), text);
        }
        assert!(Dependency::parse("a><Q1x").unwrap().passes(Some("1"), "Q1x"));
    }

    #[test]
    fn what_is_no_dependency() {
        for (text, said) in [
            ("", "`` is no dependency: write NAME, NAME=1.2, NAME~1.2, NAME>=1.2 or !NAME"),
            ("=1", "`=1` is no dependency: write NAME, NAME=1.2, NAME~1.2, NAME>=1.2 or !NAME"),
            ("a b", "`a b` is no dependency: write NAME, NAME=1.2, NAME~1.2, NAME>=1.2 or !NAME"),
            ("a=x", "`x` in `a=x` is no version of a package"),
            ("a@edge", "`a@edge` asks for a tagged repository, which is not supported"),
        ] {
            assert_eq!(Dependency::parse(text).unwrap_err().to_string(), said);
        }
    }
}
