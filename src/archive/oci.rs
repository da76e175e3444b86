use std::path::Path;

use super::error::ArchiveError;
use super::image::{ImageOutput, OpenBlob, blobs, check_names};
use super::layout::{LAYOUT_FILE, index_json};
use super::tarball::{Tarball, write_file};
use crate::system::Cancel;

/// Writes an OCI archive: the files of an OCI image layout (image-spec, image-layout.md) in a tar, sorted by name.
pub(super) fn write(
    path: &Path,
    images: &[ImageOutput],
    open: OpenBlob<'_>,
    cancel: &Cancel,
) -> Result<(), ArchiveError> {
    check_names(images)?;
    let index = index_json(Vec::new(), images)?;
    write_file(path, |writer| {
        let mut tar = Tarball::new(writer, cancel);
        tar.directory("blobs/")?;
        tar.directory("blobs/sha256/")?;
        for (digest, blob) in &blobs(images) {
            tar.blob(&format!("blobs/sha256/{}", digest.hex()), digest, *blob, open)?;
        }
        tar.bytes("index.json", &index)?;
        tar.bytes("oci-layout", LAYOUT_FILE)?;
        tar.finish()
    })
}
