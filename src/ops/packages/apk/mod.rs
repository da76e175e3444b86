//! Which Alpine packages an image gets, where their files are, and what they hold.

mod error;
mod fetch;
mod place;
mod repository;
mod request;
mod state;
mod unpack;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use error::ApkPackageError;
pub(in crate::ops) use fetch::ApkPlaces;

pub(super) use place::place_apks;

use repository::Repository;
use request::ApkRequest;
use state::BaseState;

use super::{PackageSet, Unpacked};
use crate::apk::{Dependency, Install, Question, compare_versions, solve};
use crate::base::BaseImage;
use crate::lock::{DIGEST, INSTALL, Kind, Row};
use crate::model::{BlobDigest, KeyDigest, PinnedPackage};
use crate::ops::error::Error;
use crate::ops::event::Event;
use crate::ops::prepare::{Session, Target};
use crate::spec::ApkPackages;
use crate::system::parallel;

/// Fields of the rows of packages.
const SIZE: &str = "size";
const CHECKSUM: &str = "checksum";
const REPOSITORY: &str = "repository";
/// Fields of the rows of requests.
const REQUEST: &str = "request";

/// The newest version that there is of pinned packages, by the head of their rows, name and pinned version.
pub(super) type NewestApks = BTreeMap<(String, String, String), Option<String>>;

/// What the image asks for, as in `/etc/apk/world`, in the order of the names.
pub(super) fn asked(packages: &ApkPackages) -> Result<Vec<Dependency>, Error> {
    let parse = |word: &String| Dependency::parse(word).map_err(ApkPackageError::Word);
    let asked = packages.install.iter().map(parse).collect::<Result<Vec<_>, _>>();
    let mut asked = asked.map_err(|error| Error::from(error).at(&packages.site))?;
    asked.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(asked)
}

impl Session<'_> {
    /// Which packages an image on `base` gets: as the lock says, else as the repositories have them now.
    pub(super) fn apk_set(
        &self,
        target: &Target,
        packages: &ApkPackages,
        base: &BaseImage,
    ) -> Result<Arc<PackageSet>, Error> {
        let found = || {
            let state = BaseState::of(&base.facts)?;
            let request = self.apk_request(packages, &state.architecture, &state.digest)?;
            let noted = format!("{} {}", state.architecture, state.digest);
            if let Some(key) = self.apk_state_key(target)
                && self.machine.store.note(&key).as_deref() != Some(noted.as_bytes())
            {
                self.machine.store.put_note(&key, noted.as_bytes())?;
            }
            // Several images ask for the same.
            self.apk_sets.get(request.name(), || match self.pins.row(Kind::Packages, &request.name())? {
                Some(row) => self.apk_pinned(&request, row),
                None => self.apk_found(target, packages, &request, &state),
            })
        };
        found().map_err(|error| error.at(&packages.site))
    }

    /// Everything that decides which packages an image gets, where the lock says it and its base was read before.
    pub(super) fn apk_identity(&self, target: &Target, packages: &ApkPackages) -> Option<String> {
        let noted = String::from_utf8(self.machine.store.note(&self.apk_state_key(target)?)?).ok()?;
        let (architecture, base) = noted.split_once(' ')?;
        let request = self.apk_request(packages, architecture, base).ok()?;
        let row = self.pins.row(Kind::Packages, &request.name()).ok()??;
        let set = self.apk_pinned(&request, row).ok()?;
        let line = |package: &PinnedPackage| format!("{} {}\n", package.name, package.digest);
        Some(set.packages.iter().map(line).collect())
    }

    /// Where it is noted what stands for the base of a target.
    fn apk_state_key(&self, target: &Target) -> Option<KeyDigest> {
        let platform = target.task.platform;
        let base = self.bases().identity(&target.spec, platform)?;
        Some(KeyDigest::of(format!("imgpack packages of an Alpine base 1\n{platform}\n{base}").as_bytes()))
    }

    fn apk_request(
        &self,
        packages: &ApkPackages,
        architecture: &str,
        base: &str,
    ) -> Result<ApkRequest, Error> {
        let asked = asked(packages)?;
        let repositories = packages.repositories.iter().map(|row| {
            let key = row.key.as_ref().map(|key| self.sources.digest(key)).transpose()?;
            Ok((Repository::location(row), key))
        });
        Ok(ApkRequest {
            architecture: architecture.to_owned(),
            install: asked.iter().map(ToString::to_string).collect(),
            repositories: repositories.collect::<Result<_, Error>>()?,
            base: base.to_owned(),
        })
    }

    /// What the rows of the lock say.
    fn apk_pinned(&self, request: &ApkRequest, row: &Row) -> Result<Arc<PackageSet>, Error> {
        let mut packages = Vec::new();
        for word in row.get(INSTALL).map(String::as_str).unwrap_or_default().split_whitespace() {
            let incomplete = || ApkPackageError::Incomplete { row: request.name(), package: word.to_owned() };
            let row = self.pins.known(Kind::Package, &request.package_row(word)).ok_or_else(incomplete)?;
            let (name, version) = word.split_once('=').ok_or_else(incomplete)?;
            let digest: BlobDigest =
                row.get(DIGEST).and_then(|text| text.parse().ok()).ok_or_else(incomplete)?;
            let size = row.get(SIZE).and_then(|text| text.parse().ok()).ok_or_else(incomplete)?;
            let repository = row.get(REPOSITORY).ok_or_else(incomplete)?;
            packages.push(PinnedPackage {
                name: name.to_owned(),
                version: version.to_owned(),
                architecture: request.architecture.clone(),
                digest,
                size,
            });
            self.apk_places.is_at(digest, repository);
        }
        Ok(Arc::new(PackageSet { packages }))
    }

    /// What the repositories have now; pinned where there is a lock.
    fn apk_found(
        &self,
        target: &Target,
        packages: &ApkPackages,
        request: &ApkRequest,
        state: &BaseState,
    ) -> Result<Arc<PackageSet>, Error> {
        let repositories = self.apk_repositories(packages, state)?;
        let indexes = parallel(self.machine.jobs, &repositories, |repository| {
            self.apk_index(repository, &state.architecture)
        });
        let indexes = indexes.into_iter().collect::<Result<Vec<_>, _>>()?;
        let installed: Vec<_> = state.installed.packages.iter().map(|known| &known.package).collect();
        let lists: Vec<&[crate::apk::Package]> = indexes.iter().map(|index| index.as_slice()).collect();
        let world = state.world(asked(packages)?);
        let question = Question { installed: &installed, repositories: &lists, world: &world };
        let changes = solve(&question).map_err(|source| ApkPackageError::Unsolved {
            architecture: state.architecture.clone(),
            source,
        })?;
        if !changes.remove.is_empty() {
            let names = changes.remove.iter().map(crate::apk::Package::full_name).collect();
            return Err(ApkPackageError::Removes(names).into());
        }
        let brought = parallel(self.machine.jobs, &changes.install, |install| {
            let repository = &repositories[install.repository];
            let pinned = self.apk_bring(repository, request, install)?;
            Ok((pinned, repository))
        });
        let brought = brought.into_iter().collect::<Result<Vec<_>, Error>>()?;
        if !self.pins.is_locked() {
            let note = format!("packages of {} are those of now (there is no lock)", target.task.identity);
            self.machine.observer.event(Event::Note(note));
        }
        let mut row = Row::from([(REQUEST.to_owned(), request.words())]);
        let words: Vec<String> =
            brought.iter().map(|(pinned, ..)| format!("{}={}", pinned.name, pinned.version)).collect();
        if !words.is_empty() {
            row.insert(INSTALL.to_owned(), words.join(" "));
        }
        for (((pinned, repository), install), word) in brought.iter().zip(&changes.install).zip(&words) {
            self.pin_apk(pinned, install, repository, &request.package_row(word))?;
        }
        self.pins.add(Kind::Packages, &request.name(), row);
        let packages = brought.into_iter().map(|(pinned, ..)| pinned).collect();
        Ok(Arc::new(PackageSet { packages }))
    }

    /// The newest versions of the packages that are pinned for an image on `base`. What is in `asked` already is not asked
    /// again.
    pub(super) fn newest_apks(
        &self,
        packages: &ApkPackages,
        base: &BaseImage,
        asked: &mut BTreeSet<String>,
    ) -> Result<NewestApks, Error> {
        let state = BaseState::of(&base.facts)?;
        let request = self.apk_request(packages, &state.architecture, &state.digest)?;
        if !asked.insert(request.name()) {
            return Ok(NewestApks::new());
        }
        let row = self.pins.rows(Kind::Packages).find(|(name, _)| *name == request.name());
        let Some(words) = row.and_then(|(_, row)| row.get(INSTALL)) else { return Ok(NewestApks::new()) };
        let repositories = self.apk_repositories(packages, &state)?;
        let indexes = repositories.iter().map(|one| self.apk_index(one, &state.architecture));
        let indexes = indexes.collect::<Result<Vec<_>, _>>()?;
        let newest = |name: &str| {
            let all = indexes.iter().flat_map(|index| index.iter()).filter(|package| package.name == name);
            let newest = all.max_by(|one, other| compare_versions(&one.version, &other.version));
            newest.map(|package| package.version.clone())
        };
        let words = words.split_whitespace().filter_map(|word| word.split_once('='));
        let row = |(name, version): (&str, &str)| {
            let prefix = format!("apk/{}", state.architecture);
            ((prefix, name.to_owned(), version.to_owned()), newest(name))
        };
        Ok(words.map(row).collect())
    }

    fn pin_apk(
        &self,
        pinned: &PinnedPackage,
        install: &Install,
        repository: &Repository,
        name: &str,
    ) -> Result<(), Error> {
        let digest = pinned.digest.to_string();
        if let Some(known) = self.pins.known(Kind::Package, name).and_then(|row| row.get(DIGEST))
            && *known != digest
            && !self.pins.takes(Kind::Package, name)
        {
            let (package, pinned, found) = (name.to_owned(), known.clone(), digest);
            return Err(ApkPackageError::Moved { package, pinned, found }.into());
        }
        self.pins.add(
            Kind::Package,
            name,
            Row::from([
                (DIGEST.to_owned(), digest),
                (SIZE.to_owned(), pinned.size.to_string()),
                (CHECKSUM.to_owned(), install.package.identity.clone()),
                (REPOSITORY.to_owned(), repository.name.clone()),
            ]),
        );
        Ok(())
    }

    /// What packages hold, in their order.
    pub(super) fn unpack_apks(
        &self,
        packages: &ApkPackages,
        set: &PackageSet,
    ) -> Result<Vec<Unpacked>, Error> {
        let unpack = |package: &PinnedPackage| {
            self.machine.cancel.check()?;
            self.unpacked.get(package.digest, || {
                self.apk_file(package, &packages.site)?;
                self.unpack_apk(package)
            })
        };
        parallel(self.machine.jobs, &set.packages, unpack).into_iter().collect()
    }
}
