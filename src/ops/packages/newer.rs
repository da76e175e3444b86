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
        (standings, errors)
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
            let standing = |(name, version): &(&str, &str)| {
                let now = match newest_version(indexes, name) {
                    Some(newest) if compare_versions(newest, version) == Ordering::Greater => {
                        Now::Other(newest.to_owned())
                    }
                    Some(_) => Now::Same,
                    None => Now::Gone,
                };
                let (name, pinned) = (format!("{prefix}/{name}"), (*version).to_owned());
                Standing { kind: Kind::Package, name, pinned, now }
            };
            Ok(pinned.iter().map(standing).collect())
        })
    }
}
