use super::address::ArchiveAddress;
use crate::spec::problem::did_you_mean;
use crate::spec::service::SourcePath;
use crate::spec::shape::{FromText, Items, Key, Late, Origin, Table, Wrong, record, words};

record! {
    /// Packages of the base's distribution: exactly one of `debian` and `apk`.
    struct PackagesMap("packages") {
        /// Packages of Debian.
        "debian" => debian: Debian,
        /// Packages of Alpine, on a base that is Alpine.
        "apk" => apk: Apk,
    }
}

record! {
    /// Packages of Debian and what they depend on, without recommended ones.
    struct Debian("packages.debian") {
        /// The suite by its code name: bookworm or trixie. Its updates and security updates belong to it.
        "suite" => suite: Late<Suite>,
        /// Packages: `name`, or `name=version`.
        "install" => install: Items<Late<DebianWanted>>,
        /// Packages that are left out, also where another depends on them.
        "exclude" => exclude: Items<Late<DebianName>>,
        /// What of the documentation stays: docs, man, locales. Default: copyright files alone.
        "keep" => keep: Items<Late<KeepWord>>,
        /// Packages without whose scripts the image does, where no rule covers them: `{ NAME: ignore }`.
        "scripts" => scripts: Table<DebianName, Late<ScriptWord>>,
        /// More repositories, each with the key that signs it.
        "repositories" => repositories: Items<DebianRow>,
    }
}

record! {
    /// A repository of Debian packages.
    struct DebianRow("packages.debian.repositories") {
        /// Address of the archive's root, which has the folder `dists`.
        "url" => url: Late<ArchiveAddress>,
        /// Its suite; of a flat repository the folder with a slash behind it, like `./`.
        "suite" => suite: Late<String>,
        /// Its components. A flat repository has none.
        "components" => components: Items<Late<String>>,
        /// The OpenPGP key that signs it: a file of the workspace.
        "key" => key: Late<SourcePath>,
    }
}

record! {
    /// Packages of Alpine and what they depend on.
    struct Apk("packages.apk") {
        /// What is wanted, as in /etc/apk/world: `name`, `name=version`, `name~1.2`, `so:…`, `cmd:…`, `!name`.
        "install" => install: Items<Late<ApkWanted>>,
        /// What of the documentation stays: docs, man, locales.
        "keep" => keep: Items<Late<KeepWord>>,
        /// Packages without whose scripts the image does, where no rule covers them: `{ NAME: ignore }`.
        "scripts" => scripts: Table<ApkName, Late<ScriptWord>>,
        /// More repositories beside those of the base.
        "repositories" => repositories: Items<ApkRow>,
    }
}

record! {
    /// A repository of Alpine packages: exactly one of `url` and `dir`.
    struct ApkRow("packages.apk.repositories") {
        /// Address of the folder that has a folder for each architecture.
        "url" => url: Late<ArchiveAddress>,
        /// The same as a directory of the workspace.
        "dir" => dir: Late<SourcePath>,
        /// The public key that signs it, a file named as apk names it. Default: the keys of the base.
        "key" => key: Late<SourcePath>,
    }
}

words! {
    /// `keep`
    enum KeepWord { "docs" => Docs, "man" => Man, "locales" => Locales, }
}

words! {
    /// What becomes of a package's scripts.
    enum ScriptWord { "ignore" => Ignore, }
}

/// A suite by its code name.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Suite(pub(in crate::spec) String);

/// The suites that imgpack has the keys of, oldest first, and their numbers.
const SUITES: [(&str, &str); 2] = [("bookworm", "12"), ("trixie", "13")];

impl FromText for Suite {
    const WANTED: &'static str = "a suite like trixie";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let names = SUITES.map(|(name, _)| name);
        if names.contains(&text) {
            return Ok(Self(text.to_owned()));
        }
        let known = names.join(" and ");
        let (message, hint) = match text {
            "stable" | "oldstable" | "oldoldstable" | "testing" | "stable-backports" => (
                format!("`{text}` is another suite every few years"),
                format!("write a code name: known are {known}"),
            ),
            _ => match SUITES.iter().find(|(name, number)| {
                number == &text || text.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
            }) {
                Some((name, number)) if number == &text => (
                    format!("`{text}` is the number of a release, not its code name"),
                    format!("write {name}"),
                ),
                Some((name, _)) if matches!(&text[name.len()..], "-updates" | "-security") => (
                    format!("`{text}` is a part of the suite {name}"),
                    format!("write {name}: its updates and security updates belong to it"),
                ),
                _ => (
                    format!("the suite `{text}` is not known to this version of imgpack"),
                    did_you_mean(text, names).unwrap_or_else(|| {
                        format!("known are {known}; others can be rows of `repositories`, with their key")
                    }),
                ),
            },
        };
        Err(Wrong::new(message).hint(hint))
    }
    fn meant_by_number(text: &str) -> Option<String> {
        SUITES.iter().find(|(_, number)| *number == text).map(|(name, _)| (*name).to_owned())
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": "string", "enum": SUITES.map(|(name, _)| name) })
    }
}

/// The name of a Debian package (Debian policy §5.6.1).
#[derive(Debug, Clone)]
pub(in crate::spec) struct DebianName(pub(in crate::spec) String);

fn check_debian_name(text: &str) -> Result<(), Wrong> {
    let good = text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    if good {
        return Ok(());
    }
    let wrong = Wrong::new(format!("`{text}` is not the name of a Debian package"));
    let lower = text.to_ascii_lowercase();
    Err(match text.split_once([':', '/', '=', '(', '<', '>']) {
        Some((name, _)) if text.contains(':') => {
            wrong.hint(format!("write {name}: packages are those of the image's platform"))
        }
        Some((name, _)) if text.contains('/') => wrong.hint(format!("write {name}: it comes of `suite`")),
        Some((name, _)) => wrong.hint(format!(
            "write {0}; an exact version is written {0}=VERSION in `install`",
            name.trim_end()
        )),
        None if lower != text && check_debian_name(&lower).is_ok() => wrong.hint(format!("write {lower}")),
        None => wrong.hint("two or more small letters, digits, `+`, `-` and `.`"),
    })
}

impl FromText for DebianName {
    const WANTED: &'static str = "the name of a package";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        check_debian_name(text).map(|()| Self(text.to_owned()))
    }
}

impl Key for DebianName {
    const WANTED: &'static str = "packages";
    fn check(text: &str) -> Result<(), Wrong> {
        check_debian_name(text)
    }
}

/// A Debian package that is wanted, perhaps in one version.
#[derive(Debug, Clone)]
pub(in crate::spec) struct DebianWanted {
    pub(in crate::spec) name: String,
    pub(in crate::spec) version: Option<String>,
}

impl FromText for DebianWanted {
    const WANTED: &'static str = "a package, like curl or curl=7.88.1-10+deb12u14";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let Some((name, version)) =
            text.split_once('=').filter(|(name, _)| !name.contains(['<', '>', ' ', '(']))
        else {
            return check_debian_name(text).map(|()| Self { name: text.to_owned(), version: None });
        };
        check_debian_name(name)?;
        let good = version.starts_with(|c: char| c.is_ascii_digit())
            && version.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '~' | ':'));
        if !good {
            return Err(Wrong::new(format!("`{text}` does not say a version of a Debian package"))
                .hint(format!("write the whole version, like {name}=1.2-3")));
        }
        Ok(Self { name: name.to_owned(), version: Some(version.to_owned()) })
    }
}

/// The name of an Alpine package, of a library (`so:`), a command (`cmd:`) or another thing that packages provide.
#[derive(Debug, Clone)]
pub(in crate::spec) struct ApkName;

fn is_apk_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/'))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_' | ':' | '/'))
}

impl Key for ApkName {
    const WANTED: &'static str = "packages";
    fn check(text: &str) -> Result<(), Wrong> {
        if is_apk_name(text) {
            return Ok(());
        }
        Err(Wrong::new(format!("`{text}` is not the name of an Alpine package")))
    }
}

/// A row of `/etc/apk/world`.
#[derive(Debug, Clone)]
pub(in crate::spec) struct ApkWanted(pub(in crate::spec) String);

impl FromText for ApkWanted {
    const WANTED: &'static str = "a package, like curl, curl=8.14.1-r2 or so:libpq.so.5";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let wanted = text.strip_prefix('!').unwrap_or(text);
        if let Some((name, _)) = wanted.split_once('@') {
            return Err(Wrong::new(format!(
                "`{text}` names the tag of a repository, which repositories do not have here"
            ))
            .hint(format!("write {name}")));
        }
        let good = match wanted.find(['=', '<', '>', '~']) {
            None => is_apk_name(wanted),
            Some(at) => {
                let (name, rest) = wanted.split_at(at);
                let version = rest.trim_start_matches(['=', '<', '>', '~']);
                let operator = &rest[..rest.len() - version.len()];
                ["=", "<", ">", "~", "<=", ">=", "=~"].contains(&operator)
                    && is_apk_name(name)
                    && version.starts_with(|c: char| c.is_ascii_digit())
                    && version.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            }
        };
        if good {
            return Ok(Self(text.to_owned()));
        }
        Err(Wrong::new(format!("`{text}` is not a package as apk writes it"))
            .hint("write it like curl, curl=8.14.1-r2, curl~8, so:libpq.so.5, cmd:psql, or !curl for what must not be there"))
    }
}
