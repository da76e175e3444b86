use globset::Glob;
use serde_json::{Value as Json, json};

use crate::spec::shape::{FromText, Items, Origin, Plain, Wrong, record};

record! {
    /// Rules for the tags of all images.
    struct TagRules("tags") {
        /// Tags that never move to another image, as globs: `"v*"`. A push that would move one is refused.
        "immutable" => immutable: Items<Plain<TagGlob>>,
    }
}

/// A glob of whole tags: `*`, `?`, `[0-9]`, `{a,b}`.
#[derive(Debug, Clone)]
pub(in crate::spec) struct TagGlob(pub(in crate::spec) String);

impl FromText for TagGlob {
    const WANTED: &'static str = "a glob of tags like \"v*\"";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let hint = "`*` stands for any text, `?` for one character, `[0-9]` for one of these";
        if text.is_empty() || text.contains([':', '/']) {
            return Err(Wrong::new(format!("`{text}` is no glob of tags: no tag is like that")).hint(hint));
        }
        match Glob::new(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => {
                Err(Wrong::new(format!("`{text}` is no glob of tags: {}", error.kind())).hint(hint))
            }
        }
    }
    fn schema() -> Json {
        json!({ "type": "string" })
    }
}
