//! `imgpack copy`

use clap::Args;

use super::args::tag;
use super::failure::Exit;
use super::run::{Settings, print};
use super::verbs::count as counted;
use crate::model::{RawPlatform, Size};
use crate::ops::copy::{Copied, CopyOptions, copy};
use crate::ops::error::Error;
use crate::ops::place::{Source, Target};

/// `copy`
#[derive(Debug, Args)]
pub(super) struct CopyArguments {
    /// What to copy: a reference, oci:DIR[:NAME], oci-archive:FILE[:NAME] or docker-archive:FILE[:NAME]
    #[arg(value_name = "SOURCE")]
    source: String,

    /// Where to: a reference, oci:DIR, oci-archive:FILE or docker-archive:FILE
    #[arg(value_name = "TARGET")]
    target: String,

    /// Another name at the target (may be repeated)
    #[arg(long = "tag", value_name = "TAG", value_parser = tag)]
    tags: Vec<String>,

    /// Only the image for this platform, like linux/arm64: its manifest alone, not the index
    #[arg(long = "platform", value_name = "PLATFORM", value_delimiter = ',')]
    platforms: Vec<RawPlatform>,

    /// Leave out what refers to the image: signatures, SBOMs, statements
    #[arg(long)]
    no_referrers: bool,

    /// Copy what cosign keeps under tags (sha256-….sig, .att, .sbom), too
    #[arg(long)]
    legacy_signatures: bool,
}

/// Copies an image as it is.
pub(super) fn run(settings: &Settings, arguments: &CopyArguments) -> Result<Exit, Vec<Error>> {
    copied(settings, arguments).map_err(|error| vec![error])
}

fn copied(settings: &Settings, arguments: &CopyArguments) -> Result<Exit, Error> {
    let (source, target) = (Source::parse(&arguments.source)?, Target::parse(&arguments.target)?);
    let platform = match arguments.platforms.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        _ => {
            return Err(Error::usage_with_hint(
                "several platforms alone would be another index, with another digest",
                "copy all by leaving --platform out, or one at a time",
            ));
        }
    };
    settings.use_workspace_around()?;
    let options = CopyOptions {
        platform,
        no_referrers: arguments.no_referrers,
        legacy_signatures: arguments.legacy_signatures,
        tags: arguments.tags.clone(),
        rules: settings.tag_rules(false)?,
    };
    let copied = settings.with_machine(".".into(), None, settings.mode(), |machine| {
        copy(machine, &source, &target, &options)
    })?;
    settings.remark(&told(&copied));
    print(&format!("{}\n", copied.reference))?;
    Ok(Exit::Done)
}

fn told(copied: &Copied) -> String {
    let mut text = counted(copied.documents, "manifest");
    if copied.referrers > 0 {
        text.push_str(&format!(", {}", counted(copied.referrers, "referrer")));
    }
    if copied.unchanged {
        return format!("{text}: all there before");
    }
    let mut blobs = Vec::new();
    if copied.blobs_sent > 0 {
        blobs.push(format!("{} copied ({})", counted(copied.blobs_sent, "blob"), Size(copied.bytes_sent)));
    }
    for (count, how) in [(copied.blobs_mounted, "mounted"), (copied.blobs_existed, "there before")] {
        match (count, blobs.is_empty()) {
            (0, _) => {}
            (_, true) => blobs.push(format!("{} {how}", counted(count, "blob"))),
            (_, false) => blobs.push(format!("{count} {how}")),
        }
    }
    if blobs.is_empty() { format!("{text} copied") } else { format!("{text}: {}", blobs.join(", ")) }
}
