use std::collections::BTreeMap;

use super::elf::Elf;
use super::image_path::{ImagePath, Step};

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

/// A base's merged tree without its bytes, and what stands in the files that imgpack composes anew or has to understand.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BaseFacts {
    /// Every path of the merged tree (whiteouts applied).
    pub tree: BTreeMap<ImagePath, Fact>,
    /// Whole texts of regular files, where the base has them: those of [`Self::CONTENTS`], [`Self::CA_BUNDLES`],
    /// [`Self::DATABASES`] and [`Self::FOLDERS`], by the paths to which links lead ([`Self::text`] follows them). Each at
    /// most 4 MiB, of databases 16 MiB, and 48 MiB together with [`Self::binaries`].
    pub contents: BTreeMap<ImagePath, String>,
    /// The same for those of [`Self::BINARIES`], which are no text. In JSON they are base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "base64_values")]
    pub binaries: BTreeMap<ImagePath, Vec<u8>>,
    /// What the loader reads of the tree's programs and libraries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub elf: BTreeMap<ImagePath, Elf>,
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
    pub const CONTENTS: [&'static str; 9] = [
        "/etc/group",
        "/etc/ld-musl-aarch64.path",
        "/etc/ld-musl-x86_64.path",
        "/etc/ld.so.conf",
        "/etc/nsswitch.conf",
        "/etc/os-release",
        "/etc/passwd",
        "/etc/shells",
        "/usr/lib/os-release",
    ];
    /// Databases of packages, and what belongs to them (dpkg(1), "FILES"; apk(5)).
    pub const DATABASES: [&'static str; 13] = [
        "/etc/apk/arch",
        "/etc/apk/repositories",
        "/etc/apk/world",
        "/lib/apk/db/installed",
        "/lib/apk/db/scripts.tar",
        "/lib/apk/db/triggers",
        "/usr/lib/apk/db/installed",
        "/usr/lib/apk/db/scripts.tar",
        "/usr/lib/apk/db/triggers",
        "/var/lib/dpkg/arch",
        "/var/lib/dpkg/diversions",
        "/var/lib/dpkg/statoverride",
        "/var/lib/dpkg/status",
    ];
    /// Those of the databases that are no text.
    pub const BINARIES: [&'static str; 2] = ["/lib/apk/db/scripts.tar", "/usr/lib/apk/db/scripts.tar"];
    /// Directories of which every file is kept whose name ends so.
    pub const FOLDERS: [(&'static str, &'static str); 5] = [
        ("/etc/apk/keys", ""),
        ("/etc/ld.so.conf.d", ""),
        ("/var/lib/dpkg/alternatives", ""),
        ("/var/lib/dpkg/status.d", ""),
        ("/var/lib/dpkg/info", ".list"),
    ];

    /// The text of the file at `path`, links followed.
    pub fn text(&self, path: &str) -> Option<&str> {
        let path = self.resolve(&ImagePath::parse(path).ok()?)?;
        self.contents.get(&path).map(String::as_str)
    }

    /// The bytes of the file at `path`, links followed.
    pub fn binary(&self, path: &str) -> Option<&[u8]> {
        let path = self.resolve(&ImagePath::parse(path).ok()?)?;
        self.binaries.get(&path).map(Vec::as_slice)
    }

    /// What stands in `directory`, links to it followed: names, in order, with the paths where they are listed.
    pub fn names_in(&self, directory: &str) -> Vec<(&str, &ImagePath)> {
        let Some(directory) = ImagePath::parse(directory).ok().and_then(|path| self.resolve(&path)) else {
            return Vec::new();
        };
        let prefix = format!("{directory}/");
        let below = self.tree.range(directory..).map(|(path, _)| path);
        // Names like `keys-x` stand between `keys` and `keys/x`.
        let below =
            below.take_while(|path| path.as_str() < prefix.as_str() || path.as_str().starts_with(&prefix));
        let names = below.filter_map(|path| Some((path.as_str().strip_prefix(&prefix)?, path)));
        names.filter(|(name, _)| !name.contains('/')).collect()
    }

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
        path.followed(last, |path| match self.tree.get(path).map(|fact| &fact.kind) {
            Some(FactKind::Symlink(target)) => Step::Link(target),
            Some(FactKind::File | FactKind::Special) => Step::End,
            Some(FactKind::Directory) | None => Step::Directory,
        })
    }
}

/// Bytes as base64 (RFC 4648, section 4).
mod base64_values {
    use std::collections::BTreeMap;

    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::ImagePath;

    pub(super) fn serialize<S: Serializer>(
        values: &BTreeMap<ImagePath, Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(values.iter().map(|(path, bytes)| (path, BASE64_STANDARD.encode(bytes))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<ImagePath, Vec<u8>>, D::Error> {
        let values = BTreeMap::<ImagePath, String>::deserialize(deserializer)?;
        let decoded = values.into_iter().map(|(path, text)| Ok((path, BASE64_STANDARD.decode(text)?)));
        decoded.collect::<Result<_, base64::DecodeError>>().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(rows: &[(&str, FactKind)]) -> BaseFacts {
        let fact = |kind: &FactKind| Fact { kind: kind.clone(), mode: 0o755, uid: 0, gid: 0, size: 0 };
        BaseFacts {
            tree: rows.iter().map(|(path, kind)| (path.parse().unwrap(), fact(kind))).collect(),
            ..BaseFacts::default()
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

    #[test]
    fn contents_are_found_through_links() {
        let mut base = facts(&[
            ("/lib", FactKind::Symlink("usr/lib".into())),
            ("/usr/lib/apk/db/scripts.tar", FactKind::File),
            ("/usr/lib/apk", FactKind::Directory),
            ("/usr/lib/apk-x", FactKind::Directory),
            ("/usr/lib/apk.d/y", FactKind::File),
            ("/usr/lib/apk/db", FactKind::Directory),
            ("/usr/lib/apk/world", FactKind::Symlink("/etc/world".into())),
            ("/etc/world", FactKind::File),
            ("/usr/lib/apk0", FactKind::File),
        ]);
        base.contents.insert("/etc/world".parse().unwrap(), "musl".to_owned());
        base.binaries.insert("/usr/lib/apk/db/scripts.tar".parse().unwrap(), vec![0, 0xff]);
        assert_eq!(base.text("/lib/apk/world"), Some("musl"));
        assert_eq!(base.text("/lib/apk/db/scripts.tar"), None);
        assert_eq!(base.binary("/lib/apk/db/scripts.tar"), Some(&[0, 0xff][..]));
        let names: Vec<_> = base.names_in("/lib/apk").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["db", "world"]);
        assert!(base.names_in("/none").is_empty() && base.names_in("/").is_empty());
        let text = serde_json::to_string(&base).unwrap();
        assert!(text.contains(r#""/usr/lib/apk/db/scripts.tar":"AP8=""#), "{text}");
        assert_eq!(serde_json::from_str::<BaseFacts>(&text).unwrap(), base);
    }
}
