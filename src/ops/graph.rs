//! An image or artifact as it is: everything that its root names, read and never changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::error::Error;
use super::machine::Machine;
use super::place::Source;
use crate::archive::LocalImage;
use crate::image::Parts;
use crate::model::{BlobDigest, Descriptor, MediaType, RawDescriptor, RawPlatform, Repository, Size};
use crate::registry::Registry;
use crate::system::{Cancel, parallel};

/// How deep indexes may stand in each other, and referrers refer to referrers.
const DEPTH: usize = 4;
/// Most indexes and manifests of one image with all that refers to it.
const DOCUMENTS: usize = 10_000;
/// Most bytes of them together: they are held in memory. Those of real images are some kilobytes.
const DOCUMENT_BYTES: u64 = 32 << 20;
/// Most documents that are looked into for one platform.
const LOOKED: usize = 64;
/// Documents asked for at once.
const JOBS: usize = 4;
/// Longest config in bytes: those of large images have some 20 kB.
const CONFIG_LIMIT: u64 = 8 << 20;

/// Why an image cannot be read as it is.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// A document that cannot be used.
    #[error("cannot use {digest} of {place}: {reason}")]
    Document {
        /// Where.
        place: String,
        /// Which.
        digest: BlobDigest,
        /// Why not.
        reason: String,
    },
    /// Nothing for the wanted platform.
    #[error("{place} has no image for {wanted}, only for {}", if found.is_empty() { "no platform".to_owned() } else { found.join(", ") })]
    Platform {
        /// Where.
        place: String,
        /// What was asked for.
        wanted: RawPlatform,
        /// What there is.
        found: Vec<String>,
    },
    /// More than anybody needs.
    #[error("{place} has {what}")]
    TooMuch {
        /// Where.
        place: String,
        /// What there is too much of.
        what: String,
    },
}

/// An index or a manifest.
#[derive(Debug, Clone)]
pub struct Node {
    /// How it is named by what leads to it.
    pub row: RawDescriptor,
    /// What it names.
    pub parts: Parts,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

/// Everything below a root.
#[derive(Debug, Clone)]
pub struct Graph {
    /// The root.
    pub root: BlobDigest,
    /// Indexes and manifests.
    pub documents: BTreeMap<BlobDigest, Node>,
    /// Configs, layers and whatever else is named.
    pub blobs: BTreeMap<BlobDigest, RawDescriptor>,
    /// Layers that are kept elsewhere and are not there.
    pub absent: BTreeSet<BlobDigest>,
    /// What refers to which document.
    pub referrers: Vec<(BlobDigest, RawDescriptor)>,
    /// Referrers that are listed and not there.
    pub gone: Vec<BlobDigest>,
}

/// What is done with what refers to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referrers {
    /// Nothing.
    Ignored,
    /// They are listed.
    Listed,
    /// They belong to the graph, with what refers to them.
    Followed,
}

/// Where a graph is read from.
pub enum Origin<'a> {
    /// A repository.
    Registry(&'a dyn Registry, Repository),
    /// A layout or an archive.
    Local(Box<LocalImage>),
}

impl<'a> Origin<'a> {
    /// Opens `source`: where documents are, and the root that it names.
    pub fn open(machine: &Machine<'a>, source: &Source) -> Result<(Self, RawDescriptor), Error> {
        match source {
            Source::Registry(reference) => {
                let repository = reference.repository().clone();
                let Descriptor { media_type, digest, size } = machine.registry.resolve(reference)?;
                let root = RawDescriptor::from(Descriptor { media_type, digest, size });
                Ok((Self::Registry(machine.registry, repository), root))
            }
            Source::Local(place, name) => {
                let image = LocalImage::open(place, name.as_deref(), machine.cancel)?;
                let root = image.root.clone();
                Ok((Self::Local(Box::new(image)), root))
            }
        }
    }

    /// How messages call it.
    pub fn place(&self) -> String {
        match self {
            Self::Registry(_, repository) => repository.to_string(),
            Self::Local(image) => image.place().to_owned(),
        }
    }

    fn unusable(&self, digest: BlobDigest, reason: String) -> Error {
        GraphError::Document { place: self.place(), digest, reason }.into()
    }

    /// An index or a manifest.
    pub fn document(&self, row: &RawDescriptor) -> Result<Node, Error> {
        let mut row = row.clone();
        let bytes: Arc<[u8]> = match self {
            Self::Registry(registry, repository) => {
                let found = registry.manifest(&repository.at(row.digest))?;
                if found.bytes.len() as u64 != row.size {
                    let reason =
                        format!("it has {} bytes, its descriptor says {}", found.bytes.len(), row.size);
                    return Err(self.unusable(row.digest, reason));
                }
                if row.media_type.is_empty() {
                    found.media_type.as_str().clone_into(&mut row.media_type);
                }
                found.bytes.into()
            }
            Self::Local(image) => image.document(&row)?,
        };
        let parts =
            Parts::parse(&row.media_type, &bytes).map_err(|reason| self.unusable(row.digest, reason))?;
        parts.media_type.as_str().clone_into(&mut row.media_type);
        Ok(Node { row, parts, bytes })
    }

    /// A small blob.
    pub fn small(&self, row: &RawDescriptor) -> Result<Vec<u8>, Error> {
        if row.size > CONFIG_LIMIT {
            return Err(self.unusable(row.digest, format!("it is longer than {CONFIG_LIMIT} bytes")));
        }
        let mut bytes = Vec::new();
        self.send(row, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes a blob to `sink` and checks it.
    pub fn send(&self, row: &RawDescriptor, sink: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::Registry(registry, repository) => Ok(registry.blob(repository, &carried(row), sink)?),
            Self::Local(image) => Ok(image.send(&row.digest, row.size, sink)?),
        }
    }

    /// Whether a blob is there.
    fn has(&self, row: &RawDescriptor) -> Result<bool, Error> {
        match self {
            Self::Registry(registry, repository) => Ok(registry.has_blob(repository, row.digest)?),
            Self::Local(image) => Ok(image.length(&row.digest).is_some()),
        }
    }

    fn referrers(&self, subject: BlobDigest) -> Result<Vec<RawDescriptor>, Error> {
        match self {
            Self::Registry(registry, repository) => Ok(registry.referrers(repository, subject)?),
            Self::Local(image) => Ok(image.referrers(&subject).to_vec()),
        }
    }

    /// The manifest for a platform: `root` itself, or one that it leads to.
    pub fn select(&self, root: &RawDescriptor, wanted: &RawPlatform) -> Result<RawDescriptor, Error> {
        let mut found = BTreeSet::new();
        let mut looked = 0;
        if let Some(row) = self.find(root, wanted, 0, &mut looked, &mut found)? {
            return Ok(row);
        }
        let found = found.iter().map(|name| name.replace(char::is_control, "\u{fffd}")).collect();
        Err(GraphError::Platform { place: self.place(), wanted: wanted.clone(), found }.into())
    }

    fn find(
        &self,
        row: &RawDescriptor,
        wanted: &RawPlatform,
        depth: usize,
        looked: &mut usize,
        found: &mut BTreeSet<String>,
    ) -> Result<Option<RawDescriptor>, Error> {
        *looked += 1;
        if depth > DEPTH || *looked > LOOKED {
            return Err(self.too_much("too many indexes, or indexes too deep in each other"));
        }
        let node = self.document(row)?;
        if !node.parts.media_type.is_index() {
            let platform = self.platform_of(&node)?;
            if platform.as_ref().is_some_and(|platform| platform.is(wanted)) {
                return Ok(Some(node.row));
            }
            found.extend(platform.map(|platform| platform.to_string()));
            return Ok(None);
        }
        let rows = || node.parts.manifests.iter().filter(|row| is_document(row) && !row.is_attestation());
        let is_told = |row: &&RawDescriptor| {
            row.platform.is_some() && MediaType::parse(&row.media_type).is_none_or(MediaType::is_manifest)
        };
        for row in rows().filter(is_told) {
            match &row.platform {
                Some(platform) if platform.is(wanted) => return Ok(Some(row.clone())),
                platform if found.len() < LOOKED => found.extend(platform.iter().map(ToString::to_string)),
                _ => {}
            }
        }
        for row in rows().filter(|row| !is_told(row)) {
            if let Some(row) = self.find(row, wanted, depth + 1, looked, found)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// The platform that a manifest's config says, where it is that of an image.
    fn platform_of(&self, node: &Node) -> Result<Option<RawPlatform>, Error> {
        let Some(config) = node.parts.config.as_ref().filter(|config| is_image_config(config)) else {
            return Ok(None);
        };
        Ok(serde_json::from_slice(&self.small(config)?).ok())
    }

    fn too_much(&self, what: impl Into<String>) -> Error {
        GraphError::TooMuch { place: self.place(), what: what.into() }.into()
    }

    /// Reads everything below `root`. Layers are not read.
    pub fn walk(&self, root: &RawDescriptor, referrers: Referrers, cancel: &Cancel) -> Result<Graph, Error> {
        let mut graph = Graph {
            root: root.digest,
            documents: BTreeMap::new(),
            blobs: BTreeMap::new(),
            absent: BTreeSet::new(),
            referrers: Vec::new(),
            gone: Vec::new(),
        };
        let mut level = vec![Step { row: root.clone(), depth: 0, refers: 0 }];
        let mut seen = BTreeSet::from([root.digest]);
        let (bytes, listed) = (AtomicU64::new(0), AtomicUsize::new(0));
        while !level.is_empty() {
            if seen.len() > DOCUMENTS {
                return Err(self.too_much(format!("more than {DOCUMENTS} manifests")));
            }
            let read = parallel(JOBS, &level, |step| {
                cancel.check()?;
                if bytes.fetch_add(step.row.size, Ordering::Relaxed) > DOCUMENT_BYTES {
                    return Err(self.too_much(format!("more than {} of manifests", Size(DOCUMENT_BYTES))));
                }
                let node = match self.document(&step.row) {
                    // A list of referrers outlives what it names.
                    Err(error) if step.refers > 0 && error.is_not_found() => return Ok(None),
                    node => node?,
                };
                // Nobody refers to BuildKit's own statements.
                let found = if referrers == Referrers::Ignored || step.row.is_attestation() {
                    Vec::new()
                } else {
                    self.referrers(step.row.digest)?
                };
                if listed.fetch_add(found.len(), Ordering::Relaxed) > DOCUMENTS {
                    return Err(self.too_much(format!("more than {DOCUMENTS} referrers")));
                }
                Ok::<_, Error>(Some((node, found)))
            });
            let mut next = Vec::new();
            for (step, read) in level.into_iter().zip(read) {
                let Some((node, found)) = read? else {
                    graph.gone.push(step.row.digest);
                    continue;
                };
                for row in &node.parts.manifests {
                    if !is_document(row) {
                        self.add_blob(&mut graph, row)?;
                    } else if seen.insert(row.digest) {
                        next.push(Step { row: row.clone(), depth: step.depth + 1, refers: step.refers });
                    }
                }
                for row in node.parts.blobs() {
                    self.add_blob(&mut graph, row)?;
                }
                for row in found {
                    if referrers == Referrers::Followed && seen.insert(row.digest) {
                        next.push(Step { row: row.clone(), depth: 0, refers: step.refers + 1 });
                    }
                    graph.referrers.push((step.row.digest, row));
                }
                graph.documents.insert(step.row.digest, node);
            }
            if next.iter().any(|step| step.depth > DEPTH || step.refers > DEPTH) {
                return Err(self.too_much("indexes or referrers too deep in each other"));
            }
            level = next;
        }
        let Graph { referrers, gone, .. } = &mut graph;
        let gone: BTreeSet<&BlobDigest> = gone.iter().collect();
        referrers.retain(|(_, row)| !gone.contains(&row.digest));
        Ok(graph)
    }

    fn add_blob(&self, graph: &mut Graph, row: &RawDescriptor) -> Result<(), Error> {
        match graph.blobs.get(&row.digest) {
            Some(known) if known.size != row.size => {
                let reason = format!("it has two sizes, {} and {} bytes", known.size, row.size);
                Err(self.unusable(row.digest, reason))
            }
            Some(_) => Ok(()),
            // Layers with addresses of their own need not be in a registry (image-spec, "Non-distributable Layers").
            None if !row.urls.is_empty() && !graph.absent.contains(&row.digest) && !self.has(row)? => {
                graph.absent.insert(row.digest);
                Ok(())
            }
            None if graph.absent.contains(&row.digest) => Ok(()),
            None => {
                graph.blobs.insert(row.digest, row.clone());
                Ok(())
            }
        }
    }
}

struct Step {
    row: RawDescriptor,
    depth: usize,
    refers: usize,
}

impl Graph {
    /// The root.
    pub fn root(&self) -> Option<&Node> {
        self.documents.get(&self.root)
    }

    /// How many indexes stand in each other in and below each document.
    pub fn heights(&self) -> BTreeMap<BlobDigest, usize> {
        // A document leads to others of its own graph alone, none of which leads back: a digest cannot.
        let mut heights: BTreeMap<BlobDigest, usize> = self
            .documents
            .iter()
            .map(|(digest, node)| (*digest, usize::from(node.parts.media_type.is_index())))
            .collect();
        for _ in 0..DEPTH {
            for (digest, node) in &self.documents {
                let below = node.parts.manifests.iter().filter_map(|row| heights.get(&row.digest)).max();
                if let Some(below) = below.copied() {
                    heights.insert(*digest, below + 1);
                }
            }
        }
        heights
    }

    /// The documents below `digest`, itself included.
    pub fn below(&self, digest: BlobDigest) -> Vec<&Node> {
        let (mut found, mut seen, mut open) = (Vec::new(), BTreeSet::new(), vec![digest]);
        while let Some(digest) = open.pop() {
            if let Some(node) = self.documents.get(&digest).filter(|_| seen.insert(digest)) {
                open.extend(node.parts.manifests.iter().rev().map(|row| row.digest));
                found.push(node);
            }
        }
        found
    }
}

/// Whether a config is that of an image.
pub fn is_image_config(row: &RawDescriptor) -> bool {
    MediaType::parse(&row.media_type).is_some_and(|kind| kind.to_oci() == MediaType::OciConfig)
}

fn is_document(row: &RawDescriptor) -> bool {
    row.media_type.is_empty()
        || MediaType::parse(&row.media_type).is_some_and(|kind| kind.is_index() || kind.is_manifest())
}

/// A blob as it is sent: its type matters only to the document that names it.
pub fn carried(row: &RawDescriptor) -> Descriptor {
    let media_type = MediaType::parse(&row.media_type).unwrap_or(MediaType::Bytes);
    Descriptor { media_type, digest: row.digest, size: row.size }
}
