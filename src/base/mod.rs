//! What images stand on: the built-in base, root file systems, layouts and archives, with their facts.
//!
//! Every base becomes one thing, [`BaseImage`]: descriptors of layers that never change, the parsed config, and facts
//! of the merged tree. Registries, layouts and archives share one way there, [`from_document`]: it asks a [`Fetch`] for
//! blobs by descriptor and believes nothing it gets: digest and length of each are compared with the descriptor.
//!
//! Knows no network and no store: both are handed in.

mod blobs;
mod built_in;
mod certificates;
mod config;
mod docker_archive;
mod document;
mod error;
mod facts;
mod files;
mod image;
mod import;
mod layout;
mod rootfs;

pub use blobs::{BlobStore, BoxError, Compressor, Fetch, bring};
pub use built_in::{
    BuiltIn, BuiltInError, DATA_SET, ca_certificates, facts_of, scratch_base, static_base, time_zones,
};
pub use docker_archive::from_docker_archive;
pub use error::BaseError;
pub use files::{FilesError, ImageFile, ImageFileKind, ImageFiles, Wanted, image_files};
pub use image::{BaseImage, BaseLayer, Document, from_document};
pub use import::Import;
pub use layout::{from_oci_archive, from_oci_layout};
pub use rootfs::from_rootfs;

#[cfg(test)]
mod tests;
