use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::accounts::Accounts;
use super::layers::LayerPart;
use crate::model::{
    BaseFacts, Class, Effects, Entries, EntriesError, Entry, EntryKind, FactKind, ImagePath, ImagePathError,
    Owner,
};
use crate::spec::User;

/// Why a composed file cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ComposeError {
    /// The base or a package has the name with another number.
    #[error("image.user: {owner} has {kind} `{name}` with number {number}, not {wanted}")]
    Number {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
        /// Who has it.
        owner: String,
        /// Its number there.
        number: String,
        /// The number that the spec says.
        wanted: u32,
    },
    /// Two names, one number.
    #[error("{origin} makes {kind} `{name}` with number {number}, which is {kind} `{other}` already")]
    Taken {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
        /// Who wants it.
        origin: String,
        /// The number.
        number: u32,
        /// Who has it.
        other: String,
    },
    /// A name without a number.
    #[error("{origin} wants {kind} `{name}`, and neither the base nor a package nor image.user has it")]
    NoAccount {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
        /// Who names it.
        origin: String,
    },
    /// A file that should be certificates is something else.
    #[error("{origin}: {path} is not a PEM file of certificates")]
    NotCertificates {
        /// Where the file was named.
        origin: String,
        /// The file.
        path: String,
    },
    /// A private key among the certificates.
    #[error("{origin}: {path} holds a private key, which must not get into an image")]
    PrivateKey {
        /// Where the file was named.
        origin: String,
        /// The file.
        path: String,
    },
    /// The base has the file, but it is too large to have been kept.
    #[error("{0} of the base is larger than 4 MiB: it cannot be added to")]
    TooLarge(ImagePath),
    /// Two composed files in one place; cannot happen with the paths of this module.
    #[error(transparent)]
    Entries(#[from] EntriesError),
    /// A path of this module that is no image path; cannot happen.
    #[error(transparent)]
    Path(#[from] ImagePathError),
}

/// A PEM file named by `certificates`.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Where it was named (`file:line:column`).
    pub origin: String,
    /// The file.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl ComposeError {
    /// A way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Taken { name, .. } => {
                Some(format!("give `{name}` another number with image.user, or take `{name}`'s package out"))
            }
            Self::NoAccount { .. } => {
                Some("take base-passwd among the packages, or give it a number with image.user".to_owned())
            }
            _ => None,
        }
    }
}

/// Files that are made once for an image out of the base, the packages and the spec, and what is removed from the base: one
/// layer at the end of the system class. `bundle` replaces the base's CA certificates where the component is asked for.
///
/// Entries of `parts` get the modes and owners that packages' scripts give them, and lose what scripts remove.
pub fn composed_files(
    facts: &BaseFacts,
    effects: &Effects,
    parts: &mut [LayerPart],
    user: Option<&User>,
    certificates: &[Certificate],
    bundle: Option<&str>,
    remove: &[ImagePath],
) -> Result<LayerPart, ComposeError> {
    let mut entries = Entries::new();
    let mut titles = Vec::new();
    let passwd = content(facts, &"/etc/passwd".parse()?)?.map(|(_, text)| text);
    let group = content(facts, &"/etc/group".parse()?)?.map(|(_, text)| text);
    let accounts = Accounts::new(passwd, group, effects, user)?;
    let accounts_origin = if user.is_some() { "image.user" } else { "packages" };
    for (path, text) in [("/etc/passwd", accounts.passwd()), ("/etc/group", accounts.group())] {
        if let Some(text) = text {
            put(&mut entries, path.parse()?, text, accounts_origin)?;
        }
    }
    if !entries.is_empty() {
        titles.push(if effects.users.is_empty() { "user and group" } else { "users and groups" });
    }
    // The component alone is a layer of its own.
    let packaged = effects.bundle.as_deref().filter(|_| bundle.is_none());
    if !certificates.is_empty() || packaged.is_some() {
        let added = certificates.iter().map(checked).collect::<Result<Vec<_>, _>>()?;
        let origin = if certificates.is_empty() { "package ca-certificates" } else { "certificates" };
        for (path, text) in bundles(facts, bundle.or(packaged))? {
            let text = added.iter().fold(text, |text, added| joined(&text, added));
            put(&mut entries, path, &text, origin)?;
        }
        titles.push("CA certificates");
    }
    if made_by_packages(effects, &accounts, parts, facts, &mut entries)? {
        titles.push("package database");
    }
    for path in remove {
        entries.insert(Entry {
            path: path.clone(),
            kind: EntryKind::Whiteout,
            mode: 0o644,
            owner: Owner::default(),
            origin: Arc::from("remove"),
        })?;
    }
    if !remove.is_empty() {
        titles.push("removals");
    }
    let replace = effects.made.keys().cloned().collect();
    Ok(LayerPart { class: Class::System, title: titles.join(", "), entries, replace })
}

/// Puts what scripts make into `entries` and what they change into `parts`; whether there was something to put.
fn made_by_packages(
    effects: &Effects,
    accounts: &Accounts,
    parts: &mut [LayerPart],
    facts: &BaseFacts,
    entries: &mut Entries,
) -> Result<bool, ComposeError> {
    for (path, made) in &effects.made {
        let owner = accounts.owner(&made.user, &made.group, &made.origin)?;
        let (kind, origin) = (made.kind.clone(), Arc::clone(&made.origin));
        entries.insert(Entry { path: path.clone(), kind, mode: made.mode, owner, origin })?;
    }
    let mut owners = BTreeMap::new();
    for (path, attributes) in &effects.attributes {
        let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "0".to_owned());
        let (user, group) = (name(&attributes.user), name(&attributes.group));
        owners.insert(path, accounts.owner(&user, &group, path.as_str())?);
    }
    for part in parts.iter_mut() {
        let touched = |path: &ImagePath| {
            effects.removed.contains(path) || effects.made.contains_key(path) || owners.contains_key(path)
        };
        if !part.entries.iter().any(|entry| touched(&entry.path)) {
            continue;
        }
        let mut changed = Entries::new();
        for mut entry in std::mem::take(&mut part.entries) {
            // What a script makes stands in the composed layer, in place of what the package brought.
            let replaced = entry.kind != EntryKind::Directory && effects.made.contains_key(&entry.path);
            if replaced || effects.removed.contains(&entry.path) {
                continue;
            }
            if let Some(attributes) = effects.attributes.get(&entry.path)
                && let Some(owner) = owners.get(&entry.path)
            {
                entry.mode = attributes.mode.unwrap_or(entry.mode);
                entry.owner.uid = attributes.user.as_ref().map_or(entry.owner.uid, |_| owner.uid);
                entry.owner.gid = attributes.group.as_ref().map_or(entry.owner.gid, |_| owner.gid);
            }
            changed.insert(entry)?;
        }
        part.entries = changed;
    }
    // A directory of the base comes again with its new mode and owner; its files are left as the base has them.
    for (path, attributes) in &effects.attributes {
        let Some(fact) = facts.tree.get(path).filter(|fact| fact.kind == FactKind::Directory) else {
            continue;
        };
        if parts.iter().any(|part| part.entries.get(path).is_some()) || entries.get(path).is_some() {
            continue;
        }
        let owner = owners.get(path).copied().unwrap_or_default();
        entries.insert(Entry {
            path: path.clone(),
            kind: EntryKind::Directory,
            mode: attributes.mode.unwrap_or(fact.mode),
            owner: Owner {
                uid: attributes.user.as_ref().map_or(fact.uid, |_| owner.uid),
                gid: attributes.group.as_ref().map_or(fact.gid, |_| owner.gid),
            },
            origin: Arc::from("packages"),
        })?;
    }
    Ok(!effects.made.is_empty())
}

fn put(entries: &mut Entries, path: ImagePath, text: &str, origin: &str) -> Result<(), EntriesError> {
    let kind = EntryKind::bytes(text.as_bytes());
    entries.insert(Entry { path, kind, mode: 0o644, owner: Owner::default(), origin: Arc::from(origin) })
}

/// The text of a file of the base, with the path where it really is; `None` where the base has no such file.
fn content<'f>(facts: &'f BaseFacts, path: &ImagePath) -> Result<Option<(ImagePath, &'f str)>, ComposeError> {
    let Some(path) = facts.resolve(path) else { return Ok(None) };
    match facts.contents.get(&path) {
        Some(text) => Ok(Some((path, text))),
        None if facts.tree.get(&path).is_some_and(|fact| fact.kind == FactKind::File) => {
            Err(ComposeError::TooLarge(path))
        }
        None => Ok(None),
    }
}

/// Where the base keeps its CA certificates, with their text; the first known place where it has none.
fn bundles(facts: &BaseFacts, bundle: Option<&str>) -> Result<Vec<(ImagePath, String)>, ComposeError> {
    let mut found: Vec<(ImagePath, String)> = Vec::new();
    for path in BaseFacts::CA_BUNDLES {
        if let Some((path, text)) = content(facts, &path.parse()?)?
            && found.iter().all(|(known, _)| *known != path)
        {
            found.push((path, bundle.unwrap_or(text).to_owned()));
        }
    }
    if found.is_empty() {
        found.push((BaseFacts::CA_BUNDLES[0].parse()?, bundle.unwrap_or_default().to_owned()));
    }
    Ok(found)
}

fn checked(certificate: &Certificate) -> Result<String, ComposeError> {
    let Certificate { origin, path, text } = certificate;
    if text.contains("PRIVATE KEY-----") {
        return Err(ComposeError::PrivateKey { origin: origin.clone(), path: path.clone() });
    }
    let mut blocks = text.split("-----BEGIN CERTIFICATE-----").skip(1).peekable();
    if blocks.peek().is_none() || !blocks.all(is_certificate) {
        return Err(ComposeError::NotCertificates { origin: origin.clone(), path: path.clone() });
    }
    // A file from another system must not change the bytes.
    Ok(joined(&text.replace("\r\n", "\n"), ""))
}

/// Whether base64 stands between the beginning of a certificate and its end.
fn is_certificate(block: &str) -> bool {
    let content = block.split_once("-----END CERTIFICATE-----").map(|(content, _)| content);
    let bytes =
        content.and_then(|text| STANDARD.decode(text.split_ascii_whitespace().collect::<String>()).ok());
    bytes.is_some_and(|bytes| !bytes.is_empty())
}

/// `first` ended by a newline, then `second`.
pub(super) fn joined(first: &str, second: &str) -> String {
    let newline = if first.is_empty() || first.ends_with('\n') { "" } else { "\n" };
    format!("{first}{newline}{second}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Content, Fact, FactKind};

    fn base() -> BaseFacts {
        let mut facts = BaseFacts::default();
        let fact = |kind| Fact { kind, mode: 0o644, uid: 0, gid: 0, size: 0 };
        for (path, kind, text) in [
            ("/etc/passwd", FactKind::File, "root:x:0:0::/root:/bin/sh\napp:x:7:7::/:/bin/sh"),
            ("/etc/ssl/cert.pem", FactKind::Symlink("certs/ca-certificates.crt".into()), ""),
            ("/etc/ssl/certs/ca-certificates.crt", FactKind::File, "BASE"),
        ] {
            let path: ImagePath = path.parse().unwrap();
            facts.tree.insert(path.clone(), fact(kind));
            if !text.is_empty() {
                facts.contents.insert(path, text.into());
            }
        }
        facts
    }

    fn user(name: &str, uid: u32) -> User {
        User { name: Some(name.into()), uid, group: Some(name.into()), gid: uid }
    }

    fn texts(part: &LayerPart) -> Vec<String> {
        let text = |entry: &Entry| match &entry.kind {
            EntryKind::File { content: Content::Bytes(bytes), .. } => {
                format!("{}={}", entry.path, String::from_utf8_lossy(bytes))
            }
            kind => format!("{} {}", kind.noun(), entry.path),
        };
        part.entries.iter().map(text).collect()
    }

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----";

    fn certificate(text: &str) -> Certificate {
        Certificate { origin: "a.yaml:1:1".into(), path: "ca.pem".into(), text: text.into() }
    }

    #[test]
    fn a_user_is_added_to_what_the_base_has() {
        let part =
            composed_files(&base(), &Effects::default(), &mut [], Some(&user("web", 1001)), &[], None, &[])
                .unwrap();
        assert_eq!(
            texts(&part),
            [
                "/etc/group=root:x:0:\nweb:x:1001:\n",
                "/etc/passwd=root:x:0:0::/root:/bin/sh\napp:x:7:7::/:/bin/sh\nweb:x:1001:1001::/nonexistent:/sbin/nologin\n",
            ]
        );
        let error =
            composed_files(&base(), &Effects::default(), &mut [], Some(&user("app", 1001)), &[], None, &[])
                .unwrap_err();
        assert_eq!(error.to_string(), "image.user: the base has user `app` with number 7, not 1001");
        let numbers = User { name: None, uid: 5, group: None, gid: 5 };
        assert!(
            composed_files(&base(), &Effects::default(), &mut [], Some(&numbers), &[], None, &[])
                .unwrap()
                .entries
                .is_empty()
        );
    }

    #[test]
    fn certificates_go_where_the_base_keeps_them() {
        let part =
            composed_files(&base(), &Effects::default(), &mut [], None, &[certificate(PEM)], None, &[])
                .unwrap();
        assert_eq!(texts(&part), [format!("/etc/ssl/certs/ca-certificates.crt=BASE\n{PEM}\n")]);
        let part = composed_files(
            &BaseFacts::default(),
            &Effects::default(),
            &mut [],
            None,
            &[certificate(PEM)],
            Some("OWN\n"),
            &[],
        )
        .unwrap();
        assert_eq!(texts(&part), [format!("/etc/ssl/certs/ca-certificates.crt=OWN\n{PEM}\n")]);
    }

    #[test]
    fn a_table_that_was_too_large_to_keep_is_not_taken_for_none() {
        let mut facts = base();
        facts.contents.clear();
        let error =
            composed_files(&facts, &Effects::default(), &mut [], Some(&user("web", 1001)), &[], None, &[])
                .unwrap_err();
        assert_eq!(error.to_string(), "/etc/passwd of the base is larger than 4 MiB: it cannot be added to");
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for (text, message) in [
            ("hello", "a.yaml:1:1: ca.pem is not a PEM file of certificates"),
            (
                "-----BEGIN RSA PRIVATE KEY-----",
                "a.yaml:1:1: ca.pem holds a private key, which must not get into an image",
            ),
        ] {
            let error =
                composed_files(&base(), &Effects::default(), &mut [], None, &[certificate(text)], None, &[])
                    .unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
