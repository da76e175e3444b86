//! The one place that turns errors into words, hints and exit codes.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::fmt::Write as _;
use std::io;

use crate::archive::{ArchiveError, LocalError};
use crate::base::BaseError;
use crate::builder::BuilderError;
use crate::debian::{DebError, ScriptError};
use crate::model::{Identity, Platform};
use crate::ops::error::{Error, ErrorKind};
use crate::ops::event::Task;
use crate::ops::merge::MergeError;
use crate::ops::pack::PackError;
use crate::ops::packages::{ApkPackageError, PackageError};
use crate::registry::{FileError, RegistryError};
use crate::spec::SelectError;
use crate::tar::WriteError;
use crate::tree::TreeError;

/// Exit codes, documented in `docs/exit-codes.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// Done.
    Done = 0,
    /// A finding: a budget, a difference, something stale.
    Finding = 1,
    /// Usage, a spec or a lock.
    Usage = 2,
    /// A builder failed.
    Builder = 3,
    /// A registry or the network.
    Network = 4,
    /// This machine: disk, permission, engine, a missing program.
    Machine = 5,
    /// A bug of imgpack.
    Bug = 70,
    /// Somebody pressed Ctrl-C.
    Interrupted = 130,
    /// Somebody sent SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// Of several: the one that comes first here is the command's.
    const ORDER: [Self; 6] =
        [Self::Bug, Self::Usage, Self::Builder, Self::Machine, Self::Network, Self::Finding];

    /// The code of a command that failed so many ways.
    pub(super) fn of_all(exits: impl IntoIterator<Item = Self>) -> Self {
        let exits: Vec<Self> = exits.into_iter().collect();
        Self::ORDER.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Self::Done)
    }
}

/// The exit code of an error.
fn exit(error: &Error) -> Exit {
    match error.kind.own() {
        ErrorKind::Tree(TreeError::Io(error)) if !error.is_not_found() => Exit::Machine,
        ErrorKind::Spec(_)
        | ErrorKind::Lock(_)
        | ErrorKind::Tree(_)
        | ErrorKind::Select(_)
        | ErrorKind::Reference(_)
        | ErrorKind::Usage { .. }
        | ErrorKind::Layer(_)
        | ErrorKind::Layers(_)
        | ErrorKind::Packages(_)
        | ErrorKind::Scripts(_)
        | ErrorKind::Elf(_)
        | ErrorKind::Compose(_)
        | ErrorKind::Settings(_)
        | ErrorKind::Image(_)
        | ErrorKind::Graph(_)
        | ErrorKind::Pack(PackError::Write(WriteError::Changed { .. })) => Exit::Usage,
        ErrorKind::Apk(error) => match &**error {
            ApkPackageError::Fetch { source, .. } => registry_exit(source),
            error if error.is_of_the_network() => Exit::Network,
            _ => Exit::Usage,
        },
        ErrorKind::Package(error) => match &**error {
            PackageError::Fetch { source, .. } => registry_exit(source),
            error if error.is_of_the_network() => Exit::Network,
            _ => Exit::Usage,
        },
        ErrorKind::Base(error) => base_exit(error),
        ErrorKind::Builder(error) => builder_exit(error),
        ErrorKind::Archive(error) if error.is_usage() => Exit::Usage,
        ErrorKind::Archive(ArchiveError::Elsewhere { source, .. }) => elsewhere_exit(&**source),
        ErrorKind::Local(error) if error.is_usage() => Exit::Usage,
        ErrorKind::Pack(_)
        | ErrorKind::Store(_)
        | ErrorKind::Archive(_)
        | ErrorKind::Local(_)
        | ErrorKind::Engine(_)
        | ErrorKind::Credentials(_)
        | ErrorKind::Io(_) => Exit::Machine,
        ErrorKind::Gone { .. } | ErrorKind::Merge(MergeError::Gone { .. }) => Exit::Network,
        ErrorKind::Registry(error) => registry_exit(error),
        ErrorKind::Deb(error) => deb_exit(error),
        ErrorKind::Merge(_) => Exit::Usage,
        ErrorKind::Cancelled(_) => Exit::Interrupted,
        ErrorKind::BuiltIn(_) | ErrorKind::Component(_) | ErrorKind::Bug(_) | ErrorKind::Shared(_) => {
            Exit::Bug
        }
    }
}

fn deb_exit(error: &DebError) -> Exit {
    match error {
        DebError::Read(_) | DebError::Write(_) => Exit::Machine,
        _ => Exit::Usage,
    }
}

fn base_exit(error: &BaseError) -> Exit {
    match error {
        BaseError::Store { .. } => Exit::Machine,
        BaseError::Io(error) if !error.is_not_found() => Exit::Machine,
        // What a layout of the workspace has not is no matter of the network.
        BaseError::Fetch { source, .. } | BaseError::Elsewhere { source, .. } => {
            source.downcast_ref().map_or(Exit::Usage, registry_exit)
        }
        BaseError::Cancelled(_) => Exit::Interrupted,
        _ => Exit::Usage,
    }
}

/// A blob that came from a registry or from this machine.
fn elsewhere_exit(error: &(dyn std::error::Error + 'static)) -> Exit {
    match (error.downcast_ref(), error.downcast_ref::<LocalError>()) {
        (Some(error), _) => registry_exit(error),
        (_, Some(error)) if error.is_usage() => Exit::Usage,
        _ => Exit::Machine,
    }
}

fn elsewhere_hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let local = error.downcast_ref::<LocalError>().and_then(LocalError::hint);
    error.downcast_ref().and_then(RegistryError::hint).or(local)
}

fn registry_exit(error: &RegistryError) -> Exit {
    match error {
        RegistryError::Conflict { .. } | RegistryError::Reference { .. } => Exit::Usage,
        RegistryError::Read { .. } | RegistryError::Write { .. } => Exit::Machine,
        RegistryError::File(error) => match **error {
            // What the lock says is not what there is.
            FileError::Digest { .. } => Exit::Usage,
            FileError::Write { .. } => Exit::Machine,
            _ => Exit::Network,
        },
        // Another try comes to the same end: what was built differs from what was released.
        RegistryError::Immutable { .. } => Exit::Finding,
        error if error.is_cancelled() => Exit::Interrupted,
        _ => Exit::Network,
    }
}

fn builder_exit(error: &BuilderError) -> Exit {
    match error.exit_code() {
        3 => Exit::Builder,
        5 => Exit::Machine,
        70 => Exit::Bug,
        130 => Exit::Interrupted,
        _ => Exit::Usage,
    }
}

/// The way out of an error, where one is known.
fn hint(error: &Error) -> Option<String> {
    match error.kind.own() {
        ErrorKind::Usage { hint, .. } => hint.clone(),
        ErrorKind::Select(error) => error.hint(),
        ErrorKind::Lock(error) => Some(error.hint().to_owned()),
        ErrorKind::Gone { reference, .. } => {
            Some(format!("`imgpack lock --upgrade {reference}` pins what the tag is now"))
        }
        ErrorKind::Tree(TreeError::Missing { path, nearest: None }) if is_beside(path, &error.context) => {
            Some("paths are relative to the file that they are written in".to_owned())
        }
        ErrorKind::Tree(error) => error.hint(),
        ErrorKind::Base(BaseError::Fetch { source, .. }) => {
            source.downcast_ref().and_then(RegistryError::hint)
        }
        ErrorKind::Package(error) => error.hint(),
        ErrorKind::Base(error) => error.hint(),
        ErrorKind::Builder(error) => error.hint(),
        ErrorKind::Layer(error) => error.hint(),
        ErrorKind::Deb(DebError::Read(_) | DebError::Write(_)) => None,
        ErrorKind::Deb(_) => Some(
            "the file is what its archive publishes: take another version, or leave the package out with `exclude`"
                .to_owned(),
        ),
        ErrorKind::Packages(_) => Some(
            "leave one of the two packages out, with `exclude` where another one depends on it, or take another base"
                .to_owned(),
        ),
        ErrorKind::Scripts(errors) => errors.first().map(ScriptError::hint),
        ErrorKind::Apk(error) => error.hint(),
        ErrorKind::Compose(error) => error.hint(),
        ErrorKind::Store(error) | ErrorKind::Pack(PackError::Store(error)) => error.hint(),
        ErrorKind::Archive(ArchiveError::Elsewhere { source, .. }) => elsewhere_hint(&**source),
        ErrorKind::Archive(error) => error.hint(),
        ErrorKind::Local(error) => error.hint(),
        ErrorKind::Engine(error) => error.hint(),
        ErrorKind::Registry(error) => error.hint(),
        ErrorKind::Merge(error) => error.hint(),
        ErrorKind::Credentials(error) => error.hint(),
        _ => None,
    }
    .or_else(|| {
        let cache = matches!(&*error.kind, ErrorKind::Pack(_) | ErrorKind::Store(_));
        let other = if cache { "set IMGPACK_CACHE to a folder on another" } else { "write to another" };
        is_full(error).then(|| format!("free some space on that disk, or {other}"))
    })
}

/// Whether a path leads below the folder of the spec that it was written in (`buildspecs/web.yaml:2:20`).
fn is_beside(path: &str, context: &[String]) -> bool {
    let folder = |site: &String| {
        let (file, _) = site.split_once(':')?;
        file.rsplit_once('/').map(|(folder, _)| format!("{folder}/"))
    };
    context.iter().filter_map(folder).any(|folder| path.starts_with(&folder))
}

/// Whether a disk without space is behind it.
fn is_full(error: &Error) -> bool {
    let full = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull)
    };
    let mut cause = error.kind.source();
    while let Some(error) = cause {
        if full(error) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether a failed tool's last lines are repeated with its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tails {
    /// They stand somewhere above, among other things.
    Always,
    /// Its output stands right above, but only that of one.
    OfSeveral,
    /// The output of each is shown whole.
    Never,
}

/// Writes the errors to stderr; the command's exit code.
pub(super) fn report(errors: &[Error], tails: Tails) -> Exit {
    let mut stderr = io::stderr().lock();
    let told: Vec<&Error> = errors.iter().filter(|error| !error.is_cancelled()).collect();
    if told.is_empty() {
        let _ = io::Write::write_all(&mut stderr, b"error: interrupted\n");
        return Exit::Interrupted;
    }
    let failures =
        told.iter().filter(|error| matches!(*error.kind, ErrorKind::Builder(BuilderError::Failed(_))));
    let tails = match tails {
        Tails::Always => true,
        Tails::OfSeveral => failures.count() > 1,
        Tails::Never => false,
    };
    for text in texts(&told, tails) {
        // A terminal that went away takes no more words.
        let _ = io::Write::write_all(&mut stderr, text.as_bytes());
    }
    Exit::of_all(told.into_iter().map(exit))
}

/// Every different text once, with all images that it is about: the same mistake in the sources of eight images is one.
fn texts(errors: &[&Error], tails: bool) -> Vec<String> {
    let mut found: Vec<(String, Vec<&Task>)> = Vec::new();
    for error in errors {
        let context = error.context.iter().fold(String::new(), |text, context| text + context + ": ");
        let texts = match &*error.kind {
            ErrorKind::Layers(errors) => {
                errors.iter().map(|error| one(&context, error, error.hint())).collect()
            }
            ErrorKind::Elf(errors) => errors.iter().map(|error| one(&context, error, error.hint())).collect(),
            _ => vec![words(error, &context, tails)],
        };
        for text in texts {
            match found.iter_mut().find(|(known, _)| *known == text) {
                Some((_, tasks)) => tasks.extend(&error.tasks),
                None => found.push((text, error.tasks.iter().collect())),
            }
        }
    }
    found
        .into_iter()
        .map(|(text, tasks)| match text.strip_prefix("error: ") {
            Some(rest) if !tasks.is_empty() => format!("error: {}: {rest}", subject(&tasks)),
            _ => text,
        })
        .collect()
}

/// Images that are named in one message.
const NAMED: usize = 4;

/// `gateway (linux/amd64)`, `api, web (linux/amd64, linux/arm64)`, `api, authz, blog, gateway and 4 more`.
fn subject(tasks: &[&Task]) -> String {
    let mut images: BTreeMap<&Identity, BTreeSet<Platform>> = BTreeMap::new();
    for task in tasks {
        images.entry(&task.identity).or_default().insert(task.platform);
    }
    let list = |words: Vec<String>| words.join(", ");
    let mut text = list(images.keys().take(NAMED).map(ToString::to_string).collect());
    if images.len() > NAMED {
        let _ = write!(text, " and {} more", images.len() - NAMED);
    }
    let mut platforms = images.into_values();
    match platforms.next() {
        Some(first) if platforms.all(|others| others == first) => {
            let _ = write!(text, " ({})", list(first.iter().map(ToString::to_string).collect()));
        }
        _ => {}
    }
    text
}

/// The error, its causes one a line, the tool's last lines, the hint.
fn words(error: &Error, context: &str, tails: bool) -> String {
    let mut text = String::new();
    if let ErrorKind::Spec(problems) | ErrorKind::Select(SelectError::Set(problems)) = &*error.kind {
        text.push_str(&problems.to_string());
        if !text.ends_with('\n') {
            text.push('\n');
        }
        return text;
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "error: {context}{}", error.kind);
    let mut cause = error.kind.source();
    while let Some(error) = cause {
        let _ = writeln!(text, "  because: {error}");
        cause = error.source();
    }
    if let (ErrorKind::Builder(BuilderError::Failed(failure)), true) = (&*error.kind, tails) {
        for line in &failure.tail {
            let _ = writeln!(text, "  | {line}");
        }
    }
    text.push_str(&hint_line(hint(error)));
    text
}

/// One of several mistakes.
fn one(context: &str, error: &dyn std::error::Error, hint: Option<String>) -> String {
    format!("error: {context}{error}\n{}", hint_line(hint))
}

fn hint_line(hint: Option<String>) -> String {
    hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default()
}
