//! From the process to a verb and back to an exit code.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Parser as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::{Arguments, Command, Selection};
use super::failure::{self, Exit, Tails};
use super::progress::{Mode, Plain};
use super::registries::Rules;
use super::style::Style;
use super::{auth, cache, copy, inspect, lock, merge, outdated, verbs};
use crate::model::{Platform, Size, SizeError};
use crate::ops::error::Error;
use crate::ops::event::{Event, Observer};
use crate::ops::machine::Machine;
use crate::ops::press::Press;
use crate::ops::workspace::{DiskFiles, WORKSPACE_FILE, find_root};
use crate::registry::{Offline, Registry, Remote, RemoteConfig};
use crate::spec::{self, ImageSpec, SetArg, Workspace};
use crate::store::Store;
use crate::system::Cancel;
use crate::system::lock::Share;

/// The settings of one process, read once at its start.
pub(super) struct Settings {
    pub(super) environment: BTreeMap<OsString, OsString>,
    pub(super) workspace: Option<PathBuf>,
    pub(super) quiet: bool,
    /// No request may leave.
    pub(super) offline: bool,
    pub(super) cancel: Cancel,
    /// Whether the output of the builder that failed stands right above.
    failure_above: Arc<AtomicBool>,
    /// What the workspace says of registries, once it is read.
    pub(super) rules: OnceLock<Rules>,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to stdout with 0, mistakes to stderr with 2.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    let cancel = Cancel::new();
    let signal = listen(&cancel);
    let settings = Settings {
        environment: std::env::vars_os().collect(),
        workspace: arguments.workspace,
        quiet: arguments.quiet,
        offline: arguments.command.is_offline(),
        cancel: cancel.clone(),
        failure_above: Arc::default(),
        rules: OnceLock::new(),
    };
    let outcome = match arguments.command {
        Command::Build(arguments) => verbs::build(&settings, &arguments),
        Command::Plan(arguments) => verbs::plan(&settings, &arguments),
        Command::Explain(arguments) => verbs::explain(&settings, &arguments),
        Command::Lock(arguments) => lock::run(&settings, &arguments),
        Command::Outdated(arguments) => outdated::run(&settings, &arguments),
        Command::Merge(arguments) => merge::run(&settings, arguments),
        Command::Check(arguments) => verbs::check(&settings, &arguments),
        Command::Schema(_) => verbs::schema(),
        Command::Copy(arguments) => copy::run(&settings, &arguments),
        Command::Inspect(arguments) => inspect::run(&settings, &arguments),
        Command::Cache(arguments) => cache::run(&settings, &arguments.command),
        Command::Auth(arguments) => auth::run(&settings, &arguments.command),
    };
    let exit = outcome.unwrap_or_else(|errors| failure::report(&errors, settings.tails()));
    let exit = match signal.load(Ordering::SeqCst) {
        0 => exit,
        received if received == signal_number(SIGINT) => Exit::Interrupted,
        _ => Exit::Terminated,
    };
    ExitCode::from(exit as u8)
}

fn signal_number(signal: i32) -> usize {
    usize::try_from(signal).unwrap_or_default()
}

/// The first Ctrl-C asks to stop; the second kills the children, and ends the process if it does not end by itself.
fn listen(cancel: &Cancel) -> Arc<AtomicUsize> {
    let received = Arc::new(AtomicUsize::new(0));
    // Also when the terminal is closed: builders run in groups of their own, and nobody else would stop them.
    // Without handlers the signals still end the process, only less tidily.
    for signal in STOP {
        let _ = signal_hook::flag::register_usize(signal, Arc::clone(&received), signal_number(signal));
        let _ = signal_hook::flag::register(signal, cancel.flag());
    }
    // One that came between the two.
    if received.load(Ordering::SeqCst) != 0 {
        cancel.cancel();
    }
    if let Ok(mut signals) = Signals::new(STOP) {
        let cancel = cancel.clone();
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().nth(1) {
                cancel.cancel_at_once();
                std::thread::sleep(LAST_MOMENT);
                let exit = if signal == SIGINT { Exit::Interrupted } else { Exit::Terminated };
                #[expect(clippy::exit, reason = "the user does not want to wait for what does not stop")]
                std::process::exit(exit as i32);
            }
        });
    }
    received
}

/// Signals that ask to stop.
const STOP: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// What is left after the second signal.
const LAST_MOMENT: Duration = Duration::from_secs(1);

impl Settings {
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .get(&OsString::from(name))
            .and_then(|value| value.to_str())
            .filter(|value| !value.is_empty())
    }

    /// The workspace's root.
    pub(super) fn root(&self) -> Result<PathBuf, Error> {
        let start = match &self.workspace {
            Some(folder) => folder.clone(),
            None => PathBuf::from("."),
        };
        let found = match &self.workspace {
            Some(folder) if !folder.join(WORKSPACE_FILE).is_file() => None,
            _ => find_root(&start),
        };
        found.ok_or_else(|| {
            let place = match &self.workspace {
                Some(folder) => format!("in {}", folder.display()),
                None => "here or in a folder above".to_owned(),
            };
            Error::usage_with_hint(
                format!("there is no {WORKSPACE_FILE} {place}"),
                "make one at the root of the repository: docs/buildspec.md begins with an example",
            )
        })
    }

    /// The specs of the workspace.
    pub(super) fn load(root: &std::path::Path, sets: &[String]) -> Result<Workspace, Error> {
        let sets = sets
            .iter()
            .map(|text| text.parse::<SetArg>().map_err(|error| Error::usage(error.to_string())))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(spec::load(&DiskFiles::new(root.to_owned()), &sets)?)
    }

    /// The images that `selection` means.
    pub(super) fn select(workspace: &Workspace, selection: &Selection) -> Result<Vec<ImageSpec>, Error> {
        Ok(workspace.select(&selection.identities, selection.variant.as_deref())?)
    }

    /// Leaves out, with a remark, what is built for none of the platforms asked for, so that each runner of a matrix can
    /// be asked for all services. What was named, or would be all, stays: that it cannot be built is an error.
    pub(super) fn leave_out(&self, specs: &mut Vec<ImageSpec>, selection: &Selection) {
        let is_for = |spec: &ImageSpec| {
            selection.platforms.is_empty()
                || spec.platforms.iter().any(|platform| selection.platforms.contains(platform))
        };
        if !selection.identities.is_empty() || !specs.iter().any(is_for) {
            return;
        }
        for spec in specs.extract_if(.., |spec| !is_for(spec)) {
            let platforms: Vec<String> = spec.platforms.iter().map(ToString::to_string).collect();
            self.remark(&format!(
                "{} is left out: it is built for {} only",
                spec.identity,
                platforms.join(", ")
            ));
        }
    }

    /// The cache's folder.
    pub(super) fn cache(&self) -> Result<PathBuf, Error> {
        let below =
            |name: &str, rest: &str| self.variable(name).map(|folder| PathBuf::from(folder).join(rest));
        let folder = self
            .variable("IMGPACK_CACHE")
            .map(PathBuf::from)
            .or_else(|| below("XDG_CACHE_HOME", "imgpack"))
            .or_else(|| below("HOME", ".cache/imgpack"))
            .ok_or_else(|| {
                Error::usage_with_hint(
                    "there is no place for the cache: neither IMGPACK_CACHE nor XDG_CACHE_HOME nor HOME is set",
                    "set IMGPACK_CACHE to a folder that this user can write to",
                )
            })?;
        std::path::absolute(&folder).map_err(|source| {
            crate::system::IoError { action: "find the folder", path: folder, source }.into()
        })
    }

    /// How progress is shown.
    pub(super) fn mode(&self) -> Mode {
        let terminal = io::stderr().is_terminal();
        let style = Style::of(terminal, self.environment_value("NO_COLOR"), self.environment_value("TERM"));
        Mode::of(self.quiet, terminal, self.variable("CI").is_some(), style)
    }

    fn tails(&self) -> Tails {
        match self.mode() {
            Mode::Plain if self.failure_above.load(Ordering::SeqCst) => Tails::OfSeveral,
            Mode::Plain => Tails::Always,
            _ => Tails::Never,
        }
    }

    pub(super) fn environment_value(&self, name: &str) -> Option<&OsStr> {
        self.environment.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Runs `verb` on this machine with the store open.
    pub(super) fn with_machine<T>(
        &self,
        root: PathBuf,
        jobs: Option<u16>,
        mode: Mode,
        verb: impl FnOnce(&Machine<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let store = Store::open_for(&self.cache()?, Share::Shared, &self.cancel, &|| {
            self.remark("waiting for the command that removes things from the cache");
        })?;
        let observer: Arc<dyn Observer> = match mode {
            Mode::Plain => {
                Arc::new(Plain::new(io::stderr()).with_failure_above(Arc::clone(&self.failure_above)))
            }
            mode => mode.observer().into(),
        };
        let told = Arc::clone(&observer);
        let mirrors = self.mirrors()?.telling(move |text| told.event(Event::Note(text.to_owned())));
        let remote = Remote::new(RemoteConfig { mirrors, ..self.remote_config() });
        let registry: &dyn Registry = if self.offline { &Offline } else { &remote };
        let jobs = Self::jobs(jobs);
        verb(&Machine {
            root,
            store: &store,
            environment: self.environment.clone(),
            observer: &*observer,
            cancel: &self.cancel,
            registry,
            archives: self.archives(),
            jobs,
            press: Press::new(jobs),
        })
    }

    /// How many things at once.
    pub(super) fn jobs(jobs: Option<u16>) -> usize {
        jobs.map_or_else(
            || std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            usize::from,
        )
    }

    /// What the cache may take on the disk: the machine's word comes before the workspace's.
    pub(super) fn cache_limit(&self, workspace: Option<&Workspace>) -> Result<Option<Size>, Error> {
        match self.variable("IMGPACK_CACHE_MAX_SIZE") {
            None => Ok(workspace.and_then(|workspace| workspace.cache_limit)),
            Some(text) => text.parse().map(Some).map_err(|error: SizeError| {
                Error::usage_with_hint(
                    format!("IMGPACK_CACHE_MAX_SIZE: {error}"),
                    "set it to something like 20GB, or unset it",
                )
            }),
        }
    }

    /// Prints a remark to stderr, unless nobody wants to hear it.
    pub(super) fn remark(&self, text: &str) {
        if !self.quiet {
            remark(text);
        }
    }

    /// `SOURCE_DATE_EPOCH` as RFC 3339; a bad value is an error.
    pub(super) fn created(&self) -> Result<Option<String>, Error> {
        let Some(text) = self.environment.get(&OsString::from("SOURCE_DATE_EPOCH")) else { return Ok(None) };
        let wrong = || {
            Error::usage_with_hint(
                format!(
                    "SOURCE_DATE_EPOCH is `{}`, not a number of seconds since 1970",
                    text.to_string_lossy()
                ),
                "unset it, or set it to what `git log -1 --format=%ct` prints",
            )
        };
        let seconds: i64 = text.to_str().and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
        let time = jiff::Timestamp::from_second(seconds).ok().filter(|_| seconds >= 0).ok_or_else(wrong)?;
        Ok(Some(time.to_string()))
    }

    /// The platform of this machine, for engines.
    pub(super) fn own_platform() -> Option<Platform> {
        Platform::ALL.into_iter().find(|platform| platform.uname() == std::env::consts::ARCH)
    }
}

/// Prints to stdout what was asked for; a reader that went away is no error.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(crate::system::IoError { action: "write to", path: "stdout".into(), source: error }.into())
        }
        _ => Ok(()),
    }
}

/// Prints a remark to stderr.
pub(super) fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
