//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::merge::MergeArguments;
use crate::archive::Destination;
use crate::model::{Identity, Platform, Size, is_tag};
use crate::ops::cache::Kind;

use super::lock::LockArguments;
use super::outdated::OutdatedArguments;

/// Small, reproducible, multi-arch container images of a whole repository, without a daemon.
#[derive(Debug, Parser)]
#[command(name = "imgpack", version, max_term_width = 80)]
pub(super) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,

    /// Folder of the workspace, the one with imgpack.yaml [default: here, else the nearest above]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    pub(super) workspace: Option<PathBuf>,

    /// Print errors and what was asked for, nothing else
    #[arg(long, short, global = true, help_heading = "Everywhere")]
    pub(super) quiet: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Build images into layouts, archives, an engine or a registry
    Build(BuildArguments),
    /// Show which layers a build would make, from which inputs
    Plan(PlanArguments),
    /// Show what a build would do again, and which input makes it do so
    Explain(ExplainArguments),
    /// Pin what images are built with, in imgpack.lock
    Lock(LockArguments),
    /// Show which rows of imgpack.lock are behind what there is now
    Outdated(OutdatedArguments),
    /// Put together and tag images that were built on several runners
    Merge(MergeArguments),
    /// Check every spec of the workspace
    Check(CheckArguments),
    /// Print the JSON Schema of imgpack.yaml and buildspecs
    Schema(SchemaArguments),
    /// Copy an image as it is between registries, layouts and archives
    Copy(super::copy::CopyArguments),
    /// Show an image without pulling its layers
    Inspect(super::inspect::InspectArguments),
    /// Count, prune and check what is kept from builds
    Cache(CacheArguments),
    /// Show, keep and forget credentials for registries
    Auth(super::auth::AuthArguments),
}

impl Command {
    /// Whether no request may leave.
    pub(super) fn is_offline(&self) -> bool {
        match self {
            Self::Build(arguments) => arguments.offline,
            Self::Plan(arguments) => arguments.offline,
            Self::Explain(arguments) => arguments.offline,
            Self::Lock(arguments) => arguments.offline,
            _ => false,
        }
    }
}

/// Which images.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// Which images, as service[/image][@variant] [default: every service]
    #[arg(value_name = "IDENTITY")]
    pub(super) identities: Vec<Identity>,

    /// Take this variant of every service that has it
    #[arg(long, value_name = "NAME")]
    pub(super) variant: Option<String>,

    /// Only for this platform, like linux/arm64 (may be repeated, or a list with commas)
    #[arg(long = "platform", value_name = "PLATFORM", value_delimiter = ',')]
    pub(super) platforms: Vec<Platform>,

    /// Set a field of the specs, like args.REGION=eu (may be repeated)
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(super) sets: Vec<String>,

    /// Use at most so many things at once [default: the number of processors]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) jobs: Option<u16>,
}

/// `build`
#[derive(Debug, Args)]
pub(super) struct BuildArguments {
    /// Which images.
    #[command(flatten)]
    pub(super) selection: Selection,

    /// Write the images to oci:DIR, oci-archive:FILE or docker-archive:FILE (may be repeated)
    #[arg(long = "output", short, value_name = "FORM:PATH")]
    pub(super) outputs: Vec<Destination>,

    /// Load the images into the local container engine (its own platform, unless --platform says another)
    #[arg(long)]
    pub(super) load: bool,

    /// The engine's program or address for --load [default: docker, else podman]
    #[arg(long, value_name = "ENGINE")]
    pub(super) engine: Option<String>,

    /// Push the images to the registry
    #[arg(long)]
    pub(super) push: bool,

    /// Tag images that are built for some of their platforms only, instead of pushing them by digest for `imgpack merge`
    #[arg(long, requires = "push")]
    pub(super) allow_partial: bool,

    /// Use this tag, as it stands, instead of those of the specs (may be repeated)
    #[arg(long = "tag", value_name = "TAG", value_parser = tag)]
    pub(super) tags: Vec<String>,

    /// Write what was built to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) result: Option<PathBuf>,

    /// Write the size report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,

    /// Form of the size report: text on stderr, or JSON on stdout instead of the references
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(super) format: Format,

    /// Use nothing that was made before but downloads; say which layers come out different
    #[arg(long)]
    pub(super) no_cache: bool,

    /// Build with exactly what imgpack.lock pins, or not at all
    #[arg(long)]
    pub(super) locked: bool,

    /// Let no request leave: everything has to be in the cache
    #[arg(long, conflicts_with = "push")]
    pub(super) offline: bool,

    /// After a failure finish what does not depend on it; nothing is tagged then
    #[arg(long)]
    pub(super) keep_going: bool,
}

/// A tag, for `--tag`.
pub(super) fn tag(text: &str) -> Result<String, &'static str> {
    if is_tag(text) {
        Ok(text.to_owned())
    } else {
        Err("a tag has up to 128 letters, digits, `_`, `.` and `-`, and begins with no `.` or `-`")
    }
}

/// `plan`
#[derive(Debug, Args)]
pub(super) struct PlanArguments {
    /// Which images.
    #[command(flatten)]
    pub(super) selection: Selection,

    /// Show for every file which rule takes it or leaves it out
    #[arg(long)]
    pub(super) files: bool,

    /// Fail where imgpack.lock does not pin what a build would use
    #[arg(long)]
    pub(super) locked: bool,

    /// Let no request leave: everything has to be in the cache
    #[arg(long)]
    pub(super) offline: bool,
}

/// `explain`
#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// Which images.
    #[command(flatten)]
    pub(super) selection: Selection,

    /// Fail where imgpack.lock does not pin what a build would use
    #[arg(long)]
    pub(super) locked: bool,

    /// Let no request leave: everything has to be in the cache
    #[arg(long)]
    pub(super) offline: bool,
}

/// `check`
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Set a field of the specs, like args.REGION=eu (may be repeated)
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(super) sets: Vec<String>,
}

/// `schema`
#[derive(Debug, Args)]
pub(super) struct SchemaArguments {}

/// `cache`
#[derive(Debug, Args)]
pub(super) struct CacheArguments {
    /// What to do with it.
    #[command(subcommand)]
    pub(super) command: CacheCommand,
}

/// The verbs of `cache`.
#[derive(Debug, Subcommand)]
pub(super) enum CacheCommand {
    /// Show what takes the space, whose it is, and how long it was not used
    Du(DuArguments),
    /// Remove what was not used for long; of what is asked for, the least recently used first
    Prune(PruneArguments),
    /// Check that every byte is what its name or record says
    Verify(VerifyArguments),
}

/// `cache du`
#[derive(Debug, Args)]
pub(super) struct DuArguments {
    /// Form of the answer
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(super) format: Format,
}

/// `cache prune`
#[derive(Debug, Args)]
pub(super) struct PruneArguments {
    /// Remove until the cache takes no more than this on the disk, like 20GB [default: IMGPACK_CACHE_MAX_SIZE, else
    /// cache.maxSize of the workspace, else no limit]
    #[arg(long, value_name = "SIZE")]
    pub(super) max_size: Option<Size>,

    /// Remove what was not used for so long, like 12h, 30d or 4w [default: 30d, where nothing else is asked for]
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(super) older_than: Option<Duration>,

    /// Only things of this kind, as `cache du` names them; alone: all of them (may be repeated, or a list with commas)
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',')]
    pub(super) kinds: Vec<Kind>,

    /// Only what the last builds of this service used and those of no other; alone: all of it
    #[arg(long, value_name = "SERVICE")]
    pub(super) service: Option<String>,

    /// Remove everything
    #[arg(long, conflicts_with_all = ["max_size", "older_than"])]
    pub(super) all: bool,

    /// Remove nothing, and say what would be removed
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// `cache verify`
#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    /// Remove what is damaged or foreign: it is made again when it is needed
    #[arg(long)]
    pub(super) repair: bool,

    /// Hash so many files at once [default: the number of processors]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) jobs: Option<u16>,
}

/// A whole number of hours, days or weeks.
fn age(text: &str) -> Result<Duration, &'static str> {
    let wrong = "an age is a whole number and one of h, d, w, like 30d";
    let unit = text.chars().last().ok_or(wrong)?;
    let hours = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        _ => return Err(wrong),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| wrong)?;
    Ok(Duration::from_hours(u64::from(number) * hours))
}

/// Forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    // For people. No `///`: clap would show it, and every option on three lines.
    Text,
    // For machines.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn ages_are_whole_hours() {
        for (text, hours) in [("0h", 0), ("12h", 12), ("30d", 720), ("2w", 336)] {
            assert_eq!(age(text), Ok(Duration::from_hours(hours)), "{text}");
        }
        for text in ["", "d", "30", "30m", "1.5d", "-1d", "30 d", "3é", "99999999999d"] {
            assert!(age(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_arguments_are_sound() {
        Arguments::command().debug_assert();
    }
}
