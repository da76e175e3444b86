use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::blobs::Compressor;
use super::config::{CONFIG_LIMIT, ParsedConfig};
use super::document::{DOCUMENT_LIMIT, null_is_default, parse_json};
use super::error::BaseError;
use super::image::{BaseImage, assemble};
use super::import::Import;
use crate::system::ArchiveFile;

/// One image of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawImage {
    config: String,
    #[serde(default, deserialize_with = "null_is_default")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    layers: Vec<String>,
}

/// Loads the image for the wanted platform from what `docker save` writes, perhaps compressed with gzip. Layers that it
/// has as plain tars are compressed once; compressed ones stay as they are. It has no manifest, so no digest.
pub fn from_docker_archive(
    import: &Import<'_>,
    file: &Path,
    compressor: &Compressor<'_>,
) -> Result<BaseImage, BaseError> {
    let archive = import.archive(file)?;
    let images: Vec<RawImage> =
        parse_json(import, "`manifest.json`", &small(import, &archive, "manifest.json", DOCUMENT_LIMIT)?)?;
    let mut matches = Vec::new();
    let mut found = Vec::new();
    for image in images {
        let bytes = small(import, &archive, &image.config, CONFIG_LIMIT)?;
        let parsed = ParsedConfig::parse(import, &format!("the config `{}`", image.config), &bytes)?;
        let platform = &parsed.platform;
        if !import.platform.matches(&platform.os, &platform.architecture, platform.variant.as_deref()) {
            found.push(platform.text());
        } else if matches.iter().all(|(known, _): &(RawImage, _)| known.config != image.config) {
            matches.push((image, parsed));
        }
    }
    if matches.len() > 1 {
        let name = |image: &RawImage| image.repo_tags.first().unwrap_or(&image.config).clone();
        return Err(BaseError::Ambiguous {
            base: import.base.to_owned(),
            platform: import.platform,
            found: matches.iter().map(|(image, _)| name(image)).collect(),
        });
    }
    let Some((image, parsed)) = matches.pop() else {
        found.sort_unstable();
        found.dedup();
        return Err(BaseError::Platform { base: import.base.to_owned(), platform: import.platform, found });
    };
    let mut layers = Vec::with_capacity(image.layers.len());
    for name in &image.layers {
        let missing = || BaseError::MissingFile { base: import.base.to_owned(), file: name.clone() };
        let open = || {
            let reader = archive.read(name).ok_or_else(missing)?;
            Ok(Box::new(reader) as Box<dyn Read + Send + '_>)
        };
        layers.push(import.layer_file(&format!("the layer `{name}`"), compressor, &open)?);
    }
    // Every layer is in the store by now.
    assemble(import, parsed, &layers, &|descriptor, _| Err(format!("{} is gone", descriptor.digest).into()))
}

fn small(import: &Import<'_>, archive: &ArchiveFile, name: &str, limit: u64) -> Result<Vec<u8>, BaseError> {
    let missing = || BaseError::MissingFile { base: import.base.to_owned(), file: name.to_owned() };
    if archive.size(name).ok_or_else(missing)? > limit {
        return Err(import.document(format!("`{name}`"), format!("it is longer than {limit} bytes")));
    }
    let mut bytes = Vec::new();
    let read = archive.read(name).ok_or_else(missing)?.read_to_end(&mut bytes);
    read.map_err(|error| import.document(format!("`{name}`"), error))?;
    Ok(bytes)
}
