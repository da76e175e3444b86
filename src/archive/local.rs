use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::destination::{Destination, Form};
use super::layout::REF_NAME;
use crate::image::{ManifestLayers, Parts, manifest_document};
use crate::model::{BlobDigest, Descriptor, Hasher, MediaType, RawDescriptor};
use crate::system::{ArchiveFile, ArchiveFileError, Cancel, Cancelled, IoError, fs};

/// Longest document in bytes (distribution-spec, "Pushing Manifests": registries take 4 MiB).
const DOCUMENT_LIMIT: u64 = 4 << 20;
/// Longer indexes of layouts are not read.
const INDEX_LIMIT: u64 = 16 << 20;
/// What containerd and BuildKit call an image in a layout.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Names that a message lists.
const NAMED: usize = 10;

/// Why an image of this machine cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] IoError),
    /// It is not what its form says.
    #[error("{place} is not {what}: {reason}")]
    Form {
        /// Where.
        place: String,
        /// `an OCI image layout` …
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// A document that cannot be used.
    #[error("cannot use {what} of {place}: {reason}")]
    Document {
        /// Where.
        place: String,
        /// Which.
        what: String,
        /// Why not.
        reason: String,
    },
    /// No image of that name.
    #[error("{place} has no image{name}{}", listed(", only", found))]
    NoImage {
        /// Where.
        place: String,
        /// What was asked for, in backticks after a blank; empty where nothing was.
        name: String,
        /// What is there.
        found: Vec<String>,
    },
    /// More than one.
    #[error("{place} has several images{}", listed(":", found))]
    Several {
        /// Where.
        place: String,
        /// What is there.
        found: Vec<String>,
    },
    /// A blob is not there.
    #[error("{place} has no blob {digest}")]
    Missing {
        /// Where.
        place: String,
        /// The blob.
        digest: BlobDigest,
    },
    /// A blob is not what its name says.
    #[error("blob {digest} of {place} is damaged: {reason}")]
    Damaged {
        /// Where.
        place: String,
        /// The blob.
        digest: BlobDigest,
        /// What it is instead.
        reason: String,
    },
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn listed(before: &str, found: &[String]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let found: Vec<String> = found.iter().map(|name| name.replace(char::is_control, "\u{fffd}")).collect();
    let more = found.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{before} {}{more}", found[..found.len().min(NAMED)].join(", "))
}

impl LocalError {
    /// The way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Several { place, found } => {
                let first = found.first()?;
                let mark = if first.starts_with("sha256:") { '@' } else { ':' };
                let first = first.replace(char::is_control, "\u{fffd}");
                Some(format!("name one of them, like {place}{mark}{first}"))
            }
            Self::Damaged { .. } | Self::Missing { .. } => Some("make or copy it anew".to_owned()),
            _ => None,
        }
    }

    /// Whether the request or the image is wrong, not this machine (exit code 2, not 5).
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Io(error) => error.is_not_found(),
            Self::Cancelled(_) => false,
            _ => true,
        }
    }
}

/// One image, or any other artifact, of a layout or an archive.
pub struct LocalImage {
    place: String,
    files: Files,
    /// The names of the image.
    pub names: Vec<String>,
    /// What the names stand for.
    pub root: RawDescriptor,
    /// What else the index names that refers to something, by what it refers to.
    referrers: BTreeMap<BlobDigest, Vec<RawDescriptor>>,
    /// Documents that are in no file.
    made: BTreeMap<BlobDigest, Arc<[u8]>>,
    /// Where else than usual a blob is.
    members: BTreeMap<BlobDigest, String>,
}

enum Files {
    Directory(PathBuf),
    Archive(ArchiveFile),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Option<Vec<RawDescriptor>>,
}

/// One image of a Docker archive's `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

impl LocalImage {
    /// Opens the image called `name`, a name, the tag of one, or a digest; without it the only one there is.
    pub fn open(source: &Destination, name: Option<&str>, cancel: &Cancel) -> Result<Self, LocalError> {
        let place = source.to_string();
        let what = match source.form {
            Form::OciLayout => "an OCI image layout",
            Form::OciArchive => "a tar of an OCI image layout",
            Form::DockerArchive => "a Docker archive",
        };
        let form = |reason: String| LocalError::Form { place: place.clone(), what, reason };
        let files = match source.form {
            Form::OciLayout => {
                let found = std::fs::metadata(&source.path).map_err(IoError::of("open", &source.path))?;
                if !found.is_dir() {
                    return Err(form("it is not a directory".to_owned()));
                }
                Files::Directory(source.path.clone())
            }
            Form::OciArchive | Form::DockerArchive => {
                let found = std::fs::metadata(&source.path).map_err(IoError::of("open", &source.path))?;
                if !found.is_file() {
                    return Err(form("it is not a file".to_owned()));
                }
                Files::Archive(ArchiveFile::open(&source.path, cancel).map_err(|error| match error {
                    ArchiveFileError::Io(error) => LocalError::Io(error),
                    ArchiveFileError::Tar(error) => form(error.to_string()),
                    ArchiveFileError::Cancelled(cancelled) => cancelled.into(),
                })?)
            }
        };
        if source.form == Form::DockerArchive {
            return Self::of_docker(place.clone(), files, name, cancel, &form);
        }
        let marker = small(&place, &files, "oci-layout", 4096)?
            .ok_or_else(|| form("there is no `oci-layout`".to_owned()))?;
        let marker: Marker = parsed(&place, "`oci-layout`", &marker)?;
        if !marker.image_layout_version.starts_with("1.") {
            return Err(form(format!("its version is `{}`", marker.image_layout_version.escape_debug())));
        }
        let index = small(&place, &files, "index.json", INDEX_LIMIT)?
            .ok_or_else(|| form("there is no `index.json`".to_owned()))?;
        let index: Index = parsed(&place, "`index.json`", &index)?;
        Self::of_layout(place, files, index.manifests.unwrap_or_default(), name)
    }

    fn of_layout(
        place: String,
        files: Files,
        entries: Vec<RawDescriptor>,
        name: Option<&str>,
    ) -> Result<Self, LocalError> {
        let root = RawDescriptor {
            media_type: String::new(),
            digest: BlobDigest::of(b""),
            size: 0,
            platform: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
            urls: Vec::new(),
        };
        let (referrers, made, members) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut image = Self { place, files, names: Vec::new(), root, referrers, made, members };
        let mut images: Vec<(RawDescriptor, Vec<String>)> = Vec::new();
        let mut known: BTreeMap<BlobDigest, usize> = BTreeMap::new();
        for entry in entries {
            let is_manifest =
                MediaType::parse(&entry.media_type).is_none_or(|kind| kind.is_index() || kind.is_manifest());
            // What refers to something is found by its own word; a layout has no other list.
            let subject = if is_manifest && image.length(&entry.digest).is_some() {
                let bytes = image.document(&entry)?;
                Parts::parse(&entry.media_type, &bytes).ok().and_then(|parts| parts.subject)
            } else {
                None
            };
            let named = names_of(&entry);
            if let Some(subject) = subject {
                let rows = image.referrers.entry(subject.digest).or_default();
                if rows.iter().all(|row| row.digest != entry.digest) {
                    rows.push(RawDescriptor { annotations: BTreeMap::new(), ..entry.clone() });
                }
                if named.is_empty() && name.is_none_or(|name| name != entry.digest.to_string()) {
                    continue;
                }
            }
            let at = *known.entry(entry.digest).or_insert(images.len());
            match images.get_mut(at) {
                Some((_, names)) => names.extend(named),
                None => images.push((entry, named)),
            }
        }
        let label = |(entry, names): &(RawDescriptor, Vec<String>)| {
            names.first().cloned().unwrap_or_else(|| entry.digest.to_string())
        };
        let found: Vec<String> = images.iter().map(label).collect();
        let chosen = match name {
            None => (0..images.len()).collect(),
            Some(name) => matching(&images, name),
        };
        match chosen.as_slice() {
            [one] => {
                let (root, names) = images.swap_remove(*one);
                let mut seen = BTreeSet::new();
                image.names = names.into_iter().filter(|name| seen.insert(name.clone())).collect();
                image.root = root;
                image.root.annotations.retain(|key, _| key != REF_NAME && key != CONTAINERD_NAME);
                Ok(image)
            }
            [] => {
                let name = name.map_or_else(String::new, |name| format!(" `{}`", name.escape_debug()));
                let names = |(entry, names): &(RawDescriptor, Vec<String>)| {
                    if names.is_empty() { vec![entry.digest.to_string()] } else { names.clone() }
                };
                let found = images.iter().flat_map(names).collect();
                Err(LocalError::NoImage { place: image.place, name, found })
            }
            several => {
                let found = several.iter().map(|index| found[*index].clone()).collect();
                Err(LocalError::Several { place: image.place, found })
            }
        }
    }

    /// A Docker archive has no manifest: one is made over its config and its layers, which stay as they are.
    fn of_docker(
        place: String,
        files: Files,
        name: Option<&str>,
        cancel: &Cancel,
        form: &dyn Fn(String) -> LocalError,
    ) -> Result<Self, LocalError> {
        let items = small(&place, &files, "manifest.json", DOCUMENT_LIMIT)?
            .ok_or_else(|| form("there is no `manifest.json`".to_owned()))?;
        let items: Vec<Item> = parsed(&place, "`manifest.json`", &items)?;
        let names = |item: &Item| item.repo_tags.clone().unwrap_or_default();
        let found: Vec<String> =
            items.iter().map(|item| names(item).first().unwrap_or(&item.config).clone()).collect();
        let is_meant = |item: &&Item| {
            name.is_none_or(|name| {
                names(item).iter().any(|known| known == name || tag_of(known) == Some(name))
            })
        };
        let chosen: Vec<&Item> = items.iter().filter(is_meant).collect();
        let item = match chosen.as_slice() {
            [one] => *one,
            [] => {
                let name = name.map_or_else(String::new, |name| format!(" `{}`", name.escape_debug()));
                return Err(LocalError::NoImage { place, name, found });
            }
            _ => return Err(LocalError::Several { place, found }),
        };
        let missing = |name: &str| form(format!("it has no file `{}`", name.escape_debug()));
        let config =
            small(&place, &files, &item.config, 2 * DOCUMENT_LIMIT)?.ok_or_else(|| missing(&item.config))?;
        let mut members = BTreeMap::new();
        let mut layers = Vec::new();
        for layer in item.layers.iter().flatten() {
            let open = || reader(&files, layer)?.ok_or_else(|| missing(layer));
            let mut first = [0; 4];
            let count = open()?.read(&mut first).map_err(|error| form(error.to_string()))?;
            let read = Hasher::read_all(cancel.watched(open()?));
            cancel.check()?;
            let (digest, size) = read.map_err(|error| form(error.to_string()))?;
            let digest = BlobDigest(digest);
            let media_type = match &first[..count] {
                [0x1f, 0x8b, ..] => MediaType::OciLayerGzip,
                [0x28, 0xb5, 0x2f, 0xfd] => MediaType::OciLayerZstd,
                _ => MediaType::OciLayerTar,
            };
            members.insert(digest, layer.clone());
            layers.push(Descriptor { media_type, digest, size });
        }
        let config_row = Descriptor::of(MediaType::OciConfig, &config);
        let contents = ManifestLayers { config: config_row, layers, urls: BTreeMap::new() };
        let manifest =
            manifest_document(&contents, &BTreeMap::new(), false).map_err(|error| form(error.to_string()))?;
        let digest = manifest.descriptor.digest;
        let root = RawDescriptor::from(manifest.descriptor);
        let made = BTreeMap::from([(contents.config.digest, config.into()), (digest, manifest.bytes)]);
        let names = names(item);
        Ok(Self { place, files, names, root, referrers: BTreeMap::new(), made, members })
    }

    /// Where the image is, as it was named.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What the index names that refers to `subject`.
    pub fn referrers(&self, subject: &BlobDigest) -> &[RawDescriptor] {
        self.referrers.get(subject).map_or(&[], Vec::as_slice)
    }

    fn name_of(&self, digest: &BlobDigest) -> String {
        self.members.get(digest).cloned().unwrap_or_else(|| format!("blobs/sha256/{}", digest.hex()))
    }

    /// Length of a blob that is there.
    pub fn length(&self, digest: &BlobDigest) -> Option<u64> {
        if let Some(bytes) = self.made.get(digest) {
            return Some(bytes.len() as u64);
        }
        let name = self.name_of(digest);
        match &self.files {
            Files::Directory(directory) => std::fs::metadata(directory.join(name))
                .ok()
                .filter(std::fs::Metadata::is_file)
                .map(|found| found.len()),
            Files::Archive(archive) => archive.size(&name),
        }
    }

    /// The file that holds a blob and nothing else.
    pub fn path(&self, digest: &BlobDigest) -> Option<PathBuf> {
        match &self.files {
            Files::Directory(directory) => Some(directory.join(self.name_of(digest))),
            Files::Archive(_) => None,
        }
    }

    /// A blob whose bytes are in memory already.
    pub fn made(&self, digest: &BlobDigest) -> Option<&Arc<[u8]>> {
        self.made.get(digest)
    }

    /// A document, checked.
    pub fn document(&self, row: &RawDescriptor) -> Result<Arc<[u8]>, LocalError> {
        if let Some(bytes) = self.made.get(&row.digest) {
            return Ok(Arc::clone(bytes));
        }
        if row.size > DOCUMENT_LIMIT {
            return Err(LocalError::Document {
                place: self.place.clone(),
                what: row.digest.to_string(),
                reason: format!("it is longer than {DOCUMENT_LIMIT} bytes"),
            });
        }
        let mut bytes = Vec::new();
        self.send(&row.digest, row.size, &mut bytes)?;
        Ok(bytes.into())
    }

    /// Writes a blob to `sink` and checks it. What was written before an error is not to be used.
    pub fn send(&self, digest: &BlobDigest, size: u64, sink: &mut dyn Write) -> Result<(), LocalError> {
        let damaged = |reason| LocalError::Damaged { place: self.place.clone(), digest: *digest, reason };
        if let Some(bytes) = self.made.get(digest) {
            return sink.write_all(bytes).map_err(|error| damaged(error.to_string()));
        }
        let missing = || LocalError::Missing { place: self.place.clone(), digest: *digest };
        let mut reader =
            reader(&self.files, &self.name_of(digest))?.ok_or_else(missing)?.take(size.saturating_add(1));
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 128 * 1024];
        let mut found = 0;
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(IoError::of("read", Path::new(&self.place))(error).into()),
            };
            found += count as u64;
            if found > size {
                return Err(damaged(format!("it has more than {size} bytes")));
            }
            hasher.update(&buffer[..count]);
            sink.write_all(&buffer[..count]).map_err(IoError::of("write", digest.to_string()))?;
        }
        if found != size {
            return Err(damaged(format!("it has {found} of {size} bytes")));
        }
        let got = BlobDigest(hasher.finish());
        if got == *digest { Ok(()) } else { Err(damaged(format!("its content is {got}"))) }
    }
}

/// What an entry of a layout is called.
fn names_of(entry: &RawDescriptor) -> Vec<String> {
    let mut names: Vec<String> =
        [CONTAINERD_NAME, REF_NAME].iter().filter_map(|key| entry.annotations.get(*key)).cloned().collect();
    // BuildKit writes the whole name and its tag.
    if let [whole, tag] = names.as_slice()
        && (whole == tag || tag_of(whole) == Some(tag))
    {
        names.pop();
    }
    names
}

/// The tag at the end of a name.
fn tag_of(name: &str) -> Option<&str> {
    let (_, tag) = name.rsplit_once(':')?;
    (!tag.contains('/')).then_some(tag)
}

/// The images that `name` means: those of exactly that name or digest, else those with it as their tag.
fn matching(images: &[(RawDescriptor, Vec<String>)], name: &str) -> Vec<usize> {
    let among = |is: &dyn Fn(&RawDescriptor, &[String]) -> bool| -> Vec<usize> {
        images.iter().enumerate().filter(|(_, (entry, names))| is(entry, names)).map(|(at, _)| at).collect()
    };
    let exact =
        among(&|entry, names| names.iter().any(|known| known == name) || entry.digest.to_string() == name);
    if exact.is_empty() {
        among(&|_, names| names.iter().any(|known| tag_of(known) == Some(name)))
    } else {
        exact
    }
}

fn reader<'a>(files: &'a Files, name: &str) -> Result<Option<Box<dyn Read + 'a>>, LocalError> {
    match files {
        Files::Directory(directory) => {
            let file = fs::open_regular(directory.join(name))?;
            Ok(file.map(|file| Box::new(file) as Box<dyn Read>))
        }
        Files::Archive(archive) => Ok(archive.read(name).map(|reader| Box::new(reader) as Box<dyn Read>)),
    }
}

fn small(place: &str, files: &Files, name: &str, limit: u64) -> Result<Option<Vec<u8>>, LocalError> {
    let Some(reader) = reader(files, name)? else { return Ok(None) };
    let document = |reason: String| LocalError::Document {
        place: place.to_owned(),
        what: format!(" `{}`", name.escape_debug()),
        reason,
    };
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes).map_err(|error| document(error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(document(format!("it is longer than {limit} bytes")));
    }
    Ok(Some(bytes))
}

fn parsed<T: DeserializeOwned>(place: &str, what: &str, bytes: &[u8]) -> Result<T, LocalError> {
    serde_json::from_slice(bytes).map_err(|error| LocalError::Document {
        place: place.to_owned(),
        what: what.to_owned(),
        reason: error.to_string().replace(char::is_control, "\u{fffd}"),
    })
}
