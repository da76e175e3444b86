use std::collections::{BTreeMap, BTreeSet};

use super::deb::DebFacts;
use super::documentation::{Documentation, documentation};
use super::owned::Owned;
use super::relation::relations;
use crate::model::{BaseFacts, Fact, FactKind, ImagePath, Owner, PackageFile, PackageFileKind};

/// Directories of the root that Debian has as links into `/usr` since bookworm (UsrMerge).
const MERGED: [&str; 7] = ["bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin"];

/// What packages put on a base.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MergedPackages {
    /// The files of each package, in the order of the packages, each in bytewise order of paths.
    pub files: Vec<Vec<PackageFile>>,
    /// Links of the root into `/usr` with their targets, that packages need and nobody brings.
    pub links: BTreeMap<ImagePath, String>,
    /// What the base has of packages whose place these take, and these no longer have.
    pub gone: BTreeSet<ImagePath>,
}

/// Packages that cannot stand side by side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Two packages with one file, of which neither replaces the other.
    #[error(
        "{path} is in package {first} and in package {second}, and neither says that it replaces the other"
    )]
    Conflict {
        /// The path.
        path: ImagePath,
        /// The package that comes first.
        first: String,
        /// The other.
        second: String,
    },
    /// A file of a package that the base has and keeps.
    #[error(
        "{path} is in package {package} and in the base's package {owner}, which it does not say that it replaces"
    )]
    OfBase {
        /// The path.
        path: ImagePath,
        /// The package.
        package: String,
        /// The base's.
        owner: String,
    },
    /// A way through links that comes to no end.
    #[error("{path} of package {package} cannot be reached: links of other packages lead in a circle")]
    Circle {
        /// The path.
        path: ImagePath,
        /// Its package.
        package: String,
    },
}

/// The files that packages put on `base`, as unpacking with dpkg would leave them, but for the documentation that is not
/// kept. Nothing of a package depends on another one but where they have paths in common.
///
/// What lies in `/bin`, `/lib` and the like goes to `/usr`, unless the base has these as directories.
pub fn merge_packages(
    packages: &[(&str, &DebFacts)],
    base: &BaseFacts,
    keeps: &dyn Fn(Documentation) -> bool,
) -> Result<MergedPackages, Vec<MergeError>> {
    let mut errors = Vec::new();
    let mut files: Vec<Vec<PackageFile>> =
        packages.iter().map(|(_, facts)| chosen(facts, keeps, &|path| merged(path, base))).collect();
    let is_directory =
        |path: &ImagePath| base.tree.get(path).is_some_and(|fact| fact.kind == FactKind::Directory);
    for files in &mut files {
        // dpkg never puts a link in place of a directory.
        files.retain(|file| {
            !matches!(file.kind, PackageFileKind::Symlink { .. }) || !is_directory(&file.path)
        });
    }
    follow_links(packages, &mut files, base, &mut errors);
    settle(packages, &mut files, base, &mut errors);
    let owned = Owned::of(base);
    keep_owners(packages, &files, base, &owned, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    files.iter_mut().for_each(|files| name_files(files));
    let links = root_links(&files, base);
    let there: BTreeSet<ImagePath> =
        files.iter().flatten().filter_map(|file| base.resolve_parents(&file.path)).collect();
    let gone = owned.gone(packages, &|path| there.contains(path));
    Ok(MergedPackages { files, links, gone })
}

/// As dpkg, no package takes a file of another one that stays, unless it says so (Debian Policy Manual, 7.6.1).
fn keep_owners(
    packages: &[(&str, &DebFacts)],
    files: &[Vec<PackageFile>],
    base: &BaseFacts,
    owned: &Owned,
    errors: &mut Vec<MergeError>,
) {
    for ((name, facts), files) in packages.iter().zip(files) {
        for file in files.iter().filter(|file| file.kind != PackageFileKind::Directory) {
            let Some(path) = base.resolve_parents(&file.path) else { continue };
            let Some((owner, row)) = owned.owner(&path, packages) else { continue };
            // The same package of another architecture has the same file.
            if owner != *name && !names_replaced(facts, owner, row.get("Version")) {
                let (path, package, owner) = (file.path.clone(), (*name).to_owned(), owner.to_owned());
                errors.push(MergeError::OfBase { path, package, owner });
            }
        }
    }
}

/// The files of a package without documentation, in their places.
fn chosen(
    facts: &DebFacts,
    keeps: &dyn Fn(Documentation) -> bool,
    place: &dyn Fn(&ImagePath) -> Option<ImagePath>,
) -> Vec<PackageFile> {
    let is_link = |file: &PackageFile| matches!(file.kind, PackageFileKind::Symlink { .. });
    let stays = |file: &PackageFile| documentation(&file.path, is_link(file)).is_none_or(keeps);
    let content = |path: &ImagePath| {
        let index = facts.files.binary_search_by(|file| file.path.cmp(path)).ok()?;
        Some(&facts.files[index])
    };
    let in_place = |file: &PackageFile| {
        let mut file = file.clone();
        if let PackageFileKind::Hardlink { target } = &file.kind
            && let Some(known) = content(target)
        {
            // As files for now; which of them is the file is said when all are in their places.
            (file.kind, file.elf) = (known.kind.clone(), known.elf.clone());
        }
        // A link of the root stays where it is; a directory of the root is the one that it stands for.
        let is_root = file.path.parent().is_none() && file.kind != PackageFileKind::Directory;
        if let (false, Some(path)) = (is_root, place(&file.path)) {
            file.path = path;
        }
        file
    };
    facts.files.iter().filter(|file| stays(file)).map(in_place).collect()
}

/// Where a path is with a merged `/usr`; `None` where that makes no difference.
fn merged(path: &ImagePath, base: &BaseFacts) -> Option<ImagePath> {
    let top = path.relative().split('/').next()?;
    let is_directory =
        || base.tree.get(&path.as_str()[..=top.len()]).is_some_and(|fact| fact.kind == FactKind::Directory);
    if !MERGED.contains(&top) || is_directory() {
        return None;
    }
    ImagePath::parse(&format!("/usr{path}")).ok()
}

/// Paths that lead through links of packages go where these lead: dpkg keeps a link where another package has a directory.
fn follow_links(
    packages: &[(&str, &DebFacts)],
    files: &mut [Vec<PackageFile>],
    base: &BaseFacts,
    errors: &mut Vec<MergeError>,
) {
    let mut links: BTreeMap<ImagePath, String> = BTreeMap::new();
    for file in files.iter().flatten() {
        if let PackageFileKind::Symlink { target } = &file.kind {
            links.entry(file.path.clone()).or_insert_with(|| target.clone());
        }
    }
    let leads = |file: &PackageFile| {
        let itself = file.kind == PackageFileKind::Directory && links.contains_key(&file.path);
        itself || file.path.ancestors().any(|above| links.contains_key(&above))
    };
    if !files.iter().flatten().any(leads) {
        return;
    }
    let mut facts = base.clone();
    for (path, target) in &links {
        let kind = FactKind::Symlink(target.clone());
        facts.tree.insert(path.clone(), Fact { kind, mode: 0o777, uid: 0, gid: 0, size: 0 });
    }
    for ((package, _), files) in packages.iter().zip(files) {
        for file in files.iter_mut().filter(|file| leads(file)) {
            let found = match file.kind {
                PackageFileKind::Directory => facts.resolve(&file.path),
                _ => facts.resolve_parents(&file.path),
            };
            if let Some(path) = found {
                file.path = merged(&path, base).unwrap_or(path);
            } else {
                let package = (*package).to_owned();
                errors.push(MergeError::Circle { path: file.path.clone(), package });
            }
        }
    }
}

/// One owner for every path: the package that replaces the other; of directories the first says mode and owner, as
/// the base does where it has them.
fn settle(
    packages: &[(&str, &DebFacts)],
    files: &mut [Vec<PackageFile>],
    base: &BaseFacts,
    errors: &mut Vec<MergeError>,
) {
    let mut owners: BTreeMap<ImagePath, (usize, PackageFile)> = BTreeMap::new();
    let mut again = Vec::new();
    for (index, files) in files.iter_mut().enumerate() {
        for mut file in std::mem::take(files) {
            let below = || base.resolve(&file.path).and_then(|path| base.tree.get(&path));
            if file.kind == PackageFileKind::Directory
                && let Some(Fact { kind: FactKind::Directory, mode, uid, gid, .. }) = below()
            {
                (file.mode, file.owner) = (*mode, Owner { uid: *uid, gid: *gid });
            }
            let Some((other, known)) = owners.get(&file.path) else {
                owners.insert(file.path.clone(), (index, file));
                continue;
            };
            if (&known.kind, &file.kind) == (&PackageFileKind::Directory, &PackageFileKind::Directory) {
                // Every package keeps its directories: its layer is the same without the other package.
                (file.mode, file.owner) = (known.mode, known.owner);
                again.push((index, file));
                continue;
            }
            if is_same(known, &file) {
                continue;
            }
            let (first, second) = (packages[*other], packages[index]);
            if replaces(second.1, first.1) {
                owners.insert(file.path.clone(), (index, file));
            } else if !replaces(first.1, second.1) {
                errors.push(MergeError::Conflict {
                    path: file.path,
                    first: first.0.to_owned(),
                    second: second.0.to_owned(),
                });
            }
        }
    }
    for (index, file) in owners.into_values().chain(again) {
        files[index].push(file);
    }
    for files in files {
        files.sort_by(|one, other| one.path.cmp(&other.path));
        files.dedup_by(|one, other| one.path == other.path);
    }
}

/// Whether it does not matter which of the two stays.
fn is_same(one: &PackageFile, other: &PackageFile) -> bool {
    match (&one.kind, &other.kind) {
        (PackageFileKind::File { digest: a, .. }, PackageFileKind::File { digest: b, .. }) => {
            (a, one.mode, one.owner) == (b, other.mode, other.owner)
        }
        (one, other) => one == other,
    }
}

/// Whether `Replaces` of a package names another in its version (Debian Policy Manual, 7.6.1).
fn replaces(package: &DebFacts, other: &DebFacts) -> bool {
    let Some(name) = other.control.get("Package") else { return false };
    names_replaced(package, name, other.control.get("Version"))
}

fn names_replaced(package: &DebFacts, name: &str, version: Option<&str>) -> bool {
    let field = |name: &str| package.control.get(name).unwrap_or_default();
    let Ok(groups) = relations(field("Replaces"), field("Architecture")) else { return false };
    groups.iter().flatten().any(|one| one.name == name && one.admits(version))
}

/// Of files with one content and place in the package's archive the first is the file and the others are links to it.
fn name_files(files: &mut [PackageFile]) {
    let mut known: BTreeMap<u64, ImagePath> = BTreeMap::new();
    for file in files {
        if let PackageFileKind::File { size: 1.., offset, .. } = &file.kind {
            match known.get(offset) {
                None => drop(known.insert(*offset, file.path.clone())),
                Some(target) => file.kind = PackageFileKind::Hardlink { target: target.clone() },
            }
        }
    }
}

/// The links of the root that lead to what packages bring, where neither they nor the base has them.
fn root_links(files: &[Vec<PackageFile>], base: &BaseFacts) -> BTreeMap<ImagePath, String> {
    let brings = |path: &str| {
        files.iter().any(|files| files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok())
    };
    let missing = |link: &ImagePath| {
        !base.tree.contains_key(link) && !brings(link.as_str()) && brings(&format!("/usr{link}"))
    };
    let links = MERGED.iter().filter_map(|top| ImagePath::parse(&format!("/{top}")).ok());
    links.filter(missing).map(|link| (link.clone(), format!("usr{link}"))).collect()
}

#[cfg(test)]
mod tests;
