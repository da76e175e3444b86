use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::error::TreeError;

/// The globs of one `include` or `exclude` list, anchored at the scanned directory.
#[derive(Debug)]
pub(super) struct Globs {
    matcher: Gitignore,
    reaches: Vec<Reach>,
}

/// Where one glob can match.
#[derive(Debug)]
struct Reach {
    /// Its components before its first glob character.
    prefix: Vec<String>,
    /// How many components its matches have, if it says that.
    depth: Option<usize>,
}

/// Whether `text` names one path: it has no glob character.
pub(super) fn is_literal(text: &str) -> bool {
    !text.contains(['*', '?', '[', ']', '{', '}', '\\'])
}

/// A glob or name as it is meant: without `./` in front, empty components and a final slash.
pub(super) fn normalise(text: &str) -> String {
    text.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
}

impl Globs {
    pub(super) fn new(globs: &[String]) -> Result<Self, TreeError> {
        // An empty root: paths are matched as they are given, relative.
        let mut builder = GitignoreBuilder::new("");
        builder.allow_unclosed_class(false);
        let mut reaches = Vec::new();
        for glob in globs {
            let wrong = |reason: &str| TreeError::Glob { glob: glob.clone(), reason: reason.to_owned() };
            if glob.starts_with('!') {
                return Err(wrong("there is no ! in these lists, use exclude"));
            }
            if glob.split('/').any(|part| part == "..") {
                return Err(wrong("it has a .. component"));
            }
            let mut text = normalise(glob);
            if text.is_empty() {
                // `.` or `./`: the directory itself.
                "**".clone_into(&mut text);
            }
            reaches.push(Reach {
                prefix: text.split('/').take_while(|part| is_literal(part)).map(str::to_owned).collect(),
                // A brace may hold a slash.
                depth: (!text.contains("**") && !text.contains('{')).then(|| text.split('/').count()),
            });
            let only_directories = if glob.ends_with('/') { "/" } else { "" };
            builder
                .add_line(None, &format!("/{text}{only_directories}"))
                .map_err(|error| wrong(&error.to_string()))?;
        }
        let matcher = builder
            .build()
            .map_err(|error| TreeError::Glob { glob: globs.join(", "), reason: error.to_string() })?;
        Ok(Self { matcher, reaches })
    }

    /// The glob that matches `path` itself (not a directory above it).
    pub(super) fn matched(&self, path: &str, directory: bool) -> Option<&str> {
        match self.matcher.matched(Path::new(path), directory) {
            Match::Ignore(glob) | Match::Whitelist(glob) => {
                Some(glob.original().strip_prefix('/').unwrap_or(glob.original()))
            }
            Match::None => None,
        }
    }

    /// Whether a glob could match something below the directory `path`, which none of them matches itself.
    pub(super) fn may_match_below(&self, path: &str) -> bool {
        let depth = path.split('/').count();
        self.reaches.iter().any(|reach| {
            reach.depth.is_none_or(|deepest| depth < deepest)
                && path.split('/').zip(&reach.prefix).all(|(component, wanted)| component == wanted)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_anchored_and_stay_inside_components() {
        for (glob, path, directory, expected) in [
            ("**", "a/b.c", false, true),
            ("docs", "docs", true, true),
            ("docs", "a/docs", true, false),
            ("./docs/", "docs", true, true),
            ("docs/", "docs", false, false),
            ("**/docs", "a/docs", true, true),
            ("*.md", "x.md", false, true),
            ("*.md", "a/x.md", false, false),
            ("**/*.md", "x.md", false, true),
            ("src/**", "src/a/b", false, true),
            ("src/**", "src", true, false),
            ("a?c", "abc", false, true),
            ("a?c", "a/c", false, false),
            ("{a,b}.txt", "b.txt", false, true),
            ("[ab].txt", "c.txt", false, false),
            ("#x", "#x", false, true),
            (".", "anything", false, true),
        ] {
            let globs = Globs::new(&[glob.to_owned()]).unwrap();
            assert_eq!(globs.matched(path, directory).is_some(), expected, "{glob} on {path}");
        }
    }

    #[test]
    fn directories_that_cannot_match_are_not_entered() {
        let globs = Globs::new(&["src/*/x".to_owned(), "gen".to_owned()]).unwrap();
        for (path, expected) in
            [("src", true), ("src/a", true), ("lib", false), ("src/a/b", false), ("s", false)]
        {
            assert_eq!(globs.may_match_below(path), expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_glob_is_refused() {
        for (glob, message) in [
            ("a[", "`a[` is not a glob: "),
            ("!a", "`!a` is not a glob: there is no ! in these lists, use exclude"),
            ("../a", "`../a` is not a glob: it has a .. component"),
        ] {
            let error = Globs::new(&[glob.to_owned()]).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
