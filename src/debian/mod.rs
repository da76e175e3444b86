//! Debian packages: versions, relations, indexes and their signatures, solving, the files of a .deb (Debian Policy Manual,
//! chapters 3 to 7; deb(5), deb-control(5), deb-version(7)).
//!
//! Opens nothing: readers and texts come in, values go out.

mod ar;
mod candidates;
mod deb;
mod documentation;
mod explain;
mod host;
mod index;
mod installed;
mod keys;
mod merge;
mod newest;
mod order;
mod owned;
mod packet;
mod packing;
mod paragraph;
mod relation;
mod release;
mod sat;
mod scripts;
mod shell;
mod signature;
mod solve;
mod status;
mod version;

pub use deb::{DebError, DebFacts, read_deb};
pub use documentation::{Documentation, documentation};
pub use explain::{Fact, NoSolution};
pub use host::{AptSource, deb822_sources, http_proxy, list_sources};
pub use index::{Index, IndexError};
pub use installed::Installed;
pub use keys::{KeyError, KeyId, Keyring};
pub use merge::{MergeError, MergedPackages, merge_packages};
pub use newest::newest_version;
pub use packet::PacketError;
pub use paragraph::{Paragraph, ParagraphError, paragraphs};
pub use relation::{Comparison, Relation, RelationError, relations};
pub use release::{Release, ReleaseError, is_below};
pub use scripts::{Installed as Installation, ScriptError, effects};
pub use signature::{SignatureError, signed_text};
pub use solve::{Chosen, Request, Solution, solve};
pub use version::compare_versions;
