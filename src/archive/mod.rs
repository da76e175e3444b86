//! Local forms of an image: OCI layout, OCI archive, Docker archive. Writing them, and reading any image as it is;
//! [`crate::base`] reads what is built on.
//!
//! Every form is deterministic, appears whole or not at all, and never shares bytes with the store by hard links.

mod destination;
mod docker;
mod error;
mod graph;
mod image;
mod layout;
mod local;
mod oci;
mod tarball;

pub use destination::{Destination, DestinationError, Form};
pub use docker::write_docker_stream;
pub use error::ArchiveError;
pub use graph::{DockerImage, GraphOutput, write_docker_image, write_graph};
pub use image::{ImageOutput, ManifestOutput, OpenBlob, SendBlob};
pub use local::{LocalError, LocalImage};

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
