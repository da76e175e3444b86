use crate::model::{ImagePath, ImagePathError};
use crate::spec::service::SourcePath;
use crate::spec::shape::{FromText, Origin, Wrong};

/// `text` below `dir` (both relative to the workspace root, the root being the empty text), normalised; `.` for the
/// root itself. Never out of the workspace.
pub(in crate::spec) fn resolve(dir: &str, text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new("an empty path").hint("`.` is the directory of the file it is written in"));
    }
    if text.starts_with('/') {
        return Err(Wrong::new(format!("`{text}` is absolute"))
            .hint("paths are relative to the file they are written in, and stay inside of the workspace"));
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::new("a control character in a path"));
    }
    if text.starts_with("~/") {
        return Err(Wrong::new(format!("`{text}` is not in the workspace")));
    }
    let mut path: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for component in text.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                if path.pop().is_none() {
                    return Err(Wrong::new(format!("`{text}` leads out of the workspace"))
                        .hint("nothing outside of the directory of imgpack.yaml can be used"));
                }
            }
            component => path.push(component),
        }
    }
    Ok(if path.is_empty() { ".".to_owned() } else { path.join("/") })
}

impl FromText for SourcePath {
    const WANTED: &'static str = "a path";
    fn from_text(text: &str, origin: &Origin<'_>) -> Result<Self, Wrong> {
        Ok(Self { path: resolve(origin.dir, text)?, site: origin.site() })
    }
}

/// A path inside of the staged tree: relative, never out of it.
#[derive(Debug, Clone)]
pub(in crate::spec) struct StagedPath(pub(in crate::spec) String);

impl FromText for StagedPath {
    const WANTED: &'static str = "a relative path";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let outside = |_| Wrong::new(format!("`{text}` is not a path below `source.dir`"));
        resolve("", text).map(Self).map_err(outside)
    }
}

/// A glob relative to a directory.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Glob(pub(in crate::spec) String);

impl FromText for Glob {
    const WANTED: &'static str = "a glob";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(Wrong::new("an empty glob, or one with a control character"));
        }
        if text.starts_with('/') || text.split('/').any(|part| part == "..") {
            return Err(Wrong::new(format!("`{text}` leaves the directory it is relative to"))
                .hint("globs are relative to the directory: no leading /, no .."));
        }
        if text.starts_with('!') {
            return Err(Wrong::new(format!("`{text}` begins with !"))
                .hint("name what is wanted in `include`, what is not in `exclude`"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromText for ImagePath {
    const WANTED: &'static str = "a path in the image";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        Self::parse(text).map_err(|error| {
            let hint = matches!(error, ImagePathError::Relative(_))
                .then(|| format!("write /{}", text.trim_start_matches("./")));
            Wrong::new(error.to_string()).maybe_hint(hint)
        })
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": "string", "pattern": "^/" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_workspace() {
        for (dir, text, expected) in [
            ("", "a", Some("a")),
            ("", ".", Some(".")),
            ("a/b", "..", Some("a")),
            ("a/b", "../..", Some(".")),
            ("a/b", "../../..", None),
            ("a/b", "../../../a", None),
            ("a", "./b//c/../d/", Some("a/b/d")),
            ("", "..", None),
            ("", "/etc/passwd", None),
            ("", "~/x", None),
            ("", "", None),
            ("", "a\0b", None),
            ("", "...", Some("...")),
        ] {
            assert_eq!(resolve(dir, text).ok().as_deref(), expected, "{dir} {text}");
        }
    }
}
