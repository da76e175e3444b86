use std::collections::BTreeMap;

use super::Resolver;
use crate::spec::language::{Apk, ApkRow, Debian, DebianRow, KeepWord, PackagesMap};
use crate::spec::service::{
    ApkLocation, ApkPackages, ApkRepository, DebianPackages, DebianRepository, Keep, Packages,
};
use crate::spec::shape::{Field, Items, Late, Set};
use crate::spec::sources::Span;

impl Resolver<'_> {
    pub(super) fn packages(&mut self, field: &Field<PackagesMap>) -> Option<Packages> {
        let map = field.value()?;
        match (map.debian.get(), map.apk.get()) {
            (Some(_), Some(apk)) => {
                self.reader
                    .say(apk.span, "packages of two distributions, debian and apk: an image has one")
                    .hint("remove one; what is extended goes with `debian: null` or `apk: null`");
                None
            }
            (Some(debian), None) => self.debian(debian).map(Packages::Debian),
            (None, Some(apk)) => Some(Packages::Apk(self.apk(apk))),
            (None, None) => None,
        }
    }

    fn debian(&mut self, set: &Set<Debian>) -> Option<DebianPackages> {
        let debian = &set.value;
        if !debian.suite.is_said() {
            self.reader
                .say(set.span, "`packages.debian` without `suite`")
                .hint("say the code name of the base's Debian: `suite: trixie`");
        }
        let suite = self.word(&debian.suite);
        let mut wanted: BTreeMap<String, Span> = BTreeMap::new();
        let mut install = Vec::new();
        for (package, span) in self.items(&debian.install) {
            if wanted.insert(package.name.clone(), span).is_some() {
                self.reader.say(span, format!("package `{}` twice", package.name));
                continue;
            }
            install.push(match package.version {
                Some(version) => format!("{}={version}", package.name),
                None => package.name,
            });
        }
        self.check_installs(&debian.install, "packages.debian", set.span);
        let mut exclude = Vec::new();
        for (package, span) in self.items(&debian.exclude) {
            if wanted.contains_key(&package.0) {
                self.reader
                    .say(span, format!("package `{}` is both in `install` and in `exclude`", package.0))
                    .hint("remove one");
            } else if !exclude.contains(&package.0) {
                exclude.push(package.0);
            }
        }
        let keep = self.keep(&debian.keep);
        let scripts_ignored = self.scripts_ignored(debian.scripts.rows());
        let mut repositories = Vec::new();
        for (row, span) in debian.repositories.items() {
            repositories.extend(self.debian_repository(row, *span));
        }
        let site = self.reader.sources.site(set.span);
        Some(DebianPackages { suite: suite?.0, install, exclude, keep, scripts_ignored, repositories, site })
    }

    fn debian_repository(&mut self, row: &DebianRow, span: Span) -> Option<DebianRepository> {
        let said = [("url", row.url.is_said()), ("suite", row.suite.is_said()), ("key", row.key.is_said())];
        for (name, _) in said.iter().filter(|(_, said)| !said) {
            let hint = match *name {
                "key" => {
                    "nothing of a repository is believed that its key has not signed: `key: keys/example.asc`"
                }
                "suite" => "`suite: trixie`, or for a flat repository its folder, as `suite: ./`",
                _ => "`url` is the address of the archive's root",
            };
            self.reader.say(span, format!("a repository without `{name}`")).hint(hint);
        }
        let url = self.word(&row.url);
        let suite = self.word(&row.suite);
        let components = self.items(&row.components);
        let key = self.word(&row.key);
        let path = |text: &str| {
            let folders = text.strip_suffix('/').unwrap_or(text);
            text == "./" || text == "/" || folders.split('/').all(is_archive_word)
        };
        if let Some(suite) = row.suite.get().filter(|_| suite.as_deref().is_some_and(|suite| !path(suite))) {
            self.reader
                .say(suite.span, "this is not a suite")
                .hint("write it as it stands in sources.list, like trixie or trixie/updates");
            return None;
        }
        for (component, span) in &components {
            if !component.split('/').all(is_archive_word) {
                self.reader
                    .say(*span, format!("`{component}` is not a component of a repository"))
                    .hint("write them like [main, contrib]");
            }
        }
        let suite = suite?;
        if suite.ends_with('/') != components.is_empty() {
            let (message, hint) = if components.is_empty() {
                (
                    "a repository without `components`",
                    "write `components: [main]`; a flat repository has none, and its suite ends with a slash",
                )
            } else {
                (
                    "a flat repository, whose suite ends with a slash, has no components",
                    "remove `components`, or the slash",
                )
            };
            self.reader.say(row.suite.get().map_or(span, |set| set.span), message).hint(hint);
            return None;
        }
        let components = components.into_iter().map(|(component, _)| component).collect();
        Some(DebianRepository { url: url?.0, suite, components, key: key? })
    }

    fn apk(&mut self, set: &Set<Apk>) -> ApkPackages {
        let apk = &set.value;
        let mut install: Vec<String> = Vec::new();
        for (package, span) in self.items(&apk.install) {
            if install.contains(&package.0) {
                self.reader.say(span, format!("package `{}` twice", package.0));
            } else {
                install.push(package.0);
            }
        }
        self.check_installs(&apk.install, "packages.apk", set.span);
        let keep = self.keep(&apk.keep);
        let scripts_ignored = self.scripts_ignored(apk.scripts.rows());
        let mut repositories = Vec::new();
        for (row, span) in apk.repositories.items() {
            repositories.extend(self.apk_repository(row, *span));
        }
        let site = self.reader.sources.site(set.span);
        ApkPackages { install, keep, scripts_ignored, repositories, site }
    }

    fn apk_repository(&mut self, row: &ApkRow, span: Span) -> Option<ApkRepository> {
        let from = match (row.url.is_said(), row.dir.is_said()) {
            (true, false) => self.word(&row.url).map(|url| ApkLocation::Url(url.0)),
            (false, true) => self.word(&row.dir).map(ApkLocation::Directory),
            (both, _) => {
                let message = if both {
                    "a repository has one of `url` and `dir`"
                } else {
                    "a repository without `url` or `dir`"
                };
                self.reader
                    .say(span, message)
                    .hint("`url` is the address of the folder that has a folder for each architecture, `dir` the same in the workspace");
                None
            }
        };
        let key = self.word(&row.key);
        if row.key.is_said() && key.is_none() {
            return None;
        }
        Some(ApkRepository { from: from?, key })
    }

    /// Says so where nothing is installed.
    fn check_installs<T>(&mut self, install: &Field<Items<T>>, label: &str, span: Span) {
        let empty = install.value().is_none_or(|items| items.0.is_empty() && !items.1);
        if empty && !matches!(install, Field::Broken) {
            self.reader
                .say(span, format!("`{label}` installs nothing"))
                .hint("write `install: [PACKAGE]`, or `packages: null` where what is extended goes");
        }
    }

    fn keep(&mut self, field: &Field<Items<Late<KeepWord>>>) -> Keep {
        let mut keep = Keep::default();
        for (word, _) in self.items(field) {
            match word {
                KeepWord::Docs => keep.docs = true,
                KeepWord::Man => keep.man = true,
                KeepWord::Locales => keep.locales = true,
            }
        }
        keep
    }

    fn scripts_ignored<'a, T: crate::spec::shape::FromText + 'a>(
        &mut self,
        rows: impl Iterator<Item = (&'a String, &'a crate::spec::shape::Row<Late<T>>)>,
    ) -> std::collections::BTreeSet<String> {
        let mut names = std::collections::BTreeSet::new();
        for (name, row) in rows {
            if self.word(&row.field).is_some() {
                names.insert(name.clone());
            }
        }
        names
    }
}

/// A word of an archive's paths.
fn is_archive_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '~'))
}
