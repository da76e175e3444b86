//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::archive::Destination;
use crate::model::{Identity, Platform, is_tag};

/// Small, reproducible, multi-arch container images of a whole repository, without a daemon.
#[derive(Debug, Parser)]
#[command(name = "imgpack", version, max_term_width = 100, disable_help_subcommand = true)]
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
    /// Build images, and put them into layouts, archives, an engine or a registry
    Build(BuildArguments),
    /// Show which layers a build would make, from which inputs
    Plan(PlanArguments),
    /// Show what a build would do again, and which input makes it do so
    Explain(ExplainArguments),
    /// Pin what images are built with, in imgpack.lock
    Lock(LockArguments),
    /// Check every spec of the workspace
    Check(CheckArguments),
    /// Print the JSON Schema of imgpack.yaml and buildspecs
    Schema(SchemaArguments),
}

/// Which images.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// What to build, as service[/image][@variant] [default: every service]
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

    /// Use this tag instead of those of the specs (may be repeated)
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

    /// After a failure finish what does not depend on it; nothing is tagged then
    #[arg(long)]
    pub(super) keep_going: bool,
}

fn tag(text: &str) -> Result<String, &'static str> {
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
}

/// `lock`
#[derive(Debug, Args)]
pub(super) struct LockArguments {
    /// Which images.
    #[command(flatten)]
    pub(super) selection: Selection,

    /// Only the toolchains, as they are installed here [default: all there is to pin, which so far is this]
    #[arg(long)]
    pub(super) toolchains: bool,
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

/// Forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        Arguments::command().debug_assert();
    }
}
