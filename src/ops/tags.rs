//! Which tags a push may move.

use std::collections::BTreeSet;

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::build::BuiltImage;
use super::error::{Error, ErrorKind};
use crate::model::ImageRef;
use crate::registry::ImagePush;

/// The rules of one command for tags.
#[derive(Debug, Clone, Default)]
pub struct TagRules {
    globs: Vec<String>,
    immutable: GlobSet,
    allow_partial: bool,
}

impl TagRules {
    /// Tags that `immutable` matches whole never move to another image; with `allow_partial` images that were built for
    /// some of their platforms are tagged too.
    pub fn new(immutable: &[String], allow_partial: bool) -> Result<Self, Error> {
        let mut set = GlobSetBuilder::new();
        let wrong = |error: &globset::Error| Error::usage(format!("tags.immutable: {error}"));
        for glob in immutable {
            set.add(Glob::new(glob).map_err(|error| wrong(&error))?);
        }
        let set = set.build().map_err(|error| wrong(&error))?;
        Ok(Self { globs: immutable.to_vec(), immutable: set, allow_partial })
    }

    /// The globs of tags that never move.
    pub fn immutable(&self) -> &[String] {
        &self.globs
    }

    /// Whether an image's tags move: a tag that named fewer platforms than before would break who pulls the others.
    pub fn moves(&self, image: &BuiltImage) -> bool {
        self.allow_partial || !image.is_partial()
    }

    /// Of the tags of these images those that must not move.
    pub fn fixed(&self, images: &[ImagePush]) -> Result<BTreeSet<ImageRef>, Error> {
        let mut fixed = BTreeSet::new();
        for image in images {
            for tag in image.tags.iter().filter(|tag| self.immutable.is_match(tag)) {
                fixed.insert(image.repository.tagged(tag).map_err(ErrorKind::from)?);
            }
        }
        Ok(fixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_tags() {
        let rules =
            TagRules::new(&["v*".into(), "[0-9]*.[0-9]*".into(), "release-{a,b}".into()], false).unwrap();
        for (tag, fixed) in [
            ("v", true),
            ("v1.2.3", true),
            ("1.2", true),
            ("1.2.3-debug", true),
            ("release-b", true),
            ("1", false),
            ("nov1", false),
            ("latest", false),
            ("release-c", false),
            ("V1", false),
        ] {
            assert_eq!(rules.immutable.is_match(tag), fixed, "{tag}");
        }
        assert!(!TagRules::default().immutable.is_match("v1"));
        let error = TagRules::new(&["v[".into()], false).unwrap_err();
        assert!(
            error.kind.to_string().starts_with("tags.immutable: error parsing glob 'v['"),
            "{}",
            error.kind
        );
    }
}
