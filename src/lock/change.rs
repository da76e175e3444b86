use std::fmt;

use super::{DIGEST, FACTS, Kind, Row, VERSION_FIELD};

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
        Some((algorithm, hex)) if hex.len() > 12 => format!("{algorithm}:{}…", &hex[..12]),
        _ => digest.to_owned(),
    }
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
