//! `imgpack merge`: arguments → one call of `ops::merge` → words.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::args::tag;
use super::failure::Exit;
use super::progress::Mode;
use super::run::{Settings, print, remark};
use crate::ops::error::Error;
use crate::ops::merge::{MergeOptions, merge};
use crate::system::fs;

/// `merge`
#[derive(Debug, Args)]
pub(super) struct MergeArguments {
    /// What `imgpack build --push --result FILE` wrote on each runner
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Use this tag instead of those that were asked for when building (may be repeated)
    #[arg(long = "tag", value_name = "TAG", value_parser = tag)]
    tags: Vec<String>,

    /// Tag images of which not every platform is there
    #[arg(long)]
    allow_partial: bool,

    /// Write what was merged to this file, as JSON
    #[arg(long, value_name = "FILE")]
    result: Option<PathBuf>,
}

/// `imgpack merge`
pub(super) fn run(settings: &Settings, arguments: MergeArguments) -> Result<Exit, Vec<Error>> {
    let one = |error: Error| vec![error];
    let MergeArguments { files, tags, allow_partial, result } = arguments;
    let options = MergeOptions { tags, allow_partial };
    // The files say everything that is built; of a workspace only its ways to registries are taken.
    settings.use_workspace_around().map_err(one)?;
    let merged = settings
        .with_machine(PathBuf::from("."), None, Mode::Quiet, |machine| Ok(merge(machine, &files, &options)))
        .map_err(one)??;
    if let Some(path) = &result {
        fs::write_atomic(path, &merged.result.json().map_err(one)?).map_err(|error| one(error.into()))?;
    }
    let mut references = String::new();
    for (image, unchanged) in merged.result.images.iter().zip(&merged.unchanged) {
        let platforms: Vec<String> =
            image.platforms.iter().map(|platform| platform.platform.to_string()).collect();
        let tags = if image.tags.is_empty() {
            ", without a tag".to_owned()
        } else {
            format!(" as {}", image.tags.join(", "))
        };
        let unchanged = if *unchanged { " (unchanged)" } else { "" };
        if !settings.quiet {
            remark(&format!("{}: {}{tags}{unchanged}", image.identity, platforms.join(", ")));
        }
        let _ = writeln!(references, "{}", image.reference);
    }
    print(&references).map_err(one)?;
    Ok(Exit::Done)
}
