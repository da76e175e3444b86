use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization as _;

/// A path in an image: absolute, normalised, UTF-8, never the root itself. Orders bytewise on its text, as entries do.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImagePath(String);

/// Why a text is no path in an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImagePathError {
    /// It does not begin with `/`.
    #[error("`{0}` is not absolute: a place in the image begins with /")]
    Relative(String),
    /// It is the root directory.
    #[error("`{0}` is the root of the image: name a place below it")]
    Root(String),
    /// It has a `..` component.
    #[error("`{0}` has a .. component")]
    Parent(String),
    /// It has a NUL or another control character.
    #[error("`{0}` has a control character")]
    Control(String),
    /// A component begins with `.wh.`, which marks a removal in a layer (image-spec, layer.md, "Whiteouts").
    #[error("`{0}` has a name that begins with .wh., which marks a removal in a layer")]
    Whiteout(String),
}

/// What stands at a path, for who follows links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// A directory, or nothing that is known.
    Directory,
    /// A symbolic link with its text.
    Link(&'a str),
    /// Something that nothing can be below of.
    End,
}

impl ImagePath {
    /// Reads `text`; repeated slashes, `.` components and a final slash are dropped.
    pub fn parse(text: &str) -> Result<Self, ImagePathError> {
        if !text.starts_with('/') {
            return Err(ImagePathError::Relative(text.to_owned()));
        }
        if text.chars().any(char::is_control) {
            return Err(ImagePathError::Control(text.escape_debug().to_string()));
        }
        let mut path = String::with_capacity(text.len());
        for component in text.split('/').filter(|part| !part.is_empty() && *part != ".") {
            if component == ".." {
                return Err(ImagePathError::Parent(text.to_owned()));
            }
            if component.starts_with(".wh.") {
                return Err(ImagePathError::Whiteout(text.to_owned()));
            }
            path.push('/');
            path.push_str(component);
        }
        if path.is_empty() { Err(ImagePathError::Root(text.to_owned())) } else { Ok(Self(path)) }
    }

    /// This path with `relative` below it; the same rules as [`Self::parse`].
    pub fn join(&self, relative: &str) -> Result<Self, ImagePathError> {
        Self::parse(&format!("{}/{relative}", self.0))
    }

    /// The text, with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text without its leading slash, as tar headers have it.
    pub fn relative(&self) -> &str {
        &self.0[1..]
    }

    /// The last component.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The directory that holds it, `None` where that is the root.
    pub fn parent(&self) -> Option<Self> {
        match self.0.rfind('/') {
            None | Some(0) => None,
            Some(at) => Some(Self(self.0[..at].to_owned())),
        }
    }

    /// Every directory above it, the highest first, without the root.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + '_ {
        self.0.match_indices('/').skip(1).map(|(at, _)| Self(self.0[..at].to_owned()))
    }

    /// Whether it is `directory` or lies below it.
    pub fn is_within(&self, directory: &Self) -> bool {
        self.0.strip_prefix(&directory.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// This path with every symbolic link above it followed, with `last` the last component's too, as a kernel would in a
    /// container whose paths `look` knows. `None` for a loop or a path through something that is no directory.
    pub fn followed<'t>(&self, last: bool, look: impl Fn(&str) -> Step<'t>) -> Option<Self> {
        let text = self.as_str();
        let above = text.match_indices('/').skip(1).map(|(at, _)| &text[..at]);
        // Nearly all: no link on the way.
        let through_link = above.clone().any(|path| matches!(look(path), Step::Link(_)))
            || (last && matches!(look(text), Step::Link(_)));
        if !through_link {
            return above.clone().all(|path| look(path) != Step::End).then(|| self.clone());
        }
        Self::walked(text, last, look)
    }

    /// The same for an absolute path that may have `.` and `..` in it.
    pub fn walked<'t>(path: &str, last: bool, look: impl Fn(&str) -> Step<'t>) -> Option<Self> {
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        let mut followed = 0;
        while let Some(component) = rest.pop() {
            match component.as_str() {
                "" | "." => continue,
                ".." => {
                    at.pop();
                    continue;
                }
                _ => {}
            }
            at.push(component);
            let here = Self::parse(&format!("/{}", at.join("/"))).ok()?;
            let is_last = rest.is_empty();
            match look(here.as_str()) {
                Step::Link(target) if last || !is_last => {
                    followed += 1;
                    if followed > 40 {
                        return None;
                    }
                    at.pop();
                    if target.starts_with('/') {
                        at.clear();
                    }
                    rest.extend(target.split('/').rev().map(str::to_owned));
                }
                Step::End if !is_last => return None,
                _ => {}
            }
        }
        Self::parse(&format!("/{}", at.join("/"))).ok()
    }

    /// Its text in Unicode normalisation form C: two paths of equal form are one file on some file systems.
    pub fn nfc(&self) -> String {
        if self.0.is_ascii() { self.0.clone() } else { self.0.nfc().collect() }
    }
}

/// Ordered as its text is.
impl Borrow<str> for ImagePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImagePath {
    type Err = ImagePathError;
    fn from_str(text: &str) -> Result<Self, ImagePathError> {
        Self::parse(text)
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl serde::Serialize for ImagePath {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for ImagePath {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_and_refuses() {
        for (text, expected) in
            [("/a//b/./c/", Ok("/a/b/c")), ("/a", Ok("/a")), ("a", Err(())), ("/", Err(()))]
        {
            assert_eq!(
                ImagePath::parse(text).map(|p| p.0).map_err(drop),
                expected.map(str::to_owned),
                "{text}"
            );
        }
        for text in ["/a/../b", "/..", "/a/.wh.b", "/.wh..wh..opq", "/a\0b", "/a\nb", "//", "/."] {
            assert!(ImagePath::parse(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn ancestors_are_the_directories_above() {
        let path: ImagePath = "/usr/local/bin/x".parse().unwrap();
        let above: Vec<_> = path.ancestors().map(|p| p.0).collect();
        assert_eq!(above, ["/usr", "/usr/local", "/usr/local/bin"]);
        assert!(path.is_within(&"/usr/local".parse().unwrap()));
        assert!(!path.is_within(&"/usr/loc".parse().unwrap()));
        assert_eq!("/x".parse::<ImagePath>().unwrap().parent(), None);
    }
}
