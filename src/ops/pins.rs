//! The lock file as a build sees it: keys take what is pinned, and what is installed is held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::error::Error;
use super::event::Event;
use super::lock;
use super::prepare::Machine;
use crate::builder::ToolIdentity;
use crate::lock::{Kind, LOCK_FILE, Lock, Row, differences};

/// The pins of one command.
pub struct Pins<'a> {
    machine: &'a Machine<'a>,
    /// `None`: the workspace has no lock file.
    lock: Option<Lock>,
    /// Whether another tool than the pinned one, or one without a pin, is an error.
    strict: bool,
    /// Toolchains of which a warning was told.
    warned: Mutex<BTreeSet<String>>,
    /// What has no row yet.
    added: Mutex<BTreeMap<Kind, BTreeMap<String, Row>>>,
}

impl<'a> Pins<'a> {
    /// Reads the workspace's lock file; `locked` demands one.
    pub fn read(machine: &'a Machine<'a>, locked: bool) -> Result<Self, Error> {
        let lock = lock::read(&machine.root)?;
        if locked && lock.is_none() {
            return Err(Error::usage_with_hint(
                format!("--locked: the workspace has no {LOCK_FILE}"),
                "`imgpack lock` makes it",
            ));
        }
        let strict = lock.is_some() && (locked || is_ci(machine));
        Ok(Self { machine, lock, strict, warned: Mutex::default(), added: Mutex::default() })
    }

    /// Whether the workspace has a lock file, which gets rows for what has none.
    pub fn has_lock(&self) -> bool {
        self.lock.is_some()
    }

    /// What is pinned under a name; `None` where what is found decides.
    pub fn row(&self, kind: Kind, name: &str) -> Result<Option<&Row>, Error> {
        let Some(lock) = &self.lock else { return Ok(None) };
        match lock.row(kind, name) {
            None if self.strict => Err(Error::usage_with_hint(
                format!("{LOCK_FILE} has no row `{kind} {name}`"),
                match kind {
                    Kind::Toolchain => {
                        "run `imgpack lock --toolchains` where that toolchain is installed, and commit the file"
                    }
                    _ => "run `imgpack lock`, and commit the file",
                },
            )),
            row => Ok(row),
        }
    }

    /// Notes what was found for a name without a row. Where there is a lock file, it gets the row.
    pub fn add(&self, kind: Kind, name: &str, row: Row) {
        if self.lock.is_some() {
            let mut added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
            added.entry(kind).or_default().insert(name.to_owned(), row);
        }
    }

    /// The pinned tool; `None` where the one that is installed decides.
    pub fn toolchain(&self, name: &str) -> Result<Option<ToolIdentity>, Error> {
        let row = self.row(Kind::Toolchain, name)?;
        Ok(row.map(|row| ToolIdentity { fields: row.clone() }))
    }

    /// Holds the installed tool, which is about to run, against the pinned one.
    pub fn compare(
        &self,
        name: &str,
        pinned: Option<&ToolIdentity>,
        installed: &ToolIdentity,
    ) -> Result<(), Error> {
        let Some(pinned) = pinned else {
            self.add(Kind::Toolchain, name, installed.fields.clone());
            return Ok(());
        };
        if pinned == installed {
            return Ok(());
        }
        let message = differs(name, pinned, installed);
        if self.strict {
            return Err(Error::usage_with_hint(
                message,
                "install the pinned one, or pin the installed one with `imgpack lock --toolchains`",
            ));
        }
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(name.to_owned()) {
            self.machine.observer.event(Event::Warning(format!(
                "{message}: the installed one is used; `imgpack lock --toolchains` pins it"
            )));
        }
        Ok(())
    }

    /// Adds the rows that were missing to the lock file, and says so.
    pub fn write_added(&self) -> Result<(), Error> {
        let added = std::mem::take(&mut *self.added.lock().unwrap_or_else(PoisonError::into_inner));
        for (kind, rows) in added {
            for change in lock::update(&self.machine.root, kind, rows)? {
                self.machine.observer.event(Event::Note(format!("{LOCK_FILE}: added {change}")));
            }
        }
        Ok(())
    }
}

/// `imgpack.lock pins go 1.24.4, and go 1.25.0 is installed`
fn differs(name: &str, pinned: &ToolIdentity, installed: &ToolIdentity) -> String {
    let tool = name.split('/').next().unwrap_or(name);
    let version = |of: &ToolIdentity| of.fields.get("version").cloned().unwrap_or_else(|| "?".to_owned());
    let (old, new) = (version(pinned), version(installed));
    if old == new {
        let differences = differences(&pinned.fields, &installed.fields);
        format!("{LOCK_FILE} pins another build of {tool} {old} than is installed ({differences})")
    } else {
        format!("{LOCK_FILE} pins {tool} {old}, and {tool} {new} is installed")
    }
}

/// Whether this runs in CI, as every CI service says.
fn is_ci(machine: &Machine<'_>) -> bool {
    let value = machine.environment.get(std::ffi::OsStr::new("CI"));
    value.is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}
