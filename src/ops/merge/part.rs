//! The files that are merged, read and looked through.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;

use super::error::MergeError;
use crate::model::{Identity, Repository, Size, is_tag};
use crate::ops::deliver;
use crate::ops::error::Error;
use crate::ops::result::{BuildResult, ResultImage};
use crate::ops::tags::TagRules;
use crate::system::{IoError, fs};

/// Longer files are not read: a result takes some kilobytes an image.
const LONGEST: u64 = 64 << 20;

/// One result and the file that holds it.
pub(super) struct Part {
    /// The file, as it was named.
    pub(super) file: String,
    pub(super) result: BuildResult,
}

/// One image of a part.
#[derive(Clone)]
pub(super) struct PartImage<'p> {
    pub(super) file: &'p str,
    pub(super) identity: Identity,
    pub(super) repository: Repository,
    pub(super) image: &'p ResultImage,
}

/// What every version of the shape begins with.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    schema_version: u64,
}

impl Part {
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let file = path.display().to_string();
        let no_result = |reason: &str| MergeError::NoResult { file: file.clone(), reason: one_line(reason) };
        let opened = fs::open(path).map_err(|error| {
            if error.is_not_found() { no_result("there is no such file").into() } else { Error::from(error) }
        })?;
        let mut bytes = Vec::new();
        let mut reader = opened.take(LONGEST + 1);
        reader.read_to_end(&mut bytes).map_err(IoError::of("read", path))?;
        if bytes.len() as u64 > LONGEST {
            return Err(MergeError::TooLong { file: file.clone(), limit: Size(LONGEST) }.into());
        }
        let wrong = |error: serde_json::Error| no_result(&error.to_string());
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(no_result("it is no JSON object").into());
        }
        let Head { schema_version } = serde_json::from_slice(&bytes).map_err(wrong)?;
        let known = BuildResult::SCHEMA_VERSION;
        if schema_version != u64::from(known) {
            return Err(MergeError::Version { file: file.clone(), found: schema_version, known }.into());
        }
        let result = serde_json::from_slice(&bytes).map_err(wrong)?;
        let part = Self { file, result };
        part.check()?;
        Ok(part)
    }

    fn no_result(&self, reason: &str) -> Error {
        MergeError::NoResult { file: self.file.clone(), reason: one_line(reason) }.into()
    }

    /// What the types do not say already.
    fn check(&self) -> Result<(), Error> {
        let BuildResult { imgpack, format, immutable_tags, images, .. } = &self.result;
        let is_version = |text: &str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-".contains(&b))
        };
        if !is_version(imgpack) || !is_version(format) {
            return Err(self.no_result("`imgpack` or `format` is no version"));
        }
        if let Err(error) = TagRules::new(immutable_tags, false) {
            return Err(self.no_result(&error.kind.to_string()));
        }
        if images.is_empty() {
            return Err(self.no_result("it has no image"));
        }
        let mut seen = BTreeSet::new();
        for image in images {
            let wrong = |what: &str| self.no_result(&format!("image {}: {what}", image.identity));
            if !seen.insert(&image.identity) {
                return Err(wrong("it is there twice"));
            }
            if !image.pushed {
                let (file, identity) = (self.file.clone(), one_line(&image.identity));
                return Err(MergeError::NotPushed { file, identity }.into());
            }
            if !image.tags.iter().all(|tag| is_tag(tag)) {
                return Err(wrong("a tag is none"));
            }
            let platforms: BTreeSet<_> = image.platforms.iter().map(|platform| platform.platform).collect();
            let all: BTreeSet<_> = image.spec_platforms.iter().copied().collect();
            if platforms.is_empty()
                || platforms.len() < image.platforms.len()
                || all.len() < image.spec_platforms.len()
                || !platforms.is_subset(&all)
            {
                return Err(wrong("its platforms are not some of its `specPlatforms`, each once"));
            }
            let index = image.index.media_type;
            let is_docker = |kind: crate::model::MediaType| kind != kind.to_oci();
            let fits =
                |kind: crate::model::MediaType| kind.is_manifest() && is_docker(kind) == is_docker(index);
            if !index.is_index() || !image.platforms.iter().all(|platform| fits(platform.manifest.media_type))
            {
                return Err(wrong("its media types are not those of an index and its manifests"));
            }
        }
        self.images().map(drop)
    }

    /// The images, with what their names mean.
    pub(super) fn images(&self) -> Result<Vec<PartImage<'_>>, Error> {
        self.result.images.iter().map(|image| self.image(image)).collect()
    }

    fn image<'p>(&'p self, image: &'p ResultImage) -> Result<PartImage<'p>, Error> {
        let identity: Identity = image.identity.parse().map_err(|_| self.no_result("an identity is none"))?;
        let wrong =
            |error: &dyn std::fmt::Display| self.no_result(&format!("repository of {identity}: {error}"));
        // Without a host it would mean Docker Hub, and then a tag or digest after it.
        deliver::repository(&image.repository).map_err(|error| wrong(&error.kind))?;
        let repository = image.repository.parse::<Repository>().map_err(|error| wrong(&error))?;
        Ok(PartImage { file: &self.file, identity, repository, image })
    }
}

/// A text of a file that anybody may have written: one line, without control characters, not long.
fn one_line(text: &str) -> String {
    let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}
