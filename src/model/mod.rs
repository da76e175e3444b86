//! The words of the field, as values: digests, paths, entries, descriptors, platforms.
//!
//! Knows nothing of files, clocks, networks or YAML. Everything else in imgpack is written in these words.

mod base_config;
mod base_facts;
mod class;
mod descriptor;
mod digest;
mod document;
mod effects;
mod elf;
mod entry;
mod identity;
mod image_path;
mod layer;
mod package;
mod platform;
mod raw_descriptor;
mod reference;
mod size;

pub use base_config::{BaseConfig, BaseHealthcheck, BaseHistory};
pub use base_facts::{BaseFacts, Fact, FactKind};
pub use class::Class;
pub use descriptor::{Descriptor, MediaType};
pub use digest::{BlobDigest, ContentDigest, DiffId, Digest, DigestError, Hasher, ImageId, KeyDigest};
pub use document::Document;
pub use effects::{Attributes, Effects, MadeEntry, PackageGroup, PackageUser};
pub use elf::Elf;
pub use entry::{Content, Entries, EntriesError, Entry, EntryKind, Owner};
pub use identity::{Identity, IdentityError};
pub use image_path::{ImagePath, ImagePathError, Step};
pub use layer::{Compression, Layer};
pub use package::{Contents, PackageFile, PackageFileKind, PinnedPackage};
pub use platform::{Architecture, Platform, PlatformError};
pub use raw_descriptor::{RawDescriptor, RawPlatform, RawPlatformError};
pub use reference::{ImageRef, ReferenceError, Repository, is_tag};
pub use size::{Size, SizeError};
