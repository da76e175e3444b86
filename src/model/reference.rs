use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::digest::{BlobDigest, DigestError};

/// A repository of a registry: `ghcr.io/acme/web`, `localhost:5000/x`, `docker.io/library/nginx`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    registry: String,
    path: String,
}

/// One image of a registry: `repository[:tag][@digest]`, with a tag, a digest or both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    repository: Repository,
    tag: Option<String>,
    digest: Option<BlobDigest>,
}

/// A text that names no image of a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct ReferenceError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Repository {
    /// The registry as it is written, with its port: `docker.io`, `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path in the registry: `library/nginx`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The host, with its port, that serves this registry; Docker Hub's is not `docker.io`.
    pub fn authority(&self) -> &str {
        if self.registry == DOCKER_HUB { "registry-1.docker.io" } else { &self.registry }
    }

    /// The host without port and brackets.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => authority.split_once(':').map_or(authority, |(host, _)| host),
        }
    }

    /// Whether the host is written as this machine: `localhost`, `127.0.0.0/8`, `[::1]`. Only such registries are
    /// spoken to without TLS.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }

    /// The image of this repository under `tag`.
    pub fn tagged(&self, tag: &str) -> Result<ImageRef, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError { text: format!("{self}:{tag}"), reason: no_tag(tag) });
        }
        Ok(ImageRef { repository: self.clone(), tag: Some(tag.to_owned()), digest: None })
    }

    /// The image of this repository with `digest`.
    pub fn at(&self, digest: BlobDigest) -> ImageRef {
        ImageRef { repository: self.clone(), tag: None, digest: Some(digest) }
    }
}

/// Whether `host` (no port, no brackets) is this machine by its own name: `localhost`, `127.0.0.0/8` or `::1`.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

/// distribution-spec, "Pulling manifests": `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

impl ImageRef {
    /// Where it is.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Its tag; beside a digest it is a remark for people.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Its digest, which decides where both are given.
    pub fn digest(&self) -> Option<BlobDigest> {
        self.digest
    }

    /// The same image held to `digest`; the tag stays as a remark.
    #[must_use]
    pub fn with_digest(mut self, digest: BlobDigest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// The same tag and digest of another repository.
    #[must_use]
    pub fn of_repository(mut self, repository: Repository) -> Self {
        self.repository = repository;
        self
    }

    /// What a registry is asked for: the digest where there is one, else the tag.
    pub fn key(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }
}

const DOCKER_HUB: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
/// Longer texts are not looked at.
const LONGEST: usize = 1024;

impl FromStr for ImageRef {
    type Err = ReferenceError;

    /// Reads `[host[:port]/]path[:tag][@digest]` (distribution's reference grammar, and IPv6 hosts in brackets). Without
    /// a host it is Docker Hub's, without tag and digest `latest`.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong = |reason: String| ReferenceError { text: text.to_owned(), reason };
        if text.len() > LONGEST {
            let text = format!("{}…", text.chars().take(64).collect::<String>());
            return Err(ReferenceError { text, reason: "it is longer than any".to_owned() });
        }
        if text.contains("://") {
            return Err(wrong("it has no scheme; write host/path".to_owned()));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let digest =
            digest.map(str::parse).transpose().map_err(|error: DigestError| wrong(error.to_string()))?;
        let (host, rest) = match name.split_once('/') {
            Some((host, rest)) if host == "localhost" || host.contains(['.', ':', '[']) => (Some(host), rest),
            _ => (None, name),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (rest, None),
        };
        if let Some(host) = host {
            check_host(host).map_err(wrong)?;
        }
        check_path(path).map_err(wrong)?;
        let registry = match host {
            None | Some("index.docker.io") => DOCKER_HUB,
            Some(host) => host,
        };
        // Docker Hub's own images have one component, and are kept under `library`.
        let official = registry == DOCKER_HUB && !path.contains('/');
        let path = if official { format!("library/{path}") } else { path.to_owned() };
        let repository = Repository { registry: registry.to_owned(), path };
        let tag = match (tag, digest) {
            (None, None) => Some(DEFAULT_TAG),
            (tag, _) => tag,
        };
        match tag {
            None => Ok(Self { repository, tag: None, digest }),
            Some(tag) if is_tag(tag) => Ok(Self { repository, tag: Some(tag.to_owned()), digest }),
            Some(tag) => Err(wrong(no_tag(tag))),
        }
    }
}

fn no_tag(tag: &str) -> String {
    format!(
        "`{tag}` is not a tag: up to 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`"
    )
}

/// `host[:port]`, the host a name, an IPv4 address, or an IPv6 address in brackets.
fn check_host(text: &str) -> Result<(), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or("a bracket is not closed")?;
            let _: Ipv6Addr =
                address.parse().map_err(|_| format!("`{address}` in brackets is no IPv6 address"))?;
            match after.strip_prefix(':') {
                None if !after.is_empty() => return Err(format!("`{after}` is not a port")),
                port => (None, port),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if let Some(host) = host.filter(|host| !host.split('.').all(is_label)) {
        return Err(format!("`{host}` is not the name of a host"));
    }
    match port {
        Some(port) if !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err() => {
            Err(format!("`{port}` is not a port"))
        }
        _ => Ok(()),
    }
}

/// distribution-spec, "Pulling manifests": components of lower case letters and digits, joined inside by `.`, `_`,
/// `__` or any number of `-`.
fn check_path(path: &str) -> Result<(), String> {
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("a repository's name has no upper case letters".to_owned());
    }
    if path.len() > 255 {
        return Err("a repository's name has at most 255 characters".to_owned());
    }
    let is_alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_component = |component: &str| {
        component.bytes().next().is_some_and(is_alphanumeric)
            && component.bytes().last().is_some_and(is_alphanumeric)
            && component
                .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                .all(|joint| matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|b| b == b'-'))
    };
    if path.split('/').all(is_component) {
        Ok(())
    } else {
        Err("it has the form [host[:port]/]path[:tag][@sha256:…]".to_owned())
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    /// Reads `[host[:port]/]path`, without tag and digest.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let reference: ImageRef = text.parse()?;
        let after_host = text.rsplit_once('/').map_or(text, |(_, last)| last);
        if reference.digest.is_some() || after_host.contains(':') {
            return Err(ReferenceError {
                text: text.to_owned(),
                reason: "a repository has neither tag nor digest".to_owned(),
            });
        }
        Ok(reference.repository)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

impl serde::Serialize for Repository {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Repository {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <String as serde::Deserialize>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn reads_every_form() {
        let full = format!("test:5000/repo:tag@{DIGEST}");
        for (text, registry, path, key) in [
            ("busybox", "docker.io", "library/busybox", "latest"),
            ("acme/web:1.2", "docker.io", "acme/web", "1.2"),
            ("index.docker.io/acme/web", "docker.io", "acme/web", "latest"),
            ("ghcr.io/acme/web:v1", "ghcr.io", "acme/web", "v1"),
            ("localhost/web", "localhost", "web", "latest"),
            ("localhost:5000/a/b", "localhost:5000", "a/b", "latest"),
            ("127.0.0.1:5000/a", "127.0.0.1:5000", "a", "latest"),
            ("[::1]:5000/a/b:t", "[::1]:5000", "a/b", "t"),
            ("[::1]/a", "[::1]", "a", "latest"),
            (&full, "test:5000", "repo", DIGEST),
        ] {
            let reference: ImageRef = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(reference.repository().registry(), registry, "{text}");
            assert_eq!(reference.repository().path(), path, "{text}");
            assert_eq!(reference.key(), key, "{text}");
            let again: ImageRef = reference.to_string().parse().unwrap();
            assert_eq!(again, reference, "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, reason) in [
            ("", "it has the form"),
            ("ghcr.io/Acme/web", "no upper case letters"),
            ("https://ghcr.io/acme", "no scheme"),
            ("ghcr.io/acme web", "it has the form"),
            ("ghcr.io/acme/../web", "it has the form"),
            ("ghcr.io/", "it has the form"),
            ("ghcr.io/a___b", "it has the form"),
            ("ghcr.io/web@sha256:abc", "is not a digest"),
            ("ghcr.io/web:", "`` is not a tag"),
            ("ghcr.io/web:a:b", "it has the form"),
            ("ghcr..io/web", "`ghcr..io` is not the name of a host"),
            ("user@ghcr.io/web", "is not a digest"),
            ("localhost:99999/x", "`99999` is not a port"),
            ("localhost:+1/x", "`+1` is not a port"),
            ("[::g]/x", "`::g` in brackets is no IPv6 address"),
            ("[::1]5000/x", "`5000` is not a port"),
            ("[::1]:/x", "`` is not a port"),
            ("[::1/x", "a bracket is not closed"),
            (&format!("x@{}", DIGEST.replace("44136f", "44136F")), "is not a digest"),
            (&format!("x@sha512:{}", "0".repeat(128)), "is not a digest"),
            (&"a".repeat(256), "at most 255"),
            (&"a".repeat(2000), "longer than any"),
        ] {
            let error = text.parse::<ImageRef>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn repositories_have_neither_tag_nor_digest() {
        let repository: Repository = "localhost:5000/acme/web".parse().unwrap();
        assert_eq!(repository.to_string(), "localhost:5000/acme/web");
        assert_eq!(repository.tagged("v1").unwrap().to_string(), "localhost:5000/acme/web:v1");
        let digest = DIGEST.parse().unwrap();
        assert_eq!(repository.at(digest).to_string(), format!("localhost:5000/acme/web@{DIGEST}"));
        for text in ["localhost:5000/web:v1", "web:latest", &format!("web@{DIGEST}")] {
            let error = text.parse::<Repository>().unwrap_err().to_string();
            assert!(error.contains("neither tag nor digest"), "{error}");
        }
        for tag in ["", ".x", "-x", "a/b", "ä", &"x".repeat(129)] {
            assert!(repository.tagged(tag).is_err(), "{tag} was taken");
        }
    }

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for (text, expected) in [
            ("localhost/x", true),
            ("LOCALHOST:1/x", true),
            ("127.0.0.1/x", true),
            ("127.8.9.10:5000/x", true),
            ("[::1]:5000/x", true),
            ("[::2]:5000/x", false),
            ("127.0.0.1.example.com/x", false),
            ("localhost.example.com/x", false),
            ("10.0.0.1/x", false),
            ("busybox", false),
        ] {
            let repository: Repository = text.parse().unwrap();
            assert_eq!(repository.is_loopback(), expected, "{text} ({})", repository.host());
        }
    }

    #[test]
    fn docker_hub_is_served_elsewhere() {
        let repository: Repository = "nginx".parse().unwrap();
        assert_eq!(repository.to_string(), "docker.io/library/nginx");
        assert_eq!(repository.authority(), "registry-1.docker.io");
    }

    proptest::proptest! {
        /// oci-client's grammar is the judge; its regular expression takes 0.1 s to compile, so it is not the parser.
        #[test]
        fn reads_as_oci_client_does(text in "([a-zA-Z0-9._-]{1,6}(:[0-9]{1,3})?/)?[a-zA-Z0-9._/-]{0,8}(:[a-zA-Z0-9._-]{0,4})?") {
            let ours = text.parse::<ImageRef>();
            match (text.parse::<oci_client::Reference>(), &ours) {
                (Ok(theirs), Ok(ours)) => {
                    proptest::prop_assert_eq!(ours.to_string(), theirs.whole());
                    proptest::prop_assert_eq!(ours.repository().registry(), theirs.registry());
                }
                (Err(_), Err(_)) => {}
                // It takes `Foo/bar` for a path of Docker Hub, and `a_b.c/x` for a host.
                (Ok(theirs), Err(error)) => proptest::prop_assert!(
                    theirs.repository().contains(|c: char| c.is_ascii_uppercase())
                        || theirs.registry().contains('_'),
                    "{}", error
                ),
                (Err(error), Ok(ours)) => proptest::prop_assert!(false, "{} for {}", error, ours),
            }
        }
    }
}
