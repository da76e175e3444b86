use std::collections::BTreeMap;

use super::image_path::ImagePath;

/// What a path of a base is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FactKind {
    /// A directory.
    Directory,
    /// A regular file or a hard link to one.
    File,
    /// A symbolic link with its text.
    Symlink(String),
    /// A device, pipe or socket.
    Special,
}

/// What a base says of one path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fact {
    /// What it is.
    pub kind: FactKind,
    /// Permission bits.
    pub mode: u32,
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Length in bytes, 0 but for files.
    pub size: u64,
}

/// A base's merged tree without its bytes, and the text of the files that imgpack composes anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BaseFacts {
    /// Every path of the merged tree (whiteouts applied).
    pub tree: BTreeMap<ImagePath, Fact>,
    /// Whole contents of the regular files that composed files are made from, where the base has them:
    /// `/etc/passwd`, `/etc/group`, `/etc/nsswitch.conf`, and the CA bundles of [`Self::CA_BUNDLES`].
    /// Each at most 4 MiB; links are followed by [`Self::resolve`].
    pub contents: BTreeMap<ImagePath, String>,
}

impl BaseFacts {
    /// Where distributions keep their CA bundle, the first the one that imgpack makes where there is none.
    pub const CA_BUNDLES: [&'static str; 5] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/ssl/cert.pem",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    ];
    /// Other files whose contents are kept.
    pub const CONTENTS: [&'static str; 3] = ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf"];

    /// `path` with every symbolic link of the base above it followed (not the last component's), as a kernel would in
    /// a container. `None` for a loop or a path through something that is no directory.
    pub fn resolve_parents(&self, path: &ImagePath) -> Option<ImagePath> {
        self.walk(path, false)
    }

    /// `path` with every symbolic link of the base followed, the last component's too.
    pub fn resolve(&self, path: &ImagePath) -> Option<ImagePath> {
        self.walk(path, true)
    }

    fn walk(&self, path: &ImagePath, last: bool) -> Option<ImagePath> {
        let text = path.as_str();
        let above = text.match_indices('/').skip(1).map(|(at, _)| &text[..at]);
        let is_link =
            |path: &str| matches!(self.tree.get(path), Some(Fact { kind: FactKind::Symlink(_), .. }));
        let blocks = |path: &str| {
            matches!(self.tree.get(path), Some(Fact { kind: FactKind::File | FactKind::Special, .. }))
        };
        // Nearly all: no link on the way.
        let through_link = above.clone().any(is_link) || (last && is_link(text));
        if !through_link {
            return (!above.clone().any(blocks)).then(|| path.clone());
        }
        let mut rest: Vec<String> = path.relative().split('/').rev().map(str::to_owned).collect();
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
            let here = ImagePath::parse(&format!("/{}", at.join("/"))).ok()?;
            let is_last = rest.is_empty();
            match self.tree.get(&here).map(|fact| &fact.kind) {
                Some(FactKind::Symlink(target)) if last || !is_last => {
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
                Some(FactKind::File | FactKind::Special) if !is_last => return None,
                _ => {}
            }
        }
        ImagePath::parse(&format!("/{}", at.join("/"))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(rows: &[(&str, FactKind)]) -> BaseFacts {
        let fact = |kind: &FactKind| Fact { kind: kind.clone(), mode: 0o755, uid: 0, gid: 0, size: 0 };
        BaseFacts {
            tree: rows.iter().map(|(path, kind)| (path.parse().unwrap(), fact(kind))).collect(),
            contents: BTreeMap::new(),
        }
    }

    #[test]
    fn links_are_followed_as_in_a_container() {
        let base = facts(&[
            ("/bin", FactKind::Symlink("usr/bin".into())),
            ("/lib", FactKind::Symlink("/usr/lib".into())),
            ("/up", FactKind::Symlink("../../etc".into())),
            ("/loop", FactKind::Symlink("loop".into())),
            ("/file", FactKind::File),
        ]);
        let resolve = |path: &str| base.resolve_parents(&path.parse().unwrap()).map(|p| p.to_string());
        assert_eq!(resolve("/bin/x").as_deref(), Some("/usr/bin/x"));
        assert_eq!(resolve("/lib/a/b").as_deref(), Some("/usr/lib/a/b"));
        assert_eq!(resolve("/up/passwd").as_deref(), Some("/etc/passwd"));
        assert_eq!(resolve("/bin").as_deref(), Some("/bin"));
        assert_eq!(resolve("/loop/x"), None);
        assert_eq!(resolve("/file/x"), None);
        assert_eq!(base.resolve(&"/bin".parse().unwrap()).unwrap().as_str(), "/usr/bin");
    }
}
