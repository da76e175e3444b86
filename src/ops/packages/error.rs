use jiff::Timestamp;

use crate::debian::{IndexError, KeyError, NoSolution, ReleaseError, SignatureError};
use crate::lock::LOCK_FILE;
use crate::model::BlobDigest;
use crate::registry::RegistryError;

/// Why packages of a distribution could not be found, or not be had.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file of an archive that none of the places has.
    #[error("cannot fetch {what}")]
    Fetch {
        /// The package, or the file of a repository.
        what: String,
        /// What the last place said.
        source: RegistryError,
    },
    /// Another content than is known of a package or of an index.
    #[error("{what} is another file at {address}: expected {expected}, found {found}")]
    Content {
        /// The package, or the index.
        what: String,
        /// Where it came from.
        address: String,
        /// The digest that is known.
        expected: BlobDigest,
        /// The digest of what came.
        found: BlobDigest,
    },
    /// A size that is another than is known.
    #[error("{what} at {address} has not the {expected} bytes that are expected")]
    Size {
        /// The package, or the index.
        what: String,
        /// Where it came from.
        address: String,
        /// The size that is known, in bytes.
        expected: u64,
    },
    /// A signature that is missing, or not good.
    #[error("{address} is not to be trusted")]
    Signature {
        /// The InRelease file.
        address: String,
        /// Why not.
        source: SignatureError,
    },
    /// A signed file that says nothing that is understood.
    #[error("{address} cannot be read")]
    Release {
        /// The InRelease file.
        address: String,
        /// Why not.
        source: ReleaseError,
    },
    /// Another suite than was asked for.
    #[error("{address} is of the suite {found}, not of {wanted}")]
    Suite {
        /// The InRelease file.
        address: String,
        /// What it says.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// An older state of a repository than was seen before.
    #[error("{address} is of {date}, and {LOCK_FILE} was made of {pinned}")]
    Rollback {
        /// The InRelease file.
        address: String,
        /// Its date.
        date: Timestamp,
        /// The newest date of the lock.
        pinned: Timestamp,
    },
    /// A state of a repository that is too old.
    #[error("{address} was valid until {until}")]
    Ended {
        /// The InRelease file.
        address: String,
        /// The end.
        until: Timestamp,
    },
    /// A repository without packages for an architecture.
    #[error("{address} has no packages of {component} for {architecture}")]
    NoIndex {
        /// The InRelease file.
        address: String,
        /// The component.
        component: String,
        /// Debian's word.
        architecture: String,
    },
    /// An index that cannot be read.
    #[error("cannot read the packages of {repository}")]
    Index {
        /// Suite and component.
        repository: String,
        /// Why not.
        source: IndexError,
    },
    /// A file of keys.
    #[error("{path} cannot be used as the key of a repository")]
    Key {
        /// The file, in the workspace.
        path: String,
        /// Why not.
        source: KeyError,
    },
    /// Debian's packages on Alpine.
    #[error("packages.debian wants a base of Debian or an empty one, and this one is Alpine")]
    Alpine,
    /// Packages that do not go together.
    #[error("cannot choose packages of {suite} for {architecture}")]
    Unsolved {
        /// The suite.
        suite: String,
        /// Debian's word.
        architecture: String,
        /// Why not.
        source: NoSolution,
    },
    /// A lock file with holes.
    #[error("{LOCK_FILE}: `packages {row}` names {package}, of which there is no row that can be used")]
    Incomplete {
        /// The request.
        row: String,
        /// The package, as `name=version`.
        package: String,
    },
    /// Two files of one name.
    #[error("{LOCK_FILE} pins {package} to {pinned}, and the repositories have {found}")]
    Moved {
        /// The name of the row.
        package: String,
        /// The pinned digest.
        pinned: BlobDigest,
        /// What there is.
        found: BlobDigest,
    },
    /// Nothing may be asked, and nothing is known.
    #[error("which packages {suite} has now is not known here, and --offline lets no request leave")]
    Offline {
        /// The suite.
        suite: String,
    },
}

impl PackageError {
    /// A way out.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Fetch { source, .. } => match source {
                RegistryError::Offline { .. } => {
                    Some("run once without --offline: what it brings is kept".to_owned())
                }
                _ => Some("`mirrors: { debian: […] }` in imgpack.yaml names another mirror".to_owned()),
            },
            Self::Content { .. } | Self::Size { .. } => Some(
                "the mirror is damaged, or something on the way changes files: try again, or name another mirror"
                    .to_owned(),
            ),
            Self::Signature { source, .. } => Some(match source {
                SignatureError::Unknown { .. } => {
                    "a repository of others is believed by its own `key`".to_owned()
                }
                _ => "something on the way may have answered in the mirror's place: name another mirror".to_owned(),
            }),
            Self::Rollback { .. } => Some("the mirror is behind: name another mirror, or wait".to_owned()),
            Self::Ended { .. } => {
                Some("the mirror is behind, or this machine's clock is wrong: name another mirror".to_owned())
            }
            Self::Alpine => Some("take a base of Debian, or say `packages.apk`".to_owned()),
            Self::Unsolved { source, .. } => source.hint(),
            Self::Incomplete { row, .. } => {
                Some(format!("`imgpack lock --upgrade {}` finds them anew", row.rsplit('/').next().unwrap_or(row)))
            }
            Self::Moved { package, .. } => Some(format!("`imgpack lock --upgrade {package}` takes what there is")),
            Self::Offline { .. } => {
                Some("run `imgpack lock` without --offline: what is pinned needs no question".to_owned())
            }
            _ => None,
        }
    }

    /// Whether the network or an archive is the cause, not what the workspace says.
    pub fn is_of_the_network(&self) -> bool {
        matches!(
            self,
            Self::Fetch { .. }
                | Self::Content { .. }
                | Self::Size { .. }
                | Self::Signature { .. }
                | Self::Release { .. }
                | Self::Suite { .. }
                | Self::Rollback { .. }
                | Self::Ended { .. }
                | Self::Index { .. }
                | Self::Offline { .. }
        )
    }
}
