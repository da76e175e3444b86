//! How pinned packages stand to what repositories have now.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::super::outdated::{Now, Standing};
use crate::debian::{compare_versions, newest_version};
use crate::lock::{INSTALL, Kind};
use crate::ops::error::Error;
use crate::ops::prepare::{Session, Target};
use crate::spec::{DebianPackages, Packages};

impl Session<'_> {
    /// Every package that is pinned for the suites and architectures of these targets, each once; and what could not be asked.
    pub(in crate::ops) fn newer_packages(&self, targets: &[Target]) -> (Vec<Standing>, Vec<Error>) {
        let mut wanted: BTreeMap<(String, &str), DebianPackages> = BTreeMap::new();
        for target in targets {
            let Some(Packages::Debian(packages)) = &target.spec.packages else { continue };
            let name = (packages.suite.clone(), target.task.platform.goarch());
            let all = wanted.entry(name).or_insert_with(|| packages.clone());
            for repository in &packages.repositories {
                if !all.repositories.contains(repository) {
                    all.repositories.push(repository.clone());
                }
            }
        }
        let (mut standings, mut errors) = (Vec::new(), Vec::new());
        for ((suite, architecture), packages) in wanted {
            let prefix = format!("debian/{suite}/{architecture}");
            match self.newer_of(&prefix, architecture, &packages) {
                Ok(found) => standings.extend(found),
                Err(error) => errors.push(error.about(format!("packages {prefix}"))),
            }
        }
        self.newer_apks(targets, &mut standings, &mut errors);
        (standings, errors)
    }

    fn newer_apks(&self, targets: &[Target], standings: &mut Vec<Standing>, errors: &mut Vec<Error>) {
        let (bases, mut asked, mut found) = (self.bases(), BTreeSet::new(), BTreeMap::new());
        for target in targets {
            let Some(Packages::Apk(packages)) = &target.spec.packages else { continue };
            let newest = bases
                .load(&target.spec, target.task.platform)
                .and_then(|base| self.newest_apks(packages, &base, &mut asked));
            match newest {
                Ok(newest) => found.extend(newest),
                Err(error) => {
                    errors.push(error.about(format!("packages of {}", target.task.identity)));
                }
            }
        }
        standings.extend(found.into_iter().map(|((prefix, name, pinned), newest)| {
            standing(&prefix, (&name, &pinned), newest.as_deref(), crate::apk::compare_versions)
        }));
    }

    fn newer_of(
        &self,
        prefix: &str,
        architecture: &str,
        packages: &DebianPackages,
    ) -> Result<Vec<Standing>, Error> {
        let mut pinned: BTreeSet<(&str, &str)> = BTreeSet::new();
        for (name, row) in self.pins.rows(Kind::Packages) {
            if name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/')) {
                let words = row.get(INSTALL).map(String::as_str).unwrap_or_default().split_whitespace();
                pinned.extend(words.filter_map(|word| word.split_once('=')));
            }
        }
        if pinned.is_empty() {
            return Ok(Vec::new());
        }
        let releases = self.releases(packages)?;
        self.with_indexes(&releases, architecture, |indexes, _| {
            let standing = |package: &(&str, &str)| {
                standing(prefix, *package, newest_version(indexes, package.0), compare_versions)
            };
            Ok(pinned.iter().map(standing).collect())
        })
    }
}

/// How a pinned package, by name and version, stands to the newest version that there is.
fn standing(
    prefix: &str,
    (name, pinned): (&str, &str),
    newest: Option<&str>,
    compare: fn(&str, &str) -> Ordering,
) -> Standing {
    let now = match newest {
        Some(newest) if compare(newest, pinned) == Ordering::Greater => Now::Other(newest.to_owned()),
        Some(_) => Now::Same,
        None => Now::Gone,
    };
    Standing { kind: Kind::Package, name: format!("{prefix}/{name}"), pinned: pinned.to_owned(), now }
}
