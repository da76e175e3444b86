use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::blobs::{Fetch, bring_all};
use super::error::BaseError;
use super::image::{Document, manifest_of};
use super::import::Import;
use crate::model::{ContentDigest, Descriptor, FactKind, ImagePath};
use crate::tar::{self, Budget, LayerMembers, Merge, TarReader};

/// What is wanted of an image.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The file or directory; `None` for all of it. A link there is followed.
    pub path: Option<&'a ImagePath>,
    /// Whether a path below the directory, relative to it, is taken; not asked for a single file.
    pub takes: &'a dyn Fn(&str) -> bool,
}

/// Files of an image.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImageFiles {
    /// Whether the wanted path is one file.
    pub single: bool,
    /// In the order of their paths.
    pub files: Vec<ImageFile>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImageFile {
    /// Path relative to the wanted directory; of a single file its name.
    pub path: String,
    /// What it is.
    pub kind: ImageFileKind,
}

/// What a file of an image is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageFileKind {
    /// A directory without anything in it.
    Empty,
    /// A regular file; its content is a blob of the store.
    File {
        /// Whether its owner may execute it.
        executable: bool,
        /// Length in bytes.
        size: u64,
        /// Digest of its content.
        digest: ContentDigest,
    },
    /// A symbolic link to something below the wanted directory, relative.
    Symlink {
        /// The link's text.
        target: String,
    },
}

/// Why files of an image cannot be used. `image` is what the spec calls it.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The image itself.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// There is nothing at the wanted path.
    #[error("{image} has no {path}")]
    Missing {
        /// The image.
        image: String,
        /// The path.
        path: String,
        /// The nearest directory above that is there.
        above: Option<String>,
    },
    /// A device, pipe or socket.
    #[error("{path} of {image} is a device, a pipe or a socket")]
    Special {
        /// The image.
        image: String,
        /// The path.
        path: String,
    },
    /// A link to something that is not wanted.
    #[error("{path} of {image} is a link to {target}, which is not below {wanted}")]
    Outside {
        /// The image.
        image: String,
        /// The link.
        path: String,
        /// Its text.
        target: String,
        /// The wanted directory.
        wanted: String,
    },
}

impl FilesError {
    /// The way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Base(error) => error.hint(),
            Self::Missing { above, .. } => Some(above.as_ref().map_or_else(
                || "nothing of that path is in it".to_owned(),
                |above| format!("of that path it has {above}"),
            )),
            Self::Special { .. } => Some("leave it out with `exclude`".to_owned()),
            Self::Outside { .. } => {
                Some("leave it out with `exclude`, or copy a directory that holds both".to_owned())
            }
        }
    }
}

/// The files below a path of the image for the wanted platform that `document` is, or leads to; their contents are in the
/// store afterwards. The layers are brought whole: which of them has the last word on a path is known when all are read.
pub fn image_files(
    import: &Import<'_>,
    document: &Document<'_>,
    wanted: &Wanted<'_>,
    fetch: &Fetch<'_>,
) -> Result<ImageFiles, FilesError> {
    let manifest = manifest_of(import, document, fetch)?;
    let layers = &manifest.layers;
    bring_all(import, layers, fetch).map_err(|error| manifest.elsewhere(error))?;
    let mut merge = Merge::new();
    let budget = Budget::default();
    for layer in layers {
        let members = LayerMembers::read(open(import, layer)?, &budget);
        let merged = members.and_then(|members| merge.add(&members));
        merged.map_err(|source| failed(import, layer, source))?;
    }
    let chosen = Chosen::of(import, &merge, wanted)?;
    let contents = contents(import, layers, &chosen.members())?;
    let missing = || import.document("the image", "a file of it was there and is gone");
    let file = |(path, kind): (String, ChosenKind)| {
        let kind = match kind {
            ChosenKind::Empty => ImageFileKind::Empty,
            ChosenKind::Symlink(target) => ImageFileKind::Symlink { target },
            ChosenKind::File { member, executable } => {
                let (digest, size) = *contents.get(&member).ok_or_else(missing)?;
                ImageFileKind::File { executable, size, digest }
            }
        };
        Ok(ImageFile { path, kind })
    };
    let files = chosen.files.into_iter().map(file).collect::<Result<_, BaseError>>()?;
    Ok(ImageFiles { single: chosen.single, files })
}

/// Number of a layer, and of a member in it.
type MemberId = (usize, u64);

/// What is taken of a merged tree.
struct Chosen {
    single: bool,
    files: BTreeMap<String, ChosenKind>,
}

enum ChosenKind {
    Empty,
    File { member: MemberId, executable: bool },
    Symlink(String),
}

impl Chosen {
    fn of(import: &Import<'_>, merge: &Merge, wanted: &Wanted<'_>) -> Result<Self, FilesError> {
        let facts = merge.tree();
        let image = || import.base.to_owned();
        let top = match wanted.path {
            None => None,
            Some(path) => {
                let there = facts.resolve(path).filter(|path| facts.tree.contains_key(path));
                let above = || {
                    let known = |above: &ImagePath| {
                        facts.resolve(above).is_some_and(|above| facts.tree.contains_key(&above))
                    };
                    path.ancestors().filter(known).last().map(|above| above.to_string())
                };
                let missing =
                    || FilesError::Missing { image: image(), path: path.to_string(), above: above() };
                Some(there.ok_or_else(missing)?)
            }
        };
        if let (Some(top), Some(wanted)) = (&top, wanted.path)
            && facts.tree[top].kind != FactKind::Directory
        {
            let special = || FilesError::Special { image: image(), path: wanted.to_string() };
            let member = merge.member(top).ok_or_else(special)?;
            let executable = facts.tree[top].mode & 0o100 != 0;
            let kind = ChosenKind::File { member, executable };
            return Ok(Self { single: true, files: BTreeMap::from([(wanted.name().to_owned(), kind)]) });
        }
        let prefix = top.as_ref().map_or("/".to_owned(), |top| format!("{top}/"));
        let mut files = BTreeMap::new();
        let mut filled: BTreeSet<&str> = BTreeSet::new();
        for (path, fact) in &facts.tree {
            let Some(relative) = path.as_str().strip_prefix(&prefix) else { continue };
            let above = relative.rsplit_once('/').map_or("", |(above, _)| above);
            if !(wanted.takes)(relative) {
                // A directory that loses what is in it is not an empty one.
                filled.insert(above);
                continue;
            }
            let kind = match &fact.kind {
                FactKind::Directory => ChosenKind::Empty,
                FactKind::File => {
                    let gone = || import.document("the image", format!("{path} has no content"));
                    let member = merge.member(path).ok_or_else(gone)?;
                    ChosenKind::File { member, executable: fact.mode & 0o100 != 0 }
                }
                FactKind::Symlink(target) => {
                    let inside = inside(&prefix, relative, target);
                    ChosenKind::Symlink(inside.ok_or_else(|| FilesError::Outside {
                        image: image(),
                        path: path.to_string(),
                        target: target.clone(),
                        wanted: wanted.path.map_or_else(|| "/".to_owned(), ToString::to_string),
                    })?)
                }
                FactKind::Special => {
                    return Err(FilesError::Special { image: image(), path: path.to_string() });
                }
            };
            filled.insert(above);
            files.insert(relative.to_owned(), kind);
        }
        files.retain(|path, kind| !matches!(kind, ChosenKind::Empty) || !filled.contains(path.as_str()));
        Ok(Self { single: false, files })
    }

    fn members(&self) -> BTreeSet<MemberId> {
        let member = |kind: &ChosenKind| match kind {
            ChosenKind::File { member, .. } => Some(*member),
            _ => None,
        };
        self.files.values().filter_map(member).collect()
    }
}

/// The relative form of a link's text, where it stays below the directory `top` (with a slash at its end); the link
/// stands at `path` below it.
fn inside(top: &str, path: &str, target: &str) -> Option<String> {
    let relative = if target.starts_with('/') {
        let rest = format!("{}/", target.trim_end_matches('/'));
        let rest = rest.strip_prefix(top)?.trim_end_matches('/');
        let text = "../".repeat(path.matches('/').count()) + rest;
        let text = text.trim_end_matches('/');
        if text.is_empty() { ".".to_owned() } else { text.to_owned() }
    } else {
        target.to_owned()
    };
    let mut depth = path.matches('/').count();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => depth = depth.checked_sub(1)?,
            _ => depth += 1,
        }
    }
    (!relative.is_empty()).then_some(relative)
}

/// Puts the contents of these members into the store; only layers that have one are read.
fn contents(
    import: &Import<'_>,
    layers: &[Descriptor],
    members: &BTreeSet<MemberId>,
) -> Result<BTreeMap<MemberId, (ContentDigest, u64)>, BaseError> {
    let mut found = BTreeMap::new();
    for (number, layer) in layers.iter().enumerate() {
        let mut left = members.range((number, 0)..=(number, u64::MAX)).peekable();
        if left.peek().is_none() {
            continue;
        }
        let mut reader = TarReader::new(open(import, layer)?);
        let mut ordinal = 0;
        while let Some(next) = left.peek() {
            let read = reader.next_member().map_err(|source| failed(import, layer, source))?;
            if read.is_none() {
                break;
            }
            if next.1 == ordinal {
                let mut broken = None;
                let put = import.store.put(&mut |writer| {
                    io::copy(&mut reader.data(), writer).map(drop).map_err(|error| {
                        let text = error.to_string();
                        broken = Some(error);
                        io::Error::other(text)
                    })
                });
                if let Some(error) = broken {
                    let source = tar::TarError::Read { position: 0, source: error };
                    return Err(failed(import, layer, source));
                }
                let (digest, size) = put.map_err(|source| import.store_failed(source))?;
                found.insert((number, ordinal), (ContentDigest(digest.0), size));
                left.next();
            }
            ordinal += 1;
        }
    }
    Ok(found)
}

fn open<'i>(import: &Import<'i>, layer: &Descriptor) -> Result<Box<dyn io::Read + Send + 'i>, BaseError> {
    import.cancel.check()?;
    let blob = import.store.open(&layer.digest).map_err(|source| import.store_failed(source))?;
    tar::open_packed(import.watched(blob)).map(|(_, tar)| tar).map_err(|source| failed(import, layer, source))
}

fn failed(import: &Import<'_>, layer: &Descriptor, source: tar::TarError) -> BaseError {
    import.layer_failed(format!("the layer {}", layer.digest), source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_below_what_is_copied() {
        for (top, path, target, expected) in [
            ("/opt/x/", "bin/a", "b", Some("b")),
            ("/opt/x/", "bin/a", "../lib/b", Some("../lib/b")),
            ("/opt/x/", "bin/a", "../../y", None),
            ("/opt/x/", "a", "..", None),
            ("/opt/x/", "bin/a", "..", Some("..")),
            ("/opt/x/", "bin/a", "/opt/x/lib/b", Some("../lib/b")),
            ("/opt/x/", "bin/a", "/opt/x", Some("..")),
            ("/opt/x/", "a", "/opt/x/", Some(".")),
            ("/opt/x/", "a", "/opt/xy", None),
            ("/opt/x/", "a", "/opt/x/../y", None),
            ("/opt/x/", "a", "/etc/passwd", None),
            ("/", "bin/sh", "/usr/bin/sh", Some("../usr/bin/sh")),
            ("/", "bin", "usr/bin", Some("usr/bin")),
            ("/", "bin", "../usr", None),
            ("/opt/x/", "a", "", None),
        ] {
            assert_eq!(inside(top, path, target).as_deref(), expected, "{top} {path} → {target}");
        }
    }
}
