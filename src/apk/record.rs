use std::collections::BTreeMap;

use super::dependency::{Dependency, DependencyError, Provided};

/// The fields of a package, in the order in which indexes and the database write them (apk-tools 2.14,
/// `apk_pkg_write_index_entry`).
pub(super) const FIELDS: &str = "CPVASITULomtckDpi";

/// A package as an index or the database of what is installed describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its whole version: `1.2.5-r0`.
    pub version: String,
    /// The architecture that its file is for; of an index that of the index.
    pub architecture: String,
    /// Its identity: `Q1` and the SHA-1 digest of its control segment in base64.
    pub identity: String,
    /// Length of its file in bytes.
    pub size: u64,
    /// What has to be there for it, and what must not.
    pub depends: Vec<Dependency>,
    /// Its own name, then what else it provides.
    pub provides: Vec<Provided>,
    /// It comes by itself where all of these are there.
    pub install_if: Vec<Dependency>,
    /// Of several that provide a name without a version, the one with the highest comes.
    pub provider_priority: u32,
    /// The lines that describe it by their letter, for the database.
    pub(super) lines: BTreeMap<char, String>,
}

/// A record that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A line without `X:`.
    #[error("line {line} is no field of a package")]
    Line {
        /// From 1.
        line: usize,
    },
    /// A field that every package has.
    #[error("the package that ends in line {line} has no {field}")]
    Missing {
        /// From 1.
        line: usize,
        /// What is missing.
        field: &'static str,
    },
    /// A dependency that is none.
    #[error("package {package}")]
    Dependency {
        /// The package.
        package: String,
        /// What is wrong.
        #[source]
        source: DependencyError,
    },
}

impl Package {
    /// The package that these lines describe; `line` is where they end.
    pub(super) fn of(lines: BTreeMap<char, String>, line: usize) -> Result<Self, RecordError> {
        let need = |letter, field| {
            let value = lines.get(&letter).filter(|value| !value.is_empty()).cloned();
            value.ok_or(RecordError::Missing { line, field })
        };
        let name = need('P', "name")?;
        let version = need('V', "version")?;
        let identity = need('C', "checksum")?;
        let list = |letter| {
            Dependency::list(lines.get(&letter).map_or("", String::as_str))
                .map_err(|source| RecordError::Dependency { package: name.clone(), source })
        };
        let number = |letter| lines.get(&letter).and_then(|text| text.parse().ok());
        let mut provides = vec![Provided { name: name.clone(), version: Some(version.clone()) }];
        provides.extend(Provided::list(lines.get(&'p').map_or("", String::as_str)));
        Ok(Self {
            version,
            identity,
            architecture: lines.get(&'A').cloned().unwrap_or_default(),
            size: lines.get(&'S').and_then(|text| text.parse().ok()).unwrap_or(0),
            depends: list('D')?,
            provides,
            install_if: list('i')?,
            provider_priority: number('k').unwrap_or(0),
            name,
            lines,
        })
    }

    /// The name and the version: `busybox-1.36.1-r29`.
    pub fn full_name(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// The lines that describe it.
    pub(super) fn text(&self) -> String {
        let row = |letter| self.lines.get(&letter).map(|value| format!("{letter}:{value}\n"));
        FIELDS.chars().filter_map(row).collect()
    }
}

/// The packages of the text of an index (`APKINDEX`). Fields that are not known are passed over.
pub fn packages(text: &str) -> Result<Vec<Package>, RecordError> {
    let mut found = Vec::new();
    let mut lines = BTreeMap::new();
    let mut number = 0;
    for line in text.lines().chain([""]) {
        number += 1;
        if line.is_empty() {
            if !lines.is_empty() {
                found.push(Package::of(std::mem::take(&mut lines), number)?);
            }
            continue;
        }
        let (letter, value) = field(line, number)?;
        if FIELDS.contains(letter) {
            lines.insert(letter, value.to_owned());
        }
    }
    Ok(found)
}

/// A letter and its value.
pub(super) fn field(line: &str, number: usize) -> Result<(char, &str), RecordError> {
    let wrong = RecordError::Line { line: number };
    let (letter, value) = line.split_once(':').ok_or_else(|| wrong.clone())?;
    let mut letters = letter.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => Ok((letter, value)),
        _ => Err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_read() {
        let text = "C:Q1abc=\nP:foo\nV:1.0-r0\nA:x86_64\nS:12\nX:new\nk:3\nD:so:libx.so.1 !bar<2\np:cmd:foo=1.0-r0 virtual\ni:a b\n\nC:Q1d=\nP:bar\nV:2\n";
        let found = packages(text).unwrap();
        assert_eq!(found.len(), 2);
        let foo = &found[0];
        assert_eq!((foo.full_name().as_str(), foo.size, foo.provider_priority), ("foo-1.0-r0", 12, 3));
        assert_eq!(foo.depends[1].to_string(), "!bar<2");
        let provides: Vec<_> = foo.provides.iter().map(|p| (p.name.as_str(), p.version.as_deref())).collect();
        assert_eq!(provides, [("foo", Some("1.0-r0")), ("cmd:foo", Some("1.0-r0")), ("virtual", None)]);
        assert_eq!(foo.text(), text.split("\n\n").next().unwrap().replace("X:new\n", "") + "\n");
    }

    #[test]
    fn records_that_are_none() {
        for (text, said) in [
            ("hello", "line 1 is no field of a package"),
            ("C:Q1\nP:a\n", "the package that ends in line 3 has no version"),
            ("P:a\nV:1\n\n", "the package that ends in line 3 has no checksum"),
            ("C:Q1\nP:a\nV:1\nD:=\n", "package a"),
        ] {
            assert_eq!(packages(text).unwrap_err().to_string(), said, "{text}");
        }
    }
}
