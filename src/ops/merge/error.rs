use crate::model::{BlobDigest, Platform, Size};

/// Why results cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A file that is no result.
    #[error("{file} is no result of `imgpack build`: {reason}")]
    NoResult {
        /// The file.
        file: String,
        /// What is wrong with it, in one line.
        reason: String,
    },
    /// A file that nobody reads to its end.
    #[error("{file} is larger than {limit}, which no result is")]
    TooLong {
        /// The file.
        file: String,
        /// The limit.
        limit: Size,
    },
    /// A result of a later imgpack.
    #[error("{file} has schemaVersion {found}, and this imgpack reads {known}")]
    Version {
        /// The file.
        file: String,
        /// What it says.
        found: u64,
        /// What is known here.
        known: u32,
    },
    /// An image that is in no registry.
    #[error("{file}: {identity} was built, but not pushed")]
    NotPushed {
        /// The file.
        file: String,
        /// The image.
        identity: String,
    },
    /// Results of different things.
    #[error("{first} and {second} do not belong together: {what}")]
    Differ {
        /// One file.
        first: String,
        /// The other.
        second: String,
        /// What differs, with both values.
        what: String,
        /// A way out.
        hint: &'static str,
    },
    /// One platform that came out in two ways.
    #[error("{first} and {second} both hold {identity} for {platform}: {one} and {other}")]
    Twice {
        /// One file.
        first: String,
        /// The other.
        second: String,
        /// The image.
        identity: String,
        /// The platform.
        platform: Platform,
        /// The manifest of the first.
        one: BlobDigest,
        /// The manifest of the other.
        other: BlobDigest,
    },
    /// Platforms that nobody built.
    #[error("no file holds {what}")]
    Missing {
        /// Platforms and images.
        what: String,
    },
    /// A manifest that is not where it was pushed.
    #[error(
        "{identity} ({platform}): {digest} of {file} is not in {repository}: it was pushed to another registry, or \
         was collected"
    )]
    Gone {
        /// The image.
        identity: String,
        /// Its platform.
        platform: Platform,
        /// The manifest.
        digest: BlobDigest,
        /// The file that names it.
        file: String,
        /// Where it should be.
        repository: String,
    },
}

impl MergeError {
    /// A way out.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoResult { .. } | Self::TooLong { .. } => "`imgpack build --push --result FILE` writes one",
            Self::Version { .. } => "merge with the version of imgpack that built",
            Self::NotPushed { .. } => "build with --push: a merge sends no layers",
            Self::Differ { hint, .. } => hint,
            Self::Twice { .. } => "merge the result of one of them only, or find out why they differ",
            Self::Missing { .. } => {
                "add the results that hold them, or tag without them with --allow-partial"
            }
            Self::Gone { .. } => "build that platform again, with --push",
        };
        Some(hint.to_owned())
    }
}
