use std::fmt::Write as _;

use crate::debian::{Installed, Paragraph, paragraphs};
use crate::model::{BaseFacts, ContentDigest, Digest};
use crate::spec::DebianPackages;

/// What one image wants of Debian, with all that decides which packages these are but the state of the repositories.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DebianRequest {
    /// Code name.
    pub(super) suite: String,
    /// Debian's word.
    pub(super) architecture: String,
    /// In order, once each.
    pub(super) install: Vec<String>,
    /// In order, once each.
    pub(super) exclude: Vec<String>,
    /// Address, suite, components and the key's digest of each.
    pub(super) repositories: Vec<(String, String, Vec<String>, ContentDigest)>,
    /// What stands for the base's packages ([`database`]).
    pub(super) database: String,
}

/// Of bases without packages.
const EMPTY: &str = "empty";

impl DebianRequest {
    /// `keys`: digests of the files of keys, in the order of the repositories.
    pub(super) fn new(
        packages: &DebianPackages,
        architecture: &str,
        keys: Vec<ContentDigest>,
        database: String,
    ) -> Self {
        let sorted = |words: &[String]| {
            let mut words = words.to_vec();
            words.sort();
            words.dedup();
            words
        };
        let row = |(repository, key): (&crate::spec::DebianRepository, ContentDigest)| {
            let crate::spec::DebianRepository { url, suite, components, .. } = repository;
            (url.clone(), suite.clone(), components.clone(), key)
        };
        Self {
            suite: packages.suite.clone(),
            architecture: architecture.to_owned(),
            install: sorted(&packages.install),
            exclude: sorted(&packages.exclude),
            repositories: packages.repositories.iter().zip(keys).map(row).collect(),
            database,
        }
    }

    /// The name of its row: `debian/bookworm/amd64/1a2b3c4d5e6f`.
    pub(super) fn name(&self) -> String {
        let mut text =
            format!("imgpack packages 1\nsuite {}\narchitecture {}\n", self.suite, self.architecture);
        for (field, words) in [("install", &self.install), ("exclude", &self.exclude)] {
            words.iter().for_each(|word| text.push_str(&format!("{field} {word}\n")));
        }
        for (url, suite, components, key) in &self.repositories {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "repository {url} {suite} {} {key}", components.join(","));
        }
        text.push_str(&format!("base {}\n", self.database));
        let digest = Digest::of(text.as_bytes()).hex();
        format!("debian/{}/{}/{}", self.suite, self.architecture, &digest[..12])
    }

    /// The same for people, in one line: `curl libpq5 without dash`.
    pub(super) fn words(&self) -> String {
        let mut words = self.install.join(" ");
        if !self.exclude.is_empty() {
            words.push_str(&format!(" without {}", self.exclude.join(" ")));
        }
        if !self.repositories.is_empty() {
            let urls: Vec<&str> = self.repositories.iter().map(|(url, ..)| url.as_str()).collect();
            words.push_str(&format!(", also from {}", urls.join(" ")));
        }
        if self.database != EMPTY {
            words.push_str(&format!(", on a base with {}", self.database));
        }
        words
    }
}

/// The packages that a base has, in the order of their names (dpkg's database, or that of images without dpkg).
pub(super) fn installed(facts: &BaseFacts) -> Vec<Installed> {
    let is_database = |path: &str| {
        path == "/var/lib/dpkg/status"
            || path.strip_prefix("/var/lib/dpkg/status.d/").is_some_and(|name| !name.ends_with(".md5sums"))
    };
    let texts = facts.contents.iter().filter(|(path, _)| is_database(path.as_str()));
    // What cannot be read says nothing, as for every reader of such databases.
    let read = |text: &String| -> Vec<Paragraph> { paragraphs(text).unwrap_or_default() };
    let mut found: Vec<Installed> =
        texts.flat_map(|(_, text)| read(text)).filter_map(|paragraph| Installed::of(&paragraph)).collect();
    found.sort_by(|one, other| (&one.name, &one.architecture).cmp(&(&other.name, &other.architecture)));
    found
}

/// What stands for the packages of a base in requests: `empty`, or how many there are and the head of a digest over all.
pub(super) fn database(installed: &[Installed]) -> String {
    if installed.is_empty() {
        return EMPTY.to_owned();
    }
    let digest = Digest::of(format!("{installed:?}").as_bytes()).hex();
    let count =
        if installed.len() == 1 { "1 package".to_owned() } else { format!("{} packages", installed.len()) };
    format!("{count} ({})", &digest[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> DebianRequest {
        DebianRequest {
            suite: "bookworm".to_owned(),
            architecture: "amd64".to_owned(),
            install: vec!["curl".to_owned(), "libpq5=15.8".to_owned()],
            exclude: vec!["dash".to_owned()],
            repositories: Vec::new(),
            database: EMPTY.to_owned(),
        }
    }

    #[test]
    fn everything_that_decides_is_in_the_name() {
        let name = request().name();
        assert!(name.starts_with("debian/bookworm/amd64/") && name.len() == 34, "{name}");
        assert_eq!(request().words(), "curl libpq5=15.8 without dash");
        let key = ContentDigest::of(b"key");
        let others = [
            DebianRequest { suite: "trixie".to_owned(), ..request() },
            DebianRequest { architecture: "arm64".to_owned(), ..request() },
            DebianRequest { install: vec!["curl".to_owned()], ..request() },
            DebianRequest { exclude: Vec::new(), ..request() },
            DebianRequest { database: "88 packages (1a2b)".to_owned(), ..request() },
            DebianRequest {
                repositories: vec![("http://a".to_owned(), "x".to_owned(), vec!["main".to_owned()], key)],
                ..request()
            },
        ];
        let mut names: Vec<String> = others.iter().map(DebianRequest::name).chain([name]).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 7);
        assert_eq!(others[5].words(), "curl libpq5=15.8 without dash, also from http://a");
    }

    #[test]
    fn databases_of_both_kinds() {
        let mut facts = BaseFacts::default();
        assert_eq!(database(&installed(&facts)), "empty");
        let mut put = |path: &str, text: &str| {
            facts.contents.insert(path.parse().unwrap(), text.to_owned());
        };
        put(
            "/var/lib/dpkg/status",
            "Package: b\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\n\
            Package: gone\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: amd64\n",
        );
        put("/var/lib/dpkg/status.d/a", "Package: a\nVersion: 2\nArchitecture: all\n");
        put("/var/lib/dpkg/status.d/a.md5sums", "0 x\n");
        put("/etc/passwd", "root\n");
        let found = installed(&facts);
        assert_eq!(found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let two = database(&found);
        assert!(two.starts_with("2 packages ("), "{two}");
        assert_ne!(database(&found[..1]), two);
    }
}
