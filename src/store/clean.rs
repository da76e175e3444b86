use std::path::Path;

use super::Store;
use super::rows::Rows;
use crate::model::{ContentDigest, Digest};
use crate::system::IoError;

/// Contents that were looked through by rules and found clean.
#[derive(Debug)]
pub struct CleanContents {
    rows: Rows<32, 32>,
}

const HEADING: &[u8] = b"imgpack clean contents 1\n";

impl Store {
    /// What was found clean by `rules` in the workspace at `root`.
    pub fn clean_contents(&self, root: &Path, rules: &str) -> CleanContents {
        let name = [root.as_os_str().as_encoded_bytes(), b"\0", rules.as_bytes()].concat();
        let path = self.root().join("clean").join(Digest::of(&name).hex());
        CleanContents { rows: Rows::open(self.tmp(), path, HEADING) }
    }
}

impl CleanContents {
    /// Whether this content was found clean.
    pub fn contains(&self, digest: &ContentDigest) -> bool {
        self.rows.get(digest.0.as_bytes()).is_some()
    }

    /// Remembers that it was.
    pub fn add(&self, digest: &ContentDigest) {
        self.rows.add(*digest.0.as_bytes());
    }

    /// Writes what was added. That it cannot be written is no reason to stop: it saves time only.
    pub fn save(&self) -> Result<(), IoError> {
        self.rows.save()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_rules_know_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let open = |rules| store.clean_contents(Path::new("/w"), rules);
        let digest = ContentDigest::of(b"x");
        let clean = open("1");
        assert!(!clean.contains(&digest));
        clean.add(&digest);
        clean.save().unwrap();
        assert!(open("1").contains(&digest));
        assert!(!open("2").contains(&digest));
        assert!(!open("1").contains(&ContentDigest::of(b"y")));
    }
}
