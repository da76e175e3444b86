//! The lock file as a build sees it: what is pinned is used, and what is there is held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::{Error, ErrorKind};
use super::event::Event;
use super::lock;
use super::machine::Machine;
use super::prepare::Target;
use super::slots::Slots;
use crate::base::{BaseError, DATA_SET};
use crate::builder::ToolIdentity;
use crate::component::{self, DataSet};
use crate::lock::{DIGEST, FACTS, INSTALL, Kind, LOCK_FILE, Lock, Row, VERSION_FIELD, differences};
use crate::model::{BlobDigest, ImageRef, Platform};
use crate::registry::RegistryError;
use crate::spec::{Base, Component, FileKind, ImageSpec};
use crate::system::parallel;

/// Questions to registries that are on their way at once.
pub(super) const QUESTIONS: usize = 16;

/// The pins of one command.
pub struct Pins<'a> {
    machine: &'a Machine<'a>,
    /// `None`: the workspace has no lock file.
    lock: Option<Lock>,
    stance: Stance,
    /// Toolchains of which a warning was told.
    warned: Mutex<BTreeSet<String>>,
    /// Everything that a row was looked for.
    asked: Mutex<BTreeSet<(Kind, String)>>,
    found: Mutex<Rows>,
    /// What references of a registry stand for, or why that is not known.
    images: Slots<String, Result<BlobDigest, Arc<ErrorKind>>>,
}

/// Rows by kind and name.
pub type Rows = BTreeMap<(Kind, String), Row>;

/// What is done where the lock file says nothing, or something else.
enum Stance {
    /// What is found is used.
    Lenient,
    /// It is an error.
    Strict,
    /// What is found is pinned: `imgpack lock`.
    Pinning(Upgrade),
}

/// Which rows `imgpack lock` sets anew; the others only where they are missing.
#[derive(Debug, Clone, Default)]
pub struct Upgrade {
    /// Their names; `all` is all, and the first word of a toolchain's name is every one that begins with it.
    pub names: Vec<String>,
    /// All toolchains.
    pub toolchains: bool,
}

impl Upgrade {
    /// Whether a row is set anew.
    pub fn takes(&self, kind: Kind, name: &str) -> bool {
        (self.toolchains && kind == Kind::Toolchain)
            || self.names.iter().any(|wanted| wanted == "all" || Self::names(wanted, kind, name))
    }

    /// The same of a row that is there: one of packages is set anew by the name of one of them too.
    pub fn takes_row(&self, kind: Kind, name: &str, row: &Row) -> bool {
        let words = row.get(INSTALL).map(String::as_str).unwrap_or_default().split_whitespace();
        let mut packages = words.filter_map(|word| word.split_once('=')).map(|(package, _)| package);
        self.takes(kind, name)
            || kind == Kind::Packages && packages.any(|package| self.names.iter().any(|name| name == package))
    }

    /// Whether `wanted` is, or begins, the name of a row.
    pub fn names(wanted: &str, kind: Kind, name: &str) -> bool {
        match kind {
            _ if wanted == name => true,
            Kind::Toolchain => name.split_once('/').is_some_and(|(tool, _)| wanted == tool),
            // The distribution, its suite, the architecture, the request; of a package its name too.
            Kind::Package | Kind::Packages => name
                .split('/')
                .any(|part| wanted == part || part.split_once('=').is_some_and(|(part, _)| wanted == part)),
            _ => false,
        }
    }
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
        Ok(Self::new(machine, lock, if strict { Stance::Strict } else { Stance::Lenient }))
    }

    /// The same for who writes it: nothing is missing that cannot be pinned.
    pub(super) fn to_write(machine: &'a Machine<'a>, upgrade: Upgrade) -> Result<Self, Error> {
        let lock = lock::read(&machine.root)?.unwrap_or_default();
        Ok(Self::new(machine, Some(lock), Stance::Pinning(upgrade)))
    }

    fn new(machine: &'a Machine<'a>, lock: Option<Lock>, stance: Stance) -> Self {
        let (warned, asked, found) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { machine, lock, stance, warned, asked, found, images: Slots::default() }
    }

    /// What is pinned under a name; `None` where what is found decides, and is told to [`Self::add`].
    pub fn row(&self, kind: Kind, name: &str) -> Result<Option<&Row>, Error> {
        held(&self.asked).insert((kind, name.to_owned()));
        let row = self.lock.as_ref().and_then(|lock| lock.row(kind, name));
        match (&self.stance, row) {
            (Stance::Strict, None) => Err(Error::usage_with_hint(
                format!("{LOCK_FILE} has no row `{kind} {name}`"),
                match kind {
                    Kind::Toolchain => {
                        "run `imgpack lock` where that toolchain is installed, and commit the file"
                    }
                    _ => "run `imgpack lock`, and commit the file",
                },
            )),
            (Stance::Pinning(upgrade), Some(row)) if upgrade.takes_row(kind, name, row) => Ok(None),
            (_, row) => Ok(row),
        }
    }

    /// What a row says, whatever is asked for, and nobody has to write it anew.
    pub(super) fn known(&self, kind: Kind, name: &str) -> Option<&Row> {
        held(&self.asked).insert((kind, name.to_owned()));
        self.lock.as_ref().and_then(|lock| lock.row(kind, name))
    }

    /// Whether a row is to be set anew.
    pub(super) fn takes(&self, kind: Kind, name: &str) -> bool {
        matches!(&self.stance, Stance::Pinning(upgrade) if upgrade.takes(kind, name))
    }

    /// All rows of one kind.
    pub(super) fn rows(&self, kind: Kind) -> impl Iterator<Item = (&str, &Row)> {
        let rows = self.lock.iter().flat_map(Lock::rows);
        rows.filter(move |(known, ..)| *known == kind).map(|(_, name, row)| (name, row))
    }

    /// Whether there is a lock file.
    pub(super) fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether a row says what is used.
    fn has_row(&self, kind: Kind, name: &str) -> bool {
        !self.takes(kind, name) && self.lock.as_ref().is_some_and(|lock| lock.row(kind, name).is_some())
    }

    /// Notes what was found for a name whose row is missing, or fields that its row may lack. Where there is a lock file,
    /// they are added.
    pub fn add(&self, kind: Kind, name: &str, row: Row) {
        if self.lock.is_some() {
            held(&self.found).entry((kind, name.to_owned())).or_default().extend(row);
        }
    }

    /// What a reference of a registry stands for: its own digest, else what is pinned, else what it is now, which is then
    /// pinned. Nobody is asked twice, also where the answer is an error.
    pub fn image(&self, text: &str, reference: &ImageRef) -> Result<BlobDigest, Error> {
        if let Some(digest) = reference.digest() {
            return Ok(digest);
        }
        let Ok(known) = self.images.get(text.to_owned(), || {
            Ok::<_, Infallible>(self.find(text, reference).map_err(|error| Arc::from(error.kind)))
        });
        known.map_err(|kind| ErrorKind::Shared(kind).into())
    }

    fn find(&self, text: &str, reference: &ImageRef) -> Result<BlobDigest, Error> {
        if let Some(digest) = self.digest(Kind::Image, text)? {
            return Ok(digest);
        }
        let registry = self.machine.registry;
        let digest = match &self.lock {
            // What is pinned is asked for where it comes from, not at a mirror.
            Some(_) => registry.resolve_at_source(reference)?.digest,
            None => registry.resolve(reference)?.digest,
        };
        self.found_digest(Kind::Image, text, digest);
        Ok(digest)
    }

    /// The digest that is pinned under a name; `None` where what is found decides, and is told to
    /// [`Self::found_digest`].
    pub fn digest(&self, kind: Kind, name: &str) -> Result<Option<BlobDigest>, Error> {
        let Some(row) = self.row(kind, name)? else { return Ok(None) };
        let digest = row.get(DIGEST).and_then(|digest| digest.parse().ok());
        digest.map(Some).ok_or_else(|| {
            Error::usage_with_hint(
                format!("{LOCK_FILE}: the row `{kind} {name}` has no {DIGEST}"),
                format!("`imgpack lock --upgrade {name}` sets it"),
            )
        })
    }

    /// Notes the digest of what has no row: where there is a lock file it gets one, else the user is told.
    pub fn found_digest(&self, kind: Kind, name: &str, digest: BlobDigest) {
        if self.lock.is_none() {
            let note = format!("{name} is {digest} now (there is no lock)");
            self.machine.observer.event(Event::Note(note));
        }
        self.add(kind, name, Row::from([(DIGEST.to_owned(), digest.to_string())]));
    }

    /// Asks what the images that these targets name are, all at once, where neither their references nor the lock say it.
    pub(super) fn ask(&self, targets: &[Target]) {
        let mut unknown = BTreeMap::new();
        for spec in targets.iter().map(|target| &target.spec) {
            let base = if let Base::Registry(text) = &spec.base { Some(text) } else { None };
            let files = spec.files.iter().filter_map(|rule| match &rule.kind {
                FileKind::Image { reference, .. } => Some(reference),
                _ => None,
            });
            for text in files.chain(base).filter(|text| !self.has_row(Kind::Image, text)) {
                if let Ok(reference) = text.parse::<ImageRef>()
                    && reference.digest().is_none()
                {
                    unknown.insert(text, reference);
                }
            }
        }
        let unknown: Vec<_> = unknown.into_iter().collect();
        if unknown.len() > 1 {
            // What goes wrong is told where the image is needed.
            parallel(QUESTIONS, &unknown, |(text, reference)| drop(self.image(text, reference)));
        }
    }

    /// Holds the facts of a base, as this imgpack reads them, against those of its row. `image`: what the base is.
    pub fn facts(
        &self,
        text: &str,
        image: BlobDigest,
        platform: Platform,
        facts: BlobDigest,
    ) -> Result<(), Error> {
        let field = format!("{FACTS}{platform}");
        let row = self.lock.as_ref().and_then(|lock| lock.row(Kind::Image, text));
        let pinned = row.filter(|row| row.get(DIGEST).is_some_and(|digest| *digest == image.to_string()));
        let known = pinned.and_then(|row| row.get(&field));
        let writes = matches!(self.stance, Stance::Pinning(_));
        if let Some(known) = known.filter(|known| !writes && **known != facts.to_string()) {
            return Err(Error::usage_with_hint(
                format!(
                    "{LOCK_FILE} pins {text} with the facts {known} for {platform}, and this imgpack reads {facts} of it"
                ),
                "the lock was written by another imgpack: run `imgpack lock`, and commit the file",
            ));
        }
        if known.is_none_or(|known| *known != facts.to_string()) {
            let row = [(DIGEST.to_owned(), image.to_string()), (field, facts.to_string())];
            self.add(Kind::Image, text, row.into());
        }
        Ok(())
    }

    /// The same error, or where it says that a pinned image is gone, an error that says so.
    pub fn gone(&self, text: &str, error: Error) -> Error {
        let pinned =
            self.lock.as_ref().and_then(|lock| lock.row(Kind::Image, text)?.get(DIGEST)?.parse().ok());
        let (Some(digest), Ok(reference)) = (pinned, text.parse::<ImageRef>()) else { return error };
        let Error { tasks, context, kind } = error;
        let kind = match *kind {
            ErrorKind::Registry(error) => lost(error).map_err(ErrorKind::Registry),
            ErrorKind::Base(BaseError::Fetch { base, digest, source }) => {
                let failed = |source| ErrorKind::Base(BaseError::Fetch { base, digest, source });
                match source.downcast::<RegistryError>() {
                    Ok(error) => lost(*error).map_err(|error| failed(error.into())),
                    Err(source) => Err(failed(source)),
                }
            }
            other => Err(other),
        };
        let registry = reference.repository().registry().to_owned();
        let gone = |source| ErrorKind::Gone { reference: text.to_owned(), digest, registry, source };
        Error { tasks, context, kind: Box::new(kind.map_or_else(|kind| kind, gone)) }
    }

    /// Holds the data sets that imgpack carries, where an image has some of them, against their rows.
    pub fn data_sets(&self, spec: &ImageSpec) -> Result<(), Error> {
        data_sets().filter(|set| is_used(set, spec)).try_for_each(|set| self.data_set(&set))
    }

    fn data_set(&self, set: &DataSet) -> Result<(), Error> {
        let DataSet { name, version } = set;
        match self.row(Kind::BuiltIn, name)?.map(|row| row.get(VERSION_FIELD)) {
            None => {
                let row = Row::from([(VERSION_FIELD.to_owned(), version.clone())]);
                self.add(Kind::BuiltIn, name, row);
                Ok(())
            }
            Some(Some(pinned)) if pinned == version => Ok(()),
            Some(pinned) => Err(Error::usage_with_hint(
                format!(
                    "{LOCK_FILE} pins {name}@{}, and this imgpack carries {name}@{version}",
                    pinned.map_or("?", String::as_str)
                ),
                format!(
                    "use an imgpack that carries it, or pin this one's with `imgpack lock --upgrade {name}`"
                ),
            )),
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
        if matches!(self.stance, Stance::Strict) {
            return Err(Error::usage_with_hint(
                message,
                "install the pinned one, or pin the installed one with `imgpack lock --toolchains`",
            ));
        }
        if held(&self.warned).insert(name.to_owned()) {
            self.machine.observer.event(Event::Warning(format!(
                "{message}: the installed one is used; `imgpack lock --toolchains` pins it"
            )));
        }
        Ok(())
    }

    /// Adds what was missing to the lock file, and says so; not where it has to fit as it is. What another command pinned
    /// meanwhile stays.
    pub fn write_added(&self) -> Result<(), Error> {
        // `imgpack lock` writes everything at its end.
        if matches!(self.stance, Stance::Strict | Stance::Pinning(_)) {
            return Ok(());
        }
        let found = self.found();
        if found.is_empty() {
            return Ok(());
        }
        let mut told = Vec::new();
        lock::change(self.machine, lock::Missing::Stays, |lock| {
            for ((kind, name), row) in found {
                match lock.add(kind, &name, row.clone()) {
                    // Each stands in a row about several.
                    Some(change) if change.kind() == Kind::Package => {}
                    Some(change) if change.is_new() => {
                        told.push(Event::Note(format!("{LOCK_FILE}: added {change}")));
                    }
                    Some(change) => told.push(Event::Note(format!("{LOCK_FILE}: {change}"))),
                    None => {
                        let pinned = lock.row(kind, &name).cloned().unwrap_or_default();
                        if row.iter().any(|(field, value)| pinned.get(field) != Some(value)) {
                            told.push(Event::Warning(format!(
                                "another command pinned {kind} {name} meanwhile ({}): this one used what it had \
                                 found; run it again to build with what is pinned",
                                differences(&row, &pinned)
                            )));
                        }
                    }
                }
            }
        })?;
        told.into_iter().for_each(|event| self.machine.observer.event(event));
        Ok(())
    }

    /// What was found so far; not told again.
    pub(super) fn found(&self) -> Rows {
        std::mem::take(&mut *held(&self.found))
    }

    /// Everything that a row was looked for.
    pub(super) fn asked(&self) -> BTreeSet<(Kind, String)> {
        held(&self.asked).clone()
    }
}

/// Every data set that this imgpack carries.
pub(super) fn data_sets() -> impl Iterator<Item = DataSet> {
    let (name, version) = DATA_SET.split_once('@').unwrap_or((DATA_SET, ""));
    [DataSet { name, version: version.to_owned() }].into_iter().chain(component::data_sets())
}

/// Whether an image has bytes of a data set.
fn is_used(set: &DataSet, spec: &ImageSpec) -> bool {
    let components = spec.all_components();
    match set.name {
        component::PROBE_NAME => components.contains(&Component::Probe),
        component::INIT_NAME => components.contains(&Component::Init),
        _ => {
            let of_it = [Component::CaCertificates, Component::Tzdata];
            spec.base == Base::Static || of_it.iter().any(|component| components.contains(component))
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer that something is not there.
fn lost(error: RegistryError) -> Result<RegistryError, RegistryError> {
    if error.is_not_found() { Ok(error) } else { Err(error) }
}

/// `imgpack.lock pins go 1.24.4, and go 1.25.0 is installed`
pub(super) fn differs(name: &str, pinned: &ToolIdentity, installed: &ToolIdentity) -> String {
    let tool = name.split('/').next().unwrap_or(name);
    let version = |of: &ToolIdentity| of.fields.get(VERSION_FIELD).cloned().unwrap_or_else(|| "?".to_owned());
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
