use std::collections::{BTreeMap, BTreeSet};

use super::dependency::{Dependency, DependencyError};
use super::record::{FIELDS, Package, RecordError, field};

/// The database of installed packages (`/lib/apk/db/installed`, apk-tools 2.14), in the order of their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Installed {
    /// The packages.
    pub packages: Vec<InstalledPackage>,
}

/// A package that is installed.
#[derive(Debug, Clone, PartialEq)]
pub struct InstalledPackage {
    /// What an index says of it.
    pub package: Package,
    /// Packages whose files it may overwrite.
    pub replaces: Vec<Dependency>,
    /// Of two that replace each other the one with the higher number keeps the file.
    pub replaces_priority: u32,
    /// Fields of the database alone, as they are: `r`, `q`, `s`, `f`.
    pub(super) own: BTreeMap<char, String>,
    /// Its directories with their files, in the order of its archive.
    pub directories: Vec<InstalledDirectory>,
}

/// A directory of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstalledDirectory {
    /// Its path without a slash at the beginning; empty for the root.
    pub path: String,
    /// `uid:gid:mode`, where that is not `0:0:755`.
    pub attributes: Option<String>,
    /// Its files.
    pub files: Vec<InstalledFile>,
}

/// A file of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstalledFile {
    /// Its name in the directory.
    pub name: String,
    /// `uid:gid:mode`, where that is not `0:0:644`.
    pub attributes: Option<String>,
    /// `Q1` and the SHA-1 digest in base64.
    pub checksum: Option<String>,
}

/// Fields that the database has beside those of an index, in their order.
const OWN: &str = "rqsf";

impl Installed {
    /// Reads the text of the database.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let mut packages = Vec::new();
        let (mut lines, mut own, mut directories) =
            (BTreeMap::new(), BTreeMap::new(), Vec::<InstalledDirectory>::new());
        let mut number = 0;
        for line in text.lines().chain([""]) {
            number += 1;
            if line.is_empty() {
                if !lines.is_empty() {
                    let package = Package::of(std::mem::take(&mut lines), number)?;
                    let (own, directories) = (std::mem::take(&mut own), std::mem::take(&mut directories));
                    packages.push(InstalledPackage::of(package, own, directories)?);
                }
                continue;
            }
            let (letter, value) = field(line, number)?;
            let wrong = || RecordError::Line { line: number };
            let directory = directories.last_mut().ok_or_else(wrong);
            let value = value.to_owned();
            match letter {
                'F' => directories.push(InstalledDirectory { path: value, ..InstalledDirectory::default() }),
                'M' => directory?.attributes = Some(value),
                'R' => directory?.files.push(InstalledFile { name: value, ..InstalledFile::default() }),
                'a' => directory?.files.last_mut().ok_or_else(wrong)?.attributes = Some(value),
                'Z' => directory?.files.last_mut().ok_or_else(wrong)?.checksum = Some(value),
                letter if FIELDS.contains(letter) => drop(lines.insert(letter, value)),
                letter if OWN.contains(letter) => drop(own.insert(letter, value)),
                // What apk itself does not know, it drops.
                _ => {}
            }
        }
        Ok(Self { packages })
    }

    /// The text of the database.
    pub fn text(&self) -> String {
        self.packages.iter().map(|package| package.text() + "\n").collect()
    }

    /// Adds packages, each in its place.
    pub fn add(&mut self, packages: impl IntoIterator<Item = InstalledPackage>) {
        self.packages.extend(packages);
        self.packages.sort_by(|one, other| one.package.name.cmp(&other.package.name));
    }

    /// Which package has each path.
    pub fn owners(&self) -> BTreeMap<String, usize> {
        let paths = self
            .packages
            .iter()
            .enumerate()
            .flat_map(|(at, package)| package.paths().map(move |path| (path, at)));
        paths.collect()
    }

    /// Takes paths from the packages that have them.
    pub fn drop_files(&mut self, paths: &BTreeSet<String>) {
        self.packages.iter_mut().for_each(|package| package.drop_files(paths));
    }
}

impl InstalledPackage {
    pub(super) fn of(
        package: Package,
        own: BTreeMap<char, String>,
        directories: Vec<InstalledDirectory>,
    ) -> Result<Self, RecordError> {
        let text = |letter| own.get(&letter).map_or("", String::as_str);
        let failed =
            |source: DependencyError| RecordError::Dependency { package: package.name.clone(), source };
        let replaces = Dependency::list(text('r')).map_err(failed)?;
        let replaces_priority = text('q').parse().unwrap_or(0);
        Ok(Self { package, replaces, replaces_priority, own, directories })
    }

    /// Takes paths from it.
    pub(super) fn drop_files(&mut self, paths: &BTreeSet<String>) {
        for InstalledDirectory { path, files, .. } in &mut self.directories {
            files.retain(|file| !paths.contains(&joined(path, &file.name)));
        }
    }

    fn text(&self) -> String {
        let mut text = self.package.text();
        let mut put = |letter: char, value: &str| {
            text.push(letter);
            text.push(':');
            text.push_str(value);
            text.push('\n');
        };
        for letter in OWN.chars() {
            if let Some(value) = self.own.get(&letter) {
                put(letter, value);
            }
        }
        for directory in &self.directories {
            put('F', &directory.path);
            if let Some(attributes) = &directory.attributes {
                put('M', attributes);
            }
            for file in &directory.files {
                put('R', &file.name);
                if let Some(attributes) = &file.attributes {
                    put('a', attributes);
                }
                if let Some(checksum) = &file.checksum {
                    put('Z', checksum);
                }
            }
        }
        text
    }

    /// The paths of its files, with a slash at the beginning.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        let files = |directory: &'_ InstalledDirectory| -> Vec<String> {
            directory.files.iter().map(|file| joined(&directory.path, &file.name)).collect()
        };
        self.directories.iter().flat_map(files)
    }
}

fn joined(directory: &str, name: &str) -> String {
    if directory.is_empty() { format!("/{name}") } else { format!("/{directory}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "C:Q1a=\nP:b\nV:1-r0\nA:x86_64\nS:1\nI:2\nT:t\nU:\nL:MIT\no:b\nt:3\nD:x\np:y\nr:z\nq:5\nF:etc\nF:etc/b\nM:0:0:700\nR:conf\na:0:101:640\nZ:Q1z=\nF:\nR:top\n\n";

    #[test]
    fn what_is_read_is_written() {
        let mut installed = Installed::parse(TEXT).unwrap();
        assert_eq!(installed.text(), TEXT);
        let package = installed.packages[0].clone();
        assert_eq!((package.replaces[0].to_string().as_str(), package.replaces_priority), ("z", 5));
        assert_eq!(package.paths().collect::<Vec<_>>(), ["/etc/b/conf", "/top"]);
        let before = TEXT.replace("P:b", "P:a").replace("Q1a", "Q1b");
        installed.add(Installed::parse(&before).unwrap().packages);
        assert_eq!(installed.text(), before + TEXT);
        installed.drop_files(&BTreeSet::from(["/top".to_owned()]));
        assert_eq!(installed.text().matches("R:top").count(), 0);
    }

    #[test]
    fn what_is_no_database() {
        for (text, said) in [
            ("R:x\n", "line 1 is no field of a package"),
            ("F:x\nZ:x\n", "line 2 is no field of a package"),
            ("P:x\nV:1\n\n", "the package that ends in line 3 has no checksum"),
        ] {
            assert_eq!(Installed::parse(text).unwrap_err().to_string(), said, "{text}");
        }
    }
}
