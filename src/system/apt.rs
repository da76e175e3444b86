//! The configuration of this host's apt, as texts.

use std::fs;
use std::path::{Path, PathBuf};

/// What apt reads of its folder (apt.conf(5), sources.list(5)), in its order. What is not there or cannot be read is left
/// out: it only says where else something may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AptFiles {
    /// `apt.conf` and those of `apt.conf.d`.
    pub settings: Vec<String>,
    /// `sources.list` and those of `sources.list.d` in the one-line style.
    pub lists: Vec<String>,
    /// Those of `sources.list.d` in the deb822 style.
    pub deb822: Vec<String>,
}

/// Larger files are left out (bytes).
const LARGEST: u64 = 1 << 20;

impl AptFiles {
    /// Reads the folder, `/etc/apt`.
    pub fn read(folder: &Path) -> Self {
        let mut settings = all(&folder.join("apt.conf.d"), &["conf", ""]);
        settings.extend(text(&folder.join("apt.conf")));
        let mut lists: Vec<String> = text(&folder.join("sources.list")).into_iter().collect();
        let sources = folder.join("sources.list.d");
        lists.extend(all(&sources, &["list"]));
        Self { settings, lists, deb822: all(&sources, &["sources"]) }
    }
}

/// The files whose names have one of these extensions, in the order of their names.
fn all(folder: &Path, extensions: &[&str]) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_taken =
        |path: &PathBuf| extensions.iter().any(|known| *known == path.extension().unwrap_or_default());
    let taken = entries.map(|entry| entry.path()).filter(is_taken);
    let mut paths: Vec<_> = taken.collect();
    paths.sort();
    paths.iter().filter_map(|path| text(path)).collect()
}

fn text(path: &Path) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    (found.is_file() && found.len() <= LARGEST).then(|| fs::read_to_string(path).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_reads() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, path.file_name().unwrap().as_encoded_bytes()).unwrap();
        };
        assert_eq!(AptFiles::read(folder.path()), AptFiles::default());
        for path in ["apt.conf", "apt.conf.d/20b", "apt.conf.d/10a", "apt.conf.d/x.bak", "sources.list"] {
            write(path);
        }
        for path in ["z.list", "a.list", "b.sources", "c.save", "d.list/x"] {
            write(&format!("sources.list.d/{path}"));
        }
        let found = AptFiles::read(folder.path());
        assert_eq!(found.settings, ["10a", "20b", "apt.conf"]);
        assert_eq!(found.lists, ["sources.list", "a.list", "z.list"]);
        assert_eq!(found.deb822, ["b.sources"]);
    }
}
