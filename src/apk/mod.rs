//! Alpine packages (apk v2): versions, indexes and their signatures, solving, the files of an .apk, the database of what is
//! installed.
//!
//! Opens nothing: readers and texts come in, values go out.

mod accounts;
mod archive;
mod dependency;
mod index;
mod install;
mod installed;
mod record;
mod scripts;
mod scripts_archive;
mod segment;
mod signature;
mod solve;
mod version;

pub use archive::{ApkError, ApkFacts, ApkFile, read_apk};
pub use dependency::{Dependency, DependencyError, Provided};
pub use index::{IndexError, read_index};
pub use install::{InstallError, Installation, Installs, install};
pub use installed::{Installed, InstalledDirectory, InstalledFile, InstalledPackage};
pub use record::{Package, RecordError, packages};
pub use scripts::ScriptError;
pub use segment::SegmentError;
pub use signature::{KeyError, PublicKey, SignatureError};
pub use solve::{Changes, Conflict, Install, NoSolution, Question, solve};
pub use version::{compare_versions, is_like, is_version};
