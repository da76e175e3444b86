use std::collections::{BTreeMap, BTreeSet};

use super::deb::DebFacts;
use super::paragraph::{Paragraph, paragraphs};
use crate::model::{BaseFacts, FactKind, ImagePath};

/// What belongs to the packages of a base, as its database says (dpkg(1), "FILES"; `status.d` of images without dpkg).
#[derive(Debug, Default)]
pub(super) struct Owned {
    packages: Vec<OwnPackage>,
    /// Files that are no directories, where they really are, with the numbers of their packages.
    files: BTreeMap<ImagePath, Vec<usize>>,
    /// Paths that a package has put something else in the place of (dpkg-divert(1)).
    diverted: BTreeSet<ImagePath>,
}

/// A package of a base.
#[derive(Debug)]
struct OwnPackage {
    name: String,
    /// Where several architectures of it can be there.
    architecture: Option<String>,
    /// Its row.
    row: Paragraph,
    /// Its files of the database.
    database: Vec<ImagePath>,
}

impl OwnPackage {
    fn is(&self, facts: &DebFacts) -> bool {
        let field = |name: &str| facts.control.get(name).unwrap_or_default();
        let of_it = |known: &String| known == field("Architecture");
        self.name == field("Package") && self.architecture.as_ref().is_none_or(of_it)
    }
}

impl Owned {
    /// What the database of a base says.
    pub(super) fn of(base: &BaseFacts) -> Self {
        let mut owned = Self::default();
        let mut rows: BTreeMap<String, Paragraph> = BTreeMap::new();
        for row in
            base.text("/var/lib/dpkg/status").and_then(|text| paragraphs(text).ok()).unwrap_or_default()
        {
            rows.entry(row.get("Package").unwrap_or_default().to_owned()).or_insert(row);
        }
        let info = base.names_in("/var/lib/dpkg/info");
        for (file, path) in &info {
            let (Some(stem), Some(text)) = (file.strip_suffix(".list"), base.contents.get(*path)) else {
                continue;
            };
            let (name, architecture) = match stem.split_once(':') {
                Some((name, architecture)) => (name, Some(architecture.to_owned())),
                None => (stem, None),
            };
            let of_it = info.iter().filter(|(other, _)| {
                other.strip_prefix(stem).is_some_and(|end| end.starts_with('.') && !end[1..].contains('.'))
            });
            let package = OwnPackage {
                name: name.to_owned(),
                architecture,
                row: rows.get(name).cloned().unwrap_or_default(),
                database: of_it.map(|(_, path)| (*path).clone()).collect(),
            };
            owned.add(base, package, text.lines());
        }
        let listed = base.names_in("/var/lib/dpkg/status.d");
        for (file, path) in listed.iter().filter(|(file, _)| !file.ends_with(".md5sums")) {
            let row = base.contents.get(*path).and_then(|text| paragraphs(text).ok()?.into_iter().next());
            let Some(row) = row else { continue };
            let sums = listed.iter().find(|(other, _)| other.strip_suffix(".md5sums") == Some(file));
            let text = sums.and_then(|(_, path)| base.contents.get(*path)).map_or("", String::as_str);
            let package = OwnPackage {
                name: row.get("Package").unwrap_or_default().to_owned(),
                architecture: None,
                row,
                database: std::iter::once(*path).chain(sums.map(|(_, path)| *path)).cloned().collect(),
            };
            owned.add(
                base,
                package,
                text.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim_start())),
            );
        }
        let diversions = base.text("/var/lib/dpkg/diversions").unwrap_or_default();
        owned.diverted = diversions.lines().step_by(3).filter_map(|path| real(base, path)).collect();
        owned
    }

    fn add<'t>(&mut self, base: &BaseFacts, package: OwnPackage, paths: impl Iterator<Item = &'t str>) {
        let number = self.packages.len();
        self.packages.push(package);
        for path in paths.filter_map(|path| real(base, path)) {
            // A link to a directory is one to those who list it as a directory: `/lib` of a merged `/usr`.
            let leads = || base.resolve(&path).and_then(|path| base.tree.get(&path));
            let is_directory = || leads().is_some_and(|fact| fact.kind == FactKind::Directory);
            if base.tree.contains_key(&path) && !is_directory() {
                self.files.entry(path).or_default().push(number);
            }
        }
    }

    /// The package of the base whose file a new package would overwrite, by its name and row. None where the new one takes
    /// that package's place.
    pub(super) fn owner(
        &self,
        path: &ImagePath,
        packages: &[(&str, &DebFacts)],
    ) -> Option<(&str, &Paragraph)> {
        if self.diverted.contains(path) {
            return None;
        }
        let stays = |package: &&OwnPackage| !packages.iter().any(|(_, facts)| package.is(facts));
        let owners = self.files.get(path)?.iter().filter_map(|number| self.packages.get(*number));
        owners.filter(stays).map(|package| (package.name.as_str(), &package.row)).next()
    }

    /// What goes with the packages of the base whose place others take, in order: their files, but for configuration,
    /// as dpkg leaves that, and what other packages of the base have too; and what the database says of them. What
    /// `stays` is not among them.
    pub(super) fn gone(
        &self,
        packages: &[(&str, &DebFacts)],
        stays: &dyn Fn(&ImagePath) -> bool,
    ) -> BTreeSet<ImagePath> {
        let replaced: Vec<bool> =
            self.packages.iter().map(|old| packages.iter().any(|(_, facts)| old.is(facts))).collect();
        if !replaced.contains(&true) {
            return BTreeSet::new();
        }
        let is_gone = |numbers: &[usize]| numbers.iter().all(|number| replaced[*number]);
        let conffile = |path: &ImagePath, number: &usize| {
            let rows = self.packages[*number].row.get("Conffiles").unwrap_or_default();
            rows.lines().any(|row| row.split_whitespace().next() == Some(path.as_str()))
        };
        let files = self.files.iter().filter(|(path, numbers)| {
            is_gone(numbers) && !numbers.iter().any(|number| conffile(path, number))
        });
        let rows = self.packages.iter().zip(&replaced).filter(|(_, replaced)| **replaced);
        let rows = rows.flat_map(|(package, _)| &package.database);
        files.map(|(path, _)| path).chain(rows).filter(|path| !stays(path)).cloned().collect()
    }
}

/// A path of a database (`/usr/bin/x`, `usr/bin/x`) where links of the base lead it.
fn real(base: &BaseFacts, path: &str) -> Option<ImagePath> {
    let path =
        ImagePath::parse(&format!("/{}", path.trim_start_matches("./").trim_start_matches('/'))).ok()?;
    base.resolve_parents(&path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fact;

    fn base(texts: &[(&str, &str)], rows: &[(&str, FactKind)]) -> BaseFacts {
        let mut base = BaseFacts::default();
        let texts = texts.iter().map(|(path, _)| (*path, FactKind::File));
        for (path, kind) in texts.chain(rows.iter().map(|(path, kind)| (*path, kind.clone()))) {
            let fact = Fact { kind, mode: 0o755, uid: 0, gid: 0, size: 0 };
            base.tree.insert(path.parse().unwrap(), fact);
        }
        base
    }

    fn with(texts: &[(&str, &str)], rows: &[(&str, FactKind)]) -> BaseFacts {
        let mut base = base(texts, rows);
        for (path, text) in texts {
            base.contents.insert(path.parse().unwrap(), (*text).to_owned());
        }
        base
    }

    fn deb(name: &str, architecture: &str) -> DebFacts {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let control = Paragraph(vec![field("Package", name), field("Architecture", architecture)]);
        DebFacts { control, ..DebFacts::default() }
    }

    fn gone(base: &BaseFacts, packages: &[&DebFacts], stays: &str) -> Vec<String> {
        let packages: Vec<(&str, &DebFacts)> = packages.iter().map(|facts| ("", *facts)).collect();
        let found = Owned::of(base).gone(&packages, &|path| path.as_str() == stays);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_goes_with_a_package_of_a_database() {
        let base = with(
            &[
                (
                    "/var/lib/dpkg/status",
                    "Package: a\nVersion: 1\nConffiles:\n /etc/a.conf 00\n\nPackage: b\nVersion: 1\n",
                ),
                (
                    "/var/lib/dpkg/info/a.list",
                    "/.\n/lib\n/lib/a.so\n/usr/bin/a\n/etc/a.conf\n/usr/both\n/usr/lost\n",
                ),
                ("/var/lib/dpkg/info/b:amd64.list", "/usr/bin/b\n/usr/both\n"),
            ],
            &[
                ("/lib", FactKind::Symlink("usr/lib".to_owned())),
                ("/usr/lib", FactKind::Directory),
                ("/usr/lib/a.so", FactKind::File),
                ("/usr/bin/a", FactKind::File),
                ("/usr/bin/b", FactKind::File),
                ("/usr/both", FactKind::File),
                ("/etc/a.conf", FactKind::File),
                ("/var/lib/dpkg/info/a.postinst", FactKind::File),
                ("/var/lib/dpkg/info/a.b.list", FactKind::File),
                ("/var/lib/dpkg/info", FactKind::Directory),
            ],
        );
        let of_a =
            ["/usr/bin/a", "/usr/lib/a.so", "/var/lib/dpkg/info/a.list", "/var/lib/dpkg/info/a.postinst"];
        assert_eq!(gone(&base, &[&deb("a", "amd64")], ""), of_a);
        assert_eq!(gone(&base, &[&deb("a", "amd64")], "/usr/bin/a"), of_a[1..]);
        assert_eq!(gone(&base, &[&deb("c", "amd64")], ""), [""; 0]);
        // Another architecture's package is another one.
        assert_eq!(gone(&base, &[&deb("b", "arm64")], ""), [""; 0]);
        let both = gone(&base, &[&deb("a", "amd64"), &deb("b", "amd64")], "");
        assert!(both.contains(&"/usr/both".to_owned()), "{both:?}");
    }

    #[test]
    fn databases_of_images_without_dpkg() {
        let base = with(
            &[
                ("/var/lib/dpkg/status.d/xyz", "Package: a\nVersion: 1\n"),
                ("/var/lib/dpkg/status.d/xyz.md5sums", "00  usr/bin/a\n00  ./usr/bin/old\n"),
            ],
            &[("/usr/bin/a", FactKind::File), ("/usr/bin/old", FactKind::File)],
        );
        assert_eq!(
            gone(&base, &[&deb("a", "amd64")], "/usr/bin/a"),
            ["/usr/bin/old", "/var/lib/dpkg/status.d/xyz", "/var/lib/dpkg/status.d/xyz.md5sums"]
        );
        let owned = Owned::of(&base);
        let other = deb("b", "amd64");
        let owner = owned.owner(&"/usr/bin/old".parse().unwrap(), &[("b", &other)]);
        assert_eq!(owner.map(|(name, _)| name), Some("a"));
        assert!(owned.owner(&"/usr/bin/old".parse().unwrap(), &[("a", &deb("a", "amd64"))]).is_none());
    }

    #[test]
    fn what_is_diverted_is_nobodys() {
        let base = with(
            &[
                ("/var/lib/dpkg/status.d/a", "Package: a\nVersion: 1\n"),
                ("/var/lib/dpkg/status.d/a.md5sums", "00  usr/bin/a\n"),
                ("/var/lib/dpkg/diversions", "/usr/bin/a\n/usr/bin/a.real\nb\n"),
            ],
            &[("/usr/bin/a", FactKind::File)],
        );
        assert!(Owned::of(&base).owner(&"/usr/bin/a".parse().unwrap(), &[]).is_none());
    }
}
