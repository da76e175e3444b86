use std::fmt;

use super::{Field, Key};

/// One difference between two keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A field that was not there.
    Added(String),
    /// A field that is gone.
    Removed(String),
    /// A field with another value; the two values where both may be seen.
    Changed {
        /// Its name.
        name: String,
        /// The values before and now.
        values: Option<(String, String)>,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(name) => write!(f, "{name}: added"),
            Self::Removed(name) => write!(f, "{name}: removed"),
            Self::Changed { name, values: Some((old, new)) } => write!(f, "{name}: `{old}` → `{new}`"),
            Self::Changed { name, values: None } => write!(f, "{name}: changed"),
        }
    }
}

/// What differs between the key `before` and the key `now`, sorted by field.
pub fn changes(before: &Key, now: &Key) -> Vec<Change> {
    let mut found: Vec<(&String, Change)> = Vec::new();
    for (name, field) in &now.fields {
        match before.fields.get(name) {
            None => found.push((name, Change::Added(name.clone()))),
            Some(old) if old.digest != field.digest => {
                let values = both(old, field);
                found.push((name, Change::Changed { name: name.clone(), values }));
            }
            Some(_) => {}
        }
    }
    let gone = before.fields.keys().filter(|name| !now.fields.contains_key(*name));
    found.extend(gone.map(|name| (name, Change::Removed(name.clone()))));
    found.sort_by_key(|(name, _)| *name);
    found.into_iter().map(|(_, change)| change).collect()
}

fn both(old: &Field, new: &Field) -> Option<(String, String)> {
    let pair = (old.value.clone()?, new.value.clone()?);
    // A long value says nothing on one line.
    (pair.0.len().max(pair.1.len()) <= 120).then_some(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_differs() {
        let mut before = Key::new("layer");
        before.clear("go", "1.25");
        before.clear("gone", "x");
        before.secret("env:A", b"1");
        before.clear("same", "s");
        let mut now = Key::new("layer");
        now.clear("go", "1.26");
        now.clear("new", "x");
        now.secret("env:A", b"2");
        now.clear("same", "s");
        let lines: Vec<String> = changes(&before, &now).iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["env:A: changed", "go: `1.25` → `1.26`", "gone: removed", "new: added"]);
        assert!(changes(&now, &now).is_empty());
    }
}
