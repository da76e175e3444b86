//! An OCI layout as somebody else reads it: nothing of imgpack's own code is used here.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub(crate) struct Layout {
    dir: PathBuf,
}

/// An entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) time: u64,
    pub(crate) link: Option<String>,
    pub(crate) content: Vec<u8>,
}

impl Layout {
    pub(crate) fn open(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(crate) fn blob(&self, digest: &str) -> Vec<u8> {
        let name = digest.strip_prefix("sha256:").expect("a digest");
        let bytes = fs::read(self.dir.join("blobs/sha256").join(name)).unwrap();
        assert_eq!(sha256(&bytes), digest);
        bytes
    }

    pub(crate) fn json(&self, digest: &str) -> Value {
        serde_json::from_slice(&self.blob(digest)).unwrap()
    }

    /// The plain tar of a layer.
    pub(crate) fn tar(&self, digest: &str) -> Vec<u8> {
        let blob = self.blob(digest);
        let mut plain = Vec::new();
        match blob.first_chunk::<4>().unwrap() {
            [0x1f, 0x8b, ..] => {
                let _ = MultiGzDecoder::new(&*blob).read_to_end(&mut plain).unwrap();
            }
            [0x28, 0xb5, 0x2f, 0xfd] => plain = zstd::decode_all(&*blob).unwrap(),
            _ => plain = blob,
        }
        plain
    }

    pub(crate) fn entries(&self, digest: &str) -> Vec<Entry> {
        let tar = self.tar(digest);
        let mut archive = tar::Archive::new(&*tar);
        let entry = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let header = entry.header();
            Entry {
                path: String::from_utf8(entry.path_bytes().into_owned()).unwrap(),
                kind: char::from(header.entry_type().as_byte()),
                mode: header.mode().unwrap(),
                owner: (header.uid().unwrap(), header.gid().unwrap()),
                time: header.mtime().unwrap(),
                link: entry.link_name_bytes().map(|name| String::from_utf8(name.into_owned()).unwrap()),
                content,
            }
        };
        archive.entries().unwrap().map(entry).collect()
    }

    pub(crate) fn entry(&self, digest: &str, path: &str) -> Entry {
        let entries = self.entries(digest);
        let found = entries.iter().find(|entry| entry.path == path);
        found.unwrap_or_else(|| panic!("{path} is not in {digest}: {entries:?}")).clone()
    }

    /// The text of a file of a layer.
    pub(crate) fn text(&self, digest: &str, path: &str) -> String {
        String::from_utf8(self.entry(digest, path).content).unwrap()
    }
}

impl Entry {
    /// One line: kind, mode, owner, digest of the content, path, target.
    pub(crate) fn line(&self) -> String {
        let (uid, gid) = self.owner;
        let mut line = format!("{} {:04o} {uid}:{gid} ", self.kind, self.mode);
        if self.kind == '0' {
            let digest = sha256(&self.content);
            let _ = write!(line, "{} {} ", self.content.len(), &digest["sha256:".len()..][..16]);
        }
        line.push_str(&self.path);
        if let Some(link) = &self.link {
            let _ = write!(line, " -> {link}");
        }
        line
    }
}

/// `sha256:` and the digest of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
