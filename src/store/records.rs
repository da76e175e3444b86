use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Store;
use crate::model::{Digest, KeyDigest};
use crate::system::{IoError, fs as system_fs};

impl Store {
    /// What the key led to, if it is known. A record that is torn, of another shape or unreadable is a miss.
    pub fn record<T: DeserializeOwned>(&self, key: &KeyDigest) -> Option<T> {
        read(&self.record_path(key))
    }

    /// Remembers what the key led to.
    pub fn put_record<T: Serialize>(&self, key: &KeyDigest, value: &T) -> Result<(), IoError> {
        write(&self.record_path(key), value)
    }

    /// What the last build called `name` was. A hint for people: never the ground of a decision about bytes.
    pub fn last<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        read(&self.last_path(name))
    }

    /// Remembers the build called `name`.
    pub fn put_last<T: Serialize>(&self, name: &str, value: &T) -> Result<(), IoError> {
        write(&self.last_path(name), value)
    }

    /// Bytes noted under a key, under the same rules.
    pub fn note(&self, key: &KeyDigest) -> Option<Vec<u8>> {
        read_bytes(&self.record_path(key))
    }

    /// Notes bytes under a key.
    pub fn put_note(&self, key: &KeyDigest, bytes: &[u8]) -> Result<(), IoError> {
        write_bytes(&self.record_path(key), bytes)
    }

    fn record_path(&self, key: &KeyDigest) -> PathBuf {
        let hex = key.hex();
        self.root().join("records").join(&hex[..2]).join(hex)
    }

    fn last_path(&self, name: &str) -> PathBuf {
        self.root().join("last").join(Digest::of(name.as_bytes()).hex())
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&read_bytes(path)?).ok()
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), IoError> {
    let json = serde_json::to_vec(value)
        .map_err(|error| IoError::of("write", path)(std::io::Error::other(error)))?;
    write_bytes(path, &json)
}

/// `<sha256 of the rest>\n<rest>`
pub(super) fn read_bytes(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path).ok()?;
    let (sum, rest) = bytes.split_at_checked(65)?;
    let (hex, newline) = sum.split_at(64);
    if newline != b"\n" || Digest::of(rest).hex().as_bytes() != hex {
        return None;
    }
    bytes.drain(..65);
    Some(bytes)
}

pub(super) fn write_bytes(path: &Path, rest: &[u8]) -> Result<(), IoError> {
    let mut bytes = Digest::of(rest).hex().into_bytes();
    bytes.push(b'\n');
    bytes.extend_from_slice(rest);
    system_fs::write_atomic(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_record_is_a_miss() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = KeyDigest::of(b"key");
        assert_eq!(store.record::<Vec<u32>>(&key), None);
        store.put_record(&key, &vec![1, 2, 3]).unwrap();
        assert_eq!(store.record(&key), Some(vec![1, 2, 3]));
        assert_eq!(store.record::<String>(&key), None);

        let path = store.record_path(&key);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(store.record::<Vec<u32>>(&key), None, "the first {length} bytes");
        }
        let mut other = whole;
        *other.last_mut().unwrap() = b'}';
        fs::write(&path, other).unwrap();
        assert_eq!(store.record::<Vec<u32>>(&key), None);
    }
}
