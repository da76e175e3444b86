//! The bases of a command, each read once for each platform.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read, Write};
use std::sync::Arc;

use super::downloads::{Downloads, bring_from_address};
use super::error::{Error, ErrorKind};
use super::machine::Machine;
use super::pack::pack_layer;
use super::pins::Pins;
use super::press::{Job, Pending, Press};
use super::pulls::Pulls;
use super::slots::Slots;
use super::sources::Sources;
use super::workspace_images::WorkspaceImages;
use crate::base::{
    BaseError, BaseImage, BaseLayer, BlobStore, BoxError, BuiltIn, Compressor, DATA_SET, Document, Import,
    from_docker_archive, from_document, from_oci_archive, from_oci_layout, from_rootfs, scratch_base,
    static_base,
};
use crate::model::{
    BaseFacts, BlobDigest, Class, Compression, Descriptor, Digest, Identity, ImageRef, KeyDigest, Platform,
    Repository,
};
use crate::plan::{LayerPart, plan_layers};
use crate::spec::{Base, ImageSpec};
use crate::store::Store;
use crate::system::{IoError, fs};
use crate::tar::Framing;

/// How layers that a base has as plain tars are compressed.
fn compressor_name() -> String {
    format!("{}, pieces of {PIECE} bytes", Framing::new(Compression::GZIP).name())
}

/// Raised when reading the same file gives another base.
const BASE_NOTE: &str = "2";

/// The bases of one command.
pub struct Bases<'a> {
    machine: &'a Machine<'a>,
    sources: &'a Sources<'a>,
    pins: &'a Pins<'a>,
    pulls: &'a Pulls<'a>,
    images: &'a WorkspaceImages,
    loaded: Slots<String, Arc<BaseImage>>,
    /// Blobs and notes of bases that were brought.
    blobs: Slots<Digest, ()>,
    /// Whether a local output needs every layer.
    layers: bool,
}

impl<'a> Bases<'a> {
    /// No bases yet. `layers` where every layer is needed in the store; without it those of registries are not kept.
    pub(super) fn new(
        machine: &'a Machine<'a>,
        sources: &'a Sources<'a>,
        pins: &'a Pins<'a>,
        pulls: &'a Pulls<'a>,
        images: &'a WorkspaceImages,
        layers: bool,
    ) -> Self {
        let (loaded, blobs) = (Slots::default(), Slots::default());
        Self { machine, sources, pins, pulls, images, loaded, blobs, layers }
    }

    /// The base of `spec` for a platform. Its layers are in the store, but for those of a registry's base.
    pub fn load(&self, spec: &ImageSpec, platform: Platform) -> Result<Arc<BaseImage>, Error> {
        let name = name(&spec.base);
        let slot = match spec.base {
            // The same for every platform.
            Base::Static | Base::Scratch => name.clone(),
            _ => format!("{name}\0{platform}"),
        };
        self.loaded.get(slot, || Ok(Arc::new(self.noted_or_read(spec, &name, platform)?)))
    }

    /// Everything that decides what [`Self::load`] gives, in a text, without reading the base where that is known: the
    /// data set, the digest of a file or manifest, of another image of the workspace what it was built to. `None` where it cannot be known or the base has an error, which
    /// loading tells.
    pub fn identity(&self, spec: &ImageSpec, platform: Platform) -> Option<String> {
        let file = |path| self.sources.digest(path).ok().map(|digest| digest.to_string());
        let what = match &spec.base {
            Base::Static => DATA_SET.to_owned(),
            Base::Scratch => "scratch".to_owned(),
            Base::OciArchive(path) | Base::DockerArchive(path) => file(path)?,
            Base::Rootfs(files) => file(files.get(&platform)?)?,
            // Blobs are named by their digests: the two documents at the top decide everything.
            Base::OciLayout(path) => {
                let folder = self.sources.located(path).ok()?;
                let document = |name: &str| {
                    let mut bytes = Vec::new();
                    let mut file = fs::open_regular(folder.join(name)).ok()??;
                    file.read_to_end(&mut bytes).ok().map(|_| bytes)
                };
                let marker = BlobDigest::of(&document("oci-layout")?);
                format!("{marker} {}", BlobDigest::of(&document("index.json")?))
            }
            Base::Spec(identity) => {
                self.images.find(identity, platform)?.image.manifest.descriptor.digest.to_string()
            }
            Base::Registry(text) => {
                let reference: ImageRef = text.parse().ok()?;
                self.pins.image(text, &reference).ok()?.to_string()
            }
        };
        Some(format!("{} {what} {}", name(&spec.base), compressor_name()))
    }

    /// A base in a file is read once: what it came to is noted under its digest, and holds while its layers are stored.
    fn noted_or_read(&self, spec: &ImageSpec, name: &str, platform: Platform) -> Result<BaseImage, Error> {
        let file = matches!(spec.base, Base::OciArchive(_) | Base::DockerArchive(_) | Base::Rootfs(_));
        let identity = if file { self.identity(spec, platform) } else { None };
        let Some(identity) = identity else { return self.read(&spec.base, name, platform) };
        let version = env!("CARGO_PKG_VERSION");
        let note = format!("imgpack base {BASE_NOTE} of {version}\n{platform}\n{identity}");
        let note = KeyDigest::of(note.as_bytes());
        let store = self.machine.store;
        if let Some(base) = store.record::<BaseImage>(&note)
            && base
                .layers
                .iter()
                .map(|layer| layer.layer.descriptor)
                .all(|d| store.has_blob(&d.digest, d.size))
        {
            return Ok(base);
        }
        let base = self.read(&spec.base, name, platform)?;
        // What could not be noted is read again.
        let _: Result<(), IoError> = store.put_record(&note, &base);
        Ok(base)
    }

    fn read(&self, base: &Base, name: &str, platform: Platform) -> Result<BaseImage, Error> {
        let reference: Option<ImageRef> = match base {
            Base::Registry(text) => Some(text.parse().map_err(ErrorKind::from)?),
            _ => None,
        };
        let from = reference.as_ref().map(|reference| (&self.pulls.downloads, reference.repository()));
        let store = StoreForBases { store: self.machine.store, blobs: &self.blobs, from };
        let layers = self.layers || from.is_none();
        let import = Import { base: name, platform, store: &store, layers, cancel: self.machine.cancel };
        let framing = Framing::new(Compression::GZIP);
        let name_of_method = compressor_name();
        let press = &self.machine.press;
        let run = |reader: &mut dyn Read, writer: &mut dyn Write| compress(press, framing, reader, writer);
        let compressor = Compressor { name: &name_of_method, run: &run };
        Ok(match base {
            Base::Static => self.built_in(static_base()?, DATA_SET)?,
            Base::Scratch => self.built_in(scratch_base(), "")?,
            Base::OciLayout(path) => from_oci_layout(&import, &self.sources.located(path)?)?,
            Base::OciArchive(path) => from_oci_archive(&import, &self.sources.located(path)?)?,
            Base::DockerArchive(path) => {
                from_docker_archive(&import, &self.sources.located(path)?, &compressor)?
            }
            Base::Rootfs(files) => {
                let file = files.get(&platform).ok_or_else(|| {
                    let has = files.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    Error::usage(format!("base.rootfs has no file for {platform}, only for {has}"))
                })?;
                from_rootfs(&import, &self.sources.located(file)?, &compressor)?
            }
            Base::Registry(text) => self.pulled(&import, text)?,
            Base::Spec(identity) => self.of_workspace(name, identity, platform)?,
        })
    }

    /// The one layer of a built-in base, packed like any other.
    fn built_in(&self, built_in: BuiltIn, title: &str) -> Result<BaseImage, Error> {
        let BuiltIn { entries, config, facts } = built_in;
        let part =
            LayerPart { class: Class::Base, title: title.to_owned(), entries, replace: BTreeSet::new() };
        let planned =
            plan_layers(vec![part], &BaseFacts::default(), Compression::default()).map_err(Error::many)?;
        let mut layers = Vec::new();
        for layer in &planned {
            let Machine { store, press, cancel, .. } = self.machine;
            let (layer, _) = pack_layer(store, press, layer, Compression::default(), false, cancel)?;
            let created_by = Some(format!("imgpack {title}"));
            layers.push(BaseLayer { layer, title: None, created_by, from: None, urls: Vec::new() });
        }
        Ok(BaseImage { config, layers, facts, ..BaseImage::default() })
    }

    /// Another image of the workspace, which is built. No registry has to have it, so it has no name there.
    fn of_workspace(&self, name: &str, identity: &Identity, platform: Platform) -> Result<BaseImage, Error> {
        let Machine { store, cancel, .. } = *self.machine;
        let built = self.images.get(identity, platform)?;
        let kept = StoreForBases { store, blobs: &self.blobs, from: None };
        let import = Import { base: name, platform, store: &kept, layers: false, cancel };
        let fetch = |blob: &Descriptor, writer: &mut dyn Write| built.fetch(store, self.pulls, blob, writer);
        let mut base =
            from_document(&import, &Document { bytes: &built.image.manifest.bytes, name: None }, &fetch)?;
        base.digest = None;
        for (layer, finished) in base.layers.iter_mut().zip(&built.image.layers) {
            layer.title = Some(finished.title.clone());
            layer.from.clone_from(&finished.from);
            layer.urls.clone_from(&finished.urls);
        }
        Ok(base)
    }

    /// A base of a registry: what its tag or digest names now. Documents are kept; of layers what [`Import::layers`] says.
    fn pulled(&self, import: &Import<'_>, text: &str) -> Result<BaseImage, Error> {
        let reference: ImageRef = text.parse().map_err(ErrorKind::from)?;
        let digest = self.pins.image(text, &reference)?;
        let repository = reference.repository();
        let fetch = |blob: &Descriptor, writer: &mut dyn Write| self.pulls.fetch(repository, blob, writer);
        let bytes = match self.pulls.document(repository, digest) {
            Ok(bytes) => bytes,
            Err(error) => match error.downcast::<crate::registry::RegistryError>() {
                Ok(error) => return Err(self.pins.gone(text, (*error).into())),
                Err(error) => return Err(Error::usage(error.to_string())),
            },
        };
        let document = Document { bytes: &bytes, name: Some(text) };
        let mut brought = BTreeSet::new();
        let mut base = loop {
            match from_document(import, &document, &fetch) {
                Ok(base) => break base,
                // Hardly any base has such layers, so what else was read is read again.
                Err(BaseError::Elsewhere { base, layer, urls, source }) if brought.insert(layer) => {
                    bring_from_address(self.machine, base, layer, urls, source)?;
                }
                Err(error) => return Err(self.pins.gone(text, error.into())),
            }
        };
        for layer in &mut base.layers {
            layer.from = Some(repository.clone());
        }
        if let (None, Some(facts)) = (reference.digest(), base.facts_digest) {
            self.pins.facts(text, digest, import.platform, facts)?;
        }
        Ok(base)
    }
}

/// What the spec calls a base for one platform.
pub fn name_for(base: &Base, platform: Platform) -> String {
    match base {
        Base::Rootfs(files) => files.get(&platform).map_or_else(String::new, |file| file.path.clone()),
        other => name(other),
    }
}

/// What the spec calls a base.
fn name(base: &Base) -> String {
    match base {
        Base::Static => "static".to_owned(),
        Base::Scratch => "scratch".to_owned(),
        Base::Registry(reference) => reference.clone(),
        Base::Spec(identity) => format!("spec:{identity}"),
        Base::OciLayout(path) => format!("oci:{}", path.path),
        Base::OciArchive(path) => format!("oci-archive:{}", path.path),
        Base::DockerArchive(path) => format!("docker-archive:{}", path.path),
        Base::Rootfs(files) => {
            let files: Vec<&str> = files.values().map(|file| file.path.as_str()).collect();
            format!("rootfs:{}", files.join(","))
        }
    }
}

/// Length in bytes of the pieces in which a base's plain tar is compressed: nothing is known of its entries.
const PIECE: usize = 1 << 20;
/// Pieces on their way; more threads wait.
const PIECES: usize = 8;

/// Compresses a layer that a base has as a plain tar, with the compressor of imgpack's own layers.
fn compress(
    press: &Press,
    framing: Framing,
    reader: &mut dyn Read,
    writer: &mut dyn Write,
) -> io::Result<()> {
    let mut pieces: VecDeque<Pending> = VecDeque::new();
    let mut take = |pieces: &mut VecDeque<Pending>| match pieces.pop_front() {
        Some(piece) => writer.write_all(&piece.wait()?.bytes),
        None => Ok(()),
    };
    for number in 0_usize.. {
        let mut plain = Vec::with_capacity(PIECE);
        reader.take(PIECE as u64).read_to_end(&mut plain)?;
        // Of nothing too one piece is made: no bytes at all are no gzip.
        if plain.is_empty() && number > 0 {
            break;
        }
        pieces.push_back(press.submit(Job { plain: Arc::new(plain), framing, known: None }));
        if pieces.len() > PIECES.min(press.threads()) {
            take(&mut pieces)?;
        }
    }
    while !pieces.is_empty() {
        take(&mut pieces)?;
    }
    Ok(())
}

/// The store as bases see it.
pub(super) struct StoreForBases<'a> {
    pub(super) store: &'a Store,
    pub(super) blobs: &'a Slots<Digest, ()>,
    /// Where layers come from.
    pub(super) from: Option<(&'a Downloads<'a>, &'a Repository)>,
}

impl BlobStore for StoreForBases<'_> {
    fn has(&self, digest: &BlobDigest) -> Result<bool, BoxError> {
        Ok(self.store.find_blob(digest).is_some())
    }

    fn once(
        &self,
        digest: &Digest,
        work: &mut dyn FnMut() -> Result<(), BaseError>,
    ) -> Result<(), BaseError> {
        self.blobs.get(*digest, work)
    }

    fn expect(&self, layers: &[Descriptor]) {
        if let Some((downloads, repository)) = self.from {
            downloads.expect(repository, layers);
        }
    }

    fn put(
        &self,
        fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(BlobDigest, u64), BoxError> {
        let mut blob = self.store.write_blob()?;
        fill(&mut blob)?;
        Ok(blob.finish()?)
    }

    fn open(&self, digest: &BlobDigest) -> Result<Box<dyn Read + Send + '_>, BoxError> {
        Ok(Box::new(self.store.open_blob(digest)?))
    }

    fn facts_get(&self, key: &KeyDigest) -> Option<Vec<u8>> {
        self.store.note(key)
    }

    fn facts_put(&self, key: &KeyDigest, bytes: &[u8]) {
        // Facts that could not be noted are read again.
        let _: Result<(), IoError> = self.store.put_note(key, bytes);
    }
}
