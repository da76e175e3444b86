//! Cache identity: what decides the bytes of a layer or the output of a builder, as named fields.
//!
//! A key is the digest of a domain and of its fields, sorted by name, every part prefixed by its length: no two different
//! lists of fields have one text. A field is kept as the digest of its value, and with the value itself only where the
//! caller says that it may be seen ([`Key::clear`]): versions, platforms, flags, paths of the workspace. Values of
//! environments, addresses and `--set` go in by [`Key::secret`].

mod change;

use std::collections::BTreeMap;

use crate::model::{Digest, Hasher, KeyDigest};

pub use change::{Change, changes};

/// Version of the format of layers; part of every key.
pub const FORMAT: &str = "1";

/// One named input of a key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Field {
    /// Digest of the value (64 hex digits).
    pub digest: String,
    /// The value, where it may be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Named inputs, under a domain.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Key {
    /// What the key is of: `layer`, `build.go` …
    pub domain: String,
    /// The inputs by name.
    pub fields: BTreeMap<String, Field>,
}

impl Key {
    /// A key of `domain` with the format's version as its first field.
    pub fn new(domain: &str) -> Self {
        let mut key = Self { domain: domain.to_owned(), fields: BTreeMap::new() };
        key.clear("format", FORMAT);
        key
    }

    /// Adds a field whose value may be seen.
    pub fn clear(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let value = value.into();
        let digest = Digest::of(value.as_bytes()).hex();
        self.fields.insert(name.into(), Field { digest, value: Some(value) });
    }

    /// Adds a field of which only the digest is kept.
    pub fn secret(&mut self, name: impl Into<String>, value: &[u8]) {
        self.fields.insert(name.into(), Field { digest: Digest::of(value).hex(), value: None });
    }

    /// Adds a field that is a digest already.
    pub fn digest_of(&mut self, name: impl Into<String>, digest: &Digest) {
        self.fields.insert(name.into(), Field { digest: digest.hex(), value: None });
    }

    /// The key's digest.
    pub fn digest(&self) -> KeyDigest {
        let mut hasher = Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        part(b"imgpack/key/v1");
        part(self.domain.as_bytes());
        for (name, field) in &self.fields {
            part(name.as_bytes());
            part(field.digest.as_bytes());
        }
        KeyDigest(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fields: &[(&str, &str)]) -> Key {
        let mut key = Key::new("layer");
        fields.iter().for_each(|(name, value)| key.clear(*name, *value));
        key
    }

    #[test]
    fn order_is_nothing_and_everything_else_counts() {
        let one = key(&[("a", "1"), ("b", "2")]).digest();
        assert_eq!(one, key(&[("b", "2"), ("a", "1")]).digest());
        for other in [
            key(&[("a", "12"), ("b", "")]),
            key(&[("a", "1")]),
            key(&[("a", "2"), ("b", "1")]),
            key(&[("ab", "1"), ("b", "2")]),
        ] {
            assert_ne!(one, other.digest());
        }
        let mut domain = key(&[("a", "1"), ("b", "2")]);
        domain.domain = "layers".into();
        assert_ne!(one, domain.digest());
    }

    #[test]
    fn a_secret_counts_and_is_not_kept() {
        let mut hidden = key(&[]);
        hidden.secret("env:A", b"hunter2");
        let mut shown = key(&[]);
        shown.clear("env:A", "hunter2");
        assert_eq!(hidden.digest(), shown.digest());
        assert!(!serde_json::to_string(&hidden).unwrap().contains("hunter2"));
    }

    /// Golden: a change of this digest makes every record of every user a miss.
    #[test]
    fn preimage_is_fixed() {
        assert_eq!(
            key(&[("a", "1")]).digest().to_string(),
            "sha256:1241d0a26a32d52a4890a6f775602f2c259ffd2190d924759016be0a9f30f156"
        );
    }
}
