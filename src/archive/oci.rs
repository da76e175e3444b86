use std::collections::BTreeMap;
use std::path::Path;

use super::error::ArchiveError;
use super::graph::Root;
use super::image::{Blob, ImageOutput, OpenBlob, blobs, check_names};
use super::layout::{LAYOUT_FILE, index_json, roots};
use super::tarball::{Tarball, write_file};
use crate::model::BlobDigest;
use crate::system::Cancel;

/// Writes an OCI archive: the files of an OCI image layout (image-spec, image-layout.md) in a tar, sorted by name.
pub(super) fn write(
    path: &Path,
    images: &[ImageOutput],
    open: OpenBlob<'_>,
    cancel: &Cancel,
) -> Result<(), ArchiveError> {
    check_names(images)?;
    write_blobs(path, &roots(images)?, &blobs(images), open, cancel)
}

/// The same with what is named already in the words of a layout.
pub(super) fn write_blobs(
    path: &Path,
    roots: &[Root],
    blobs: &BTreeMap<BlobDigest, Blob<'_>>,
    open: OpenBlob<'_>,
    cancel: &Cancel,
) -> Result<(), ArchiveError> {
    let index = index_json(Vec::new(), roots);
    write_file(path, |writer| {
        let mut tar = Tarball::new(writer, cancel);
        tar.directory("blobs/")?;
        tar.directory("blobs/sha256/")?;
        for (digest, blob) in blobs {
            tar.blob(&format!("blobs/sha256/{}", digest.hex()), digest, *blob, open)?;
        }
        tar.bytes("index.json", &index)?;
        tar.bytes("oci-layout", LAYOUT_FILE)?;
        tar.finish()
    })
}
