use super::error::TreeError;
use super::globs::Globs;

/// The `include` and `exclude` globs of one directory, for trees that are not on this disk: rules 2 and 5 of this module.
#[derive(Debug)]
pub struct Selection {
    /// `None`: everything.
    include: Option<Globs>,
    exclude: Globs,
}

impl Selection {
    /// The globs, relative to the directory; no `include` means everything.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, TreeError> {
        let all = include.is_empty();
        Ok(Self {
            include: if all { None } else { Some(Globs::new(include)?) },
            exclude: Globs::new(exclude)?,
        })
    }

    /// Whether the file, link or empty directory at `path` is taken.
    pub fn takes(&self, path: &str) -> bool {
        let mut included = self.include.is_none();
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            let (part, directory) = (&path[..end], end < path.len());
            if self.exclude.matched(part, directory).is_some() {
                return false;
            }
            included |= self.include.as_ref().is_some_and(|globs| globs.matched(part, directory).is_some());
        }
        included
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_directory_is_decides_what_is_below() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (include, exclude, path, expected) in [
            (&[][..], &[][..], "a/b", true),
            (&["a"], &[], "a/b", true),
            (&["a"], &[], "b/a", false),
            (&["**/*.so"], &[], "a/b.so", true),
            (&["**/*.so"], &[], "a/b.py", false),
            (&[], &["a"], "a/b", false),
            (&["a"], &["a/b"], "a/b/c", false),
            (&["a/b"], &["**/*.md"], "a/b/x.md", false),
            (&["a/b/"], &[], "a/b/x", true),
        ] {
            let selection = Selection::new(&list(include), &list(exclude)).unwrap();
            assert_eq!(selection.takes(path), expected, "{include:?} {exclude:?} {path}");
        }
    }
}
