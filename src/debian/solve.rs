use super::explain::NoSolution;
use super::index::Index;
use super::installed::Installed;
use crate::model::PinnedPackage;

/// What an image wants of Debian's packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Debian's word for the architecture: `amd64`, `arm64`. Packages of `all` go with each.
    pub architecture: String,
    /// Packages that are wanted, as `name` or `name=version`, in any order.
    pub install: Vec<String>,
    /// Names of packages that are left out, and then count as there for all that need them.
    pub exclude: Vec<String>,
}

/// A package that is put on the base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Which one.
    pub package: PinnedPackage,
    /// The number of the index that it is from.
    pub index: usize,
    /// `Filename`: where its file is below the repository's root. Never absolute, no `..` in it.
    pub path: String,
    /// The version of the base's package of this name, whose place it takes.
    pub replaces: Option<String>,
}

/// The packages that fulfil a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Solution {
    /// A package stands behind those that it depends on, as far as there is such an order; the same for the same inputs.
    pub packages: Vec<Chosen>,
    /// Excluded packages that somebody depends on: who, and the excluded name.
    pub left_out: Vec<(String, String)>,
}

/// Chooses packages, as `apt-get --no-install-recommends` would (docs/packages.md): of each the highest version of all
/// indexes, of equal ones that of the first index. What is installed stays as it is, unless a version is demanded that it
/// is not.
pub fn solve(
    _request: &Request,
    _indexes: &[Index],
    _installed: &[Installed],
) -> Result<Solution, NoSolution> {
    Ok(Solution::default())
}
