//! Which Debian packages an image gets.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, PoisonError};

use super::PackageSet;
use super::archive::{Archive, Repository};
use super::error::PackageError;
use super::fetch::Place;
use super::release::{KnownRelease, StoredIndex, compact, time};
use super::request::{DebianRequest, database, installed};
use crate::base::BaseImage;
use crate::debian::{Chosen, Index, Installed, Keyring, Request, Solution, is_below, solve};
use crate::elf::Distribution;
use crate::lock::{DIGEST, INSTALL, Kind, RELEASE, Row};
use crate::model::{BlobDigest, KeyDigest, PinnedPackage};
use crate::ops::error::Error;
use crate::ops::pins::QUESTIONS;
use crate::ops::prepare::{Session, Target};
use crate::spec::DebianPackages;
use crate::system::{fs, parallel};

/// Files of keys that are trusted beside Debian's own for its suites, with `:` between them.
const KEYS: &str = "IMGPACK_DEBIAN_KEYS";

/// Raised when the same repositories and the same request would give other packages.
const REVISION: &str = "1";

/// What a request came to at one time.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Solved {
    packages: Vec<SolvedPackage>,
    /// What is said of it where it is pinned, or used without being pinned.
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct SolvedPackage {
    package: PinnedPackage,
    archive: String,
    date: String,
    path: String,
}

impl Session<'_> {
    /// Everything that decides which packages an image gets, without its base where that was read before.
    pub(super) fn debian_identity(&self, target: &Target, packages: &DebianPackages) -> Option<String> {
        let database = self.machine.store.note(&self.database_key(target)?)?;
        let request = self.request(target, packages, String::from_utf8(database).ok()?).ok()?;
        let set = self.set(&request, packages, None).ok()??;
        let line = |package: &PinnedPackage| format!("{} {}\n", package.name, package.digest);
        Some(set.packages.iter().map(line).collect())
    }

    /// The packages that an image on `base` gets.
    pub(super) fn debian_set(
        &self,
        target: &Target,
        packages: &DebianPackages,
        base: &BaseImage,
    ) -> Result<Arc<PackageSet>, Error> {
        self.compare_with_base(target, packages, base)?;
        let installed = installed(&base.facts);
        let database = database(&installed);
        if let Some(key) = self.database_key(target)
            && self.machine.store.note(&key).as_deref() != Some(database.as_bytes())
        {
            self.machine.store.put_note(&key, database.as_bytes())?;
        }
        let request = self.request(target, packages, database)?;
        let at = |error: Error| if error.context.is_empty() { error.at(&packages.site) } else { error };
        let set = self.set(&request, packages, Some(&installed)).map_err(at)?;
        set.ok_or_else(|| Error::bug("packages that are not solved"))
    }

    /// Packages of another distribution than the base's do not work on it, those of another suite seldom.
    fn compare_with_base(
        &self,
        target: &Target,
        packages: &DebianPackages,
        base: &BaseImage,
    ) -> Result<(), Error> {
        match Distribution::of_base(&base.facts) {
            Some(Distribution::Alpine) => Err(Error::from(PackageError::Alpine).at(&packages.site)),
            Some(Distribution::Debian(Some(suite))) if suite != packages.suite => {
                let (identity, wanted) = (&target.task.identity, &packages.suite);
                let text = format!("{identity}: packages of {wanted} on a base of {suite}");
                self.packages.warn_once(self.machine, &text);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Where it is noted what the base of a target has.
    fn database_key(&self, target: &Target) -> Option<KeyDigest> {
        let platform = target.task.platform;
        let base = self.bases().identity(&target.spec, platform)?;
        Some(KeyDigest::of(format!("imgpack packages of a base {REVISION}\n{platform}\n{base}").as_bytes()))
    }

    fn request(
        &self,
        target: &Target,
        packages: &DebianPackages,
        database: String,
    ) -> Result<DebianRequest, Error> {
        let keys = packages.repositories.iter().map(|row| self.sources.digest(&row.key));
        let keys = keys.collect::<Result<Vec<_>, Error>>()?;
        Ok(DebianRequest::new(packages, target.task.platform.goarch(), keys, database))
    }

    /// The packages of a request: those of the lock, else those that the repositories have now. `None` only where `installed`
    /// is not given, and would be needed.
    fn set(
        &self,
        request: &DebianRequest,
        packages: &DebianPackages,
        installed: Option<&[Installed]>,
    ) -> Result<Option<Arc<PackageSet>>, Error> {
        let found = self.packages.sets.get(request.name(), || {
            if let Some(row) = self.pins.row(Kind::Packages, &request.name()).map_err(Some)? {
                return self.pinned(request, row).map_err(Some);
            }
            let releases = self.releases(packages).map_err(Some)?;
            let solved = self.solved(request, &releases, installed).map_err(Some)?.ok_or(None)?;
            self.pin_set(request, &releases, solved).map_err(Some)
        });
        match found {
            Ok(set) => Ok(Some(set)),
            Err(None) => Ok(None),
            Err(Some(error)) => Err(error),
        }
    }

    /// What the rows of the lock say.
    fn pinned(&self, request: &DebianRequest, row: &Row) -> Result<Arc<PackageSet>, Error> {
        let words = row.get(INSTALL).map(String::as_str).unwrap_or_default().split_whitespace();
        let mut packages = Vec::new();
        for word in words {
            let found = [request.architecture.as_str(), "all"].into_iter().find_map(|architecture| {
                let name = package_row(&request.suite, architecture, word);
                let row = self.pins.known(Kind::Package, &name)?;
                self.pinned_package(request, architecture, word, row)
            });
            packages.push(
                found.ok_or_else(|| PackageError::Incomplete {
                    row: request.name(),
                    package: word.to_owned(),
                })?,
            );
        }
        Ok(Arc::new(PackageSet { packages }))
    }

    fn pinned_package(
        &self,
        request: &DebianRequest,
        architecture: &str,
        word: &str,
        row: &Row,
    ) -> Option<PinnedPackage> {
        let (name, version) = word.split_once('=')?;
        let digest: BlobDigest = row.get(DIGEST)?.parse().ok()?;
        let size = row.get(SIZE)?.parse().ok()?;
        let path = row.get(PATH).filter(|path| is_below(path))?.clone();
        let (archive, date) = match row.get(ARCHIVE)?.split_once(' ') {
            Some((archive, date)) => (archive, Some(date.to_owned())),
            None => (row.get(ARCHIVE)?.as_str(), None),
        };
        let archive = Archive::of(archive);
        // A lock sends nobody to where the spec does not.
        let is_known = match &archive {
            Archive::Other(url) => request.repositories.iter().any(|(known, ..)| known == url),
            _ => true,
        };
        if !is_known || date.as_deref().is_some_and(|date| time(date).is_none()) {
            return None;
        }
        let suite = request.suite.clone();
        self.packages.is_at(digest, Place { archive, path, date, suite });
        let (name, version, architecture) = (name.to_owned(), version.to_owned(), architecture.to_owned());
        Some(PinnedPackage { name, version, architecture, digest, size })
    }

    /// The state of all repositories of an image.
    pub(super) fn releases(&self, packages: &DebianPackages) -> Result<Vec<Arc<KnownRelease>>, Error> {
        let repositories = self.repositories(packages)?;
        let found =
            parallel(QUESTIONS, &repositories, |repository| self.release(repository, &packages.suite));
        found.into_iter().collect()
    }

    /// Debian's keys, and those that this machine trusts beside them for mirrors that sign anew; what stands for them.
    fn debian_keys(&self) -> Result<(Arc<Keyring>, String), Error> {
        let mut keys = Keyring::debian().map_err(|error| Error::bug(error.to_string()))?;
        let mut trust = "debian".to_owned();
        let said = self.machine.environment.get(OsStr::new(KEYS)).map(OsString::as_os_str);
        for path in
            std::env::split_paths(said.unwrap_or_default()).filter(|path| !path.as_os_str().is_empty())
        {
            let bytes = fs::read(&path)?;
            let own = Keyring::read(&bytes).map_err(|source| PackageError::Key {
                path: format!("{KEYS}: {}", path.display()),
                source,
            })?;
            keys.add(own);
            trust.push_str(&format!(" {}", BlobDigest::of(&bytes)));
        }
        Ok((Arc::new(keys), trust))
    }

    /// The suite, its updates, its security updates, and others.
    fn repositories(&self, packages: &DebianPackages) -> Result<Vec<Repository>, Error> {
        let suite = &packages.suite;
        let (keys, trust) = self.debian_keys()?;
        let own = [
            (Archive::Debian, suite.clone()),
            (Archive::Debian, format!("{suite}-updates")),
            (Archive::Security, format!("{suite}-security")),
        ];
        let mut found: Vec<Repository> = own
            .into_iter()
            .map(|(archive, suite)| Repository {
                archive,
                suite,
                components: vec!["main".to_owned()],
                keys: Arc::clone(&keys),
                trust: trust.clone(),
            })
            .collect();
        for row in &packages.repositories {
            let bytes = self.sources.bytes(&row.key)?;
            let keys = Keyring::read(&bytes).map_err(|source| {
                Error::from(PackageError::Key { path: row.key.path.clone(), source }).at(&row.key.site)
            })?;
            found.push(Repository {
                archive: Archive::Other(row.url.clone()),
                suite: row.suite.clone(),
                components: row.components.clone(),
                keys: Arc::new(keys),
                trust: BlobDigest::of(&bytes).to_string(),
            });
        }
        Ok(found)
    }

    /// What a request comes to in this state of the repositories; `None` where that is not known, and the base neither.
    fn solved(
        &self,
        request: &DebianRequest,
        releases: &[Arc<KnownRelease>],
        installed: Option<&[Installed]>,
    ) -> Result<Option<Solved>, Error> {
        let state: Vec<String> = releases.iter().map(|known| known.digest.to_string()).collect();
        let program = self.program();
        let note = format!("imgpack debian {REVISION}\n{program:?}\n{request:?}\n{}", state.join("\n"));
        let note = KeyDigest::of(note.as_bytes());
        if let Some(known) = self.machine.store.record::<Solved>(&note) {
            return Ok(Some(known));
        }
        let Some(installed) = installed else { return Ok(None) };
        let question = Request {
            architecture: request.architecture.clone(),
            install: request.install.clone(),
            exclude: request.exclude.clone(),
        };
        let solved = self.with_indexes(releases, &request.architecture, |indexes, owners| {
            let solution = solve(&question, indexes, installed).map_err(|source| PackageError::Unsolved {
                suite: request.suite.clone(),
                architecture: request.architecture.clone(),
                source,
            })?;
            let notes = notes(&solution);
            let place = |chosen: Chosen| {
                let known = owners.get(chosen.index).and_then(|owner| releases.get(*owner));
                let known = known.ok_or_else(|| Error::bug("a package of no repository"))?;
                Ok(SolvedPackage {
                    package: chosen.package,
                    archive: known.repository.archive.name().to_owned(),
                    date: compact(known.release.date),
                    path: chosen.path,
                })
            };
            let packages = solution.packages.into_iter().map(place).collect::<Result<Vec<_>, Error>>()?;
            Ok(Solved { packages, notes })
        })?;
        self.machine.store.put_record(&note, &solved)?;
        Ok(Some(solved))
    }

    /// Does `work` with the indexes of repositories, and for each index the number of its repository. Of one architecture at a
    /// time: they need much memory.
    pub(super) fn with_indexes<T>(
        &self,
        releases: &[Arc<KnownRelease>],
        architecture: &str,
        work: impl FnOnce(&[Index], &[usize]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut stored = Vec::new();
        for (owner, known) in releases.iter().enumerate() {
            stored.extend(Self::listed_indexes(known, architecture)?.into_iter().map(|index| (owner, index)));
        }
        let is_missing =
            |(_, index): &&(usize, StoredIndex)| !self.machine.store.has_blob(&index.digest, index.size);
        let missing: Vec<_> = stored.iter().filter(is_missing).collect();
        let suite = releases.first().map_or("", |known| known.repository.suite.as_str());
        let name = format!("indexes of {suite} for {architecture}");
        self.pulls.downloads.expect_of(&name, missing.iter().map(|(_, index)| (index.digest, index.size)));
        for (owner, index) in missing {
            self.machine.cancel.check()?;
            self.bring_index(&releases[*owner], index, &name)?;
        }
        let owners: Vec<usize> = stored.iter().map(|(owner, _)| *owner).collect();
        let mut held = self.packages.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{stored:?}");
        if held.as_ref().is_none_or(|(known, _)| *known != name) {
            // Before others are read.
            *held = None;
            let mut indexes = Vec::new();
            for (_, index) in &stored {
                self.machine.cancel.check()?;
                indexes.push(self.read_index(index)?);
            }
            *held = Some((name, indexes));
        }
        let indexes = held.as_ref().map(|(_, indexes)| indexes.as_slice()).unwrap_or_default();
        work(indexes, &owners)
    }

    /// Pins what was found where there is a lock file, and else says of when it is.
    fn pin_set(
        &self,
        request: &DebianRequest,
        releases: &[Arc<KnownRelease>],
        solved: Solved,
    ) -> Result<Arc<PackageSet>, Error> {
        if !self.pins.is_locked() {
            let date = releases.iter().map(|known| known.release.date).max();
            let date = date.map(|date| date.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
            let note = format!("{} is as of {date} now (there is no lock)", request.suite);
            self.packages.tell_once(self.machine, &note);
        }
        solved.notes.iter().for_each(|note| self.packages.tell_once(self.machine, note));
        let mut row = Row::from([("request".to_owned(), request.words())]);
        for known in releases {
            row.insert(format!("{RELEASE}{}", known.repository.name()), compact(known.release.date));
        }
        let mut install = Vec::new();
        let mut packages = Vec::new();
        for found in solved.packages {
            let SolvedPackage { package, archive, date, path } = found;
            let word = format!("{}={}", package.name, package.version);
            let name = package_row(&request.suite, &package.architecture, &word);
            let of = Archive::of(&archive);
            let dated = !matches!(of, Archive::Other(_));
            let fields = Row::from([
                (DIGEST.to_owned(), package.digest.to_string()),
                (SIZE.to_owned(), package.size.to_string()),
                (PATH.to_owned(), path.clone()),
                (ARCHIVE.to_owned(), if dated { format!("{archive} {date}") } else { archive }),
            ]);
            match self.pins.known(Kind::Package, &name).and_then(|row| row.get(DIGEST)) {
                // The row stays as it is, also where another date would do.
                Some(pinned) if *pinned == package.digest.to_string() => {}
                Some(pinned) if !self.pins.takes(Kind::Package, &name) => {
                    let pinned = pinned.parse().map_err(|_| Error::bug("a digest that is none"))?;
                    return Err(PackageError::Moved { package: name, pinned, found: package.digest }.into());
                }
                _ => self.pins.add(Kind::Package, &name, fields),
            }
            let (date, suite) = (dated.then_some(date), request.suite.clone());
            self.packages.is_at(package.digest, Place { archive: of, path, date, suite });
            install.push(word);
            packages.push(package);
        }
        if !install.is_empty() {
            row.insert(INSTALL.to_owned(), install.join(" "));
        }
        self.pins.add(Kind::Packages, &request.name(), row);
        Ok(Arc::new(PackageSet { packages }))
    }
}

/// What somebody may not expect of a solution: packages of the base that are replaced, and what was left out although
/// others need it.
fn notes(solution: &Solution) -> Vec<String> {
    let replaced = solution.packages.iter().filter_map(|Chosen { package, replaces, .. }| {
        let (old, PinnedPackage { name, version, .. }) = (replaces.as_ref()?, package);
        Some(format!("{name} {version} takes the place of the base's {old}"))
    });
    let mut left_out: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (who, excluded) in &solution.left_out {
        left_out.entry(excluded).or_default().push(who);
    }
    let left_out = left_out.into_iter().map(|(excluded, who)| match who[..] {
        [who] => format!("{who} depends on {excluded}, which is left out as `exclude` says"),
        [first, ref others @ ..] => {
            let more = others.len();
            format!("{first} and {more} more depend on {excluded}, which is left out as `exclude` says")
        }
        [] => String::new(),
    });
    replaced.chain(left_out).collect()
}

/// Fields of rows about packages.
const SIZE: &str = "size";
const PATH: &str = "path";
const ARCHIVE: &str = "archive";

/// `debian/bookworm/amd64/libssl3=3.0.17-1~deb12u2`
fn package_row(suite: &str, architecture: &str, word: &str) -> String {
    format!("debian/{suite}/{architecture}/{word}")
}
