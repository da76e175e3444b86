use std::collections::BTreeMap;

use super::pattern::covers;

/// What is known of maintainer scripts: `rules.toml`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    /// Numbers of system users that Debian gives when they are made.
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
    /// Answers to debconf's questions.
    answers: BTreeMap<String, String>,
    rule: Vec<Rule>,
    program: Vec<Program>,
}

/// Statements that need nothing in an image, or whose end is known.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// Names of packages, `*` for any part; without it the rule is for every package.
    #[serde(default)]
    packages: Vec<String>,
    /// Commands with their words, `*` for any part.
    statements: Vec<String>,
    /// Not these.
    #[serde(default)]
    unless: Vec<String>,
    /// `succeeds`, `fails`, or nothing where that is not known.
    #[serde(default)]
    pub ends: Option<Ends>,
    /// What is printed, where that is known.
    #[serde(default)]
    pub prints: Option<String>,
    /// Why an image needs nothing of it.
    #[cfg_attr(not(test), expect(dead_code, reason = "it is read by people"))]
    why: String,
}

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ends {
    Succeeds,
    Fails,
    Open,
}

/// A script that is no shell script.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    package: String,
    script: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "it is read by people"))]
    why: String,
}

impl Rules {
    /// The rules that imgpack carries.
    pub(super) fn own() -> Result<Self, toml::de::Error> {
        toml::from_str(include_str!("rules.toml"))
    }

    pub(super) fn users(&self) -> &BTreeMap<String, u32> {
        &self.users
    }

    pub(super) fn groups(&self) -> &BTreeMap<String, u32> {
        &self.groups
    }

    pub(super) fn answer(&self, question: &str) -> Option<&str> {
        self.answers.get(question).map(String::as_str)
    }

    /// The rule for a statement, those of packages before those of every package.
    pub(super) fn covering(&self, package: &str, statement: &str, of_package: bool) -> Option<&Rule> {
        self.rule.iter().find(|rule| {
            rule.packages.is_empty() != of_package
                && (!of_package || rule.packages.iter().any(|pattern| covers(pattern, package)))
                && rule.statements.iter().any(|pattern| covers(pattern, statement))
                && !rule.unless.iter().any(|pattern| covers(pattern, statement))
        })
    }

    /// Every statement with the packages that it is for.
    #[cfg(test)]
    pub(super) fn statements(&self) -> impl Iterator<Item = (&[String], &str)> {
        self.rule
            .iter()
            .flat_map(|rule| rule.statements.iter().map(|text| (rule.packages.as_slice(), text.as_str())))
    }

    /// Whether a script that is no shell script is known.
    pub(super) fn knows_program(&self, package: &str, script: &str) -> bool {
        self.program.iter().any(|known| known.package == package && known.script == script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_in_order() {
        let rules = Rules::own().unwrap();
        assert!(rules.rule.iter().all(|rule| rule.why.len() > 10 && !rule.statements.is_empty()));
        assert!(rules.program.iter().all(|program| program.why.len() > 10));
        for table in [&rules.users, &rules.groups] {
            let mut numbers: Vec<u32> = table.values().copied().collect();
            assert!(numbers.iter().all(|number| (101..300).contains(number)));
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), table.len(), "a number twice");
        }
        // A user's own group has the user's number.
        for (name, uid) in &rules.users {
            assert!(rules.groups.get(name).is_none_or(|gid| gid == uid), "{name}");
        }
        for (name, gid) in &rules.groups {
            assert!(rules.users.iter().all(|(user, uid)| uid != gid || user == name), "{name}");
        }
    }
}
