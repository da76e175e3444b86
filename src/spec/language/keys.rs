use crate::model::{ImagePath, Platform};
use crate::spec::problem::did_you_mean;
use crate::spec::shape::{Key, Wrong};

/// Names of images, variants, services, ports.
#[derive(Debug, Clone)]
pub(in crate::spec) struct NameKey;

impl Key for NameKey {
    const WANTED: &'static str = "names";
    fn check(text: &str) -> Result<(), Wrong> {
        super::text::check_name(text)
    }
}

/// Names of build arguments.
#[derive(Debug, Clone)]
pub(in crate::spec) struct ArgKey;

impl Key for ArgKey {
    const WANTED: &'static str = "argument names";
    fn check(text: &str) -> Result<(), Wrong> {
        let good = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if good {
            Ok(())
        } else {
            Err(Wrong::new(format!("`{text}` is not the name of an argument"))
                .hint("letters, digits and `_`, not beginning with a digit"))
        }
    }
}

/// Names of environment variables.
#[derive(Debug, Clone)]
pub(in crate::spec) struct EnvKey;

impl Key for EnvKey {
    const WANTED: &'static str = "variable names";
    fn check(text: &str) -> Result<(), Wrong> {
        if text.is_empty() || text.contains('=') || text.chars().any(|c| c.is_control() || c.is_whitespace())
        {
            return Err(Wrong::new(format!("`{text}` is not the name of a variable")));
        }
        Ok(())
    }
}

/// Keys of labels and annotations.
#[derive(Debug, Clone)]
pub(in crate::spec) struct LabelKey;

impl Key for LabelKey {
    const WANTED: &'static str = "keys";
    fn check(text: &str) -> Result<(), Wrong> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(Wrong::new(format!("`{text}` is not a key")));
        }
        Ok(())
    }
}

/// Keys of `image.info`: what the image-spec calls `org.opencontainers.image.*` (annotations.md).
#[derive(Debug, Clone)]
pub(in crate::spec) struct InfoKey;

const INFO: [&str; 11] = [
    "authors",
    "url",
    "documentation",
    "source",
    "version",
    "revision",
    "vendor",
    "licenses",
    "title",
    "description",
    "ref.name",
];

impl Key for InfoKey {
    const WANTED: &'static str = "keys of org.opencontainers.image";
    fn check(text: &str) -> Result<(), Wrong> {
        if INFO.contains(&text) {
            return Ok(());
        }
        if matches!(text, "created" | "base.name" | "base.digest") {
            return Err(Wrong::new(format!("`{text}` is written by imgpack itself")));
        }
        let hint = match text.strip_prefix("org.opencontainers.image.") {
            Some(key) => Some(format!("write `{key}`")),
            None if text == "license" => Some("did you mean `licenses`?".to_owned()),
            None => did_you_mean(text, INFO)
                .or_else(|| Some(format!("known are {}; others go to `labels`", INFO.join(", ")))),
        };
        Err(Wrong::new(format!("unknown key `{text}` in image.info")).maybe_hint(hint))
    }
}

/// Go variables that the linker sets: import path and name.
#[derive(Debug, Clone)]
pub(in crate::spec) struct GoVariableKey;

impl Key for GoVariableKey {
    const WANTED: &'static str = "Go variables like main.version";
    fn check(text: &str) -> Result<(), Wrong> {
        let good = text.rsplit_once('.').is_some_and(|(package, name)| {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            !package.is_empty()
                && !package
                    .chars()
                    .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '\'' | '"' | '='))
                && name.chars().all(is_word)
                && name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        });
        if good {
            return Ok(());
        }
        Err(Wrong::new(format!("`{text}` is not a Go variable"))
            .hint("import path and name, like main.version"))
    }
}

/// Platforms.
#[derive(Debug, Clone)]
pub(in crate::spec) struct PlatformKey;

impl Key for PlatformKey {
    const WANTED: &'static str = "platforms";
    fn check(text: &str) -> Result<(), Wrong> {
        text.parse::<Platform>().map(drop).map_err(|error| Wrong::new(error.to_string()))
    }
}

/// Registries, or parts of them.
#[derive(Debug, Clone)]
pub(in crate::spec) struct PrefixKey;

impl Key for PrefixKey {
    const WANTED: &'static str = "registries";
    fn check(text: &str) -> Result<(), Wrong> {
        super::reference::check_prefix(text)
    }
}

/// Places in the image; `/` itself too.
#[derive(Debug, Clone)]
pub(in crate::spec) struct PlaceKey;

impl Key for PlaceKey {
    const WANTED: &'static str = "places in the image";
    fn check(text: &str) -> Result<(), Wrong> {
        if text == "/" {
            return Ok(());
        }
        ImagePath::parse(text).map(drop).map_err(|error| {
            let wrong = Wrong::new(error.to_string());
            if text.starts_with('/') {
                return wrong;
            }
            wrong.hint("the short form of `files` is target: source")
        })
    }
}
