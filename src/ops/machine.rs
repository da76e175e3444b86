use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::event::Observer;
use super::press::Press;
use crate::registry::Registry;
use crate::store::Store;
use crate::system::Cancel;

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
    /// How many things at once.
    pub jobs: usize,
    /// Compresses layers.
    pub press: Press,
}
