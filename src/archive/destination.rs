use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A local form of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// A directory (image-spec, image-layout.md).
    OciLayout,
    /// A tar of such a directory.
    OciArchive,
    /// What `docker load` and `podman load` read; one platform.
    DockerArchive,
}

impl Form {
    const WORDS: [(Self, &'static str); 3] = [
        (Self::OciLayout, "oci"),
        (Self::OciArchive, "oci-archive"),
        (Self::DockerArchive, "docker-archive"),
    ];

    /// The word before the colon.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(form, _)| *form == self).map_or("", |(_, word)| word)
    }
}

/// Where images go: `oci:DIR`, `oci-archive:FILE` or `docker-archive:FILE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// What is written.
    pub form: Form,
    /// The directory or the file.
    pub path: PathBuf,
}

/// A text that names no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// No known word before the colon.
    #[error("`{0}` is not an output: oci:DIR, oci-archive:FILE or docker-archive:FILE")]
    Form(String),
    /// Nothing after the colon.
    #[error("`{0}` names no path after the colon")]
    NoPath(String),
}

impl FromStr for Destination {
    type Err = DestinationError;
    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let form = |word: &str| Form::WORDS.iter().find(|(_, known)| *known == word).map(|(form, _)| *form);
        let (form, path) = text
            .split_once(':')
            .and_then(|(word, path)| Some((form(word)?, path)))
            .ok_or_else(|| DestinationError::Form(text.to_owned()))?;
        if path.is_empty() {
            return Err(DestinationError::NoPath(text.to_owned()));
        }
        Ok(Self { form, path: PathBuf::from(path) })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.form.as_str(), self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_three_forms() {
        for (text, form, path) in [
            ("oci:out", Form::OciLayout, "out"),
            ("oci-archive:/tmp/a b.tar", Form::OciArchive, "/tmp/a b.tar"),
            ("docker-archive:a:b.tar", Form::DockerArchive, "a:b.tar"),
        ] {
            let destination: Destination = text.parse().unwrap();
            assert_eq!(destination, Destination { form, path: path.into() });
            assert_eq!(destination.to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_none() {
        for (text, message) in [
            ("out", "`out` is not an output: oci:DIR, oci-archive:FILE or docker-archive:FILE"),
            ("tar:out", "`tar:out` is not an output: oci:DIR, oci-archive:FILE or docker-archive:FILE"),
            ("oci:", "`oci:` names no path after the colon"),
        ] {
            assert_eq!(text.parse::<Destination>().unwrap_err().to_string(), message);
        }
    }
}
