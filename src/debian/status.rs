use std::sync::Arc;

use super::deb::DebFacts;
use super::paragraph::{Paragraph, paragraphs};
use crate::model::{BaseFacts, FactKind, ImagePath};

/// A file of the database, with who it speaks of.
pub(super) struct DatabaseFile {
    pub path: ImagePath,
    pub text: String,
    pub origin: Arc<str>,
}

const STATUS: &str = "/var/lib/dpkg/status";

/// The rows of packages in an image's dpkg database (dpkg(1), "FILES"; deb-control(5)).
///
/// A base without `/var/lib/dpkg/status` gets `status.d/NAME` with the package's control fields and `status.d/NAME.md5sums`,
/// as images without dpkg have them and scanners read them. A base with it has its text with the new packages behind those
/// that stay, and `info/NAME.list` and `info/NAME.md5sums`. Lists and sums are those of the package, so they also name files
/// that were left out. The error is the file of the base that is too large to be added to.
pub(super) fn database(packages: &[&DebFacts], base: &BaseFacts) -> Result<Vec<DatabaseFile>, ImagePath> {
    let mut files = Vec::new();
    let Ok(status) = STATUS.parse::<ImagePath>() else { return Ok(files) };
    if packages.is_empty() {
        return Ok(files);
    }
    let place = base
        .resolve(&status)
        .filter(|path| base.tree.get(path).is_some_and(|fact| fact.kind == FactKind::File));
    let mut put = |path: String, text: String, name: &str| {
        if let Ok(path) = path.parse() {
            files.push(DatabaseFile { path, text, origin: Arc::from(format!("package {name}")) });
        }
    };
    for facts in packages {
        let field = |name: &str| facts.control.get(name).unwrap_or_default();
        let name = field("Package");
        let sums = facts.scripts.get("md5sums").cloned();
        if place.is_none() {
            put(format!("{STATUS}.d/{name}"), row(&facts.control), name);
            if let Some(sums) = sums {
                put(format!("{STATUS}.d/{name}.md5sums"), sums, name);
            }
            continue;
        }
        let file = match field("Multi-Arch") {
            "same" => format!("/var/lib/dpkg/info/{name}:{}", field("Architecture")),
            _ => format!("/var/lib/dpkg/info/{name}"),
        };
        let list: String = facts.files.iter().flat_map(|file| [file.path.as_str(), "\n"]).collect();
        put(format!("{file}.list"), format!("/.\n{list}"), name);
        if let Some(sums) = sums {
            put(format!("{file}.md5sums"), sums, name);
        }
        if let Some(conffiles) = facts.scripts.get("conffiles") {
            put(format!("{file}.conffiles"), conffiles.clone(), name);
        }
    }
    if let Some(place) = place {
        let text = base.contents.get(&place).ok_or_else(|| place.clone())?;
        let text = extended(text, packages);
        files.push(DatabaseFile { path: place, text, origin: Arc::from("packages") });
    }
    Ok(files)
}

/// A package's paragraph: its control fields, said to be installed.
fn row(control: &Paragraph) -> String {
    let mut text = String::new();
    for (name, value) in &control.0 {
        let blank = if value.starts_with('\n') { "" } else { " " };
        text.push_str(&format!("{name}:{blank}{value}\n"));
        if name.eq_ignore_ascii_case("Package") {
            text.push_str("Status: install ok installed\n");
        }
    }
    text
}

/// The base's database with the packages behind it; those of the same name and architecture, or of one that is for all, are
/// taken out.
fn extended(base: &str, packages: &[&DebFacts]) -> String {
    let identity = |paragraph: &Paragraph| {
        let field = |name: &str| paragraph.get(name).unwrap_or_default().to_owned();
        (field("Package"), field("Architecture"))
    };
    let new: Vec<(String, String)> = packages.iter().map(|facts| identity(&facts.control)).collect();
    let is_replaced = |(name, architecture): &(String, String)| {
        let same =
            |other: &String| other == architecture || [other, architecture].iter().any(|one| *one == "all");
        new.iter().any(|(known, other)| known == name && same(other))
    };
    let mut rows = Vec::new();
    for text in base.split("\n\n").filter(|text| !text.trim().is_empty()) {
        let known = paragraphs(text).ok().and_then(|found| found.first().map(identity));
        if known.is_none_or(|identity| !is_replaced(&identity)) {
            rows.push(format!("{}\n", text.trim_matches('\n')));
        }
    }
    rows.extend(packages.iter().map(|facts| row(&facts.control)));
    // dpkg ends every paragraph with an empty line.
    rows.into_iter().map(|row| row + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Fact, Owner, PackageFile, PackageFileKind};

    fn package(name: &str, version: &str) -> DebFacts {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let file = PackageFile {
            path: format!("/usr/bin/{name}").parse().unwrap(),
            kind: PackageFileKind::Directory,
            mode: 0o755,
            owner: Owner::default(),
            elf: None,
        };
        DebFacts {
            control: Paragraph(vec![
                field("Package", name),
                field("Version", version),
                field("Architecture", "amd64"),
                field("Description", "short\n long"),
            ]),
            scripts: [("md5sums".to_owned(), "00  usr/bin/x\n".to_owned())].into(),
            files: vec![file],
        }
    }

    fn shown(files: &[DatabaseFile]) -> Vec<String> {
        files.iter().map(|file| format!("{}={}", file.path, file.text)).collect()
    }

    #[test]
    fn a_base_without_a_database_gets_a_file_for_each_package() {
        let files = database(&[&package("a", "1")], &BaseFacts::default()).unwrap();
        assert_eq!(
            shown(&files),
            [
                "/var/lib/dpkg/status.d/a=Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\
                 Description: short\n long\n",
                "/var/lib/dpkg/status.d/a.md5sums=00  usr/bin/x\n",
            ]
        );
        assert!(database(&[], &BaseFacts::default()).unwrap().is_empty());
    }

    #[test]
    fn the_database_of_a_base_is_extended() {
        let mut base = BaseFacts::default();
        let status: ImagePath = STATUS.parse().unwrap();
        let fact = Fact { kind: FactKind::File, mode: 0o644, uid: 0, gid: 0, size: 9 };
        base.tree.insert(status.clone(), fact);
        let packages = [&package("a", "2"), &package("c", "1")];
        assert_eq!(database(&packages, &base).err(), Some(status.clone()));
        let text = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n\
                    Package: b\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nConffiles:\n /etc/b 00\n\n";
        base.contents.insert(status, text.to_owned());
        let files = database(&packages, &base).unwrap();
        let names: Vec<String> = files.iter().map(|file| file.path.to_string()).collect();
        assert_eq!(
            names,
            [
                "/var/lib/dpkg/info/a.list",
                "/var/lib/dpkg/info/a.md5sums",
                "/var/lib/dpkg/info/c.list",
                "/var/lib/dpkg/info/c.md5sums",
                "/var/lib/dpkg/status",
            ]
        );
        assert_eq!(files[0].text, "/.\n/usr/bin/a\n");
        assert_eq!(
            files[4].text,
            "Package: b\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nConffiles:\n /etc/b 00\n\n\
             Package: a\nStatus: install ok installed\nVersion: 2\nArchitecture: amd64\nDescription: short\n long\n\n\
             Package: c\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\nDescription: short\n long\n\n"
        );
    }
}
