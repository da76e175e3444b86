use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::event::Observer;
use super::press::Press;
use crate::registry::Registry;
use crate::store::Store;
use crate::system::Cancel;

/// Mirrors of archives of packages, by their addresses without a slash at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArchiveMirrors {
    /// Of Debian's; those whose last folder is called after security are of its archive of security updates.
    pub debian: Vec<String>,
    /// Of Alpine's.
    pub apk: Vec<String>,
}

/// What one command works with, from the outside.
pub struct Machine<'a> {
    /// The workspace's root.
    pub root: PathBuf,
    /// The store.
    pub store: &'a Store,
    /// The environment as it was read at the start.
    pub environment: BTreeMap<OsString, OsString>,
    /// Who is told.
    pub observer: &'a dyn Observer,
    /// Asks to stop.
    pub cancel: &'a Cancel,
    /// Registries.
    pub registry: &'a dyn Registry,
    /// Where archives of packages are read from first.
    pub archives: ArchiveMirrors,
    /// How many things at once.
    pub jobs: usize,
    /// Compresses layers.
    pub press: Press,
}
