use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use globset::GlobBuilder;

use super::accounts::Accounts;
use super::archive::{ApkFacts, ApkFile};
use super::dependency::Dependency;
use super::installed::{Installed, InstalledDirectory, InstalledFile, InstalledPackage};
use super::record::{Package, RecordError};
use super::scripts::{Done, ScriptError, run_scripts};
use super::scripts_archive::ScriptsArchive;
use crate::model::{
    Attributes, BaseFacts, Effects, EntryKind, FactKind, ImagePath, ImagePathError, MadeEntry, Owner,
    PackageFile, PackageFileKind, PinnedPackage,
};

/// Packages that are put on a base.
#[derive(Clone, Copy)]
pub struct Installation<'a> {
    /// What they are and hold, in the order in which apk installs them.
    pub packages: &'a [(&'a PinnedPackage, &'a ApkFacts)],
    /// What they are put on; it has a database.
    pub base: &'a BaseFacts,
    /// What was asked for, as in `/etc/apk/world`.
    pub asked: &'a [Dependency],
    /// Packages whose scripts do not matter.
    pub ignored: &'a BTreeSet<String>,
}

/// What packages do to an image.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Installs {
    /// The files of each package, in the order of the packages.
    pub files: Vec<Vec<PackageFile>>,
    /// What their scripts do, and the database.
    pub effects: Effects,
    /// Files of the base that a newer version of their package does not have.
    pub gone: Vec<ImagePath>,
}

/// Why packages cannot be put on a base.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// The base is no Alpine.
    #[error("the base has no database of apk (/lib/apk/db/installed)")]
    NoDatabase,
    /// A part of the database that is broken.
    #[error("{path} of the base is broken")]
    Database {
        /// The file.
        path: &'static str,
        /// What is wrong.
        #[source]
        source: Option<RecordError>,
    },
    /// A package that is broken.
    #[error("package {package} is broken")]
    Package {
        /// Which one.
        package: String,
        /// What is wrong.
        #[source]
        source: RecordError,
    },
    /// Two packages with one file, of which neither replaces the other.
    #[error(
        "{path} is in package {first} and in package {second}, and neither says that it replaces the other"
    )]
    Conflict {
        /// The path.
        path: ImagePath,
        /// The package that is there.
        first: String,
        /// The one that comes.
        second: String,
    },
    /// A hard link to a file that is not installed.
    #[error("{path} of package {package} is a hard link to {target}, which stays that of package {other}")]
    Hardlink {
        /// The link.
        path: ImagePath,
        /// Its package.
        package: String,
        /// Its file.
        target: ImagePath,
        /// The package that has it.
        other: String,
    },
    /// A script without a rule.
    #[error(transparent)]
    Script(ScriptError),
    /// A path that a script makes, which no image has.
    #[error(transparent)]
    Path(#[from] ImagePathError),
}

/// Where the database is.
const INSTALLED: &str = "/lib/apk/db/installed";
const SCRIPTS: &str = "/lib/apk/db/scripts.tar";
const TRIGGERS: &str = "/lib/apk/db/triggers";
const WORLD: &str = "/etc/apk/world";

/// Puts packages on a base as apk would: their files, what their scripts do, and the database.
pub fn install(installation: &Installation<'_>) -> Result<Installs, Vec<InstallError>> {
    let Installation { packages, base, ignored, .. } = installation;
    let one = |error: InstallError| vec![error];
    let text = base.text(INSTALLED).ok_or_else(|| one(InstallError::NoDatabase))?;
    let mut database = Installed::parse(text)
        .map_err(|source| one(InstallError::Database { path: INSTALLED, source: Some(source) }))?;
    let archive = base.binary(SCRIPTS).map_or(Some(ScriptsArchive::default()), ScriptsArchive::parse);
    let archive = archive.ok_or_else(|| one(InstallError::Database { path: SCRIPTS, source: None }))?;
    let mut accounts =
        Accounts::new(base.text("/etc/passwd").unwrap_or(""), base.text("/etc/group").unwrap_or(""));
    let upgraded: BTreeSet<String> =
        database.packages.iter().map(|package| package.package.name.clone()).collect();
    let scripts: Vec<(&str, &ApkFacts, bool)> = packages
        .iter()
        .map(|(pinned, facts)| (pinned.name.as_str(), *facts, upgraded.contains(&pinned.name)))
        .collect();
    let touched = triggered(base, &database, &archive, packages);
    let done = run_scripts(&scripts, &touched, &mut accounts, ignored)
        .map_err(|errors| errors.into_iter().map(InstallError::Script).collect::<Vec<_>>())?;

    let mut errors = Vec::new();
    let (mut files, mut dropped, mut gone) =
        (Vec::<Vec<PackageFile>>::new(), BTreeSet::new(), BTreeSet::new());
    let mut directories = Directories::of(&database);
    for (pinned, facts) in *packages {
        let mut record = match record(pinned, facts, base, &accounts) {
            Ok(record) => record,
            Err(source) => {
                errors.push(InstallError::Package { package: pinned.name.clone(), source });
                continue;
            }
        };
        if let Some(at) = database.packages.iter().position(|known| known.package.name == pinned.name) {
            gone.extend(database.packages.remove(at).paths());
        }
        let owners = database.owners();
        let (mut own, mut kept) = (Vec::new(), BTreeSet::new());
        let mut renamed: BTreeMap<ImagePath, ImagePath> = BTreeMap::new();
        for file in &facts.files {
            let mut placed = file.file.clone();
            placed.owner = owner(file, &accounts);
            if let PackageFileKind::Hardlink { target } = &mut placed.kind {
                if let Some(name) = renamed.get(target) {
                    *target = name.clone();
                }
                if kept.contains(target.as_str())
                    && let Some(at) = owners.get(target.as_str())
                {
                    errors.push(InstallError::Hardlink {
                        path: placed.path.clone(),
                        package: pinned.name.clone(),
                        target: target.clone(),
                        other: database.packages[*at].package.name.clone(),
                    });
                    continue;
                }
            }
            let path = placed.path.as_str();
            if placed.kind == PackageFileKind::Directory {
                directories.add(path, placed.mode, placed.owner);
            } else {
                if let Some(at) = owners.get(path) {
                    match overwrites(&database.packages[*at], &record) {
                        Some(true) => {
                            files.iter_mut().for_each(|files| take_out(files, &placed.path));
                            dropped.insert(path.to_owned());
                        }
                        Some(false) => {
                            kept.insert(path.to_owned());
                            continue;
                        }
                        None => {
                            errors.push(InstallError::Conflict {
                                path: placed.path.clone(),
                                first: database.packages[*at].package.name.clone(),
                                second: pinned.name.clone(),
                            });
                            continue;
                        }
                    }
                } else if is_own_configuration(base, &placed.path, &gone)
                    && let Ok(path) = ImagePath::parse(&format!("{path}.apk-new"))
                {
                    // What somebody wrote there stays, as with apk.
                    renamed.insert(file.file.path.clone(), path.clone());
                    placed.path = path;
                }
                gone.remove(file.file.path.as_str());
            }
            own.push(placed);
        }
        files.push(own);
        database.drop_files(&dropped);
        dropped.clear();
        record.drop_files(&kept);
        database.add([record]);
    }
    let owners = database.owners();
    gone.retain(|path| !owners.contains_key(path) && base.tree.contains_key(path.as_str()));
    for file in files.iter_mut().flatten().filter(|file| file.kind == PackageFileKind::Directory) {
        (file.mode, file.owner) = directories.get(file.path.as_str());
    }
    settle_hard_links(&mut files);
    if !errors.is_empty() {
        return Err(errors);
    }
    let effects =
        effects(installation, accounts, done, &database, archive).map_err(|error| one(error.into()))?;
    let gone = gone.iter().filter_map(|path| ImagePath::parse(path).ok()).collect();
    Ok(Installs { files, effects, gone })
}

/// A file that may be configuration, and that no package brought.
fn is_own_configuration(base: &BaseFacts, path: &ImagePath, packaged: &BTreeSet<String>) -> bool {
    let there = base.resolve_parents(path).and_then(|path| base.tree.get(&path));
    path.as_str().starts_with("/etc/")
        && !packaged.contains(path.as_str())
        && there.is_some_and(|fact| fact.kind != FactKind::Directory)
}

/// Whether a package that comes overwrites a file of one that is there; `None` where neither says so
/// (apk-tools 2.14, `apk_pkg_replaces_file`).
fn overwrites(there: &InstalledPackage, comes: &InstalledPackage) -> Option<bool> {
    let priority = |one: &InstalledPackage, other: &InstalledPackage| {
        let names = |dependency: &Dependency| {
            dependency.name == other.package.name
                && dependency.passes(Some(&other.package.version), &other.package.identity)
        };
        one.replaces.iter().any(names).then_some(one.replaces_priority)
    };
    let (kept, replaced) = (priority(there, comes), priority(comes, there));
    if kept > replaced {
        return Some(false);
    }
    replaced.map(|_| true)
}

/// Takes out a file that another package overwrites; of the hard links to it, which stay, the first becomes the file.
fn take_out(files: &mut Vec<PackageFile>, path: &ImagePath) {
    let Some(at) = files.iter().position(|file| file.path == *path) else { return };
    let gone = files.remove(at);
    let is_link = |file: &&mut PackageFile| matches!(&file.kind, PackageFileKind::Hardlink { target } if target == path);
    let mut links = files.iter_mut().filter(is_link);
    let Some(first) = links.next() else { return };
    let target = first.path.clone();
    *first = PackageFile { path: target.clone(), ..gone };
    for link in links {
        link.kind = PackageFileKind::Hardlink { target: target.clone() };
    }
}

/// Modes and owners of hard links are those of their files.
fn settle_hard_links(files: &mut [Vec<PackageFile>]) {
    for files in files {
        let kinds: BTreeMap<ImagePath, (u32, Owner)> =
            files.iter().map(|file| (file.path.clone(), (file.mode, file.owner))).collect();
        for file in files {
            if let PackageFileKind::Hardlink { target } = &file.kind
                && let Some((mode, owner)) = kinds.get(target)
            {
                (file.mode, file.owner) = (*mode, *owner);
            }
        }
    }
}

/// Modes and owners of directories: what all packages that have one allow, and the lowest owner (`apk_db_dir_…`).
struct Directories(BTreeMap<String, (u32, Owner)>);

impl Directories {
    fn of(database: &Installed) -> Self {
        let mut directories = Self(BTreeMap::new());
        for directory in database.packages.iter().flat_map(|package| &package.directories) {
            let mut words = directory.attributes.as_deref().unwrap_or("0:0:755").split(':');
            let mut number = |radix| words.next().and_then(|word| u32::from_str_radix(word, radix).ok());
            if let (Some(uid), Some(gid), Some(mode)) = (number(10), number(10), number(8)) {
                directories.add(&format!("/{}", directory.path), mode, Owner { uid, gid });
            }
        }
        directories
    }

    fn add(&mut self, path: &str, mode: u32, owner: Owner) {
        let known = self.0.entry(path.to_owned()).or_insert((mode, owner));
        *known = (known.0 & mode, known.1.min(owner));
    }

    fn get(&self, path: &str) -> (u32, Owner) {
        self.0.get(path).copied().unwrap_or((0o755, Owner::default()))
    }
}

/// The numbers of a file's owner: of its names where they are known.
fn owner(file: &ApkFile, accounts: &Accounts) -> Owner {
    Owner {
        uid: accounts.uid(&file.user).unwrap_or(file.file.owner.uid),
        gid: accounts.gid(&file.group).unwrap_or(file.file.owner.gid),
    }
}

/// The row of the database.
fn record(
    pinned: &PinnedPackage,
    facts: &ApkFacts,
    base: &BaseFacts,
    accounts: &Accounts,
) -> Result<InstalledPackage, RecordError> {
    let package = Package::of(lines(pinned, facts, base), 0)?;
    let mut own = BTreeMap::new();
    let replaces: Vec<&str> = facts.all("replaces").collect();
    if !replaces.is_empty() {
        own.insert('r', replaces.join(" "));
    }
    if let Some(priority) = facts.get("replaces_priority").filter(|priority| *priority != "0") {
        own.insert('q', priority.to_owned());
    }
    let mut directories: Vec<InstalledDirectory> = Vec::new();
    for file in &facts.files {
        let owner = owner(file, accounts);
        let attributes = |usual: u32| {
            let said = (owner, file.file.mode) != (Owner::default(), usual);
            said.then(|| format!("{}:{}:{:o}", owner.uid, owner.gid, file.file.mode))
        };
        let path = file.file.path.relative();
        if file.file.kind == PackageFileKind::Directory {
            let (path, attributes) = (path.to_owned(), attributes(0o755));
            directories.push(InstalledDirectory { path, attributes, files: Vec::new() });
            continue;
        }
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let known = directories.iter().rposition(|known| known.path == directory);
        let at = known.unwrap_or_else(|| {
            directories
                .push(InstalledDirectory { path: directory.to_owned(), ..InstalledDirectory::default() });
            directories.len() - 1
        });
        let (name, attributes, checksum) = (name.to_owned(), attributes(0o644), file.checksum.clone());
        directories[at].files.push(InstalledFile { name, attributes, checksum });
    }
    InstalledPackage::of(package, own, directories)
}

/// What an index says of a package, out of what it says itself (`apk index`).
pub(super) fn lines(pinned: &PinnedPackage, facts: &ApkFacts, base: &BaseFacts) -> BTreeMap<char, String> {
    let mut lines = BTreeMap::new();
    let mut put = |letter, value: &str| drop(lines.insert(letter, value.to_owned()));
    put('C', &facts.identity);
    put('S', &pinned.size.to_string());
    put('I', facts.get("size").unwrap_or("0"));
    for (letter, key) in [('P', "pkgname"), ('V', "pkgver"), ('T', "pkgdesc"), ('U', "url"), ('L', "license")]
    {
        put(letter, facts.get(key).unwrap_or(""));
    }
    let architecture = facts.get("arch").unwrap_or("");
    // Indexes say their own for what is for all.
    let own = base.text("/etc/apk/arch").map_or(architecture, str::trim);
    put('A', if architecture == "noarch" { own } else { architecture });
    let optional = [
        ('o', "origin"),
        ('m', "maintainer"),
        ('t', "builddate"),
        ('c', "commit"),
        ('k', "provider_priority"),
    ];
    for (letter, key) in optional {
        if let Some(value) = facts.get(key).filter(|value| !value.is_empty() && *value != "0") {
            put(letter, value);
        }
    }
    for (letter, key) in [('D', "depend"), ('p', "provides"), ('i', "install_if")] {
        let values: Vec<&str> = facts.all(key).flat_map(str::split_ascii_whitespace).collect();
        if !values.is_empty() {
            put(letter, &values.join(" "));
        }
    }
    lines
}

/// Triggers of packages of the base that directories of the packages touch: package and script.
fn triggered(
    base: &BaseFacts,
    database: &Installed,
    archive: &ScriptsArchive,
    packages: &[(&PinnedPackage, &ApkFacts)],
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for line in base.text(TRIGGERS).unwrap_or("").lines() {
        let mut words = line.split_ascii_whitespace();
        let identity = words.next().unwrap_or("");
        let Some(package) = database.packages.iter().find(|known| known.package.identity == identity) else {
            continue;
        };
        let name = &package.package.name;
        let touches = words.any(|pattern| {
            let Ok(glob) = GlobBuilder::new(pattern).literal_separator(true).build() else { return true };
            let glob = glob.compile_matcher();
            let mut files = packages.iter().flat_map(|(_, facts)| &facts.files);
            files.any(|file| {
                file.file.kind == PackageFileKind::Directory && glob.is_match(file.file.path.as_str())
            })
        });
        if touches && !packages.iter().any(|(pinned, _)| pinned.name == *name) {
            let script = archive.script(&member(&package.package), "trigger").unwrap_or_default();
            found.push((name.clone(), script));
        }
    }
    found
}

/// The name of a package's scripts, without the script's own.
fn member(package: &Package) -> String {
    format!("{}.{}", package.full_name(), package.identity)
}

fn effects(
    installation: &Installation<'_>,
    accounts: Accounts,
    done: Done,
    database: &Installed,
    mut archive: ScriptsArchive,
) -> Result<Effects, ImagePathError> {
    let Installation { packages, base, asked, .. } = installation;
    let mut effects = Effects { users: accounts.users, groups: accounts.groups, ..Effects::default() };
    for (path, (mode, user, group, origin)) in done.directories {
        let path = ImagePath::parse(&path)?;
        if base.tree.contains_key(&path) {
            continue;
        }
        let made = MadeEntry { kind: EntryKind::Directory, mode, user, group, origin };
        effects.made.insert(path, made);
    }
    for (path, (target, origin)) in done.links {
        let (user, group) = ("root".to_owned(), "root".to_owned());
        let kind = EntryKind::Symlink { target };
        effects.made.insert(ImagePath::parse(&path)?, MadeEntry { kind, mode: 0o777, user, group, origin });
    }
    for (path, (mode, user, group)) in done.attributes {
        let path = ImagePath::parse(&path)?;
        match effects.made.get_mut(&path) {
            Some(made) => {
                made.mode = mode.unwrap_or(made.mode);
                made.user = user.unwrap_or_else(|| made.user.clone());
                made.group = group.unwrap_or_else(|| made.group.clone());
            }
            None => drop(effects.attributes.insert(path, Attributes { mode, user, group })),
        }
    }
    let mut world: BTreeMap<String, String> = BTreeMap::new();
    for word in base.text(WORLD).unwrap_or("").split_ascii_whitespace() {
        let name = Dependency::parse(word).map_or_else(|_| word.to_owned(), |dependency| dependency.name);
        world.insert(name, word.to_owned());
    }
    world.extend(asked.iter().map(|dependency| (dependency.name.clone(), dependency.to_string())));
    let mut triggers: BTreeMap<String, String> = BTreeMap::new();
    for line in base.text(TRIGGERS).unwrap_or("").lines() {
        let identity = line.split(' ').next().unwrap_or("");
        if let Some(known) = database.packages.iter().find(|known| known.package.identity == identity) {
            triggers.insert(known.package.name.clone(), line.to_owned());
        }
    }
    for (pinned, facts) in *packages {
        let patterns: Vec<&str> = facts.all("triggers").flat_map(str::split_ascii_whitespace).collect();
        if !patterns.is_empty() {
            triggers.insert(pinned.name.clone(), format!("{} {}", facts.identity, patterns.join(" ")));
        }
        let built = facts.get("builddate").and_then(|time| time.parse().ok()).unwrap_or(0);
        let member = format!("{}-{}.{}", pinned.name, pinned.version, facts.identity);
        archive.add(&member, &facts.scripts, built);
    }
    let members: Vec<String> = database.packages.iter().map(|known| member(&known.package)).collect();
    let lines = |values: BTreeMap<String, String>| -> String {
        values.into_values().map(|line| line + "\n").collect()
    };
    let texts = [
        (INSTALLED, database.text().into_bytes()),
        (SCRIPTS, archive.bytes(members.iter().map(String::as_str))),
        (TRIGGERS, lines(triggers).into_bytes()),
        (WORLD, lines(world).into_bytes()),
    ];
    let origin: Arc<str> = Arc::from("packages.apk");
    for (path, bytes) in texts {
        let (user, group) = ("root".to_owned(), "root".to_owned());
        let origin = Arc::clone(&origin);
        let made = MadeEntry { kind: EntryKind::bytes(bytes), mode: 0o644, user, group, origin };
        effects.made.insert(ImagePath::parse(path)?, made);
    }
    Ok(effects)
}
