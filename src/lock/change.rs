use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{DIGEST, FACTS, INSTALL, Kind, Row, VERSION_FIELD};

/// A row that is another than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    kind: Kind,
    name: String,
    before: Option<Row>,
    after: Option<Row>,
}

impl Change {
    pub(super) fn new(kind: Kind, name: &str, before: Option<Row>, after: Option<Row>) -> Self {
        Self { kind, name: name.to_owned(), before, after }
    }

    /// What the row is about.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether there was no row before.
    pub fn is_new(&self) -> bool {
        self.before.is_none()
    }
}

/// `toolchain go: version 1.24.4 → 1.25.0`, `image x:1: sha256:1a2b3c4d5e6f… → sha256:…`, short enough for a line.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.kind, self.name)?;
        match (&self.before, &self.after) {
            (_, None) => f.write_str("dropped, nothing asks for it"),
            (before, Some(after)) if self.kind == Kind::Packages => {
                f.write_str(&packages(before.as_ref(), after))
            }
            (None, Some(after)) => match (after.get(DIGEST), after.get(VERSION_FIELD)) {
                (Some(digest), _) => f.write_str(&short(digest)),
                (None, Some(version)) => write!(f, "version {version}"),
                (None, None) => f.write_str("new"),
            },
            (Some(before), Some(after)) => match (before.get(DIGEST), after.get(DIGEST)) {
                (Some(old), Some(new)) if old != new => write!(f, "{} → {}", short(old), short(new)),
                (Some(_), Some(_)) => f.write_str(&facts(before, after)),
                _ => f.write_str(&differences(before, after)),
            },
        }
    }
}

/// A digest for people: its first 12 digits.
pub fn short(digest: &str) -> String {
    match digest.split_once(':') {
        // Versions have colons too.
        Some((algorithm @ "sha256", hex)) if hex.len() > 12 => format!("{algorithm}:{}…", &hex[..12]),
        _ => digest.to_owned(),
    }
}

/// Packages that are named in a line.
const NAMED: usize = 8;

/// `42 packages for curl libpq5`, or `libssl3 3.0.16 → 3.0.17, zlib1g added`.
fn packages(before: Option<&Row>, after: &Row) -> String {
    let list = |row: &Row| -> BTreeMap<String, String> {
        let words = row.get(INSTALL).map(String::as_str).unwrap_or_default().split_whitespace();
        words.filter_map(|word| word.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    };
    let new = list(after);
    let Some(old) = before.map(list) else {
        let count = if new.len() == 1 { "1 package".to_owned() } else { format!("{} packages", new.len()) };
        return match after.get("request") {
            Some(request) => format!("{count} for {request}"),
            None => count,
        };
    };
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut said: Vec<String> = names
        .into_iter()
        .filter_map(|name| match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) if old == new => None,
            (Some(old), Some(new)) => Some(format!("{name} {old} → {new}")),
            (None, _) => Some(format!("{name} added")),
            (_, None) => Some(format!("{name} dropped")),
        })
        .collect();
    if said.is_empty() {
        return "the same packages, of newer repositories".to_owned();
    }
    let more = said.len().saturating_sub(NAMED);
    said.truncate(NAMED);
    if more > 0 {
        said.push(format!("{more} more"));
    }
    said.join(", ")
}

/// `facts2/linux/amd64 added, facts2/linux/arm64 changed`
fn facts(before: &Row, after: &Row) -> String {
    let said = |(field, value): (&String, &String)| match before.get(field) {
        Some(known) if known == value => None,
        Some(_) => Some(format!("{field} changed")),
        None => Some(format!("{field} added")),
    };
    let gone = before.keys().filter(|field| field.starts_with(FACTS) && !after.contains_key(*field));
    let gone = gone.map(|field| format!("{field} dropped"));
    after.iter().filter_map(said).chain(gone).collect::<Vec<_>>().join(", ")
}

/// The fields in which two rows differ: `version 1.24.4 → 1.25.0, std none → x`.
pub fn differences(before: &Row, after: &Row) -> String {
    let mut fields: Vec<&String> = before.keys().chain(after.keys()).collect();
    fields.sort();
    fields.dedup();
    // The version says most.
    fields.sort_by_key(|field| *field != VERSION_FIELD);
    let said = |row: &Row, field: &str| row.get(field).cloned().unwrap_or_else(|| "none".to_owned());
    fields
        .into_iter()
        .filter(|field| before.get(*field) != after.get(*field))
        .map(|field| format!("{field} {} → {}", said(before, field), said(after, field)))
        .collect::<Vec<_>>()
        .join(", ")
}
