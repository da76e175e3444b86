//! Files of archives, from the first place that has them.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::PoisonError;

use super::archive::{Archive, Root};
use super::error::PackageError;
use super::{KnownPackages, PackageSet};
use crate::model::{BlobDigest, PinnedPackage};
use crate::ops::downloads::DOWNLOADS;
use crate::ops::error::{Error, ErrorKind};
use crate::ops::event::Event;
use crate::ops::prepare::Session;
use crate::registry::{ArchiveFile, FileError, RegistryError};
use crate::system::parallel;

/// Where a package's file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) archive: Archive,
    /// Below the archive.
    pub(super) path: String,
    /// When the archive had it: `20261120T001241Z`.
    pub(super) date: Option<String>,
    /// The suite that it was found for.
    pub(super) suite: String,
}

/// A file that is wanted, in words and by its place below an archive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'w> {
    pub(super) what: &'w str,
    pub(super) path: &'w str,
    /// Digest and size in bytes, where they are known.
    pub(super) expected: Option<(BlobDigest, u64)>,
    /// Most bytes that are taken.
    pub(super) limit: u64,
}

impl KnownPackages {
    pub(super) fn is_at(&self, digest: BlobDigest, place: Place) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, place);
    }
}

impl Session<'_> {
    /// Brings the files of Debian packages into the store.
    pub(in crate::ops) fn bring_debs(&self, set: &PackageSet) -> Result<(), Error> {
        let store = self.machine.store;
        let missing: Vec<&PinnedPackage> =
            set.packages.iter().filter(|package| !store.has_blob(&package.digest, package.size)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let places: BTreeMap<BlobDigest, Place> = {
            let places = self.packages.places.lock().unwrap_or_else(PoisonError::into_inner);
            missing
                .iter()
                .filter_map(|package| Some((package.digest, places.get(&package.digest)?.clone())))
                .collect()
        };
        let suite = places.values().next().map_or("", |place| place.suite.as_str());
        let name = format!("packages of {suite}");
        let downloads = &self.pulls.downloads;
        downloads.expect_of(&name, missing.iter().map(|package| (package.digest, package.size)));
        let brought = parallel(DOWNLOADS, &missing, |package| {
            self.machine.cancel.check()?;
            let place = places.get(&package.digest);
            let place = place.ok_or_else(|| Error::bug(format!("{} without a place", package.name)))?;
            self.packages.blobs.get(package.digest, || self.bring_deb(package, place, &name))
        });
        brought.into_iter().collect()
    }

    fn bring_deb(&self, package: &PinnedPackage, place: &Place, from: &str) -> Result<(), Error> {
        let store = self.machine.store;
        let what = format!("the package {} {} ({})", package.name, package.version, package.architecture);
        let wanted = Wanted {
            what: &what,
            path: &place.path,
            expected: Some((package.digest, package.size)),
            limit: package.size,
        };
        let get = |root: &Root| -> Result<(), Error> {
            let mut blob = store.write_blob()?;
            {
                let mut counted = self.pulls.downloads.counted_of(from, package.digest, &mut blob);
                self.fetch_from(root, &wanted, &mut counted)?;
            }
            blob.finish()?;
            Ok(())
        };
        let suites = suites(&place.suite, &place.archive);
        let suites: Vec<&str> = suites.iter().map(String::as_str).collect();
        let roots = self.packages.archives.roots(self.machine, &place.archive, &suites);
        let error = match self.first_of(&roots, &what, &get) {
            Ok(((), _)) => return Ok(()),
            Err(error) if is_gone(&error) => error,
            Err(error) => return Err(error),
        };
        // What a pool no longer has, the archive of all times has. It takes up what is new some hours later, so that the
        // day after may be needed.
        let dates = place.date.iter().flat_map(|date| [Some(date.clone()), next_day(date)]).flatten();
        for date in dates {
            let Some(root) = self.packages.archives.dated(self.machine, &place.archive, &date) else { break };
            match self.first_of(std::slice::from_ref(&root), &what, &get) {
                Ok(((), address)) => {
                    let host = address.split('/').nth(2).unwrap_or_default();
                    self.packages.tell_once(
                        self.machine,
                        &format!("packages that mirrors no longer have come from {host}"),
                    );
                    return Ok(());
                }
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(error)
    }

    /// What `get` gives at the first of these places that has it, and the place's address. A place that has other content than
    /// is known is an error.
    pub(super) fn first_of<T>(
        &self,
        roots: &[Root],
        what: &str,
        get: &dyn Fn(&Root) -> Result<T, Error>,
    ) -> Result<(T, String), Error> {
        let mut first: Option<RegistryError> = None;
        for root in roots {
            let error = match get(root) {
                Ok(found) => return Ok((found, root.address.clone())),
                Err(error) => error,
            };
            let Error { kind, .. } = error;
            match *kind {
                ErrorKind::Registry(error) if passes(&error) => {
                    if let RegistryError::File(failure) = &error
                        && let FileError::Unreachable { source, .. } = &**failure
                        && roots.len() > 1
                    {
                        self.packages.archives.is_silent(self.machine, root, &source.to_string());
                    }
                    // What says more than that it is not there is told.
                    let known = first.as_ref().is_some_and(|first| !is_missing(first));
                    if !known {
                        first = Some(error);
                    }
                }
                kind => return Err(kind.into()),
            }
        }
        let source = first.ok_or_else(|| Error::bug(format!("nowhere to look for {what}")))?;
        Err(PackageError::Fetch { what: what.to_owned(), source }.into())
    }

    /// Writes a file of an archive to `sink`.
    pub(super) fn fetch_from(
        &self,
        root: &Root,
        wanted: &Wanted<'_>,
        sink: &mut dyn Write,
    ) -> Result<(), Error> {
        let address = &format!("{}/{}", root.address, escaped(wanted.path));
        let expected = wanted.expected.map(|(digest, _)| digest);
        let file = ArchiveFile { address, expected, limit: wanted.limit, proxy: root.proxy.as_deref() };
        let Err(error) = self.machine.registry.archive_file(&file, sink) else { return Ok(()) };
        let what = wanted.what.to_owned();
        match error {
            RegistryError::File(failure) => match (*failure, wanted.expected) {
                (FileError::Digest { address, expected, found }, _) => {
                    Err(PackageError::Content { what, address, expected, found }.into())
                }
                (FileError::TooLarge { address, .. }, Some((_, expected))) => {
                    Err(PackageError::Size { what, address, expected }.into())
                }
                (failure, _) => Err(RegistryError::from(failure).into()),
            },
            offline @ RegistryError::Offline { .. } => {
                Err(PackageError::Fetch { what, source: offline }.into())
            }
            other => Err(other.into()),
        }
    }
}

impl KnownPackages {
    /// Tells something once a command.
    pub(super) fn tell_once(&self, machine: &crate::ops::machine::Machine<'_>, text: &str) {
        if self.is_new(text) {
            machine.observer.event(Event::Note(text.to_owned()));
        }
    }

    /// Warns of something once a command.
    pub(super) fn warn_once(&self, machine: &crate::ops::machine::Machine<'_>, text: &str) {
        if self.is_new(text) {
            machine.observer.event(Event::Warning(text.to_owned()));
        }
    }

    fn is_new(&self, text: &str) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned())
    }
}

/// The suites by which the host's apt may know an archive of `suite`.
pub(super) fn suites(suite: &str, archive: &Archive) -> Vec<String> {
    match archive {
        Archive::Debian => vec![suite.to_owned(), format!("{suite}-updates")],
        Archive::Security => vec![format!("{suite}-security")],
        Archive::Other(_) => Vec::new(),
    }
}

/// Whether another place may have it.
fn passes(error: &RegistryError) -> bool {
    let RegistryError::File(error) = error else { return false };
    matches!(
        **error,
        FileError::Unreachable { .. }
            | FileError::Tls { .. }
            | FileError::Broken { .. }
            | FileError::Status { .. }
            | FileError::Redirect { .. }
            | FileError::Protocol { .. }
    )
}

fn is_missing(error: &RegistryError) -> bool {
    matches!(error, RegistryError::File(error) if matches!(**error, FileError::Status { status: 404 | 410, .. }))
}

/// Whether no place has it.
pub(super) fn is_gone(error: &Error) -> bool {
    matches!(&*error.kind, ErrorKind::Package(error)
        if matches!(&**error, PackageError::Fetch { source, .. } if is_missing(source)))
}

/// A path as addresses have it: names of packages' files hold `+`, `~` and `%3a`.
fn escaped(path: &str) -> String {
    path.replace('%', "%25")
}

/// `20261120T001241Z` → `20261121T001241Z`
fn next_day(date: &str) -> Option<String> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok()?;
    Some(time.checked_add(jiff::Span::new().days(1)).ok()?.strftime("%Y%m%dT%H%M%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_later() {
        assert_eq!(next_day("20261130T235959Z").as_deref(), Some("20261201T235959Z"));
        assert_eq!(next_day("2026"), None);
    }
}
