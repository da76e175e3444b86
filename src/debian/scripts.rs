use std::collections::BTreeSet;
use std::io;

use super::deb::DebFacts;
use crate::model::{BaseFacts, Effects, PackageFile};

/// Packages that are put on a base.
#[derive(Clone, Copy)]
pub struct Installed<'a> {
    /// What they hold; a package stands behind those that it depends on, as far as there is such an order.
    pub packages: &'a [&'a DebFacts],
    /// What they are put on.
    pub base: &'a BaseFacts,
    /// Names of packages whose scripts are left out of account.
    pub ignored: &'a BTreeSet<String>,
    /// Reads a file of the package with that index. Asked only for the few that composed files are made of.
    pub read: &'a dyn Fn(usize, &PackageFile) -> io::Result<Vec<u8>>,
}

/// A maintainer script of which imgpack does not know what it would do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{package}: {script}: {what}")]
pub struct ScriptError {
    /// The package.
    pub package: String,
    /// The script: `postinst`.
    pub script: String,
    /// The statement that no rule covers, or what else is wrong with it.
    pub what: String,
}

impl ScriptError {
    /// The ways out.
    pub fn hint(&self) -> String {
        let package = &self.package;
        format!(
            "say `exclude: [{package}]` if nothing needs it, `scripts: {{ {package}: ignore }}` if the image does without \
             what the script does, or take another base; and please report it, so that imgpack learns the script"
        )
    }
}

/// What the maintainer scripts of freshly installed packages would do to an image, and the packages' rows of the dpkg
/// database; nothing is run.
pub fn effects(_installed: &Installed<'_>) -> Result<Effects, Vec<ScriptError>> {
    Ok(Effects::default())
}
