use std::io;

use crate::apk::{ApkError, DependencyError, IndexError, InstallError, KeyError, NoSolution, RecordError};
use crate::lock::LOCK_FILE;
use crate::model::BlobDigest;
use crate::registry::RegistryError;

/// Why Alpine packages could not be found, not be had, or not be put on a base.
#[derive(Debug, thiserror::Error)]
pub enum ApkPackageError {
    /// The base is no Alpine.
    #[error(
        "packages.apk wants a base of Alpine, and this one has no database of apk (/lib/apk/db/installed)"
    )]
    NoDatabase,
    /// The base's database is broken.
    #[error("/lib/apk/db/installed of the base is broken")]
    Database(#[source] RecordError),
    /// The base's list of what was asked for.
    #[error("/etc/apk/world of the base is not understood")]
    World(#[source] DependencyError),
    /// What is asked for.
    #[error("packages.apk.install: {0}")]
    Word(DependencyError),
    /// A key of the spec.
    #[error("packages.apk.repositories: {0}")]
    Key(KeyError),
    /// Neither the base nor the spec names one.
    #[error("there is no repository: /etc/apk/repositories of the base names none, and the spec neither")]
    NoRepository,
    /// A file of a repository.
    #[error("cannot fetch {what}")]
    Fetch {
        /// Which one.
        what: String,
        /// Why not.
        source: RegistryError,
        /// Whether mirrors are asked for it: it is one of Alpine's own.
        has_mirrors: bool,
    },
    /// A file of the workspace.
    #[error("cannot read {path}")]
    Read {
        /// Which one.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// A file of the workspace that is no index.
    #[error("{path} is longer than {limit} bytes")]
    TooLong {
        /// Which one.
        path: String,
        /// In bytes.
        limit: u64,
    },
    /// An index that is not believed, or broken.
    #[error("the index {address} cannot be used")]
    Index {
        /// Where it is.
        address: String,
        /// Why not.
        source: IndexError,
    },
    /// Packages that do not go together.
    #[error("packages for {architecture}: {source}")]
    Unsolved {
        /// apk's word.
        architecture: String,
        /// Why not.
        source: NoSolution,
    },
    /// What is asked for wants something of the base away.
    #[error("what is asked for takes {} out of the base, which a layer cannot do for a package", .0.join(", "))]
    Removes(Vec<String>),
    /// A package of another size, in a directory of the workspace.
    #[error("{what} at {address} has not the {expected} bytes that are expected")]
    Size {
        /// The package.
        what: String,
        /// Where it came from.
        address: String,
        /// In bytes.
        expected: u64,
    },
    /// A package of another content, in a directory of the workspace.
    #[error("{what} is another file at {address}: expected {expected}, found {found}")]
    Content {
        /// The package.
        what: String,
        /// Where it came from.
        address: String,
        /// What the lock says.
        expected: BlobDigest,
        /// What it is.
        found: BlobDigest,
    },
    /// A package that is not the one of the index.
    #[error("package {package} is not the one that the index names: its checksum is {found}, not {said}")]
    Identity {
        /// Which one.
        package: String,
        /// What the index says.
        said: String,
        /// What it is.
        found: String,
    },
    /// A package that is another one.
    #[error("package {package} has in itself the {what} `{found}`, not `{wanted}`")]
    Other {
        /// Which one it should be.
        package: String,
        /// Name, version or architecture.
        what: &'static str,
        /// What it should be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// A package that is broken.
    #[error("package {package} cannot be used")]
    Apk {
        /// Which one.
        package: String,
        /// What is wrong.
        source: ApkError,
    },
    /// Packages that cannot be put on the base.
    #[error("{}", .0.iter().map(chain).collect::<Vec<_>>().join("\n"))]
    Install(Vec<InstallError>),
    /// A lock file with holes.
    #[error("{LOCK_FILE}: `packages {row}` names {package}, of which there is no row that can be used")]
    Incomplete {
        /// The request.
        row: String,
        /// The package.
        package: String,
    },
    /// Two files of one name.
    #[error("{LOCK_FILE} pins {package} to {pinned}, and the repositories have {found}")]
    Moved {
        /// The name of the row.
        package: String,
        /// The pinned digest.
        pinned: String,
        /// What there is.
        found: String,
    },
}

/// An error with its causes in one line.
fn chain(error: &InstallError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

impl ApkPackageError {
    /// A way out.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoDatabase => "take a base of Alpine, or say `packages.debian`",
            Self::Index { source: IndexError::Signature(_), .. } => {
                "`key:` beside the repository's `url` or `dir` names the public key that it is signed with"
            }
            Self::Unsolved { .. } => "ask for other versions, or name more repositories",
            Self::Removes(_) => "take another base, or ask for other versions",
            Self::Install(errors) => match errors.first() {
                Some(InstallError::Script(error)) => return Some(script_hint(&error.package)),
                Some(InstallError::Conflict { .. } | InstallError::Hardlink { .. }) => {
                    "leave one of the packages out"
                }
                _ => return None,
            },
            Self::Incomplete { .. } | Self::Moved { .. } => "`imgpack lock --upgrade apk` finds them anew",
            Self::Fetch { source: RegistryError::Offline { .. }, .. } => {
                "run once without --offline: what it brings is kept"
            }
            Self::Fetch { source: RegistryError::File(error), has_mirrors: false, .. } => {
                return error.hint();
            }
            Self::Fetch { has_mirrors: true, .. } => {
                "`mirrors: { apk: […] }` in imgpack.yaml names another mirror"
            }
            Self::Size { .. } => {
                "the repository's index is of another package: make it anew with `apk index`"
            }
            Self::Content { .. } => "`imgpack lock --upgrade apk` takes what there is",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// Whether the network or a repository is the cause, not what the workspace says.
    pub fn is_of_the_network(&self) -> bool {
        matches!(
            self,
            Self::Fetch { .. }
                | Self::Index { .. }
                | Self::Size { .. }
                | Self::Content { .. }
                | Self::Identity { .. }
                | Self::Other { .. }
                | Self::Apk { .. }
        )
    }
}

fn script_hint(package: &str) -> String {
    format!(
        "where the image does without that, say `scripts: {{ {package}: ignore }}` in packages.apk, and do the rest with \
         `files`; or build on an image that has the package"
    )
}
