use crate::spec::shape::{FromText, Items, Late, Origin, Wrong, record};

record! {
    /// What the check of programs and shared libraries lets pass.
    struct ElfMap("elf") {
        /// Libraries that may be missing, as globs of their names: `libcuda.so.*`.
        "allow" => allow: Items<Late<LibraryGlob>>,
        /// Files that are not looked at, as globs of their places in the image: `/app/**/prebuilds/**`.
        "ignore" => ignore: Items<Late<PlaceGlob>>,
    }
}

/// A glob of names of libraries.
#[derive(Debug, Clone)]
pub(in crate::spec) struct LibraryGlob(pub(in crate::spec) String);

impl FromText for LibraryGlob {
    const WANTED: &'static str = "a glob of libraries' names";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        check_glob(text)?;
        if text.contains('/') {
            return Err(Wrong::new(format!("`{text}` is a path, where the name of a library is wanted"))
                .hint("write its name, like libcuda.so.1; files are left out by `ignore`"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A glob of places in the image.
#[derive(Debug, Clone)]
pub(in crate::spec) struct PlaceGlob(pub(in crate::spec) String);

impl FromText for PlaceGlob {
    const WANTED: &'static str = "a glob of places in the image";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        check_glob(text)?;
        if !text.starts_with('/') {
            return Err(Wrong::new(format!("`{text}` is not a place in the image"))
                .hint(format!("write /{text}, or /**/{text} for wherever it is")));
        }
        Ok(Self(text.to_owned()))
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": "string", "pattern": "^/" })
    }
}

fn check_glob(text: &str) -> Result<(), Wrong> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Wrong::new("an empty glob, or one with a control character"));
    }
    globset::Glob::new(text)
        .map(drop)
        .map_err(|error| Wrong::new(format!("`{text}` is not a glob: {}", error.kind())))
}
