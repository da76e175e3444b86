//! What repositories have now: their signed Release files and their indexes.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;

use super::archive::{Repository, Root};
use super::error::PackageError;
use super::fetch::{Wanted, is_gone, suites};
use crate::debian::{Index, IndexError, Release, signed_text};
use crate::lock::{Kind, RELEASE};
use crate::model::BlobDigest;
use crate::ops::error::{Error, ErrorKind};
use crate::ops::prepare::Session;
use crate::registry::RegistryError;
use crate::tar::open_xz;

/// Larger InRelease files are refused (bytes); Debian's have 150 kB.
const LARGEST_RELEASE: u64 = 8 << 20;
/// Larger indexes are refused (bytes, packed and unpacked); bookworm's largest has 8.8 MB and 50 MB.
const LARGEST_INDEX: u64 = 512 << 20;

/// The state of a repository.
#[derive(Debug)]
pub(super) struct KnownRelease {
    pub(super) repository: Repository,
    pub(super) release: Release,
    /// Digest of the InRelease file.
    pub(super) digest: BlobDigest,
    /// Its address.
    pub(super) address: String,
    /// Where it came from.
    root: Root,
}

/// An index that is in the store.
#[derive(Debug, Clone)]
pub(super) struct StoredIndex {
    /// Suite and component.
    what: String,
    pub(super) digest: BlobDigest,
    /// In bytes, packed.
    pub(super) size: u64,
    /// Where it is below the archive, in the order in which that is tried.
    paths: Vec<String>,
    packing: Packing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Xz,
    Gzip,
    Plain,
}

const PACKINGS: [(Packing, &str); 3] = [(Packing::Xz, ".xz"), (Packing::Gzip, ".gz"), (Packing::Plain, "")];

/// `20261120T001241Z`, as the dated archive has it.
pub(super) fn compact(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

impl Session<'_> {
    /// The state of a repository now, its signature checked, asked once a command. `suite` is that of the image.
    pub(super) fn release(&self, repository: &Repository, suite: &str) -> Result<Arc<KnownRelease>, Error> {
        let name = format!("{} {} {}", repository.name(), repository.folder(), repository.trust);
        let Ok(known) = self.packages.releases.get(name, || {
            Ok::<_, std::convert::Infallible>(
                self.find_release(repository, suite).map(Arc::new).map_err(|error| Arc::from(error.kind)),
            )
        });
        known.map_err(|kind| ErrorKind::Shared(kind).into())
    }

    fn find_release(&self, repository: &Repository, suite: &str) -> Result<KnownRelease, Error> {
        let suites = suites(suite, &repository.archive);
        let suites: Vec<&str> = suites.iter().map(String::as_str).collect();
        let roots = self.packages.archives.roots(self.machine, &repository.archive, &suites);
        let path = format!("{}InRelease", repository.folder());
        let what = format!("the state of {}", repository.name());
        let wanted = Wanted { what: &what, path: &path, expected: None, limit: LARGEST_RELEASE };
        let got = self.first_of(&roots, &what, &|root| {
            let mut bytes = Vec::new();
            self.fetch_from(root, &wanted, &mut bytes)?;
            Ok((bytes, root.clone()))
        });
        let offline = |error: Error| -> Error {
            match *error.kind {
                ErrorKind::Package(fetch)
                    if matches!(
                        &*fetch,
                        PackageError::Fetch { source: RegistryError::Offline { .. }, .. }
                    ) =>
                {
                    PackageError::Offline { suite: repository.suite.clone() }.into()
                }
                kind => kind.into(),
            }
        };
        let ((bytes, root), _) = got.map_err(offline)?;
        let address = format!("{}/{path}", root.address);
        let now = Timestamp::now();
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let text = signed_text(&bytes, &repository.keys, seconds)
            .map_err(|source| PackageError::Signature { address: address.clone(), source })?;
        let release = Release::parse(&text)
            .map_err(|source| PackageError::Release { address: address.clone(), source })?;
        // A folder of a flat repository is no suite.
        if !repository.components.is_empty() && !release.is_of(&repository.suite) {
            let found = release.codename.or(release.suite).unwrap_or_else(|| "none".to_owned());
            return Err(PackageError::Suite { address, found, wanted: repository.suite.clone() }.into());
        }
        if let Some(until) = release.valid_until.filter(|until| *until < now) {
            return Err(PackageError::Ended { address, until }.into());
        }
        if let Some(pinned) = self.newest_pinned(repository).filter(|pinned| release.date < *pinned) {
            return Err(PackageError::Rollback { address, date: release.date, pinned }.into());
        }
        Ok(KnownRelease {
            repository: repository.clone(),
            release,
            digest: BlobDigest::of(&bytes),
            address,
            root,
        })
    }

    /// The newest date of a repository that the lock file knows.
    fn newest_pinned(&self, repository: &Repository) -> Option<Timestamp> {
        let field = format!("{RELEASE}{}", repository.name());
        let dates = self.pins.rows(Kind::Packages).filter_map(|(_, row)| row.get(&field));
        dates.filter_map(|date| time(date)).max()
    }

    /// The indexes of a repository for an architecture.
    pub(super) fn listed_indexes(
        known: &KnownRelease,
        architecture: &str,
    ) -> Result<Vec<StoredIndex>, Error> {
        let folder = known.repository.folder();
        let mut folders: Vec<(String, &str)> = Vec::new();
        for component in &known.repository.components {
            folders.push((format!("{component}/binary-{architecture}/"), component));
            if known.release.separate_all {
                folders.push((format!("{component}/binary-all/"), component));
            }
        }
        if known.repository.components.is_empty() {
            folders.push((String::new(), ""));
        }
        let mut found = Vec::new();
        for (below, component) in folders {
            let listed = PACKINGS.iter().find_map(|(packing, ending)| {
                let path = format!("{below}Packages{ending}");
                known.release.files.get(&path).map(|file| (*packing, path, *file))
            });
            let Some((packing, path, (digest, size))) = listed else {
                return Err(PackageError::NoIndex {
                    address: known.address.clone(),
                    component: if component.is_empty() { "any component" } else { component }.to_owned(),
                    architecture: architecture.to_owned(),
                }
                .into());
            };
            let what = format!("the index {} of {}", path, known.repository.name());
            if size > LARGEST_INDEX {
                let source = IndexError::Read(too_large());
                return Err(PackageError::Index { repository: what, source }.into());
            }
            let by_hash = format!("{folder}{below}by-hash/SHA256/{}", digest.hex());
            let plain = format!("{folder}{path}");
            let paths = if known.release.by_hash { vec![by_hash, plain] } else { vec![plain] };
            found.push(StoredIndex { what, digest, size, paths, packing });
        }
        Ok(found)
    }

    /// Brings an index into the store. `name`: what it is counted as a part of.
    pub(super) fn bring_index(
        &self,
        known: &KnownRelease,
        index: &StoredIndex,
        name: &str,
    ) -> Result<(), Error> {
        let (what, expected) = (index.what.as_str(), (index.digest, index.size));
        self.packages.blobs.get(expected.0, || {
            let mut missing = None;
            for path in &index.paths {
                let wanted = Wanted { what, path, expected: Some(expected), limit: expected.1 };
                // Where the Release came from, the index of that Release is.
                let got = self.first_of(std::slice::from_ref(&known.root), what, &|root| {
                    let mut blob = self.machine.store.write_blob()?;
                    {
                        let mut counted = self.pulls.downloads.counted_of(name, expected.0, &mut blob);
                        self.fetch_from(root, &wanted, &mut counted)?;
                    }
                    blob.finish()?;
                    Ok(())
                });
                match got {
                    Ok(_) => return Ok(()),
                    Err(error) if is_gone(&error) => missing = Some(error),
                    Err(error) => return Err(error),
                }
            }
            Err(missing.unwrap_or_else(|| Error::bug("an index without a path")))
        })
    }

    /// Reads an index.
    pub(super) fn read_index(&self, index: &StoredIndex) -> Result<Index, Error> {
        let file = BufReader::with_capacity(64 << 10, self.machine.store.open_blob(&index.digest)?);
        let plain: Box<dyn Read + Send> = match index.packing {
            Packing::Xz => Box::new(open_xz(file)),
            Packing::Gzip => Box::new(MultiGzDecoder::new(file)),
            Packing::Plain => Box::new(file),
        };
        let mut plain = BufReader::with_capacity(128 << 10, Limited { plain, left: LARGEST_INDEX });
        let read = |plain: &mut dyn BufRead| Index::read(plain);
        read(&mut plain)
            .map_err(|source| PackageError::Index { repository: index.what.clone(), source }.into())
    }
}

/// The time of what [`compact`] gives.
pub(super) fn time(compact: &str) -> Option<Timestamp> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", compact).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// A stream that ends with an error where it is longer than it may be: a few bytes unpack to any number.
struct Limited<R> {
    plain: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.plain.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(too_large)?;
        Ok(count)
    }
}

fn too_large() -> std::io::Error {
    std::io::Error::other(format!("it is larger than {LARGEST_INDEX} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_dated_archive() {
        let date: Timestamp = "2026-11-20T00:12:41Z".parse().unwrap();
        assert_eq!(compact(date), "20261120T001241Z");
        assert_eq!(time(&compact(date)), Some(date));
        assert_eq!(time("2026-11-20"), None);
    }

    #[test]
    fn an_index_ends_somewhere() {
        let mut limited = Limited { plain: std::io::repeat(b'x').take(20), left: 10 };
        assert!(limited.read_to_end(&mut Vec::new()).is_err());
        let mut limited = Limited { plain: std::io::repeat(b'x').take(10), left: 10 };
        assert_eq!(limited.read_to_end(&mut Vec::new()).unwrap(), 10);
    }
}
