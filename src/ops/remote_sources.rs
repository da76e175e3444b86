//! What `files` take from registries and from the network: what the names are, and the files themselves, each asked for once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use super::bases::StoreForBases;
use super::downloads::Downloads;
use super::error::Error;
use super::prepare::{Session, Target};
use super::slots::Slots;
use super::sources::{CopiedFiles, Known, once};
use crate::base::{
    BaseError, Document, Fetch, FilesError, ImageFileKind, ImageFiles, Import, Wanted, image_files,
};
use crate::lock::Kind;
use crate::model::{
    BlobDigest, ContentDigest, Descriptor, Digest, Identity, ImagePath, ImageRef, KeyDigest, Platform,
    Repository,
};
use crate::registry::RegistryError;
use crate::spec::{FileKind, FileRule};
use crate::store::Store;
use crate::system::{IoError, parallel};
use crate::tree::{HashedFile, HashedKind, Selection};

/// Raised when the same path of the same image gives other files.
const REVISION: &str = "1";

/// What one command found out of remote sources.
#[derive(Default)]
pub(super) struct RemoteSources {
    /// What files are, by address.
    digests: Known<BlobDigest>,
    /// What rows of `files` bring, by what decides that.
    copied: Known<CopiedFiles>,
    /// Blobs that are brought.
    blobs: Slots<Digest, ()>,
}

impl Session<'_> {
    /// Finds out what every image and address of `files` is, each once. What could not be found out, with all images that
    /// it is about, and which targets these are.
    pub(super) fn resolve_remote(&self, targets: &[Target]) -> (Vec<Error>, BTreeSet<usize>) {
        let mut wanted: BTreeMap<(Kind, &str), (&FileRule, BTreeSet<usize>)> = BTreeMap::new();
        for (index, target) in targets.iter().enumerate() {
            for rule in &target.spec.files {
                let name = match &rule.kind {
                    FileKind::Image { reference, .. } => (Kind::Image, reference.as_str()),
                    FileKind::Address(address) => (Kind::File, address.as_str()),
                    _ => continue,
                };
                wanted.entry(name).or_insert_with(|| (rule, BTreeSet::new())).1.insert(index);
            }
        }
        let wanted: Vec<_> = wanted.into_values().collect();
        let found = parallel(self.machine.jobs, &wanted, |(rule, _)| self.remote_digest(rule));
        let (mut errors, mut failed) = (Vec::new(), BTreeSet::new());
        for ((rule, indices), found) in wanted.into_iter().zip(found) {
            if let Err(error) = found {
                let about = |error: Error, index: &usize| error.of(&targets[*index].task);
                errors.push(indices.iter().fold(error.at(&rule.site), about));
                failed.extend(indices);
            }
        }
        (errors, failed)
    }

    /// What a remote row of `files` is taken from: the digest of the image that its reference names, or of the file.
    /// `None` for rows that are not remote.
    pub(super) fn remote_digest(&self, rule: &FileRule) -> Result<Option<BlobDigest>, Error> {
        match &rule.kind {
            FileKind::Image { reference, .. } => self.pins.image(reference, &reference.parse()?).map(Some),
            FileKind::Address(address) => {
                once(&self.remote.digests, address, || self.file_digest(address)).map(|digest| Some(*digest))
            }
            _ => Ok(None),
        }
    }

    /// The files that a row of `files` copies: of the workspace, of an image for `platform`, of the network.
    pub(super) fn copied(&self, rule: &FileRule, platform: Platform) -> Result<Arc<CopiedFiles>, Error> {
        let found = match &rule.kind {
            FileKind::Copy { from, include, exclude } => return self.sources.copied(from, include, exclude),
            FileKind::Image { reference, path, include, exclude } => {
                let name = format!("{reference}\0{platform}\0{path:?}\0{include:?}\0{exclude:?}");
                once(&self.remote.copied, &name, || {
                    let taken = Taken { path: path.as_ref(), include, exclude, platform };
                    self.registry_files(rule, reference, &taken)
                })
            }
            FileKind::Address(address) => {
                once(&self.remote.copied, address, || self.address_file(rule, address))
            }
            FileKind::Spec { identity, path, include, exclude } => {
                let name = format!("spec:{identity}\0{platform}\0{path:?}\0{include:?}\0{exclude:?}");
                once(&self.remote.copied, &name, || {
                    let taken = Taken { path: path.as_ref(), include, exclude, platform };
                    self.workspace_files(identity, &taken)
                })
            }
            FileKind::Directory | FileKind::Link(_) | FileKind::Text(_) => {
                return Err(Error::bug("a row of files that copies nothing"));
            }
        };
        found.map_err(|error| error.at(&rule.site))
    }

    /// Brings what the remote rows of a target copy.
    pub(super) fn bring_remote(&self, target: &Target) -> Result<(), Error> {
        for rule in &target.spec.files {
            if matches!(rule.kind, FileKind::Image { .. } | FileKind::Spec { .. } | FileKind::Address(_)) {
                self.copied(rule, target.task.platform)?;
            }
        }
        Ok(())
    }

    /// The pinned digest of a file, else that of what is at its address now, which is then pinned.
    fn file_digest(&self, address: &str) -> Result<BlobDigest, Error> {
        if let Some(digest) = self.pins.digest(Kind::File, address)? {
            return Ok(digest);
        }
        let digest = self.download(address, None)?;
        self.pins.found_digest(Kind::File, address, digest);
        Ok(digest)
    }

    /// Puts the file at an address into the store, and nothing but `expected` where that is known.
    pub(super) fn download(&self, address: &str, expected: Option<BlobDigest>) -> Result<BlobDigest, Error> {
        let mut blob = self.machine.store.write_blob()?;
        self.machine.registry.file(address, expected, &mut blob)?;
        Ok(blob.finish()?.0)
    }

    fn address_file(&self, rule: &FileRule, address: &str) -> Result<CopiedFiles, Error> {
        let digest = self.remote_digest(rule)?.ok_or_else(|| Error::bug("an address without its digest"))?;
        let store = self.machine.store;
        if store.find_blob(&digest).is_none() {
            self.download(address, Some(digest))?;
        }
        let size = store.find_blob(&digest).ok_or_else(|| Error::bug("a file is gone from the store"))?;
        let name = address.rsplit('/').next().unwrap_or_default();
        let kind = HashedKind::File { executable: false, size, digest: ContentDigest(digest.0) };
        let file = HashedFile { path: name.to_owned(), kind, absolute: store.blob_path(&digest) };
        Ok(CopiedFiles::new(vec![file], true))
    }

    fn registry_files(&self, rule: &FileRule, text: &str, taken: &Taken<'_>) -> Result<CopiedFiles, Error> {
        let digest = self.remote_digest(rule)?.ok_or_else(|| Error::bug("an image without its digest"))?;
        let reference: ImageRef = text.parse()?;
        let repository = reference.repository();
        let document = || {
            self.pulls.document(repository, digest).map_err(|error| match error.downcast::<RegistryError>() {
                Ok(error) => self.pins.gone(text, (*error).into()),
                Err(error) => Error::usage(error.to_string()),
            })
        };
        let fetch = |blob: &Descriptor, writer: &mut dyn Write| self.pulls.fetch(repository, blob, writer);
        let from = Some((&self.pulls.downloads, repository));
        let name = format!("image:{text}");
        self.image_files(&name, digest, taken, from, &document, &fetch)
            .map_err(|error| self.pins.gone(text, error))
    }

    fn workspace_files(&self, identity: &Identity, taken: &Taken<'_>) -> Result<CopiedFiles, Error> {
        let built = self.images.get(identity, taken.platform)?;
        let manifest = &built.image.manifest;
        let fetch = |blob: &Descriptor, writer: &mut dyn Write| {
            built.fetch(self.machine.store, &self.pulls, blob, writer)
        };
        let document = || Ok(Arc::from(&*manifest.bytes));
        let name = format!("spec:{identity}");
        self.image_files(&name, manifest.descriptor.digest, taken, None, &document, &fetch)
    }

    /// The files of an image that are taken, brought into the store. `digest` is that of the `document` that leads to it.
    fn image_files(
        &self,
        name: &str,
        digest: BlobDigest,
        taken: &Taken<'_>,
        from: Option<(&Downloads<'_>, &Repository)>,
        document: &dyn Fn() -> Result<Arc<[u8]>, Error>,
        fetch: &Fetch<'_>,
    ) -> Result<CopiedFiles, Error> {
        let Taken { path, include, exclude, platform } = *taken;
        let store = self.machine.store;
        // The digest decides what is below it.
        let note = format!(
            "imgpack image files {REVISION}\n{platform}\n{digest}\n{path:?}\n{include:?}\n{exclude:?}"
        );
        let note = KeyDigest::of(note.as_bytes());
        if let Some(known) = store.record::<ImageFiles>(&note)
            && known.files.iter().all(|file| match &file.kind {
                ImageFileKind::File { size, digest, .. } => store.has_blob(&BlobDigest(digest.0), *size),
                ImageFileKind::Empty | ImageFileKind::Symlink { .. } => true,
            })
        {
            return Ok(copied_files(known, store));
        }
        let selection = Selection::new(include, exclude)?;
        let takes = |path: &str| selection.takes(path);
        let kept = StoreForBases { store, blobs: &self.remote.blobs, from };
        let import = Import { base: name, platform, store: &kept, layers: true, cancel: self.machine.cancel };
        let bytes = document()?;
        let found = image_files(
            &import,
            &Document { bytes: &bytes, name: None },
            &Wanted { path, takes: &takes },
            fetch,
        )
        .map_err(image_error)?;
        if found.files.is_empty() {
            let place = path.map_or("/", ImagePath::as_str);
            return Err(Error::usage_with_hint(
                format!("{name} has no file below {place} that is taken"),
                "`include` and `exclude` are relative to `path`",
            ));
        }
        // What could not be noted is read again.
        let _: Result<(), IoError> = store.put_record(&note, &found);
        Ok(copied_files(found, store))
    }
}

/// What is taken of an image.
struct Taken<'a> {
    path: Option<&'a ImagePath>,
    include: &'a [String],
    exclude: &'a [String],
    platform: Platform,
}

/// Files of an image as other sources are.
fn copied_files(found: ImageFiles, store: &Store) -> CopiedFiles {
    let mut files = Vec::new();
    let mut empty = BTreeSet::new();
    for file in found.files {
        let (kind, absolute) = match file.kind {
            ImageFileKind::Empty => {
                empty.insert(file.path);
                continue;
            }
            ImageFileKind::File { executable, size, digest } => {
                (HashedKind::File { executable, size, digest }, store.blob_path(&BlobDigest(digest.0)))
            }
            ImageFileKind::Symlink { target } => (HashedKind::Symlink { target }, file.path.clone().into()),
        };
        files.push(HashedFile { path: file.path, kind, absolute });
    }
    CopiedFiles::new(files, found.single).with_empty(empty)
}

/// The words for bases say `base`, which this image is not.
fn image_error(error: FilesError) -> Error {
    match error {
        FilesError::Base(BaseError::Platform { base, platform, found }) => {
            let has = if found.is_empty() { "no platform at all".to_owned() } else { found.join(", ") };
            let message = format!("{base} is not there for {platform}, only for {has}");
            Error::usage_with_hint(
                message,
                format!("leave {platform} out of `platforms`, or take another image"),
            )
        }
        FilesError::Base(error) => error.into(),
        other => match other.hint() {
            Some(hint) => Error::usage_with_hint(other.to_string(), hint),
            None => Error::usage(other.to_string()),
        },
    }
}
