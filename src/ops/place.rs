//! Where an image is, or goes: a registry, a layout, an archive.

use std::fmt;
use std::path::Path;

use super::error::{Error, ErrorKind};
use crate::archive::{Destination, Form};
use crate::model::{BlobDigest, ImageRef};

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a registry.
    Registry(ImageRef),
    /// On this machine, with the name of one of several.
    Local(Destination, Option<String>),
}

/// Where an image goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To a registry; whether a tag was written.
    Registry(ImageRef, bool),
    /// To this machine.
    Local(Destination),
}

const FORMS: [Form; 3] = [Form::OciLayout, Form::OciArchive, Form::DockerArchive];

fn local(text: &str) -> Option<Result<Destination, Error>> {
    let (word, _) = text.split_once(':')?;
    FORMS
        .iter()
        .any(|form| form.as_str() == word)
        .then(|| text.parse::<Destination>().map_err(|error| Error::usage(error.to_string())))
}

/// Whether a reference was written with a tag, not with the one that everybody means without.
fn has_tag(text: &str) -> bool {
    let name = text.split_once('@').map_or(text, |(name, _)| name);
    name.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

impl Source {
    /// Reads `REFERENCE`, `oci:DIR[:NAME]`, `oci-archive:FILE[:NAME]` or `docker-archive:FILE[:NAME]`; a digest stands
    /// after `@`. Where a path has colons of its own, the shortest one that exists is taken.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Some(place) = local(text) else { return Ok(Self::Registry(reference(text)?)) };
        let place = place?;
        let Some(path) = place.path.to_str() else { return Ok(Self::Local(place, None)) };
        let at = |end: usize| Destination { form: place.form, path: path[..end].into() };
        if let Some((before, digest)) = path.rsplit_once('@')
            && digest.parse::<BlobDigest>().is_ok()
        {
            return Ok(Self::Local(at(before.len()), Some(digest.to_owned())));
        }
        let mut colons = path.match_indices(':').map(|(index, _)| index);
        let split = colons.find(|index| *index > 0 && Path::new(&path[..*index]).exists());
        match split.filter(|_| !place.path.exists()) {
            Some(index) => Ok(Self::Local(at(index), Some(path[index + 1..].to_owned()))),
            None => Ok(Self::Local(place, None)),
        }
    }
}

impl Target {
    /// Reads `REFERENCE`, `oci:DIR`, `oci-archive:FILE` or `docker-archive:FILE`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Some(place) = local(text) else {
            // Without a host a reference would mean Docker Hub, which nobody said.
            let host = text.split_once('/').map(|(host, _)| host);
            if !host.is_some_and(|host| host.contains(['.', ':']) || host == "localhost") {
                return Err(Error::usage_with_hint(
                    format!("`{}` names no registry to copy to", text.escape_debug()),
                    "write it with its host, like docker.io/acme/web:v1, or oci:DIR for a layout",
                ));
            }
            return Ok(Self::Registry(reference(text)?, has_tag(text)));
        };
        let place = place?;
        let last = place.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let (Some((_, name)), false) = (last.split_once(':'), place.path.exists()) {
            return Err(Error::usage_with_hint(
                format!("`{}` has a colon in its path", text.escape_debug()),
                format!("name the image with --tag {}", if name.is_empty() { "NAME" } else { name }),
            ));
        }
        Ok(Self::Local(place))
    }
}

fn reference(text: &str) -> Result<ImageRef, Error> {
    let has_host =
        text.split_once('/').is_some_and(|(host, _)| host.contains(['.', ':']) || host == "localhost");
    let archive = !has_host && [".tar", ".tar.gz", ".tgz"].iter().any(|end| text.ends_with(end));
    if archive || text.starts_with(['/', '.', '~']) {
        return Err(Error::usage_with_hint(
            format!("`{}` is a path, and does not say of what", text.escape_debug()),
            "write oci:DIR for a layout, oci-archive:FILE or docker-archive:FILE for an archive",
        ));
    }
    // As other tools write it; a user in it may come with a password, which is not shown.
    if let Some((scheme, rest)) = text.split_once("://") {
        let host = rest.find('/').unwrap_or(rest.len());
        let bare = rest[..host].rfind('@').map_or(rest, |at| &rest[at + 1..]).escape_debug();
        return Err(Error::usage_with_hint(
            format!("`{}://{bare}` begins with a scheme, and references have none", scheme.escape_debug()),
            format!("write {bare}"),
        ));
    }
    // Docker Hub has no such images; `auth` reads it the same way.
    let host = text.split(':').next().unwrap_or_default();
    if !text.contains(['/', '@']) && (host.contains('.') || host == "localhost") {
        return Err(Error::usage_with_hint(
            format!("`{}` is a registry, and names no image of it", text.escape_debug()),
            format!("write {}/PATH:TAG", text.escape_debug()),
        ));
    }
    text.parse::<ImageRef>().map_err(|error| ErrorKind::from(error).into())
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Local(place, None) => place.fmt(f),
            Self::Local(place, Some(name)) if name.starts_with("sha256:") => write!(f, "{place}@{name}"),
            Self::Local(place, Some(name)) => write!(f, "{place}:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().display().to_string();
        let digest = BlobDigest::of(b"x");
        std::fs::create_dir(folder.path().join("a:b")).unwrap();
        for (text, path, name) in [
            (format!("oci:{dir}"), dir.clone(), None),
            (format!("oci:{dir}:v1"), dir.clone(), Some("v1".to_owned())),
            (format!("oci:{dir}:ghcr.io/acme/web:v1"), dir.clone(), Some("ghcr.io/acme/web:v1".to_owned())),
            (format!("oci:{dir}@{digest}"), dir.clone(), Some(digest.to_string())),
            (format!("oci:{dir}/a:b"), format!("{dir}/a:b"), None),
            (format!("oci:{dir}/a:b:c"), format!("{dir}/a:b"), Some("c".to_owned())),
            (format!("oci:{dir}/none"), format!("{dir}/none"), None),
        ] {
            let Source::Local(place, found) = Source::parse(&text).unwrap() else { panic!("{text}") };
            assert_eq!((place.path.display().to_string(), found), (path, name), "{text}");
            assert_eq!(Source::parse(&text).unwrap().to_string(), text);
        }
        assert!(matches!(Source::parse("nginx").unwrap(), Source::Registry(_)));
        assert!(matches!(Source::parse("localhost:5000/a:v1").unwrap(), Source::Registry(_)));
    }

    #[test]
    fn targets_are_read() {
        for (text, expected) in [
            ("ghcr.io/a/b", Some(false)),
            ("localhost:5000/a", Some(false)),
            ("localhost:5000/a:v1", Some(true)),
            ("oci:out", None),
        ] {
            let found = match Target::parse(text).unwrap() {
                Target::Registry(_, tagged) => Some(tagged),
                Target::Local(_) => None,
            };
            assert_eq!(found, expected, "{text}");
        }
        for text in ["/tmp/x.tar", "./out", "x.tar", "in/x.tgz", "../x:v1"] {
            let error = Source::parse(text).unwrap_err();
            assert_eq!(error.kind.to_string(), format!("`{text}` is a path, and does not say of what"));
        }
        assert!(Source::parse("ghcr.io/acme/x.tar").is_ok());
        for (text, said) in [
            ("docker://ghcr.io/a/b:v1", "begins with a scheme, and references have none"),
            ("ghcr.io", "is a registry, and names no image of it"),
            ("localhost:5000", "is a registry, and names no image of it"),
        ] {
            assert_eq!(Source::parse(text).unwrap_err().kind.to_string(), format!("`{text}` {said}"));
        }
        let error = Source::parse("https://me:geheim@r.example/a").unwrap_err().kind.to_string();
        assert!(error.starts_with("`https://r.example/a` begins"), "{error}");
        for (text, message) in [
            ("web:v1", "`web:v1` names no registry to copy to"),
            ("acme/web", "`acme/web` names no registry to copy to"),
            ("oci:none/out:v1", "`oci:none/out:v1` has a colon in its path"),
            ("oci:", "names no path"),
        ] {
            let error = Target::parse(text).unwrap_err().kind.to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
