use crate::model::{Identity, is_tag};
use crate::spec::shape::{FromText, Origin, Wrong};

/// Longest `registry/repository` (distribution's reference grammar).
const LONGEST: usize = 255;

/// What a tag is, for a hint.
pub(in crate::spec) const TAG_RULE: &str =
    "at most 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`";

/// Whether the first component of a reference names a registry: it has a dot or a port, or is `localhost`.
pub(super) fn is_registry_host(component: &str) -> bool {
    component.contains(['.', ':']) || component == "localhost"
}

/// What is wrong with `path` as the path of a repository.
fn check_path(path: &str) -> Result<(), String> {
    let component = |text: &str| {
        let mut previous = '/';
        let mut run = 0;
        for c in text.chars() {
            match c {
                'a'..='z' | '0'..='9' => run = 0,
                '.' | '_' | '-' => {
                    run += 1;
                    let doubled = c != '-' && run > 1 && !(c == '_' && run == 2 && previous == '_');
                    if previous == '/' || doubled || (run > 1 && c != previous) {
                        return false;
                    }
                }
                _ => return false,
            }
            previous = c;
        }
        !text.is_empty() && run == 0
    };
    if path.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(format!("`{path}` has capital letters, which no repository may have"));
    }
    if !path.split('/').all(component) {
        return Err(format!("`{path}` is not the path of a repository"));
    }
    Ok(())
}

/// What is wrong with `host` as a registry: a name or address, and a port.
pub(super) fn check_host(host: &str) -> Result<(), String> {
    let wrong = || Err(format!("`{host}` is not a registry's host"));
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                (None, port.strip_prefix(':').or_else(|| (!port.is_empty()).then_some("none")))
            }
            _ => return wrong(),
        },
        None => match host.split_once(':') {
            Some((name, port)) => (Some(name), Some(port)),
            None => (Some(host), None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err() || port.starts_with('+'))
        || name.is_some_and(|name| !name.split('.').all(label))
    {
        return wrong();
    }
    Ok(())
}

/// Whether `repository` begins with a registry's host.
pub(in crate::spec) fn names_registry(repository: &str) -> bool {
    repository.split_once('/').is_some_and(|(host, _)| is_registry_host(host))
}

/// What is wrong with `text`, a repository with or without its registry.
pub(in crate::spec) fn check_repository(text: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("a repository of {} characters, at most {LONGEST} are possible", text.len()));
    }
    match text.split_once('/') {
        Some((host, path)) if is_registry_host(host) => check_host(host).and_then(|()| check_path(path)),
        _ => check_path(text),
    }
}

/// What is wrong with `text` as a tag.
pub(in crate::spec) fn check_tag(text: &str) -> Result<(), String> {
    if is_tag(text) { Ok(()) } else { Err(format!("`{text}` is not a tag")) }
}

/// `registry:` of the workspace: a host and, with most registries, a path.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Registry(pub(in crate::spec) String);

impl FromText for Registry {
    const WANTED: &'static str = "a registry like ghcr.io/acme";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        check_prefix(text).map(|()| Self(text.to_owned()))
    }
}

/// Checks the name of a registry, and perhaps a path in it.
pub(super) fn check_prefix(text: &str) -> Result<(), Wrong> {
    if let Some((_, rest)) = text.split_once("://") {
        return Err(Wrong::new(format!("`{text}` is an address"))
            .hint(format!("write {}", rest.trim_end_matches('/'))));
    }
    let host = text.split('/').next().unwrap_or_default();
    if !is_registry_host(host) {
        let path = Some(text.trim_matches('/')).filter(|path| check_path(path).is_ok()).unwrap_or("acme");
        return Err(Wrong::new(format!("`{text}` does not begin with a registry's host"))
            .hint(format!("write it in full, like docker.io/{path} or ghcr.io/{path}")));
    }
    let check = |text: &str| if text.contains('/') { check_repository(text) } else { check_host(text) };
    check(text).map_err(|message| {
        let bare = text.trim_end_matches('/');
        let hint = (bare != text && check(bare).is_ok()).then(|| format!("write {bare}"));
        Wrong::new(message).maybe_hint(hint)
    })
}

/// `repository:` of a service.
#[derive(Debug, Clone)]
pub(in crate::spec) struct RepositoryText(pub(in crate::spec) String);

impl FromText for RepositoryText {
    const WANTED: &'static str = "a repository";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        check_repository(text)
            .map_err(|message| {
                let hint = text
                    .rsplit_once(':')
                    .filter(|(_, tag)| check_tag(tag).is_ok())
                    .map(|(_, tag)| format!("tags have a field of their own: `tags: [{tag}]`"));
                Wrong::new(message).maybe_hint(hint)
            })
            .map(|()| Self(text.to_owned()))
    }
}

/// Checks a registry reference: a host, a repository, and a tag or a digest or both.
pub(super) fn check_reference(text: &str) -> Result<(), Wrong> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    if let Some(digest) = digest {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if hex.len() != 64 || !hex.chars().all(is_hex) {
            return Err(Wrong::new(format!("`{digest}` is not a digest"))
                .hint("a digest is sha256: and 64 hexadecimal digits"));
        }
    }
    let (repository, tag) = match rest.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (rest, None),
    };
    if let Some(tag) = tag {
        check_tag(tag).map_err(|message| Wrong::new(message).hint(TAG_RULE))?;
    }
    check_repository(repository).map_err(Wrong::new)
}

/// Checks the reference of an image whose files are wanted: it says which registry it is in.
pub(super) fn check_image(text: &str) -> Result<(), Wrong> {
    let (host, _) = text.split_once('/').unwrap_or(("", text));
    if is_registry_host(host) {
        return check_reference(text);
    }
    let bare = text.trim_start_matches('/');
    let full = if bare.contains('/') { bare.to_owned() } else { format!("library/{bare}") };
    Err(Wrong::new(format!("`{text}` does not say which registry it is in"))
        .hint(format!("write image:docker.io/{full}")))
}

/// The image that `spec:` names.
pub(super) fn spec_identity(text: &str) -> Result<Identity, Wrong> {
    text.parse().map_err(|_| {
        Wrong::new(format!("`spec:{text}` does not name an image of the workspace"))
            .hint("write spec:SERVICE, spec:SERVICE/IMAGE or spec:SERVICE@VARIANT")
    })
}

/// A registry, or a part of one: what `mirrors` stand for, and each of them.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Prefix(pub(in crate::spec) String);

impl FromText for Prefix {
    const WANTED: &'static str = "a registry like mirror.example/dockerhub";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        check_prefix(text).map(|()| Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories() {
        for text in [
            "a",
            "a/b",
            "ghcr.io/acme/a-b",
            "localhost:5000/x",
            "127.0.0.1:5000/x",
            "a__b",
            "a--b",
            "[::1]:5000/x",
            "a.b/c",
        ] {
            assert_eq!(check_repository(text), Ok(()), "{text}");
        }
        for text in [
            "",
            "A",
            "a/",
            "/a",
            "a//b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a._b",
            "a b",
            "a:b",
            "h.x:99999/a",
            "-.x/a",
            "[::1/x",
            "h.x:/a",
        ] {
            assert!(check_repository(text).is_err(), "{text}");
        }
        assert!(check_repository(&"a".repeat(256)).is_err());
    }

    #[test]
    fn references() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for text in ["docker.io/library/alpine:3.20", "localhost:5000/x", &format!("ghcr.io/a/b:v1@{digest}")]
        {
            assert!(check_reference(text).is_ok(), "{text}");
        }
        for text in ["ghcr.io/a:", "ghcr.io/a@sha256:12", "ghcr.io/a:-x", "ghcr.io/A", "ghcr.io/a@md5:00"] {
            assert!(check_reference(text).is_err(), "{text}");
        }
    }
}
