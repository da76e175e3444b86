use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::entry::EntryKind;
use super::image_path::ImagePath;

/// What packages ask of an image beyond their files: what their maintainer scripts would do, and their database. Owners are
/// names, since what number a name has is only known with the base and the spec.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// Users by name.
    pub users: BTreeMap<String, PackageUser>,
    /// Groups by name.
    pub groups: BTreeMap<String, PackageGroup>,
    /// Entries that no package has in its archive, or another one in its place, by path.
    pub made: BTreeMap<ImagePath, MadeEntry>,
    /// Modes and owners of entries that packages or the base have, by path.
    pub attributes: BTreeMap<ImagePath, Attributes>,
    /// Paths of packages that scripts remove.
    pub removed: BTreeSet<ImagePath>,
    /// The CA bundle out of the packages' certificates, in PEM; `None` where no package has any.
    pub bundle: Option<String>,
}

/// A user that packages want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageUser {
    /// Its number, if neither base nor spec has one for the name.
    pub uid: u32,
    /// Its number is the distribution's and no other will do.
    pub fixed: bool,
    /// Name of its group.
    pub group: String,
    /// The comment (GECOS).
    pub comment: String,
    /// Its home.
    pub home: String,
    /// Its shell.
    pub shell: String,
    /// Who wants it: `package redis-server`.
    pub origin: Arc<str>,
}

/// A group that packages want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageGroup {
    /// Its number, if neither base nor spec has one for the name.
    pub gid: u32,
    /// Its number is the distribution's and no other will do.
    pub fixed: bool,
    /// Names of users that are in it beside those whose group it is.
    pub members: BTreeSet<String>,
    /// Who wants it.
    pub origin: Arc<str>,
}

/// An entry that a script would make.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeEntry {
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// Name or number of its user.
    pub user: String,
    /// Name or number of its group.
    pub group: String,
    /// Who wants it.
    pub origin: Arc<str>,
}

/// What a script changes of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Name or number of its user.
    pub user: Option<String>,
    /// Name or number of its group.
    pub group: Option<String>,
}
