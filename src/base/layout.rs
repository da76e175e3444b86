use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::blobs::BoxError;
use super::document::{DOCUMENT_LIMIT, Parsed, RawDescriptor, RawDocument, parse_json};
use super::error::BaseError;
use super::image::{BaseImage, Search, load};
use super::import::Import;
use crate::model::Descriptor;
use crate::system::{ArchiveFile, fs};

/// Loads the image for the wanted platform from the OCI layout in `directory` (image-spec, image-layout.md).
pub fn from_oci_layout(import: &Import<'_>, directory: &Path) -> Result<BaseImage, BaseError> {
    from_files(import, &Files::Directory(directory.to_owned()))
}

/// Loads the image for the wanted platform from a tar of an OCI layout, perhaps compressed with gzip.
pub fn from_oci_archive(import: &Import<'_>, file: &Path) -> Result<BaseImage, BaseError> {
    from_files(import, &Files::Archive(import.archive(file)?))
}

/// The files of a layout.
enum Files {
    Directory(PathBuf),
    Archive(ArchiveFile),
}

impl Files {
    /// Opens `name`, which holds no name of others: blobs are named by their digest. `None` where it is not there.
    fn open(&self, name: &str) -> Result<Option<Box<dyn Read + '_>>, BaseError> {
        match self {
            Self::Directory(directory) => {
                let file = fs::open_regular(directory.join(name))?;
                Ok(file.map(|file| Box::new(file) as Box<dyn Read>))
            }
            Self::Archive(archive) => match archive.read(name) {
                Some(reader) => Ok(Some(Box::new(reader))),
                None => Ok(None),
            },
        }
    }

    fn small(&self, import: &Import<'_>, name: &str) -> Result<Vec<u8>, BaseError> {
        let missing = || BaseError::MissingFile { base: import.base.to_owned(), file: name.to_owned() };
        let reader = self.open(name)?.ok_or_else(missing)?;
        let mut bytes = Vec::new();
        let read = import.watched(reader).take(DOCUMENT_LIMIT + 1).read_to_end(&mut bytes);
        read.map_err(|error| import.document(format!("`{name}`"), error))?;
        if bytes.len() as u64 > DOCUMENT_LIMIT {
            return Err(import.document(format!("`{name}`"), "it is longer than 4 MiB"));
        }
        Ok(bytes)
    }

    fn blob(&self, descriptor: &Descriptor, writer: &mut dyn Write) -> Result<(), BoxError> {
        let name = format!("blobs/sha256/{}", descriptor.digest.hex());
        let mut reader = self.open(&name)?.ok_or_else(|| format!("there is no `{name}`"))?;
        io::copy(&mut reader, writer)?;
        Ok(())
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

fn from_files(import: &Import<'_>, files: &Files) -> Result<BaseImage, BaseError> {
    let marker: Marker = parse_json(import, "`oci-layout`", &files.small(import, "oci-layout")?)?;
    if !marker.image_layout_version.starts_with("1.") {
        let reason = format!("it is of the version `{}`, only 1.x is known", marker.image_layout_version);
        return Err(import.document("`oci-layout`", reason));
    }
    let index = RawDocument::parse(import, "`index.json`", &files.small(import, "index.json")?)?;
    let Parsed::Index(entries) = index else {
        return Err(import.document("`index.json`", "it is not an index"));
    };
    let fetch = |descriptor: &Descriptor, writer: &mut dyn Write| files.blob(descriptor, writer);
    let mut search = Search { import, fetch: &fetch, found: Vec::new(), looked: 0 };
    // At the top stand images of different names: the first of several would be a guess.
    let mut matches: Vec<(&RawDescriptor, _)> = Vec::new();
    for entry in &entries {
        if let Some((entry, manifest)) = search.pick(std::slice::from_ref(entry), 0)?
            && matches.iter().all(|(_, known): &(_, super::image::Manifest)| known.digest != manifest.digest)
        {
            matches.push((entry, manifest));
        }
    }
    match matches.as_slice() {
        [] => Err(search.nothing()),
        [(_, manifest)] => load(import, manifest, None, &fetch),
        several => Err(BaseError::Ambiguous {
            base: import.base.to_owned(),
            platform: import.platform,
            found: several.iter().map(|(entry, _)| name(entry)).collect(),
        }),
    }
}

/// What an entry of a layout is called.
fn name(entry: &RawDescriptor) -> String {
    let name = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
    let name = name.iter().find_map(|key| entry.annotations.get(*key));
    name.unwrap_or(&entry.digest).clone()
}
