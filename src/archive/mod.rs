//! Local forms of an image: OCI layout, OCI archive, Docker archive. Writing them; [`crate::base`] reads them.
//!
//! Every form is deterministic, appears whole or not at all, and never shares bytes with the store by hard links.

mod destination;
mod docker;
mod error;
mod image;
mod layout;
mod oci;
mod tarball;

pub use destination::{Destination, DestinationError, Form};
pub use docker::write_docker_stream;
pub use error::ArchiveError;
pub use image::{ImageOutput, ManifestOutput, OpenBlob};

use crate::system::Cancel;

/// Writes `images` to `destination`.
///
/// A layout that exists keeps what other tools and other builds put there; a file that exists is replaced. When this
/// fails the destination is as it was before.
pub fn write(
    destination: &Destination,
    images: &[ImageOutput],
    open: OpenBlob<'_>,
    cancel: &Cancel,
) -> Result<(), ArchiveError> {
    match destination.form {
        Form::OciLayout => layout::write(&destination.path, images, open, cancel),
        Form::OciArchive => oci::write(&destination.path, images, open, cancel),
        Form::DockerArchive => docker::write(&destination.path, images, open, cancel),
    }
}
